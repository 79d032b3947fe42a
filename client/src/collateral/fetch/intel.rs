//! Intel's collateral, by version 4 of the API of its provisioning certification service, which a
//! PCCS has too.

use http::HeaderMap;
use mc2_attestation::{
    Endorsement, Tee,
    evidence::{IntelCollateral, IntelPlatform},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{FetchError, MAX_ANSWER, Sources, revocation_list};
use crate::http::{Service, ServiceUrl};

/// Where the routes begin; addresses of a PCCS are handed about with it.
const SGX: &str = "/sgx/certification/v4";
const TDX: &str = "/tdx/certification/v4";

const TCB_INFO_CHAIN: &str = "tcb-info-issuer-chain";
const IDENTITY_CHAIN: &str = "sgx-enclave-identity-issuer-chain";
const LIST_CHAIN: &str = "sgx-pck-crl-issuer-chain";

/// Everything that a quote of this platform is judged by.
pub(super) async fn collateral(
    sources: &Sources,
    platform: &IntelPlatform,
) -> Result<Endorsement, FetchError> {
    let api = sources.intel.clone().without(SGX).without(TDX);
    let service = sources.service(&api)?;
    let own = match platform.tee {
        Tee::Tdx => TDX,
        _ => SGX,
    };
    let fmspc = hex::encode_upper(platform.fmspc);
    let path = format!("{own}/tcb?fmspc={fmspc}");
    let answer = service.get(&path, MAX_ANSWER).await?;
    let url = format!("{api}{path}");
    let tcb_info_issuer_chain = chain(&url, &answer.headers, TCB_INFO_CHAIN)?;
    let info: TcbInfo<'_> = parsed(&url, &answer.body)?;

    let path = format!("{own}/qe/identity");
    let identity_answer = service.get(&path, MAX_ANSWER).await?;
    let url = format!("{api}{path}");
    let qe_identity_issuer_chain = chain(&url, &identity_answer.headers, IDENTITY_CHAIN)?;
    let identity: Identity<'_> = parsed(&url, &identity_answer.body)?;

    let path = format!("{SGX}/pckcrl?ca={}&encoding=der", platform.authority);
    let list = service.get(&path, MAX_ANSWER).await?;
    let url = format!("{api}{path}");
    Ok(IntelCollateral {
        pck_crl_issuer_chain: chain(&url, &list.headers, LIST_CHAIN)?,
        root_ca_crl: root_list(sources, &api, &service).await?,
        pck_crl: revocation_list(&url, &list.body)?,
        tcb_info_issuer_chain,
        tcb_info: info.tcb_info.get().to_owned(),
        tcb_info_signature: signature(&url, &info.signature)?,
        qe_identity_issuer_chain,
        qe_identity: identity.enclave_identity.get().to_owned(),
        qe_identity_signature: signature(&url, &identity.signature)?,
        pck_certificate_chain: None,
    }
    .into())
}

/// The root's own list: a PCCS has it, Intel's service leaves it to the address in the root's
/// certificate.
async fn root_list(
    sources: &Sources,
    api: &ServiceUrl,
    service: &Service,
) -> Result<Vec<u8>, FetchError> {
    match &sources.intel_root_list {
        Some(url) => {
            let answer = sources.service(url)?.get("", MAX_ANSWER).await?;
            revocation_list(&url.to_string(), &answer.body)
        }
        None => {
            let path = format!("{SGX}/rootcacrl");
            let answer = service.get(&path, MAX_ANSWER).await?;
            revocation_list(&format!("{api}{path}"), &answer.body)
        }
    }
}

#[derive(Deserialize)]
struct TcbInfo<'a> {
    /// Intel signed exactly these bytes.
    #[serde(rename = "tcbInfo", borrow)]
    tcb_info: &'a RawValue,
    signature: String,
}

#[derive(Deserialize)]
struct Identity<'a> {
    /// Intel signed exactly these bytes.
    #[serde(rename = "enclaveIdentity", borrow)]
    enclave_identity: &'a RawValue,
    signature: String,
}

fn parsed<'a, T: Deserialize<'a>>(url: &str, body: &'a [u8]) -> Result<T, FetchError> {
    serde_json::from_slice(body).map_err(|error| FetchError::Answer {
        url: url.to_owned(),
        reason: error.to_string(),
    })
}

fn signature(url: &str, digits: &str) -> Result<Vec<u8>, FetchError> {
    hex::decode(digits).map_err(|_| FetchError::Answer {
        url: url.to_owned(),
        reason: "its signature is not hexadecimal".to_owned(),
    })
}

/// The chain of certificates in a header, PEM whose special characters are spelt `%XX`.
fn chain(url: &str, headers: &HeaderMap, name: &str) -> Result<String, FetchError> {
    let refused = |reason: &str| FetchError::Answer {
        url: url.to_owned(),
        reason: format!("{reason} the header {name}"),
    };
    let value = headers.get(name).ok_or_else(|| refused("it lacks"))?;
    let text = percent_decoded(value.as_bytes());
    let pem = text.filter(|text| text.starts_with("-----BEGIN CERTIFICATE-----"));
    pem.ok_or_else(|| refused("no certificates are in"))
}

fn percent_decoded(text: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            decoded.push(byte);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        decoded.extend(hex::decode(digits).ok()?);
        rest = after;
    }
    String::from_utf8(decoded).ok()
}
