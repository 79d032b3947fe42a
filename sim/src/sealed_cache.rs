//! Compiled code kept outside the enclave, sealed.
//!
//! Compiling costs up to a minute and a half, so its result may lie with the
//! host: encrypted and authenticated under a key the host never has, bound to the
//! component's digest, the engine's version and the engine's configuration.
//! Whatever is wrong with an entry, the answer is the same: it is not there, and
//! the component is compiled again.
//!
//! An entry is `magic ‖ salt ‖ ciphertext ‖ tag`: AES-256-GCM under
//! HKDF-SHA256(key, salt, identity), a key of this entry's own, with twelve zero
//! bytes as the nonce and the identity as associated data, under its label
//! ([`COMPILATION_CACHE`](label::COMPILATION_CACHE)).

use async_trait::async_trait;
use getrandom::SysRng;
use mc2_protocol::{
    SecretKey,
    crypto::{
        aead::{Aes256Gcm, NONCE_LEN, TAG_LEN},
        label,
    },
};
use mc2_sandbox::{CodeCache, CodeName};
use rand_core::{Rng as _, UnwrapErr};

use crate::folder::Folder;

const MAGIC: &[u8; 8] = b"mc2code2";
const SALT: usize = 32;
const HEADER: usize = MAGIC.len() + SALT;
/// Every entry has a key of its own.
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// Code in a [`Folder`], which it trusts for nothing.
pub(crate) struct SealedCache {
    key: SecretKey,
    folder: Folder,
}

impl SealedCache {
    /// Seals under the folder's key.
    pub(crate) fn new(key: SecretKey, folder: Folder) -> Self {
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
        if let Ok(entry) = tokio::task::spawn_blocking(seal).await {
            self.folder.put(&name.digest(), entry).await;
        }
    }
}

fn seal(key: &SecretKey, identity: &[u8], code: &[u8]) -> Vec<u8> {
    let identity = &label::context(label::COMPILATION_CACHE, &[identity]);
    let mut salt = [0; SALT];
    UnwrapErr(SysRng).fill_bytes(&mut salt);
    let key = Aes256Gcm::new(&key.derive(&salt, identity));
    let mut entry = Vec::with_capacity(HEADER + code.len() + TAG_LEN);
    entry.extend_from_slice(MAGIC);
    entry.extend_from_slice(&salt);
    entry.extend_from_slice(code);
    let tag = key.seal(NONCE, identity, &mut entry[HEADER..]);
    entry.extend_from_slice(&tag);
    entry
}

/// Opens an entry in its own buffer: fresh memory costs more than the decryption.
fn unseal(key: &SecretKey, identity: &[u8], mut entry: Vec<u8>) -> Option<Vec<u8>> {
    let identity = &label::context(label::COMPILATION_CACHE, &[identity]);
    let header = entry.get(..HEADER)?;
    let salt = header.strip_prefix(MAGIC)?;
    let key = Aes256Gcm::new(&key.derive(salt, identity));
    let length = key.open_within(NONCE, identity, &mut entry, HEADER).ok()?;
    entry.truncate(length);
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

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes([byte; 32])
    }

    fn code(len: usize) -> Vec<u8> {
        (0..len).map(|index| (index * 31 % 251) as u8).collect()
    }

    #[test]
    fn code_of_any_length_comes_back() {
        for len in [0, 1, 15, 16, 17, 1 << 20] {
            let sealed = seal(&key(7), b"id", &code(len));
            assert_eq!(unseal(&key(7), b"id", sealed), Some(code(len)), "{len}");
        }
    }

    #[test]
    fn another_key_component_version_or_configuration_is_no_entry() {
        let sealed = seal(&key(7), b"id", &code(100));
        assert_eq!(unseal(&key(8), b"id", sealed.clone()), None);
        assert_eq!(unseal(&key(7), b"ie", sealed), None);
    }

    #[test]
    fn any_flipped_byte_or_truncation_is_no_entry() {
        let sealed = seal(&key(7), b"id", &code(5000));
        let places = [0, 8, 39, 40, 1000, 5039, 5040, sealed.len() - 1];
        for place in places {
            let mut flipped = sealed.clone();
            flipped[place] ^= 1;
            assert_eq!(unseal(&key(7), b"id", flipped), None, "byte {place}");
        }
        for len in [0, 7, HEADER, HEADER + 5, HEADER + TAG_LEN, sealed.len() - 1] {
            assert_eq!(
                unseal(&key(7), b"id", sealed[..len].to_vec()),
                None,
                "cut to {len}"
            );
        }
        let mut longer = sealed.clone();
        longer.push(0);
        assert_eq!(unseal(&key(7), b"id", longer), None);
    }

    #[test]
    fn two_entries_of_the_same_code_have_nothing_in_common() {
        let (a, b) = (
            seal(&key(7), b"id", &code(64)),
            seal(&key(7), b"id", &code(64)),
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
            SealedCache::new(self::key(key), entries)
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
