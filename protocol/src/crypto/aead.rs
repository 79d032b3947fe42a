//! AES-256-GCM over caller-owned buffers: ring where it has an assembler, RustCrypto on wasm32.
//!
//! Nonces are the caller's duty; every user in this crate derives them from a counter under a key
//! used for one purpose only.

use crate::crypto::secret::SecretKey;

/// Length in bytes of an authentication tag.
pub const TAG_LEN: usize = 16;
/// Length in bytes of a nonce.
pub const NONCE_LEN: usize = 12;

/// The ciphertext, its tag, nonce, associated data and key do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("AES-256-GCM authentication failed: wrong key or altered bytes")]
pub struct AuthenticationError;

/// An expanded AES-256-GCM key.
///
/// ```
/// use mc2_protocol::{SecretKey, crypto::aead::Aes256Gcm};
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let key = Aes256Gcm::new(&SecretKey::generate(&mut rng));
/// // No two messages under one key have the same nonce.
/// let (nonce, mut bytes) = ([1; 12], b"a secret".to_vec());
/// let tag = key.seal(nonce, b"what it is", &mut bytes);
/// bytes.extend_from_slice(&tag);
/// assert_eq!(key.open(nonce, b"what it is", &bytes)?, b"a secret");
/// assert!(key.open(nonce, b"something else", &bytes).is_err());
/// # Ok::<(), mc2_protocol::crypto::aead::AuthenticationError>(())
/// ```
pub struct Aes256Gcm(imp::Key);

impl Aes256Gcm {
    /// Expands `key`.
    pub fn new(key: &SecretKey) -> Self {
        Self(imp::Key::new(key.expose()))
    }

    /// Encrypts `buffer` in place and returns the tag.
    pub fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        associated_data: &[u8],
        buffer: &mut [u8],
    ) -> [u8; TAG_LEN] {
        self.0.seal(nonce, associated_data, buffer)
    }

    /// Authenticates and decrypts `buffer[start..]` (ciphertext, then tag), moving the plaintext
    /// to the front of `buffer`, and returns the plaintext's length.
    ///
    /// # Errors
    /// [`AuthenticationError`]; the buffer then holds no plaintext.
    ///
    /// # Panics
    /// When `start` lies beyond the buffer.
    pub fn open_within(
        &self,
        nonce: [u8; NONCE_LEN],
        associated_data: &[u8],
        buffer: &mut [u8],
        start: usize,
    ) -> Result<usize, AuthenticationError> {
        if buffer.len() - start < TAG_LEN {
            return Err(AuthenticationError);
        }
        self.0.open_within(nonce, associated_data, buffer, start)
    }

    /// Decrypts ciphertext and tag into a new vector.
    ///
    /// # Errors
    /// [`AuthenticationError`].
    pub fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        associated_data: &[u8],
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, AuthenticationError> {
        let mut buffer = ciphertext.to_vec();
        let length = self.open_within(nonce, associated_data, &mut buffer, 0)?;
        buffer.truncate(length);
        Ok(buffer)
    }
}

#[cfg(not(target_family = "wasm"))]
mod imp {
    use std::{hint::black_box, mem::MaybeUninit};

    use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use zeroize::Zeroize as _;

    use super::{AuthenticationError, NONCE_LEN, TAG_LEN};

    /// Bytes of the stack that expanding a key may leave copies of it in.
    const USED_STACK: usize = 8 * 1024;

    /// ring's expanded key, in a place of its own that is wiped when dropped: ring does not wipe
    /// it, and its first half is the key itself.
    ///
    /// INVARIANT: the place is initialised from `new` to `drop`.
    pub(super) struct Key(Box<MaybeUninit<LessSafeKey>>);

    impl Key {
        pub(super) fn new(key: &[u8; 32]) -> Self {
            let mut place = Box::new(MaybeUninit::uninit());
            expand(key, &mut place);
            wipe_used_stack();
            Self(place)
        }

        #[allow(unsafe_code)]
        fn get(&self) -> &LessSafeKey {
            // SAFETY: by the type's invariant.
            unsafe { self.0.assume_init_ref() }
        }

        pub(super) fn seal(
            &self,
            nonce: [u8; NONCE_LEN],
            associated_data: &[u8],
            buffer: &mut [u8],
        ) -> [u8; TAG_LEN] {
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = self
                .get()
                .seal_in_place_separate_tag(nonce, Aad::from(associated_data), buffer)
                // Fails only above AES-GCM's 64 GiB; no buffer here comes near.
                .unwrap_or_else(|_| unreachable!("buffer above 64 GiB"));
            let mut bytes = [0; TAG_LEN];
            bytes.copy_from_slice(tag.as_ref());
            bytes
        }

