//! The policy that `mc2-run` writes where its user gives none: one party, everything to itself.

use std::{fmt::Write as _, path::Path};

use mc2_protocol::{
    Card, Digest, Name,
    policy::{Duration, Limits, PlatformFlags, RESERVED, Size, TcbStatus, Tee},
    sealed::manifest::MediaType,
};

use super::date::rfc3339;
use crate::seal::media;

/// A policy of one party that runs one component over its own data and keeps all results.
///
/// ```
/// use mc2_client::policy::{OneParty, WantedOutput, generous_limits};
/// use mc2_protocol::{
///     Digest,
///     policy::{Policy, Tee},
/// };
/// # use mc2_protocol::Identity;
/// # let me = Identity::generate("analyst".parse()?, &mut mc2_client::random());
///
/// let text = OneParty {
///     name: &"sales".parse()?,
///     expires: 1_798_675_200,
///     tee: Tee::Sim,
///     card: me.card(),
///     component: &"sql".parse()?,
///     sha256: &Digest::of(b"the component"),
///     datasets: &[("orders".parse()?, None)],
///     inputs: &[],
///     instances: 1,
///     outputs: &[WantedOutput::new("result".parse()?, false, "result.csv")],
///     runs: 1,
///     limits: generous_limits(),
///     metering: false,
/// }
/// .to_toml();
/// assert_eq!(Policy::parse(text.as_bytes())?.expires(), 1_798_675_200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OneParty<'a> {
    /// The policy's name.
    pub name: &'a Name,
    /// When it ends, in seconds since 1970-01-01T00:00:00Z.
    pub expires: u64,
    /// The one kind of TEE accepted.
    pub tee: Tee,
    /// The party.
    pub card: &'a Card,
    /// The component's name.
    pub component: &'a Name,
    /// SHA-256 of the component's exact bytes.
    pub sha256: &'a Digest,
    /// The datasets, pinned to a version where one is given.
    pub datasets: &'a [(Name, Option<Digest>)],
    /// The inputs, each of a dataset; where there are none, each dataset is the input of its own name.
    pub inputs: &'a [(Name, Name)],
    /// How many instances run together.
    pub instances: u32,
    /// The outputs under `/out`.
    pub outputs: &'a [WantedOutput],
    /// How many runs a session has.
    pub runs: u32,
    /// What a run may use.
    pub limits: Limits,
    /// Whether fuel is counted.
    pub metering: bool,
}

/// An output that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WantedOutput {
    /// Its name under `/out`.
    name: Name,
    /// Whether it is a folder.
    folder: bool,
    /// What kind of data is to be there.
    media_type: MediaType,
}

