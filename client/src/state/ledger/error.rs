//! Why the ledger cannot be used.

use std::path::PathBuf;

use mc2_protocol::{Digest, Name};

use crate::{exit::Exit, files::FileError};

/// Why nothing may be released.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The chain does not hold.
    #[error(
        "the ledger {} is broken at line {line}: {reason}. No key is released while it is; put \
         back a copy of it, or move it and its .head away if you accept that earlier releases are \
         forgotten",
        path.display()
    )]
    Broken {
        /// The ledger's file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The index could not be used or made.
    #[error(
        "cannot {doing} the ledger's index {}; it is made anew once that file is removed",
        path.display()
    )]
    Index {
        /// What was being done.
        doing: &'static str,
        /// The index's file.
        path: PathBuf,
        /// What went wrong.
        source: Box<redb::Error>,
    },
    /// An entry that no reader would take.
    #[error("an entry of the ledger may have {most} bytes, this one has {found}")]
    TooLong {
        /// How many it may have.
        most: usize,
        /// How many it has.
        found: usize,
    },
    /// A version that is older than one there was.
    #[error(
        "version {number} of {dataset} is object {object}, and there was version {newest}, object \
         {newest_object}: an older one, or another of that number, is not taken"
    )]
    OlderVersion {
        /// The dataset.
        dataset: Name,
        /// Which version is refused.
        number: u64,
        /// Its object.
        object: Digest,
        /// The newest there was.
        newest: u64,
        /// The newest's object.
        newest_object: Digest,
    },
    /// The runs the policy allows are spent.
    #[error(
        "the dataset {dataset} was released for {spent} of the {allowed} runs this policy allows, \
         so {asked} more are refused; write a policy that allows more"
    )]
    Spent {
        /// The dataset.
        dataset: Name,
        /// Runs released so far.
        spent: u64,
        /// Runs the policy allows.
        allowed: u64,
        /// Runs asked for now.
        asked: u64,
    },
}

impl LedgerError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Spent { .. } | Self::OlderVersion { .. } => Exit::PolicyRefused,
            _ => Exit::StateBroken,
        }
    }
}
