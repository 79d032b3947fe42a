//! Why settings are refused.

use std::{fmt, io, path::PathBuf};

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// It is no TOML.
    #[error("the configuration {} is not TOML: {reason}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        reason: String,
    },
    /// A name that no setting has.
    #[error(
        "{origin} is no setting{}; `mc2-host serve --help` lists them",
        close(nearest)
    )]
    Unknown {
        /// What was found, and where.
        origin: Origin,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// A value that is not one.
    #[error("{origin}: expected {expected}, found {found:?}")]
    Value {
        /// Where it was given.
        origin: Origin,
        /// What it should be.
        expected: String,
        /// What it is, shortened.
        found: String,
    },
    /// A list where one value is expected.
    #[error("{origin}: expected one value, found {found}")]
    Several {
        /// Where it was given.
        origin: Origin,
        /// How many there are.
        found: usize,
    },
    /// Settings that do not go together.
    #[error("{one} and {other} do not go together: state one of them")]
    Conflict {
        /// One of them.
        one: Origin,
        /// The other.
        other: Origin,
    },
    /// A setting without the one it needs.
    #[error("{one} needs `{missing}` as well")]
    Missing {
        /// The one that is there.
        one: Origin,
        /// The key of the one that is not.
        missing: &'static str,
    },
    /// A certificate or key that cannot be read.
    #[error("{origin}: cannot read {}: {source}", path.display())]
    Pem {
        /// Where it was given.
        origin: Origin,
        /// The file.
        path: PathBuf,
        /// What failed.
        source: rustls::pki_types::pem::Error,
    },
    /// This program's own path, beside which the runtime is looked for, is not known.
    #[error("cannot find this program's own folder: {0}; state `runtime`")]
    OwnFolder(io::Error),
    /// There is no place for the state.
    #[error("neither XDG_STATE_HOME nor HOME is set: state `folder`")]
    NoFolder,
}

fn close(nearest: &Option<String>) -> String {
    match nearest {
        Some(nearest) => format!(": did you mean `{nearest}`?"),
        None => String::new(),
    }
}

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag(String),
    /// In the environment.
    Variable(String),
    /// In the configuration file.
    Key {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(variable) => f.write_str(variable),
            Self::Key { path, key } => write!(f, "`{key}` in {}", path.display()),
        }
    }
}
