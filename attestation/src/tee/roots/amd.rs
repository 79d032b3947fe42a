//! AMD's authorities, one set for each product line: ARK (the root), ASK (signs the chips' keys)
//! and ASVK (signs the keys loaded for an operator).
//!
//! Origin: AMD's key distribution service, `https://kdsintf.amd.com/vcek/v1/PRODUCT/cert_chain`
//! (ASK, then ARK) and `…/vlek/v1/PRODUCT/cert_chain` (ASVK, then ARK), as the Confidential
//! Containers project's Trustee keeps them too. SHA-256 of each file stands beside it; a test
//! computes it again.

/// A product line of AMD's, which is also a line of authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004, 97x4 and 8004: Genoa, Bergamo, Siena.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl Product {
    /// AMD's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The line of a processor of this family and model, extended ones counted in.
    pub(crate) const fn of_cpu(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }

    /// Whether a chip's certificate of this line may call its product `name`, such as `Milan-B0`.
    pub(crate) fn is_named(self, name: &str) -> bool {
        let line = name.split('-').next().unwrap_or(name);
        match self {
            Self::Genoa => matches!(line, "Genoa" | "Bergamo" | "Siena"),
            _ => line == self.as_str(),
        }
    }
}

/// The authorities of one product line, DER.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// Whose.
    pub product: Product,
    /// The root: signs itself, the two others, and the list of revoked ones.
    pub ark: Vec<u8>,
    /// Signs chips' keys (VCEK).
    pub ask: Vec<u8>,
    /// Signs operators' keys (VLEK).
    pub asvk: Vec<u8>,
}

/// AMD's own.
pub(super) fn amd() -> Vec<Authorities> {
    let authorities = |product, [ark, ask, asvk]: [&[u8]; 3]| Authorities {
        product,
        ark: ark.to_vec(),
        ask: ask.to_vec(),
        asvk: asvk.to_vec(),
    };
    vec![
        authorities(Product::Milan, [ARK_MILAN, ASK_MILAN, ASVK_MILAN]),
        authorities(Product::Genoa, [ARK_GENOA, ASK_GENOA, ASVK_GENOA]),
        authorities(Product::Turin, [ARK_TURIN, ASK_TURIN, ASVK_TURIN]),
    ]
}

/// SHA-256 69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd
const ARK_MILAN: &[u8] = include_bytes!("der/ark-milan.der");
/// SHA-256 67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b
const ASK_MILAN: &[u8] = include_bytes!("der/ask-milan.der");
/// SHA-256 c5e081f59b7efab1fe2f8b505e159704e72f29cab7ef7cf628a05a42439082f5
const ASVK_MILAN: &[u8] = include_bytes!("der/asvk-milan.der");
/// SHA-256 4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1
const ARK_GENOA: &[u8] = include_bytes!("der/ark-genoa.der");
/// SHA-256 5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521
const ASK_GENOA: &[u8] = include_bytes!("der/ask-genoa.der");
/// SHA-256 197e610743a917d6b9bb982a5a9226ccc0a15b611be0619e626aca9151457372
const ASVK_GENOA: &[u8] = include_bytes!("der/asvk-genoa.der");
/// SHA-256 1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a
const ARK_TURIN: &[u8] = include_bytes!("der/ark-turin.der");
/// SHA-256 5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185
const ASK_TURIN: &[u8] = include_bytes!("der/ask-turin.der");
/// SHA-256 104e10a8bd060a3c20a434261a57d0588fd65a88915b4f65b08bdecaf8df1a3c
const ASVK_TURIN: &[u8] = include_bytes!("der/asvk-turin.der");

#[cfg(test)]
mod tests {
    use mc2_protocol::Digest;

    use super::*;
    use crate::x509::Certificate;

    const DIGESTS: [&str; 9] = [
        "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
        "67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b",
        "c5e081f59b7efab1fe2f8b505e159704e72f29cab7ef7cf628a05a42439082f5",
        "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
        "5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521",
        "197e610743a917d6b9bb982a5a9226ccc0a15b611be0619e626aca9151457372",
        "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
        "5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185",
        "104e10a8bd060a3c20a434261a57d0588fd65a88915b4f65b08bdecaf8df1a3c",
    ];

    #[test]
    fn the_authorities_are_the_ones_whose_digests_are_written_here() {
        let found: Vec<String> = amd()
            .iter()
            .flat_map(|line| [&line.ark, &line.ask, &line.asvk])
            .map(|der| hex::encode(Digest::of(der).as_bytes()))
            .collect();
        assert_eq!(found, DIGESTS);
    }

    #[test]
    fn each_line_hangs_on_its_own_root() {
        for line in amd() {
            let read = |der: &[u8]| Certificate::parse(der).unwrap();
            let ark = read(&line.ark);
            ark.issued_by(&ark).unwrap();
            for authority in [&line.ask, &line.asvk] {
                read(authority).issued_by(&ark).unwrap();
                assert!(read(authority).is_authority());
            }
            for other in amd().iter().filter(|other| other.product != line.product) {
                assert!(read(&line.ask).issued_by(&read(&other.ark)).is_err());
            }
        }
    }
}
