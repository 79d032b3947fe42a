//! How new collateral is, so that older collateral is refused later although it is still valid.

#[cfg(feature = "verify")]
use crate::check::Finding;

/// Something a vendor numbers or dates upwards: the number of a revocation list, of an assessment
/// of TCBs, or the time one was issued. A verifier keeps the greatest it saw of each and refuses a
/// smaller one: whoever serves collateral could else go on serving the last list before a
/// revocation until that expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which list or document, by its vendor, its kind and whom it is about.
    pub of: String,
    /// How new it is.
    pub number: u64,
}

impl Mark {
    /// The mark `number` of the document `of`.
    #[cfg_attr(
        not(feature = "verify"),
        allow(dead_code, reason = "the simulator has no collateral")
    )]
    pub(crate) fn new(of: impl Into<String>, number: u64) -> Self {
        Self {
            of: of.into(),
            number,
        }
    }

    /// The first of `seen` that is newer than the same document among `found`.
    #[cfg_attr(
        not(feature = "verify"),
        allow(dead_code, reason = "the simulator has no collateral")
    )]
    pub(crate) fn rolled_back<'a>(found: &'a [Self], seen: &'a [Self]) -> Option<(&'a Self, u64)> {
        found.iter().find_map(|mark| {
            let newest = seen.iter().find(|known| known.of == mark.of)?.number;
            (mark.number < newest).then_some((mark, newest))
        })
    }

    /// Whether none of `found` is older than what was seen of the same document; `advice` says what to
    /// do where one is.
    #[cfg(feature = "verify")]
    pub(crate) fn not_rolled_back(found: &[Self], seen: &[Self], advice: &'static str) -> Finding {
        match Self::rolled_back(found, seen) {
            None => Finding::passed("nothing older than what was seen before"),
            Some((mark, newest)) => Finding::failed(
                format!(
                    "{} number {newest} or newer, which was seen before",
                    mark.of
                ),
                format!("number {}", mark.number),
                advice,
            ),
        }
    }
}
