//! Why something was not sealed, opened or verified.

use std::path::PathBuf;

use mc2_protocol::{Digest, Name, documents::receipt::ReceiptError, encoding::JsonError};

use super::{date::DateError, keep::RECEIPT};
use crate::{
    collateral::BundleError,
    exit::Exit,
    files::FileError,
    open::OpenError,
    policy::PolicyFileError,
    seal::{
        object::{EXTENSION, ObjectError},
        source::SourceError,
    },
    state::StateError,
    verify::BrokenLink,
    vouch::VouchError,
    workload::WorkloadError,
};

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// What is to be sealed cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The collateral at hand.
    #[error(transparent)]
    Collateral(#[from] BundleError),
    /// A sealed object cannot be read or written.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be read.
    #[error(transparent)]
    Read(FileError),
    /// A result cannot be written.
    #[error(transparent)]
    Write(FileError),
    /// Not a receipt.
    #[error("{} is not a receipt", path.display())]
    NotAReceipt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: JsonError,
    },
    /// A document of another kind.
    #[error("{} is not a receipt", path.display())]
    OtherDocument {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReceiptError,
    },
    /// Not a policy.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    /// Not a component.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The number of components is not the policy's.
    #[error(
        "--component is given {found} times, the policy names {expected} components: give all of them in its order, or none"
    )]
    Components {
        /// How many the policy names.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A link does not hold.
    #[error(transparent)]
    Broken(#[from] BrokenLink),
    /// What was given dates nothing.
    #[error("no verdict as of an earlier time: {0}")]
    Date(#[from] DateError),
    /// Another's word is asked for.
    #[error("nothing was vouched for: {0}")]
    Vouch(#[from] VouchError),
    /// Nothing is known that the receipt could be compared with.
    #[error(
        "the receipt does not verify: own job: expected one of the submissions kept in {}, found \
         job {job}. If somebody else submitted it, give the policy you agreed to with --policy \
         FILE; --policy any shows only that some enclave ran something",
        state.display()
    )]
    NotOwn {
        /// The job the receipt says it is of.
        job: Digest,
        /// Where submissions are kept.
        state: PathBuf,
    },
    /// Another job's result.
    #[error(
        "the receipt does not verify: own job: expected job {expected}, {why}, found job {found}: \
         {} is another result than the one you want. Get the right one back; if another is meant, \
         name it with --job",
        path.display()
    )]
    OtherJob {
        /// Where it lies.
        path: PathBuf,
        /// The job whose result belongs there.
        expected: Digest,
        /// The job the receipt says it is of.
        found: Digest,
        /// How the expected one is known.
        why: &'static str,
    },
    /// Nothing of a result is this person's.
    #[error(
        "nothing in {} is sealed to {}: its outputs go to other parties, so nothing was written",
        path.display(),
        readers
    )]
    NotAReader {
        /// The result.
        path: PathBuf,
        /// The identities that were tried.
        readers: String,
    },
    /// What is there is nobody's to open.
    #[error(
        "{outputs} is in custody and nobody opens it: its key is kept to be released to later jobs of \
         the same policy, and for nothing else"
    )]
    InCustody {
        /// The outputs' names.
        outputs: String,
    },
    /// No key for the object.
    #[error(
        "no key for {dataset} is here: it was sealed for the card {owner}; name that identity with \
         --as"
    )]
    NoKey {
        /// The dataset.
        dataset: Name,
        /// Short digest of the owner's card.
        owner: String,
    },
    /// An output that is missing, or another one than the receipt names.
    #[error("the output {name} is not the one the receipt names: {reason}; nothing was opened")]
    Output {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither an object nor a result.
    #[error(
        "{} is neither a sealed object (manifest and files) nor a result ({RECEIPT} and \
         NAME.{EXTENSION})",
        path.display()
    )]
    Unknown {
        /// The path.
        path: PathBuf,
    },
}

impl ResultError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Source(_)
            | Self::Read(_)
            | Self::Components { .. }
            | Self::Vouch(_)
            | Self::NotAReader { .. }
            | Self::InCustody { .. }
            | Self::Unknown { .. } => Exit::BadInput,
            Self::NotAReceipt { .. } | Self::OtherDocument { .. } => Exit::ResultTampered,
            Self::State(error) => error.exit(),
            Self::Object(ObjectError::File(_)) => Exit::CannotWrite,
            Self::Object(ObjectError::Seal(_)) => Exit::BadInput,
            Self::Object(ObjectError::Manifest { .. }) | Self::NoKey { .. } => Exit::DataTampered,
            Self::Open(OpenError::File(_)) | Self::Write(_) => Exit::CannotWrite,
            Self::Open(_) => Exit::DataTampered,
            Self::Collateral(_) => Exit::BadInput,
            Self::Policy(error) => error.exit(),
            Self::Workload(error) => error.exit(),
            Self::Broken(_)
            | Self::Date(_)
            | Self::NotOwn { .. }
            | Self::OtherJob { .. }
            | Self::Output { .. } => Exit::ResultTampered,
        }
    }
}
