//! Real quotes with the verdicts that `docs/attestation.md` tells, and forged ones that are wrong
//! in one way each.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use mc2_protocol::{
    encoding::{Base64, to_json},
    evidence::CERTIFICATE_TYPE,
    policy::{Policy, TcbStatus},
};
use serde_json::{Value, json};

use crate::{
    Endorsement, Judgement, Tee, UnixSeconds,
    claims::{ReportData, Tcb},
    judge_tpm_quote,
    tee::{Accepted, Roots},
    test_util::{
        factory,
        forger::{self, Snp, Vtpm},
        samples::shared,
        timestamper::Timestamper,
        trial::Trial,
    },
};

/// Where Azure's HCL report has the hardware's, and the paravisor's statement after its lengths.
const REPORT: usize = 32;
const REPORT_LEN: usize = 1184;
const STATEMENT: usize = REPORT + REPORT_LEN + 20;

type Change = fn(&mut Vtpm);

fn forged(change: impl FnOnce(&mut Vtpm)) -> Trial {
    let mut vtpm = Vtpm::genuine();
    change(&mut vtpm);
    let forged = vtpm.sign(&[7; 64]);
    Trial {
        endorsements: forged.endorsements,
        roots: Vtpm::roots(),
        ..Trial::new(Tee::AzureVtpm, forged.evidence.value.0, forger::NOW.0)
    }
}

/// Bytes as the samples have them: numbers, hexadecimal digits or base64.
fn bytes(value: &Value) -> Vec<u8> {
    if let Some(numbers) = value.as_array() {
        let byte = |number: &Value| u8::try_from(number.as_u64().unwrap()).unwrap();
        return numbers.iter().map(byte).collect();
    }
    let text = value.as_str().unwrap();
    hex::decode(text)
        .ok()
        .or_else(|| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok())
        .unwrap_or_else(|| STANDARD.decode(text).unwrap())
}

/// A real sample in our layout, for which AMD's revocation list of its time is not at hand.
fn real(name: &str) -> Option<Trial> {
    let file = shared(&format!("azure-vtpm/{name}.json"))?;
    let sample: Value = serde_json::from_slice(&file).unwrap();
    let either = |one: &str, other: &str| sample.get(one).or_else(|| sample.get(other)).cloned();
    let quote = either("quote", "tpm_quote").unwrap();
    let hcl = bytes(&either("report", "hcl_report").unwrap());
    let len = hcl[STATEMENT - 4..STATEMENT].try_into().unwrap();
    let len = usize::try_from(u32::from_le_bytes(len)).unwrap();
    let (beneath, report) = match sample.get("td_quote") {
        Some(quote) => ("tdx", bytes(quote)),
        None => ("sev-snp", hcl[REPORT..REPORT + REPORT_LEN].to_vec()),
    };
    let pcrs = quote["pcrs"].as_array().unwrap().iter();
    let evidence = to_json(&json!({
        "version": 1,
        "beneath": beneath,
        "report": Base64(report),
        "runtime_data": Base64(hcl[STATEMENT..STATEMENT + len].to_vec()),
        "quote": Base64(bytes(&quote["message"])),
        "signature": Base64(bytes(&quote["signature"])),
        "pcrs": pcrs.map(|pcr| hex::encode(bytes(pcr))).collect::<Vec<String>>(),
    }));
    let trial = Trial {
        accepted: Accepted {
            missing_crl: true,
            ..Accepted::default()
        },
        ..Trial::new(Tee::AzureVtpm, evidence, 1_750_000_000)
    };
    Some(match sample.get("vcek").and_then(Value::as_str) {
        Some(vcek) => {
            let base64: String = vcek
                .lines()
                .filter(|line| !line.starts_with("-----"))
                .collect();
            trial.with("application/pkix-cert", bytes(&Value::String(base64)))
        }
        None => trial,
    })
}

/// The table of `docs/attestation.md`.
#[test]
fn real_quotes_get_their_verdicts() {
    for name in [
        "azsnp-evidence-v0",
        "azsnp-evidence-v1",
        "azsnp-evidence-v2",
    ] {
        let Some(trial) = real(name) else { return };
        assert_eq!(trial.failed(), [""; 0], "{name}");
        let hardware = trial.verify().claims.unwrap().hardware.unwrap();
        assert_eq!(hardware.tcb, Tcb::Known(TcbStatus::OutOfDate), "{name}");
        trial.withstands("snp-dates", "snp-chain", &Snp::roots());
    }
    let Some(tdx) = real("aztdx-evidence-v0") else {
        return;
    };
    assert_eq!(tdx.refused_by(), "collateral");
    assert!(tdx.verify().claims.is_none());
}

