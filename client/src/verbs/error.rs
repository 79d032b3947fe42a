//! Why a verb was not done.

use std::path::PathBuf;

use mc2_attestation::Refused as AttestationRefused;
use mc2_protocol::{
    Digest, Name, PartyName, documents::message::GuestSecretError, encoding::JsonError,
    policy::Refusal,
};

use super::{arguments::ArgumentError, missing::Missing};
use crate::{
    collateral::BundleError,
    confirm::ConfirmError,
    custody::CustodyError,
    dataset::DatasetError,
    exit::Exit,
    files::FileError,
    http::{AddressError, ConnectError},
    party::{PartyError, Untrusted},
    policy::PolicyFileError,
    remote::RemoteError,
    results::{KeepError, ResultError},
    session::SessionError,
    simulator::SimulatorError,
    state::{StateError, ledger::LedgerError},
    terminal::listed,
    verify::BrokenLink,
    workload::WorkloadError,
};

/// Why a verb was not done.
#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The collateral at hand.
    #[error(transparent)]
    Collateral(#[from] BundleError),
    /// A file.
    #[error(transparent)]
    File(FileError),
    /// A file that is not written.
    #[error(transparent)]
    Write(FileError),
    /// The policy's file.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    /// The cards, or which of them is one's own.
    #[error(transparent)]
    Party(#[from] PartyError),
    /// The policy names cards that are not known.
    #[error("the policy {policy}: {source}")]
    Untrusted {
        /// Its name.
        policy: Name,
        /// Which, and what to do.
        source: Untrusted,
    },
    /// A component's file.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// What is to be uploaded.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Data without a name.
    #[error("{} was not sealed before: say of which dataset it is a version, --name DATASET", path.display())]
    NoName {
        /// What is to be uploaded.
        path: PathBuf,
    },
    /// The host's address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The host.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The evidence.
    #[error(transparent)]
    Attestation(#[from] AttestationRefused),
    /// The session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The pin of a simulator on this machine.
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The policy does not allow the job.
    #[error("the policy does not allow it: {0}")]
    Refusal(#[from] Refusal),
    /// The job's arguments.
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    /// A job of this program's own that is none.
    #[error("cannot show what would be approved")]
    Show(#[from] JsonError),
    /// The receipt does not verify.
    #[error(transparent)]
    Broken(#[from] BrokenLink),
    /// The result is not kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// The result does not open.
    #[error(transparent)]
    Result(#[from] ResultError),
    /// The host lacks a component.
    #[error(
        "the host has no component {name} of SHA-256 {sha256}: give its file with --component FILE"
    )]
    NoComponent {
        /// Its name in the policy.
        name: Name,
        /// Its digest.
        sha256: Digest,
    },
    /// A component that the policy does not name.
    #[error(
        "{} has the SHA-256 {found}, which is none of the components of the policy ({known}): \
         rebuild the file, or agree on another policy",
        path.display()
    )]
    OtherComponent {
        /// Its file.
        path: PathBuf,
        /// Its digest.
        found: Digest,
        /// Those of the policy.
        known: String,
    },
    /// No session of that digest is known.
    #[error(
        "no session {asked} is known in {}: `mc2 session list` shows those that are, and \
         `mc2 session join` takes another", state.display()
    )]
    UnknownSession {
        /// What was asked for.
        asked: String,
        /// Where sessions are kept.
        state: PathBuf,
    },
    /// No job of that digest or number is known.
    #[error("no job {asked} of session {session} is known: give its number or its digest")]
    UnknownJob {
        /// What was asked for.
        asked: String,
        /// The session.
        session: Digest,
    },
    /// It runs already, or has.
    #[error("the job {job} was submitted before, as number {number}: `mc2 watch` follows it")]
    Taken {
        /// The job.
        job: Digest,
        /// Its number in the session.
        number: u64,
    },
    /// The same left before.
    #[error(
        "the same job left from here before, as {job}, and what became of it was not heard: \
         `mc2 submit SESSION --again {job}` goes on with it, --another submits another one"
    )]
    Unanswered {
        /// The job that left.
        job: Digest,
    },
    /// It may have been taken or not.
    #[error(
        "the job {job} left from here, and what the enclave said to it was not heard: it does not \
         run, and the host shows no receipt of it. Should that come, `mc2 submit` finds it; \
         --even-twice submits the job all the same, which then may run, and spend its keys, a second \
         time"
    )]
    Unheard {
        /// The job.
        job: Digest,
    },
    /// Nobody proposes such a job.
    #[error(
        "no job {asked} that the policy allows is proposed to this party in session {session}: \
         `mc2 session status` shows those that are; whoever submits it sends it again with \
         `mc2 submit SESSION --again JOB`"
    )]
    NotProposed {
        /// What was asked for.
        asked: String,
        /// The session.
        session: Digest,
    },
    /// Nobody asks this party.
    #[error("the policy asks {party} for no approval of single jobs called {job}")]
    NotAsked {
        /// The job's name in the policy.
        job: Name,
        /// This party.
        party: PartyName,
    },
    /// A file that holds no key for a component.
    #[error("{} is no key for a component: {source}", path.display())]
    GuestKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: GuestSecretError,
    },
    /// Several begin with these digits.
    #[error("{asked} names more than one {what} that is known here: give more of its digits")]
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// What it names more than one of.
        what: &'static str,
    },
    /// Too few digits.
    #[error(
        "{asked:?} names no {what}: give its digest, 64 hexadecimal digits, or the first 8 or more \
         of them"
    )]
    NotADigest {
        /// What was asked for.
        asked: String,
        /// What it is to name.
        what: &'static str,
    },
    /// The policy of a session is another than the one agreed.
    #[error(
        "the session {session} was opened under the policy {found}, expected {expected}: it is not \
         the one you agreed on, so it was not joined"
    )]
    OtherPolicy {
        /// The session.
        session: Digest,
        /// Digest of the policy given here.
        expected: Digest,
        /// Digest of the session's.
        found: Digest,
    },
    /// A dataset that is not this party's.
    #[error(
        "the policy has no dataset {dataset} of {party}'s and none in its custody; it has {own}"
    )]
    NotOwned {
        /// The dataset.
        dataset: Name,
        /// This party's name.
        party: String,
        /// Those that are.
        own: String,
    },
    /// A version without a key.
    #[error(
        "no key of object {object} of {dataset} is here, and the card of {party} does not open it: \
         name the identity it was sealed for with --as, or upload it again"
    )]
    NoKey {
        /// The dataset.
        dataset: Name,
        /// Its version.
        object: Digest,
        /// This party's name.
        party: String,
    },
    /// A version that is not in custody here.
    #[error(
        "no key of object {object} of {output} is in {party}'s custody here: `mc2 list` shows those \
         that are, and `mc2 watch` of the job that left it takes it out of the receipt"
    )]
    NotInCustody {
        /// The output.
        output: Name,
        /// Its version.
        object: Digest,
        /// This party.
        party: PartyName,
    },
    /// Which version of an output in custody a job is to read is not known.
    #[error(
        "the job reads {output}, which is in custody of {keeper}, and {}: name its object with --in \
         {output}=OBJECT, as {keeper} tells it or the receipt of the job that left it",
        match known.len() {
            0 => "no version of it is known here".to_owned(),
            _ => format!("several versions of it are known here, {}", listed(known)),
        }
    )]
    NoCustodyVersion {
        /// The output.
        output: Name,
        /// Who keeps it.
        keeper: String,
        /// Those that are known here: none, or several.
        known: Vec<Digest>,
    },
    /// A key that the enclave gave into this party's custody does not open.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// What was shown was not confirmed.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// No kind of thing was named.
    #[error("nothing was named")]
    NothingNamed,
    /// The session lacks something.
    #[error(
        "the job {job} was not submitted: its session waits for {missing}. It is kept here: \
         `mc2 submit SESSION --again {job}` goes on"
    )]
    Waiting {
        /// The job.
        job: Digest,
        /// What is missing, and of whom.
        missing: Box<Missing>,
    },
    /// Asked to end.
    #[error("{}", .0.meaning())]
    Stopped(Exit),
}

