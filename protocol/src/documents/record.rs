//! The session record: what the hardware signs for (protocol.md §8).

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

use crate::{
    Digest, Name,
    crypto::{hpke::PublicKey, label},
    encoding::{Base64, Hex, JsonError, check_version, parse_json, to_json},
};

/// Largest session record accepted, in bytes.
pub const MAX_LEN: usize = 64 * 1024;

/// A verifier's 32 random bytes.
pub type Nonce = Hex<32>;

/// What one session is: the runtime, its engine, the policy, the components and the session's
/// keys. Serialised once by the runtime; verifiers hash the bytes they got and then parse them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRecord {
    version: u32,
    /// The runtime that runs the session.
    pub runtime: Runtime,
    /// The engine that compiles and runs the components.
    pub engine: Engine,
    /// Where compiled code outlives a session.
    pub compilation_cache: CompilationCache,
    /// The policy the process was started for (`--policy-digest`); `null` where it was not.
    pub tenant: Option<Digest>,
    /// SHA-256 of the policy file's exact bytes.
    pub policy: Digest,
    /// The components in the policy's order, by SHA-256 of their exact bytes.
    pub components: Vec<ComponentDigest>,
    hpke_public_key: Base64,
    signing_public_key: Hex<32>,
}

/// Name and version of a runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// `mc2-runtime`, or `mc2-runtime-sim` for the simulator.
    pub name: String,
    /// Its semantic version.
    pub version: String,
}

/// The engine and how it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// `wasmtime`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The engine profile: `vm` or `sgx`.
    pub profile: String,
    /// SHA-256 of the canonical text of the engine's configuration and limits.
    pub configuration: Digest,
}

/// How long compiled code is kept outside a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompilationCache {
    /// In enclave memory only.
    Memory,
    /// On the host, sealed under a key made at boot.
    Boot,
    /// On the host, sealed under a key only the same measured runtime can derive.
    Lasting,
    /// In the user's cache folder under a key kept there. The simulator only.
    Simulator,
}

/// One component of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentDigest {
    /// Its name in the policy.
    pub name: Name,
    /// SHA-256 of the exact `.wasm` bytes.
    pub sha256: Digest,
}

/// Everything a record is made of, keys included.
pub struct RecordParts {
    /// See [`SessionRecord::runtime`].
    pub runtime: Runtime,
    /// See [`SessionRecord::engine`].
    pub engine: Engine,
    /// See [`SessionRecord::compilation_cache`].
    pub compilation_cache: CompilationCache,
    /// See [`SessionRecord::tenant`].
    pub tenant: Option<Digest>,
    /// See [`SessionRecord::policy`].
    pub policy: Digest,
    /// See [`SessionRecord::components`].
    pub components: Vec<ComponentDigest>,
    /// The session's HPKE public key.
    pub hpke_public_key: PublicKey,
    /// The session's Ed25519 key.
    pub signing_public_key: VerifyingKey,
}

/// Why a session record was refused.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not a record.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A key in it does not parse.
    #[error("the session record's {which} key is not valid")]
    Key {
        /// `HPKE` or `signing`.
        which: &'static str,
    },
}

impl SessionRecord {
    /// A record of these parts.
    pub fn new(parts: RecordParts) -> Self {
        Self {
            version: crate::VERSION,
            runtime: parts.runtime,
            engine: parts.engine,
            compilation_cache: parts.compilation_cache,
            tenant: parts.tenant,
            policy: parts.policy,
            components: parts.components,
            hpke_public_key: parts.hpke_public_key.as_bytes().into(),
            signing_public_key: Hex(parts.signing_public_key.to_bytes()),
        }
    }

    /// Parses a record whose report data was already compared.
    ///
    /// # Errors
    /// Not a record of this version, or a key that does not parse.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Self = parse_json("the session record", bytes, MAX_LEN)?;
        check_version("the session record", record.version)?;
        PublicKey::from_bytes(record.hpke_public_key.as_slice())
            .map_err(|_| RecordError::Key { which: "HPKE" })?;
        VerifyingKey::from_bytes(&record.signing_public_key.0)
            .ok()
            .filter(|key| !key.is_weak())
            .ok_or(RecordError::Key { which: "signing" })?;
        Ok(record)
    }

    /// The bytes to be sent and hashed.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }

    /// The key messages to this session are sealed to.
    pub fn hpke_public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.hpke_public_key.as_slice())
            // `new` took a parsed key and `parse` checked it.
            .unwrap_or_else(|error| unreachable!("checked key: {error}"))
    }

    /// The key that checks this session's answers and receipts.
    pub fn signing_public_key(&self) -> VerifyingKey {
        VerifyingKey::from_bytes(&self.signing_public_key.0)
            // `new` took a parsed key and `parse` checked it.
            .unwrap_or_else(|error| unreachable!("checked key: {error}"))
    }
}

/// The session digest: SHA-256 of the record's bytes.
pub fn session_digest(record: &[u8]) -> Digest {
    Digest::of(record)
}

/// The 64 bytes that go into the hardware's evidence: SHA-512(label ‖ u64 big-endian length of
/// the record ‖ record ‖ nonce).
///
/// ```
/// use mc2_protocol::{encoding::Hex, documents::record::report_data};
///
/// let signed = report_data(b"the record's exact bytes", &Hex([7; 32]));
/// assert_ne!(signed, report_data(b"the record's exact bytes", &Hex([8; 32])));
/// ```
pub fn report_data(record: &[u8], nonce: &Nonce) -> [u8; 64] {
    let mut hash = Sha512::new();
    hash.update(label::context(label::REPORT_DATA, &[record]));
    hash.update(nonce.0);
    hash.finalize().into()
}
