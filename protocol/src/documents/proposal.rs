//! A job proposed to one who is to approve it: its exact bytes, signed by who would submit it,
//! sealed to the approver's card (protocol.md §11).
//!
//! It travels as a note of the host's mailbox. The host can neither read it nor make one up; it can
//! drop, keep back and repeat it. What an approver signs is the digest of these bytes, to the
//! enclave and to nobody else.

use ed25519_dalek::{Signature, Signer as _};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{job, sealed_to::SealedTo};
use crate::{
    Card, Digest, Identity,
    crypto::{hpke::HpkeError, label},
    encoding::{JsonError, parse_json, to_json},
};

/// Largest proposal accepted, in bytes of its JSON: the largest job in base64, and what is around
/// it.
pub const MAX_LEN: usize = job::MAX_LEN / 3 * 4 + 8 * 1024;
const DIGEST_LEN: usize = 32;
const SIGNATURE_LEN: usize = 64;

/// A job as its approver gets it.
///
/// ```
/// use mc2_protocol::{Digest, Identity, documents::proposal::Proposal};
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let alice = Identity::generate("alice".parse()?, &mut rng);
/// let bob = Identity::generate("bob".parse()?, &mut rng);
/// let session = Digest::of(b"the session's record");
/// let sealed = Proposal::seal(&session, b"the job", &alice, bob.card(), &mut rng);
///
/// // Bob's policy names alice.
/// let party = |card: &Digest| (card == alice.card().digest()).then_some(alice.card());
/// let proposal = Proposal::open(&sealed, &session, &bob, party)?;
/// assert_eq!(proposal.job(), b"the job");
/// assert_eq!(proposal.proposer(), alice.card().digest());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Proposal {
    proposer: Digest,
    job: Zeroizing<Vec<u8>>,
}

/// Why a note is no proposal.
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// It is none at all.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is sealed to somebody else, for another session, or was altered.
    #[error("the proposal does not open")]
    Open(#[from] HpkeError),
    /// Nobody whom the policy names signed it for this session.
    #[error("the proposal is not signed by a party of the policy")]
    Unsigned,
}

impl Proposal {
    /// Signs a job's exact bytes for a session as `proposer` and seals them to an approver.
    pub fn seal(
        session: &Digest,
        job: &[u8],
        proposer: &Identity,
        to: &Card,
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let signature = proposer.signing_key().sign(&signed(session, job));
        let card = proposer.card().digest();
        let parts: [&[u8]; 3] = [card.as_bytes(), &signature.to_bytes(), job];
        let plaintext = Zeroizing::new(parts.concat());
        to_json(&SealedTo::seal(&info(session, to), to, &plaintext, rng))
    }

    /// Opens a proposal as the approver `with`, and checks that the party it names as its proposer,
    /// found by `party`, signed it.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn open<'p>(
        bytes: &[u8],
        session: &Digest,
        with: &Identity,
        party: impl FnOnce(&Digest) -> Option<&'p Card>,
    ) -> Result<Self, ProposalError> {
        let sealed: SealedTo = parse_json("the proposal", bytes, MAX_LEN)?;
        let plaintext = sealed.open(&info(session, with.card()), with)?;
        let (proposer, rest) = plaintext
            .split_first_chunk::<DIGEST_LEN>()
            .ok_or(ProposalError::Unsigned)?;
        let (signature, job) = rest
            .split_first_chunk::<SIGNATURE_LEN>()
            .ok_or(ProposalError::Unsigned)?;
        let proposer = Digest::from_bytes(*proposer);
        let card = party(&proposer).ok_or(ProposalError::Unsigned)?;
        card.verifying_key()
            .verify_strict(&signed(session, job), &Signature::from_bytes(signature))
            .map_err(|_| ProposalError::Unsigned)?;
        Ok(Self {
            proposer,
            job: Zeroizing::new(job.to_vec()),
        })
    }

    /// Digest of the card of who would submit it.
    pub const fn proposer(&self) -> &Digest {
        &self.proposer
    }

    /// The job's exact bytes, as they were proposed: whether they are a job that the policy allows is
    /// the approver's to see.
    pub fn job(&self) -> &[u8] {
        &self.job
    }
}

