//! What a person asked `mc2-run` for, and what of it cannot be.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use mc2_protocol::{
    Digest, Name,
    name::NameError,
    policy::{Duration, Size, Tee},
};
use rustix::fs::{Access, access};

use super::wanted::{Destination, Output};
use crate::{
    collateral::CollateralOptions,
    dataset::DatasetError,
    files::{FileError, folder_of, vacant},
    http::HostAddress,
    simulator,
};

/// Everything `mc2-run` can be asked for.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The component's file.
    pub workload: PathBuf,
    /// The session to join on a host, under a policy of several parties; a new one where not said.
    pub session: Option<Digest>,
    /// The versions of others' datasets to read on a host; those whose keys came where not said.
    pub versions: Vec<(Name, Digest)>,
    /// Inputs: name and path.
    pub inputs: Vec<(String, PathBuf)>,
    /// Outputs: name and path; a `/` at the end of either makes it a folder.
    pub outputs: Vec<(String, PathBuf)>,
    /// Where standard input comes from.
    pub stdin: Option<StdinFrom>,
    /// Where standard output goes, if not to this process's.
    pub stdout: Option<PathBuf>,
    /// Where to keep receipt and sealed outputs as well.
    pub keep_sealed: Option<PathBuf>,
    /// The policy's file; one is written for this run where there is none.
    pub policy: Option<PathBuf>,
    /// The digest the policy must have: whoever states it knows the policy and its cards.
    pub policy_digest: Option<Digest>,
    /// The job of the policy, where it has several.
    pub job: Option<String>,
    /// The identity, by name or path.
    pub identity: Option<String>,
    /// How many instances run together; one, or what the policy says, where nothing is said.
    pub instances: Option<u32>,
    /// The most memory.
    pub memory: Option<Size>,
    /// The longest run.
    pub timeout: Option<Duration>,
    /// How long the run's end is waited for.
    pub wait: Option<Duration>,
    /// The host; one is started for this run where there is none.
    pub host: Option<HostAddress>,
    /// The certificate authorities a host's certificate may come from.
    pub host_ca: Option<PathBuf>,
    /// The kind of TEE, where a host and no policy is given.
    pub tee: Option<Tee>,
    /// Whether the simulator may pass. NOT SECURE.
    pub allow_simulated: bool,
    /// Which of the vendors' collateral is used.
    pub collateral: CollateralOptions,
    /// The engine profile of the runtime that is started.
    pub engine_profile: Option<String>,
    /// The runtime to start.
    pub runtime: Option<PathBuf>,
    /// The command line after the component's name.
    pub arguments: Vec<String>,
}

/// Where standard input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StdinFrom {
    /// This process's own.
    Inherit,
    /// A file.
    File(PathBuf),
}

/// Something that cannot be used, found before anything was started.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A name that is none.
    #[error("--{option} {name}=…: {source}")]
    Name {
        /// `in` or `out`.
        option: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A name given twice.
    #[error("--{option}: the name {name:?} is given twice; every {option}put needs its own")]
    Twice {
        /// `in` or `out`.
        option: &'static str,
        /// The name.
        name: String,
    },
    /// A path given twice.
    #[error("two outputs go to {}; every output needs its own path", path.display())]
    SamePath {
        /// The path.
        path: PathBuf,
    },
    /// A stream named as an output.
    #[error(
        "--out {name}=…: {name} is a stream, not a file under /out; standard output goes to a file \
         with --stdout FILE, and the other streams are shown"
    )]
    Stream {
        /// Its name.
        name: String,
    },
    /// An input that cannot be used.
    #[error("--in {name}: {source}")]
    Dataset {
        /// Its name.
        name: String,
        /// Why.
        source: DatasetError,
    },
    /// An output's folder is not there.
    #[error("--out {name}: the folder {} does not exist; make it first", folder.display())]
    NoFolder {
        /// The output's name.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
    /// An output's folder cannot be written.
    #[error("--out {name}: cannot write to the folder {}", folder.display())]
    NotWritable {
        /// The output's name.
        name: String,
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder is in a file's place.
    #[error(
        "--out {name}: {} is a folder; for a folder of results write --out {name}={}/",
        path.display(), path.display()
    )]
    IsFolder {
        /// The output's name.
        name: String,
        /// The path.
        path: PathBuf,
    },
    /// Something is in a folder's place.
    #[error("--out {name}")]
    Taken {
        /// The output's name.
        name: String,
        /// What the system said.
        source: FileError,
    },
    /// Two options that do not go together.
    #[error("{0}")]
    Together(&'static str),
    /// An engine profile that is none.
    #[error("--engine-profile {found}: expected vm or sgx")]
    Profile {
        /// What was given.
        found: String,
    },
    /// No runtime to start.
    #[error(
        "mc2-runtime-sim is not beside this program ({}), and no published release has it: run on a \
         host's enclave (--host), try the component without one (--bare), or build it with \
         `cargo xtask build`; --runtime or MC2_RUNTIME name one elsewhere",
        looked.display()
    )]
    NoRuntime {
        /// Where it was looked for.
        looked: PathBuf,
    },
}

