//! Following a receipt back to the hardware, link by link, offline.
//!
//! receipt → the session's signature → the policy → record and evidence → trust store; then the
//! approvals the policy demands, the job, its submitter, inputs and outputs. Every link is a line;
//! the first that breaks is the verdict.

pub mod as_of;
pub mod failure;
pub mod figures;

use mc2_attestation::{
    AppraisalInput, AppraisedSession, Check, Finding, Outcome, Purpose, TrustStore, UnixSeconds,
    appraise,
};
use mc2_protocol::{
    Digest,
    documents::{
        custody::ReceiptCustody,
        dsse::Envelope,
        message::{claimed_sender, verify_approval},
        receipt::{Receipt, Statement},
        record::{ComponentDigest, Nonce, SessionRecord},
    },
    policy::{Approvals, Output, Policy, When},
};

use crate::collateral::Collateral;

/// What a verifier knows before it reads the receipt. `None` is not checked, and said so.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// Its reference values.
    pub trust: &'a TrustStore,
    /// Whether the simulator may pass. NOT SECURE.
    pub allow_simulated: bool,
    /// Its time.
    pub now: std::time::SystemTime,
    /// The policy that was agreed.
    pub policy: Option<&'a Policy>,
    /// The components it measured itself, in the policy's order.
    pub components: Option<&'a [ComponentDigest]>,
    /// The nonce of the evidence it appraised.
    pub nonce: Option<&'a Nonce>,
    /// The session it appraised.
    pub session: Option<&'a Digest>,
    /// The number of the job it asked for.
    pub number: Option<u64>,
    /// The job it submitted.
    pub job: Option<&'a Digest>,
    /// The card it expects to have submitted the job.
    pub submitter: Option<&'a Digest>,
    /// What it has of the vendors' collateral, beside what is in the receipt.
    pub collateral: Option<&'a Collateral>,
}

/// Every link that was followed, and the receipt if none broke.
pub struct Verdict {
    /// The links in order.
    pub checks: Vec<Check>,
    verified: Option<Verified>,
}

/// A receipt whose every link holds.
pub struct Verified {
    /// What it says.
    pub receipt: Receipt,
    /// The session that signed it.
    pub session: AppraisedSession,
    /// The policy it ran under.
    pub policy: Policy,
}

/// The first link of a receipt that does not hold.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the receipt does not verify: {0}")]
pub struct BrokenLink(pub Check);

impl Verdict {
    /// The verified receipt.
    ///
    /// # Errors
    /// [`BrokenLink`].
    pub fn accept(self) -> Result<Verified, BrokenLink> {
        match self.verified {
            Some(verified) => Ok(verified),
            None => Err(BrokenLink(first_broken(&self.checks))),
        }
    }

    /// The verified receipt, to look at.
    pub const fn verified(&self) -> Option<&Verified> {
        self.verified.as_ref()
    }

    /// Whether every link holds.
    pub const fn is_accepted(&self) -> bool {
        self.verified.is_some()
    }

    /// The first link that does not hold, where one does not.
    pub fn broken(&self) -> Option<Check> {
        (!self.is_accepted()).then(|| first_broken(&self.checks))
    }

    /// The verdict in words.
    pub fn in_words(&self) -> String {
        match self.broken() {
            None => ACCEPTED.to_owned(),
            Some(broken) => format!("broken at \"{}\"", broken.what),
        }
    }
}

/// The verdict on a receipt whose every link holds.
pub const ACCEPTED: &str = "the receipt verifies back to its evidence";

/// What is said of a receipt as of an earlier time, where no date was given for it.
pub const NO_DATE: &str = "as of an earlier time: no verdict, because nobody vouches for a date (a \
                           date from host, enclave or evidence dates nothing)";

