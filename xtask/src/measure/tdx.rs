//! What a TD measures that QEMU starts with OVMF, kernel, initrd and command line.
//!
//! MRTD is the firmware as the TDX module adds its pages (Intel's TDX module ABI, TDH.MEM.PAGE.ADD
//! and TDH.MR.EXTEND), page by page as KVM does. RTMR1 and RTMR2 are what the firmware and the
//! kernel's EFI stub extend: the kernel as firmware is shown it, unpatched (QEMU 10 and newer with
//! OVMF of 2025 and newer), command line and initrd. RTMR0 holds the platform: how much memory it
//! has, the firmware's variables, and ACPI tables that QEMU makes anew for each machine; it is read
//! from a machine, not computed.

use sha2::{Digest as _, Sha384};

use super::firmware::{Firmware, Guid, guid, u32_at, u64_at};
use crate::digest::extended;
use crate::process::{Failure, Outcome};

const METADATA: Guid = guid(0xe47a_6535, 0x984a, 0x4798, 0x865e_4685_a7bf_8ec2);
const PAGE: u64 = 4096;
const CHUNK: usize = 256;
/// More memory than any firmware adds; what says more is broken.
const MOST: u64 = 1 << 30;

/// The registers that do not depend on the platform.
pub(super) struct Registers {
    pub(super) mrtd: [u8; 48],
    pub(super) rtmr1: [u8; 48],
    pub(super) rtmr2: [u8; 48],
}

/// What is measured of a firmware that starts this kernel.
pub(super) fn registers(
    firmware: &Firmware<'_>,
    kernel: &[u8],
    initrd: &[u8],
    command_line: &str,
) -> Outcome<Registers> {
    Ok(Registers {
        mrtd: mrtd(firmware)?,
        rtmr1: extended(started(authenticode(kernel)?)),
        rtmr2: extended([load_options(command_line), sha384(initrd)]),
    })
}

/// What the firmware measures of starting this program.
fn started(program: [u8; 48]) -> [[u8; 48]; 5] {
    [
        program,
        sha384(b"Calling EFI Application from Boot Option"),
        // The separator between firmware and what it starts.
        sha384(&[0; 4]),
        sha384(b"Exit Boot Services Invocation"),
        sha384(b"Exit Boot Services Returned with Success"),
    ]
}

fn mrtd(firmware: &Firmware<'_>) -> Outcome<[u8; 48]> {
    let mut all = Sha384::new();
    for section in sections(firmware)? {
        let content = section.content(firmware)?;
        for page in (0..section.memory).step_by(PAGE as usize) {
            if !section.is_added_later() {
                all.update(block(b"MEM.PAGE.ADD", section.address + page));
            }
            if section.is_measured() {
                let content = &content[page as usize..][..PAGE as usize];
                for (number, chunk) in content.chunks(CHUNK).enumerate() {
                    let address = section.address + page + (number * CHUNK) as u64;
                    all.update(block(b"MR.EXTEND", address));
                    all.update(chunk);
                }
            }
        }
    }
    Ok(all.finalize().into())
}

/// What the TDX module takes into MRTD before a page or chunk: an operation's name and an address.
fn block(operation: &[u8], address: u64) -> [u8; 128] {
    let mut block = [0; 128];
    block[..operation.len()].copy_from_slice(operation);
    block[16..24].copy_from_slice(&address.to_le_bytes());
    block
}

/// A part of the firmware, or memory that it asks for.
struct Section {
    offset: u32,
    length: u32,
    address: u64,
    memory: u64,
    attributes: u32,
}

impl Section {
    const fn is_measured(&self) -> bool {
        self.attributes & 1 != 0
    }

    const fn is_added_later(&self) -> bool {
        self.attributes & 2 != 0
    }

    /// The image's bytes of it, one for each of memory, where it is measured; nothing elsewhere.
    fn content<'a>(&self, firmware: &Firmware<'a>) -> Outcome<&'a [u8]> {
        if !self.is_measured() {
            return Ok(&[]);
        }
        let start = self.offset as usize;
        (u64::from(self.length) == self.memory)
            .then(|| firmware.image().get(start..start + self.length as usize))
            .flatten()
            .ok_or_else(broken)
    }
}

fn sections(firmware: &Firmware<'_>) -> Outcome<Vec<Section>> {
    const ENTRY: usize = 32;
    firmware
        .sections(&METADATA, "TDX metadata", b"TDVF", ENTRY)?
        .map(|entry| {
            let section = Section {
                offset: u32_at(entry, 0).ok_or_else(broken)?,
                length: u32_at(entry, 4).ok_or_else(broken)?,
                address: u64_at(entry, 8).ok_or_else(broken)?,
                memory: u64_at(entry, 16).ok_or_else(broken)?,
                attributes: u32_at(entry, 28).ok_or_else(broken)?,
            };
            let whole = section.address.is_multiple_of(PAGE) && section.memory.is_multiple_of(PAGE);
            let end = section.address.checked_add(section.memory);
            if whole && end.is_some() && section.memory <= MOST {
                Ok(section)
            } else {
                Err(broken())
            }
        })
        .collect()
}

