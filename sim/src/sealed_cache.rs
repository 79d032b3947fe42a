//! Compiled code kept outside the enclave, sealed.
//!
//! Compiling costs up to a minute and a half, so its result may lie with the
//! host: encrypted and authenticated under a key the host never has, bound to the
//! component's digest, the engine's version and the engine's configuration.
//! Whatever is wrong with an entry, the answer is the same: it is not there, and
//! the component is compiled again.
//!
//! An entry is `magic ‖ salt ‖ segments`: AES-256-GCM under
//! HKDF-SHA256(key, salt, identity), segments of 1 MiB, the nonce holding the
//! segment's number and whether it is the last, the identity as associated data.

use async_trait::async_trait;
use hkdf::Hkdf;
use mc2_sandbox::{CodeCache, CodeName};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::folder::Folder;

const MAGIC: &[u8; 8] = b"mc2code1";
const SALT: usize = 32;
const HEADER: usize = MAGIC.len() + SALT;
const TAG: usize = 16;
const SEGMENT: usize = 1 << 20;

/// Code in a [`Folder`], which it trusts for nothing.
pub(crate) struct SealedCache {
    key: Zeroizing<[u8; 32]>,
    folder: Folder,
}

impl SealedCache {
    /// Seals under the folder's key.
    pub(crate) fn new(key: Zeroizing<[u8; 32]>, folder: Folder) -> Self {
        Self { key, folder }
    }
}

// SAFETY: an entry opens only under this user's key, for the name it was sealed for.
#[allow(unsafe_code)]
#[async_trait]
unsafe impl CodeCache for SealedCache {
    async fn get(&self, name: &CodeName) -> Option<Vec<u8>> {
        let entry = self.folder.get(&name.digest()).await?;
        let (key, name) = (self.key.clone(), name.clone());
        tokio::task::spawn_blocking(move || unseal(&key, name.as_bytes(), entry))
            .await
            .ok()
            .flatten()
    }

    async fn put(&self, name: &CodeName, code: Vec<u8>) {
        let (key, identity) = (self.key.clone(), name.clone());
        let seal = move || seal(&key, identity.as_bytes(), &code);
        if let Ok(Some(entry)) = tokio::task::spawn_blocking(seal).await {
            self.folder.put(&name.digest(), entry).await;
        }
    }
}

fn entry_key(key: &[u8; 32], salt: &[u8], identity: &[u8]) -> Option<LessSafeKey> {
    let mut okm = Zeroizing::new([0u8; 32]);
    Hkdf::<Sha256>::new(Some(salt), key)
        .expand(identity, okm.as_mut())
        .ok()?;
    Some(LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, okm.as_ref()).ok()?,
    ))
}

