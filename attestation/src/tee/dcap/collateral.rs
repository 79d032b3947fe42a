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
    encoding::{JsonError, parse_json},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use x509_cert::{crl::CertificateList, time::Time};

use crate::time::{Interval, UnixSeconds};

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
        let Fields {
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
            root_ca_crl: root_ca_crl.0,
            pck_crl: pck_crl.0,
            tcb_info_issuer_chain,
            tcb_info,
            tcb_info_signature: tcb_info_signature.0,
            qe_identity_issuer_chain,
            qe_identity,
            qe_identity_signature: qe_identity_signature.0,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    pck_crl_issuer_chain: String,
    root_ca_crl: Octets,
    pck_crl: Octets,
    tcb_info_issuer_chain: String,
    tcb_info: String,
    tcb_info_signature: Octets,
    qe_identity_issuer_chain: String,
    qe_identity: String,
    qe_identity_signature: Octets,
    #[serde(default)]
    pck_certificate_chain: Option<String>,
}

/// Bytes as hexadecimal digits.
struct Octets(Vec<u8>);

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map(Self).map_err(D::Error::custom)
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
