//! Opening a session, joining one, and appraising one again.

use std::{path::PathBuf, time::SystemTime};

use mc2_attestation::{Check, Interval, Refused, Tee, UnixSeconds, evidence::tee_of};
use mc2_protocol::{
    Digest, Name,
    documents::{
        hosting::SessionEntry,
        record::{ComponentDigest, Nonce},
    },
    policy::{Platforms, Policy},
};

use super::{
    error::VerbError,
    member::{Entered, Member},
};
use crate::{
    ear::Verdict,
    http::{HostAddress, Trust},
    party::own_party,
    policy::PolicyFileError,
    remote::{Remote, RemoteError},
    session::{Opened, Verifier},
    state::KnownSession,
    terminal::listed,
    unix_seconds,
    workload::Workload,
};

/// Where a session is, and what its appraisal is given.
#[derive(Clone, Debug)]
pub struct At {
    /// The host.
    pub host: HostAddress,
    /// The authorities its certificate may come from, where not the system's.
    pub host_ca: Option<PathBuf>,
    /// Files of components of the policy, to be measured here.
    pub components: Vec<PathBuf>,
}

/// A session that was appraised.
pub struct Attested {
    /// SHA-256 of its record.
    pub session: Digest,
    /// SHA-256 of its policy.
    pub policy: Digest,
    /// The policy's name.
    pub name: Name,
    /// The host.
    pub host: String,
    /// Whether its enclave is simulated. NOT SECURE.
    pub simulated: bool,
    /// Every check.
    pub checks: Vec<Check>,
    /// The kind of enclave its evidence is of, where that is known.
    pub tee: Option<Tee>,
    /// The nonce the evidence was asked for with.
    pub nonce: Nonce,
    /// Whether its policy lists the machines it may be on.
    pub listed: bool,
    /// When it was appraised.
    pub appraised: UnixSeconds,
    /// How long its evidence's own checks come out as they did; at no time where one did not pass.
    pub holds: Interval,
    refused: Option<Refused>,
}

impl Attested {
    /// Whether every check passed.
    pub const fn is_accepted(&self) -> bool {
        self.refused.is_none()
    }

    /// What was found, to be told to others.
    pub fn to_ear(&self) -> Verdict<'_> {
        Verdict {
            of: "mc2-runtime",
            tee: self.tee,
            checks: &self.checks,
            policy: Some((&self.policy, self.listed)),
            nonce: Some(&self.nonce),
            claims: None,
            appraised: self.appraised,
            holds: self.holds,
            issued: self.appraised,
        }
    }

    /// Nothing, if every check passed.
    ///
    /// # Errors
    /// The first that did not.
    pub fn accept(self) -> Result<(), VerbError> {
        self.refused.map_or(Ok(()), |refused| Err(refused.into()))
    }
}

impl Member {
    /// Opens a session under a policy and appraises it; components that the host lacks are sent to
    /// it where their files are given. A session that is refused is not kept.
    ///
    /// # Errors
    /// [`VerbError`]; that the evidence is refused stands in the [`Attested`].
    pub async fn open_session(&self, policy: Policy, at: &At) -> Result<Attested, VerbError> {
        let opener = own_party(&self.state, &policy, self.identity.as_deref())?;
        let files = measured(&policy, &at.components)?;
        let remote = at.remote()?;
        for component in policy.components() {
            let sha256 = component.sha256;
            if remote.has_component(&sha256).await.map_err(http)? {
                continue;
            }
            let file = files.iter().find(|file| file.sha256 == sha256);
            let file = file.ok_or_else(|| VerbError::NoComponent {
                name: component.name.clone(),
                sha256,
            })?;
            let sent = remote.put_component(&sha256, file.wasm.clone()).await;
            sent.map_err(http)?;
        }
        let opened = Opened::open(&remote, policy.clone(), &opener).await?;
        self.appraised(opened, policy, at, &files, true)
    }

    /// Joins a session that another party opened under a policy that is, byte for byte, the one
    /// given, and appraises it with a nonce of its own. One that is refused is not kept.
    ///
    /// # Errors
    /// [`VerbError`]; that the evidence is refused stands in the [`Attested`].
    pub async fn join_session(
        &self,
        session: &Digest,
        policy: Policy,
        at: &At,
    ) -> Result<Attested, VerbError> {
        own_party(&self.state, &policy, self.identity.as_deref())?;
        let files = measured(&policy, &at.components)?;
        let remote = at.remote()?;
        let opened = Opened::ask(&remote, session, policy.clone()).await?;
        let own = self.state.session(session)?.is_some_and(|known| known.own);
        self.appraised(opened, policy, at, &files, own)
    }