        pub(super) fn open_within(
            &self,
            nonce: [u8; NONCE_LEN],
            associated_data: &[u8],
            buffer: &mut [u8],
            start: usize,
        ) -> Result<usize, AuthenticationError> {
            let nonce = Nonce::assume_unique_for_key(nonce);
            self.get()
                .open_within(nonce, Aad::from(associated_data), buffer, start..)
                .map(|plaintext| plaintext.len())
                .map_err(|_| AuthenticationError)
        }
    }

    impl Drop for Key {
        #[allow(unsafe_code)]
        fn drop(&mut self) {
            // ring's key owns nothing but the bytes of its place, so that not dropping it leaks
            // nothing.
            const { assert!(!std::mem::needs_drop::<LessSafeKey>()) };
            // SAFETY: the pointer is the box's own place, valid for that type and owned by `self`,
            // and nobody reads a key there afterwards: the type's field is uninitialised to the
            // compiler, and `self` is gone.
            unsafe { zeroize::zeroize_flat_type(self.0.as_mut_ptr()) }
        }
    }

    /// Expands the key into its place, with a frame of its own so that what lies in it is dead
    /// afterwards.
    #[inline(never)]
    fn expand(key: &[u8; 32], place: &mut MaybeUninit<LessSafeKey>) {
        let key = UnboundKey::new(&AES_256_GCM, key)
            // AES-256 takes any 32 bytes.
            .unwrap_or_else(|_| unreachable!("32-byte AES key"));
        place.write(LessSafeKey::new(key));
    }

    /// Overwrites the stack where the frames of a call that has returned were.
    #[inline(never)]
    fn wipe_used_stack() {
        let mut used = [0u8; USED_STACK];
        used.zeroize();
        black_box(&used);
    }
}

#[cfg(target_family = "wasm")]
mod imp {
    use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};

    use super::{AuthenticationError, NONCE_LEN, TAG_LEN};

    pub(super) struct Key(Aes256Gcm);

    impl Key {
        pub(super) fn new(key: &[u8; 32]) -> Self {
            Self(Aes256Gcm::new(&(*key).into()))
        }

        pub(super) fn seal(
            &self,
            nonce: [u8; NONCE_LEN],
            associated_data: &[u8],
            buffer: &mut [u8],
        ) -> [u8; TAG_LEN] {
            self.0
                .encrypt_inout_detached(&nonce.into(), associated_data, buffer.into())
                // Fails only above AES-GCM's 64 GiB; wasm32 has 4.
                .unwrap_or_else(|_| unreachable!("buffer above 64 GiB"))
                .into()
        }

        pub(super) fn open_within(
            &self,
            nonce: [u8; NONCE_LEN],
            associated_data: &[u8],
            buffer: &mut [u8],
            start: usize,
        ) -> Result<usize, AuthenticationError> {
            let end = buffer.len() - TAG_LEN;
            let mut tag = [0; TAG_LEN];
            tag.copy_from_slice(&buffer[end..]);
            buffer.copy_within(start..end, 0);
            let plaintext = &mut buffer[..end - start];
            let result = self.0.decrypt_inout_detached(
                &nonce.into(),
                associated_data,
                plaintext.into(),
                &tag.into(),
            );
            if result.is_err() {
                buffer.fill(0);
                return Err(AuthenticationError);
            }
            Ok(end - start)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST GCM test cases 13 and 14 (McGrew and Viega, "The Galois/Counter Mode of Operation").
    #[test]
    fn the_published_vectors_hold() {
        let key = Aes256Gcm::new(&SecretKey::from_bytes([0; 32]));
        assert_eq!(
            hex::encode(key.seal([0; 12], b"", &mut [])),
            "530f8afbc74536b9a963b4f1c4cb738b"
        );
        let mut block = [0; 16];
        let tag = key.seal([0; 12], b"", &mut block);
        assert_eq!(hex::encode(block), "cea7403d4d606b6e074ec5d3baf39d18");
        assert_eq!(hex::encode(tag), "d0d1c8a799996bf0265b98b5d48ab919");
    }

    /// NIST GCM test case 16: key, nonce, plaintext and associated data of odd lengths.
    #[test]
    fn the_published_vector_with_associated_data_holds() {
        let key = crate::encoding::hex_array::<32>(
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        );
        let key = Aes256Gcm::new(&SecretKey::from_bytes(key.unwrap()));
        let nonce = crate::encoding::hex_array("cafebabefacedbaddecaf888").unwrap();
        let mut text = hex::decode(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        )
        .unwrap();
        let data = hex::decode("feedfacedeadbeeffeedfacedeadbeefabaddad2").unwrap();
        let tag = key.seal(nonce, &data, &mut text);
        assert_eq!(
            hex::encode(&text),
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        );
        assert_eq!(hex::encode(tag), "76fc6ece0f4e1768cddf8853bb2d551b");
        text.extend_from_slice(&tag);
        assert!(key.open(nonce, &data, &text).is_ok());
        text[3] ^= 1;
        assert_eq!(key.open(nonce, &data, &text), Err(AuthenticationError));
    }
}
