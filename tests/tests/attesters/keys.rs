//! Keys for a compilation cache that outlives the boot: nobody gets one but the same runtime.

use std::sync::Arc;

use mc2_attestation::test_util::forger::Snp;
use mc2_protocol::Digest;
use mc2_runtime::Attester;

use super::{
    attester,
    confidential_vm::with_certificates,
    enclave::quoting,
    machine::{Bytes, Caller, Device, Errno, Machine, Parts},
    nitro::Module,
    sgx::gramine,
    tpm::Tpm,
    tsm::{Provider, Rtmr, Trouble, reports},
};

const GET_DERIVED_KEY: u32 = 0xc020_5301;

/// The secure processor behind `/dev/sev-guest`: a key is made of the chip's secret and those fields
/// of the guest that were selected.
struct Processor {
    guest: Guest,
    gives: Gives,
}

/// What a request for a key comes to.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    Key,
    /// A status that is an error, and bytes that are no key.
    Error,
    /// What was there before it was asked.
    Nothing,
}

/// What it knows of a guest.
#[derive(Clone)]
pub(super) struct Guest {
    policy: u64,
    pub(super) measurement: [u8; 48],
    pub(super) svn: u32,
    pub(super) committed_tcb: [u8; 8],
}

impl Device for Processor {
    fn read(&self, _opening: u64, _offset: u64) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    fn ioctl(&self, caller: &Caller, request: u32, argument: &[u8]) -> Result<Vec<u8>, Errno> {
        let number = |bytes: &[u8], at: usize| {
            u64::from_le_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
        };
        // Its first version.
        if request != GET_DERIVED_KEY || argument[0] != 1 {
            return Err(Errno::EINVAL);
        }
        let asked = caller.read(number(argument, 8), 32)?;
        let fields = number(&asked, 8);
        let [vmpl, svn] = [16, 20].map(|at| number(&asked, at) as u32);
        let tcb = asked[24..].to_vec();
        // No guest asks for a lower level than its own, nor for more than it has.
        if vmpl != 0 || svn > self.guest.svn || tcb > self.guest.committed_tcb.to_vec() {
            return Err(Errno::EIO);
        }
        let selected = |bit: u32, value: Vec<u8>| match fields & 1 << bit {
            0 => Vec::new(),
            _ => value,
        };
        let mixed = [
            b"the chip's secret".to_vec(),
            fields.to_le_bytes().to_vec(),
            selected(0, self.guest.policy.to_le_bytes().to_vec()),
            selected(3, self.guest.measurement.to_vec()),
            selected(4, svn.to_le_bytes().to_vec()),
            selected(5, tcb),
        ];
        let key = Digest::of(&mixed.concat());
        let mut response = vec![0; 64];
        match self.gives {
            Gives::Key => response[32..].copy_from_slice(key.as_bytes()),
            Gives::Error => {
                response[0] = 0x16;
                response[32..].fill(7);
            }
            Gives::Nothing => {}
        }
        caller.write(number(argument, 16), &response)?;
        Ok(argument.to_vec())
    }
}

pub(super) fn guest() -> Guest {
    Guest {
        policy: 0x3_0000,
        measurement: [0x5a; 48],
        svn: 3,
        committed_tcb: [10, 0, 0, 0, 0, 0, 0x1b, 0x56],
    }
}

/// A guest on a processor that runs, reports and committed one TCB. Its report is signed as long as the
/// guest has no SVN: the forger knows none.
pub(super) fn snp(guest: Guest, gives: Gives) -> Machine {
    let reported = guest.clone();
    let provider = Provider {
        name: "sev_guest",
        report: Box::new(move |asked| {
            let mut snp = Snp::genoa();
            snp.policy = reported.policy;
            snp.measurement = reported.measurement;
            let tcb = reported.committed_tcb;
            (snp.current_tcb, snp.launch_tcb) = (tcb, tcb);
            (snp.committed_tcb, snp.reported_tcb) = (tcb, tcb);
            snp.certified_tcb = [0, tcb[0], tcb[1], tcb[6], tcb[7]];
            let (mut report, certificates) = with_certificates(snp.sign(asked));
            report[4..8].copy_from_slice(&reported.svn.to_le_bytes());
            Ok((report, certificates))
        }),
        trouble: Trouble::None,
    };
    let processor = Processor { guest, gives };
    let parts = reports(Parts::default(), provider);
    Machine::mount(parts.file("dev/sev-guest", Arc::new(processor)))
}

fn key(attester: &dyn Attester) -> [u8; 32] {
    match attester.lasting_key() {
        Ok(key) => *key.expose(),
        Err(error) => panic!("{error}"),
    }
}

/// Row 29: a debug twin, another image, older firmware: each gets another key, and so none opens
/// what the others kept.
#[test]
fn a_lasting_key_of_snp_is_the_same_image_s_on_the_same_firmware_alone() {
    let of = |guest| key(attester(&snp(guest, Gives::Key)).as_ref());
    let own = of(guest());
    assert_eq!(own, of(guest()));
    let twins: [fn(&mut Guest); 4] = [
        |twin| twin.policy |= 1 << 19,
        |twin| twin.measurement[47] ^= 1,
        |twin| twin.svn -= 1,
        |twin| twin.committed_tcb[7] -= 1,
    ];
    for (index, change) in twins.into_iter().enumerate() {
        let mut twin = guest();
        change(&mut twin);
        assert_ne!(own, of(twin), "twin {index}");
    }
}

#[test]
fn a_key_that_the_secure_processor_did_not_give_is_none() {
    for gives in [Gives::Error, Gives::Nothing] {
        let refused = attester(&snp(guest(), gives)).lasting_key().err();
        assert!(refused.expect("no key").to_string().contains("no key"));
    }
}

#[test]
fn a_lasting_key_of_sgx_is_gramines_for_mrenclave() {
    let with = |key: &'static [u8]| {
        let parts = gramine(Parts::default(), quoting());
        let file = "dev/attestation/keys/_sgx_mrenclave";
        let machine = Machine::mount(parts.file(file, Arc::new(Bytes(key))));
        attester(&machine).lasting_key().map(|key| *key.expose())
    };
    let [one, other] = [&[1; 16], &[2; 16]].map(|key| with(key).expect("a key"));
    assert_ne!(one, other);
    assert!(with(&[0; 16]).is_err());
    assert!(with(&[1; 15]).is_err());
    assert!(with(&[]).is_err());
}

/// A vTPM derives no key that only this runtime gets, and neither do TDX and Nitro.
#[test]
fn where_no_key_is_this_runtime_s_alone_there_is_none() {
    let tpm = Tpm::start(&Snp::milan());
    let td = Provider {
        name: "tdx_guest",
        report: Box::new(|_| Err(Errno::EIO)),
        trouble: Trouble::None,
    };
    let machines = [
        Machine::mount(Tpm::put(Parts::default(), &tpm)),
        Machine::mount(super::tsm::register(
            reports(Parts::default(), td),
            &Arc::<Rtmr>::default(),
        )),
        Machine::mount(Module::put(Parts::default(), &Arc::new(Module::new()))),
    ];
    for machine in &machines {
        let refused = attester(machine).lasting_key().err().expect("no key");
        assert!(
            refused.to_string().contains("--compilation-cache"),
            "{refused}"
        );
    }
}
