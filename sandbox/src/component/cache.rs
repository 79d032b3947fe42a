//! Compiled code kept elsewhere: compiling costs up to a minute and a half.

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::engine::Engine;
use crate::hex::hex;

const LABEL: &[u8] = b"mc2/v1/compilation-cache";

/// Keeps compiled code. Whatever is wrong with an entry, the answer is the same: it is not
/// there, and the component is compiled again.
///
/// # Safety
///
/// The code runs natively, with all that this process may do. [`get`](Self::get) must give
/// nothing but what [`put`](Self::put) was given for an equal [`CodeName`], by this program or
/// one as trusted, and nobody else may have had a hand in it since.
#[allow(unsafe_code)]
#[async_trait]
pub unsafe trait CodeCache: Send + Sync {
    /// The code of this name, if it is there.
    async fn get(&self, name: &CodeName) -> Option<Vec<u8>>;

    /// Keeps code under this name. A failure is the implementation's to report.
    async fn put(&self, name: &CodeName, code: Vec<u8>);
}

/// What decides compiled code: the component's digest, the engine's version and its
/// configuration. Every part has a fixed length or its length before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeName(Vec<u8>);

impl CodeName {
    pub(super) fn new(engine: &Engine, component: &[u8; 32]) -> Self {
        let version = Engine::version().as_bytes();
        let mut name = Vec::with_capacity(LABEL.len() + 66 + version.len());
        name.extend_from_slice(LABEL);
        name.extend_from_slice(component);
        name.extend_from_slice(&engine.config_digest());
        name.push(version.len() as u8);
        name.extend_from_slice(version);
        Self(name)
    }

    /// The name, to be authenticated with an entry.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its SHA-256 in hexadecimal: it says nothing and fits any store.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(&self.0))
    }
}
