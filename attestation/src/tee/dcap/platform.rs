//! Which of Intel's collateral a quote is judged by: what Intel's services are asked for it by, and
//! which of what lies about is about it. Nothing here is verified.

use dcap_qvl::{
    config::PckCa,
    configs::RustCryptoConfig,
    intel::{quote_ca_with, quote_fmspc_with},
    quote::Quote,
};
use mc2_protocol::documents::receipt::Endorsement;

use super::collateral::Collateral;
use crate::{tee::Tee, time::UnixSeconds};

/// A kind of Intel's platforms, as its own quotes name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntelPlatform {
    /// SGX or TDX: whose TCB info and quoting enclave.
    pub tee: Tee,
    /// FMSPC: its family, model, stepping, type and the like.
    pub fmspc: [u8; 6],
    /// Which of Intel's authorities issued its certificate: `processor` or `platform`.
    pub authority: &'static str,
}

impl IntelPlatform {
    /// The platform whose certificate a quote has in it.
    ///
    /// # Errors
    /// What of the quote cannot be read.
    pub(crate) fn of(tee: Tee, quote: &[u8]) -> Result<Self, String> {
        let told = |error| format!("{error:#}");
        let quote = Quote::parse(quote).map_err(told)?;
        let fmspc = quote_fmspc_with::<RustCryptoConfig>(&quote).map_err(told)?;
        let authority = match quote_ca_with::<RustCryptoConfig>(&quote).map_err(told)? {
            PckCa::Platform => "platform",
            _ => "processor",
        };
        Ok(Self {
            tee,
            fmspc,
            authority,
        })
    }

    /// When collateral about this platform says it was issued; `None` where it is about another, or
    /// none at all.
    pub(crate) fn issued(&self, endorsement: &Endorsement) -> Option<UnixSeconds> {
        let collateral = Collateral::among(std::slice::from_ref(endorsement)).ok()?;
        let about = (self.tee, self.fmspc);
        (collateral.about()? == about).then(|| collateral.tcb_info().ok().map(|good| good.from))?
    }
}
