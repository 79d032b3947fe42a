//! Intel's collateral as it travels: one endorsement, a JSON object with the fields of Intel's own
//! structure (`sgx_ql_qve_collateral_t`), which PCCS clients print.
//!
//! Only Intel's signatures inside count; nothing that is read here is believed before the library
//! has verified them.

use std::str::FromStr;

use dcap_qvl::QuoteCollateralV3;
use der::{DateTime, Decode};
use mc2_protocol::{
    documents::receipt::{Endorsement, MAX_EVIDENCE_LEN},
    encoding::{JsonError, parse_json, to_json},
};
use serde::{Deserialize, Serialize};
use x509_cert::{crl::CertificateList, time::Time};

use crate::{
    tee::Tee,
    time::{Interval, UnixSeconds},
};

/// The media type of Intel's collateral for one platform.
pub const MEDIA_TYPE: &str = "application/vnd.mc2.dcap-collateral.v1+json";

/// Intel's collateral for one platform, not yet verified.
pub(super) struct Collateral(QuoteCollateralV3);

impl Collateral {
    /// The one item of Intel's among the endorsements.
    pub(super) fn among(endorsements: &[Endorsement]) -> Result<Self, CollateralError> {
        let mut ours = endorsements
            .iter()
            .filter(|item| item.media_type == MEDIA_TYPE);
        let item = ours.next().ok_or(CollateralError::Missing)?;
        if ours.next().is_some() {
            return Err(CollateralError::Several);
        }
        let IntelCollateral {
            pck_crl_issuer_chain,
            root_ca_crl,
            pck_crl,
            tcb_info_issuer_chain,
            tcb_info,
            tcb_info_signature,
            qe_identity_issuer_chain,
            qe_identity,
            qe_identity_signature,
            pck_certificate_chain,
        } = parse_json(
            "Intel's collateral",
            item.value.as_slice(),
            MAX_EVIDENCE_LEN,
        )?;
        Ok(Self(QuoteCollateralV3 {
            pck_crl_issuer_chain,
            root_ca_crl,
            pck_crl,
            tcb_info_issuer_chain,
            tcb_info,
            tcb_info_signature,
            qe_identity_issuer_chain,
            qe_identity,
            qe_identity_signature,
            pck_certificate_chain,
        }))
    }

    /// When both revocation lists are good; each must say until when it is.
    pub(super) fn lists(&self) -> Result<Interval, String> {
        let root = list("of the root", &self.0.root_ca_crl)?;
        Ok(root.and(list("of platforms' certificates", &self.0.pck_crl)?))
    }

    /// When the TCB info is good.
    pub(super) fn tcb_info(&self) -> Result<Interval, String> {
        Ok(Dated::parse("TCB info", &self.0.tcb_info)?.good)
    }

    /// When the quoting enclave's identity is good.
    pub(super) fn qe_identity(&self) -> Result<Interval, String> {
        Ok(Dated::parse("quoting enclave's identity", &self.0.qe_identity)?.good)
    }

    /// The lesser of the two numbers of Intel's assessments.
    pub(super) fn tcb_evaluation(&self) -> Result<u32, String> {
        let info = Dated::parse("TCB info", &self.0.tcb_info)?;
        let identity = Dated::parse("quoting enclave's identity", &self.0.qe_identity)?;
        Ok(info.evaluation.min(identity.evaluation))
    }

    /// When what is dated was issued.
    pub(super) fn issued(&self) -> Result<Issued, String> {
        Ok(Issued {
            root_list: list("of the root", &self.0.root_ca_crl)?.from,
            platform_list: list("of platforms' certificates", &self.0.pck_crl)?.from,
            lists: self.lists()?,
            tcb_info: Dated::parse("TCB info", &self.0.tcb_info)?,
            qe_identity: Dated::parse("quoting enclave's identity", &self.0.qe_identity)?,
        })
    }

