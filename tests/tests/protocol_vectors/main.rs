//! The vectors of `docs/protocol.md`, and that this code still makes exactly them.
//!
//! Each file of `tests/vectors/protocol/` holds seeds and what they give. The randomness is a
//! generator that counts, so a second implementation that knows the formats, and the order in
//! which bytes are drawn, gets the same. To write the files anew after a deliberate change of the
//! formats: `MC2_WRITE_VECTORS=1 cargo test --release -p mc2-tests --test protocol_vectors`.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod documents;
mod inputs;
mod keys;
mod objects;
mod published;
mod receipts;
#[path = "../x_wing/mod.rs"]
mod x_wing;

use std::{fs, path::PathBuf};

use mc2_protocol::documents::card::Card;
use serde_json::Value;

#[test]
fn the_code_still_makes_the_committed_vectors() {
    let files = [
        ("context", keys::contexts()),
        ("hpke", keys::hpke()),
        ("sealed", objects::sealed()),
        ("manifest", objects::manifests()),
        ("paths", objects::tables()),
        ("folder", objects::folders()),
        ("card", keys::cards()),
        ("broker", keys::brokers()),
        ("replacement", keys::replacements()),
        ("dsse", keys::dsse()),
        ("record", documents::records()),
        ("opening", documents::openings()),
        ("message", documents::messages()),
        ("job", documents::jobs()),
        ("receipt", receipts::receipts()),
        ("event", documents::events()),
        ("evidence", documents::evidence()),
    ];
    for (file, made) in &files {
        let path = folder().join(format!("{file}.json"));
        if std::env::var_os("MC2_WRITE_VECTORS").is_some() {
            fs::write(&path, format!("{made:#}\n")).unwrap();
        }
        let kept = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        assert_eq!(kept, *made, "{file}: version 1 of a format has changed");
    }
    let kept = fs::read_dir(folder()).unwrap().count();
    // And one file of published vectors.
    assert_eq!(
        kept,
        files.len() + 1,
        "a file of vectors that nothing makes"
    );
}

#[test]
fn a_card_of_the_vectors_parses_to_itself() {
    for vector in keys::cards().as_array().unwrap() {
        let text = vector["card"].as_str().unwrap();
        assert_eq!(text.parse::<Card>().unwrap().to_string(), text);
    }
}

fn folder() -> PathBuf {
    mc2_tests::package().join("vectors/protocol")
}