fn signed(session: &Digest, job: &[u8]) -> Vec<u8> {
    let job = Digest::of(job);
    label::context(label::PROPOSED_JOB, &[session.as_bytes(), job.as_bytes()])
}

fn info(session: &Digest, to: &Card) -> Vec<u8> {
    let parts: [&[u8]; 2] = [session.as_bytes(), to.digest().as_bytes()];
    label::context(label::PROPOSAL, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
        rand_core::UnwrapErr(getrandom::SysRng)
    }

    fn identity(name: &str) -> Identity {
        Identity::generate(name.parse().unwrap(), &mut rng())
    }

    #[test]
    fn a_proposal_opens_for_its_approver_and_session_alone() {
        let (alice, bob, eve) = (identity("alice"), identity("bob"), identity("eve"));
        let (session, other) = (Digest::of(b"session"), Digest::of(b"other"));
        let sealed = Proposal::seal(&session, b"job", &alice, bob.card(), &mut rng());
        let party = |card: &Digest| (card == alice.card().digest()).then_some(alice.card());
        let opened = Proposal::open(&sealed, &session, &bob, party).ok().unwrap();
        assert_eq!(opened.job(), b"job");
        assert_eq!(opened.proposer(), alice.card().digest());
        for (session, with) in [(&session, &eve), (&other, &bob), (&session, &alice)] {
            let opened = Proposal::open(&sealed, session, with, party);
            assert!(matches!(opened, Err(ProposalError::Open(_))));
        }
    }

    #[test]
    fn a_proposal_of_a_stranger_or_that_another_signed_is_refused() {
        let (alice, bob, eve) = (identity("alice"), identity("bob"), identity("eve"));
        let session = Digest::of(b"session");
        let sealed = Proposal::seal(&session, b"job", &eve, bob.card(), &mut rng());
        let alone = |card: &Digest| (card == alice.card().digest()).then_some(alice.card());
        let opened = Proposal::open(&sealed, &session, &bob, alone);
        assert!(matches!(opened, Err(ProposalError::Unsigned)));

        // What anybody can seal: alice's name, and a signature that is not hers, or of another job
        // or session.
        let good = alice.signing_key().sign(&signed(&session, b"job"));
        let forged = eve.signing_key().sign(&signed(&session, b"job"));
        let elsewhere = alice.signing_key().sign(&signed(&Digest::of(b"x"), b"job"));
        for (signature, job, opens) in [
            (good, &b"job"[..], true),
            (forged, b"job", false),
            (elsewhere, b"job", false),
            (good, b"jab", false),
        ] {
            let card = alice.card().digest();
            let parts: [&[u8]; 3] = [card.as_bytes(), &signature.to_bytes(), job];
            let info = info(&session, bob.card());
            let sealed = SealedTo::seal(&info, bob.card(), &parts.concat(), &mut rng());
            let opened = Proposal::open(&to_json(&sealed), &session, &bob, alone);
            assert_eq!(opened.is_ok(), opens);
        }
    }

    #[test]
    fn the_largest_job_fits_into_a_proposal() {
        let (alice, bob) = (identity("alice"), identity("bob"));
        let session = Digest::of(b"session");
        let job = vec![7; job::MAX_LEN];
        let sealed = Proposal::seal(&session, &job, &alice, bob.card(), &mut rng());
        assert!(sealed.len() <= MAX_LEN);
        let party = |_: &Digest| Some(alice.card());
        let opened = Proposal::open(&sealed, &session, &bob, party).ok().unwrap();
        assert_eq!(opened.job(), job);
    }
}
