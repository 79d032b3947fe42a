//! A public key infrastructure of a test's own: keys, certificates and revocation lists that are
//! well-formed in every way but that no vendor stands behind them.
//!
//! The keys are written here, so that a forgery has the same bytes everywhere. They sign nothing
//! else.

use std::convert::Infallible;

use p384::ecdsa::signature::Signer as _;
use rsa::{
    BoxedUint, Pkcs1v15Sign, Pss,
    rand_core::{TryCryptoRng, TryRng},
    traits::PublicKeyParts as _,
};
use sha2::{Digest as _, Sha256, Sha384};

use super::der;
use crate::time::Interval;

const FIRST_P: &str = concat!(
    "f497e73a7f14bffe4d07311d6f28e97d034da039e1c2291dea58734f17e8c7c5",
    "319a2d3aa3ad1a1ec645008fff39f6e890f5d532c2409266f0f52228287b1b96",
    "4bca314469e2adb164b849480a423ce8f3b7ce346257e52f3762488a1d2260bd",
    "9c372a48fd6bc2aa8eb24ea6a5480557e8e1d9667dfe2dee1de2497063cf405d",
);
const FIRST_Q: &str = concat!(
    "c9d6f288b506713517e23c0a81c109613671a1b83b980efa82b3f22f27673a70",
    "61cbf3c4b455272496b38adffec99c1c1bf54f344400f59d870bb87dc306e373",
    "7054469180c9dda3c86e5c52485199394efb99203af3cbdf4df6634bd0481506",
    "2ea33ee58255163dac6328b816dece9de6bc0308d7055caffceb3bf7ad251a0b",
);
const SECOND_P: &str = concat!(
    "f874529b31d5230b0d5d2a4a61286e18979d4f0f90df8652ff9f886057981546",
    "c06c1cc06a11914eb273c116427b199c6e18b3f1d8c69cec04d2c8476d662d05",
    "61f62a4dca7efd5297dbc885bdbce48cc2a75a473552f7ed63d402f771901776",
    "7669e6182321c98c2908a993f9d5273453be4b820fa23a0df02b0f991a524c51",
);
const SECOND_Q: &str = concat!(
    "e30c8707948da252572c80cad8212af240e92f01223f957c03a4035016fbbb3e",
    "5381bc29daaf1035c8a4d2936167b9a6feb16dbf34ad18cd4f04337608efb35f",
    "db08f97d66918c01ee2bceb0c1817fbaa43e2dc6e51b4834cc618d7de15c2266",
    "7689e5b5b848843b6f63ea115bef21267f7dbd08b1c39d6d4deab8e496d4cc11",
);
const THIRD_P: &str = concat!(
    "e6d435bf258ecde51a444e4f385353a2c1b0b2aabb8ac9b70af821d9e83e40e5",
    "59e974927c441e8191bf7662c5b3dde7fa45726c93a31e4679e9bef5d15f30a9",
    "dd5ba1901bf806b58d8894ab53f53862abacdaf159dba32be886b2f2e18bed84",
    "6e7bf6acf3af7b83dc68556124d810ff537e412d84ebaef1ee39b05369a30b9d",
);
const THIRD_Q: &str = concat!(
    "d9c71fbac0d2590b1f19dba1e3662e786bbcf5a9a5ba4e80aa62b1f9a523cc31",
    "2bcdf45f0609a318f9ccab25b6b4f66eb06f1c73934828a2a93496fd2fde6ee0",
    "4b39efb77bb74e387f5a53f67afc1927a3fa7a4e04603ae7a690bd8503641fa4",
    "d13d13c8a6b2fc267e3c8d41fd5ef9b4b32e2e9685b1a2d446b34f5e28c63663",
);

/// A key that signs certificates, lists or evidence.
pub struct Key(Kind);

enum Kind {
    Rsa(Box<rsa::PrivateKey>),
    P384(p384::ecdsa::SigningKey),
}

