//! Forges SEV-SNP: a report about anything, signed by a chip of the forger's own.

use super::{
    Forged, HOLDS, NOW, der,
    pki::{Certificate, Key, RevocationList},
};
use crate::{
    Evidence, Tee,
    tee::{self, Authorities, Product, Roots},
    time::Interval,
};

const ARK_SERIAL: u8 = 1;
const ASK_SERIAL: u8 = 2;
const ASVK_SERIAL: u8 = 3;

/// A forged report and all around it. Change what you want, then [`Snp::sign`].
#[derive(Clone)]
pub struct Snp {
    /// The line whose authorities sign.
    pub product: Product,
    /// Version of the report.
    pub version: u32,
    /// Guest policy.
    pub policy: u64,
    /// Privilege level.
    pub vmpl: u32,
    /// Platform info.
    pub platform_info: u64,
    /// Whether the signer is a chip, or an operator of this name.
    pub operator: Option<String>,
    /// What the report says of its signer.
    pub key_info: u32,
    /// Launch digest.
    pub measurement: [u8; 48],
    /// Host data.
    pub host_data: [u8; 32],
    /// Chip id in the report.
    pub chip_id: [u8; 64],
    /// Chip id in the certificate.
    pub certified_chip_id: [u8; 64],
    /// Name of the product in the certificate.
    pub product_name: String,
    /// Family, model and stepping.
    pub cpu: [u8; 3],
    /// The TCB that runs.
    pub current_tcb: [u8; 8],
    /// The TCB that was committed.
    pub committed_tcb: [u8; 8],
    /// The TCB that is reported.
    pub reported_tcb: [u8; 8],
    /// The TCB at launch.
    pub launch_tcb: [u8; 8],
    /// The TCB in the certificate: FMC, boot loader, TEE, SNP, microcode.
    pub certified_tcb: [u8; 5],
    /// When the signer's certificate counts.
    pub holds: Interval,
    /// The revocation list, where there is one.
    pub revocation_list: Option<RevocationList>,
}

impl Snp {
    /// A Genoa chip on which all is well, as far as anybody can tell.
    pub fn genoa() -> Self {
        let tcb = [10, 0, 0, 0, 0, 0, 0x1b, 0x56];
        Self {
            product: Product::Genoa,
            version: 5,
            policy: 0x3_0000,
            vmpl: 0,
            platform_info: 0x25,
            operator: None,
            key_info: 0,
            measurement: [0x5a; 48],
            host_data: [0; 32],
            chip_id: [0xc1; 64],
            certified_chip_id: [0xc1; 64],
            product_name: "Genoa-B1".to_owned(),
            cpu: [0x19, 0x11, 0x01],
            current_tcb: tcb,
            committed_tcb: tcb,
            reported_tcb: tcb,
            launch_tcb: tcb,
            certified_tcb: [0, 10, 0, 0x1b, 0x56],
            holds: HOLDS,
            revocation_list: Some(RevocationList {
                from: NOW,
                until: Some(crate::UnixSeconds(NOW.0 + 30 * 86_400)),
                number: 1,
                revoked: Vec::new(),
            }),
        }
    }

    /// A Milan chip on which all is well, as far as anybody can tell.
    pub fn milan() -> Self {
        let tcb = [4, 0, 0, 0, 0, 0, 0x1d, 0xde];
        Self {
            product: Product::Milan,
            version: 3,
            product_name: "Milan-B0".to_owned(),
            cpu: [0x19, 0x01, 0x01],
            current_tcb: tcb,
            committed_tcb: tcb,
            reported_tcb: tcb,
            launch_tcb: tcb,
            certified_tcb: [0, 4, 0, 0x1d, 0xde],
            ..Self::genoa()
        }
    }

    /// A Turin chip, whose ids are short and whose versions stand in another order.
    pub fn turin() -> Self {
        let tcb = [1, 2, 0, 4, 0, 0, 0, 0x51];
        let mut chip_id = [0; 64];
        chip_id[..8].fill(0xc1);
        Self {
            product: Product::Turin,
            product_name: "Turin-C1".to_owned(),
            cpu: [0x1a, 0x02, 0x01],
            chip_id,
            certified_chip_id: chip_id,
            current_tcb: tcb,
            committed_tcb: tcb,
            reported_tcb: tcb,
            launch_tcb: tcb,
            certified_tcb: [1, 2, 0, 4, 0x51],
            ..Self::genoa()
        }
    }

    /// The same chip under a key that was loaded for an operator, with its chip id masked.
    #[must_use]
    pub fn with_vlek(mut self, operator: &str) -> Self {
        self.operator = Some(operator.to_owned());
        self.key_info = 1 << 2;
        self.chip_id = [0; 64];
        self.product_name = self.product.as_str().to_owned();
        self
    }

