//! Attesters before the devices they ask, emulated: configfs-tsm, a TD's registers, Gramine's
//! pseudo-files, Occlum's and Nitro's ioctls by FUSE, a TPM by `swtpm`, Azure's metadata service by a
//! socket. Forged vendors sign what is
//! asked for, so that the verifiers judge what comes out. At last whole sessions with the runtime over
//! such a device (`session`, `lasting`).

mod azure;
mod confidential_vm;
mod enclave;
mod keys;
mod lasting;
mod machine;
mod metadata;
mod nitro;
mod session;
mod sgx;
mod tpm;
mod tsm;

use mc2_attestation::{
    Accepted, BareEvidence, Claims, Endorsement, Interval, TrustStore, UnixSeconds, judge,
    tee::Roots,
    test_util::forger::{Intel, NOW},
};
use mc2_protocol::{Digest, policy::Tcb};
use mc2_runtime::{Attested, Attester, detect};

use machine::Machine;

/// What is asked for where it does not matter.
const ASKED: [u8; 64] = [0x22; 64];
const DAY: u64 = 86_400;

/// The attester that is found on a machine.
fn attester(machine: &Machine) -> Box<dyn Attester> {
    detect(&machine.devices()).unwrap_or_else(|none| panic!("{none}"))
}

/// What evidence says, by the verifiers that are released under the forger's roots. How good
/// firmware is, they leave to whoever asks.
fn judged(attested: &Attested, more: &[Endorsement], roots: Roots) -> Claims {
    let mut trust = TrustStore::new();
    trust.set_roots(roots);
    let judged = judge(&BareEvidence {
        evidence: &attested.evidence,
        endorsements: &[&attested.endorsements, more].concat(),
        reference: None,
        tcb: &Tcb::UpToDate,
        accepted: Accepted::default(),
        trust: &trust,
        now: NOW,
    })
    .expect("nothing is compared");
    let mut failed = judged.checks.iter().filter(|check| !check.has_passed());
    assert!(failed.all(|check| check.id == "tcb"), "{:?}", judged.checks);
    judged.claims.expect("claims")
}

/// What evidence says that a register holds.
fn register(claims: Claims, name: &str) -> Vec<u8> {
    let mut registers = claims.hardware.expect("hardware").registers.into_iter();
    let register = registers.find(|register| register.name == name);
    register.expect("a register of this name").value
}

/// A forged Intel, good at [`NOW`].
fn intel() -> Intel {
    let good = Interval::new(UnixSeconds(NOW.0 - DAY), UnixSeconds(NOW.0 + DAY));
    Intel::new(1, good)
}

/// Asks for evidence of many things at once; each gets its own.
fn at_once(attester: &dyn Attester, claims: impl Fn(&Attested) -> Claims + Sync) {
    std::thread::scope(|scope| {
        for number in 0..12 {
            let claims = &claims;
            scope.spawn(move || {
                let asked = [number; 64];
                let attested = attester.evidence(&asked).expect("evidence");
                assert!(claims(&attested).report_data.is(&asked), "{number}");
            });
        }
    });
}

/// The policy that a process is started for.
fn policy() -> Digest {
    Digest::of(b"a policy")
}

/// Has an attester say for whom it was started, and then finds it again, as a process that starts
/// again does; one for another policy is refused.
fn fixed_once(machine: &Machine) -> Box<dyn Attester> {
    for _ in 0..2 {
        let fixed = attester(machine).fix_tenant(&policy());
        fixed.unwrap_or_else(|error| panic!("{error}"));
    }
    let other = attester(machine).fix_tenant(&Digest::of(b"another policy"));
    let refused = other.expect_err("another policy").to_string();
    assert!(refused.contains("another policy"), "{refused}");
    let mut attester = attester(machine);
    attester.fix_tenant(&policy()).expect("the same policy");
    attester
}