    /// The kind of TEE and the platforms (FMSPC) that the TCB info says it is about.
    pub(super) fn about(&self) -> Option<(Tee, [u8; 6])> {
        #[derive(Deserialize)]
        struct About {
            id: String,
            fmspc: String,
        }
        let About { id, fmspc } = serde_json::from_str(&self.0.tcb_info).ok()?;
        let tee = match id.as_str() {
            "SGX" => Tee::Sgx,
            "TDX" => Tee::Tdx,
            _ => return None,
        };
        let fmspc = hex::decode(fmspc).ok()?.try_into().ok()?;
        Some((tee, fmspc))
    }

    /// As the library takes it.
    pub(super) fn into_inner(self) -> QuoteCollateralV3 {
        self.0
    }
}

/// When parts of the collateral were issued.
pub(super) struct Issued {
    /// When both revocation lists are good.
    pub(super) lists: Interval,
    pub(super) root_list: UnixSeconds,
    pub(super) platform_list: UnixSeconds,
    pub(super) tcb_info: Dated,
    pub(super) qe_identity: Dated,
}

/// Intel's collateral for one platform, as its services gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntelCollateral {
    /// Who issued the list of platforms' certificates, PEM, the root last.
    pub pck_crl_issuer_chain: String,
    /// The root's list, DER.
    #[serde(with = "octets")]
    pub root_ca_crl: Vec<u8>,
    /// The list of platforms' certificates, DER.
    #[serde(with = "octets")]
    pub pck_crl: Vec<u8>,
    /// Who signed the TCB info, PEM, the root last.
    pub tcb_info_issuer_chain: String,
    /// The TCB info, exactly as it was signed.
    pub tcb_info: String,
    /// Its signature, r and s.
    #[serde(with = "octets")]
    pub tcb_info_signature: Vec<u8>,
    /// Who signed the quoting enclave's identity, PEM, the root last.
    pub qe_identity_issuer_chain: String,
    /// The identity, exactly as it was signed.
    pub qe_identity: String,
    /// Its signature, r and s.
    #[serde(with = "octets")]
    pub qe_identity_signature: Vec<u8>,
    /// The platform's certificate and its issuers, PEM, where the quote does not have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pck_certificate_chain: Option<String>,
}

impl From<IntelCollateral> for Endorsement {
    fn from(collateral: IntelCollateral) -> Self {
        Self {
            media_type: MEDIA_TYPE.to_owned(),
            value: to_json(&collateral).into(),
        }
    }
}

/// Bytes as hexadecimal digits.
mod octets {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map_err(D::Error::custom)
    }
}

/// What TCB info and identity have in common.
pub(super) struct Dated {
    pub(super) good: Interval,
    pub(super) evaluation: u32,
}

impl Dated {
    fn parse(what: &str, text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Signed {
            issue_date: String,
            next_update: String,
            tcb_evaluation_data_number: u32,
        }
        let signed: Signed = serde_json::from_str(text)
            .map_err(|error| format!("a {what} that cannot be read: {error}"))?;
        let seconds = |text: &str| {
            DateTime::from_str(text)
                .map(|date| UnixSeconds(date.unix_duration().as_secs()))
                .map_err(|_| format!("a {what} dated {text:?}"))
        };
        Ok(Self {
            good: Interval::new(seconds(&signed.issue_date)?, seconds(&signed.next_update)?),
            evaluation: signed.tcb_evaluation_data_number,
        })
    }
}

/// When a revocation list is good: before the second by which the next one is there.
fn list(what: &str, der: &[u8]) -> Result<Interval, String> {
    let list = <CertificateList>::from_der(der)
        .map_err(|error| format!("a list {what} that cannot be read: {error}"))?;
    let seconds = |time: Time| UnixSeconds(time.to_unix_duration().as_secs());
    let Some(next_update) = list.tbs_cert_list.next_update else {
        return Err(format!(
            "a list {what} that does not say until when it is good"
        ));
    };
    Ok(Interval::new(
        seconds(list.tbs_cert_list.this_update),
        UnixSeconds(seconds(next_update).0.saturating_sub(1)),
    ))
}

/// Why there is no collateral to verify with.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollateralError {
    /// None of that type.
    #[error("none: no endorsement has the type {MEDIA_TYPE}")]
    Missing,
    /// More than one.
    #[error("several: which of them is meant, nothing says")]
    Several,
    /// Not as it should be.
    #[error(transparent)]
    Json(#[from] JsonError),
}
