//! The launch digest of SEV-SNP (AMD's SNP firmware ABI, section 8.17.2) of a machine that QEMU
//! starts with OVMF, kernel, initrd and command line (`-object sev-snp-guest,…,kernel-hashes=on`).

use sha2::{Digest as _, Sha256, Sha384};

use super::firmware::{Firmware, Guid, guid, u32_at};
use crate::process::{Failure, Outcome};

const PAGE: usize = 4096;
/// The address under which the processors' initial states are measured.
const VMSA_ADDRESS: u64 = 0xffff_ffff_f000;
/// The kind of the firmware's section that QEMU puts the hashes of what it starts into.
const KERNEL_HASHES: u32 = 0x10;
/// Where the first processor begins.
const RESET_VECTOR: u32 = 0xffff_fff0;

const METADATA: Guid = guid(0xdc88_6566, 0x984a, 0x4798, 0xa75e_5585_a7bf_67cc);
const RESET_BLOCK: Guid = guid(0x00f7_71de, 0x1a7e, 0x4fcb, 0x890e_68c7_7e2f_b44e);
const HASH_TABLE: Guid = guid(0x7255_371f, 0x3a3b, 0x4b04, 0x927b_1da6_efa8_d454);

const HASHES: Guid = guid(0x9438_d606, 0x4f22, 0x4cc9, 0xb479_a793_d411_fd21);
const KERNEL: Guid = guid(0x4de7_9437, 0xabd2, 0x427f, 0xb835_d5b1_72d2_045b);
const INITRD: Guid = guid(0x44ba_f731, 0x3a2f, 0x4bd7, 0x9af1_41e2_9169_781d);
const COMMAND_LINE: Guid = guid(0x97d0_2dd8, 0xbd20, 0x4c94, 0xaa78_e771_4d36_ab2a);

/// What QEMU is told of the processors.
pub(super) struct Processors {
    pub(super) count: u32,
    /// Family, model and stepping, which a processor's first state holds in a register.
    pub(super) signature: u32,
    /// `SEV_FEATURES`: bit 0 is SNP itself, bit 5 that debug registers are swapped.
    pub(super) features: u64,
}

/// What QEMU is told to start.
pub(super) struct Payload<'a> {
    pub(super) kernel: &'a [u8],
    pub(super) initrd: &'a [u8],
    pub(super) command_line: &'a str,
}

/// The launch digest.
pub(super) fn launch_digest(
    firmware: &Firmware<'_>,
    payload: Option<&Payload<'_>>,
    processors: &Processors,
) -> Outcome<[u8; 48]> {
    let mut launch = Launch([0; 48]);
    for (number, page) in firmware.image().chunks(PAGE).enumerate() {
        launch.page(
            Kind::Normal(page),
            firmware.address() + (number * PAGE) as u64,
        )?;
    }
    let sections = sections(firmware)?;
    let takes_hashes = sections.iter().any(|section| section.kind == KERNEL_HASHES);
    if payload.is_some() && !takes_hashes {
        return Err(Failure::new(
            "this firmware keeps no place for the hashes of kernel, initrd and command line, so its \
             launch digest would say nothing of them: take one built for that, as OVMF.amdsev.fd of \
             Debian 14's package ovmf-amdsev",
        ));
    }
    for section in sections {
        section.add(firmware, payload, &mut launch)?;
    }
    let others = firmware.number(&RESET_BLOCK, "reset address of further processors")?;
    for number in 0..processors.count {
        let start = if number == 0 { RESET_VECTOR } else { others };
        launch.page(Kind::Vmsa(&state(start, processors)), VMSA_ADDRESS)?;
    }
    Ok(launch.0)
}

/// `CPUID_Fn00000001_EAX` of a processor.
pub(super) const fn signature(family: u32, model: u32, stepping: u32) -> u32 {
    let (base, extended) = if family > 15 {
        (15, family - 15)
    } else {
        (family, 0)
    };
    (extended << 20) | ((model >> 4) << 16) | (base << 8) | ((model & 15) << 4) | stepping
}

