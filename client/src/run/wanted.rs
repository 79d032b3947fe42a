//! The outputs that somebody wants, and where they go.

use std::path::{Path, PathBuf};

use mc2_protocol::{Name, policy::RESERVED};

use super::options::InputError;
use crate::policy::WantedOutput;

/// An output that is wanted.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name under `/out`.
    pub name: Name,
    /// Where it goes.
    pub to: Destination,
}

/// Where an output goes.
#[derive(Clone, Debug)]
pub enum Destination {
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
    pub fn new(name: &str, to: Destination) -> Result<Self, InputError> {
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

    /// Whether it is a folder.
    pub const fn is_folder(&self) -> bool {
        matches!(self.to, Destination::Folder(_))
    }

    /// The path it goes to, where it goes to one.
    pub const fn path(&self) -> Option<&PathBuf> {
        match &self.to {
            Destination::Memory => None,
            Destination::File(path) | Destination::Folder(path) => Some(path),
        }
    }

    /// What a policy for it says. Nobody knows what kind of data is wanted in memory.
    pub(crate) fn wanted(&self) -> WantedOutput {
        let path = self.path().map_or(Path::new(""), PathBuf::as_path);
        WantedOutput::new(self.name.clone(), self.is_folder(), path)
    }
}
