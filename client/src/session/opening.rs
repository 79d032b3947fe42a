//! Opening a session and appraising the evidence it comes with.

use std::time::SystemTime;

use mc2_attestation::{
    AppraisalInput, Check, Purpose, Refused as AppraisalRefused, TrustStore, UnixSeconds, appraise,
};
use mc2_protocol::{
    Digest, Identity,
    documents::{
        control::{OpenSession, SessionOpened},
        record::{ComponentDigest, Nonce},
    },
    encoding::Hex,
    policy::Policy,
};
use rand_core::Rng as _;

use super::telling::Session;
use crate::{
    collateral::Collateral,
    remote::{Remote, RemoteError},
};

/// How often a session is asked for: a host may have several processes that serve others, and a
/// process may end between its challenge and the opening.
const OPENINGS: u32 = 20;

/// A session that a host says it opened. Nothing it says is believed yet.
///
/// ```no_run
/// use std::time::SystemTime;
///
/// use mc2_client::{
///     remote::Remote,
///     session::{Opened, Verifier},
///     state::State,
/// };
/// use mc2_protocol::{Identity, documents::job::Job, policy::Policy};
///
/// async fn ask(
///     remote: &Remote,
///     policy: Policy,
///     me: &Identity,
///     job: &Job,
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     let trust = State::locate()?.trusted()?;
///     let opened = Opened::open(remote, policy, me).await?;
///     let (checks, session) = opened.appraise(&Verifier {
///         trust: &trust,
///         allow_simulated: false,
///         now: SystemTime::now(),
///         components: None,
///         collateral: None,
///     });
///     for check in &checks {
///         println!("{check}");
///     }
///     let session = session?;
///     let running = session.submit(me, job).await?;
///     running.wait(me, |event| println!("{}", event.text)).await?;
///     let _receipt = running.receipt(me).await?;
///     Ok(())
/// }
/// ```
pub struct Opened<'h> {
    remote: &'h Remote,
    policy: Policy,
    nonce: Nonce,
    opened: SessionOpened,
}

impl<'h> Opened<'h> {
    /// Asks a host for a session under `policy` with a fresh nonce, as `opener`, whom the policy
    /// must name.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn open(
        remote: &'h Remote,
        policy: Policy,
        opener: &Identity,
    ) -> Result<Self, RemoteError> {
        let nonce = fresh_nonce();
        let mut left = OPENINGS;
        loop {
            left -= 1;
            let challenge = remote.challenge(policy.digest()).await?;
            let open = OpenSession::sign(policy.bytes(), nonce, challenge, opener);
            match remote.open_session(&open).await {
                Ok(opened) => return Ok(Self::again(remote, policy, nonce, opened)),
                Err(error) if left > 0 && is_another_s(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks a host for evidence of a session that is open under `policy`, with a fresh nonce.
    ///
    /// # Errors
    /// [`RemoteError`]; also where what it answers is another session's.
    pub async fn ask(
        remote: &'h Remote,
        session: &Digest,
        policy: Policy,
    ) -> Result<Self, RemoteError> {
        let nonce = fresh_nonce();
        let opened = remote.evidence(session, nonce).await?;
        Ok(Self::again(remote, policy, nonce, opened))
    }

    /// What was asked for before, to be appraised again.
    pub const fn again(
        remote: &'h Remote,
        policy: Policy,
        nonce: Nonce,
        opened: SessionOpened,
    ) -> Self {
        Self {
            remote,
            policy,
            nonce,
            opened,
        }
    }

    /// The nonce that was asked with.
    pub const fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// What the host answered.
    pub const fn answered(&self) -> &SessionOpened {
        &self.opened
    }

    /// Appraises the evidence: every check, and the session if all passed.
    pub fn appraise(
        self,
        verifier: &Verifier<'_>,
    ) -> (Vec<Check>, Result<Session<'h>, AppraisalRefused>) {
        self.appraise_for(Purpose::Release, verifier)
    }

    /// Appraises the evidence to follow what was given before: the policy may have ended by now, and
    /// the session is given nothing more.
    pub fn appraise_to_follow(
        self,
        verifier: &Verifier<'_>,
    ) -> (Vec<Check>, Result<Session<'h>, AppraisalRefused>) {
        self.appraise_for(Purpose::Receipt, verifier)
    }

    fn appraise_for(
        self,
        purpose: Purpose,
        verifier: &Verifier<'_>,
    ) -> (Vec<Check>, Result<Session<'h>, AppraisalRefused>) {
        let now = UnixSeconds(crate::unix_seconds(verifier.now));
        let SessionOpened {
            evidence,
            endorsements,
            ..
        } = &self.opened;
        let chosen = Collateral::choose(verifier.collateral, evidence, endorsements, now);
        let appraisal = appraise(&AppraisalInput {
            evidence,
            endorsements: &chosen.endorsements,
            record_bytes: self.opened.record.as_slice(),
            nonce: &self.nonce,
            policy_bytes: self.policy.bytes(),
            expected_components: verifier.components,
            trust: verifier.trust,
            allow_simulated: verifier.allow_simulated,
            purpose,
            now,
        });
        let mut checks = appraisal.checks.clone();
        let session = match appraisal.accept() {
            Ok(appraised) => {
                let follows = purpose == Purpose::Receipt;
                let session =
                    Session::new(self.remote, self.policy, self.nonce, appraised, follows);
                Ok(session.by(chosen.endorsements))
            }
            Err(mut refused) => {
                checks.extend(chosen.stale.clone());
                refused.failed.extend(chosen.stale);
                Err(refused)
            }
        };
        (checks, session)
    }
}

/// What a verifier brings to an appraisal.
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    /// Its reference values.
    pub trust: &'a TrustStore,
    /// Whether the simulator may pass. NOT SECURE.
    pub allow_simulated: bool,
    /// Its time.
    pub now: SystemTime,
    /// The components it measured itself, in the policy's order.
    pub components: Option<&'a [ComponentDigest]>,
    /// What it has of the vendors' collateral, beside what comes with the evidence.
    pub collateral: Option<&'a Collateral>,
}

fn fresh_nonce() -> Nonce {
    let mut nonce = [0; 32];
    crate::random().fill_bytes(&mut nonce);
    Hex(nonce)
}

/// Whether the process that was asked serves others, or is not the one that gave the challenge.
fn is_another_s(error: &RemoteError) -> bool {
    match error {
        RemoteError::Http(error) => {
            matches!(error.code(), Some("other-tenant" | "unknown-challenge"))
        }
        _ => false,
    }
}
