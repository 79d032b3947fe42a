//! What of its vendor's endorsements a piece of evidence is judged by: what to fetch for it, and
//! which of a heap of them belongs to it.
//!
//! Nothing is verified here, neither the evidence nor what is chosen for it: whoever writes either
//! can make a verifier refuse, and nothing more.

use mc2_protocol::documents::receipt::{Endorsement, Evidence, MAX_ENDORSEMENTS};
use x509_cert::name::Name;

use super::{EvidenceError, tee_of};
pub use crate::tee::{IntelPlatform, SnpSigner};
use crate::{
    tee::{self, Tee, dcap::COLLATERAL_TYPE},
    time::UnixSeconds,
    x509::{CERTIFICATE_TYPE, Crl, REVOCATION_LIST_TYPE},
};

/// Most revocation lists that are chosen: one for each of AMD's lines, by two issuers.
const MAX_LISTS: usize = 6;

/// What evidence is judged by beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Intel's collateral for a kind of platforms.
    Intel(IntelPlatform),
    /// The certificate of whoever signed a report of SEV-SNP, and the list of AMD's root.
    Amd(SnpSigner),
    /// Nothing: it has everything in it.
    Nothing,
}

impl Needs {
    /// What this evidence needs.
    ///
    /// # Errors
    /// [`NeedsError`] where it cannot be read.
    pub fn of(evidence: &Evidence) -> Result<Self, NeedsError> {
        let bytes = evidence.value.as_slice();
        let unread = |reason| NeedsError::Unread { reason };
        match tee_of(evidence, &[])? {
            tee @ (Tee::Sgx | Tee::Tdx) => {
                let platform = IntelPlatform::of(tee, bytes).map_err(unread)?;
                Ok(Self::Intel(platform))
            }
            Tee::SevSnp => Ok(Self::Amd(SnpSigner::of(bytes).map_err(unread)?)),
            Tee::AzureVtpm => Self::of(&tee::report_beneath(bytes).map_err(unread)?),
            Tee::Sim | Tee::Nitro => Ok(Self::Nothing),
        }
    }

    /// Of these endorsements, those that the evidence is judged by: of several that say the same,
    /// the newest by their own word, or the first; and what is neither certificate, list nor
    /// collateral as it is. No more than a verifier reads.
    pub fn among<'e>(
        &self,
        endorsements: impl IntoIterator<Item = &'e Endorsement>,
    ) -> Vec<Endorsement> {
        let mut heap: Vec<&Endorsement> = Vec::new();
        for one in endorsements {
            if !heap.contains(&one) {
                heap.push(one);
            }
        }
        let of_type = |media_type: &'static str| {
            let heap = heap.iter().copied();
            heap.filter(move |one| one.media_type == media_type)
        };
        let mut chosen: Vec<&Endorsement> = Vec::new();
        match self {
            Self::Intel(platform) => {
                let about = of_type(COLLATERAL_TYPE)
                    .filter_map(|one| platform.issued(one).map(|issued| (issued, one)));
                let newest = about.reduce(|one, next| if next.0 > one.0 { next } else { one });
                chosen.extend(newest.map(|(_, one)| one));
            }
            Self::Amd(signer) => {
                let mut certificates = of_type(CERTIFICATE_TYPE);
                chosen.extend(certificates.find(|one| signer.has(one.value.as_slice())));
                let lists = newest_of_each(of_type(REVOCATION_LIST_TYPE));
                chosen.extend(lists.into_iter().take(MAX_LISTS));
            }
            Self::Nothing => {}
        }
        let vendors = [COLLATERAL_TYPE, CERTIFICATE_TYPE, REVOCATION_LIST_TYPE];
        let others = heap
            .iter()
            .filter(|one| !vendors.contains(&one.media_type.as_str()));
        chosen.extend(others);
        chosen.truncate(MAX_ENDORSEMENTS);
        chosen.into_iter().cloned().collect()
    }
}

/// Of each issuer's lists the newest by its own word, or the first; behind them those that cannot be
/// read, which a verifier refuses.
fn newest_of_each<'e>(lists: impl Iterator<Item = &'e Endorsement>) -> Vec<&'e Endorsement> {
    let mut newest: Vec<(Name, UnixSeconds, &Endorsement)> = Vec::new();
    let mut unread = Vec::new();
    for list in lists {
        let Some((issuer, issued)) = Crl::stated(list.value.as_slice()) else {
            unread.push(list);
            continue;
        };
        match newest.iter_mut().find(|(known, ..)| *known == issuer) {
            None => newest.push((issuer, issued, list)),
            Some(known) if issued > known.1 => *known = (issuer, issued, list),
            Some(_) => {}
        }
    }
    let newest = newest.into_iter().map(|(.., list)| list);
    newest.chain(unread).collect()
}

