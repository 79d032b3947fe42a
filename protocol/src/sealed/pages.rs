//! Pages of scratch space that leave the enclave's memory and come back.

use rand_core::CryptoRng;

use crate::{
    SecretKey,
    crypto::{
        aead::{Aes256Gcm, AuthenticationError, NONCE_LEN, TAG_LEN},
        label,
    },
};

/// The cipher of one run's pages: AES-256-GCM under a key of its own, each page's number its nonce,
/// four zero bytes and eight big-endian ones. Whoever uses it keeps every page's number and tag, so
/// an altered, moved or older page does not open.
pub struct PageCipher(Aes256Gcm);

impl PageCipher {
    /// A cipher under a fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(Aes256Gcm::new(&SecretKey::generate(rng)))
    }

    /// Encrypts `page` in place, under a `number` that was never used before, and returns its tag.
    pub fn seal(&self, number: u64, page: &mut [u8]) -> [u8; TAG_LEN] {
        self.0
            .seal(nonce(number), label::SPILLED_PAGE.as_bytes(), page)
    }

    /// The plaintext of the page of this number and tag.
    ///
    /// # Errors
    /// [`AuthenticationError`] when `page` is another.
    pub fn open(
        &self,
        number: u64,
        tag: &[u8; TAG_LEN],
        page: &[u8],
    ) -> Result<Vec<u8>, AuthenticationError> {
        let mut bytes = Vec::with_capacity(page.len() + TAG_LEN);
        bytes.extend_from_slice(page);
        bytes.extend_from_slice(tag);
        let associated_data = label::SPILLED_PAGE.as_bytes();
        let length = self
            .0
            .open_within(nonce(number), associated_data, &mut bytes, 0)?;
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn nonce(number: u64) -> [u8; NONCE_LEN] {
    let mut bytes = [0; NONCE_LEN];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_opens_under_its_number_and_tag_alone() {
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let cipher = PageCipher::generate(&mut rng);
        let mut page = vec![7; 1000];
        let tag = cipher.seal(3, &mut page);
        assert_ne!(page, [7; 1000]);
        assert_eq!(cipher.open(3, &tag, &page), Ok(vec![7; 1000]));
        let mut other = vec![7; 1000];
        let later = cipher.seal(4, &mut other);
        let refused = Err(AuthenticationError);
        assert_eq!(cipher.open(3, &later, &other), refused);
        assert_eq!(cipher.open(4, &tag, &page), refused);
        assert_eq!(cipher.open(3, &tag, &other), refused);
        page[5] ^= 1;
        assert_eq!(cipher.open(3, &tag, &page), refused);
    }
}
