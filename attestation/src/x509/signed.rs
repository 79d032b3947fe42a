//! The frame that certificates and revocation lists share: what is signed, how, and the signature.

use der::{Decode, Encode, Reader, SliceReader, asn1::BitStringRef};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::key::{KeyError, PublicKey, Signers};

/// `SIGNED{…}` of X.509: the bytes that were signed, exactly as they came, and the signature.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) content: Vec<u8>,
    pub(super) algorithm: AlgorithmIdentifierOwned,
    signature: Vec<u8>,
}

impl Signed {
    /// Takes the three apart; nothing may follow them.
    pub(super) fn parse(der: &[u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let signed = reader.sequence(|reader: &mut SliceReader<'_>| {
            let content = reader.tlv_bytes()?.to_vec();
            let algorithm = AlgorithmIdentifierOwned::decode(reader)?;
            let bits = BitStringRef::decode(reader)?;
            let signature = bits
                .as_bytes()
                .ok_or_else(|| der::Tag::BitString.value_error())?;
            Ok::<_, der::Error>(Self {
                content,
                algorithm,
                signature: signature.to_vec(),
            })
        })?;
        reader.finish()?;
        Ok(signed)
    }

    /// Whether the holder of `key`, one of `signers`, signed it.
    pub(super) fn verify(&self, signers: Signers, key: &PublicKey) -> Result<(), KeyError> {
        key.verify(signers, &self.algorithm.oid, &self.content, &self.signature)
    }

    /// Whether the algorithm is also that which is named inside, where it is signed.
    pub(super) fn agrees_with(&self, inner: &AlgorithmIdentifierOwned) -> bool {
        match (self.algorithm.to_der(), inner.to_der()) {
            (Ok(outer), Ok(inner)) => outer == inner,
            _ => false,
        }
    }
}
