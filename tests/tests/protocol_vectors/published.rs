//! Vectors that others published.

use std::fs;

use mc2_protocol::{
    SecretKey,
    crypto::hpke::{PrivateKey, PublicKey},
};
use mc2_tests::Drawn;
use serde_json::Value;

use crate::{folder, x_wing};

/// The draft's own vectors ship with the crate `x-wing`.
#[test]
fn the_x_wing_drafts_vectors_hold() {
    let vectors = x_wing::vectors();
    let vectors: Vec<Value> = serde_json::from_slice(&fs::read(vectors).unwrap()).unwrap();
    assert!(vectors.len() >= 3);
    for vector in vectors {
        let bytes = |field: &str| hex::decode(vector[field].as_str().unwrap()).unwrap();
        let seed = SecretKey::from_bytes(bytes("sk").try_into().unwrap());
        let key = PrivateKey::from_seed(seed);
        assert_eq!(key.public_key().as_bytes(), bytes("pk"));
        let public = PublicKey::from_bytes(&bytes("pk")).unwrap();
        let sealed = public.seal(b"", b"text", &mut Drawn::new(bytes("eseed")));
        assert_eq!(sealed.encapsulated_key.0, bytes("ct"));
        assert_eq!(key.open(b"", &sealed).unwrap().as_slice(), b"text");
    }
}

/// RFC 9180 has no vectors for this suite; A.1.1 has those for its key derivation function.
#[test]
fn the_rfcs_vector_for_hkdf_sha256_holds() {
    use hpke::{
        Deserializable as _, OpModeR, aead::AesGcm128, kdf::HkdfSha256, kem::X25519HkdfSha256,
        setup_receiver,
    };
    type Kem = X25519HkdfSha256;
    let vector = fs::read(folder().join("published.json")).unwrap();
    let vector: Value = serde_json::from_slice(&vector).unwrap();
    let vector = &vector["rfc9180_a_1_1"];
    let bytes = |field: &str| hex::decode(vector[field].as_str().unwrap()).unwrap();
    let key = <Kem as hpke::Kem>::PrivateKey::from_bytes(&bytes("skRm")).unwrap();
    let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(&bytes("enc")).unwrap();
    let mut context = setup_receiver::<AesGcm128, HkdfSha256, Kem>(
        &OpModeR::Base,
        &key,
        &encapsulated,
        &bytes("info"),
    )
    .unwrap();
    assert_eq!(
        context.open(&bytes("ct"), &bytes("aad")).unwrap(),
        bytes("pt")
    );
    let mut exported = [0; 32];
    context.export(b"", &mut exported).unwrap();
    assert_eq!(exported.as_slice(), bytes("exported"));
}
