//! One run: what is asked for, and how it came out.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mc2_attestation::Check;
use mc2_client::{
    open::OpenError,
    policy::{OneParty, WantedOutput},
    remote::RemoteError,
    session::SessionError,
    verify::{BrokenLink, figures::Figures},
};
use mc2_protocol::{
    Digest, Identity, Name,
    documents::{
        dsse::Envelope,
        failure::FailureDetail,
        figures::{InstanceUsage, StepObserved},
        receipt::{Receipt, Status},
    },
    policy::{Duration as PolicyDuration, Limits, Policy, Size, Tee as PolicyTee},
};

use crate::{component, parse};

/// One run of one component under a policy of one party.
#[derive(Clone)]
pub struct Run {
    /// The component's file.
    pub component: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Inputs: name and bytes.
    pub inputs: Vec<(String, Vec<u8>)>,
    /// Outputs: name, and whether it is a folder.
    pub outputs: Vec<(String, bool)>,
    /// How many instances run together.
    pub instances: u32,
    /// What it may use.
    pub limits: Limits,
}

/// A run that ended with a receipt that verifies, whatever its status.
#[derive(Debug)]
pub struct Finished {
    /// The verified receipt.
    pub receipt: Receipt,
    /// The signed envelope.
    pub envelope: Envelope,
    /// Every released output, folders' files as `NAME/PATH`.
    pub outputs: BTreeMap<String, Vec<u8>>,
    /// The session's digest.
    pub session: Digest,
    /// The job digest.
    pub job: Digest,
    /// What a failed run tells its submitter alone.
    pub failure: FailureDetail,
    /// What the submitter may see of what it used.
    pub figures: Figures,
}

/// Where a run broke off.
#[derive(Debug)]
pub enum RunFailed {
    /// The host or the runtime refused before there was a session.
    Remote(RemoteError),
    /// The evidence did not pass.
    Appraisal(Vec<Check>),
    /// The session refused, or the job is lost.
    Session(SessionError),
    /// The receipt does not verify.
    Receipt(BrokenLink),
    /// An output does not open.
    Open(OpenError),
}

impl Run {
    /// A run of a built component without inputs or outputs, with half a gibibyte and a minute.
    pub fn of(name: &str, arguments: &[&str]) -> Self {
        Self {
            component: component(name),
            arguments: arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            instances: 1,
            limits: Limits {
                memory: size(512 << 20),
                time: PolicyDuration::from_millis(60_000).expect("a minute"),
                output: size(64 << 20),
                scratch: size(1 << 30),
            },
        }
    }

    /// The same with an input more.
    #[must_use]
    pub fn input(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.inputs.push((name.to_owned(), bytes.into()));
        self
    }

    /// The same with an output more; a name that ends in `/` is a folder.
    #[must_use]
    pub fn output(mut self, name: &str) -> Self {
        let bare = name.trim_end_matches('/');
        self.outputs.push((bare.to_owned(), bare != name));
        self
    }

    /// The same with so many instances together.
    #[must_use]
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = instances;
        self
    }

    /// The same with other limits: bytes of memory, run time, bytes of output.
    #[must_use]
    pub fn limits(mut self, memory: u64, time: Duration, output: u64) -> Self {
        self.limits.memory = size(memory);
        self.limits.time =
            PolicyDuration::from_millis(time.as_millis() as u64).expect("a short time");
        self.limits.output = size(output);
        self
    }

    /// The same with another scratch limit in bytes.
    #[must_use]
    pub fn scratch(mut self, bytes: u64) -> Self {
        self.limits.scratch = size(bytes);
        self
    }

    /// The policy's exact bytes for this run by `me`.
    pub fn policy(&self, me: &Identity) -> Policy {
        let wasm = fs::read(&self.component).expect("the component");
        let datasets: Vec<(Name, Option<Digest>)> = self
            .inputs
            .iter()
            .map(|(name, _)| (parse(name), None))
            .collect();
        let outputs: Vec<WantedOutput> = self
            .outputs
            .iter()
            .map(|(name, folder)| WantedOutput::new(parse(name), *folder, ""))
            .collect();
        let text = OneParty {
            name: &parse("test"),
            expires: now() + 3600,
            tee: PolicyTee::Sim,
            card: me.card(),
            component: &parse("workload"),
            sha256: &Digest::of(&wasm),
            datasets: &datasets,
            inputs: &[],
            instances: self.instances,
            outputs: &outputs,
            runs: 100,
            limits: self.limits,
            metering: false,
        }
        .to_toml();
        Policy::parse(text.as_bytes()).expect("a good policy")
    }
}

impl Finished {
    /// What the guest printed.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(self.outputs.get("stdout").map_or(&[][..], Vec::as_slice))
            .into_owned()
    }

    /// What each instance of a step used, where that is for the submitter.
    ///
    /// # Panics
    /// When it is not.
    pub fn usage(&self, step: usize) -> &[InstanceUsage] {
        let usage = self.figures.0[step].usage.as_ref();
        &usage.expect("usage for the submitter").0
    }

    /// What the host saw of a step, where that is for the submitter.
    ///
    /// # Panics
    /// When it is not.
    pub fn observed(&self, step: usize) -> &StepObserved {
        let observed = self.figures.0[step].observed.as_ref();
        observed.expect("what the host saw, for the submitter")
    }

    /// Why the guest failed: the stable word, or `succeeded`.
    pub fn reason(&self) -> &str {
        match &self.receipt.status {
            Status::Succeeded => "succeeded",
            Status::Failed { reason, .. } => reason,
        }
    }
}

pub(crate) fn size(bytes: u64) -> Size {
    Size::from_bytes(bytes).expect("a small size")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}