/// A page as the firmware of the chip tells them apart.
enum Kind<'a> {
    Normal(&'a [u8]),
    Vmsa(&'a [u8]),
    Zero,
    Secrets,
    Cpuid,
}

/// The digest so far.
struct Launch([u8; 48]);

impl Launch {
    /// Takes one page into the digest (`PAGE_INFO`).
    fn page(&mut self, kind: Kind<'_>, address: u64) -> Outcome<()> {
        let (number, content) = match kind {
            Kind::Normal(page) => (1, measured(page)?),
            Kind::Vmsa(page) => (2, measured(page)?),
            Kind::Zero => (3, [0; 48]),
            Kind::Secrets => (5, [0; 48]),
            Kind::Cpuid => (6, [0; 48]),
        };
        const LENGTH: u16 = 0x70;
        let mut all = Sha384::new();
        all.update(self.0);
        all.update(content);
        all.update(LENGTH.to_le_bytes());
        // The kind; then that it is no image of a migration, and rights of other VMPLs.
        all.update([number, 0, 0, 0, 0, 0]);
        all.update(address.to_le_bytes());
        self.0 = all.finalize().into();
        Ok(())
    }
}

fn measured(page: &[u8]) -> Outcome<[u8; 48]> {
    if page.len() == PAGE {
        Ok(Sha384::digest(page).into())
    } else {
        Err(Failure::new(format!(
            "a firmware for SNP is a whole number of pages of {PAGE} bytes"
        )))
    }
}

/// Memory that the firmware asks for.
struct Section {
    address: u32,
    size: u32,
    kind: u32,
}

fn sections(firmware: &Firmware<'_>) -> Outcome<Vec<Section>> {
    const ENTRY: usize = 12;
    let broken = || Failure::new("this firmware's SNP metadata is broken");
    let number = |entry: &[u8], at| u32_at(entry, at).ok_or_else(broken);
    firmware
        .sections(&METADATA, "SNP metadata", b"ASEV", ENTRY)?
        .map(|entry| {
            Ok(Section {
                address: number(entry, 0)?,
                size: number(entry, 4)?,
                kind: number(entry, 8)?,
            })
        })
        .collect()
}

impl Section {
    fn add(
        &self,
        firmware: &Firmware<'_>,
        payload: Option<&Payload<'_>>,
        launch: &mut Launch,
    ) -> Outcome<()> {
        let address = u64::from(self.address);
        match (self.kind, payload) {
            (2, _) => launch.page(Kind::Secrets, address),
            (3, _) => launch.page(Kind::Cpuid, address),
            (KERNEL_HASHES, Some(payload)) => {
                let table = firmware.number(&HASH_TABLE, "place for the kernel's hashes")?;
                let page = payload.hashes(table as usize % PAGE)?;
                launch.page(Kind::Normal(&page), address)
            }
            // Zeroed memory, a place for an SVSM, and that for hashes where there are none.
            (1 | 4 | KERNEL_HASHES, _) => {
                for offset in (0..u64::from(self.size)).step_by(PAGE) {
                    launch.page(Kind::Zero, address + offset)?;
                }
                Ok(())
            }
            (kind, _) => Err(Failure::new(format!(
                "this firmware asks for memory of kind {kind}, which is not known here"
            ))),
        }
    }
}

impl Payload<'_> {
    /// The page in which QEMU tells OVMF what to start, its table at `offset`.
    fn hashes(&self, offset: usize) -> Outcome<Vec<u8>> {
        let mut page = vec![0; offset];
        page.extend_from_slice(&self.table());
        if page.len() > PAGE {
            return Err(Failure::new(
                "this firmware's place for the kernel's hashes does not hold them",
            ));
        }
        page.resize(PAGE, 0);
        Ok(page)
    }

    /// The table of hashes, which OVMF compares what it is given with.
    pub(super) fn table(&self) -> Vec<u8> {
        const ENTRY: u16 = 16 + 2 + 32;
        const TABLE: u16 = 16 + 2 + 3 * ENTRY;
        let mut command_line = self.command_line.as_bytes().to_vec();
        command_line.push(0);
        let mut table = HASHES.to_vec();
        table.extend_from_slice(&TABLE.to_le_bytes());
        for (guid, content) in [
            (COMMAND_LINE, &command_line[..]),
            (INITRD, self.initrd),
            (KERNEL, self.kernel),
        ] {
            table.extend_from_slice(&guid);
            table.extend_from_slice(&ENTRY.to_le_bytes());
            table.extend_from_slice(&Sha256::digest(content));
        }
        table
    }
}

