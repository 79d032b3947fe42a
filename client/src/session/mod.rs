//! A session, as a client goes through it. Each state is a type of its own, and only an appraised
//! session has a way to give keys, approvals or jobs away.
//!
//! [`Opened::open`] → [`Opened::appraise`] → [`Session::release`], [`Session::approve`],
//! [`Session::submit`] → [`Running::wait`] → [`Running::receipt`].

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mc2_attestation::{
    AppraisalInput, AppraisedSession, Check, Purpose, Refused as AppraisalRefused, TrustStore,
    UnixSeconds, appraise,
};
use mc2_protocol::{
    Digest, Identity, Name,
    documents::{
        control::{JobState, OpenSession, SessionOpened},
        dsse::Envelope,
        job::Job,
        message::{
            AnswerError, Approve, Body, Cancel, End, Outcome, Refused, Release, SealedMessage,
            Submit,
        },
        record::{ComponentDigest, Nonce},
        storage::Event,
    },
    encoding::Hex,
    policy::{Policy, Refusal, When},
};
use rand_core::Rng as _;

use crate::{
    remote::{Remote, RemoteError},
    state::ledger::{self, Ledger, LedgerError},
    terminal,
};

/// How long news of a job may fail to come through before the wait for it ends.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a job may take beyond the run time its policy allows: storing its outputs, for most.
const BEYOND_RUN_TIME: Duration = Duration::from_secs(15 * 60);
const PAUSE: Duration = Duration::from_millis(100);
/// How often a session is asked for: a host may have several processes that serve others, and a
/// process may end between its challenge and the opening.
const OPENINGS: u32 = 20;
/// How often a session is ended: its last receipt may be there a moment before its job is done.
const ENDINGS: u32 = 10;

/// A session that a host says it opened. Nothing it says is believed yet.
pub struct Opened<'h> {
    remote: &'h Remote,
    policy: Policy,
    nonce: Nonce,
    opened: SessionOpened,
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
}

/// A session whose evidence passed every check.
pub struct Session<'h> {
    remote: &'h Remote,
    policy: Policy,
    nonce: Nonce,
    appraised: AppraisedSession,
    sequence: AtomicU64,
}

/// A job that was taken.
pub struct Running<'s, 'h> {
    session: &'s Session<'h>,
    /// SHA-256 of its exact bytes.
    pub job: Digest,
    /// Its number in the session.
    pub number: u64,
    /// How long its end is waited for: the run time its policy allows and 15 minutes, unless
    /// something else is put here.
    pub patience: Duration,
}