    /// Roots that believe the forger.
    pub fn roots() -> Roots {
        let lines = [Product::Milan, Product::Genoa, Product::Turin];
        Roots::default().with_amd(lines.map(authorities).to_vec())
    }

    /// Evidence over `report_data`, and what AMD would say of it.
    pub fn sign(&self, report_data: &[u8; 64]) -> Forged {
        let mut endorsements = vec![super::endorsement(
            "application/pkix-cert",
            self.certificate(),
        )];
        if let Some(list) = &self.revocation_list {
            let der = list.issue(&ark_name(self.product), &Key::rsa(0));
            endorsements.push(super::endorsement("application/pkix-crl", der));
        }
        Forged {
            evidence: Evidence {
                media_type: tee::media_type(Tee::SevSnp).to_owned(),
                value: self.report(report_data).into(),
            },
            endorsements,
        }
    }

    fn report(&self, report_data: &[u8; 64]) -> Vec<u8> {
        let mut report = vec![0; 1184];
        let mut put = |at: usize, bytes: &[u8]| report[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x00, &self.version.to_le_bytes());
        put(0x08, &self.policy.to_le_bytes());
        put(0x30, &self.vmpl.to_le_bytes());
        put(0x34, &1_u32.to_le_bytes());
        put(0x38, &self.current_tcb);
        put(0x40, &self.platform_info.to_le_bytes());
        put(0x48, &self.key_info.to_le_bytes());
        put(0x50, report_data);
        put(0x90, &self.measurement);
        put(0xc0, &self.host_data);
        put(0x160, &[0xff; 32]);
        put(0x180, &self.reported_tcb);
        if self.version >= 3 {
            put(0x188, &self.cpu);
        }
        put(0x1a0, &self.chip_id);
        put(0x1e0, &self.committed_tcb);
        put(0x1f0, &self.launch_tcb);
        let mut signature = signer().sign_p384(&report[..0x2a0]);
        signature[..48].reverse();
        signature[48..].reverse();
        report[0x2a0..0x2a0 + 48].copy_from_slice(&signature[..48]);
        report[0x2a0 + 72..0x2a0 + 120].copy_from_slice(&signature[48..]);
        report
    }

    fn certificate(&self) -> Vec<u8> {
        let amd = |arcs: &[u64]| [&[1, 3, 6, 1, 4, 1, 3704, 1], arcs].concat();
        let [fmc, bootloader, tee, snp, microcode] = self.certified_tcb.map(|n| der::number(&[n]));
        let text = |text: &str| der::element(0x16, text.as_bytes());
        let mut extensions = vec![
            (amd(&[2]), text(&self.product_name)),
            (amd(&[3, 1]), bootloader),
            (amd(&[3, 2]), tee),
            (amd(&[3, 3]), snp),
            (amd(&[3, 8]), microcode),
        ];
        if self.product == Product::Turin {
            extensions.push((amd(&[3, 9]), fmc));
        }
        let (issuer, key) = match &self.operator {
            Some(operator) => {
                extensions.push((amd(&[5]), text(&format!("CN={operator}"))));
                (asvk_name(self.product), Key::rsa(2))
            }
            None => {
                let len = match self.product {
                    Product::Turin => 8,
                    Product::Milan | Product::Genoa => 64,
                };
                extensions.push((amd(&[4]), self.certified_chip_id[..len].to_vec()));
                (ask_name(self.product), Key::rsa(1))
            }
        };
        Certificate {
            subject: "SEV-VEK".to_owned(),
            serial: vec![0],
            holds: self.holds,
            authority: None,
            extensions,
        }
        .issue(&signer(), &issuer, &key)
    }
}

/// The number of the authority that signs chips' keys, for a list that revokes it.
pub fn ask_serial() -> Vec<u8> {
    vec![ASK_SERIAL]
}

/// The number of the root itself, likewise.
pub fn ark_serial() -> Vec<u8> {
    vec![ARK_SERIAL]
}

fn signer() -> Key {
    Key::p384(0x51)
}

fn authorities(product: Product) -> Authorities {
    let root = Key::rsa(0);
    let issue = |subject: String, serial: u8, key: &Key| {
        Certificate {
            subject,
            serial: vec![serial],
            holds: HOLDS,
            authority: Some(None),
            extensions: Vec::new(),
        }
        .issue(key, &ark_name(product), &root)
    };
    Authorities {
        product,
        ark: issue(ark_name(product), ARK_SERIAL, &root),
        ask: issue(ask_name(product), ASK_SERIAL, &Key::rsa(1)),
        asvk: issue(asvk_name(product), ASVK_SERIAL, &Key::rsa(2)),
    }
}

fn ark_name(product: Product) -> String {
    format!("Forged ARK-{}", product.as_str())
}

fn ask_name(product: Product) -> String {
    format!("Forged SEV-{}", product.as_str())
}

fn asvk_name(product: Product) -> String {
    format!("Forged SEV-VLEK-{}", product.as_str())
}
