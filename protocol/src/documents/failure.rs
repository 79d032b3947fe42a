//! What a failed job tells its submitter alone (protocol.md §12).
//!
//! Every reader of a receipt learns that the job failed and why, in a word. Which of the policy's
//! outputs was missing is the guest's choice, so it is sealed, in one length.

use crate::{
    Card, Digest, Identity, Name,
    crypto::{hpke::HpkeError, label},
    documents::sealed_to::{SealTo, SealedTo},
    name::MAX_LEN as NAME_LEN,
};

/// Bytes of the detail: how long the name is, and the name with zeros behind it.
const LEN: usize = 1 + NAME_LEN;

/// What a failed job's submitter should know beside the reason.
///
/// ```
/// use mc2_protocol::{Digest, Identity, documents::failure::FailureDetail};
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let submitter = Identity::generate("bank-a".parse()?, &mut rng);
/// let (session, job) = (Digest::of(b"the session record"), Digest::of(b"the job"));
/// let detail = FailureDetail { output: Some("model".parse()?) };
/// let sealed = detail.seal(&session, &job, submitter.card(), &mut rng);
/// assert_eq!(FailureDetail::open(&session, &job, &sealed, &submitter)?, detail);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureDetail {
    /// The output of the policy that was missing, or was left twice.
    pub output: Option<Name>,
}

impl FailureDetail {
    /// Seals it to the submitter.
    pub fn seal(
        &self,
        session: &Digest,
        job: &Digest,
        to: &Card,
        by: &mut impl SealTo,
    ) -> SealedTo {
        let name = self.output.as_ref().map_or("", Name::as_str).as_bytes();
        let mut bytes = [0; LEN];
        // A name has at most 128 bytes.
        bytes[0] = name.len() as u8;
        bytes[1..=name.len()].copy_from_slice(name);
        SealedTo::seal(&info(session, job, to.digest()), to, &bytes, by)
    }

    /// Opens it as the submitter.
    ///
    /// # Errors
    /// [`HpkeError`] when it was sealed to another card or for another job.
    pub fn open(
        session: &Digest,
        job: &Digest,
        sealed: &SealedTo,
        with: &Identity,
    ) -> Result<Self, HpkeError> {
        let bytes = sealed.open(&info(session, job, &sealed.card), with)?;
        let bytes: &[u8; LEN] = bytes.as_slice().try_into().map_err(|_| HpkeError::Open)?;
        let length = usize::from(bytes[0]);
        let (name, zeros) = bytes[1..].split_at_checked(length).ok_or(HpkeError::Open)?;
        let name = std::str::from_utf8(name).map_err(|_| HpkeError::Open)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(HpkeError::Open);
        }
        let output = match name {
            "" => None,
            name => Some(name.parse().map_err(|_| HpkeError::Open)?),
        };
        Ok(Self { output })
    }
}

fn info(session: &Digest, job: &Digest, card: &Digest) -> Vec<u8> {
    let parts = [session, job, card].map(|digest| digest.as_bytes().as_slice());
    label::context(label::FAILURE, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_submitter_learns_the_name_and_its_length_tells_nobody() {
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let submitter = Identity::generate("me".parse().unwrap(), &mut rng);
        let other = Identity::generate("you".parse().unwrap(), &mut rng);
        let (session, job) = (Digest::of(b"session"), Digest::of(b"job"));
        let mut lengths = std::collections::BTreeSet::new();
        let longest = "x".repeat(128);
        for name in [None, Some("a"), Some(longest.as_str())] {
            let detail = FailureDetail {
                output: name.map(|name| name.parse().unwrap()),
            };
            let sealed = detail.seal(&session, &job, submitter.card(), &mut rng);
            let opened = FailureDetail::open(&session, &job, &sealed, &submitter);
            assert_eq!(opened.unwrap(), detail);
            assert!(FailureDetail::open(&session, &job, &sealed, &other).is_err());
            assert!(FailureDetail::open(&session, &session, &sealed, &submitter).is_err());
            lengths.insert(sealed.sealed.ciphertext.0.len());
        }
        assert_eq!(lengths.len(), 1);
    }
}
