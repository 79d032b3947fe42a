//! The enclave image format of AWS Nitro (version 4, as `aws-nitro-enclaves-image-format` defines
//! it): kernel, command line, words about the image, one archive; and what the hypervisor measures
//! of it.

use serde_json::json;
use sha2::{Digest as _, Sha384};

use crate::digest::extended;

const MAGIC: &[u8; 4] = b".eif";
const VERSION: u16 = 4;
/// What is in the header for sections that are not there, too.
const SECTIONS: usize = 32;
const HEADER: usize = 548;
const SECTION_HEADER: usize = 12;

/// What an enclave of Nitro's is started with.
pub(crate) struct Parts<'a> {
    pub(crate) kernel: &'a [u8],
    pub(crate) command_line: &'a str,
    pub(crate) initramfs: &'a [u8],
}

/// The first three registers of Nitro's security module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Registers {
    /// The whole image.
    pub(crate) pcr0: [u8; 48],
    /// Kernel, command line and first archive: here, too, the whole image.
    pub(crate) pcr1: [u8; 48],
    /// Further archives, of which there are none.
    pub(crate) pcr2: [u8; 48],
}

impl Parts<'_> {
    /// The file's bytes.
    pub(crate) fn image(&self) -> Vec<u8> {
        let words = json!({
            "ImageName": "mc2-runtime",
            "ImageVersion": env!("CARGO_PKG_VERSION"),
            "BuildMetadata": {
                "BuildTime": "1970-01-01T00:00:00Z",
                "BuildTool": "xtask",
                "BuildToolVersion": env!("CARGO_PKG_VERSION"),
                "OperatingSystem": "Linux",
                "KernelVersion": "",
            },
            "DockerInfo": {},
            "CustomMetadata": {},
        })
        .to_string();
        let sections: [(u16, &[u8]); 4] = [
            (1, self.kernel),
            (2, self.command_line.as_bytes()),
            (5, words.as_bytes()),
            (3, self.initramfs),
        ];
        let mut image = header(&sections);
        for (kind, content) in sections {
            image.extend_from_slice(&kind.to_be_bytes());
            image.extend_from_slice(&[0; 2]);
            image.extend_from_slice(&(content.len() as u64).to_be_bytes());
            image.extend_from_slice(content);
        }
        let mut sum = Crc32::default();
        sum.update(&image[..HEADER - 4]);
        sum.update(&image[HEADER..]);
        image[HEADER - 4..HEADER].copy_from_slice(&sum.value().to_be_bytes());
        image
    }

    /// What the hypervisor measures.
    pub(crate) fn registers(&self) -> Registers {
        let image = Sha384::new()
            .chain_update(self.kernel)
            .chain_update(self.command_line)
            .chain_update(self.initramfs);
        let image = extended([image.finalize().into()]);
        Registers {
            pcr0: image,
            pcr1: image,
            pcr2: extended([Sha384::digest([]).into()]),
        }
    }
}

fn header(sections: &[(u16, &[u8])]) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_be_bytes());
    header.extend_from_slice(&[0; 2]);
    // Memory and processors where nothing else is said when it is started.
    header.extend_from_slice(&(4_u64 << 30).to_be_bytes());
    header.extend_from_slice(&2_u64.to_be_bytes());
    header.extend_from_slice(&[0; 2]);
    header.extend_from_slice(&(sections.len() as u16).to_be_bytes());
    let mut offset = HEADER;
    let mut offsets = [0_u64; SECTIONS];
    let mut sizes = [0_u64; SECTIONS];
    for ((_, content), (at, size)) in sections.iter().zip(offsets.iter_mut().zip(&mut sizes)) {
        (*at, *size) = (offset as u64, content.len() as u64);
        offset += SECTION_HEADER + content.len();
    }
    for number in offsets.into_iter().chain(sizes) {
        header.extend_from_slice(&number.to_be_bytes());
    }
    header.resize(HEADER, 0);
    header
}

/// CRC-32 as in Ethernet and zip.
struct Crc32(u32);

impl Default for Crc32 {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Crc32 {
    fn update(&mut self, bytes: &[u8]) {
        const POLYNOMIAL: u32 = 0xedb8_8320;
        for byte in bytes {
            self.0 ^= u32::from(*byte);
            for _ in 0..8 {
                self.0 = (self.0 >> 1) ^ (POLYNOMIAL * (self.0 & 1));
            }
        }
    }

    const fn value(&self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: Parts<'static> = Parts {
        kernel: b"kernel",
        command_line: "words",
        initramfs: b"archive",
    };

    #[test]
    fn the_checksum_is_the_one_that_everybody_has() {
        let mut sum = Crc32::default();
        sum.update(b"12345");
        sum.update(b"6789");
        assert_eq!(sum.value(), 0xcbf4_3926);
    }

    #[test]
    fn each_section_lies_where_the_header_says() {
        let image = PARTS.image();
        let number = |at: usize| u64::from_be_bytes(image[at..at + 8].try_into().unwrap()) as usize;
        assert_eq!(&image[..6], b".eif\0\x04");
        assert_eq!(&image[26..28], [0, 4], "sections");
        for (index, (kind, content)) in [(1, "kernel"), (2, "words"), (3, "archive")]
            .into_iter()
            .zip([0, 1, 3])
            .map(|(section, index)| (index, section))
        {
            let (offset, size) = (number(28 + 8 * index), number(284 + 8 * index));
            assert_eq!(&image[offset..offset + 2], [0, kind], "{content}");
            assert_eq!(number(offset + 4), size);
            assert_eq!(&image[offset + 12..offset + 12 + size], content.as_bytes());
        }
    }

    /// Every image of one archive has this PCR2, as `nitro-cli describe-eif` prints it.
    #[test]
    fn registers_are_those_that_nitro_s_own_tool_prints() {
        let registers = PARTS.registers();
        assert_eq!(
            hex::encode(registers.pcr2),
            "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c10edb30948c90ba67310f7b964fc500a"
        );
        assert_eq!(registers.pcr0, registers.pcr1);
        let other = Parts {
            command_line: "other",
            ..PARTS
        };
        assert_ne!(other.registers().pcr0, registers.pcr0);
    }
}
