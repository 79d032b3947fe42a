//! A component's file: read once, hashed, and looked at far enough to say what it is.
//!
//! Nothing here compiles or validates it; the enclave does, and its word counts. The look is for
//! the person who named the wrong file.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use mc2_protocol::{Digest, Name, documents::storage::MAX_COMPONENT_LEN};
use wasmparser::{Encoding, Parser, Payload};

use crate::{
    exit::Exit,
    files::{FileError, read_capped},
};

/// A component's exact bytes and their digest.
#[derive(Clone)]
pub struct Workload {
    /// The bytes.
    pub wasm: Bytes,
    /// Their SHA-256.
    pub sha256: Digest,
    /// A name for it in a policy, made of its file's name.
    pub name: Name,
}

/// Why a file is no workload.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// No such file.
    #[error("{} does not exist; expected a component, a .wasm file", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error(transparent)]
    File(FileError),
    /// A core module.
    #[error(
        "{} is a core WebAssembly module, not a component; build it for wasm32-wasip2, or wrap it \
         with `wasm-tools component new MODULE.wasm --adapt wasi_snapshot_preview1.command.wasm`",
        path.display()
    )]
    CoreModule {
        /// The path.
        path: PathBuf,
    },
    /// Native code.
    #[error(
        "{} is native code (a .cwasm or another ELF file), and native code is never accepted: give \
         the .wasm component it was compiled from",
        path.display()
    )]
    NativeCode {
        /// The path.
        path: PathBuf,
    },
    /// Something else.
    #[error(
        "{} is not a WebAssembly component: it starts with {found}, a component starts with \
         00 61 73 6d 0d 00 01 00",
        path.display()
    )]
    NotWasm {
        /// The path.
        path: PathBuf,
        /// Its first bytes.
        found: String,
    },
    /// A component that does not parse.
    #[error("{} is not a valid component: {reason}", path.display())]
    Malformed {
        /// The path.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
}

impl WorkloadError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Missing { .. } | Self::File(_) => Exit::BadInput,
            _ => Exit::BadWorkload,
        }
    }
}

/// What a file that starts with WebAssembly's magic bytes says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Names of what it imports.
    pub imports: Vec<String>,
    /// Names of what it exports.
    pub exports: Vec<String>,
    /// Whether it is a component rather than a core module.
    pub component: bool,
}

impl Workload {
    /// Reads a component's file.
    ///
    /// # Errors
    /// [`WorkloadError`], saying what it is instead.
    pub fn read(path: &Path) -> Result<Self, WorkloadError> {
        let wasm = read_capped(path, MAX_COMPONENT_LEN).map_err(|error| {
            if error.source.kind() == io::ErrorKind::NotFound {
                let path = path.to_owned();
                return WorkloadError::Missing { path };
            }
            WorkloadError::File(error)
        })?;
        check_start(path, &wasm)?;
        Ok(Self {
            sha256: Digest::of(&wasm),
            wasm: wasm.into(),
            name: name_of(path),
        })
    }
}

/// What the bytes import and export at their outermost level.
///
/// ```
/// use mc2_client::workload::describe;
///
/// // The first eight bytes tell a component from a module.
/// assert!(describe(b"\0asm\x0d\0\x01\0")?.component);
/// assert!(!describe(b"\0asm\x01\0\0\0")?.component);
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// They do not parse; says where.
pub fn describe(wasm: &[u8]) -> Result<Description, String> {
    let mut description = Description::default();
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|error| error.to_string())?;
        match payload {
            Payload::Version { encoding, .. } if depth == 0 => {
                description.component = encoding == Encoding::Component;
                depth = 1;
            }
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import.map_err(|error| error.to_string())?;
                    description.imports.push(import.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(|error| error.to_string())?;
                    description.exports.push(export.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) if depth == 1 => {
                for import in section.into_imports() {
                    let import = import.map_err(|error| error.to_string())?;
                    let name = format!("{}.{}", import.module, import.name);
                    description.imports.push(name);
                }
            }
            Payload::ExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(|error| error.to_string())?;
                    description.exports.push(export.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(description)
}

fn check_start(path: &Path, wasm: &[u8]) -> Result<(), WorkloadError> {
    let path = path.to_owned();
    if wasm.starts_with(b"\x7fELF") {
        return Err(WorkloadError::NativeCode { path });
    }
    if Parser::is_component(wasm) {
        return Ok(());
    }
    if Parser::is_core_wasm(wasm) {
        return Err(WorkloadError::CoreModule { path });
    }
    let first: Vec<String> = wasm
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let found = if first.is_empty() {
        "nothing, it is empty".to_owned()
    } else {
        first.join(" ")
    };
    Err(WorkloadError::NotWasm { path, found })
}

/// The file's name without its extension, as far as a policy can hold it.
fn name_of(path: &Path) -> Name {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or("");
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let name: String = stem.chars().filter(allowed).take(100).collect();
    let name = name.trim_start_matches('-');
    name.parse()
        .or_else(|_| "workload".parse())
        // A constant within the alphabet.
        .unwrap_or_else(|error| unreachable!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Workload, WorkloadError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("-my.work load.wasm");
        std::fs::write(&path, bytes).unwrap();
        Workload::read(&path)
    }

    #[test]
    fn what_is_no_component_is_told_what_it_is() {
        let core = wat::parse_str("(module)").unwrap();
        let error = read(&core).err().unwrap();
        assert!(matches!(error, WorkloadError::CoreModule { .. }));
        assert!(error.to_string().contains("wasm32-wasip2"));
        assert!(matches!(
            read(b"\x7fELF\x02\x01"),
            Err(WorkloadError::NativeCode { .. })
        ));
        let error = read(b"#!/bin/sh").err().unwrap().to_string();
        assert!(error.contains("23 21 2f"), "{error}");
        assert!(read(b"").err().unwrap().to_string().contains("empty"));
    }

    #[test]
    fn a_component_has_a_digest_and_a_name_a_policy_can_hold() {
        let wasm = wat::parse_str("(component)").unwrap();
        let workload = read(&wasm).unwrap();
        assert_eq!(workload.sha256, Digest::of(&wasm));
        assert_eq!(workload.name.as_str(), "myworkload");
    }

    #[test]
    fn imports_and_exports_are_those_of_the_outermost_component() {
        let wasm = wat::parse_str(
            r#"(component
                (import "wasi:io/error@0.2.0" (instance))
                (component (import "inner" (func)))
                (core module $m (func (export "f")))
            )"#,
        )
        .unwrap();
        let description = describe(&wasm).unwrap();
        assert!(description.component);
        assert_eq!(description.imports, ["wasi:io/error@0.2.0"]);
        assert!(description.exports.is_empty());
        assert!(describe(&wasm[..20]).is_err());
    }
}
