//! Row 10: sealed data altered where it is stored. The job fails, says which input it was, and
//! releases nothing; put back as it was, the same data is read again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use mc2_client::{remote::Uploaded, session::Session};
use mc2_protocol::{Digest, Name};
use mc2_tests::{Finished, Run, Stack, parse, release};

/// Five segments of 64 KiB and a sixth that is short.
const LENGTH: usize = 350_000;
const SEGMENT: usize = 64 << 10;

struct Vault {
    stack: Stack,
    run: Run,
}

/// One object where the host keeps it.
struct Stored {
    folder: PathBuf,
}

fn plain(seed: u8) -> Vec<u8> {
    (0..LENGTH)
        .map(|index| (index * 7 % 251) as u8 ^ seed)
        .collect()
}

impl Vault {
    async fn new() -> Self {
        let run = Run::of("hostile", &["copy", "data", "result"])
            .input("data", plain(0))
            .output("result");
        Self {
            stack: Stack::start().await,
            run,
        }
    }

    /// A session that has the key of the object for many runs.
    async fn session(&self, uploaded: &Uploaded) -> (Session<'_>, BTreeMap<Name, Digest>) {
        let session = self.stack.session(&self.run).await.expect("a session");
        let keys = vec![release("data", uploaded, 50)];
        let released = session.release(&self.stack.me, &self.stack.ledger, keys, SystemTime::now());
        released.await.expect("a release");
        (session, BTreeMap::from([(parse("data"), uploaded.object)]))
    }

    fn stored(&self, uploaded: &Uploaded) -> Stored {
        let objects = self.stack.host_folder().join("objects");
        Stored {
            folder: objects.join(uploaded.object.to_string()),
        }
    }

    async fn run(&self, session: &Session<'_>, objects: &BTreeMap<Name, Digest>) -> Finished {
        self.stack
            .submit(session, &self.run, objects)
            .await
            .expect("a receipt that verifies")
    }

    async fn refused(
        &self,
        what: &str,
        session: &Session<'_>,
        objects: &BTreeMap<Name, Digest>,
        reasons: &[&str],
    ) {
        let finished = self.run(session, objects).await;
        assert!(
            reasons.contains(&finished.reason()),
            "{what}: {}",
            finished.reason()
        );
        let released: Vec<&String> = finished.outputs.keys().collect();
        assert!(
            released
                .iter()
                .all(|name| ["stdout", "stderr", "error"].contains(&name.as_str())),
            "{what}: {released:?} were released"
        );
    }
}

impl Stored {
    fn file(&self) -> PathBuf {
        self.folder.join("files/0")
    }

    fn digests(&self) -> PathBuf {
        self.folder.join("digests/0")
    }

    fn manifest(&self) -> PathBuf {
        self.folder.join("manifest")
    }
}

/// Changes a file while `f` runs, and puts it back.
async fn altered<F: Future<Output = ()>>(
    path: &Path,
    change: impl FnOnce(&mut Vec<u8>),
    f: impl FnOnce() -> F,
) {
    let good = fs::read(path).expect("a stored file");
    let mut bad = good.clone();
    change(&mut bad);
    assert_ne!(bad, good, "nothing was changed");
    overwrite(path, &bad);
    f().await;
    overwrite(path, &good);
}

fn overwrite(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).expect("the host's own file");
}

const CORRUPT: &[&str] = &["input-corrupt"];
const GONE: &[&str] = &["input-corrupt", "input-unavailable"];

/// Row 10.
#[tokio::test]
async fn any_flipped_byte_of_a_sealed_file_is_refused() {
    let vault = Vault::new().await;
    let uploaded = vault.stack.seal("data", &plain(0)).await;
    let (session, objects) = vault.session(&uploaded).await;
    let stored = vault.stored(&uploaded);
    let length = fs::metadata(stored.file()).expect("it").len() as usize;
    for (what, at) in [
        ("the first byte of ciphertext", 40),
        ("the first segment's tag", SEGMENT - 1),
        ("the second segment", SEGMENT),
        ("the middle", length / 2),
        ("the last segment's first byte", SEGMENT * 5),
        ("the last tag", length - 1),
    ] {
        altered(
            &stored.file(),
            |bytes| bytes[at] ^= 0x10,
            || vault.refused(what, &session, &objects, CORRUPT),
        )
        .await;
    }
    // The header that counts is the manifest's: nobody believes the file's own.
    altered(
        &stored.file(),
        |bytes| bytes[10] ^= 1,
        || async {
            let finished = vault.run(&session, &objects).await;
            assert_eq!(finished.outputs["result"], plain(0));
        },
    )
    .await;
    let finished = vault.run(&session, &objects).await;
    assert_eq!(finished.outputs["result"], plain(0));
}

