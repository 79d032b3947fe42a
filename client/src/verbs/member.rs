//! This person, and the sessions they go back to.

use std::time::{SystemTime, UNIX_EPOCH};

use mc2_attestation::TrustStore;
use mc2_protocol::{Digest, Identity, policy::Policy};

use super::error::VerbError;
use crate::{
    collateral::Collateral,
    http::{HostAddress, Trust},
    party::{Parties, own_party},
    policy::PolicyFileError,
    remote::Remote,
    session::{Opened, Session, Verifier},
    simulator,
    state::{KnownSession, SHORTEST, State},
};

/// This person, with their state folder.
pub struct Member {
    /// Their state folder.
    pub state: State,
    /// Which of their identities; the one that is a party where none is named.
    pub identity: Option<String>,
    /// Whether the simulator may pass. NOT SECURE.
    pub allow_simulated: bool,
    /// What they have of the vendors' collateral.
    pub collateral: Option<Collateral>,
    /// What they trust of simulators that this process knows, in place of what their state folder says.
    pub trust: Option<TrustStore>,
}

/// A session that is known here, and everything it takes to speak with it.
pub struct Entered<'m> {
    pub(super) member: &'m Member,
    /// What is known of it.
    pub known: KnownSession,
    /// Its policy.
    pub policy: Policy,
    /// This person, as a party of it.
    pub identity: Identity,
    pub(super) remote: Remote,
    pub(super) trust: TrustStore,
}

impl Member {
    /// Goes back to a session by its digest, or the first digits of it.
    ///
    /// # Errors
    /// It is not known here, or nobody here is a party of it.
    pub fn enter(&self, session: &str) -> Result<Entered<'_>, VerbError> {
        let known = self.known_session(session)?;
        let policy = known.policy();
        let policy = policy.map_err(PolicyFileError::of(self.state.root().join("sessions")))?;
        let address: HostAddress = known.host.parse()?;
        let trust = match &known.host_ca {
            Some(path) => Trust::File(path.clone()),
            None => Trust::System,
        };
        Ok(Entered {
            member: self,
            identity: own_party(&self.state, &policy, self.identity.as_deref())?,
            remote: Remote::connect(address.clone(), &trust)?,
            trust: self.trusted(&address)?,
            known,
            policy,
        })
    }

    /// The reference values evidence from this host is held against.
    pub(super) fn trusted(&self, host: &HostAddress) -> Result<TrustStore, VerbError> {
        if let Some(trust) = &self.trust {
            return Ok(trust.clone());
        }
        let trusted = simulator::trusted(&self.state, host, self.allow_simulated, None);
        Ok(trusted?)
    }

    pub(super) fn known_session(&self, asked: &str) -> Result<KnownSession, VerbError> {
        const WHAT: &str = "session";
        let unknown = || VerbError::UnknownSession {
            asked: asked.to_owned(),
            state: self.state.root().to_owned(),
        };
        if let Ok(digest) = asked.parse::<Digest>() {
            return self.state.session(&digest)?.ok_or_else(unknown);
        }
        if !is_beginning(asked) {
            return Err(not_a_digest(asked, WHAT));
        }
        let mut named = self.state.sessions()?;
        named.retain(|known| known.session.to_string().starts_with(asked));
        one_of(asked, WHAT, named)?.ok_or_else(unknown)
    }
}

impl Entered<'_> {
    /// The session, once what was kept of it passes an appraisal as of now, by what is trusted now:
    /// a runtime that was revoked since gets nothing more.
    ///
    /// # Errors
    /// The evidence is refused.
    pub fn session(&self) -> Result<Session<'_>, VerbError> {
        let (_, session) = self.again().appraise(&self.verifier());
        self.numbered(session?)
    }

    /// The session, to follow what was given to it before: also once its policy has ended. Nothing
    /// more is given to it.
    ///
    /// # Errors
    /// The evidence is refused.
    pub fn followed(&self) -> Result<Session<'_>, VerbError> {
        let (_, session) = self.again().appraise_to_follow(&self.verifier());
        self.numbered(session?)
    }

    fn again(&self) -> Opened<'_> {
        let KnownSession { nonce, opened, .. } = &self.known;
        Opened::again(&self.remote, self.policy.clone(), *nonce, opened.clone())
    }

    fn numbered<'s>(&self, session: Session<'s>) -> Result<Session<'s>, VerbError> {
        let sender = self.identity.card().digest();
        let state = &self.member.state;
        state.note_seen(session.appraised(), SystemTime::now())?;
        let numbers = state.sequence(&self.known.session, sender)?;
        Ok(session.numbered(numbers))
    }

    pub(super) fn verifier(&self) -> Verifier<'_> {
        Verifier {
            trust: &self.trust,
            allow_simulated: self.member.allow_simulated,
            now: SystemTime::now(),
            components: None,
            collateral: self.member.collateral.as_ref(),
        }
    }

    /// Nothing is released, approved or asked under a policy with a card nobody compared.
    pub(super) fn check_cards(&self, stated: Option<&Digest>) -> Result<(), VerbError> {
        let known = Parties::load(&self.member.state)?.with_own(self.identity.card());
        known
            .check(&self.policy, stated)
            .map_err(|source| VerbError::Untrusted {
                policy: self.policy.name().clone(),
                source,
            })
    }
}

/// Whether the text may be the beginning of a digest.
pub(super) fn is_beginning(text: &str) -> bool {
    text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn not_a_digest(asked: &str, what: &'static str) -> VerbError {
    VerbError::NotADigest {
        asked: asked.to_owned(),
        what,
    }
}

/// The only one of those that begin as asked; two are one too many.
pub(super) fn one_of<T>(
    asked: &str,
    what: &'static str,
    mut named: Vec<T>,
) -> Result<Option<T>, VerbError> {
    if named.len() > 1 {
        let asked = asked.to_owned();
        return Err(VerbError::Ambiguous { asked, what });
    }
    Ok(named.pop())
}

/// Milliseconds since 1970.
pub(super) fn millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}