impl RunOptions {
    /// The inputs with checked names, standard input among them.
    pub(super) fn named_inputs(&self) -> Result<Vec<(Name, Option<PathBuf>)>, InputError> {
        let mut inputs = Vec::new();
        for (text, path) in &self.inputs {
            let name: Name = text.parse().map_err(|source| InputError::Name {
                option: "in",
                name: text.clone(),
                source,
            })?;
            inputs.push((name, Some(path.clone())));
        }
        if let Some(from) = &self.stdin {
            let name = "stdin"
                .parse()
                // A constant within the alphabet.
                .unwrap_or_else(|error| unreachable!("{error}"));
            let path = match from {
                StdinFrom::Inherit => None,
                StdinFrom::File(path) => Some(path.clone()),
            };
            inputs.push((name, path));
        }
        let mut met = BTreeSet::new();
        for (name, _) in &inputs {
            if !met.insert(name) {
                return Err(InputError::Twice {
                    option: "in",
                    name: name.to_string(),
                });
            }
        }
        Ok(inputs)
    }

    /// The outputs with checked names and places that can be written.
    pub(super) fn planned_outputs(&self) -> Result<Vec<Output>, InputError> {
        if let Some(path) = &self.keep_sealed {
            check_place("sealed", path, true)?;
        }
        let mut outputs: Vec<Output> = Vec::new();
        for (text, path) in &self.outputs {
            let output = planned_output(text, path)?;
            if outputs.iter().any(|other| other.name == output.name) {
                return Err(InputError::Twice {
                    option: "out",
                    name: output.name.to_string(),
                });
            }
            let stdout = self.stdout.is_some() && self.stdout.as_ref() == output.path();
            if stdout || outputs.iter().any(|other| other.path() == output.path()) {
                let path = output.path().cloned().unwrap_or_default();
                return Err(InputError::SamePath { path });
            }
            outputs.push(output);
        }
        if let Some(path) = &self.stdout {
            check_place("stdout", path, false)?;
        }
        Ok(outputs)
    }

    /// Refuses options that contradict each other.
    pub(super) fn check_together(&self) -> Result<(), InputError> {
        if self.policy.is_some() && (self.memory.is_some() || self.timeout.is_some()) {
            return Err(InputError::Together(
                "--memory and --timeout do not go with --policy: the policy states the limits",
            ));
        }
        if self.policy.is_some() && self.tee.is_some() {
            return Err(InputError::Together(
                "--tee does not go with --policy: the policy states the kinds of enclave",
            ));
        }
        if self.policy.is_none() && self.policy_digest.is_some() {
            return Err(InputError::Together(
                "--policy-digest needs --policy: it is that file's digest",
            ));
        }
        if self.policy.is_none() && self.job.is_some() {
            return Err(InputError::Together(
                "--job needs --policy: it names one of its jobs",
            ));
        }
        if self.host.is_some() && (self.engine_profile.is_some() || self.runtime.is_some()) {
            return Err(InputError::Together(
                "--engine-profile and --runtime do not go with --host: that host starts its own",
            ));
        }
        if self.host.is_none() && self.host_ca.is_some() {
            return Err(InputError::Together("--host-ca needs --host"));
        }
        if self.host.is_none() && self.tee.is_some() {
            return Err(InputError::Together(
                "--tee needs --host: without one the simulator is started",
            ));
        }
        match self.engine_profile.as_deref() {
            None | Some("vm" | "sgx") => Ok(()),
            Some(found) => Err(InputError::Profile {
                found: found.to_owned(),
            }),
        }
    }

