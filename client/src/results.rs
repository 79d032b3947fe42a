//! Sealing, opening and verifying by hand: what `mc2` does with files.
//!
//! A result is a folder with `receipt.json`, the receipt's DSSE envelope, and beside it each
//! sealed output as `NAME.sealed`. It is opened only after its receipt was followed back to the
//! evidence and every output is the object the receipt names.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use mc2_attestation::{Check, SimKey, TrustStore};
use mc2_protocol::{
    Digest, Identity, Name,
    dsse::Envelope,
    encoding::{JsonError, parse_json},
    policy::{self, Policy, PolicyError},
    receipt::{self, ReceiptError, Statement, unwrap_output_key},
    record::ComponentDigest,
};
use serde_json::json;

use crate::{
    cli::terminal,
    exit::Exit,
    files::{FileError, StagedFolder, private_folder, read_capped, vacant, write_private},
    object::{EXTENSION, LocalObject, ObjectError, key_for, seal_to_folder},
    open::{OpenError, Opening, Sealed},
    run::{RunError, load_trust, report_checks, simulator_reference},
    source::{Source, SourceError},
    state::{State, StateError},
    verify::{BrokenLink, Expected, Verdict, Verified, verify},
    workload::{Workload, WorkloadError},
};

/// The receipt of a result's folder.
pub const RECEIPT: &str = "receipt.json";

/// What a person knows about a receipt beforehand.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// The policy that was agreed.
    pub policy: Option<PathBuf>,
    /// The components it names, in order.
    pub components: Vec<PathBuf>,
    /// Whether a simulator that was started here may pass. NOT SECURE.
    pub allow_simulated: bool,
}

/// A dataset sealed to a folder.
pub struct SealedFolder {
    /// The object's id.
    pub object: Digest,
    /// The folder.
    pub folder: PathBuf,
}

/// A receipt that was followed.
pub struct Checked {
    job: Digest,
    job_name: Name,
    verdict: Verdict,
}

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// What is to be sealed cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
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
    #[error("{}: {source}", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<PolicyError>,
    },
    /// Not a component.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The trust store cannot be used.
    #[error(transparent)]
    Trust(Box<RunError>),
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
            Self::Source(_) | Self::Read(_) | Self::Components { .. } | Self::Unknown { .. } => {
                Exit::BadInput
            }
            Self::NotAReceipt { .. } | Self::OtherDocument { .. } => Exit::ResultTampered,
            Self::State(error) => of_state(error),
            Self::Object(ObjectError::File(_)) => Exit::CannotWrite,
            Self::Object(ObjectError::Seal(_)) => Exit::BadInput,
            Self::Object(ObjectError::Manifest { .. }) | Self::NoKey { .. } => Exit::DataTampered,
            Self::Open(OpenError::File(_)) | Self::Write(_) => Exit::CannotWrite,
            Self::Open(_) => Exit::DataTampered,
            Self::Policy { .. } => Exit::PolicyRefused,
            Self::Workload(error) => crate::run::of_workload(error),
            Self::Trust(error) => error.exit(),
            Self::Broken(_) | Self::Output { .. } => Exit::ResultTampered,
        }
    }
}

/// How the process ends when the state folder cannot be used.
pub fn of_state(error: &StateError) -> Exit {
    match error {
        StateError::NoIdentity { .. }
        | StateError::Identity(_)
        | StateError::IdentityExists { .. } => Exit::BadInput,
        _ => Exit::StateBroken,
    }
}

/// Seals `path` as a version of `dataset` into the folder `DATASET.sealed` in `output`, and keeps
/// its key.
///
/// # Errors
/// [`ResultError`]; nothing is left behind then.
pub fn seal(
    state: &State,
    path: &Path,
    dataset: &Name,
    identity: Option<&str>,
    output: &Path,
) -> Result<SealedFolder, ResultError> {
    let source = Source::scan(path)?;
    let folder = output.join(format!("{dataset}.{EXTENSION}"));
    vacant(&folder).map_err(ResultError::Write)?;
    let owner = own_identity(state, identity)?;
    let card = owner.card();
    let (object, _, key) = seal_to_folder(&source, dataset, card, &folder, &mut |_| ())?;
    state.store_data_key(&object, dataset, card.digest(), &key)?;
    Ok(SealedFolder { object, folder })
}