impl VerbError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::Policy(error) => error.exit(),
            Self::Party(error) => error.exit(),
            Self::Workload(error) => error.exit(),
            Self::Dataset(error) => error.exit(),
            Self::Connect(error) => error.exit(),
            Self::Remote(error) => error.exit(),
            Self::Attestation(_) => Exit::AttestationRefused,
            Self::Session(error) => error.exit(),
            Self::Simulator(error) => error.exit(),
            Self::Ledger(error) => error.exit(),
            Self::Keep(error) => error.exit(),
            Self::Result(error) => error.exit(),
            Self::Untrusted { .. }
            | Self::Refusal(_)
            | Self::Waiting { .. }
            | Self::NotAsked { .. }
            | Self::OtherPolicy { .. }
            | Self::Confirm(ConfirmError::OtherDigest { .. }) => Exit::PolicyRefused,
            Self::Broken(_) | Self::Custody(_) => Exit::ResultTampered,
            Self::NoKey { .. } => Exit::DataTampered,
            Self::Write(_) => Exit::CannotWrite,
            Self::Show(_) | Self::Unheard { .. } => Exit::Failed,
            Self::Stopped(exit) => *exit,
            Self::NoName { .. }
            | Self::Address(_)
            | Self::Arguments(_)
            | Self::NoComponent { .. }
            | Self::OtherComponent { .. }
            | Self::UnknownSession { .. }
            | Self::UnknownJob { .. }
            | Self::Taken { .. }
            | Self::Unanswered { .. }
            | Self::NotProposed { .. }
            | Self::GuestKey { .. }
            | Self::File(_)
            | Self::Collateral(_)
            | Self::Ambiguous { .. }
            | Self::NotADigest { .. }
            | Self::NotOwned { .. }
            | Self::NotInCustody { .. }
            | Self::NoCustodyVersion { .. }
            | Self::Confirm(_)
            | Self::NothingNamed => Exit::BadInput,
        }
    }
}