/// The real sample of a TPM with nothing beneath, in our layout.
fn plain() -> Option<Value> {
    let file = shared("azure-vtpm/tpm_evidence.json")?;
    let sample: Value = serde_json::from_slice(&file).unwrap();
    let quote = &sample["tpm_quote"];
    let pcrs = quote["pcrs"].as_array().unwrap().iter();
    Some(json!({
        "version": 1,
        "quote": Base64(bytes(&quote["message"])),
        "signature": Base64(bytes(&quote["signature"])),
        "key": Base64(bytes(&sample["ak_public"])),
        "pcrs": pcrs.map(|pcr| hex::encode(bytes(pcr))).collect::<Vec<String>>(),
    }))
}

fn judged(evidence: &Value, endorsements: &[Endorsement]) -> Judgement {
    judge_tpm_quote(&to_json(evidence), endorsements, forger::NOW)
}

/// The lines that refuse.
fn failed(judged: &Judgement) -> Vec<&'static str> {
    let checks = judged.checks.iter().filter(|check| !check.has_passed());
    checks.map(|check| check.id).collect()
}

/// A plain TPM's quote is shown: its registers, and that nobody said whose key signed it.
#[test]
fn a_real_quote_with_nothing_beneath_is_shown() {
    let Some(evidence) = plain() else { return };
    let found = judged(&evidence, &[]);
    assert_eq!((found.tee, failed(&found)), (None, vec!["tpm-key"]));
    let hardware = found.claims.unwrap().hardware.unwrap();
    assert_eq!(hardware.registers.len(), 24);
    assert!(hardware.debug && hardware.platforms.is_empty());
    assert_eq!(hardware.tcb.status(), None);
    for (field, at, line) in [
        ("quote", 60, "tpm-quote"),
        ("signature", 40, "tpm-quote"),
        ("key", 80, "tpm-quote"),
    ] {
        let mut altered = bytes(&evidence[field]);
        altered[at] ^= 1;
        let mut evidence = evidence.clone();
        evidence[field] = json!(Base64(altered));
        let found = judged(&evidence, &[]);
        assert_eq!(failed(&found)[0], line, "{field}");
        assert!(found.claims.is_none(), "{field}");
    }
    let mut pcrs = evidence.clone();
    pcrs["pcrs"][23] = json!("11".repeat(32));
    let found = judged(&pcrs, &[]);
    assert_eq!(failed(&found), ["tpm-pcrs", "tpm-key"]);
    assert!(found.claims.is_none());
    pcrs["pcrs"].as_array_mut().unwrap().pop();
    assert_eq!(failed(&judged(&pcrs, &[]))[0], "tpm-evidence");
}

/// It passes where somebody certifies its key, on P-256 here, and only while that is good.
#[test]
fn a_plain_quote_passes_by_a_certificate_of_its_key_alone() {
    let authority = Timestamper::new(b"");
    let quoted = Vtpm::genuine().quote(b"asked");
    std::fs::write(authority.path().join("quote"), &quoted).unwrap();
    let arguments = "dgst -sha256 -sign signer.key -out signature quote";
    assert!(authority.openssl(arguments));
    assert!(authority.openssl("pkey -in signer.key -pubout -outform DER -out key"));
    for name in ["signer", "root"] {
        let arguments = format!("x509 -in {name}.pem -outform DER -out {name}.der");
        assert!(authority.openssl(&arguments));
    }
    // No purpose beside: a critical one that is not a TPM's is not understood.
    authority.certify("signer", "root", "no-purpose", 3650);
    assert!(authority.openssl("x509 -in signer.pem -outform DER -out signer.der"));
    let signature = p256::ecdsa::Signature::from_der(&authority.read("signature")).unwrap();
    let (r, s) = signature.split_bytes();
    let signature = [&[0, 0x18, 0, 0x0b, 0, 32], &r[..], &[0, 32], &s[..]].concat();
    let evidence = json!({
        "version": 1,
        "quote": Base64(quoted),
        "signature": Base64(signature),
        "key": Base64(authority.read("key")),
        "pcrs": (1..=24).map(|byte: u8| hex::encode([byte; 32])).collect::<Vec<String>>(),
    });
    let certificate = |name: &str| Endorsement {
        media_type: CERTIFICATE_TYPE.to_owned(),
        value: authority.read(name).into(),
    };
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs()
        + 60;
    let at = |name: &str, now| {
        let found = judge_tpm_quote(&to_json(&evidence), &[certificate(name)], UnixSeconds(now));
        (failed(&found), found.claims.is_some())
    };
    assert_eq!(at("signer.der", now), (vec![], true));
    assert_eq!(at("root.der", now), (vec!["tpm-key"], true));
    for now in [now - 86_400, now + 3660 * 86_400] {
        assert_eq!(at("signer.der", now), (vec!["tpm-key"], true));
    }
}

/// Nothing that a policy can name is a TPM with nothing beneath, and its quote is evidence of no kind
/// of enclave.
#[test]
fn no_policy_lists_a_tpm_with_nothing_beneath() {
    for name in ["tpm", "vtpm", "tpm2"] {
        assert!(name.parse::<Tee>().is_err(), "{name}");
        let policy = factory::policy(&format!("[\"{name}\"]"));
        let refused = Policy::parse(policy.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(name), "{refused}");
    }
    let Some(evidence) = plain() else { return };
    let mut trial = forged(|_| ());
    trial.evidence = to_json(&evidence);
    assert_eq!(trial.refused_by(), "vtpm-evidence");
}

