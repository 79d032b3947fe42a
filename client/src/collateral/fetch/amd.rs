//! AMD's endorsements, by its key distribution service: "Versioned Chip Endorsement Key (VCEK)
//! Certificate and KDS Interface Specification" (57230), chapter 4.
//!
//! The authorities above a chip's certificate are constants of every verifier, so they are not asked
//! for.

use mc2_attestation::{
    Endorsement,
    evidence::{CERTIFICATE_TYPE, REVOCATION_LIST_TYPE, SnpSigner},
    tee::Product,
};

use super::{FetchError, MAX_ANSWER, Sources, revocation_list};
use crate::http::Service;

/// The certificate of the chip, and the list of its line's root.
pub(super) async fn endorsements(
    sources: &Sources,
    signer: &SnpSigner,
) -> Result<Vec<Endorsement>, FetchError> {
    if signer.loaded {
        return Err(FetchError::Loaded);
    }
    let chip = signer.chip_id.ok_or(FetchError::Masked)?;
    let service = sources.service(&sources.amd)?;
    // A report of version 2 does not tell its line; Turin's have never been that old.
    let lines = match signer.product {
        Some(line) => vec![line],
        None => vec![Product::Milan, Product::Genoa],
    };
    let mut unknown = None;
    for line in lines {
        let certificate = match certificate(&service, line, &chip, signer).await {
            Err(FetchError::Service(error)) if error.is_not_found() => {
                unknown = Some(error);
                continue;
            }
            certificate => certificate?,
        };
        let path = format!("/vcek/v1/{}/crl", line.as_str());
        let list = service.get(&path, MAX_ANSWER).await?;
        let list = revocation_list(&format!("{}{path}", sources.amd), &list.body)?;
        return Ok(vec![
            endorsement(CERTIFICATE_TYPE, certificate),
            endorsement(REVOCATION_LIST_TYPE, list),
        ]);
    }
    // There is one line at least, and each of them was unknown.
    Err(unknown.map_or(FetchError::Masked, FetchError::Service))
}

async fn certificate(
    service: &Service,
    line: Product,
    chip: &[u8; 64],
    signer: &SnpSigner,
) -> Result<Vec<u8>, FetchError> {
    let tcb = signer.tcb(line);
    let (id, fmc) = match line {
        Product::Turin => (&chip[..8], format!("fmcSPL={:02}&", tcb.fmc)),
        Product::Milan | Product::Genoa => (&chip[..], String::new()),
    };
    let path = format!(
        "/vcek/v1/{}/{}?{fmc}blSPL={:02}&teeSPL={:02}&snpSPL={:02}&ucodeSPL={:02}",
        line.as_str(),
        hex::encode(id),
        tcb.bootloader,
        tcb.tee,
        tcb.snp,
        tcb.microcode,
    );
    let answer = service.get(&path, MAX_ANSWER).await?;
    Ok(answer.body.to_vec())
}

fn endorsement(media_type: &str, value: Vec<u8>) -> Endorsement {
    Endorsement {
        media_type: media_type.to_owned(),
        value: value.into(),
    }
}
