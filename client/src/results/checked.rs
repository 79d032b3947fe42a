//! Following a receipt from a file, and what is said of it.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use mc2_attestation::{Check, TrustStore, UnixSeconds};
use mc2_protocol::{
    Digest, Identity, Name,
    documents::{
        dsse::Envelope,
        failure::FailureDetail,
        receipt::{self, Statement, Status},
        record::ComponentDigest,
    },
    encoding::parse_json,
    policy::Policy,
};
use serde_json::{Value, json};

use super::{
    date::{self, Date, DateChoice, DateError, Dated},
    error::ResultError,
    keep::RECEIPT,
    known::{Known, VerifyOptions},
};
use crate::{
    checks,
    files::read_capped,
    state::State,
    terminal::printable,
    verify::{
        Expected, NO_DATE, Verdict, Verified, as_of::verify_as_of, failure, figures::Figures,
        verify,
    },
    workload::Workload,
};

/// A receipt that was followed.
pub struct Checked {
    pub(super) job: Digest,
    pub(super) job_name: Name,
    /// How the job ended, if the receipt is believed.
    status: Status,
    known: Known,
    /// What this user's identities may see of what the job used, and of why it failed.
    figures: Figures,
    failed: FailureDetail,
    /// As of now.
    verdict: Verdict,
    /// As of an earlier time, where a date was given.
    then: Option<Then>,
    /// The exact bytes of its file.
    bytes: Vec<u8>,
}

/// A receipt as of an earlier time: why what was given dates nothing, or the verdict as of a date.
type Then = Result<(Date, Verdict), DateError>;

/// Follows the receipt in a file, or in a result's folder: as of now, and where somebody vouches for
/// a date, as of that, too.
///
/// ```no_run
/// use std::path::Path;
///
/// use mc2_client::{
///     results::{VerifyOptions, verify_file},
///     state::State,
/// };
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// // The job is one that was submitted from here, and so its policy is known.
/// let state = State::locate()?;
/// let checked = verify_file(&state, Path::new("result"), &VerifyOptions::default(), None)?;
/// print!("{}", checked.to_text());
/// let verified = checked.accept()?;
/// # let _ = verified;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The files cannot be read. A link that does not hold is not an error here: see
/// [`Checked::accept`].
pub fn verify_file(
    state: &State,
    path: &Path,
    options: &VerifyOptions,
    date: Option<&DateChoice>,
) -> Result<Checked, ResultError> {
    let file = receipt_at(path);
    let (bytes, envelope) = read_receipt(&file)?;
    let claimed = Statement::claimed(&envelope)
        .map_err(|source| ResultError::OtherDocument { path: file, source })?;
    let job = claimed.predicate.job;
    let session = Digest::of(claimed.predicate.record.as_slice());
    let known = Known::of(state, path, &job, &session, options)?;
    let trust = trust(state, &job, options.allow_simulated)?;
    let components = components(options, known.policy.as_ref(), &claimed)?;
    let collateral = options.collateral.read(state.collateral())?;
    let own = known.submission.as_ref();
    let expected = Expected {
        trust: &trust,
        allow_simulated: options.allow_simulated,
        now: SystemTime::now(),
        policy: known.policy.as_ref(),
        components: components.as_deref(),
        nonce: own.map(|own| &own.nonce),
        session: known.session.as_ref(),
        number: None,
        job: own.map(|own| &own.job).or(options.job.as_ref()),
        submitter: own.map(|own| &own.submitter),
        collateral: collateral.as_ref(),
    };
    let verdict = verify(&envelope, &expected);
    if let Some(verified) = verdict.verified() {
        state.note_seen(&verified.session, expected.now)?;
    }
    let dated = Dated {
        receipt: &bytes,
        policy: known.policy.as_ref(),
        job: &claimed.predicate.job_name,
        now: date::now(),
    };
    let then = match date {
        Some(choice) => Some(choice.of(&dated).map_err(ResultError::Read)?.map(|date| {
            let verdict = verify_as_of(&envelope, &expected, date.time);
            (date, verdict)
        })),
        None => None,
    };
    let believed = believed(&verdict, then.as_ref());
    let (figures, failed) = match believed {
        Some(Verified {
            receipt, session, ..
        }) => {
            let (session, readers) = (session.digest(), state.identities()?);
            (
                Figures::open(receipt, session, &readers),
                failure::detail(receipt, session, &readers),
            )
        }
        None => Default::default(),
    };
    Ok(Checked {
        job,
        job_name: claimed.predicate.job_name,
        status: claimed.predicate.status,
        known,
        figures,
        failed,
        verdict,
        then,
        bytes,
    })
}

