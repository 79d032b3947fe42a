//! The formats against other implementations: ours in Python, and Google Tink.
//!
//! `cargo xtask test` sets `MC2_PYTHON` to a Python that has the packages of
//! `xtask/requirements.txt`. Without it these tests say so and skip.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod x_wing;

use std::{
    ffi::OsString,
    fs,
    io::Read as _,
    path::PathBuf,
    process::{Command, Output},
};

use mc2_protocol::{
    Manifest, Name, SecretKey,
    sealed::{
        HEADER_LEN, Header, Layout, SealedFile, associated_data,
        manifest::{Content, MediaType, SealedStream},
        seal_bytes,
    },
};

/// The sizes Tink has templates for, and the one this project writes.
const SEGMENT_SIZES: [u32; 3] = [4096, 65_536, 1_048_576];

#[test]
fn the_second_implementation_reproduces_every_vector() {
    let Some(python) = python() else { return };
    let vectors = tests_folder().join("vectors/protocol");
    let output = Command::new(python)
        .arg("check_vectors.py")
        .args([vectors, x_wing::vectors()])
        .current_dir(tests_folder().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let lines = succeeded(&output);
    for part in [
        "message: 10",
        "broker: 1",
        "folder: 2",
        "receipt: 1",
        "sealed: 21",
        "RFC 9180",
        "X-Wing draft: 3",
    ] {
        assert!(lines.contains(part), "{lines}");
    }
}

#[test]
fn tink_opens_what_we_seal() {
    let Some(python) = python() else { return };
    for segment_size in SEGMENT_SIZES {
        for length in lengths(segment_size) {
            let files = Files::new(segment_size);
            let plaintext = pattern(length);
            fs::write(&files.from, seal(&files, &plaintext)).unwrap();
            files.tink(&python, "open");
            let opened = fs::read(&files.to).unwrap();
            assert!(
                opened == plaintext,
                "{length} bytes, segments of {segment_size}"
            );
        }
    }
}

#[test]
fn we_open_what_tink_seals() {
    let Some(python) = python() else { return };
    for segment_size in SEGMENT_SIZES {
        for length in lengths(segment_size) {
            let files = Files::new(segment_size);
            let plaintext = pattern(length);
            fs::write(&files.from, &plaintext).unwrap();
            files.tink(&python, "seal");
            let sealed = fs::read(&files.to).unwrap();
            let opened = open(&files, &sealed, length);
            assert!(
                opened == plaintext,
                "{length} bytes, segments of {segment_size}"
            );
        }
    }
}

/// Row 10 of the attacks in SECURITY.md, with Tink as the reader: our associated data is Tink's.
#[test]
fn tink_refuses_what_we_sealed_for_another_dataset() {
    let Some(python) = python() else { return };
    let mut files = Files::new(65_536);
    fs::write(&files.from, seal(&files, b"secret")).unwrap();
    files.dataset = "other".parse().unwrap();
    let output = files.run_tink(&python, "open");
    assert!(!output.status.success());
    assert!(fs::read(&files.to).unwrap_or_default().is_empty());
}

/// One key, one dataset, and two files for Tink to read and write.
struct Files {
    _folder: tempfile::TempDir,
    from: PathBuf,
    to: PathBuf,
    key: [u8; 32],
    dataset: Name,
    segment_size: u32,
}

impl Files {
    fn new(segment_size: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            from: folder.path().join("from"),
            to: folder.path().join("to"),
            _folder: folder,
            key: [0x42; 32],
            dataset: "transactions".parse().unwrap(),
            segment_size,
        }
    }

    fn data_key(&self) -> SecretKey {
        SecretKey::from_bytes(self.key)
    }

    fn tink(&self, python: &OsString, command: &str) {
        succeeded(&self.run_tink(python, command));
    }

    fn run_tink(&self, python: &OsString, command: &str) -> Output {
        Command::new(python)
            .args(["tink_interop.py", command])
            .arg(hex::encode(self.key))
            .arg(hex::encode(associated_data(&self.dataset)))
            .arg(self.segment_size.to_string())
            .args([&self.from, &self.to])
            .current_dir(tests_folder().join("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap()
    }
}

/// An empty file, the first segment's border, and three segments with a short last one.
fn lengths(segment_size: u32) -> [usize; 4] {
    let first = segment_size as usize - HEADER_LEN - 16;
    [0, first, first + 1, 2 * segment_size as usize + 100]
}

fn seal(files: &Files, plaintext: &[u8]) -> Vec<u8> {
    let ad = associated_data(&files.dataset);
    let rng = &mut mc2_tests::rng();
    seal_bytes(&files.data_key(), &ad, files.segment_size, plaintext, rng).0
}

/// Opens a sealed file through a manifest of it, as a runtime would.
fn open(files: &Files, sealed: &[u8], length: usize) -> Vec<u8> {
    let (header, _) = sealed.split_first_chunk::<HEADER_LEN>().unwrap();
    let header = Header::from_bytes(header).unwrap();
    let layout = Layout::new(length as u64, files.segment_size).unwrap();
    assert_eq!(layout.sealed_length(), sealed.len() as u64);
    let key = files.data_key();
    let segments: Vec<&[u8]> = (0..layout.segments())
        .map(|index| {
            let (offset, length) = layout.ciphertext(index);
            &sealed[offset as usize..][..length]
        })
        .collect();
    let digests: Vec<[u8; 32]> = segments
        .iter()
        .map(|segment| *blake3::hash(segment).as_bytes())
        .collect();
    let file = SealedFile {
        length: length as u64,
        header,
        key_commitment: header.commitment(&key),
        digests: digests.concat(),
    };
    let content = Content::File(SealedStream::new(&file));
    let manifest = Manifest::new(
        files.dataset.clone(),
        MediaType::octet_stream(),
        files.segment_size,
        content,
        None,
    );
    let reader = manifest.unwrap().reader(0, &key, file.digests, sealed);
    let mut plaintext = Vec::new();
    reader.unwrap().read_to_end(&mut plaintext).unwrap();
    plaintext
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31 + 7) % 251) as u8).collect()
}

fn python() -> Option<OsString> {
    let python = std::env::var_os("MC2_PYTHON");
    if python.is_none() {
        eprintln!("skipped: MC2_PYTHON is not set; `cargo xtask test` sets it");
    }
    python
}

fn tests_folder() -> PathBuf {
    mc2_tests::package()
}

fn succeeded(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    let lines = format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(error)
    );
    assert!(output.status.success(), "{lines}");
    lines
}
