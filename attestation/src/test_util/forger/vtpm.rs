//! Forges an Azure vTPM: a quote by a key that a forged SNP report commits to.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mc2_protocol::{
    Digest,
    encoding::{Base64, Hex, to_json},
};
use serde_json::json;

use super::{Forged, Snp, pki::Key};
use crate::{
    Evidence, Tee,
    tee::{self, Roots},
};

/// A forged quote and all around it. Change what you want, then [`Vtpm::sign`].
#[derive(Clone)]
pub struct Vtpm {
    /// The report beneath.
    pub snp: Snp,
    /// The first four bytes of what is signed.
    pub magic: u32,
    /// What kind of thing is signed.
    pub kind: u16,
    /// What the quote is over: the bank, and which PCRs of it.
    pub selection: (u16, Vec<u8>),
    /// What the PCRs hold.
    pub pcrs: Vec<[u8; 32]>,
    /// What the evidence says they hold, where that is another thing.
    pub claimed_pcrs: Option<Vec<[u8; 32]>>,
    /// The names of the keys in the paravisor's statement.
    pub keys: Vec<&'static str>,
    /// Whether the quote is signed by a key that the statement does not name.
    pub other_key: bool,
    /// The last byte of the report's data, which is zero.
    pub last_byte: u8,
}

impl Vtpm {
    /// A quote on which all is well.
    pub fn genuine() -> Self {
        Self {
            snp: Snp::milan(),
            magic: 0xff54_4347,
            kind: 0x8018,
            selection: (0x000b, vec![0xff; 3]),
            pcrs: (1..=24).map(|byte| [byte; 32]).collect(),
            claimed_pcrs: None,
            keys: vec!["HCLAkPub", "HCLEkPub"],
            other_key: false,
            last_byte: 0,
        }
    }

    /// Roots that believe the forger.
    pub fn roots() -> Roots {
        Snp::roots()
    }

    /// Evidence over `report_data`, as our runtime asks for it, and what AMD would say of it.
    pub fn sign(&self, report_data: &[u8; 64]) -> Forged {
        let (modulus, exponent) = Key::rsa(0).rsa_numbers();
        let key = |name: &&str| {
            json!({
                "kid": name,
                "key_ops": ["sign"],
                "kty": "RSA",
                "n": URL_SAFE_NO_PAD.encode(&modulus),
                "e": URL_SAFE_NO_PAD.encode(&exponent),
            })
        };
        let keys: Vec<serde_json::Value> = self.keys.iter().map(key).collect();
        let statement = to_json(&json!({ "keys": keys, "user-data": "00" }));
        let mut committed = [0; 64];
        committed[..32].copy_from_slice(Digest::of(&statement).as_bytes());
        committed[63] = self.last_byte;
        let report = self.snp.sign(&committed);
        let quote = self.quote(Digest::of(report_data).as_bytes());
        let signer = Key::rsa(usize::from(self.other_key));
        let pcrs = self.claimed_pcrs.as_ref().unwrap_or(&self.pcrs);
        let pcrs: Vec<Hex<32>> = pcrs.iter().copied().map(Hex).collect();
        let evidence = json!({
            "version": 1,
            "beneath": "sev-snp",
            "report": report.evidence.value,
            "runtime_data": Base64(statement),
            "quote": Base64(quote.clone()),
            "signature": Base64(signer.sign_rsassa(&quote)),
            "pcrs": pcrs,
        });
        Forged {
            evidence: Evidence {
                media_type: tee::media_type(Tee::AzureVtpm).to_owned(),
                value: to_json(&evidence).into(),
            },
            endorsements: report.endorsements,
        }
    }

    /// TPMS_ATTEST over these bytes of qualifying data.
    pub fn quote(&self, extra_data: &[u8]) -> Vec<u8> {
        let sized = |bytes: &[u8]| {
            let len = u16::try_from(bytes.len()).unwrap_or_default();
            [&len.to_be_bytes(), bytes].concat()
        };
        let (bank, selected) = &self.selection;
        let len = u8::try_from(selected.len()).unwrap_or_default();
        [
            self.magic.to_be_bytes().to_vec(),
            self.kind.to_be_bytes().to_vec(),
            sized(&[0; 34]),
            sized(extra_data),
            vec![0; 17 + 8],
            1_u32.to_be_bytes().to_vec(),
            bank.to_be_bytes().to_vec(),
            [&[len], selected.as_slice()].concat(),
            sized(Digest::of(&self.pcrs.concat()).as_bytes()),
        ]
        .concat()
    }
}