/// Writes to the file `output` that the receipt at `path` verifies now, by the word of the identity
/// `name`, who must be one of those whom the policy asks to approve the job; returns when and who.
///
/// # Errors
/// [`ResultError`], also where the receipt does not verify; nothing is written then.
pub fn vouch_for(
    state: &State,
    path: &Path,
    identity: &Identity,
    options: &VerifyOptions,
    output: &Path,
) -> Result<UnixSeconds, ResultError> {
    let checked = verify_file(state, path, options, None)?;
    let verified = checked.verdict.accept()?;
    let dated = Dated {
        receipt: &checked.bytes,
        policy: Some(&verified.policy),
        job: &checked.job_name,
        now: date::now(),
    };
    date::vouch(&dated, identity, output)?.map_err(ResultError::Write)?;
    Ok(dated.now)
}

/// The receipt, where a verdict believes it: that of now before that of then.
fn believed<'a>(now: &'a Verdict, then: Option<&'a Then>) -> Option<&'a Verified> {
    let then = then.and_then(|then| then.as_ref().ok());
    now.verified()
        .or_else(|| then.and_then(|(_, verdict)| verdict.verified()))
}

impl Checked {
    /// Every link.
    pub fn checks(&self) -> &[Check] {
        &self.verdict.checks
    }

    /// The verdict for people.
    pub fn to_text(&self) -> String {
        let (now, then) = (self.verdict.in_words(), self.then_in_words());
        let checks = checks::to_text(&self.verdict.checks);
        let lines = self.lines().join("\n");
        format!(
            "receipt of job {} ({})\n{checks}{lines}\nas of now: {now}\n{then}\n",
            self.job, self.job_name
        )
    }

    /// The verdict for programs.
    pub fn to_json(&self) -> Value {
        let now = self.verdict.is_accepted();
        let accepted = match &self.then {
            None => now,
            Some(then) => then.as_ref().is_ok_and(|(_, then)| then.is_accepted()),
        };
        let (status, reason) = match &self.status {
            _ if self.believed().is_none() => (None, None),
            Status::Succeeded => (Some("succeeded"), None),
            Status::Failed { reason, .. } => (Some("failed"), Some(reason)),
        };
        json!({
            "version": 1,
            "job": self.job,
            "accepted": accepted,
            "status": status,
            "reason": reason,
            "failed_output": self.failed.output,
            "own_job": self.known.submission.is_some(),
            "not_shown": self.known.not_shown,
            "custody": self.custody_json(),
            "checks": checks::to_json(&self.verdict.checks),
            "usage": self.figures.to_json(),
            "as_of_now": now,
            "as_of": self.then.as_ref().map(then_json),
        })
    }

    fn believed(&self) -> Option<&Verified> {
        believed(&self.verdict, self.then.as_ref())
    }

    /// The verdict as of an earlier time, in words.
    fn then_in_words(&self) -> String {
        match &self.then {
            None => NO_DATE.to_owned(),
            Some(Err(error)) => {
                // It may repeat what a file says.
                let error = printable(&error.to_string());
                format!("as of an earlier time: no verdict: {error}")
            }
            Some(Ok((date, verdict))) => {
                let Date { time, by, .. } = date;
                // Where it is broken, all that its line says: these are not the lines above.
                let found = match verdict.broken() {
                    Some(broken) => format!("broken at {broken}"),
                    None => verdict.in_words(),
                };
                format!("as of {time}, by {}: {found}", printable(by))
            }
        }
    }

    /// How the job ended, whose it is, what following its receipt does not show, and the figures
    /// this reader may see.
    pub(super) fn lines(&self) -> Vec<String> {
        let status = if self.believed().is_some() {
            in_words(&self.status)
        } else {
            "not shown, for the receipt does not verify".to_owned()
        };
        let mut lines = vec![format!("status: {status}")];
        if let Status::Failed { reason, .. } = &self.status
            && self.believed().is_some()
        {
            let output = self.failed.output.as_ref();
            lines.extend(failure::of_outputs(reason, output));
        }
        if let Some(verified) = self.believed() {
            lines.extend(verified.receipt.custody.iter().map(|kept| {
                let holder = verified.policy.custody(&kept.name);
                let holder = holder.map_or("nobody", |one| one.holder.name().as_str());
                let (name, runs) = (&kept.name, kept.runs);
                format!(
                    "{name}: in custody of {holder}; nobody opens it, later jobs of the policy may \
                     take it, {runs} times in all"
                )
            }));
        }
        lines.extend(self.known.lines());
        lines.extend(self.figures.to_text().lines().map(str::to_owned));
        lines
    }