impl OneParty<'_> {
    /// The name of its one job.
    pub const JOB: &'static str = "run";

    /// The policy's text; its bytes are what is hashed.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        self.write(&mut text)
            // A string takes everything.
            .unwrap_or_else(|error| unreachable!("{error}"));
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let me = self.card.name();
        writeln!(text, "version = {}", mc2_protocol::VERSION)?;
        writeln!(text, "name = \"{}\"", self.name)?;
        writeln!(text, "expires = {}", rfc3339(self.expires))?;
        writeln!(text, "visible = \"access\"")?;
        writeln!(text, "\n[enclave]")?;
        writeln!(text, "tee = [\"{}\"]", self.tee)?;
        writeln!(text, "platforms = \"any\"")?;
        if matches!(self.tee, Tee::SevSnp | Tee::AzureVtpm) {
            // AMD signs no list of good firmware, so without a minimum none is ever up to date.
            let statuses = [TcbStatus::UpToDate, TcbStatus::Unassessed];
            let statuses = statuses.map(|status| format!("\"{status}\""));
            writeln!(text, "tcb = [{}]", statuses.join(", "))?;
        } else {
            writeln!(text, "tcb = \"up-to-date\"")?;
        }
        if matches!(self.tee, Tee::Sgx | Tee::Tdx | Tee::AzureVtpm) {
            // Whatever cloud the one party chose: no other is exposed by it.
            let names = PlatformFlags::ALL.names().map(|name| format!("\"{name}\""));
            let names: Vec<String> = names.collect();
            writeln!(text, "allow = [{}]", names.join(", "))?;
        }
        writeln!(text, "\n[[party]]")?;
        writeln!(text, "card = \"{}\"", self.card)?;
        writeln!(text, "\n[[component]]")?;
        writeln!(text, "name = \"{}\"", self.component)?;
        writeln!(text, "sha256 = \"{}\"", self.sha256)?;
        for (name, object) in self.datasets {
            writeln!(text, "\n[[dataset]]")?;
            writeln!(text, "name = \"{name}\"")?;
            writeln!(text, "owner = \"{me}\"")?;
            if let Some(object) = object {
                writeln!(text, "object = \"{object}\"")?;
            }
        }
        writeln!(text, "\n[[job]]")?;
        writeln!(text, "name = \"{}\"", Self::JOB)?;
        writeln!(text, "submit = [\"{me}\"]")?;
        writeln!(text, "runs = {}", self.runs)?;
        self.write_limits(text)?;
        if self.metering {
            writeln!(text, "metering = true")?;
        }
        writeln!(text, "\n[[job.step]]")?;
        writeln!(text, "component = \"{}\"", self.component)?;
        writeln!(text, "instances = {}", self.instances)?;
        writeln!(text, "args = \"any\"")?;
        writeln!(text, "padding = \"exact\"")?;
        writeln!(text, "\n[job.step.inputs]")?;
        for (name, dataset) in self.inputs {
            writeln!(text, "\"{name}\" = \"dataset:{dataset}\"")?;
        }
        if self.inputs.is_empty() {
            for (name, _) in self.datasets {
                writeln!(text, "\"{name}\" = \"dataset:{name}\"")?;
            }
        }
        writeln!(text, "\n[job.step.outputs]")?;
        for output in self.outputs {
            let slash = if output.folder { "/" } else { "" };
            write!(text, "\"{}{slash}\" = ", output.name)?;
            if output.media_type.is_octet_stream() {
                writeln!(text, "[\"{me}\"]")?;
            } else {
                // It has no quote in it, since it is one of those that `wanted` knows.
                let media_type = output.media_type.as_str();
                writeln!(text, "{{ to = [\"{me}\"], media_type = \"{media_type}\" }}")?;
            }
        }
        for name in RESERVED {
            writeln!(text, "{name} = [\"{me}\"]")?;
        }
        Ok(())
    }

    fn write_limits(&self, text: &mut String) -> std::fmt::Result {
        let Limits {
            memory,
            time,
            output,
            scratch,
        } = self.limits;
        writeln!(
            text,
            "limits = {{ memory = \"{memory}\", time = \"{time}\", output = \"{output}\", \
             scratch = \"{scratch}\" }}"
        )
    }
}

impl WantedOutput {
    /// An output of this name that goes to `path`, whose ending says what kind of data is wanted there.
    pub fn new(name: Name, folder: bool, path: impl AsRef<Path>) -> Self {
        Self {
            name,
            folder,
            media_type: media::wanted(path.as_ref(), folder),
        }
    }
}

/// What `mc2-run` allows a run where its user says nothing: 3 GiB of memory, an hour, 4 GiB of
/// outputs and 64 GiB of scratch.
pub fn generous_limits() -> Limits {
    let size = |gib: u64| {
        Size::from_bytes(gib << 30)
            // Far below the cap.
            .unwrap_or_else(|error| unreachable!("{error}"))
    };
    Limits {
        memory: size(3),
        time: Duration::from_millis(3_600_000)
            // Far below the cap.
            .unwrap_or_else(|error| unreachable!("{error}")),
        output: size(4),
        scratch: size(64),
    }
}

/// A policy of one party without data or outputs, for tests of what is kept under policies.
#[cfg(test)]
pub(crate) fn bare_policy(card: &Card, expires: u64) -> mc2_protocol::policy::Policy {
    bare_policy_in(Tee::Sim, card, expires)
}