/// Whether both are revocation lists that name the same issuer.
pub fn are_lists_of_one_issuer(one: &Endorsement, other: &Endorsement) -> bool {
    let issuer = |list: &Endorsement| {
        let stated = (list.media_type == REVOCATION_LIST_TYPE)
            .then(|| Crl::stated(list.value.as_slice()))?;
        stated.map(|(issuer, _)| issuer)
    };
    issuer(one).is_some_and(|one| issuer(other) == Some(one))
}

/// Evidence of which nothing can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeedsError {
    /// Not evidence of a known kind.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// It does not say what it needs.
    #[error("the evidence does not say which collateral it needs: {reason}")]
    Unread {
        /// Why not.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Interval,
        test_util::forger::{Enclave, Intel, Snp, Vtpm},
    };

    fn other() -> Endorsement {
        Endorsement {
            media_type: "application/vnd.mc2.event-log.v1+json".to_owned(),
            value: b"{}".to_vec().into(),
        }
    }

    #[test]
    fn a_quote_is_given_the_newest_collateral_of_its_own_platform() {
        let good = |from| Interval::new(UnixSeconds(from), UnixSeconds(from + 1000));
        let (old, new) = (
            Intel::new(1, good(1_000_000)),
            Intel::new(1, good(1_000_500)),
        );
        let quote = new.sgx_quote(&Enclave::new([0x11; 32], [0x22; 64]));
        let Needs::Intel(platform) = Needs::of(&quote).unwrap() else {
            panic!("a quote of Intel's");
        };
        assert_eq!((platform.tee, platform.authority), (Tee::Sgx, "platform"));
        let heap = [
            old.collateral(Tee::Sgx),
            new.collateral(Tee::Sgx),
            new.collateral(Tee::Tdx),
            other(),
        ];
        let chosen = Needs::of(&quote).unwrap().among(&heap);
        assert_eq!(chosen, [heap[1].clone(), other()]);
    }

    #[test]
    fn a_report_is_given_the_certificate_of_its_own_chip_and_versions() {
        for chip in [Snp::milan(), Snp::genoa(), Snp::turin()] {
            let mut other_chip = chip.clone();
            other_chip.certified_chip_id[0] ^= 1;
            let mut older = chip.clone();
            older.certified_tcb[4] -= 1;
            let own = chip.sign(&[7; 64]);
            let foreign =
                [other_chip, older].map(|chip| chip.sign(&[7; 64]).endorsements[0].clone());
            let heap: Vec<_> = foreign.iter().chain(&own.endorsements).collect();
            let needs = Needs::of(&own.evidence).unwrap();
            assert_eq!(needs.among(heap), own.endorsements, "{:?}", chip.product);
            let Needs::Amd(signer) = needs else {
                panic!("a report of AMD's");
            };
            assert_eq!(signer.product, Some(chip.product));
            assert_eq!(signer.chip_id, Some(chip.chip_id));
        }
        let loaded = Snp::genoa().with_vlek("operator");
        let (own, chips) = (loaded.sign(&[7; 64]), Snp::genoa().sign(&[7; 64]));
        let heap: Vec<_> = chips.endorsements[..1]
            .iter()
            .chain(&own.endorsements)
            .collect();
        assert_eq!(
            Needs::of(&own.evidence).unwrap().among(heap),
            own.endorsements
        );
    }

    /// Row 9: lists from before a revocation do not crowd out the one after it.
    #[test]
    fn the_newest_list_of_each_issuer_is_chosen_however_many_older_ones_there_are() {
        let issued = |chip: Snp, from: u64| {
            let mut chip = chip;
            if let Some(list) = &mut chip.revocation_list {
                list.from = UnixSeconds(list.from.0 + from);
            }
            chip.sign(&[7; 64])
        };
        let older: Vec<_> = (0..8).map(|from| issued(Snp::genoa(), from)).collect();
        let (newest, other) = (issued(Snp::genoa(), 9), issued(Snp::milan(), 0));
        let lists = older.iter().chain([&other, &newest]);
        let heap = lists.flat_map(|forged| &forged.endorsements);
        let chosen = Needs::of(&newest.evidence).unwrap().among(heap);
        let [certificate, list] = &newest.endorsements[..] else {
            panic!("a certificate and a list");
        };
        let expected = [certificate, list, &other.endorsements[1]];
        assert_eq!(chosen.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_vtpm_needs_what_the_report_beneath_does() {
        let forged = Vtpm::genuine().sign(&[7; 64]);
        assert!(matches!(Needs::of(&forged.evidence), Ok(Needs::Amd(_))));
    }

    #[test]
    fn no_more_is_chosen_than_a_verifier_reads() {
        let chip = Snp::genoa().sign(&[7; 64]);
        let many: Vec<_> = (0..40_u8)
            .map(|number| Endorsement {
                value: vec![number].into(),
                ..other()
            })
            .collect();
        let chosen = Needs::of(&chip.evidence)
            .unwrap()
            .among(chip.endorsements.iter().chain(&many));
        assert_eq!(chosen.len(), MAX_ENDORSEMENTS);
        assert_eq!(chosen[..2], chip.endorsements[..]);
    }
}
