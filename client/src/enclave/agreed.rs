//! Calls under a policy that was agreed: each is a job of it, and all of them go to one session, which
//! the other parties join.

use std::{path::PathBuf, sync::Arc, time::Duration};

use mc2_protocol::{
    Digest, Identity, Name,
    policy::{JobRule, Policy, Tee},
};
use tokio::sync::Mutex;

use super::{Call, Enclave, Held};
use crate::{
    dataset::{DatasetError, Version},
    event::Observer,
    http::{HostAddress, Trust},
    party::own_party,
    run::{GivenPolicy, InputError, Plan, Report, RunError, Wanted, Within, unless_asked},
    stop::Stop,
    verbs::{At, Attested, Choice, Member, VerbError},
    workload::Workload,
};

/// A policy that was agreed, and what a person says of how they take part.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The policy.
    pub policy: Policy,
    /// Its file, for errors.
    pub path: PathBuf,
    /// Its digest, where somebody stated it: whoever does knows it and its cards.
    pub digest: Option<Digest>,
    /// The session to join, where it is not a new one.
    pub session: Option<Digest>,
    /// Files of its components, to be measured here, and sent to a host that lacks them.
    pub components: Vec<PathBuf>,
    /// How long others are waited for, where not until the policy's end.
    pub others: Option<Duration>,
}

/// How a party takes part in a session of others.
pub(super) struct Agreed {
    given: GivenPolicy,
    stated: Option<Digest>,
    others: Option<Duration>,
    member: Member,
    at: At,
    roots: Trust,
    /// The session that is named, or was opened; held while one is.
    session: Mutex<Option<Digest>>,
    /// Whether it was named, so that no other is opened in its place.
    named: bool,
}

impl Agreed {
    /// The person whom the policy names, and their part in it.
    ///
    /// # Errors
    /// Nobody here is a party of it, or a card of it is not known.
    pub(super) fn new(
        terms: Terms,
        member: Member,
        host: HostAddress,
        host_ca: Option<PathBuf>,
    ) -> Result<(Self, Identity), RunError> {
        let name = member.identity.as_deref();
        let identity = own_party(&member.state, &terms.policy, name)?;
        let given = GivenPolicy::new(terms.path, terms.policy);
        given.check_cards(&member.state, &identity, terms.digest.as_ref())?;
        let roots = match &host_ca {
            Some(path) => Trust::File(path.clone()),
            None => Trust::System,
        };
        let agreed = Self {
            given,
            stated: terms.digest,
            others: terms.others,
            member,
            at: At {
                host,
                host_ca,
                components: terms.components,
            },
            roots,
            named: terms.session.is_some(),
            session: Mutex::new(terms.session),
        };
        Ok((agreed, identity))
    }

    /// The kind of enclave: the simulator, where the policy lists that, which then lists nothing else.
    pub(super) fn tee(&self) -> Tee {
        let listed = &self.policy().enclave().tee;
        listed.first().copied().unwrap_or(Tee::Sim)
    }

    const fn policy(&self) -> &Policy {
        &self.given.policy
    }

    /// The job of a call.
    fn rule(&self, name: Option<&str>, workload: &Workload) -> Result<&JobRule, RunError> {
        self.given.job(name, workload)
    }

    pub(super) fn check_owner(&self, identity: &Identity, dataset: &Name) -> Result<(), RunError> {
        self.given.check_owner(identity, dataset)
    }
}

impl Enclave {
    /// The dataset that is an input of a call: its own name, where no policy says otherwise.
    ///
    /// # Errors
    /// The policy has no such job.
    pub fn dataset_of(
        &self,
        job: Option<&str>,
        workload: &Workload,
        input: &Name,
    ) -> Result<Name, RunError> {
        let Some(agreed) = &self.agreed else {
            return Ok(input.clone());
        };
        Ok(GivenPolicy::dataset_of(agreed.rule(job, workload)?, input))
    }

    /// The session that calls under the policy go to; opened, where there is none yet.
    ///
    /// # Errors
    /// Its evidence is refused, the host does not answer well, or there is no policy.
    pub async fn session(&self, stop: &Stop) -> Result<Digest, RunError> {
        let agreed = self
            .agreed
            .as_ref()
            .ok_or(InputError::Together(NO_POLICY))?;
        unless_asked(self.entered(agreed, None), stop).await
    }

    /// Approves the policy in its session, where it asks this party to, and releases the keys of these
    /// versions, each for so many runs: what a party gives to others' jobs. Returns all of what was
    /// given, for people.
    ///
    /// # Errors
    /// The policy does not allow it, the ledger does not, or the enclave refuses.
    pub async fn approve(
        &self,
        given: &[Held],
        runs: u32,
        stop: &Stop,
    ) -> Result<String, RunError> {
        let agreed = self
            .agreed
            .as_ref()
            .ok_or(InputError::Together(NO_POLICY))?;
        let approving = async {
            let session = self.entered(agreed, None).await?;
            let entered = agreed.member.enter(&session.to_string())?;
            let versions = given
                .iter()
                .map(|held| (held.dataset().clone(), *held.object()));
            let choice = Choice {
                versions: versions.collect(),
                runs: Some(runs),
            };
            let session = entered.session()?;
            let approval = entered.plan_approval(&choice, true, agreed.stated.as_ref());
            let approval = approval.await?;
            let text = approval.text.clone();
            entered.approve(&session, approval).await?;
            Ok(text)
        };
        unless_asked(approving, stop).await
    }

