//! `mc2 inspect`: what a file or folder is, told without running or opening it.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use mc2_protocol::{
    Card, Digest, Manifest, Name,
    documents::{
        dsse::Envelope,
        receipt::{self, Evidence, SealedReceipt, Statement},
        storage::MAX_COMPONENT_LEN,
    },
    policy::Policy,
    sealed::manifest::Content,
};

use crate::{
    files::{FileError, read_capped},
    policy::approval::{job_text, policy_text},
    results::{RECEIPT, in_words},
    seal::object::{EXTENSION, LocalObject, ObjectError},
    state::identity,
    terminal::{printable, size},
    workload,
};

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A folder that is no object, or a broken one.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A folder of something else.
    #[error(
        "{} is a folder, but neither a sealed object (manifest and files) nor a result ({RECEIPT} \
         and NAME.{EXTENSION})",
        path.display()
    )]
    Folder {
        /// Its path.
        path: PathBuf,
    },
    /// A file of something else, or a broken one.
    #[error(
        "{} is none of: component, card, identity, policy, receipt, evidence, job, manifest ({reason})",
        path.display()
    )]
    Unknown {
        /// Its path.
        path: PathBuf,
        /// Why not, as far as it looked like one of them.
        reason: String,
    },
}

/// Says what `path` is, for people.
///
/// # Errors
/// [`InspectError`].
pub fn inspect(path: &Path) -> Result<String, InspectError> {
    if path.join(RECEIPT).is_file() {
        return of_result(path);
    }
    if path.is_dir() {
        if !LocalObject::is_at(path) {
            let path = path.to_owned();
            return Err(InspectError::Folder { path });
        }
        let object = LocalObject::read(path)?;
        return Ok(of_manifest("sealed object", object.id(), object.manifest()));
    }
    let bytes = read_capped(path, MAX_COMPONENT_LEN)?;
    of_bytes(path, &bytes).map_err(|reason| InspectError::Unknown {
        path: path.to_owned(),
        reason,
    })
}

/// A result's folder: its receipt, and which of the outputs it names are there.
fn of_result(path: &Path) -> Result<String, InspectError> {
    let file = path.join(RECEIPT);
    let bytes = read_capped(&file, 2 * receipt::MAX_LEN)?;
    let unknown = |reason: String| InspectError::Unknown {
        path: file.clone(),
        reason,
    };
    let envelope: Envelope =
        serde_json::from_slice(&bytes).map_err(|error| unknown(error.to_string()))?;
    let statement = Statement::claimed(&envelope).map_err(|error| unknown(error.to_string()))?;
    let mut text = String::new();
    line(
        &mut text,
        "folder",
        "a job's result: its receipt and outputs",
    );
    text.push_str(&of_receipt(&statement));
    for output in &statement.predicate.outputs {
        // A name that is none is no part of a path.
        let Ok(name) = output.name.parse::<Name>() else {
            continue;
        };
        let folder = path.join(format!("{name}.{EXTENSION}"));
        let kept = if !LocalObject::is_at(&folder) {
            "is not here"
        } else if *LocalObject::read(&folder)?.id() == output.object {
            "is here, sealed"
        } else {
            "is here as another object than the receipt names"
        };
        line(&mut text, "kept", format!("{name} {kept}"));
    }
    Ok(text)
}

