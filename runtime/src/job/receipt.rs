//! A job's receipt: what its steps left, in the form that each reader may see.

use std::sync::Arc;

use mc2_protocol::{
    Card,
    documents::{
        custody::{CustodyOf, CustodySecret, ReceiptCustody},
        failure::FailureDetail,
        figures::{StepObserved, StepOf, StepUsage},
        receipt::{
            Endorsement, MAX_ENDORSEMENTS, OutputSecret, Receipt, ReceiptInput, ReceiptOutput,
            ReceiptParts, ReceiptStep, SealedReceipt, Statement, Status,
        },
        sealed_to::{OnePerCard, SealTo},
    },
    encoding::to_json,
    policy::{AdmittedJob, AdmittedStep, Custody, Output, USAGE},
};

use super::outputs::SealedOutput;
use crate::{Attested, random, session::Order};

/// The most bytes that an order's sealed receipt can have, give or take white space: what is known
/// before it runs, each layer of base64 counted, and constants for what is not.
pub(crate) fn receipt_bound(order: &Order, attested: &Attested) -> usize {
    const TEXT: usize = 512;
    const SEALED: usize = 4096;
    let base64 = |bytes: usize| bytes.div_ceil(3) * 4;
    let job = &order.job;
    let steps = job.steps.iter().map(|step| {
        let figures = SEALED + step.instances as usize * TEXT;
        let recipients = step
            .outputs
            .iter()
            .map(|output| output.recipients().len() + usize::from(output.custody().is_some()));
        let outputs = recipients.map(|sealed| 2 * TEXT + sealed * figures);
        TEXT + outputs.sum::<usize>() + job.owners.len() * figures
    });
    let statement = SEALED
        + base64(order.terms.record.len())
        + base64(order.terms.policy.bytes().len())
        + to_json(&attested.evidence).len()
        + to_json(&endorsements(order, attested)).len()
        + to_json(&order.approvals).len()
        + order.keys.len() * TEXT
        + steps.sum::<usize>();
    base64(base64(statement) + TEXT) + TEXT + job.readers.len() * SEALED
}

/// What a job leaves for its receipt.
pub(super) struct Report {
    /// Outputs that reach somebody or are kept in custody, with the number of the step each comes from.
    pub(super) released: Vec<(usize, Output, SealedOutput)>,
    /// Figures of every step, zeros for those that did not run.
    pub(super) figures: Vec<(StepUsage, StepObserved)>,
    /// What the submitter is told of a failure.
    pub(super) detail: FailureDetail,
}

impl Report {
    /// That of a job of which nothing has run.
    pub(super) fn new(job: &AdmittedJob) -> Self {
        let none = |step: &AdmittedStep| {
            let instances = step.instances as usize;
            let observed = StepObserved {
                instances: vec![Default::default(); instances],
                ..Default::default()
            };
            (StepUsage(vec![Default::default(); instances]), observed)
        };
        Self {
            released: Vec::new(),
            figures: job.steps.iter().map(none).collect(),
            detail: FailureDetail::default(),
        }
    }

    /// Wraps the outputs' keys, signs and seals the receipt: the job has ended.
    pub(super) fn seal(&self, order: &Order, status: Status, attested: Attested) -> SealedReceipt {
        let (terms, job) = (&order.terms, &order.job);
        // Most of its readers get several things.
        let by = &mut OnePerCard::new(random::rng());
        let failure = (status != Status::Succeeded).then(|| {
            let submitter = &job.submitter;
            self.detail.seal(&terms.digest, &job.digest, submitter, by)
        });
        let statement = Statement::new(Receipt::new(ReceiptParts {
            record: terms.record.clone(),
            nonce: order.nonce,
            endorsements: endorsements(order, &attested),
            evidence: attested.evidence,
            policy: terms.policy.bytes().to_vec(),
            approvals: order.approvals.clone(),
            submitter: *job.submitter.digest(),
            job: job.digest,
            job_name: job.name.clone(),
            number: order.number,
            inputs: inputs(order),
            status,
            failure,
            steps: self.steps(order, by),
            outputs: self.outputs(order, by),
            custody: self.custody(order, by),
        }));
        let envelope = statement.sign(&terms.signing_key);
        let readers: Vec<&Card> = job.readers.iter().map(Arc::as_ref).collect();
        SealedReceipt::seal(&envelope, &terms.digest, &readers, by)
    }

    fn outputs(&self, order: &Order, by: &mut impl SealTo) -> Vec<ReceiptOutput> {
        let (session, job) = (&order.terms.digest, &order.job.digest);
        let released = self.released.iter();
        let outputs = released.filter(|(_, output, _)| output.custody().is_none());
        let outputs = outputs.map(|(step, output, object)| {
            let name = output.name.as_str();
            let secret = OutputSecret {
                key: object.key.secret.clone(),
                length: object.length,
                sha256: object.sha256,
            };
            let recipients = output.recipients().iter();
            let recipients = recipients.map(|to| secret.seal(session, job, name, to, by));
            ReceiptOutput {
                name: name.to_owned(),
                step: *step as u32,
                object: object.key.object,
                recipients: recipients.collect(),
            }
        });
        outputs.collect()
    }

    /// What nobody opens: each key wrapped to who may release it, for so many runs.
    fn custody(&self, order: &Order, by: &mut impl SealTo) -> Vec<ReceiptCustody> {
        let kept = self.released.iter().filter_map(|(step, output, object)| {
            let Custody { holder, runs, .. } = output.custody()?;
            let secret = CustodySecret {
                key: object.key.secret.clone(),
                length: object.length,
            };
            let of = CustodyOf {
                session: &order.terms.digest,
                job: &order.job.digest,
                output: &output.name,
                runs: *runs,
            };
            Some(ReceiptCustody {
                name: output.name.clone(),
                step: *step as u32,
                object: object.key.object,
                runs: *runs,
                holder: secret.seal(of, holder, by),
            })
        });
        kept.collect()
    }

    /// The figures of every step, sealed to those whom they concern.
    fn steps(&self, order: &Order, by: &mut impl SealTo) -> Vec<ReceiptStep> {
        let job = &order.job;
        let steps = job.steps.iter().zip(&self.figures).enumerate();
        let steps = steps.map(|(index, (step, (usage, observed)))| {
            let of = StepOf {
                session: &order.terms.digest,
                job: &job.digest,
                step: index as u32,
            };
            let named = step.output(USAGE).map_or(&[][..], Output::recipients);
            let usage = named.iter().map(|card| usage.seal(of, card, by)).collect();
            let owners = job.owners.iter();
            ReceiptStep {
                component: step.component.name.clone(),
                usage,
                observed: owners.map(|card| observed.seal(of, card, by)).collect(),
            }
        });
        steps.collect()
    }
}

/// What the submitter appraised evidence with, and what the TEE had at hand beside this one, as far
/// as a verifier reads them.
fn endorsements(order: &Order, attested: &Attested) -> Vec<Endorsement> {
    let mut all = order.endorsements.clone();
    for one in &attested.endorsements {
        if all.len() < MAX_ENDORSEMENTS && !all.contains(one) {
            all.push(one.clone());
        }
    }
    all
}

/// The versions of the datasets that the job read, by name.
fn inputs(order: &Order) -> Vec<ReceiptInput> {
    let policy = &order.terms.policy;
    let inputs = order.job.datasets.iter().filter_map(|(dataset, object)| {
        Some(ReceiptInput {
            dataset: dataset.clone(),
            owner: policy.keeper_of(dataset)?.name().clone(),
            object: *object,
        })
    });
    inputs.collect()
}
