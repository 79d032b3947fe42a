//! Real documents with the verdicts that `docs/attestation.md` tells, and forged ones that are
//! wrong in one way each.

use coset::{cbor::value::Value, iana};

use crate::{
    Tee, UnixSeconds,
    claims::ReportData,
    tee::Roots,
    test_util::{
        forger::{self, Nitro},
        samples::shared,
        trial::Trial,
    },
};

type Change = fn(&mut Nitro);

fn forged(change: impl FnOnce(&mut Nitro)) -> Trial {
    let mut nitro = Nitro::genuine();
    change(&mut nitro);
    let forged = nitro.sign(&[7; 64]);
    Trial {
        roots: Nitro::roots(),
        ..Trial::new(Tee::Nitro, forged.evidence.value.0, forger::NOW.0)
    }
}

/// The table of `docs/attestation.md`.
#[test]
fn real_documents_get_their_verdicts() {
    for (name, now, failed) in [
        ("eu-central-1-2025.cose", 1_736_179_625, vec![]),
        (
            "debug-mode-attestation-doc-bytes",
            1_665_582_606,
            vec!["nitro-debug"],
        ),
    ] {
        let Some(document) = shared(&format!("nitro/{name}")) else {
            return;
        };
        let sample = Trial::new(Tee::Nitro, document, now);
        assert_eq!(sample.failed(), failed, "{name}");
        sample.withstands("nitro-dates", "nitro-chain", &Nitro::roots());
    }
}

#[test]
fn a_real_document_tells_its_registers() {
    let Some(document) = shared("nitro/eu-central-1-2025.cose") else {
        return;
    };
    let claims = Trial::new(Tee::Nitro, document, 1_736_179_625)
        .verify()
        .claims
        .unwrap();
    assert!(claims.measurement.to_string().starts_with("8bb159f202bb"));
    // Nobody asked it to sign anything.
    assert_eq!(claims.report_data, ReportData::Bytes(Vec::new()));
    let hardware = claims.hardware.unwrap();
    assert_eq!(hardware.registers.len(), 16);
    assert_eq!(hardware.registers[4].name, "PCR4");
    assert!(hardware.platforms.is_empty() && !hardware.debug);
}

#[test]
fn a_forged_document_passes_under_its_root_alone() {
    let good = forged(|_| ());
    assert_eq!(good.failed(), [""; 0]);
    let claims = good.verify().claims.unwrap();
    assert!(claims.report_data.is(&[7; 64]));
    good.withstands("nitro-", "nitro-chain", &Roots::default());
}

#[test]
fn the_register_of_the_tenant_is_host_data() {
    let host_data = |sample: Trial| {
        let claims = sample.verify().claims.unwrap();
        claims.hardware.unwrap().host_data
    };
    assert_eq!(host_data(forged(|_| ())), [0; 48]);
    let locked = forged(|nitro| nitro.pcrs.push((16, vec![9; 48])));
    assert_eq!(host_data(locked), [9; 48]);
}

/// Row 8: in debug mode the registers that measure the image are zero, or they are left out.
#[test]
fn a_document_of_an_enclave_in_debug_mode_is_refused() {
    for index in 0..3 {
        let zero = forged(|nitro| nitro.pcrs[index].1 = vec![0; 48]);
        assert_eq!(zero.failed(), ["nitro-debug"], "PCR{index} is zero");
        let gone = forged(|nitro| {
            nitro.pcrs.remove(index);
        });
        assert_eq!(gone.failed(), ["nitro-debug"], "PCR{index} is not there");
    }
}

/// Row 8: QEMU's document names no algorithm that signs, and its signature is zeros.
#[test]
fn an_unsigned_document_is_refused() {
    let qemu = forged(|nitro| {
        nitro.algorithm = iana::Algorithm::Direct;
        nitro.unsigned = true;
    });
    assert_eq!(qemu.refused_by(), "nitro-document");
    let weak = forged(|nitro| nitro.algorithm = iana::Algorithm::ES256);
    assert_eq!(weak.refused_by(), "nitro-document");
    let zeros = forged(|nitro| nitro.unsigned = true);
    assert_eq!(zeros.refused_by(), "nitro-signature");
    assert!(zeros.verify().claims.is_none());
}

#[test]
fn one_wrong_field_of_a_nitro_document_is_refused_by_its_check() {
    let changes: [(&str, Change); 13] = [
        ("nitro-document", |nitro| nitro.digest = "SHA256".to_owned()),
        ("nitro-document", |nitro| nitro.module_id.clear()),
        ("nitro-document", |nitro| nitro.timestamp = 0),
        ("nitro-document", |nitro| nitro.pcrs[5].1 = vec![1; 32]),
        ("nitro-document", |nitro| nitro.pcrs[5].0 = 4),
        ("nitro-document", |nitro| nitro.pcrs[5].0 = 32),
        ("nitro-document", |nitro| {
            nitro.extra = vec![("digest".to_owned(), Value::Text("SHA384".to_owned()))];
        }),
        ("nitro-document", |nitro| {
            let field = |number: u8| (format!("field {number}"), Value::Null);
            nitro.extra = (0..8).map(field).collect();
        }),
        ("nitro-document", |nitro| nitro.key_id = vec![1]),
        ("nitro-chain", |nitro| nitro.signer_is_authority = true),
        ("nitro-chain", |nitro| nitro.longer = true),
        ("nitro-dates", |nitro| {
            nitro.holds.until = UnixSeconds(forger::NOW.0 - 1);
        }),
        ("nitro-timestamp", |nitro| nitro.timestamp += 4 * 3_600_000),
    ];
    for (index, (id, change)) in changes.into_iter().enumerate() {
        assert_eq!(forged(change).refused_by(), id, "change {index}");
    }
    // The one that is too long is good where more may follow.
    let longer = forged(|nitro| {
        nitro.longer = true;
        nitro.path_len = 1;
    });
    assert_eq!(longer.failed(), [""; 0]);
}

#[test]
fn a_document_in_another_spelling_is_refused() {
    // The payload's length in four bytes, where two do.
    let good = forged(|_| ());
    let at = good
        .evidence
        .windows(2)
        .position(|pair| pair == [0xa0, 0x59])
        .unwrap()
        + 1;
    let mut spelt = good;
    let len = spelt.evidence[at + 1..at + 3].to_vec();
    let long = [vec![0x5a, 0, 0], len].concat();
    spelt.evidence.splice(at..at + 3, long);
    assert_eq!(spelt.refused_by(), "nitro-document");
}