fn broken() -> Failure {
    Failure::new("this firmware's TDX metadata is broken")
}

/// The command line as the kernel's EFI stub measures it: UTF-16 with its zero, and what OVMF adds
/// where it hands over an initrd.
fn load_options(command_line: &str) -> [u8; 48] {
    let units = command_line
        .encode_utf16()
        .chain(" initrd=initrd\0".encode_utf16());
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    sha384(&bytes)
}

fn sha384(bytes: &[u8]) -> [u8; 48] {
    Sha384::digest(bytes).into()
}

/// The digest by which UEFI knows a program (Microsoft's "Windows Authenticode Portable Executable
/// Signature Format"): without its checksum and its table of signatures.
fn authenticode(program: &[u8]) -> Outcome<[u8; 48]> {
    const WITH_64_BITS: u16 = 0x20b;
    let none = || Failure::new("this kernel is no program for UEFI: it lacks the EFI stub");
    let at = |place: usize, length: usize| {
        program.get(place..place.checked_add(length)?).map(|bytes| {
            bytes
                .iter()
                .rev()
                .fold(0_usize, |all, byte| (all << 8) | usize::from(*byte))
        })
    };
    let header = at(0x3c, 4).ok_or_else(none)?;
    if program.get(header..header + 4) != Some(b"PE\0\0") {
        return Err(none());
    }
    let optional = header + 24;
    if at(optional, 2) != Some(usize::from(WITH_64_BITS)) {
        return Err(none());
    }
    let (checksum, signatures) = (optional + 64, optional + 112 + 4 * 8);
    let headers = at(optional + 60, 4).ok_or_else(none)?;
    let count = at(header + 6, 2).ok_or_else(none)?;
    let table = optional + at(header + 20, 2).ok_or_else(none)?;
    if at(signatures + 4, 4).ok_or_else(none)? != 0 {
        return Err(Failure::new(
            "this kernel carries a signature; measure the one that was built here",
        ));
    }
    let mut parts = Vec::new();
    for entry in (0..count).map(|number| table + number * 40) {
        let (length, start) = (
            at(entry + 16, 4).ok_or_else(none)?,
            at(entry + 20, 4).ok_or_else(none)?,
        );
        if length > 0 {
            parts.push((start, length));
        }
    }
    parts.sort_unstable();
    let mut all = Sha384::new();
    for (start, end) in [
        (0, checksum),
        (checksum + 4, signatures),
        (signatures + 8, headers),
    ] {
        all.update(program.get(start..end).ok_or_else(none)?);
    }
    let mut hashed = headers;
    for (start, length) in parts {
        let end = start.checked_add(length).ok_or_else(none)?;
        all.update(program.get(start..end).ok_or_else(none)?);
        hashed += length;
    }
    all.update(program.get(hashed..).unwrap_or_default());
    // Signatures would begin at a multiple of eight bytes.
    all.update(vec![0; program.len().next_multiple_of(8) - program.len()]);
    Ok(all.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A firmware of two pages that is measured, and one of memory that is not.
    fn firmware() -> Vec<u8> {
        let mut image = vec![7; 2 * PAGE as usize];
        let mut metadata = b"TDVF".to_vec();
        let numbers = |numbers: &[u32]| -> Vec<u8> {
            numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect()
        };
        metadata.extend(numbers(&[16 + 64, 1, 2]));
        let address = 0xffff_e000;
        metadata.extend(numbers(&[0, 8192, address, 0, 8192, 0, 0, 1]));
        metadata.extend(numbers(&[0, 0, 0x8000, 0, 4096, 0, 3, 0]));
        let start = image.len() - 512;
        image[start..start + metadata.len()].copy_from_slice(&metadata);
        let mut table = Vec::new();
        table.extend(512_u32.to_le_bytes());
        table.extend(22_u16.to_le_bytes());
        table.extend(METADATA);
        table.extend(40_u16.to_le_bytes());
        table.extend(guid(0x96b5_82de, 0x1fb2, 0x45f7, 0xbaea_a366_c55a_082d));
        let end = image.len() - 32;
        image[end - table.len()..end].copy_from_slice(&table);
        image
    }

    #[test]
    fn mrtd_follows_the_operations_of_the_module_in_their_order() {
        let image = firmware();
        let found = mrtd(&Firmware::parse(&image).unwrap()).unwrap();
        let mut all = Sha384::new();
        for page in 0..2 {
            let address = 0xffff_e000 + page * PAGE;
            all.update(block(b"MEM.PAGE.ADD", address));
            for chunk in 0..16 {
                all.update(block(b"MR.EXTEND", address + chunk * 256));
                let start = (page * PAGE + chunk * 256) as usize;
                all.update(&image[start..start + 256]);
            }
        }
        all.update(block(b"MEM.PAGE.ADD", 0x8000));
        assert_eq!(found[..], all.finalize()[..]);
        assert_eq!(
            &block(b"MR.EXTEND", 0x1122)[..24],
            b"MR.EXTEND\0\0\0\0\0\0\0\x22\x11\0\0\0\0\0\0"
        );
    }

    /// The last page, in which the tables are, of Debian's `OVMF.inteltdx.ms.fd` (package ovmf-inteltdx
    /// 2026.08+ds-2; BSD-2-Clause-Patent).
    const DEBIAN_LAST_PAGE: &[u8] = include_bytes!("samples/debian_inteltdx_last_page.bin");

    /// What is expected a program of a few lines computed, which gives for Ubuntu's `OVMF.fd` what TDs
    /// that started with it say in their evidence (docs/enclaves/tdx.md).
    #[test]
    fn mrtd_of_a_published_firmware_s_tables_is_what_another_program_computes() {
        let mut image = vec![0; 0x40_0000 - DEBIAN_LAST_PAGE.len()];
        image.extend_from_slice(DEBIAN_LAST_PAGE);
        let found = mrtd(&Firmware::parse(&image).unwrap()).unwrap();
        assert_eq!(
            hex::encode(found),
            "8fc69205874a5691c8a0959624578bcaa670b0d6dde2f3e2984caf90a6bb8ee2d0cc876aaf522847e8daf5a5955101a1"
        );
    }

    /// Row 32: what Debian's OVMF (2025.02-8+deb13u1) and the images' kernel wrote into the log of a TPM
    /// in software, as QEMU 10.0.2 started them with this command line and the archive `an archive`.
    /// The kernel's is what `authenticode` gives for the published one.
    #[test]
    fn a_firmware_and_the_kernel_measured_what_is_computed() {
        let logged = |text: &str| -> [u8; 48] { hex::decode(text).unwrap().try_into().unwrap() };
        let kernel = logged(
            "e42f8d9c7a18bd37e3949c1a6a42f09e90d3851b0b8c31d1885e42e7d7a39ca6e97f1e160bd67feb94da740ad81421a7",
        );
        assert_eq!(
            started(kernel)[1..],
            [
                "77a0dab2312b4e1e57a84d865a21e5b2ee8d677a21012ada819d0a98988078d3d740f6346bfe0abaa938ca20439a8d71",
                "394341b7182cd227c5c6b07ef8000cdfd86136c4292b8e576573ad7ed9ae41019f5818b4b971c9effc60e1ad9f1289f0",
                "214b0bef1379756011344877743fdc2a5382bac6e70362d624ccf3f654407c1b4badf7d8f9295dd3dabdef65b27677e0",
                "0a2e01c85deae718a530ad8c6d20a84009babe6c8989269e950d8cf440c6e997695e64d455c4174a652cd080f6230b74",
            ]
            .map(logged)
        );
        assert_eq!(
            load_options("console=ttyS0 panic=-1 --host vsock:2:4050 --engine-profile vm"),
            logged(
                "1d7a19817f9df3fc0c25d195760ddc8af84141fcd56e5b0b5ac60c37c775a6fbb8cbe2d45d7dfaeec69a42eabf5a8973"
            )
        );
        assert_eq!(
            sha384(b"an archive"),
            logged(
                "8ff6ee9a1cea1b7e8bf1711e36306e42345b0f406fcb9f35b3dfbc5cf4586dbd620566368c6a0ef441aa3a18f2abbe6f"
            )
        );
    }

    #[test]
    fn metadata_that_points_outside_is_refused_and_not_a_panic() {
        let good = firmware();
        let start = good.len() - 512;
        for at in start..start + 80 {
            for value in [0, 0xff] {
                let mut image = good.clone();
                image[at] = value;
                // Any answer is fine but a panic.
                let _ = mrtd(&Firmware::parse(&image).unwrap());
            }
        }
    }

    #[test]
    fn a_program_s_checksum_and_place_of_signatures_are_no_part_of_its_digest_and_all_else_is() {
        let mut program = vec![0; 0x400];
        program[..2].copy_from_slice(b"MZ");
        program[0x3c] = 0x80;
        program[0x80..0x84].copy_from_slice(b"PE\0\0");
        program[0x86] = 1;
        program[0x94] = 0xf0;
        program[0x98..0x9a].copy_from_slice(&0x20b_u16.to_le_bytes());
        program[0x98 + 60..0x98 + 62].copy_from_slice(&0x200_u16.to_le_bytes());
        let entry = 0x98 + 0xf0;
        program[entry + 16..entry + 18].copy_from_slice(&0x200_u16.to_le_bytes());
        program[entry + 20..entry + 22].copy_from_slice(&0x200_u16.to_le_bytes());
        let digest = authenticode(&program).unwrap();
        for at in 0..program.len() {
            let mut other = program.clone();
            other[at] ^= 1;
            // The checksum, and where signatures would be.
            if (0x98 + 64..0x98 + 68).contains(&at) || (0x98 + 144..0x98 + 148).contains(&at) {
                assert_eq!(authenticode(&other).unwrap(), digest, "byte {at}");
            } else {
                assert!(
                    authenticode(&other).map_or(true, |other| other != digest),
                    "byte {at}"
                );
            }
        }
        assert!(authenticode(&program[..0x300]).is_err());
    }
}