    /// The simulator to start: named, or beside this program.
    pub(super) fn simulator(&self) -> Result<PathBuf, InputError> {
        let path = self.runtime.clone().unwrap_or_else(simulator::binary);
        if !path.is_file() {
            return Err(InputError::NoRuntime { looked: path });
        }
        Ok(path)
    }
}

fn planned_output(text: &str, path: &Path) -> Result<Output, InputError> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let folder = text.ends_with('/') || bytes.ends_with(b"/");
    let text = text.strip_suffix('/').unwrap_or(text);
    // Without the `/` at its end, which would name the folder's inside.
    let path: PathBuf = path.components().collect();
    let output = Output::new(
        text,
        match folder {
            true => Destination::Folder(path.clone()),
            false => Destination::File(path.clone()),
        },
    )?;
    check_place(output.name.as_str(), &path, folder)?;
    Ok(output)
}

fn check_place(name: &str, path: &Path, folder: bool) -> Result<(), InputError> {
    let parent = folder_of(path);
    if !parent.is_dir() {
        return Err(InputError::NoFolder {
            name: name.to_owned(),
            folder: parent.to_owned(),
        });
    }
    access(parent, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        InputError::NotWritable {
            name: name.to_owned(),
            folder: parent.to_owned(),
            source: error.into(),
        }
    })?;
    if folder {
        return vacant(path).map_err(|source| InputError::Taken {
            name: name.to_owned(),
            source,
        });
    }
    if path.is_dir() {
        return Err(InputError::IsFolder {
            name: name.to_owned(),
            path: path.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_outputs(outputs: &[(&str, &Path)]) -> Result<Vec<Output>, InputError> {
        let own = |(name, path): &(&str, &Path)| ((*name).to_owned(), path.to_path_buf());
        let options = RunOptions {
            outputs: outputs.iter().map(own).collect(),
            ..RunOptions::default()
        };
        options.planned_outputs()
    }

    #[test]
    fn outputs_that_could_not_be_written_are_refused_before_anything_runs() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("full")).unwrap();
        std::fs::write(at("full/x"), "x").unwrap();
        let good = with_outputs(&[("a", &at("a.csv")), ("b", &at("new/"))]).unwrap();
        assert!(!good[0].is_folder() && good[1].is_folder());
        assert_eq!(good[1].path(), Some(&at("new")));

        let refused = |outputs: &[(&str, &Path)]| with_outputs(outputs).unwrap_err();
        assert!(matches!(
            refused(&[("a/b", &at("a"))]),
            InputError::Name { .. }
        ));
        assert!(matches!(
            refused(&[("stdout", &at("a"))]),
            InputError::Stream { .. }
        ));
        assert!(matches!(
            refused(&[("a", &at("no/where"))]),
            InputError::NoFolder { .. }
        ));
        assert!(matches!(
            refused(&[("a", &at("full"))]),
            InputError::IsFolder { .. }
        ));
        assert!(matches!(
            refused(&[("a", &at("full/"))]),
            InputError::Taken { .. }
        ));
        let twice = [("a", &*at("x")), ("a", &*at("y"))];
        assert!(matches!(refused(&twice), InputError::Twice { .. }));
        let same = [("a", &*at("x")), ("b", &*at("x"))];
        assert!(matches!(refused(&same), InputError::SamePath { .. }));
    }

    #[test]
    fn standard_input_is_an_input_like_any_other() {
        let options = RunOptions {
            inputs: vec![("stdin".to_owned(), PathBuf::from("x"))],
            stdin: Some(StdinFrom::Inherit),
            ..RunOptions::default()
        };
        assert!(matches!(
            options.named_inputs(),
            Err(InputError::Twice { .. })
        ));
    }
}
