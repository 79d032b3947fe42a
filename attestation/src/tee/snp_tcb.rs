//! Versions of SNP firmware and microcode: as reports and people write them, and which reach which.

use mc2_protocol::policy::SnpTcb;

use super::roots::Product;

/// As the eight bytes of a report write them.
pub(super) const fn of_bytes(bytes: [u8; 8], product: Product) -> SnpTcb {
    match product {
        Product::Milan | Product::Genoa => SnpTcb {
            fmc: 0,
            bootloader: bytes[0],
            tee: bytes[1],
            snp: bytes[6],
            microcode: bytes[7],
        },
        Product::Turin => SnpTcb {
            fmc: bytes[0],
            bootloader: bytes[1],
            tee: bytes[2],
            snp: bytes[3],
            microcode: bytes[7],
        },
    }
}

/// Whether no part of `versions` is older than that of `least`.
pub(super) fn reaches(versions: &SnpTcb, least: &SnpTcb) -> bool {
    let least = parts(least);
    parts(versions)
        .iter()
        .zip(least)
        .all(|(part, least)| *part >= least)
}

const fn parts(versions: &SnpTcb) -> [u8; 5] {
    [
        versions.fmc,
        versions.bootloader,
        versions.tee,
        versions.snp,
        versions.microcode,
    ]
}

/// Reads `snp=29,microcode=222`: parts by their names, in any order; one that is not named is 0.
///
/// # Errors
/// [`SnpTcbError`] where it is anything else.
pub fn parse_snp_tcb(text: &str) -> Result<SnpTcb, SnpTcbError> {
    let mut version = SnpTcb::default();
    let mut named = Vec::new();
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or(SnpTcbError)?;
        let place = match name {
            "fmc" => &mut version.fmc,
            "bootloader" => &mut version.bootloader,
            "tee" => &mut version.tee,
            "snp" => &mut version.snp,
            "microcode" => &mut version.microcode,
            _ => return Err(SnpTcbError),
        };
        if named.contains(&name) {
            return Err(SnpTcbError);
        }
        named.push(name);
        *place = value.parse().map_err(|_| SnpTcbError)?;
    }
    Ok(version)
}

/// Text that is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected versions as snp=29,microcode=222: of fmc, bootloader, tee, snp and microcode, each once \
     at most, a number from 0 to 255"
)]
pub struct SnpTcbError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turin_writes_its_versions_in_another_order() {
        let bytes = [1, 2, 3, 4, 0, 0, 0, 8];
        let turin = of_bytes(bytes, Product::Turin);
        assert_eq!(parts(&turin), [1, 2, 3, 4, 8]);
        let milan = of_bytes([1, 2, 0, 0, 0, 0, 7, 8], Product::Milan);
        assert_eq!(parts(&milan), [0, 1, 2, 7, 8]);
    }

    #[test]
    fn versions_are_written_by_their_names() {
        let read = |text: &str| parse_snp_tcb(text).map(|versions| parts(&versions));
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
            assert_eq!(read(bad), Err(SnpTcbError), "{bad}");
        }
    }
}