/// A quote counts only over the report that commits to its key.
#[test]
fn a_real_quote_over_another_machines_report_is_refused() {
    let (Some(one), Some(other)) = (real("azsnp-evidence-v1"), real("azsnp-evidence-v2")) else {
        return;
    };
    let parse = |trial: &Trial| -> Value { serde_json::from_slice(&trial.evidence).unwrap() };
    let swapped = |fields: &[&str]| {
        let mut evidence = parse(&one);
        for field in fields {
            evidence[field] = parse(&other)[field].take();
        }
        Trial {
            evidence: to_json(&evidence),
            ..one.clone()
        }
    };
    let quote = swapped(&["quote", "signature", "pcrs"]);
    assert_eq!(quote.refused_by(), "vtpm-quote");
    let statement = swapped(&["quote", "signature", "pcrs", "runtime_data"]);
    assert_eq!(statement.refused_by(), "vtpm-key");
    let pcrs = swapped(&["pcrs"]);
    assert_eq!(pcrs.refused_by(), "vtpm-pcrs");
    for refused in [quote, statement, pcrs] {
        assert!(refused.verify().claims.is_none());
    }
}

#[test]
fn a_forged_quote_passes_under_its_root_alone() {
    let good = forged(|_| ());
    assert_eq!(good.failed(), [""; 0]);
    let claims = good.verify().claims.unwrap();
    assert!(matches!(claims.report_data, ReportData::Sha256(_)));
    assert!(claims.report_data.is(&[7; 64]));
    let hardware = claims.hardware.unwrap();
    assert_eq!(hardware.host_data, [15; 32]);
    assert_eq!(hardware.registers.len(), 26);
    assert_eq!(hardware.registers[0].value, [0x5a; 48]);
    good.withstands("snp-", "snp-chain", &Roots::default());
}

/// Rows 8 and 32: what the report beneath fails, the quote fails.
#[test]
fn the_report_beneath_is_held_to_all_its_checks() {
    let changes: [(&str, Change); 4] = [
        ("snp-debug", |vtpm| vtpm.snp.policy |= 1 << 19),
        ("snp-vmpl", |vtpm| vtpm.snp.vmpl = 2),
        ("snp-tcb", |vtpm| vtpm.snp.certified_tcb[3] -= 1),
        ("snp-crl", |vtpm| vtpm.snp.revocation_list = None),
    ];
    for (id, change) in changes {
        assert_eq!(forged(change).refused_by(), id);
    }
}

#[test]
fn one_wrong_field_of_vtpm_evidence_is_refused_by_its_check() {
    let changes: [(&str, Change); 10] = [
        ("vtpm-key", |vtpm| vtpm.last_byte = 1),
        ("vtpm-key", |vtpm| vtpm.keys = vec!["HCLEkPub"]),
        ("vtpm-key", |vtpm| vtpm.keys = vec!["HCLAkPub"; 2]),
        ("vtpm-quote", |vtpm| vtpm.other_key = true),
        ("vtpm-pcrs", |vtpm| vtpm.magic = 0),
        ("vtpm-pcrs", |vtpm| vtpm.kind = 0x8017),
        ("vtpm-pcrs", |vtpm| vtpm.selection.0 = 0x0004),
        ("vtpm-pcrs", |vtpm| vtpm.selection.1[0] = 0xfe),
        ("vtpm-pcrs", |vtpm| {
            let mut pcrs = vtpm.pcrs.clone();
            pcrs[23][31] ^= 1;
            vtpm.claimed_pcrs = Some(pcrs);
        }),
        ("vtpm-evidence", |vtpm| vtpm.pcrs.truncate(23)),
    ];
    for (index, (id, change)) in changes.into_iter().enumerate() {
        let trial = forged(change);
        assert_eq!(trial.refused_by(), id, "change {index}");
        assert!(trial.verify().claims.is_none(), "change {index}");
    }
}

/// Row 32: kernel, command line and initrd are among what is measured; where the VM's disks are is
/// not.
#[test]
fn what_boots_is_measured() {
    let measured = |change: fn(&mut Vtpm)| forged(change).verify().claims.unwrap().measurement;
    let good = measured(|_| ());
    for index in 0..24 {
        let mut vtpm = Vtpm::genuine();
        vtpm.pcrs[index][0] ^= 1;
        let other = forged(|forged| *forged = vtpm).verify().claims.unwrap();
        let counts = [0, 2, 4, 7, 8, 9, 11, 12, 13].contains(&index);
        assert_eq!(other.measurement != good, counts, "PCR{index}");
    }
    assert_ne!(measured(|vtpm| vtpm.snp.measurement[0] ^= 1), good);
}