    /// The policy that the host says a session was opened under. Whether it is, its evidence shows;
    /// whether it is agreed to, nobody has said.
    ///
    /// # Errors
    /// The host does not answer well, or it is no policy.
    pub async fn policy_of(&self, session: &Digest, at: &At) -> Result<Policy, VerbError> {
        let kept = at.remote()?.session(session).await?;
        let named = || PolicyFileError::of(format!("the policy of session {session}"));
        Ok(Policy::parse(kept.policy.as_slice()).map_err(named())?)
    }

    /// The sessions at a host whose policy names one of this person's cards, by the host's word.
    ///
    /// # Errors
    /// The host does not answer well.
    pub async fn sessions_at(&self, at: &At) -> Result<Vec<SessionEntry>, VerbError> {
        let identities = match &self.identity {
            Some(name) => vec![self.state.identity(name)?],
            None => self.state.identities()?,
        };
        let remote = at.remote()?;
        let mut sessions: Vec<SessionEntry> = Vec::new();
        for identity in identities {
            for one in remote.sessions(identity.card().digest()).await? {
                if !sessions.iter().any(|known| known.session == one.session) {
                    sessions.push(one);
                }
            }
        }
        Ok(sessions)
    }

    /// Asks for new evidence of a session that is known here, and appraises it.
    ///
    /// # Errors
    /// [`VerbError`]; that the evidence is refused stands in the [`Attested`].
    pub async fn attest(
        &self,
        session: &str,
        components: Vec<PathBuf>,
    ) -> Result<Attested, VerbError> {
        let Entered { known, policy, .. } = self.enter(session)?;
        let at = At {
            host: known.host.parse()?,
            host_ca: known.host_ca,
            components,
        };
        self.join_session(&known.session, policy, &at).await
    }

    /// Appraises what a host answered, and keeps it where it passes.
    fn appraised(
        &self,
        opened: Opened<'_>,
        policy: Policy,
        at: &At,
        files: &[Workload],
        own: bool,
    ) -> Result<Attested, VerbError> {
        let now = SystemTime::now();
        let trust = self.trusted(&at.host)?;
        let components = all_of(&policy, files);
        let mut known = KnownSession::new(
            at.host.to_string(),
            at.host_ca.clone(),
            &policy,
            *opened.nonce(),
            opened.answered().clone(),
            unix_seconds(now),
            own,
        );
        let (checks, session) = opened.appraise(&Verifier {
            trust: &trust,
            allow_simulated: self.allow_simulated,
            now,
            components: components.as_deref(),
            collateral: self.collateral.as_ref(),
        });
        let (simulated, holds, refused) = match session {
            Ok(session) => {
                self.state.note_seen(session.appraised(), now)?;
                // Later commands need no more than this one had.
                known.opened.endorsements = session.endorsements().to_vec();
                let appraised = session.appraised();
                (appraised.is_simulated(), appraised.holds(), None)
            }
            Err(refused) => {
                self.state.keep_refused(&known.opened.evidence)?;
                (false, Interval::NEVER, Some(refused))
            }
        };
        if refused.is_none() {
            self.state.store_session(&known)?;
        }
        Ok(Attested {
            session: known.session,
            policy: *policy.digest(),
            name: policy.name().clone(),
            host: known.host,
            simulated,
            checks,
            tee: tee_of(&known.opened.evidence, &[]).ok(),
            nonce: known.nonce,
            listed: matches!(policy.enclave().platforms, Platforms::Listed(_)),
            appraised: UnixSeconds(unix_seconds(now)),
            holds,
            refused,
        })
    }
}

impl At {
    fn remote(&self) -> Result<Remote, VerbError> {
        let trust = match &self.host_ca {
            Some(path) => Trust::File(path.clone()),
            None => Trust::System,
        };
        Ok(Remote::connect(self.host.clone(), &trust)?)
    }
}

/// The files given, each one of the policy's components.
fn measured(policy: &Policy, files: &[PathBuf]) -> Result<Vec<Workload>, VerbError> {
    let measured = files.iter().map(|path| {
        let file = Workload::read(path)?;
        let mut components = policy.components().iter();
        if components.any(|component| component.sha256 == file.sha256) {
            return Ok(file);
        }
        let known = policy.components().iter();
        Err(VerbError::OtherComponent {
            path: path.clone(),
            found: file.sha256,
            known: listed(known.map(|one| format!("{} {}", one.name, one.sha256))),
        })
    });
    measured.collect()
}

/// The components as they were measured here, where all of the policy's were.
fn all_of(policy: &Policy, files: &[Workload]) -> Option<Vec<ComponentDigest>> {
    let measured = policy.components().iter().map(|component| {
        let file = files.iter().find(|file| file.sha256 == component.sha256)?;
        Some(ComponentDigest {
            name: component.name.clone(),
            sha256: file.sha256,
        })
    });
    measured.collect()
}

fn http(error: crate::http::HttpError) -> VerbError {
    RemoteError::from(error).into()
}
