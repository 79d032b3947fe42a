//! `cargo xtask sign`: a release list or a statement of provenance gets its signature from a key that
//! is never on this machine (docs/releasing.md).
//!
//! `prepare` writes the bytes that are signed (DSSE's pre-authentication encoding, protocol.md §7);
//! whoever has the key signs them elsewhere, by OpenSSL or a token; `finish` checks that signature
//! and writes the envelope that clients take.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::digest;
use crate::process::{Doing, Failure, Outcome, output, say};

/// An Ed25519 public key's DER: what all have, then the key.
const DER_PREFIX: &str = "302a300506032b6570032100";

#[derive(Subcommand)]
pub(crate) enum Sign {
    /// Write the bytes to be signed
    Prepare(Prepare),
    /// Check the signature and write the signed document
    Finish(Finish),
}

#[derive(Args)]
pub(crate) struct Prepare {
    /// releases.json or provenance.json
    document: PathBuf,
    /// What it is
    #[arg(long, value_enum)]
    kind: Kind,
    /// Where the bytes go
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args)]
pub(crate) struct Finish {
    /// The same document, unchanged
    document: PathBuf,
    /// What it is
    #[arg(long, value_enum)]
    kind: Kind,
    /// The signer's public key, PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The 64 bytes of the signature
    #[arg(long, value_name = "FILE")]
    signature: PathBuf,
    /// Where the signed document goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    Releases,
    Provenance,
}

impl Kind {
    /// DSSE's payload type, part of what is signed.
    const fn media_type(self) -> &'static str {
        match self {
            Self::Releases => "application/vnd.mc2.releases.v1+json",
            Self::Provenance => "application/vnd.in-toto+json",
        }
    }
}

/// `cargo xtask sign`.
pub(crate) fn run(command: &Sign) -> Outcome<()> {
    match command {
        Sign::Prepare(prepare) => {
            let bytes = encoding(prepare.kind, &read(&prepare.document)?);
            write(&prepare.out, &bytes)?;
            say(format_args!(
                "sign {} (SHA-256 {}) with the release key, elsewhere",
                prepare.out.display(),
                digest::bytes(&bytes)
            ));
            Ok(())
        }
        Sign::Finish(finish) => finish.run(),
    }
}

impl Finish {
    fn run(&self) -> Outcome<()> {
        let document = read(&self.document)?;
        let signature = read(&self.signature)?;
        let signed = tempfile::NamedTempFile::new().doing("making a file for what was signed")?;
        write(signed.path(), &encoding(self.kind, &document))?;
        verify(&self.key, signed.path(), &self.signature)?;
        let envelope = json!({
            "payloadType": self.kind.media_type(),
            "payload": BASE64_STANDARD.encode(&document),
            "signatures": [{
                "keyid": digest::bytes(&public_key(&self.key)?),
                "sig": BASE64_STANDARD.encode(&signature),
            }],
        });
        write(&self.out, envelope.to_string().as_bytes())
    }
}

/// The document in an envelope, its signature not checked; or what is in none as it is.
pub(super) fn payload(value: Value) -> Outcome<Value> {
    let Some(payload) = value["payload"].as_str() else {
        return Ok(value);
    };
    let bytes = BASE64_STANDARD
        .decode(payload)
        .doing("reading an envelope's payload")?;
    serde_json::from_slice(&bytes).doing("reading what is in an envelope")
}

fn encoding(kind: Kind, document: &[u8]) -> Vec<u8> {
    let kind = kind.media_type();
    let mut bytes = format!("DSSEv1 {} {kind} {} ", kind.len(), document.len()).into_bytes();
    bytes.extend_from_slice(document);
    bytes
}

fn verify(key: &Path, signed: &Path, signature: &Path) -> Outcome<()> {
    let mut command = Command::new("openssl");
    command
        .args(["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey"])
        .arg(key)
        .arg("-in")
        .arg(signed)
        .arg("-sigfile")
        .arg(signature);
    if output(&mut command)?.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} is no signature of this document by {}",
        signature.display(),
        key.display()
    )))
}

/// The 32 bytes that `RELEASE_KEYS` holds.
fn public_key(key: &Path) -> Outcome<Vec<u8>> {
    let none = || Failure::new(format!("{} is no Ed25519 public key in PEM", key.display()));
    let text = String::from_utf8(read(key)?).map_err(|_| none())?;
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(body).map_err(|_| none())?;
    let prefix = hex::decode(DER_PREFIX).doing("reading a constant")?;
    match der.strip_prefix(&prefix[..]) {
        Some(key) if key.len() == 32 => Ok(key.to_vec()),
        _ => Err(none()),
    }
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).doing(format_args!("reading {}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    fs::write(path, bytes).doing(format_args!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::capture;

    /// The ceremony of docs/releasing.md, and what a client makes of what comes out.
    #[test]
    fn a_list_signed_by_the_ceremony_is_taken_by_clients_and_changed_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let openssl = |arguments: &str| {
            let mut command = Command::new("openssl");
            command
                .args(arguments.split_whitespace())
                .current_dir(folder.path());
            capture(&mut command).unwrap();
        };
        openssl("genpkey -algorithm ed25519 -out key.pem");
        openssl("pkey -in key.pem -pubout -out public.pem");
        let list = r#"{"version":1,"number":3,"releases":[],"revoked_components":[]}"#;
        fs::write(at("releases.json"), list).unwrap();
        let kind = Kind::Releases;
        fs::write(at("to-sign"), encoding(kind, list.as_bytes())).unwrap();
        openssl("pkeyutl -sign -rawin -inkey key.pem -in to-sign -out signature");
        let finish = Finish {
            document: at("releases.json"),
            kind,
            key: at("public.pem"),
            signature: at("signature"),
            out: at("releases.dsse.json"),
        };
        finish.run().unwrap();
        let signed = fs::read(at("releases.dsse.json")).unwrap();
        let key: [u8; 32] = public_key(&at("public.pem")).unwrap().try_into().unwrap();
        let taken = mc2_attestation::releases::ReleaseList::verify(&signed, &[key]).unwrap();
        assert_eq!(taken.number, 3);
        let envelope: Value = serde_json::from_slice(&signed).unwrap();
        assert_eq!(payload(envelope).unwrap()["number"], 3);

        fs::write(at("releases.json"), list.replace('3', "4")).unwrap();
        assert!(finish.run().is_err());
        let provenance = Finish {
            kind: Kind::Provenance,
            ..finish
        };
        fs::write(at("releases.json"), list).unwrap();
        assert!(
            provenance.run().is_err(),
            "signed as a list it is no statement"
        );
    }
}
