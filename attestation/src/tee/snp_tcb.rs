//! Versions of SNP firmware and microcode.

use std::{cmp::Ordering, fmt};

use super::roots::Product;

/// The security versions of a platform's firmware and microcode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcbVersion {
    /// The boot loader of Turin's first stage; zero on the lines before.
    pub fmc: u8,
    /// The secure processor's boot loader.
    pub bootloader: u8,
    /// Its operating system.
    pub tee: u8,
    /// The SNP firmware.
    pub snp: u8,
    /// The least of the cores' microcode patch levels.
    pub microcode: u8,
}

impl TcbVersion {
    /// As the eight bytes of a report write it.
    pub(super) const fn from_bytes(bytes: [u8; 8], product: Product) -> Self {
        match product {
            Product::Milan | Product::Genoa => Self {
                fmc: 0,
                bootloader: bytes[0],
                tee: bytes[1],
                snp: bytes[6],
                microcode: bytes[7],
            },
            Product::Turin => Self {
                fmc: bytes[0],
                bootloader: bytes[1],
                tee: bytes[2],
                snp: bytes[3],
                microcode: bytes[7],
            },
        }
    }

    /// Whether no part of it is older than that of `least`.
    pub(super) fn reaches(&self, least: &Self) -> bool {
        self.parts()
            .iter()
            .zip(least.parts())
            .all(|(part, least)| part.cmp(&least) != Ordering::Less)
    }

    const fn parts(&self) -> [u8; 5] {
        [
            self.fmc,
            self.bootloader,
            self.tee,
            self.snp,
            self.microcode,
        ]
    }
}

impl fmt::Display for TcbVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [fmc, bootloader, tee, snp, microcode] = self.parts();
        if fmc != 0 {
            write!(f, "FMC {fmc}, ")?;
        }
        write!(
            f,
            "boot loader {bootloader}, TEE {tee}, SNP {snp}, microcode {microcode}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turin_writes_its_versions_in_another_order() {
        let bytes = [1, 2, 3, 4, 0, 0, 0, 8];
        let turin = TcbVersion::from_bytes(bytes, Product::Turin);
        assert_eq!(turin.parts(), [1, 2, 3, 4, 8]);
        let milan = TcbVersion::from_bytes([1, 2, 0, 0, 0, 0, 7, 8], Product::Milan);
        assert_eq!(milan.parts(), [0, 1, 2, 7, 8]);
    }
}
