//! `cargo xtask sign`: a release list or a statement of provenance gets its signature from a key that
//! is never on this machine (docs/releasing.md).
//!
//! `prepare` writes the bytes that are signed (DSSE's pre-authentication encoding, protocol.md §7);
//! whoever has the key signs them elsewhere, by `xtask/ceremony.sh`, which needs OpenSSL alone;
//! `finish` checks that signature and writes the envelope that clients take. `key` is for a new key:
//! what goes into `RELEASE_KEYS`.

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
    /// The id of a public key, and its line of RELEASE_KEYS
    Key {
        /// The public key, PEM
        file: PathBuf,
    },
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
        Sign::Key { file } => {
            let key = public_key(file)?;
            println!("id {}\n{}", digest::bytes(&key), line(&key));
            Ok(())
        }
        Sign::Prepare(prepare) => prepare.run(),
        Sign::Finish(finish) => finish.run(),
    }
}

/// A key as RELEASE_KEYS has it.
fn line(key: &[u8]) -> String {
    let bytes: Vec<String> = key.iter().map(|byte| format!("0x{byte:02x}")).collect();
    format!("[{}],", bytes.join(", "))
}

impl Prepare {
    fn run(&self) -> Outcome<()> {
        let bytes = encoding(self.kind, &read(&self.document)?);
        write(&self.out, &bytes)?;
        say(format_args!(
            "note SHA-256 {} and have {} signed with the release key, elsewhere",
            digest::bytes(&bytes),
            self.out.display(),
        ));
        Ok(())
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
    use std::io::Write as _;
    use std::process::Stdio;

    use mc2_attestation::{TrustStore, releases::ReleaseListError};

    use super::*;

    const LIST: &str = r#"{"version":1,"number":3,"releases":[],"revoked_components":[]}"#;
    const KIND: Kind = Kind::Releases;

    /// A machine with a release key, and what is carried to it and back.
    struct Ceremony {
        folder: tempfile::TempDir,
    }

    impl Ceremony {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("passphrase"), "six words by dice\n").unwrap();
            let ceremony = Self { folder };
            assert!(ceremony.run(&["make", "."], ""));
            ceremony
        }

        fn at(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// `xtask/ceremony.sh` with these arguments; what is typed meanwhile.
        fn run(&self, arguments: &[&str], typed: &str) -> bool {
            let mut child = Command::new(fs::canonicalize("ceremony.sh").unwrap())
                .args(arguments)
                .current_dir(self.folder.path())
                .env("MC2_PASSPHRASE_FILE", "passphrase")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // Where it ends before it asks, nobody reads that.
            let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
            child.wait().unwrap().success()
        }

        fn key(&self) -> [u8; 32] {
            let key = public_key(&self.at("release.pub.pem")).unwrap();
            key.try_into().unwrap()
        }

        /// Steps 4 and 5 of docs/releasing.md.
        fn sign(&self, list: &str) {
            fs::write(self.at("releases.json"), list).unwrap();
            let prepare = Prepare {
                document: self.at("releases.json"),
                kind: KIND,
                out: self.at("releases.to-sign"),
            };
            prepare.run().unwrap();
            let arguments = ["sign", "release.pem", "releases.to-sign", "releases.sig"];
            let noted = digest::file(&prepare.out).unwrap();
            assert!(!self.run(&arguments, &noted.replace(&noted[..8], "00000000")));
            assert!(!self.at("releases.sig").exists(), "what was not noted");
            assert!(self.run(&arguments, &format!("{noted}\n")));
        }

        fn finish(&self) -> Finish {
            Finish {
                document: self.at("releases.json"),
                kind: KIND,
                key: self.at("release.pub.pem"),
                signature: self.at("releases.sig"),
                out: self.at("releases.dsse.json"),
            }
        }
    }

    /// The ceremony of docs/releasing.md, and what a client makes of what comes out.
    #[test]
    fn a_list_signed_by_the_ceremony_is_taken_by_clients_with_its_key_alone_and_changed_it_is_not()
    {
        let ceremony = Ceremony::new();
        assert!(!ceremony.run(&["make", "."], ""), "a key is never replaced");
        ceremony.sign(LIST);
        let finish = ceremony.finish();
        finish.run().unwrap();
        let signed = fs::read(&finish.out).unwrap();
        let mut trust = TrustStore::new();
        let other = Ceremony::new().key();
        assert!(matches!(
            trust.take_releases(&signed, &[other]),
            Err(ReleaseListError::Signature { .. })
        ));
        assert!(matches!(
            trust.take_releases(&signed, &[]),
            Err(ReleaseListError::NoKeys)
        ));
        trust
            .take_releases(&signed, &[other, ceremony.key()])
            .unwrap();
        assert_eq!(trust.releases().map(|list| list.number), Some(3));
        let envelope: Value = serde_json::from_slice(&signed).unwrap();
        assert_eq!(payload(envelope).unwrap()["number"], 3);

        fs::write(&finish.document, LIST.replace('3', "4")).unwrap();
        assert!(finish.run().is_err());
        let provenance = Finish {
            kind: Kind::Provenance,
            ..finish
        };
        fs::write(&provenance.document, LIST).unwrap();
        assert!(
            provenance.run().is_err(),
            "signed as a list it is no statement"
        );
    }

    /// What is noted of a key and what is compiled in are of the same bytes.
    #[test]
    fn a_new_key_s_line_is_its_bytes_and_its_id_their_digest() {
        let ceremony = Ceremony::new();
        let key = ceremony.key();
        let line = line(&key);
        let bytes: Vec<u8> = line
            .trim_matches(['[', ']', ','])
            .split(", ")
            .map(|byte| u8::from_str_radix(byte.trim_start_matches("0x"), 16).unwrap())
            .collect();
        assert_eq!(bytes, key);
        let said = Command::new("./ceremony.sh")
            .arg("id")
            .arg(ceremony.at("release.pub.pem"))
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert_eq!(said.trim(), digest::bytes(&key));
    }
}
