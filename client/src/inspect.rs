//! What a file or folder is, told without running or opening it: what `mc2 inspect` says.

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
use serde_json::{Value, json};

use crate::{
    files::{FileError, read_capped},
    policy::{
        approval::{job_text, policy_text},
        to_json as policy_json,
    },
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

/// What something is.
pub struct Inspected {
    /// For people.
    pub text: String,
    /// For programs; `what` is there of everything.
    pub fields: Value,
}

/// Says what `path` is.
///
/// # Errors
/// [`InspectError`].
pub fn inspect(path: &Path) -> Result<Inspected, InspectError> {
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
fn of_result(path: &Path) -> Result<Inspected, InspectError> {
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
    let receipt = of_receipt(&statement);
    text.push_str(&receipt.text);
    let mut outputs = Vec::new();
    for output in &statement.predicate.outputs {
        // A name that is none is no part of a path.
        let Ok(name) = output.name.parse::<Name>() else {
            continue;
        };
        let folder = path.join(format!("{name}.{EXTENSION}"));
        let found = match LocalObject::is_at(&folder) {
            true => Some(*LocalObject::read(&folder)?.id()),
            false => None,
        };
        let kept = match found {
            None => "is not here",
            Some(found) if found == output.object => "is here, sealed",
            Some(_) => "is here as another object than the receipt names",
        };
        line(&mut text, "kept", format!("{name} {kept}"));
        outputs.push(json!({ "name": name, "object": output.object, "found": found }));
    }
    let fields = json!({ "what": "result", "receipt": receipt.fields, "kept": outputs });
    Ok(Inspected { text, fields })
}

fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Inspected, String> {
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
        let mut card = of_card("identity (the secret half of a card)", identity.card());
        card.fields["what"] = "identity".into();
        return Ok(card);
    }
    match Policy::parse(bytes) {
        Ok(policy) => {
            let text = policy_text(&policy);
            let mut fields = policy_json(&policy);
            fields["what"] = "policy".into();
            Ok(Inspected { text, fields })
        }
        Err(error) => Err(error.to_string()),
    }
}

fn of_wasm(bytes: &[u8]) -> Result<Inspected, String> {
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
    let fields = json!({
        "what": if description.component { "component" } else { "core module" },
        "sha256": Digest::of(bytes),
        "length": bytes.len(),
        "imports": description.imports,
        "exports": description.exports,
    });
    Ok(Inspected { text, fields })
}

fn of_card(what: &str, card: &Card) -> Inspected {
    let mut text = String::new();
    line(&mut text, "what", what);
    line(&mut text, "name", card.name());
    line(&mut text, "fingerprint", card.fingerprint());
    line(&mut text, "digest", card.digest());
    let fields = json!({
        "what": "card",
        "name": card.name(),
        "fingerprint": card.fingerprint(),
        "digest": card.digest(),
    });
    Inspected { text, fields }
}

fn of_json(bytes: &[u8]) -> Result<Inspected, String> {
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
        let readers: Vec<&Digest> = sealed.readers.iter().map(|reader| &reader.card).collect();
        let fields = json!({ "what": "sealed receipt", "readers": readers });
        return Ok(Inspected { text, fields });
    }
    if let Ok(text) = job_text(bytes) {
        let job: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let fields = json!({ "what": "job", "digest": Digest::of(bytes), "job": job });
        return Ok(Inspected { text, fields });
    }
    if let Ok(evidence) = serde_json::from_slice::<Evidence>(bytes) {
        let mut text = String::new();
        line(&mut text, "what", "attestation evidence, not appraised");
        line(&mut text, "type", printable(&evidence.media_type));
        line(&mut text, "size", size(evidence.value.0.len() as u64));
        let fields = json!({
            "what": "evidence",
            "appraised": false,
            "media_type": evidence.media_type,
            "length": evidence.value.0.len(),
        });
        return Ok(Inspected { text, fields });
    }
    match Manifest::parse(bytes) {
        Ok(manifest) => Ok(of_manifest("manifest", &Digest::of(bytes), &manifest)),
        Err(error) => Err(error.to_string()),
    }
}

fn of_manifest(what: &str, id: &Digest, manifest: &Manifest) -> Inspected {
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
    let lengths: Option<Vec<u64>> = match manifest.content() {
        Content::File(file) => Some(vec![file.length]),
        Content::Folder { files, .. } => Some(files.iter().map(|file| file.length).collect()),
        // Sealed in the stream.
        Content::Packed(_) => None,
    };
    let fields = json!({
        "what": what,
        "object": id,
        "dataset": manifest.dataset(),
        "media_type": manifest.media_type().as_str(),
        "length": manifest.length(),
        "folder": !matches!(manifest.content(), Content::File(_)),
        "files": lengths,
        "owner": manifest.owner().map(|owner| owner.card),
    });
    Inspected { text, fields }
}

fn of_receipt(statement: &Statement) -> Inspected {
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
    let inputs = receipt.inputs.iter().map(
        |input| json!({ "dataset": input.dataset, "owner": input.owner, "object": input.object }),
    );
    let outputs = receipt.outputs.iter().map(|output| {
        let readers = output.recipients.len();
        json!({ "name": output.name, "object": output.object, "readers": readers })
    });
    let custody = receipt.custody.iter().map(
        |left| json!({ "name": left.name, "object": left.object, "holder": left.holder.card }),
    );
    let fields = json!({
        "what": "receipt",
        "verified": false,
        "job": receipt.job,
        "name": receipt.job_name,
        "session": Digest::of(receipt.record.as_slice()),
        "policy": Digest::of(receipt.policy.as_slice()),
        "submitter": receipt.submitter,
        "media_type": receipt.evidence.media_type,
        "result": in_words(&receipt.status),
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
        "custody": custody.collect::<Vec<_>>(),
    });
    Inspected { text, fields }
}

fn line(text: &mut String, what: &str, value: impl std::fmt::Display) {
    // A string takes everything.
    let _ = writeln!(text, "{what:<12} {value}");
}