impl Key {
    /// One of three RSA keys of 2,048 bits.
    pub fn rsa(which: usize) -> Self {
        let (p, q) = [(FIRST_P, FIRST_Q), (SECOND_P, SECOND_Q), (THIRD_P, THIRD_Q)][which % 3];
        let number = |text: &str| {
            let bytes = hex::decode(text).unwrap_or_else(|error| unreachable!("a prime: {error}"));
            BoxedUint::from_be_slice_vartime(&bytes)
        };
        let key = rsa::PrivateKey::from_p_q(number(p), number(q), BoxedUint::from(65_537_u64))
            .unwrap_or_else(|error| unreachable!("two primes are a key: {error}"));
        Self(Kind::Rsa(Box::new(key)))
    }

    /// A key on P-384.
    pub fn p384(seed: u8) -> Self {
        let key = p384::ecdsa::SigningKey::from_slice(&[seed.max(1); 48])
            .unwrap_or_else(|error| unreachable!("a small number is a key: {error}"));
        Self(Kind::P384(key))
    }

    /// A signature as certificates carry it.
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Kind::Rsa(key) => {
                let mut salts = Counter(0);
                key.sign_with_rng(&mut salts, Pss::<Sha384>::new(), &Sha384::digest(message))
                    .unwrap_or_else(|error| unreachable!("a digest fits the key: {error}"))
            }
            Kind::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
        }
    }

    /// ECDSA with SHA-384, r ‖ s, big-endian.
    pub fn sign_p384(&self, message: &[u8]) -> [u8; 96] {
        let Kind::P384(key) = &self.0 else {
            unreachable!("only a key on P-384 signs like this")
        };
        let signature: p384::ecdsa::Signature = key.sign(message);
        let bytes = signature.to_bytes();
        std::array::from_fn(|i| bytes[i])
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256, as TPMs sign.
    pub fn sign_rsassa(&self, message: &[u8]) -> Vec<u8> {
        let Kind::Rsa(key) = &self.0 else {
            unreachable!("only an RSA key signs like this")
        };
        key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message))
            .unwrap_or_else(|error| unreachable!("a digest fits the key: {error}"))
    }

    /// Modulus and exponent, big-endian.
    pub fn rsa_numbers(&self) -> (Vec<u8>, Vec<u8>) {
        let Kind::Rsa(key) = &self.0 else {
            unreachable!("only an RSA key has them")
        };
        let key = key.as_public_key();
        (key.n_bytes().to_vec(), key.e_bytes().to_vec())
    }

    fn algorithm(&self) -> Vec<u8> {
        match &self.0 {
            Kind::Rsa(_) => {
                let sha384 = || {
                    der::sequence_of(&[
                        der::oid(&[2, 16, 840, 1, 101, 3, 4, 2, 2]),
                        der::element(0x05, &[]),
                    ])
                };
                let mgf1 = der::sequence_of(&[der::oid(&[1, 2, 840, 113_549, 1, 1, 8]), sha384()]);
                der::sequence_of(&[
                    der::oid(&[1, 2, 840, 113_549, 1, 1, 10]),
                    der::sequence_of(&[
                        der::element(0xa0, &sha384()),
                        der::element(0xa1, &mgf1),
                        der::element(0xa2, &der::number(&[48])),
                    ]),
                ])
            }
            Kind::P384(_) => der::sequence_of(&[der::oid(&[1, 2, 840, 10_045, 4, 3, 3])]),
        }
    }

    fn public(&self) -> Vec<u8> {
        match &self.0 {
            Kind::Rsa(key) => {
                let key = key.as_public_key();
                let pkcs1 =
                    der::sequence_of(&[der::number(&key.n_bytes()), der::number(&key.e_bytes())]);
                der::sequence_of(&[
                    der::sequence_of(&[
                        der::oid(&[1, 2, 840, 113_549, 1, 1, 1]),
                        der::element(0x05, &[]),
                    ]),
                    der::bits(&pkcs1),
                ])
            }
            Kind::P384(key) => der::sequence_of(&[
                der::sequence_of(&[
                    der::oid(&[1, 2, 840, 10_045, 2, 1]),
                    der::oid(&[1, 3, 132, 0, 34]),
                ]),
                der::bits(key.verifying_key().to_sec1_point(false).as_bytes()),
            ]),
        }
    }
}