/// Follows a receipt.
///
/// ```no_run
/// use std::time::SystemTime;
///
/// use mc2_client::{
///     state::State,
///     verify::{Expected, verify},
/// };
/// use mc2_protocol::{documents::dsse::Envelope, policy::Policy};
///
/// fn check(envelope: &Envelope, agreed: &Policy) -> Result<(), Box<dyn std::error::Error>> {
///     let trust = State::locate()?.trusted()?;
///     let verdict = verify(
///         envelope,
///         &Expected {
///             trust: &trust,
///             allow_simulated: false,
///             now: SystemTime::now(),
///             policy: Some(agreed),
///             components: None,
///             nonce: None,
///             session: None,
///             number: None,
///             job: None,
///             submitter: None,
///             collateral: None,
///         },
///     );
///     for check in &verdict.checks {
///         println!("{check}");
///     }
///     println!("{:?}", verdict.accept()?.receipt.status);
///     Ok(())
/// }
/// ```
pub fn verify(envelope: &Envelope, expected: &Expected<'_>) -> Verdict {
    let mut lines = Lines::default();
    let verified = follow(envelope, expected, &mut lines);
    let whole = lines.0.iter().all(|check| check.outcome == Outcome::Passed);
    Verdict {
        checks: lines.0,
        verified: verified.filter(|_| whole),
    }
}

fn follow(envelope: &Envelope, expected: &Expected<'_>, lines: &mut Lines) -> Option<Verified> {
    let receipt = signed(envelope, lines)?;
    let policy = agreed_policy(&receipt, expected, lines)?;
    let session = attested(&receipt, &policy, expected, lines)?;
    let good = [
        approved(&receipt, &policy, &session, lines),
        own_job(&receipt, &policy, expected, lines),
        inputs(&receipt, &policy, lines),
        outputs(&receipt, &policy, lines),
        custody(&receipt, &policy, lines),
    ];
    good.iter().all(|good| *good).then_some(Verified {
        receipt,
        session,
        policy,
    })
}

/// The receipt, once the signature of the key in its own record is checked. Whether that record
/// is an enclave's is the next link.
fn signed(envelope: &Envelope, lines: &mut Lines) -> Option<Receipt> {
    const WHAT: Link = ("receipt-signature", "receipt signature");
    let advice = "the receipt was altered, or is another document: get it again from who gave it";
    let claimed = match Statement::claimed(envelope) {
        Ok(claimed) => claimed,
        Err(error) => return lines.failed(WHAT, "a receipt", error, advice),
    };
    let record = match SessionRecord::parse(claimed.predicate.record.as_slice()) {
        Ok(record) => record,
        Err(error) => return lines.failed(WHAT, "a session record in it", error, advice),
    };
    match Statement::verify(envelope, &record.signing_public_key()) {
        Ok(statement) => {
            lines.passed(WHAT, "by the key in its session record");
            Some(statement.predicate)
        }
        Err(error) => {
            let wanted = "the signature of the key in its session record";
            lines.failed(WHAT, wanted, error, advice)
        }
    }
}

/// The policy, which is the expected one where there is one.
fn agreed_policy(receipt: &Receipt, expected: &Expected<'_>, lines: &mut Lines) -> Option<Policy> {
    const WHAT: Link = ("receipt-policy", "receipt's policy");
    let found = Digest::of(receipt.policy.as_slice());
    if let Some(policy) = expected.policy {
        let advice = "the job ran under another policy than yours: do not accept its result";
        let wanted = *policy.digest();
        if !lines.check(WHAT, found == wanted, wanted, found, advice) {
            return None;
        }
        return Some(policy.clone());
    }
    match Policy::parse(receipt.policy.as_slice()) {
        Ok(policy) => {
            lines.passed(
                WHAT,
                format!("{found}; none was expected, pass --policy to check"),
            );
            Some(policy)
        }
        Err(error) => lines.failed(
            WHAT,
            "a policy",
            error,
            "the receipt was not made by a runtime of this release",
        ),
    }
}

fn attested(
    receipt: &Receipt,
    policy: &Policy,
    expected: &Expected<'_>,
    lines: &mut Lines,
) -> Option<AppraisedSession> {
    if let Some(nonce) = expected.nonce {
        let advice = "the receipt holds other evidence than the one you appraised";
        lines.check(
            ("own-nonce", "own nonce"),
            receipt.nonce == *nonce,
            nonce,
            receipt.nonce,
            advice,
        );
    }
    let now = UnixSeconds(crate::unix_seconds(expected.now));
    let (evidence, came) = (&receipt.evidence, &receipt.endorsements);
    let chosen = Collateral::choose(expected.collateral, evidence, came, now);
    let appraisal = appraise(&AppraisalInput {
        evidence,
        endorsements: &chosen.endorsements,
        record_bytes: receipt.record.as_slice(),
        nonce: &receipt.nonce,
        policy_bytes: policy.bytes(),
        expected_components: expected.components,
        trust: expected.trust,
        allow_simulated: expected.allow_simulated,
        purpose: Purpose::Receipt,
        now,
    });
    lines.0.extend(appraisal.checks.iter().cloned());
    let Ok(session) = appraisal.accept() else {
        lines.0.extend(chosen.stale);
        return None;
    };
    if let Some(own) = expected.session {
        let advice = "the receipt is another session's: do not accept its result";
        lines.check(
            ("own-session", "own session"),
            session.digest() == own,
            own,
            session.digest(),
            advice,
        );
    }
    Some(session)
}