/// Why a session did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The host did not answer well.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The answer is not the enclave's.
    #[error("the answer to {asked} is not believed")]
    Answer {
        /// What was asked.
        asked: &'static str,
        /// What is wrong with it.
        source: AnswerError,
    },
    /// The enclave said no; signed.
    #[error("the enclave refused {asked}: {}", refused.message)]
    Refused {
        /// What was asked.
        asked: &'static str,
        /// Its reason.
        refused: Refused,
    },
    /// The enclave answered another question.
    #[error("the enclave answered {asked} with something else")]
    Mismatch {
        /// What was asked.
        asked: &'static str,
    },
    /// The owner's ledger says no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The policy says no.
    #[error("the policy does not allow it: {0}")]
    Policy(#[from] Refusal),
    /// The runtime went away.
    #[error(
        "the run is spent and its result is lost: the host says that the runtime of job {number} \
         went away before the job's receipt was stored; to run it again, release the keys again"
    )]
    Lost {
        /// The job's number in its session.
        number: u64,
    },
    /// It was waited for long enough.
    #[error(
        "job {number} of session {session} did not end within {} s: the host says that it runs \
         still. Its run is spent; how it ends is not known. Wait longer with --wait",
        waited.as_secs()
    )]
    WaitedOut {
        /// The session.
        session: Digest,
        /// The job's number in it.
        number: u64,
        /// How long.
        waited: Duration,
    },
    /// Nothing is heard any more.
    #[error(
        "nothing was heard of job {number} of session {session} for {} s. Its run is spent; how it \
         ends is not known. The host keeps its receipt, should it come",
        silence.as_secs()
    )]
    Unheard {
        /// The session.
        session: Digest,
        /// The job's number in it.
        number: u64,
        /// How long nothing was heard.
        silence: Duration,
        /// The last failure.
        source: Box<RemoteError>,
    },
    /// The receipt does not open.
    #[error("the receipt of the job cannot be opened")]
    Receipt(#[from] mc2_protocol::documents::receipt::ReceiptError),
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
        let mut nonce = [0; 32];
        crate::random().fill_bytes(&mut nonce);
        let nonce = Hex(nonce);
        let mut left = OPENINGS;
        loop {
            left -= 1;
            let challenge = remote.challenge(policy.digest()).await?;
            let open = OpenSession::sign(policy.bytes(), nonce, challenge, opener);
            match remote.open_session(&open).await {
                Ok(opened) => {
                    return Ok(Self {
                        remote,
                        policy,
                        nonce,
                        opened,
                    });
                }
                Err(error) if left > 0 && is_another_s(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Appraises the evidence: every check, and the session if all passed.
    pub fn appraise(
        self,
        verifier: &Verifier<'_>,
    ) -> (Vec<Check>, Result<Session<'h>, AppraisalRefused>) {
        let appraisal = appraise(&AppraisalInput {
            evidence: &self.opened.evidence,
            endorsements: &[],
            record_bytes: self.opened.record.as_slice(),
            nonce: &self.nonce,
            policy_bytes: self.policy.bytes(),
            expected_components: verifier.components,
            trust: verifier.trust,
            allow_simulated: verifier.allow_simulated,
            purpose: Purpose::Release,
            now: UnixSeconds(crate::unix_seconds(verifier.now)),
        });
        let checks = appraisal.checks.clone();
        let session = appraisal.accept().map(|appraised| Session {
            remote: self.remote,
            policy: self.policy,
            nonce: self.nonce,
            appraised,
            sequence: AtomicU64::new(0),
        });
        (checks, session)
    }
}

impl<'h> Session<'h> {
    /// The policy it was opened for.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What the appraisal found.
    pub const fn appraised(&self) -> &AppraisedSession {
        &self.appraised
    }

    /// The nonce of its evidence.
    pub const fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// Gives data keys to the session: first into the ledger, stored, then out.
    ///
    /// # Errors
    /// The policy or the ledger does not allow it, or the enclave refuses. What stands in the
    /// ledger stays there.
    pub async fn release(
        &self,
        owner: &Identity,
        ledger: &Ledger,
        releases: Vec<Release>,
        now: SystemTime,
    ) -> Result<(), SessionError> {
        let card = owner.card().digest();
        let mut lines = Vec::with_capacity(releases.len());
        for Release { key, runs } in &releases {
            self.policy.check_release(card, &key.dataset, &key.object)?;
            let line = ledger::Release {
                session: *self.appraised.digest(),
                policy: *self.policy.digest(),
                owner: *card,
                dataset: key.dataset.clone(),
                object: key.object,
                runs: *runs,
            };
            lines.push((line, allowed_runs(&self.policy, &key.dataset)));
        }
        ledger.record(&lines, now)?;
        for release in releases {
            match self.send(owner, &Body::Release(release), RELEASE).await? {
                Outcome::Released => {}
                _ => return Err(SessionError::Mismatch { asked: RELEASE }),
            }
        }
        Ok(())
    }

    /// States a party's approval where the job `name` needs one of this party's.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn approve(
        &self,
        party: &Identity,
        name: &Name,
        job: &Digest,
    ) -> Result<(), SessionError> {
        let rule = self.policy.job(name).and_then(|job| job.approve.as_ref());
        let Some(rule) = rule else { return Ok(()) };
        if !rule.of.iter().any(|card| **card == *party.card()) {
            return Ok(());
        }
        let approve = match rule.when {
            When::Session => Approve::Policy(*self.policy.digest()),
            When::Job => Approve::Job(*job),
        };
        match self.send(party, &Body::Approve(approve), APPROVE).await? {
            Outcome::Approved => Ok(()),
            _ => Err(SessionError::Mismatch { asked: APPROVE }),
        }
    }

    /// Submits a job.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn submit<'s>(
        &'s self,
        submitter: &Identity,
        job: &Job,
    ) -> Result<Running<'s, 'h>, SessionError> {
        let bytes = job.to_bytes();
        let digest = Digest::of(&bytes);
        let submit = Submit {
            job: bytes.into(),
            nonce: self.nonce,
            endorsements: Vec::new(),
        };
        match self.send(submitter, &Body::Submit(submit), SUBMIT).await? {
            Outcome::Submitted { number } => Ok(Running {
                session: self,
                job: digest,
                number,
                patience: self.run_time(&job.name) + BEYOND_RUN_TIME,
            }),
            _ => Err(SessionError::Mismatch { asked: SUBMIT }),
        }
    }

    /// Ends the session, which only its opener may and only while no job runs: the enclave forgets
    /// its keys, and this process has nothing left to ask it.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn end(&self, opener: &Identity) -> Result<(), SessionError> {
        let mut left = ENDINGS;
        loop {
            left -= 1;
            match self.send(opener, &Body::End(End {}), END).await {
                Ok(Outcome::Ended) => return Ok(()),
                Ok(_) => return Err(SessionError::Mismatch { asked: END }),
                Err(SessionError::Refused { refused, .. })
                    if left > 0 && refused.code == "busy" =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The run time that the policy allows a job.
    fn run_time(&self, job: &Name) -> Duration {
        let rule = self.policy.job(job);
        rule.map_or(Duration::ZERO, |rule| {
            Duration::from_millis(rule.limits.time.millis())
        })
    }

    async fn send(
        &self,
        sender: &Identity,
        body: &Body,
        asked: &'static str,
    ) -> Result<Outcome, SessionError> {
        let (bytes, pending) = SealedMessage::seal(
            body,
            *self.appraised.digest(),
            &self.appraised.hpke_public_key(),
            sender,
            self.next_sequence(),
            &mut crate::random(),
        );
        let answer = self.remote.message(self.appraised.digest(), bytes).await?;
        let outcome = pending
            .open(&answer, &self.appraised.signing_public_key())
            .map_err(|source| SessionError::Answer { asked, source })?;
        match outcome {
            Outcome::Refused(refused) => Err(SessionError::Refused {
                asked,
                refused: Refused {
                    code: terminal::printable(&refused.code),
                    message: terminal::printable(&refused.message),
                },
            }),
            outcome => Ok(outcome),
        }
    }

    /// Microseconds since 1970, and more than the last: processes of one sender do not collide,
    /// and none falls behind the enclave's window.
    fn next_sequence(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(1, |since| since.as_micros() as u64);
        let next = |last: u64| Some(now.max(last + 1));
        self.sequence
            .try_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .map_or(now, |last| now.max(last + 1))
    }
}

impl Running<'_, '_> {
    /// Waits until the host says the job ended, handing every believed progress event of `reader`
    /// on. How it really ended stands in the receipt.
    ///
    /// # Errors
    /// The host is gone for minutes, lost the job, or says for longer than
    /// [`patience`](Self::patience) that it runs.
    pub async fn wait(
        &self,
        reader: &Identity,
        mut progress: impl FnMut(Event),
    ) -> Result<JobState, SessionError> {
        let session = self.session.appraised.digest();
        let key = self.session.appraised.signing_public_key();
        let mut after = 0;
        let mut sequence = None;
        let begun = Instant::now();
        let mut heard = begun;
        let number = self.number;
        loop {
            let asked = Instant::now();
            let left = self.patience.saturating_sub(begun.elapsed());
            let status = self.session.remote.job_status(session, number, after);
            let Ok(status) = tokio::time::timeout(left, status).await else {
                return Err(SessionError::WaitedOut {
                    session: *session,
                    number,
                    waited: begun.elapsed(),
                });
            };
            let status = match status {
                Ok(status) => status,
                Err(error) if !is_passing(&error) => return Err(error.into()),
                Err(source) if heard.elapsed() > PATIENCE => {
                    return Err(SessionError::Unheard {
                        session: *session,
                        number,
                        silence: heard.elapsed(),
                        source: Box::new(source),
                    });
                }
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            heard = Instant::now();
            for sealed in &status.events {
                if sealed.card != *reader.card().digest() {
                    continue;
                }
                // What does not open is the host's invention.
                let Ok(event) = sealed.open(session, &key, reader) else {
                    continue;
                };
                if event.number == number && sequence < Some(event.sequence) {
                    sequence = Some(event.sequence);
                    progress(event);
                }
            }
            match status.state {
                JobState::Running if status.next > after => after = status.next,
                // A host that answers at once with nothing is not asked without a pause.
                JobState::Running if asked.elapsed() < PAUSE => {
                    tokio::time::sleep(PAUSE).await;
                }
                JobState::Running => {}
                JobState::Lost => return Err(SessionError::Lost { number }),
                ended => return Ok(ended),
            }
        }
    }

    /// Stops the job.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn cancel(&self, submitter: &Identity) -> Result<(), SessionError> {
        let body = Body::Cancel(Cancel {
            number: self.number,
        });
        match self.session.send(submitter, &body, CANCEL).await? {
            Outcome::Cancelled => Ok(()),
            _ => Err(SessionError::Mismatch { asked: CANCEL }),
        }
    }

    /// The job's receipt, opened and not verified: that is [`crate::verify`]'s.
    ///
    /// # Errors
    /// There is none, or it is not sealed to this reader.
    pub async fn receipt(&self, reader: &Identity) -> Result<Envelope, SessionError> {
        let session = self.session.appraised.digest();
        let sealed = self.session.remote.receipt(session, self.number).await?;
        Ok(sealed.open(session, reader)?)
    }
}

const RELEASE: &str = "the release of a data key";
const APPROVE: &str = "the approval";
const SUBMIT: &str = "the job";
const CANCEL: &str = "the cancellation";
const END: &str = "the end of the session";

/// For how many runs a policy allows the key of a dataset to be released in all.
fn allowed_runs(policy: &Policy, dataset: &Name) -> u64 {
    let reads = |job: &&mc2_protocol::policy::JobRule| {
        job.steps.iter().flat_map(|step| &step.inputs).any(|input| {
            matches!(&input.from, mc2_protocol::policy::Origin::Dataset(name) if name == dataset)
        })
    };
    let jobs = policy.jobs().iter().filter(reads);
    jobs.map(|job| u64::from(job.runs)).sum()
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

fn is_passing(error: &RemoteError) -> bool {
    use crate::http::HttpError;

    match error {
        // The answer to the submission may be quicker than the announcement of the job.
        RemoteError::Http(error) if error.code() == Some("unknown-job") => true,
        RemoteError::Http(HttpError::Refused { status, .. }) => *status >= 500,
        RemoteError::Http(HttpError::Hostile { .. }) => false,
        RemoteError::Http(_) => true,
        _ => false,
    }
}
