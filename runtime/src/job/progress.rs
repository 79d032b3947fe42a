//! Progress events: the guest's words, signed by the session, sealed to each recipient the policy
//! names, and slowed down so that they tell the host little.

use std::{sync::Arc, time::Duration};

use mc2_protocol::{
    Card,
    documents::storage::{Event, SealedEvent},
    encoding::to_json,
    policy::{AdmittedStep, Output, Policy, Visible},
};
use mc2_sandbox::ProgressReceiver;
use mc2_wire::routes::events_path;

use crate::{random, session::Terms, storage::Storage};

/// At most one event leaves in this time.
const PAUSE: Duration = Duration::from_millis(250);

/// Who is told how a step goes on. Under `visible = "volume"` nobody is: how many events there
/// are, when and of what length would be the guest's to say to the host, and when the job has
/// ended the receipt says more.
pub(crate) fn watchers(policy: &Policy, step: &AdmittedStep) -> Vec<Arc<Card>> {
    let progress = |output: &&Output| output.name.as_str() == "progress";
    match (policy.visible(), step.outputs.iter().find(progress)) {
        (Visible::Access, Some(output)) => output.recipients().to_vec(),
        (Visible::Volume, _) | (Visible::Access, None) => Vec::new(),
    }
}

/// Sends what arrives, the newest where several wait, until the run drops its end; numbers alone
/// where no `words` pass.
pub(crate) async fn forward(
    storage: Arc<Storage>,
    terms: Arc<Terms>,
    number: u64,
    recipients: Vec<Arc<Card>>,
    words: bool,
    mut events: ProgressReceiver,
) {
    let path = events_path(&terms.digest, number);
    let mut sequence = 0;
    while let Some(mut event) = events.recv().await {
        while let Ok(newer) = events.try_recv() {
            event = newer;
        }
        let event = Event {
            session: terms.digest,
            number,
            sequence,
            permille: (event.fraction.clamp(0.0, 1.0) * 1000.0) as u16,
            // A run that is told of may fail yet, and then its words must not be out.
            text: if words { event.text } else { String::new() },
        };
        sequence += 1;
        for card in &recipients {
            let sealed = SealedEvent::seal(&event, card, &terms.signing_key, &mut random::rng());
            // A lost event is a lost event: the receipt says how the job ended.
            let _ = storage.post(&path, to_json(&sealed).into()).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{
        Digest, Identity, SecretKey,
        documents::job::{Job, Step},
        policy::Approvals,
    };

    use super::*;

    /// Who is told, by what the policy says is visible.
    fn me() -> Identity {
        Identity::from_seeds(
            "me".parse().unwrap(),
            &SecretKey::from_bytes([1; 32]),
            SecretKey::from_bytes([2; 32]),
        )
    }

    fn policy(visible: &str) -> Policy {
        let text = format!(
            r#"version = 1
name = "mine"
expires = 2999-12-31T00:00:00Z
visible = "{visible}"
[enclave]
tee = ["sim"]
platforms = "any"
tcb = "up-to-date"
[[party]]
card = "{card}"
[[component]]
name = "workload"
sha256 = "{sha256}"
[[job]]
name = "run"
submit = ["me"]
runs = 1
limits = {{ memory = "64MiB", time = "1min", output = "1MiB" }}
[[job.step]]
component = "workload"
args = "any"
padding = "power-of-two"
outputs = {{ progress = ["me"] }}
"#,
            card = me().card(),
            sha256 = Digest::of(b"workload"),
        );
        Policy::parse(text.as_bytes()).unwrap()
    }

    /// How many watch the step.
    fn watchers_under(visible: &str) -> usize {
        let policy = policy(visible);
        let step = Step {
            component: "workload".parse().unwrap(),
            instances: 1,
            arguments: Vec::new(),
            inputs: Vec::new(),
        };
        let job = Job::new(
            *policy.digest(),
            "run".parse().unwrap(),
            [0; 32],
            vec![step],
        );
        let job = policy
            .admit(
                &job.to_bytes(),
                me().card().digest(),
                &Approvals::new(),
                |_| 0,
            )
            .unwrap();
        watchers(&policy, &job.steps[0]).len()
    }

    #[test]
    fn no_progress_leaves_under_volume() {
        assert_eq!(watchers_under("access"), 1);
        assert_eq!(watchers_under("volume"), 0);
    }
}
