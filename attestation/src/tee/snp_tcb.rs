//! Versions of SNP firmware and microcode.

use std::{cmp::Ordering, fmt, str::FromStr};

use mc2_protocol::policy::SnpTcb;

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

/// `snp=29,microcode=222`: parts by their names, in any order; one that is not named is 0.
impl FromStr for TcbVersion {
    type Err = TcbVersionError;

    fn from_str(text: &str) -> Result<Self, TcbVersionError> {
        let mut version = Self::default();
        let mut named = Vec::new();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or(TcbVersionError)?;
            let place = match name {
                "fmc" => &mut version.fmc,
                "bootloader" => &mut version.bootloader,
                "tee" => &mut version.tee,
                "snp" => &mut version.snp,
                "microcode" => &mut version.microcode,
                _ => return Err(TcbVersionError),
            };
            if named.contains(&name) {
                return Err(TcbVersionError);
            }
            named.push(name);
            *place = value.parse().map_err(|_| TcbVersionError)?;
        }
        Ok(version)
    }
}

/// Text that is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected versions as snp=29,microcode=222: of fmc, bootloader, tee, snp and microcode, each once \
     at most, a number from 0 to 255"
)]
pub struct TcbVersionError;

impl From<SnpTcb> for TcbVersion {
    fn from(policy: SnpTcb) -> Self {
        let SnpTcb {
            fmc,
            bootloader,
            tee,
            snp,
            microcode,
        } = policy;
        Self {
            fmc,
            bootloader,
            tee,
            snp,
            microcode,
        }
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

    #[test]
    fn versions_are_written_by_their_names() {
        let read = |text: &str| text.parse::<TcbVersion>().map(|version| version.parts());
        assert_eq!(read("snp=29,microcode=222"), Ok([0, 0, 0, 29, 222]));
        assert_eq!(
            read("microcode=3,tee=2,fmc=1,bootloader=9"),
            Ok([1, 9, 2, 0, 3])
        );
        for bad in [
            "",
            "snp",
            "snp=",
            "snp=256",
            "snp=-1",
            "snp=1,snp=2",
            "ucode=1",
            "snp=1,",
        ] {
            assert_eq!(read(bad), Err(TcbVersionError), "{bad}");
        }
    }
}
