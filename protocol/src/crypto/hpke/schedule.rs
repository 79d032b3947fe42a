//! The key schedule of RFC 9180 §5.1 in base mode, and what its keys are for: one message each way
//! of one encapsulation.

use hkdf::{Hkdf, HkdfExtract};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::crypto::{
    aead::{Aes256Gcm, AuthenticationError, NONCE_LEN},
    secret::SecretKey,
};

/// §5.1: `"HPKE" ‖ kem_id ‖ kdf_id ‖ aead_id`, of X-Wing, HKDF-SHA256 and AES-256-GCM.
const SUITE: &[u8; 10] = b"HPKE\x64\x7a\x00\x01\x00\x02";
/// §4: what every label begins with.
const VERSION: &[u8] = b"HPKE-v1";
/// §5.1: `mode_base`.
const BASE: u8 = 0;

/// What both ends of one encapsulation have.
pub(super) struct Context {
    key: SecretKey,
    /// The nonce of the first message, which is the only one.
    nonce: [u8; NONCE_LEN],
    exporter: Hkdf<Sha256>,
}

impl Context {
    /// `KeySchedule<ROLE>(mode_base, shared_secret, info, "", "")`.
    pub(super) fn new(shared_secret: &[u8], info: &[u8]) -> Self {
        let mut context = [0; 1 + 32 + 32];
        context[0] = BASE;
        context[1..33].copy_from_slice(&hash(b"psk_id_hash", b""));
        context[33..].copy_from_slice(&hash(b"info_hash", info));
        let (_, secret) = labeled_extract(shared_secret, b"secret", b"").finalize();
        let mut nonce = [0; NONCE_LEN];
        labeled_expand(&secret, b"base_nonce", &context, &mut nonce);
        let exporter = expanded(&secret, b"exp", &context);
        Self {
            key: expanded(&secret, b"key", &context),
            nonce,
            exporter: Hkdf::from_prk(exporter.expose())
                // 32 bytes are a whole pseudo-random key of SHA-256.
                .unwrap_or_else(|error| unreachable!("a key of 32 bytes: {error}")),
        }
    }

    /// Seals the one message (§5.2, sequence number 0, no associated data).
    pub(super) fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let mut ciphertext = plaintext.to_vec();
        let tag = Aes256Gcm::new(&self.key).seal(self.nonce, b"", &mut ciphertext);
        ciphertext.extend_from_slice(&tag);
        ciphertext
    }

    /// Opens the one message.
    pub(super) fn open(
        &self,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, AuthenticationError> {
        Aes256Gcm::new(&self.key)
            .open(self.nonce, b"", ciphertext)
            .map(Zeroizing::new)
    }

    /// `Context.Export(exporter_context, 32)` (§5.3).
    pub(super) fn export(&self, exporter_context: &[u8]) -> SecretKey {
        expanded(&self.exporter, b"sec", exporter_context)
    }
}

/// `LabeledExtract("", label, input)`, as a value.
fn hash(label: &[u8], input: &[u8]) -> [u8; 32] {
    labeled_extract(b"", label, input).finalize().0.into()
}

/// `LabeledExtract(salt, label, input)` (§4).
fn labeled_extract(salt: &[u8], label: &[u8], input: &[u8]) -> HkdfExtract<Sha256> {
    let mut extract = HkdfExtract::new(Some(salt));
    for part in [VERSION, SUITE, label, input] {
        extract.input_ikm(part);
    }
    extract
}

/// `LabeledExpand(key, label, info, 32)`.
fn expanded(key: &Hkdf<Sha256>, label: &[u8], info: &[u8]) -> SecretKey {
    SecretKey::filled(|bytes| labeled_expand(key, label, info, bytes))
}

/// `LabeledExpand(key, label, info, output.len())` (§4).
fn labeled_expand(key: &Hkdf<Sha256>, label: &[u8], info: &[u8], output: &mut [u8]) {
    // No output here has more than 32 bytes.
    let length = (output.len() as u16).to_be_bytes();
    key.expand_multi_info(&[&length, VERSION, SUITE, label, info], output)
        .unwrap_or_else(|error| unreachable!("an output of 32 bytes: {error}"));
}