    /// What the job left in custody, if the receipt is believed.
    fn custody_json(&self) -> Vec<Value> {
        let Some(verified) = self.believed() else {
            return Vec::new();
        };
        let left = verified.receipt.custody.iter();
        left.map(|one| {
            let custody = verified.policy.custody(&one.name);
            json!({
                "output": one.name,
                "object": one.object,
                "holder": custody.map(|custody| custody.holder.name()),
                "runs": one.runs,
            })
        })
        .collect()
    }

    /// The receipt, verified as was asked: as of the date that was given, or as of now where none was.
    ///
    /// # Errors
    /// The first link that does not hold, or why what was given dates nothing.
    pub fn accept(self) -> Result<Verified, ResultError> {
        let verdict = match self.then {
            None => self.verdict,
            Some(then) => then?.1,
        };
        Ok(verdict.accept()?)
    }
}

/// The verdict as of an earlier time, for programs.
fn then_json(then: &Then) -> Value {
    match then {
        Ok((date, verdict)) => {
            let mut told = date.to_json();
            told["accepted"] = verdict.is_accepted().into();
            told["checks"] = checks::to_json(&verdict.checks).into();
            told
        }
        Err(error) => json!({ "accepted": false, "refused": error.to_string() }),
    }
}

/// How a job ended, for people.
pub fn in_words(status: &Status) -> String {
    match status {
        Status::Succeeded => "the job succeeded".to_owned(),
        Status::Failed { step, reason } => {
            let (step, reason) = (step.saturating_add(1), printable(reason));
            format!("the job failed in step {step}: {reason}")
        }
    }
}

/// The receipt at `path`: the file, or the one of a result's folder.
fn receipt_at(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join(RECEIPT)
    } else {
        path.to_owned()
    }
}

fn read_receipt(path: &Path) -> Result<(Vec<u8>, Envelope), ResultError> {
    let bytes = read_capped(path, 2 * receipt::MAX_LEN).map_err(ResultError::Read)?;
    let envelope = parse_json("the receipt's envelope", &bytes, 2 * receipt::MAX_LEN);
    let envelope = envelope.map_err(|source| ResultError::NotAReceipt {
        path: path.to_owned(),
        source,
    })?;
    Ok((bytes, envelope))
}

/// This user's trust store, and with it the simulator that was pinned when the job ran here.
fn trust(state: &State, job: &Digest, allow_simulated: bool) -> Result<TrustStore, ResultError> {
    let mut trust = state.trusted()?;
    if !allow_simulated {
        return Ok(trust);
    }
    let Some(bytes) = state.simulator(job)? else {
        return Ok(trust);
    };
    // What is not valid there is not trusted, and the appraisal says what is missing.
    if let Ok(kept) = TrustStore::parse(&bytes, &[]) {
        for key in kept.simulators() {
            trust.pin_simulator(*key);
        }
        for value in kept.reference_values() {
            let _ = trust.add(value.clone());
        }
    }
    Ok(trust)
}

fn components(
    options: &VerifyOptions,
    policy: Option<&Policy>,
    claimed: &Statement,
) -> Result<Option<Vec<ComponentDigest>>, ResultError> {
    if options.components.is_empty() {
        return Ok(None);
    }
    // Only the names are taken from a policy nobody vouched for yet; it is checked like any.
    let claimed_policy = Policy::parse(claimed.predicate.policy.as_slice()).ok();
    let named = policy
        .or(claimed_policy.as_ref())
        .map_or(&[][..], Policy::components);
    if named.len() != options.components.len() {
        return Err(ResultError::Components {
            expected: named.len(),
            found: options.components.len(),
        });
    }
    let measured = named
        .iter()
        .zip(&options.components)
        .map(|(component, path)| {
            Ok(ComponentDigest {
                name: component.name.clone(),
                sha256: Workload::read(path)?.sha256,
            })
        });
    measured.collect::<Result<_, ResultError>>().map(Some)
}