/// Checks every approval in the receipt and that they are as many as the policy demands.
fn approved(
    receipt: &Receipt,
    policy: &Policy,
    session: &AppraisedSession,
    lines: &mut Lines,
) -> bool {
    const WHAT: Link = ("approvals", "approvals");
    let advice = "the job ran without the approvals the policy demands: do not accept its result";
    let Some(rule) = policy.job(&receipt.job_name) else {
        let name = &receipt.job_name;
        return lines.check(WHAT, false, "a job of the policy", name, advice);
    };
    let mut approvals = Approvals::new();
    let mut given = std::collections::BTreeSet::new();
    for envelope in &receipt.approvals {
        let sender = claimed_sender(envelope).ok();
        let Some(card) = sender.and_then(|sender| policy.party(&sender)) else {
            return lines.check(WHAT, false, "approvals of parties", "a stranger's", advice);
        };
        let approval = match verify_approval(envelope, session.digest(), card) {
            Ok(approval) => approval,
            Err(error) => return lines.check(WHAT, false, "signed approvals", error, advice),
        };
        if let Err(error) = approvals.record(policy, card.digest(), &approval) {
            return lines.check(WHAT, false, "approvals of this policy", error, advice);
        }
        use mc2_protocol::documents::message::Approve;
        let counts = match (rule.approve.as_ref().map(|rule| rule.when), approval) {
            (Some(When::Session), Approve::Policy(_)) => true,
            (Some(When::Job), Approve::Job(job)) => job == receipt.job,
            _ => false,
        };
        if counts {
            given.insert(*card.digest());
        }
    }
    let Some(rule) = &rule.approve else {
        return lines.check(WHAT, true, "none needed", "none needed", advice);
    };
    let counted = rule.of.iter().filter(|card| given.contains(card.digest()));
    let names: Vec<&str> = counted.map(|card| card.name().as_str()).collect();
    let wanted = format!("{} of the {} who may approve", rule.at_least, rule.of.len());
    let found = format!("{} ({})", names.len(), names.join(", "));
    lines.check(WHAT, names.len() >= rule.at_least, wanted, found, advice)
}

fn own_job(receipt: &Receipt, policy: &Policy, expected: &Expected<'_>, lines: &mut Lines) -> bool {
    let mut good = true;
    if let Some(job) = expected.job {
        let advice = "this is the receipt of another job: do not accept its result";
        good &= lines.check(
            ("own-job", "own job"),
            receipt.job == *job,
            job,
            receipt.job,
            advice,
        );
    }
    if let Some(number) = expected.number {
        let advice = "the host gave the receipt of another job of this session";
        good &= lines.check(
            ("job-number", "job number"),
            receipt.number == number,
            number,
            receipt.number,
            advice,
        );
    }
    let advice = "somebody the policy does not name ran the job: do not accept its result";
    let allowed = policy.job(&receipt.job_name).is_some_and(|rule| {
        rule.submit
            .iter()
            .any(|card| *card.digest() == receipt.submitter)
    });
    let who = policy
        .party(&receipt.submitter)
        .map(|card| card.name().to_string());
    let found = who.unwrap_or_else(|| receipt.submitter.to_string());
    good &= lines.check(
        ("submitter", "submitter"),
        allowed,
        "one whom the policy lets submit",
        &found,
        advice,
    );
    if let Some(card) = expected.submitter {
        let same = receipt.submitter == *card;
        good &= lines.check(
            ("own-submission", "own submission"),
            same,
            card,
            receipt.submitter,
            advice,
        );
    }
    good
}

