//! Sealed files, manifests and folders.

use mc2_protocol::{
    Digest, Manifest, Name, SecretKey,
    sealed::{
        SealedFile, associated_data,
        manifest::{Content, MediaType, SealedStream, WrappedKey},
        packed_folder_associated_data, path_table_associated_data,
        paths::{PathEntry, PathTable},
        seal_bytes,
    },
};
use mc2_tests::counting;
use serde_json::{Value, json};

use crate::inputs::{alice, name, text};

pub(crate) fn sealed() -> Value {
    let key = SecretKey::from_bytes([0x70; 32]);
    let dataset = name("transactions");
    let mut vectors = Vec::new();
    for segment_size in [4096, 65_536, 1_048_576] {
        let first = segment_size as usize - 16 - 40;
        let body = segment_size as usize - 16;
        for length in [
            0,
            1,
            first - 1,
            first,
            first + 1,
            first + body,
            first + body + 1,
        ] {
            let ad = associated_data(&dataset);
            let (sealed, file) = seal(&key, &ad, segment_size, &pattern(length));
            let short = (sealed.len() <= 100).then(|| hex::encode(&sealed));
            vectors.push(json!({
                "key": hex::encode(key.expose()),
                "dataset": dataset,
                "associated_data": hex::encode(associated_data(&dataset)),
                "segment_size": segment_size,
                "length": length,
                "header": file.header,
                "key_commitment": hex::encode(file.key_commitment),
                "sealed_length": sealed.len(),
                "sealed_sha256": Digest::of(&sealed),
                "sealed": short,
                "segment_digests": hex::encode(&file.digests),
                "digest_list_digest": hex::encode(file.digest_list_digest()),
            }));
        }
    }
    json!(vectors)
}

pub(crate) fn manifests() -> Value {
    let key = SecretKey::from_bytes([0x70; 32]);
    let owner = alice();
    let wrap = |dataset: &Name| {
        let card = owner.card();
        WrappedKey::for_owner(
            dataset,
            *card.digest(),
            card.public_key(),
            &key,
            &mut counting(0x71),
        )
    };
    let vector = |manifest: Manifest, owned: bool| {
        let bytes = manifest.to_bytes();
        json!({
            "manifest": text(&bytes),
            "object": Digest::of(&bytes),
            "owner": owned.then(|| owner.to_text().to_string()),
            "key": owned.then(|| hex::encode(key.expose())),
        })
    };
    let dataset = name("transactions");
    let (_, file) = seal(&key, &associated_data(&dataset), 65_536, &pattern(1000));
    let stream = SealedStream::new(&file);
    let manifest = |content, owner| {
        let media_type = MediaType::try_from("text/csv".to_owned()).unwrap();
        Manifest::new(dataset.clone(), media_type, 65_536, content, owner).unwrap()
    };
    let owned = manifest(Content::File(stream.clone()), Some(wrap(&dataset)));
    let empty = Content::Folder {
        files: vec![],
        table: stream.clone(),
    };
    json!([
        vector(owned, true),
        vector(manifest(empty, None), false),
        vector(manifest(Content::Packed(stream), None), false),
    ])
}

pub(crate) fn tables() -> Value {
    let vector = |files: &[(&str, u64)]| {
        let entries = files.iter().map(|(path, length)| PathEntry {
            path: (*path).to_owned(),
            length: *length,
        });
        let table = PathTable::new(entries.collect()).unwrap();
        json!({
            "files": files,
            "table": hex::encode(table.encode()),
            "padded_length": table.encode_padded().len(),
        })
    };
    json!([
        vector(&[]),
        vector(&[("2025/a.csv", 0), ("2025/b.csv", 1 << 40), ("ä.csv", 7)]),
        vector(
            &[(&"x/".repeat(511), 1), (&"y/".repeat(511), 2)]
                .map(|(path, length)| { (path.trim_end_matches('/'), length) })
        ),
    ])
}

/// A folder of files as its owner seals it, and as a job leaves it.
pub(crate) fn folders() -> Value {
    let key = SecretKey::from_bytes([0x70; 32]);
    let dataset = name("days");
    let files = [
        ("2025/a.csv", pattern(10)),
        ("2025/b.csv", vec![]),
        ("ä.csv", pattern(3)),
    ];
    let entries = files.iter().map(|(path, bytes)| PathEntry {
        path: (*path).to_owned(),
        length: bytes.len() as u64,
    });
    let table = PathTable::new(entries.collect()).unwrap();
    let vector = |content, streams: Vec<(Vec<u8>, SealedFile)>| {
        let media_type = MediaType::octet_stream();
        let manifest = Manifest::new(dataset.clone(), media_type, 4096, content, None).unwrap();
        let streams: Vec<Value> = streams
            .iter()
            .map(|(sealed, file)| {
                json!({ "sealed": hex::encode(sealed), "digests": hex::encode(&file.digests) })
            })
            .collect();
        let files = files
            .iter()
            .map(|(path, bytes)| json!([path, hex::encode(bytes)]));
        json!({
            "manifest": text(&manifest.to_bytes()),
            "key": hex::encode(key.expose()),
            "streams": streams,
            "files": files.collect::<Vec<_>>(),
        })
    };
    let mut streams: Vec<_> = files
        .iter()
        .map(|(_, bytes)| seal(&key, &associated_data(&dataset), 4096, bytes))
        .collect();
    let own = path_table_associated_data(&dataset);
    let sealed_table = seal(&key, &own, 4096, &table.encode_padded());
    let folder = Content::Folder {
        files: streams
            .iter()
            .map(|(_, file)| SealedStream::new(file))
            .collect(),
        table: SealedStream::new(&sealed_table.1),
    };
    streams.push(sealed_table);

    let mut packed = table.encode();
    files
        .iter()
        .for_each(|(_, bytes)| packed.extend_from_slice(bytes));
    packed.resize(packed.len().next_power_of_two(), 0);
    let packed = seal(
        &key,
        &packed_folder_associated_data(&dataset),
        4096,
        &packed,
    );
    let content = Content::Packed(SealedStream::new(&packed.1));
    json!([vector(folder, streams), vector(content, vec![packed])])
}

fn seal(
    key: &SecretKey,
    associated_data: &[u8],
    segment_size: u32,
    plaintext: &[u8],
) -> (Vec<u8>, SealedFile) {
    let rng = &mut counting(0x60);
    seal_bytes(key, associated_data, segment_size, plaintext, rng)
}

/// The plaintext of `length` bytes that the vectors of sealed files use.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31 + 7) % 251) as u8).collect()
}