fn of_bytes(path: &Path, bytes: &[u8]) -> Result<String, String> {
    if bytes.starts_with(b"\0asm") {
        return of_wasm(bytes);
    }
    if bytes.starts_with(b"\x7fELF") {
        return Err(
            "it is native code, a .cwasm or another ELF file, which no runtime takes".into(),
        );
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
    let start = text.trim_start();
    if start.starts_with(mc2_protocol::documents::card::CARD_PREFIX) {
        let card: Card = start.parse().map_err(|error| format!("{error}"))?;
        return Ok(of_card("card", &card));
    }
    if start.starts_with(['{', '[']) {
        return of_json(bytes);
    }
    if let Ok(identity) = identity::read_file(path) {
        let card = of_card("identity (the secret half of a card)", identity.card());
        return Ok(card);
    }
    match Policy::parse(bytes) {
        Ok(policy) => Ok(policy_text(&policy)),
        Err(error) => Err(error.to_string()),
    }
}

fn of_wasm(bytes: &[u8]) -> Result<String, String> {
    let description = workload::describe(bytes)?;
    let mut text = String::new();
    let kind = if description.component {
        "WebAssembly component"
    } else {
        "core WebAssembly module: not a component; build it for wasm32-wasip2"
    };
    line(&mut text, "what", kind);
    line(&mut text, "sha256", Digest::of(bytes));
    line(&mut text, "size", size(bytes.len() as u64));
    for (what, names) in [
        ("imports", &description.imports),
        ("exports", &description.exports),
    ] {
        for name in names {
            line(&mut text, what, printable(name));
        }
    }
    Ok(text)
}

fn of_card(what: &str, card: &Card) -> String {
    let mut text = String::new();
    line(&mut text, "what", what);
    line(&mut text, "name", card.name());
    line(&mut text, "fingerprint", card.fingerprint());
    line(&mut text, "digest", card.digest());
    text
}

fn of_json(bytes: &[u8]) -> Result<String, String> {
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes) {
        let statement = Statement::claimed(&envelope).map_err(|error| error.to_string())?;
        return Ok(of_receipt(&statement));
    }
    if let Ok(sealed) = SealedReceipt::parse(bytes) {
        let mut text = String::new();
        line(&mut text, "what", "sealed receipt");
        for reader in &sealed.readers {
            line(&mut text, "reader", reader.card);
        }
        return Ok(text);
    }
    if let Ok(job) = job_text(bytes) {
        return Ok(job);
    }
    if let Ok(evidence) = serde_json::from_slice::<Evidence>(bytes) {
        let mut text = String::new();
        line(&mut text, "what", "attestation evidence, not appraised");
        line(&mut text, "type", printable(&evidence.media_type));
        line(&mut text, "size", size(evidence.value.0.len() as u64));
        return Ok(text);
    }
    match Manifest::parse(bytes) {
        Ok(manifest) => Ok(of_manifest("manifest", &Digest::of(bytes), &manifest)),
        Err(error) => Err(error.to_string()),
    }
}

fn of_manifest(what: &str, id: &Digest, manifest: &Manifest) -> String {
    let mut text = String::new();
    line(&mut text, "what", what);
    line(&mut text, "object", id);
    line(&mut text, "dataset", manifest.dataset());
    line(&mut text, "media type", manifest.media_type().as_str());
    line(&mut text, "size", size(manifest.length()));
    match manifest.content() {
        Content::File(_) => line(&mut text, "files", 1),
        Content::Folder { files, .. } => {
            let told = format!("{} in a folder; their paths are sealed", files.len());
            line(&mut text, "files", told);
        }
        Content::Packed(_) => {
            let told = "a folder in one stream; their number, paths and lengths are sealed";
            line(&mut text, "files", told);
        }
    }
    if let Some(owner) = manifest.owner() {
        line(&mut text, "owner", format!("card {}", owner.card));
    }
    if let Content::Folder { files, .. } = manifest.content() {
        for (number, file) in files.iter().enumerate() {
            line(
                &mut text,
                "file",
                format!("{number} ({})", size(file.length)),
            );
        }
    }
    text
}

fn of_receipt(statement: &Statement) -> String {
    let receipt = &statement.predicate;
    let mut text = String::new();
    line(
        &mut text,
        "what",
        "receipt, not verified: `mc2 verify` does that",
    );
    line(
        &mut text,
        "job",
        format!("{} ({})", receipt.job, receipt.job_name),
    );
    line(&mut text, "session", Digest::of(receipt.record.as_slice()));
    line(&mut text, "policy", Digest::of(receipt.policy.as_slice()));
    line(&mut text, "submitter", receipt.submitter);
    line(
        &mut text,
        "evidence",
        printable(&receipt.evidence.media_type),
    );
    line(&mut text, "status", in_words(&receipt.status));
    for input in &receipt.inputs {
        line(
            &mut text,
            "input",
            format!("{} of {}  {}", input.dataset, input.owner, input.object),
        );
    }
    for output in &receipt.outputs {
        let name = printable(&output.name);
        line(
            &mut text,
            "output",
            format!(
                "{name}  {}, for {} readers",
                output.object,
                output.recipients.len()
            ),
        );
    }
    for left in &receipt.custody {
        let told = format!(
            "{}  {}, in custody of card {}: nobody opens it, later jobs of the policy may take it",
            left.name,
            left.object,
            left.holder.card.short()
        );
        line(&mut text, "custody", told);
    }
    for step in &receipt.steps {
        let told = format!(
            "{}: usage for {} readers, what the host saw for {}",
            step.component,
            step.usage.len(),
            step.observed.len()
        );
        line(&mut text, "step", told);
    }
    text
}

fn line(text: &mut String, what: &str, value: impl std::fmt::Display) {
    // A string takes everything.
    let _ = writeln!(text, "{what:<12} {value}");
}
