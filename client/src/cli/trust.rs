//! `mc2 trust`: which runtimes this person trusts. Nothing else says what is good.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use mc2_attestation::{
    Measurement, ReferenceValue, SimKey, TrustStore,
    releases::{self, RELEASE_KEYS, ReleaseListError},
    trust::{self, ReferenceValueError},
};
use serde_json::{Value, json};

use super::object;
use crate::{
    exit::Exit,
    files::{FileError, read_capped},
    simulator,
    state::{State, StateError},
    terminal::printable,
};

/// What to do with the trust store.
#[derive(Subcommand)]
pub enum TrustCommand {
    /// List the trusted runtimes: published ones, those you added, pinned simulators
    List {
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Trust runtimes you checked yourself, or a simulator on another machine, NOT SECURE
    Add(Add),
    /// Take a newer signed list of published runtimes
    Update {
        /// The list
        file: PathBuf,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Trust no longer what you added
    Remove(Remove),
}

/// What is trusted from now on.
#[derive(Args)]
#[group(required = true)]
pub struct Add {
    /// A JSON list of reference values, as `cargo xtask measure` prints one; `"revoked": true`
    /// revokes
    values: Option<PathBuf>,
    /// The key a simulator stated at its start, 64 hexadecimal digits. NOT SECURE
    #[arg(
        long,
        value_name = "KEY",
        requires = "runtime",
        conflicts_with = "values"
    )]
    simulator: Option<SimKey>,
    /// The file that simulator runs, mc2-runtime-sim
    #[arg(long, value_name = "FILE", requires = "simulator")]
    runtime: Option<PathBuf>,
    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
}

/// What is not trusted any more.
#[derive(Args)]
#[group(required = true)]
pub struct Remove {
    /// A measurement you added
    measurement: Option<Measurement>,
    /// The key of a pinned simulator
    #[arg(long, value_name = "KEY", conflicts_with = "measurement")]
    simulator: Option<SimKey>,
    /// Take back a revocation too
    #[arg(long, requires = "measurement")]
    lift_revocation: bool,
    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The state folder, with the trust store in it.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file of something else.
    #[error(
        "{} is no list of reference values, [{{\"tee\": …, \"measurement\": …, \"runtime\": …, \
         \"version\": …, \"revoked\": false}}]",
        path.display()
    )]
    Values {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A reference value that cannot be one.
    #[error(transparent)]
    Value(#[from] ReferenceValueError),
    /// Not a good release list.
    #[error("the release list {} is not taken", path.display())]
    Releases {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<ReleaseListError>,
    },
    /// What was added revokes.
    #[error(
        "what you added for {measurement} revokes it, and without that it may be trusted again; say \
         so with --lift-revocation"
    )]
    Revocation {
        /// The measurement.
        measurement: Measurement,
    },
    /// Nothing of that name.
    #[error(
        "{what} is not among what you added, so nothing was removed; `mc2 trust list` shows that. \
         A published runtime is distrusted by adding its value with \"revoked\": true"
    )]
    NotThere {
        /// What was named.
        what: String,
    },
}

impl TrustCommand {
    /// Does it, and returns what is to be said.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn run(&self, state: &State) -> Result<String, CommandError> {
        match self {
            Self::List { json: true } => Ok(done("listed", to_json(&state.trusted()?))),
            Self::List { json: false } => Ok(to_text(&state.trusted()?)),
            Self::Add(add) => add.run(state),
            Self::Update { file, json } => update(state, file, *json),
            Self::Remove(remove) => remove.run(state),
        }
    }
}

impl CommandError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            _ => Exit::BadInput,
        }
    }
}

impl Add {
    fn run(&self, state: &State) -> Result<String, CommandError> {
        let values = match (&self.values, &self.runtime) {
            (Some(path), _) => read_values(path)?,
            (None, Some(runtime)) => vec![simulator::reference(runtime)?],
            // Clap asks for one of them.
            (None, None) => Vec::new(),
        };
        state.change_trust(|trust| {
            for value in values.clone() {
                trust.add(value)?;
            }
            if let Some(key) = self.simulator {
                trust.pin_simulator(key);
            }
            Ok::<_, CommandError>(())
        })?;
        if self.json {
            let fields = json!({ "added": values, "simulator": self.simulator });
            return Ok(done("added", fields));
        }
        let mut text: String = values.iter().map(|value| line(value, "added")).collect();
        if let Some(key) = self.simulator {
            text.push_str(&simulator_line(&key));
        }
        Ok(text)
    }
}

impl Remove {
    fn run(&self, state: &State) -> Result<String, CommandError> {
        let what = match (&self.measurement, &self.simulator) {
            (Some(measurement), _) => measurement.to_string(),
            (None, Some(key)) => key.to_string(),
            // Clap asks for one of them.
            (None, None) => String::new(),
        };
        let left = state.change_trust(|trust| {
            let value = self.measurement.as_ref();
            if let Some(measurement) = value.filter(|_| !self.lift_revocation)
                && known(trust.added(), measurement) == Some(true)
            {
                let measurement = measurement.clone();
                return Err(CommandError::Revocation { measurement });
            }
            let removed = value.is_some_and(|measurement| trust.remove(measurement) > 0)
                || self
                    .simulator
                    .is_some_and(|key| trust.unpin_simulator(&key));
            if !removed {
                let what = what.clone();
                return Err(CommandError::NotThere { what });
            }
            Ok(value.and_then(|measurement| known(trust.reference_values(), measurement)))
        })?;
        if self.json {
            let fields = json!({
                "removed": what,
                "trusted": left == Some(false),
                "revoked": left == Some(true),
            });
            return Ok(done("removed", fields));
        }
        let now = match left {
            None => "not trusted any more",
            Some(false) => "removed, and trusted all the same: it is a published runtime",
            Some(true) => "removed, and revoked all the same by the published list",
        };
        Ok(format!("{what}  {now}\n"))
    }
}