/// Where in memory this firmware looks for the table of hashes; it starts nothing that is not in it.
pub(super) fn place_of_table(firmware: &Firmware<'_>) -> Option<u32> {
    let place = firmware.number(&HASH_TABLE, "place for the kernel's hashes");
    place.ok().filter(|place| *place != 0)
}

/// A processor's first state as QEMU makes it (AMD's manual, volume 2, table B-4).
fn state(start: u32, processors: &Processors) -> Vec<u8> {
    const WHOLE: u32 = 0xffff;
    let mut page = vec![0; PAGE];
    let mut segment = |at: usize, selector: u16, attributes: u16, base: u64| {
        page[at..at + 2].copy_from_slice(&selector.to_le_bytes());
        page[at + 2..at + 4].copy_from_slice(&attributes.to_le_bytes());
        page[at + 4..at + 8].copy_from_slice(&WHOLE.to_le_bytes());
        page[at + 8..at + 16].copy_from_slice(&base.to_le_bytes());
    };
    const DATA: u16 = 0x93;
    segment(0x00, 0, DATA, 0);
    segment(0x10, 0xf000, 0x9b, u64::from(start & 0xffff_0000));
    for at in [0x20, 0x30, 0x40, 0x50] {
        segment(at, 0, DATA, 0);
    }
    segment(0x60, 0, 0, 0);
    segment(0x70, 0, 0x82, 0);
    segment(0x80, 0, 0, 0);
    segment(0x90, 0, 0x8b, 0);
    for (at, value) in [
        // EFER, CR4, CR0, DR7, DR6, RFLAGS, RIP, G_PAT, RDX, SEV_FEATURES, XCR0
        (0x0d0, 0x1000),
        (0x148, 0x40),
        (0x158, 0x10),
        (0x160, 0x400),
        (0x168, 0xffff_0ff0),
        (0x170, 2),
        (0x178, u64::from(start & 0xffff)),
        (0x268, 0x0007_0406_0007_0406),
        (0x310, u64::from(processors.signature)),
        (0x3b0, processors.features),
        (0x3e8, 1),
    ] {
        page[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
    }
    // MXCSR and the x87 control word
    page[0x408..0x40c].copy_from_slice(&0x1f80_u32.to_le_bytes());
    page[0x410..0x412].copy_from_slice(&0x037f_u16.to_le_bytes());
    page
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The last page of an OVMF for SNP, from the crate `sev` 8.0.0 (Apache-2.0), whose tests state
    /// the digests below; `sev-snp-measure` gives the same.
    pub(in super::super) const SAMPLE: &[u8] = include_bytes!("samples/ovmf_AmdSev_suffix.bin");

    fn digest(payload: Option<&str>, count: u32, features: u64) -> String {
        let firmware = Firmware::parse(SAMPLE).unwrap();
        let payload = payload.map(|command_line| Payload {
            kernel: b"",
            initrd: b"",
            command_line,
        });
        let processors = Processors {
            count,
            signature: signature(23, 1, 2),
            features,
        };
        hex::encode(launch_digest(&firmware, payload.as_ref(), &processors).unwrap())
    }

    #[test]
    fn launch_digests_are_those_that_amd_s_own_crate_computes() {
        assert_eq!(
            digest(Some("console=ttyS0 loglevel=7"), 1, 0x1),
            "6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa"
        );
        assert_eq!(
            digest(Some("console=ttyS0 loglevel=7"), 1, 0x21),
            "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977"
        );
        assert_eq!(
            digest(None, 1, 0x1),
            "19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d"
        );
        assert_eq!(
            digest(Some(""), 4, 0x1),
            "5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad5"
        );
    }

    /// The last page, in which the tables are, of Debian's `OVMF.amdsev.fd` (package ovmf-amdsev
    /// 2026.08+ds-2; BSD-2-Clause-Patent).
    const DEBIAN_LAST_PAGE: &[u8] = include_bytes!("samples/debian_amdsev_last_page.bin");

    #[test]
    fn launch_digests_of_a_published_firmware_s_tables_are_those_of_sev_snp_measure() {
        let mut image = vec![0; 0x40_0000 - PAGE];
        image.extend_from_slice(DEBIAN_LAST_PAGE);
        let firmware = Firmware::parse(&image).unwrap();
        let payload = Payload {
            kernel: b"a kernel",
            initrd: b"an archive",
            command_line: "console=ttyS0 panic=-1 --host vsock:2:4050 --engine-profile vm",
        };
        for (count, signature, features, expected) in [
            (
                4,
                signature(25, 17, 0),
                0x1,
                "83a735ad0cdc2a362b1eb4961569b628e22873a06fe8736738516988baacc4316294306125246e07b68fc7e2f1413a81",
            ),
            (
                2,
                signature(25, 1, 1),
                0x21,
                "b25276e251792584495edbace4a806ae41877190d1455ad4d56b6940cfc10b723a90886f59b2494562ea9f2443fa8204",
            ),
            (
                8,
                signature(26, 0, 0),
                0x1,
                "6fccec23c4efff0cf26cd2b81b0a817e25d9ec5474ffd586cac0389f2a67e082aa2cbe2c07ec0db1ac72c32f8305d1d6",
            ),
        ] {
            let processors = Processors {
                count,
                signature,
                features,
            };
            let digest = launch_digest(&firmware, Some(&payload), &processors).unwrap();
            assert_eq!(hex::encode(digest), expected);
        }
    }

    /// Row 32: the digest would be the firmware's alone, whatever that starts.
    #[test]
    fn a_firmware_without_a_place_for_the_kernel_s_hashes_measures_no_kernel() {
        let digest = |image: &[u8], payload: Option<&Payload<'_>>| {
            let processors = Processors {
                count: 1,
                signature: signature(23, 1, 2),
                features: 1,
            };
            launch_digest(&Firmware::parse(image).unwrap(), payload, &processors)
        };
        let payload = Payload {
            kernel: b"kernel",
            initrd: b"initrd",
            command_line: "",
        };
        assert!(digest(SAMPLE, Some(&payload)).is_ok());
        let without = without_hashes();
        assert_ne!(without, SAMPLE);
        assert!(digest(&without, None).is_ok());
        let refused = digest(&without, Some(&payload)).unwrap_err();
        assert!(refused.to_string().contains("no place"), "{refused}");
    }

    /// The sample, its section for hashes turned into one of zeroed memory.
    fn without_hashes() -> Vec<u8> {
        let mut image = SAMPLE.to_vec();
        let metadata = image.windows(4).position(|four| four == b"ASEV").unwrap();
        let count = u32_at(&image[metadata..], 12).unwrap() as usize;
        for number in 0..count {
            let kind = metadata + 16 + number * 12 + 8;
            if u32_at(&image, kind) == Some(KERNEL_HASHES) {
                image[kind..kind + 4].copy_from_slice(&1_u32.to_le_bytes());
            }
        }
        image
    }

    #[test]
    fn processors_are_told_apart_as_cpuid_does() {
        assert_eq!(signature(23, 1, 2), 0x0080_0f12);
        assert_eq!(signature(25, 17, 0), 0x00a1_0f10);
    }
}