#[cfg(test)]
fn bare_policy_in(tee: Tee, card: &Card, expires: u64) -> mc2_protocol::policy::Policy {
    let name: Name = "x".parse().unwrap();
    let text = OneParty {
        name: &name,
        expires,
        tee,
        card,
        component: &name,
        sha256: &Digest::of(b"component"),
        datasets: &[],
        inputs: &[],
        instances: 1,
        outputs: &[],
        runs: 1,
        limits: generous_limits(),
        metering: false,
    }
    .to_toml();
    mc2_protocol::policy::Policy::parse(text.as_bytes()).unwrap()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mc2_protocol::{
        Identity,
        policy::{Approvals, Origin, Policy},
    };

    use super::*;

    fn party() -> Identity {
        Identity::generate("bank-a".parse().unwrap(), &mut crate::random())
    }

    fn parse(text: &str) -> Policy {
        Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn the_written_policy_is_right_and_admits_its_own_draft() {
        let me = party();
        let name = |text: &str| -> Name { text.parse().unwrap() };
        let (digest, object) = (Digest::of(b"wasm"), Digest::of(b"manifest"));
        let datasets = [(name("line.item"), None), (name("7"), Some(object))];
        let outputs = [
            WantedOutput::new(name("a.parquet"), false, "x"),
            WantedOutput::new(name("b"), false, "some/b.CSV"),
            WantedOutput::new(name("parts"), true, "parts.csv/"),
        ];
        let text = OneParty {
            name: &name("mc2-run"),
            expires: 1_798_675_200,
            tee: Tee::Sim,
            card: me.card(),
            component: &name("sql.wasm"),
            sha256: &digest,
            datasets: &datasets,
            inputs: &[],
            instances: 4,
            outputs: &outputs,
            runs: 3,
            limits: generous_limits(),
            metering: true,
        }
        .to_toml();
        let policy = parse(&text);
        assert_eq!(policy.expires(), 1_798_675_200);
        assert_eq!(policy.components()[0].sha256, digest);
        let job = &policy.jobs()[0];
        assert_eq!(
            (job.runs, job.limits, job.metering),
            (3, generous_limits(), true)
        );
        assert_eq!(job.steps[0].instances, 4);
        assert!(job.steps[0].output("parts").unwrap().folder);
        let media_type = |name: &str| {
            let output = job.steps[0].output(name).unwrap();
            output.media_type.as_str().to_owned()
        };
        assert_eq!(media_type("b"), "text/csv");
        for silent in ["a.parquet", "parts"] {
            assert_eq!(media_type(silent), "application/octet-stream");
        }
        for output in [
            "a.parquet",
            "b",
            "parts",
            "stdout",
            "stderr",
            "progress",
            "error",
            "usage",
        ] {
            let output = job.steps[0].output(output).unwrap();
            assert_eq!(output.recipients(), policy.parties());
        }

        let objects = BTreeMap::from([(name("line.item"), object)]);
        let arguments = vec![vec!["select 1".to_owned(), "-x".to_owned()]];
        let draft = policy
            .draft(&name(OneParty::JOB), &objects, arguments.clone(), [7; 32])
            .unwrap();
        let admitted = policy
            .admit(
                &draft.to_bytes(),
                me.card().digest(),
                &Approvals::new(),
                |_| 2,
            )
            .unwrap();
        assert_eq!(admitted.steps[0].arguments, arguments[0]);
        assert_eq!(admitted.datasets.len(), 2);
        assert_eq!(admitted.readers, policy.parties());
    }

    /// Where nobody can be up to date, what nothing bad is known of will do, and nothing else.
    #[test]
    fn unassessed_firmware_is_accepted_of_amd_alone_and_outdated_of_nobody() {
        for tee in [Tee::Sgx, Tee::Tdx, Tee::SevSnp, Tee::Nitro, Tee::AzureVtpm] {
            let policy = bare_policy_in(tee, party().card(), 0);
            let tcb = &policy.enclave().tcb;
            let of_amd = matches!(tee, Tee::SevSnp | Tee::AzureVtpm);
            assert_eq!(tcb.allows(TcbStatus::Unassessed), of_amd, "{tee}");
            assert!(tcb.allows(TcbStatus::UpToDate), "{tee}");
            for status in [TcbStatus::OutOfDate, TcbStatus::ConfigurationNeeded] {
                assert!(!tcb.allows(status), "{tee}: {status}");
            }
        }
    }

    #[test]
    fn an_input_may_be_called_otherwise_than_its_dataset() {
        let me = party();
        let name = |text: &str| -> Name { text.parse().unwrap() };
        let text = OneParty {
            name: &name("x"),
            expires: 1_798_675_200,
            tee: Tee::Sim,
            card: me.card(),
            component: &name("sql"),
            sha256: &Digest::of(b"wasm"),
            datasets: &[(name("sales"), None)],
            inputs: &[(name("a"), name("sales")), (name("b"), name("sales"))],
            instances: 1,
            outputs: &[],
            runs: 1,
            limits: generous_limits(),
            metering: false,
        }
        .to_toml();
        let policy = parse(&text);
        let inputs = &policy.jobs()[0].steps[0].inputs;
        let named: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(named, ["a", "b"]);
        for input in inputs {
            assert!(matches!(&input.from, Origin::Dataset(from) if from.as_str() == "sales"));
        }
    }

    #[test]
    fn a_policy_without_data_or_outputs_is_right_too() {
        bare_policy(party().card(), 0);
    }
}