fn nonce(segment: u64, last: bool) -> Nonce {
    let mut bytes = [0u8; 12];
    bytes[3] = u8::from(last);
    bytes[4..].copy_from_slice(&segment.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn seal(key: &[u8; 32], identity: &[u8], code: &[u8]) -> Option<Vec<u8>> {
    let mut salt = [0u8; SALT];
    getrandom::fill(&mut salt).ok()?;
    let key = entry_key(key, &salt, identity)?;
    let segments = code.len().div_ceil(SEGMENT).max(1);
    let mut entry = Vec::with_capacity(HEADER + code.len() + segments * TAG);
    entry.extend_from_slice(MAGIC);
    entry.extend_from_slice(&salt);
    for segment in 0..segments {
        let from = segment * SEGMENT;
        let to = code.len().min(from + SEGMENT);
        let start = entry.len();
        entry.extend_from_slice(&code[from..to]);
        let nonce = nonce(segment as u64, segment + 1 == segments);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(identity), &mut entry[start..])
            .ok()?;
        entry.extend_from_slice(tag.as_ref());
    }
    Some(entry)
}

/// Opens an entry in its own buffer: fresh memory costs more than the decryption.
fn unseal(key: &[u8; 32], identity: &[u8], mut entry: Vec<u8>) -> Option<Vec<u8>> {
    let header = entry.get(..HEADER)?;
    if header[..MAGIC.len()] != *MAGIC {
        return None;
    }
    let key = entry_key(key, &header[MAGIC.len()..], identity)?;
    let mut from = HEADER;
    let mut plain = 0;
    for segment in 0.. {
        let to = entry.len().min(from + SEGMENT + TAG);
        let nonce = nonce(segment, to == entry.len());
        let opened = key
            .open_within(
                nonce,
                Aad::from(identity),
                &mut entry[plain..to],
                from - plain..,
            )
            .ok()?;
        plain += opened.len();
        from = to;
        if to == entry.len() {
            break;
        }
    }
    entry.truncate(plain);
    Some(entry)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use mc2_sandbox::{
        Cancellation, CodeOrigin, CompileLimits, CompileMode, ComponentStore, Engine,
        EngineProfile, RunSpec, run,
    };

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn code(len: usize) -> Vec<u8> {
        (0..len).map(|index| (index * 31 % 251) as u8).collect()
    }

    #[test]
    fn code_of_any_length_comes_back() {
        for len in [
            0,
            1,
            SEGMENT - 1,
            SEGMENT,
            SEGMENT + 1,
            3 * SEGMENT,
            3 * SEGMENT + 77,
        ] {
            let sealed = seal(&KEY, b"id", &code(len)).unwrap();
            assert_eq!(unseal(&KEY, b"id", sealed), Some(code(len)), "{len}");
        }
    }

    #[test]
    fn another_key_component_version_or_configuration_is_no_entry() {
        let sealed = seal(&KEY, b"id", &code(100)).unwrap();
        assert_eq!(unseal(&[8; 32], b"id", sealed.clone()), None);
        assert_eq!(unseal(&KEY, b"ie", sealed), None);
    }

    #[test]
    fn any_flipped_byte_or_truncation_is_no_entry() {
        let sealed = seal(&KEY, b"id", &code(SEGMENT + 50)).unwrap();
        let places = [
            0,
            8,
            39,
            40,
            1000,
            HEADER + SEGMENT,
            HEADER + SEGMENT + TAG,
            sealed.len() - 1,
        ];
        for place in places {
            let mut flipped = sealed.clone();
            flipped[place] ^= 1;
            assert_eq!(unseal(&KEY, b"id", flipped), None, "byte {place}");
        }
        for len in [
            0,
            7,
            HEADER,
            HEADER + 5,
            HEADER + SEGMENT + TAG,
            sealed.len() - 1,
        ] {
            assert_eq!(
                unseal(&KEY, b"id", sealed[..len].to_vec()),
                None,
                "cut to {len}"
            );
        }
        let mut longer = sealed.clone();
        longer.push(0);
        assert_eq!(unseal(&KEY, b"id", longer), None);
    }

    #[test]
    fn segments_cannot_be_swapped() {
        let sealed = seal(&KEY, b"id", &code(3 * SEGMENT)).unwrap();
        let mut swapped = sealed.clone();
        let (a, b) = (HEADER, HEADER + SEGMENT + TAG);
        swapped[a..b].copy_from_slice(&sealed[b..b + SEGMENT + TAG]);
        swapped[b..b + SEGMENT + TAG].copy_from_slice(&sealed[a..b]);
        assert_eq!(unseal(&KEY, b"id", swapped), None);
    }

    #[test]
    fn two_entries_of_the_same_code_have_nothing_in_common() {
        let (a, b) = (
            seal(&KEY, b"id", &code(64)).unwrap(),
            seal(&KEY, b"id", &code(64)).unwrap(),
        );
        assert_ne!(a[HEADER..], b[HEADER..]);
    }

    fn command(module: &str) -> Vec<u8> {
        wat::parse_str(format!(
            r#"(component
                (core module $m {module} (func (export "run") (result i32) i32.const 0))
                (core instance $i (instantiate $m))
                (func $run (result (result)) (canon lift (core func $i "run")))
                (instance $cli (export "run" (func $run)))
                (export "wasi:cli/run@0.2.0" (instance $cli)))"#
        ))
        .unwrap()
    }

    #[tokio::test]
    async fn a_cached_component_is_not_compiled_and_a_bad_entry_costs_only_time() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = |key| {
            let (entries, _) = Folder::open(folder.path()).unwrap();
            SealedCache::new(Zeroizing::new([key; 32]), entries)
        };
        let engine = Engine::new(EngineProfile::Vm).unwrap();
        let origin = async |engine: &Engine, key: u8, bytes: Vec<u8>| {
            let store = ComponentStore::new(
                engine.clone(),
                CompileMode::InProcess,
                CompileLimits::default(),
                Some(Box::new(sealed(key))),
            )
            .unwrap();
            let component = store
                .measure(bytes, None, &Cancellation::new())
                .await
                .unwrap();
            assert!(
                run(&component, RunSpec::new())
                    .await
                    .unwrap()
                    .result
                    .is_ok()
            );
            component.origin()
        };
        let compiled = |origin| matches!(origin, CodeOrigin::Compiled(_));
        let bytes = || command("");
        let other = || command("(func (drop (i32.const 5)))");

        assert!(compiled(origin(&engine, 1, bytes()).await));
        assert_eq!(origin(&engine, 1, bytes()).await, CodeOrigin::Cache);
        assert!(compiled(origin(&engine, 2, bytes()).await), "another key");
        assert!(
            compiled(origin(&engine, 1, bytes()).await),
            "the entry is now the other key's"
        );

        let sgx = Engine::new(EngineProfile::Sgx).unwrap();
        assert!(
            compiled(origin(&sgx, 1, bytes()).await),
            "another configuration"
        );
        assert!(
            compiled(origin(&engine, 1, other()).await),
            "another component"
        );

        // All entries are swapped round: each is authentic, none is the one asked for.
        let entries = || -> Vec<PathBuf> {
            let paths = std::fs::read_dir(folder.path()).unwrap();
            paths
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.file_name().unwrap() != "key")
                .collect()
        };
        let paths = entries();
        let kept: Vec<Vec<u8>> = paths
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect();
        for (path, other) in paths.iter().zip(kept.iter().cycle().skip(1)) {
            std::fs::write(path, other).unwrap();
        }
        assert!(
            compiled(origin(&engine, 1, bytes()).await),
            "another component's entry"
        );
        assert_eq!(origin(&engine, 1, bytes()).await, CodeOrigin::Cache);

        for path in entries() {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            std::fs::write(&path, bytes).unwrap();
        }
        assert!(compiled(origin(&engine, 1, bytes()).await), "a flipped bit");
    }
}
