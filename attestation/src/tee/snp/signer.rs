//! Which of AMD's certificates a report is judged by: what AMD's service is asked for it by, and
//! which of what lies about is it. Nothing here is verified.

use mc2_protocol::policy::SnpTcb;

use super::{
    report::{Report, SigningKey, TcbBytes},
    vek,
};
use crate::{tee::roots::Product, x509::Certificate};

/// Whoever signed a report, by the report's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnpSigner {
    /// The product line, where the report tells its processor: from version 3 on.
    pub product: Option<Product>,
    /// The chip, where it was not masked.
    pub chip_id: Option<[u8; 64]>,
    /// Whether the key was loaded for an operator (VLEK): AMD's service does not give out its
    /// certificate.
    pub loaded: bool,
    reported: TcbBytes,
}

impl SnpSigner {
    /// Who signed this report.
    ///
    /// # Errors
    /// What of the report cannot be read.
    pub(crate) fn of(report: &[u8]) -> Result<Self, String> {
        let report = Report::parse(report).map_err(|error| error.to_string())?;
        Ok(Self {
            product: report
                .cpu
                .and_then(|cpu| Product::of_cpu(cpu.family, cpu.model)),
            chip_id: (!report.chip_is_masked()).then_some(report.chip_id),
            loaded: report.signing_key == SigningKey::Vlek,
            reported: report.reported_tcb,
        })
    }

    /// The versions that it is for, as a chip of `product` means them.
    pub const fn tcb(&self, product: Product) -> SnpTcb {
        self.reported.read(product)
    }

    /// Whether a certificate says to be this signer's.
    pub(crate) fn has(&self, certificate: &[u8]) -> bool {
        let Ok(certificate) = Certificate::parse(certificate) else {
            return false;
        };
        let lines = [Product::Genoa, Product::Turin];
        let fits = |line| vek::tcb_of(&certificate, line) == Some(self.tcb(line));
        let own = match (self.loaded, vek::hardware_id(&certificate), self.chip_id) {
            (true, id, _) => id.is_none(),
            (false, Some(id), Some(chip)) => chip.starts_with(id),
            // The chip's own key, but which chip it is was masked.
            (false, Some(_), None) => true,
            (false, None, _) => false,
        };
        own && lines.into_iter().any(fits)
    }
}