/// Whether one of these values for the measurement revokes it; nothing where there is none.
fn known<'v>(
    values: impl IntoIterator<Item = &'v ReferenceValue>,
    measurement: &Measurement,
) -> Option<bool> {
    let same = values
        .into_iter()
        .filter(|value| value.measurement == *measurement);
    same.map(|value| value.revoked)
        .reduce(|one, other| one || other)
}

fn update(state: &State, file: &Path, as_json: bool) -> Result<String, CommandError> {
    let envelope = read_capped(file, releases::MAX_LEN)?;
    let number = state.change_trust(|trust| {
        let taken = trust.take_releases(&envelope, RELEASE_KEYS);
        taken.map_err(|source| CommandError::Releases {
            path: file.to_owned(),
            source: Box::new(source),
        })?;
        Ok::<_, CommandError>(trust.releases().map_or(0, |list| list.number))
    })?;
    if as_json {
        return Ok(done("updated", json!({ "number": number })));
    }
    Ok(format!("release list {number}  taken\n"))
}

fn read_values(path: &Path) -> Result<Vec<ReferenceValue>, CommandError> {
    let bytes = read_capped(path, trust::MAX_LEN)?;
    serde_json::from_slice(&bytes).map_err(|source| CommandError::Values {
        path: path.to_owned(),
        source,
    })
}

fn to_text(trust: &TrustStore) -> String {
    let mut text = String::new();
    if let Some(list) = trust.releases() {
        for value in &list.releases {
            text.push_str(&line(value, &format!("published, list {}", list.number)));
        }
        for component in &list.revoked_components {
            text.push_str(&format!("component {component}  revoked\n"));
        }
    }
    for value in trust.added() {
        text.push_str(&line(value, "added"));
    }
    for key in trust.simulators() {
        text.push_str(&simulator_line(key));
    }
    if text.is_empty() {
        text.push_str(
            "no runtime is trusted: `mc2 trust update` and `mc2 trust add` change that\n",
        );
    }
    text
}

fn to_json(trust: &TrustStore) -> Value {
    let list = trust.releases();
    json!({
        "list": list.map(|list| list.number),
        "published": list.map_or(&[][..], |list| &list.releases),
        "revoked_components": list.map_or(&[][..], |list| &list.revoked_components),
        "added": trust.added(),
        "simulators": trust.simulators(),
    })
}

fn done(status: &str, fields: Value) -> String {
    object(status, Exit::Success, fields)
}

fn line(value: &ReferenceValue, whence: &str) -> String {
    let revoked = if value.revoked { ", REVOKED" } else { "" };
    format!(
        "{} {} {}  {}  {whence}{revoked}\n",
        value.tee,
        printable(&value.runtime),
        printable(&value.version),
        value.measurement
    )
}

fn simulator_line(key: &SimKey) -> String {
    format!("simulator {key}  pinned, NOT SECURE\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ed25519_dalek::SigningKey;
    use mc2_attestation::{
        Tee,
        releases::{PAYLOAD_TYPE, ReleaseList},
        test_util::factory::release_key,
    };
    use mc2_protocol::{documents::dsse::Envelope, encoding::to_json};

    use super::*;

    /// A list of one runtime, as its signer's file.
    fn signed(number: u64, key: &SigningKey, folder: &Path) -> PathBuf {
        let value = ReferenceValue {
            tee: Tee::SevSnp,
            measurement: "ab".repeat(48).parse().unwrap(),
            runtime: "mc2-runtime".to_owned(),
            version: number.to_string(),
            revoked: false,
            registers: Default::default(),
        };
        let list = ReleaseList::new(number, vec![value], vec![]);
        let envelope = Envelope::sign(PAYLOAD_TYPE, to_json(&list), key);
        let path = folder.join(format!("{number}.dsse.json"));
        fs::write(&path, to_json(&envelope)).unwrap();
        path
    }

    /// Rows 8 and 35.
    #[test]
    fn a_list_counts_by_a_compiled_in_key_alone_and_an_older_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let listed = || to_text(&state.trusted().unwrap());
        let refused = |file: &Path| match update(&state, file, false) {
            Err(CommandError::Releases { source, .. }) => *source,
            other => panic!("{other:?}"),
        };

        let stranger = SigningKey::from_bytes(&[8; 32]);
        let strange = refused(&signed(1, &stranger, folder.path()));
        assert!(matches!(strange, ReleaseListError::Signature { .. }));
        assert!(listed().contains("no runtime is trusted"));

        update(&state, &signed(2, &release_key(), folder.path()), false).unwrap();
        assert!(listed().contains("mc2-runtime 2"), "{}", listed());
        let older = refused(&signed(1, &release_key(), folder.path()));
        assert!(matches!(
            older,
            ReleaseListError::RolledBack { found: 1, known: 2 }
        ));
        let strange = refused(&signed(3, &stranger, folder.path()));
        assert!(matches!(strange, ReleaseListError::Signature { .. }));
        assert!(listed().contains("published, list 2"), "{}", listed());
        update(&state, &signed(3, &release_key(), folder.path()), false).unwrap();
        assert!(listed().contains("published, list 3"), "{}", listed());
    }
}