/// Pins a simulator that somebody else started, by its key and the file it runs. NOT SECURE.
///
/// # Errors
/// The file or the trust store cannot be read, or it cannot be written.
pub fn trust_simulator(state: &State, key: SimKey, runtime: &Path) -> Result<(), ResultError> {
    let value = simulator_reference(runtime).map_err(ResultError::Read)?;
    let mut trust = load_trust(state).map_err(|error| ResultError::Trust(Box::new(error)))?;
    trust.pin_simulator(key);
    trust
        .add(value)
        // A measurement of 32 bytes under the simulator's own name and this release's version.
        .unwrap_or_else(|error| unreachable!("{error}"));
    private_folder(state.root()).map_err(ResultError::Write)?;
    write_private(&state.trust_store(), &trust.to_bytes()).map_err(ResultError::Write)
}

/// Opens an own sealed object to `output`, or a verified result into the folder `output`; returns
/// what was written.
///
/// # Errors
/// [`ResultError`]; nothing is written then.
pub async fn open(
    state: &State,
    path: &Path,
    output: &Path,
    identity: Option<&str>,
    options: &VerifyOptions,
) -> Result<Vec<PathBuf>, ResultError> {
    if path.join(RECEIPT).is_file() {
        return open_result(state, path, output, identity, options).await;
    }
    if !LocalObject::is_at(path) {
        let path = path.to_owned();
        return Err(ResultError::Unknown { path });
    }
    let object = LocalObject::read(path)?;
    let manifest = object.manifest();
    let mut key = None;
    for identity in candidates(state, identity)? {
        key = key.or(key_for(&object, state, &identity)?);
    }
    let key = key.ok_or_else(|| ResultError::NoKey {
        dataset: manifest.dataset().clone(),
        owner: manifest
            .owner()
            .map(|owner| owner.card.short())
            .unwrap_or_default(),
    })?;
    let opening = Opening {
        manifest,
        key: &key,
        lengths: None,
        from: Sealed::Folder(&object),
    };
    opening.to_path(output, &mut |_| ()).await?;
    Ok(vec![output.to_owned()])
}

/// Follows the receipt in a file.
///
/// # Errors
/// The files cannot be read. A link that does not hold is not an error here: see
/// [`Checked::accept`].
pub fn verify_file(
    state: &State,
    path: &Path,
    options: &VerifyOptions,
) -> Result<Checked, ResultError> {
    let envelope = read_receipt(path)?;
    let claimed = Statement::claimed(&envelope).map_err(|source| ResultError::OtherDocument {
        path: path.to_owned(),
        source,
    })?;
    let job = claimed.predicate.job;
    let policy = options.policy.as_deref().map(read_policy).transpose()?;
    let trust = trust(state, &job, options.allow_simulated)?;
    let components = components(options, policy.as_ref(), &claimed)?;
    let verdict = verify(
        &envelope,
        &Expected {
            trust: &trust,
            allow_simulated: options.allow_simulated,
            now: SystemTime::now(),
            policy: policy.as_ref(),
            components: components.as_deref(),
            nonce: None,
            session: None,
            job: None,
            submitter: None,
        },
    );
    Ok(Checked {
        job,
        job_name: claimed.predicate.job_name,
        verdict,
    })
}

impl Checked {
    /// Every link.
    pub fn checks(&self) -> &[Check] {
        &self.verdict.checks
    }

    /// The verdict for people.
    pub fn to_text(&self) -> String {
        let [now, then] = self.verdict.in_words();
        let lines = terminal::lines(&self.verdict.checks);
        format!(
            "receipt of job {} ({})\n{lines}{now}\n{then}\n",
            self.job, self.job_name
        )
    }

    /// The verdict for programs.
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "version": 1,
            "job": self.job,
            "accepted": self.verdict.is_accepted(),
            "checks": report_checks(&self.verdict.checks),
            "as_of_now": self.verdict.is_accepted(),
            "as_of": null,
        })
    }

    /// The verified receipt.
    ///
    /// # Errors
    /// The first link that does not hold.
    pub fn accept(self) -> Result<Verified, ResultError> {
        Ok(self.verdict.accept()?)
    }
}