/// Row 10.
#[tokio::test]
async fn a_truncated_or_reordered_file_is_refused() {
    let vault = Vault::new().await;
    let uploaded = vault.stack.seal("data", &plain(0)).await;
    let (session, objects) = vault.session(&uploaded).await;
    let stored = vault.stored(&uploaded);
    for (what, keep) in [
        ("without its last byte", -1),
        ("without its last segment", 5 * SEGMENT as i64),
        ("half", LENGTH as i64 / 2),
        ("its header alone", 40),
        ("nothing", 0),
    ] {
        altered(
            &stored.file(),
            |bytes| {
                let keep = if keep < 0 {
                    bytes.len() as i64 + keep
                } else {
                    keep
                };
                bytes.truncate(keep as usize);
            },
            || vault.refused(what, &session, &objects, GONE),
        )
        .await;
    }
    for (what, from, to) in [("swapped", 1, 3), ("the first and second", 0, 1)] {
        altered(
            &stored.file(),
            |bytes| {
                for at in 40..SEGMENT {
                    bytes.swap(from * SEGMENT + at, to * SEGMENT + at);
                }
            },
            || vault.refused(what, &session, &objects, CORRUPT),
        )
        .await;
    }
    altered(
        &stored.file(),
        |bytes| bytes.copy_within(2 * SEGMENT..3 * SEGMENT, SEGMENT),
        || vault.refused("a segment twice", &session, &objects, CORRUPT),
    )
    .await;
    altered(
        &stored.file(),
        |bytes| {
            bytes.drain(SEGMENT..2 * SEGMENT);
        },
        || vault.refused("a segment left away", &session, &objects, GONE),
    )
    .await;
    // What stands after the end is never asked for.
    altered(
        &stored.file(),
        |bytes| bytes.extend([0; 1000]),
        || async {
            let finished = vault.run(&session, &objects).await;
            assert_eq!(finished.outputs["result"], plain(0));
        },
    )
    .await;
}

/// Row 10.
#[tokio::test]
async fn an_altered_list_of_digests_is_refused() {
    let vault = Vault::new().await;
    let uploaded = vault.stack.seal("data", &plain(0)).await;
    let (session, objects) = vault.session(&uploaded).await;
    let stored = vault.stored(&uploaded);
    for (what, at) in [
        ("its first byte", 0),
        ("its middle", 70),
        ("its last", 6 * 32 - 1),
    ] {
        altered(
            &stored.digests(),
            |bytes| bytes[at] ^= 1,
            || vault.refused(what, &session, &objects, CORRUPT),
        )
        .await;
    }
    for (what, length) in [
        ("an entry short", 5 * 32),
        ("a byte short", 6 * 32 - 1),
        ("empty", 0),
    ] {
        altered(
            &stored.digests(),
            |bytes| bytes.truncate(length),
            || vault.refused(what, &session, &objects, GONE),
        )
        .await;
    }
    // A segment replaced, and its digest with it.
    let good = fs::read(stored.digests()).expect("the list");
    altered(
        &stored.file(),
        |bytes| {
            bytes[SEGMENT + 5] ^= 1;
            let digest = blake3::hash(&bytes[SEGMENT..2 * SEGMENT]);
            let mut list = good.clone();
            list[32..64].copy_from_slice(digest.as_bytes());
            overwrite(&stored.digests(), &list);
        },
        || vault.refused("segment and digest", &session, &objects, CORRUPT),
    )
    .await;
    overwrite(&stored.digests(), &good);
    assert_eq!(vault.run(&session, &objects).await.reason(), "succeeded");
}

