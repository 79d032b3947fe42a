//! Contexts, HPKE, cards and signed documents.

use ed25519_dalek::SigningKey;
use mc2_protocol::{
    SecretKey,
    crypto::{hpke::PrivateKey, label},
    documents::{broker::BrokerCard, dsse::Envelope, replacement::Replacement},
    encoding::to_json,
};
use mc2_tests::counting;
use serde_json::{Value, json};

use crate::inputs::{alice, bob, party, text};

pub(crate) fn contexts() -> Value {
    let vector = |label: &str, parts: &[&[u8]]| {
        let hex_parts: Vec<String> = parts.iter().map(hex::encode).collect();
        let bytes = hex::encode(label::context(label, parts));
        json!({ "label": label, "parts": hex_parts, "bytes": bytes })
    };
    json!([
        vector(label::CARD, &[]),
        vector(label::CARD, &[b""]),
        vector(label::OWNER_KEY, &[b"ab", b"c"]),
        vector(label::OWNER_KEY, &[b"a", b"bc"]),
        vector(label::REPORT_DATA, &[&[0; 300]]),
    ])
}

pub(crate) fn hpke() -> Value {
    let vector = |seed: u8, info: &[u8], plaintext: &[u8], exporter_context: &[u8]| {
        let key = PrivateKey::from_seed(SecretKey::from_bytes([seed; 32]));
        let public = key.public_key();
        let rng = &mut counting(seed);
        let (sealed, exported) =
            public.seal_with_answer_key(info, plaintext, exporter_context, rng);
        json!({
            "seed": hex::encode([seed; 32]),
            "randomness_starts_at": seed,
            "public_key": hex::encode(public.as_bytes()),
            "info": hex::encode(info),
            "plaintext": hex::encode(plaintext),
            "exporter_context": hex::encode(exporter_context),
            "sealed": sealed,
            "exported": hex::encode(exported.expose()),
        })
    };
    json!([
        vector(1, b"", b"", b""),
        vector(2, b"purpose", b"secret", b"mc2/v1/answer"),
        vector(200, &[0xff; 100], &[0x5a; 1000], b"other"),
    ])
}

pub(crate) fn cards() -> Value {
    let vector = |name: &str, seed: u8| {
        let identity = party(name, seed);
        let card = identity.card();
        json!({
            "name": name,
            "signing_seed": hex::encode([seed; 32]),
            "private_seed": hex::encode([seed + 1; 32]),
            "identity": identity.to_text().to_string(),
            "card": card.to_string(),
            "digest": card.digest(),
            "fingerprint": card.fingerprint(),
        })
    };
    json!([
        vector("a", 1),
        vector("bank-a", 0x10),
        vector(&"x".repeat(64), 0x7f)
    ])
}

pub(crate) fn brokers() -> Value {
    let (owner, broker, other) = (alice(), party("broker-a", 0x50), bob());
    let signed = BrokerCard::sign(broker.card().clone(), &owner);
    assert_eq!(signed.signed_by(owner.card()).unwrap(), broker.card());
    json!([{
        "owner": owner.to_text().to_string(),
        "other": other.card().to_string(),
        "card": broker.card().to_string(),
        "broker": signed.to_string(),
    }])
}

pub(crate) fn replacements() -> Value {
    let vector = |name: &str, old: u8, new: u8| {
        let (old_party, new_party) = (party(name, old), party(name, new));
        let signed = Replacement::sign(&old_party, new_party.card()).unwrap();
        json!({
            "old": old_party.to_text().to_string(),
            "new": new_party.to_text().to_string(),
            "replacement": signed.to_string(),
        })
    };
    json!([vector("a", 1, 3), vector("bank-a", 0x10, 0x20)])
}

pub(crate) fn dsse() -> Value {
    let vector = |payload_type: &str, payload: &[u8]| {
        let key = SigningKey::from_bytes(&[0x40; 32]);
        let envelope = Envelope::sign(payload_type, payload.to_vec(), &key);
        json!({
            "seed": hex::encode(key.to_bytes()),
            "public_key": hex::encode(key.verifying_key().as_bytes()),
            "payload_type": payload_type,
            "payload": hex::encode(payload),
            "envelope": text(&to_json(&envelope)),
        })
    };
    json!([
        vector("http://example.com/HelloWorld", b"hello world"),
        vector("application/vnd.mc2.message.v1+json", b""),
    ])
}