/// What a certificate says.
pub(super) struct Certificate {
    /// Whom it is about.
    pub subject: String,
    /// Its number, big-endian.
    pub serial: Vec<u8>,
    /// When it counts.
    pub holds: Interval,
    /// Whether it may issue others, and how many may follow.
    pub authority: Option<Option<u8>>,
    /// Extensions beyond what its kind of holder has: identifier and content.
    pub extensions: Vec<(Vec<u64>, Vec<u8>)>,
}

impl Certificate {
    /// Issues it for `key`.
    pub(super) fn issue(&self, key: &Key, issuer: &str, issuer_key: &Key) -> Vec<u8> {
        let mut extensions = vec![self.basic_constraints(), self.key_usage()];
        for (id, content) in &self.extensions {
            extensions.push(der::extension(&der::oid(id), false, content));
        }
        let content = der::sequence_of(&[
            der::element(0xa0, &der::number(&[2])),
            der::number(&self.serial),
            issuer_key.algorithm(),
            der::name(issuer),
            der::sequence_of(&[der::time(self.holds.from), der::time(self.holds.until)]),
            der::name(&self.subject),
            key.public(),
            der::element(0xa3, &der::sequence_of(&extensions)),
        ]);
        signed(content, issuer_key)
    }

    fn basic_constraints(&self) -> Vec<u8> {
        let content = match self.authority {
            None => der::sequence_of(&[]),
            Some(None) => der::sequence_of(&[der::element(0x01, &[0xff])]),
            Some(Some(len)) => {
                der::sequence_of(&[der::element(0x01, &[0xff]), der::number(&[len])])
            }
        };
        critical(&[2, 5, 29, 19], &content)
    }

    fn key_usage(&self) -> Vec<u8> {
        // keyCertSign and cRLSign, or digitalSignature.
        let bits = match self.authority {
            Some(_) => [1, 0x06],
            None => [7, 0x80],
        };
        critical(&[2, 5, 29, 15], &der::element(0x03, &bits))
    }
}

/// A list of revoked certificates.
#[derive(Clone)]
pub struct RevocationList {
    /// When it was issued.
    pub from: crate::UnixSeconds,
    /// When the next one comes, where it says.
    pub until: Option<crate::UnixSeconds>,
    /// Which list it is.
    pub number: u8,
    /// The numbers of what it revokes, big-endian.
    pub revoked: Vec<Vec<u8>>,
}

impl RevocationList {
    /// Issues it.
    pub fn issue(&self, issuer: &str, issuer_key: &Key) -> Vec<u8> {
        let entry =
            |serial: &Vec<u8>| der::sequence_of(&[der::number(serial), der::time(self.from)]);
        let mut fields = vec![
            der::number(&[1]),
            issuer_key.algorithm(),
            der::name(issuer),
            der::time(self.from),
        ];
        fields.extend(self.until.map(der::time));
        if !self.revoked.is_empty() {
            let entries: Vec<Vec<u8>> = self.revoked.iter().map(entry).collect();
            fields.push(der::sequence_of(&entries));
        }
        let number = der::number(&[self.number]);
        let number = der::extension(&der::oid(&[2, 5, 29, 20]), false, &number);
        fields.push(der::element(0xa0, &der::sequence_of(&[number])));
        signed(der::sequence_of(&fields), issuer_key)
    }
}

fn signed(content: Vec<u8>, key: &Key) -> Vec<u8> {
    let signature = der::bits(&key.sign(&content));
    der::sequence_of(&[content, key.algorithm(), signature])
}

fn critical(id: &[u64], content: &[u8]) -> Vec<u8> {
    der::extension(&der::oid(id), true, content)
}

/// What a forger takes for random numbers: their only use is the salt of a signature.
struct Counter(u64);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0 += 1;
        Ok(u32::try_from(self.0).unwrap_or_default())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 += 1;
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            self.0 += 1;
            *byte = self.0.to_le_bytes()[0];
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}