fn inputs(receipt: &Receipt, policy: &Policy, lines: &mut Lines) -> bool {
    let advice = "the job read data the policy does not name: do not accept its result";
    for input in &receipt.inputs {
        let pinned = policy.dataset(&input.dataset).and_then(|set| set.object);
        let keeper = policy.keeper_of(&input.dataset);
        let good = keeper.is_some_and(|card| *card.name() == input.owner)
            && pinned.is_none_or(|object| object == input.object);
        if !good {
            let found = format!("{} of {}, {}", input.dataset, input.owner, input.object);
            return lines.check(
                ("inputs", "inputs"),
                false,
                "the policy's datasets and versions",
                found,
                advice,
            );
        }
    }
    let found: Vec<String> = receipt
        .inputs
        .iter()
        .map(|input| format!("{} {}", input.dataset, input.object.short()))
        .collect();
    lines.check(("inputs", "inputs"), true, "", listed(&found), advice)
}

fn outputs(receipt: &Receipt, policy: &Policy, lines: &mut Lines) -> bool {
    let advice = "the job released something the policy does not let it: do not accept its result";
    let rule = policy.job(&receipt.job_name);
    for output in &receipt.outputs {
        let rule = rule
            .and_then(|rule| rule.steps.get(output.step as usize))
            .and_then(|step| step.output(&output.name));
        let good = rule.is_some_and(|rule| {
            let mut readers = output.recipients.iter().map(|one| one.card);
            readers.all(|card| {
                rule.recipients()
                    .iter()
                    .any(|reader| *reader.digest() == card)
            })
        });
        if !good {
            let found = format!("{:?} of step {}", output.name, output.step);
            return lines.check(
                ("outputs", "outputs"),
                false,
                "the policy's outputs and readers",
                found,
                advice,
            );
        }
    }
    let found: Vec<String> = receipt
        .outputs
        .iter()
        .map(|output| format!("{} {}", output.name, output.object.short()))
        .collect();
    lines.check(("outputs", "outputs"), true, "", listed(&found), advice)
}

/// What nobody opens is kept by whom the policy says, for as many runs as it says.
fn custody(receipt: &Receipt, policy: &Policy, lines: &mut Lines) -> bool {
    const WHAT: Link = ("custody", "in custody");
    let advice =
        "the job gave a key away that the policy keeps elsewhere: do not accept its result";
    let rule = policy.job(&receipt.job_name);
    for entry in &receipt.custody {
        let rule = rule
            .and_then(|rule| rule.steps.get(entry.step as usize))
            .and_then(|step| step.output(entry.name.as_str()))
            .and_then(Output::custody);
        let good = rule.is_some_and(|rule| {
            *rule.holder.digest() == entry.holder.card && rule.runs == entry.runs
        });
        if !good {
            let ReceiptCustody {
                name, step, runs, ..
            } = entry;
            let found = format!(
                "{name} of step {step} with card {}, {runs} runs",
                entry.holder.card.short()
            );
            return lines.check(
                WHAT,
                false,
                "what the policy keeps, and by whom",
                found,
                advice,
            );
        }
    }
    let found: Vec<String> = receipt
        .custody
        .iter()
        .map(|entry| format!("{} {}", entry.name, entry.object.short()))
        .collect();
    lines.check(WHAT, true, "", listed(&found), advice)
}

fn listed(found: &[String]) -> String {
    if found.is_empty() {
        return "none".to_owned();
    }
    found.join(", ")
}

fn first_broken(checks: &[Check]) -> Check {
    let broken = checks.iter().find(|check| check.outcome != Outcome::Passed);
    broken
        .cloned()
        .unwrap_or_else(|| Check::not_reached("receipt", "receipt"))
}

/// A link's name for programs, and for people.
type Link = (&'static str, &'static str);

#[derive(Default)]
struct Lines(Vec<Check>);

impl Lines {
    fn check(
        &mut self,
        (id, what): Link,
        passed: bool,
        expected: impl ToString,
        found: impl ToString,
        advice: &'static str,
    ) -> bool {
        let found = crate::terminal::printable(&found.to_string());
        let finding = Finding::new(passed, expected, found, advice);
        self.0.push(Check::made(id, what, finding));
        passed
    }

    fn passed(&mut self, link: Link, found: impl ToString) {
        self.check(link, true, "", found, "");
    }

    fn failed<T>(
        &mut self,
        link: Link,
        expected: impl ToString,
        found: impl ToString,
        advice: &'static str,
    ) -> Option<T> {
        self.check(link, false, expected, found, advice);
        None
    }
}
