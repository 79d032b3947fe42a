//! What comes of a call, opened: into memory, or to a path.

use std::{collections::BTreeMap, path::PathBuf};

use mc2_protocol::{Identity, Name, documents::receipt::Status, policy::RESERVED};

use crate::{
    open::{Opening, StagedOutput},
    remote::Remote,
    run::{InputError, Own, RunError, secret_of, words},
    verify::Verified,
};

/// The streams that are opened with the outputs.
const READ: [&str; 3] = ["stdout", "stderr", "error"];

/// An output of a call.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name under `/out`.
    pub name: Name,
    /// Where it goes.
    pub to: Place,
}

/// Where an output goes.
#[derive(Clone, Debug)]
pub enum Place {
    /// Into memory.
    Memory,
    /// To a file.
    File(PathBuf),
    /// To a folder, which must not hold anything yet.
    Folder(PathBuf),
}

impl Output {
    /// An output of this name.
    ///
    /// # Errors
    /// It is no name, or a stream's.
    pub fn new(name: &str, to: Place) -> Result<Self, InputError> {
        let parsed: Name = name.parse().map_err(|source| InputError::Name {
            option: "out",
            name: name.to_owned(),
            source,
        })?;
        if RESERVED.contains(&parsed.as_str()) {
            let name = name.to_owned();
            return Err(InputError::Stream { name });
        }
        Ok(Self { name: parsed, to })
    }

    pub(super) const fn is_folder(&self) -> bool {
        matches!(self.to, Place::Folder(_))
    }
}

/// What was opened.
#[derive(Default)]
pub(super) struct Results {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) error: Option<String>,
    pub(super) outputs: BTreeMap<String, Vec<u8>>,
    pub(super) written: BTreeMap<String, PathBuf>,
}

/// Opens every output of a verified receipt that is `reader`'s, and gives those that go to a path
/// their names once all were checked.
///
/// # Errors
/// One is not what the receipt says, or one that was asked for is missing.
pub(super) async fn open(
    remote: &Remote,
    reader: &Identity,
    verified: &Verified,
    wanted: &[Output],
) -> Result<Results, RunError> {
    let mut results = Results::default();
    let mut staged: Vec<StagedOutput> = Vec::new();
    for output in &verified.receipt.outputs {
        let Some(secret) = secret_of(reader, verified, output)? else {
            continue;
        };
        let length = secret.length;
        let own = Own::fetch(remote, output, secret).await?;
        let opening = own.opening();
        let name = output.name.as_str();
        let place = wanted.iter().find(|one| one.name.as_str() == name);
        if let Some(Place::File(path) | Place::Folder(path)) = place.map(|one| &one.to) {
            staged.push(opening.stage(path, &mut |_| ()).await?);
            results.written.insert(name.to_owned(), path.clone());
            continue;
        }
        if place.is_none() && !READ.contains(&name) {
            continue;
        }
        let bytes = in_memory(&opening, length).await?;
        match name {
            "stdout" => results.stdout = bytes,
            "stderr" => results.stderr = bytes,
            "error" => results.error = Some(words(&bytes)),
            _ => drop(results.outputs.insert(name.to_owned(), bytes)),
        }
    }
    if verified.receipt.status == Status::Succeeded {
        let has =
            |name: &str| results.outputs.contains_key(name) || results.written.contains_key(name);
        if let Some(missing) = wanted.iter().find(|one| !has(one.name.as_str())) {
            let text = format!("the receipt lists no output {}", missing.name);
            return Err(RunError::Incomplete(text));
        }
    }
    for output in staged {
        output.publish().map_err(RunError::Write)?;
    }
    Ok(results)
}

/// All of an output. How long it is was said by the enclave, within what its policy allows.
async fn in_memory(opening: &Opening<'_>, length: u64) -> Result<Vec<u8>, RunError> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    // A vector takes everything.
    let _ = opening.to_sink(&mut bytes).await?;
    Ok(bytes)
}
