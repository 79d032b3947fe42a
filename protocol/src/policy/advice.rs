//! What a person should know about a policy, and what this release would not enforce of it.

use super::{
    Arguments, Origin, Pattern, Platforms, Policy, PolicyError, Tcb, TcbStatus, Tee, To, Visible,
    When, error::listed, party::names,
};

/// The kinds of TEE whose evidence this release makes and verifies.
const ENFORCED_TEES: [Tee; 1] = [Tee::Sim];

impl Policy {
    /// Refuses what this release would read and not enforce. A session opens only after it.
    ///
    /// # Errors
    /// [`PolicyError::NotEnforcedYet`], the first of [`unenforced`](Self::unenforced).
    pub fn require_enforced(&self) -> Result<(), PolicyError> {
        match self.unenforced().into_iter().next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Everything in this policy that this release does not enforce.
    pub fn unenforced(&self) -> Vec<PolicyError> {
        let mut found = Vec::new();
        let mut refuse = |field, place: String, instead| {
            found.push(PolicyError::NotEnforcedYet {
                field,
                place,
                instead,
            });
        };
        if self.visible == Visible::Volume {
            let instead = "write visible = \"access\", or wait for a release that hides accesses";
            refuse("visible = \"volume\"", "the policy".to_owned(), instead);
        }
        for tee in &self.enclave.tee {
            if !ENFORCED_TEES.contains(tee) {
                let instead = "write tee = [\"sim\"] to try the policy in the simulator, which \
                               protects nothing";
                refuse(tee_field(*tee), "enclave.tee".to_owned(), instead);
            }
        }
        for dataset in self
            .datasets
            .iter()
            .filter(|dataset| dataset.broker.is_some())
        {
            let instead = "remove it: the owner releases the key";
            refuse("broker", format!("dataset {}", dataset.name), instead);
        }
        for job in &self.jobs {
            for (index, step) in job.steps.iter().enumerate() {
                let place = format!("job {}, step {}", job.name, index + 1);
                if !step.keys.is_empty() {
                    let instead = "remove them: inputs come decrypted";
                    refuse("keys", place.clone(), instead);
                }
                if let Arguments::Listed(patterns) = &step.arguments {
                    let sql = |pattern: &Pattern| matches!(pattern, Pattern::FixedSql(_));
                    if patterns.iter().any(sql) {
                        let instead = "write the query as a literal, or several with one_of";
                        refuse("fixed_sql", place, instead);
                    }
                }
            }
        }
        found
    }

    /// What `mc2 policy check` says about a policy that is right: each line a sentence.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = self.enclave_warnings();
        lines.push(match self.visible {
            Visible::Access => "visible = \"access\": the host sees which parts of each input are \
                                read and when, how much spills and how long a run takes; a \
                                component that means to can signal data to the host that way."
                .to_owned(),
            Visible::Volume => {
                "visible = \"volume\": the host sees sizes and durations only.".to_owned()
            }
        });
        self.job_warnings(&mut lines);
        self.unused(&mut lines);
        lines
    }

    fn enclave_warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.enclave.allows(Tee::Sim) {
            lines.push(
                "tee = [\"sim\"]: NOT SECURE. The simulator protects nothing from the machine it \
                 runs on."
                    .to_owned(),
            );
        } else if self.enclave.platforms == Platforms::Any {
            lines.push(
                "platforms = \"any\": one broken chip anywhere in the world can pose as this \
                 enclave; list the chips, or the operator, you expect."
                    .to_owned(),
            );
        }
        if self.enclave.allows(Tee::AzureVtpm) {
            lines.push("tee \"azure-vtpm\": Microsoft's paravisor is trusted too.".to_owned());
        }
        if let Tcb::Accepted(statuses) = &self.enclave.tcb {
            let weak: Vec<_> = statuses
                .iter()
                .filter(|status| **status != TcbStatus::UpToDate)
                .collect();
            if !weak.is_empty() {
                lines.push(format!(
                    "tcb: platforms with known weaknesses are accepted: {}.",
                    listed(weak)
                ));
            }
        }
        lines
    }

    fn job_warnings(&self, lines: &mut Vec<String>) {
        for job in &self.jobs {
            let name = &job.name;
            if let Some(approve) = &job.approve {
                if approve.at_least < approve.of.len() {
                    lines.push(format!(
                        "job {name}: any {} of {} approve it, the others need not agree.",
                        approve.at_least,
                        listed(names(&approve.of))
                    ));
                }
                if approve.when == When::Session && job.takes_any_arguments() {
                    lines.push(format!(
                        "job {name}: approved once for a session, and its arguments may be \
                         anything: an approver does not see what will be asked."
                    ));
                }
            }
            for (index, step) in job.steps.iter().enumerate() {
                let place = format!("job {name}, step {}", index + 1);
                if step.arguments == Arguments::Any {
                    lines.push(format!(
                        "{place}: args = \"any\": the submitter may pass anything."
                    ));
                }
                for output in &step.outputs {
                    match &output.to {
                        To::Parties(cards) if cards.is_empty() => lines.push(format!(
                            "{place}: output {} is released to nobody.",
                            output.name
                        )),
                        To::Step if !self.is_read(name, &output.name) => lines.push(format!(
                            "{place}: output {} goes to \"step\" and no step reads it.",
                            output.name
                        )),
                        _ => {}
                    }
                }
                self.owner_warnings(job, step, &place, lines);
            }
        }
    }

    /// Owners whose data a job reads without asking them each time.
    fn owner_warnings(
        &self,
        job: &super::JobRule,
        step: &super::Step,
        place: &str,
        lines: &mut Vec<String>,
    ) {
        let Some(approve) = &job.approve else {
            return;
        };
        for input in &step.inputs {
            let Origin::Dataset(name) = &input.from else {
                continue;
            };
            if let Some(owner) = self.owner_of(name)
                && !approve.of.contains(owner)
            {
                lines.push(format!(
                    "{place}: reads dataset {name} of {}, who is not asked for approval; its \
                     release of the key is its only say.",
                    owner.name()
                ));
            }
        }
    }

    fn is_read(&self, job: &crate::Name, output: &crate::Name) -> bool {
        let steps = self.job(job).into_iter().flat_map(|job| &job.steps);
        let mut inputs = steps.flat_map(|step| &step.inputs);
        inputs.any(|input| matches!(&input.from, Origin::Step(name) if name == output))
    }

    fn unused(&self, lines: &mut Vec<String>) {
        let steps = || self.jobs.iter().flat_map(|job| &job.steps);
        for component in &self.components {
            if !steps().any(|step| step.component == component.name) {
                lines.push(format!("component {} is used by no job.", component.name));
            }
        }
        for dataset in &self.datasets {
            let mut inputs = steps().flat_map(|step| &step.inputs);
            let name = &dataset.name;
            if !inputs.any(|input| matches!(&input.from, Origin::Dataset(read) if read == name)) {
                lines.push(format!("dataset {name} is read by no job."));
            }
        }
    }
}

const fn tee_field(tee: Tee) -> &'static str {
    match tee {
        Tee::Sim => "tee \"sim\"",
        Tee::Sgx => "tee \"sgx\"",
        Tee::Tdx => "tee \"tdx\"",
        Tee::SevSnp => "tee \"sev-snp\"",
        Tee::Nitro => "tee \"nitro\"",
        Tee::AzureVtpm => "tee \"azure-vtpm\"",
    }
}