/// Row 10.
#[tokio::test]
async fn an_older_version_in_place_of_the_newer_one_is_refused() {
    let vault = Vault::new().await;
    let old = vault.stack.seal("data", &plain(0)).await;
    let new = vault.stack.seal("data", &plain(1)).await;
    let (session, objects) = vault.session(&new).await;
    let (old, new) = (vault.stored(&old), vault.stored(&new));
    let read = |path: PathBuf| fs::read(path).expect("a stored file");
    altered(
        &new.manifest(),
        |bytes| *bytes = read(old.manifest()),
        || vault.refused("the older manifest", &session, &objects, CORRUPT),
    )
    .await;
    altered(
        &new.file(),
        |bytes| *bytes = read(old.file()),
        || vault.refused("the older file", &session, &objects, CORRUPT),
    )
    .await;
    let digests = read(new.digests());
    altered(
        &new.file(),
        |bytes| {
            *bytes = read(old.file());
            overwrite(&new.digests(), &read(old.digests()));
        },
        || vault.refused("the older file and list", &session, &objects, CORRUPT),
    )
    .await;
    let manifest = read(new.manifest());
    altered(
        &new.file(),
        |bytes| {
            *bytes = read(old.file());
            overwrite(&new.manifest(), &read(old.manifest()));
        },
        || vault.refused("all of the older version", &session, &objects, CORRUPT),
    )
    .await;
    overwrite(&new.digests(), &digests);
    overwrite(&new.manifest(), &manifest);
    assert_eq!(
        vault.run(&session, &objects).await.outputs["result"],
        plain(1)
    );
}

/// Row 10.
#[tokio::test]
async fn a_manifest_that_is_altered_or_gone_is_refused() {
    let vault = Vault::new().await;
    let uploaded = vault.stack.seal("data", &plain(0)).await;
    let (session, objects) = vault.session(&uploaded).await;
    let stored = vault.stored(&uploaded);
    let text = fs::read_to_string(stored.manifest()).expect("a manifest");
    for (from, to) in [
        (
            format!("\"length\":{LENGTH}"),
            format!("\"length\":{}", LENGTH - SEGMENT),
        ),
        (
            "\"dataset\":\"data\"".to_owned(),
            "\"dataset\":\"date\"".to_owned(),
        ),
        ("\"version\":1".to_owned(), "\"version\": 1".to_owned()),
    ] {
        assert!(text.contains(&from), "{from}");
        altered(
            &stored.manifest(),
            |bytes| *bytes = text.replace(&from, &to).into_bytes(),
            || vault.refused(&to, &session, &objects, CORRUPT),
        )
        .await;
    }
    let whole = fs::read(stored.manifest()).expect("a manifest");
    fs::remove_file(stored.manifest()).expect("the host's own file");
    vault
        .refused("no manifest", &session, &objects, &["input-unavailable"])
        .await;
    overwrite(&stored.manifest(), &whole);
    let file = fs::read(stored.file()).expect("a file");
    fs::remove_file(stored.file()).expect("the host's own file");
    vault
        .refused("no file", &session, &objects, &["input-unavailable"])
        .await;
    overwrite(&stored.file(), &file);
    assert_eq!(vault.run(&session, &objects).await.reason(), "succeeded");
}

/// Row 10.
#[tokio::test]
async fn data_sealed_as_another_dataset_or_under_another_key_is_refused() {
    let vault = Vault::new().await;
    // The same bytes, sealed as something else, offered by its owner as `data`.
    let other = vault.stack.seal("other", &plain(0)).await;
    let (session, objects) = vault.session(&other).await;
    vault
        .refused("another dataset", &session, &objects, CORRUPT)
        .await;

    let mut mixed = vault.stack.seal("data", &plain(0)).await;
    mixed.key = vault.stack.seal("data", &plain(0)).await.key;
    let (session, objects) = vault.session(&mixed).await;
    vault
        .refused("another version's key", &session, &objects, CORRUPT)
        .await;
}

/// Row 10.
#[tokio::test]
async fn two_datasets_whose_files_are_exchanged_are_refused() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["copy", "left", "result"])
        .input("left", plain(0))
        .input("right", plain(1))
        .output("result");
    let session = stack.session(&run).await.expect("a session");
    let objects = stack
        .release_inputs(&session, &run, 5)
        .await
        .expect("a release");
    let folder = |name: &str| {
        let object = objects[&parse::<Name>(name)];
        stack.host_folder().join("objects").join(object.to_string())
    };
    for part in ["files/0", "digests/0", "manifest"] {
        let (left, right) = (folder("left").join(part), folder("right").join(part));
        let (of_left, of_right) = (fs::read(&left).expect("it"), fs::read(&right).expect("it"));
        overwrite(&left, &of_right);
        overwrite(&right, &of_left);
        let finished = stack
            .submit(&session, &run, &objects)
            .await
            .expect("a receipt");
        assert_eq!(finished.reason(), "input-corrupt", "{part}");
        assert!(!finished.outputs.contains_key("result"), "{part}");
        overwrite(&left, &of_left);
        overwrite(&right, &of_right);
    }
    let finished = stack
        .submit(&session, &run, &objects)
        .await
        .expect("a receipt");
    assert_eq!(finished.outputs["result"], plain(0));
}