async fn open_result(
    state: &State,
    path: &Path,
    target: &Path,
    identity: Option<&str>,
    options: &VerifyOptions,
) -> Result<Vec<PathBuf>, ResultError> {
    let verified = verify_file(state, &path.join(RECEIPT), options)?.accept()?;
    let identities = candidates(state, identity)?;
    let staged = StagedFolder::create(target).map_err(ResultError::Write)?;
    let mut opened = Vec::new();
    for output in &verified.receipt.outputs {
        let wrapped = output.keys.iter().find_map(|key| {
            let own = |identity: &&Identity| *identity.card().digest() == key.card;
            Some((key, identities.iter().find(own)?))
        });
        let Some((wrapped, reader)) = wrapped else {
            continue;
        };
        let refused = |reason: String| ResultError::Output {
            name: output.name.clone(),
            reason,
        };
        let folder = path.join(format!("{}.{EXTENSION}", output.name));
        if !LocalObject::is_at(&folder) {
            return Err(refused(format!("{} is missing", folder.display())));
        }
        let object = LocalObject::read(&folder)?;
        if *object.id() != output.object {
            let expected = output.object;
            return Err(refused(format!(
                "it is object {}, expected {expected}",
                object.id()
            )));
        }
        let session = verified.session.digest();
        let job = &verified.receipt.job;
        let key = unwrap_output_key(session, job, &output.name, wrapped, reader)
            .map_err(|error| refused(error.to_string()))?;
        let opening = Opening {
            manifest: object.manifest(),
            key: &key,
            lengths: Some(&output.lengths),
            from: Sealed::Folder(&object),
        };
        let place = staged.path().join(object.manifest().dataset().as_str());
        opening.to_path(&place, &mut |_| ()).await?;
        opened.push(target.join(object.manifest().dataset().as_str()));
    }
    staged.publish().map_err(ResultError::Write)?;
    Ok(opened)
}

fn read_receipt(path: &Path) -> Result<Envelope, ResultError> {
    let bytes = read_capped(path, 2 * receipt::MAX_LEN).map_err(ResultError::Read)?;
    parse_json("the receipt's envelope", &bytes, 2 * receipt::MAX_LEN).map_err(|source| {
        ResultError::NotAReceipt {
            path: path.to_owned(),
            source,
        }
    })
}

fn read_policy(path: &Path) -> Result<Policy, ResultError> {
    let bytes = read_capped(path, policy::MAX_LEN).map_err(ResultError::Read)?;
    Policy::parse(&bytes).map_err(|source| ResultError::Policy {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// This user's trust store, and with it the simulator that was pinned when the job ran here.
fn trust(state: &State, job: &Digest, allow_simulated: bool) -> Result<TrustStore, ResultError> {
    let mut trust = load_trust(state).map_err(|error| ResultError::Trust(Box::new(error)))?;
    if !allow_simulated {
        return Ok(trust);
    }
    let Some(bytes) = state.simulator(job)? else {
        return Ok(trust);
    };
    // What is not valid there is not trusted, and the appraisal says what is missing.
    if let Ok(kept) = TrustStore::parse(&bytes, &[]) {
        for key in kept.simulators() {
            trust.pin_simulator(*key);
        }
        for value in kept.reference_values() {
            let _ = trust.add(value.clone());
        }
    }
    Ok(trust)
}

fn components(
    options: &VerifyOptions,
    policy: Option<&Policy>,
    claimed: &Statement,
) -> Result<Option<Vec<ComponentDigest>>, ResultError> {
    if options.components.is_empty() {
        return Ok(None);
    }
    // Only the names are taken from a policy nobody vouched for yet; it is checked like any.
    let claimed_policy = Policy::parse(claimed.predicate.policy.as_slice()).ok();
    let named = policy
        .or(claimed_policy.as_ref())
        .map_or(&[][..], Policy::components);
    if named.len() != options.components.len() {
        return Err(ResultError::Components {
            expected: named.len(),
            found: options.components.len(),
        });
    }
    let measured = named
        .iter()
        .zip(&options.components)
        .map(|(component, path)| {
            Ok(ComponentDigest {
                name: component.name.clone(),
                sha256: Workload::read(path)?.sha256,
            })
        });
    measured.collect::<Result<_, ResultError>>().map(Some)
}

fn own_identity(state: &State, name: Option<&str>) -> Result<Identity, StateError> {
    match name {
        Some(name) => state.identity(name),
        None => state.default_identity(),
    }
}

fn candidates(state: &State, name: Option<&str>) -> Result<Vec<Identity>, StateError> {
    match name {
        Some(name) => Ok(vec![state.identity(name)?]),
        None => state.identities(),
    }
}