    /// Appraises the session anew; opens it, where there is none yet.
    pub(super) async fn attest_agreed(
        &self,
        agreed: &Agreed,
        workload: Option<&Workload>,
    ) -> Result<Attested, RunError> {
        let mut session = agreed.session.lock().await;
        let known = *session;
        let attested = self.enter(agreed, known, workload).await?;
        if attested.is_accepted() {
            *session = Some(attested.session);
        }
        Ok(attested)
    }

    /// Runs a job of the policy.
    pub(super) async fn call_agreed(
        &self,
        agreed: &Agreed,
        call: &Call,
        observer: &Observer,
        stop: &Stop,
    ) -> Result<Report, RunError> {
        let rule = agreed.rule(call.job.as_deref(), &call.workload)?;
        let given = &agreed.given;
        given.check_party(&self.identity, rule)?;
        given.check_instances(call.instances, rule)?;
        given.check_outputs(&self.identity, rule, &call.outputs)?;
        let inputs = given.datasets(&self.identity, rule, call.inputs.clone())?;
        given.check_arguments(rule, &call.arguments)?;
        let there = |(dataset, held): (Name, Held)| {
            let found = held.dataset();
            if *found != dataset {
                let source = DatasetError::OtherDataset {
                    found: found.clone(),
                    expected: dataset.clone(),
                };
                let name = dataset.to_string();
                return Err(RunError::from(InputError::Dataset { name, source }));
            }
            Ok(Version::there(held.key, held.length))
        };
        let inputs = inputs.into_iter().map(there).collect::<Result<_, _>>()?;
        // Never closed.
        let _turn = self.running.acquire().await;
        let entering = self.entered(agreed, Some(&call.workload));
        let session = unless_asked(entering, stop).await?;
        let within = Within {
            state: self.state.clone(),
            identity: Arc::clone(&self.identity),
            policy: agreed.policy().clone(),
            session,
            address: self.remote.address().clone(),
            roots: agreed.roots.clone(),
            trust: self.trust.clone(),
            collateral: self.collateral.clone(),
            allow_simulated: self.allow_simulated,
            others: agreed.others,
        };
        let plan = Plan::within(
            within,
            Wanted {
                job: rule.name.clone(),
                workload: call.workload.clone(),
                arguments: call.arguments.clone(),
                inputs,
                outputs: call.outputs.clone(),
            },
        );
        let result = plan.run_at(&self.remote, observer, stop).await;
        if let Err(error) = &result
            && is_over(error)
            && !agreed.named
        {
            // The next call opens another.
            *agreed.session.lock().await = None;
        }
        result
    }

    /// Ends the session where nobody else takes part in it.
    pub(super) async fn end_agreed(&self, agreed: &Agreed) {
        let session = agreed.session.lock().await.take();
        if let Some(session) = session.filter(|_| agreed.policy().parties().len() == 1)
            && let Ok(entered) = agreed.member.enter(&session.to_string())
            && let Ok(session) = entered.session()
        {
            // What does not end now ends with its process.
            let _ = session.end(&self.identity).await;
        }
    }

    /// The session, appraised by the first who comes to it.
    async fn entered(
        &self,
        agreed: &Agreed,
        workload: Option<&Workload>,
    ) -> Result<Digest, RunError> {
        let mut session = agreed.session.lock().await;
        let known = *session;
        if let Some(known) = known
            && let Some(kept) = self.state.session(&known)?
            // What was kept may be of another policy, which nobody agreed to here.
            && kept.policy().is_ok_and(|kept| kept.digest() == agreed.policy().digest())
        {
            return Ok(known);
        }
        let attested = self.enter(agreed, known, workload).await?;
        let entered = attested.session;
        attested.accept()?;
        *session = Some(entered);
        Ok(entered)
    }

    /// Joins the session that is named, or opens one, and appraises it.
    async fn enter(
        &self,
        agreed: &Agreed,
        session: Option<Digest>,
        workload: Option<&Workload>,
    ) -> Result<Attested, RunError> {
        let policy = agreed.policy().clone();
        if let Some(session) = session {
            let joining = agreed.member.join_session(&session, policy, &agreed.at);
            return Ok(joining.await?);
        }
        let named = |workload: &&Workload| {
            let mut components = policy.components().iter();
            components.any(|component| component.sha256 == workload.sha256)
        };
        if let Some(workload) = workload.filter(named) {
            self.bring(workload).await?;
        }
        let opening = agreed.member.open_session(policy, &agreed.at);
        Ok(opening.await?)
    }
}

const NO_POLICY: &str = "this enclave was connected to without a policy, so each shape of a call has a \
                         session of its own and nobody else takes part: connect with one";

/// Whether the host says that the session is over, or that it has none.
fn is_over(error: &RunError) -> bool {
    match error {
        RunError::Session(error) => error.is_over(),
        RunError::Verb(error) => {
            matches!(&**error, VerbError::Remote(error) if error.is_over())
        }
        RunError::Remote(error) => error.is_over(),
        _ => false,
    }
}
