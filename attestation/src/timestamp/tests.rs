//! Tokens that `openssl ts` makes, and what `openssl ts -verify` says of them; and others, each wrong in
//! one thing, that `openssl cms` signs.

use std::{fs, time::SystemTime};

use super::*;
use crate::test_util::{
    forger::der,
    timestamper::{P256, P384, RSA, Timestamper},
};

const RECEIPT: &[u8] = b"a receipt";
const DAY: u64 = 86_400;

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    UnixSeconds(since.unwrap().as_secs())
}

fn roots_of(authority: &Timestamper, name: &str) -> TimestampRoots {
    TimestampRoots::parse(&authority.read(&format!("{name}.pem"))).unwrap()
}

/// Some seconds on, so that tokens of now have come.
fn soon() -> UnixSeconds {
    UnixSeconds(now().0 + 60)
}

/// TSTInfo over the receipt, by hash function and time as text.
fn info(hash: &[u64], time: &str) -> Vec<u8> {
    let digest = Hash::Sha256.of(RECEIPT);
    der::sequence(&[
        &der::integer(1),
        &der::oid(&[1, 2, 3, 4, 1]),
        &der::sequence(&[&der::sequence(&[&der::oid(hash)]), &der::octets(&digest)]),
        &der::integer(7),
        &der::element(0x18, time.as_bytes()),
    ])
}

const SHA256: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];

/// TSTInfo over the receipt at a time.
fn info_at(time: UnixSeconds) -> Vec<u8> {
    let text: String = time
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    info(SHA256, &format!("{text}Z"))
}

#[test]
fn a_token_of_openssl_s_dates_what_it_is_over() {
    let authority = Timestamper::empty(RECEIPT);
    authority.root("root", "root");
    authority.issue("between", "root", "root", 3650);
    for (kind, hash) in [(P256, "-sha256"), (P384, "-sha384"), (RSA, "-sha512")] {
        authority.key("signer", kind);
        authority.certify("signer", "between", "signer", 3650);
        let before = now();
        let reply = "-section ts -chain between.pem";
        let response = authority.respond("signer", &format!("{hash} -cert"), reply);
        let after = now();
        let roots = roots_of(&authority, "root");
        let found = verify(&response, RECEIPT, &roots, soon()).unwrap();
        // A second and a half of inexactness, in whole seconds.
        let expected = before.0 + 2..=after.0 + 2;
        assert!(expected.contains(&found.time.0), "{found:?} {expected:?}");
        assert_eq!(found.by, "CN=signer");
        assert!(found.holds.until.0 > now().0 + 3000 * DAY);
        assert!(authority.openssl_verifies(&response, "", "root", soon()));
        assert!(authority.openssl("ts -reply -in response -token_out -out token"));
        let token = authority.read("token");
        assert_eq!(verify(&token, RECEIPT, &roots, soon()), Ok(found.clone()));
        // The authority beneath the root may be named, too.
        let between = roots_of(&authority, "between");
        assert_eq!(
            verify(&token, RECEIPT, &between, soon()).unwrap().time,
            found.time
        );
    }
}

#[test]
fn a_token_over_something_else_or_of_somebody_else_is_refused() {
    let authority = Timestamper::new(RECEIPT);
    let response = authority.respond("signer", "-sha256 -cert", "-section ts");
    let roots = roots_of(&authority, "root");
    let other = verify(&response, b"another receipt", &roots, soon());
    assert!(
        matches!(other, Err(TimestampError::OtherMessage { .. })),
        "{other:?}"
    );
    // A root of the same name.
    let stranger = Timestamper::new(RECEIPT);
    let refused = verify(&response, RECEIPT, &roots_of(&stranger, "root"), soon());
    assert!(
        matches!(refused, Err(TimestampError::Root { .. })),
        "{refused:?}"
    );
    for (name, verifies) in [("root", true), ("stranger", false)] {
        fs::write(
            authority.path().join("stranger.pem"),
            stranger.read("root.pem"),
        )
        .unwrap();
        assert_eq!(
            authority.openssl_verifies(&response, "", name, soon()),
            verifies
        );
    }
    let without = authority.respond("signer", "-sha256", "-section ts");
    let refused = verify(&without, RECEIPT, &roots, soon());
    assert_eq!(refused, Err(TimestampError::NoCertificate));
}

/// RFC 3161, §2.3.
#[test]
fn only_a_certificate_for_timestamps_alone_dates_anything() {
    let authority = Timestamper::new(RECEIPT);
    let roots = roots_of(&authority, "root");
    for extensions in ["signer", "without-usage"] {
        authority.issue("good", "root", extensions, 3650);
        let token = authority.sign("good", &info_at(now()));
        assert!(
            verify(&token, RECEIPT, &roots, soon()).is_ok(),
            "{extensions}"
        );
        assert!(authority.openssl_verifies(&token, "-token_in", "root", soon()));
    }
    for extensions in [
        "no-purpose",
        "two-purposes",
        "not-critical",
        "encrypts",
        "issues",
    ] {
        authority.issue("bad", "root", extensions, 3650);
        let token = authority.sign("bad", &info_at(now()));
        let refused = verify(&token, RECEIPT, &roots, soon());
        assert!(
            matches!(refused, Err(TimestampError::Purpose { .. })),
            "{extensions} {refused:?}"
        );
        // OpenSSL lets a certificate issue others beside.
        let verifies = authority.openssl_verifies(&token, "-token_in", "root", soon());
        assert_eq!(verifies, extensions == "issues", "{extensions}");
    }
}

#[test]
fn certificates_must_be_good_at_the_token_s_time_and_now() {
    let authority = Timestamper::new(RECEIPT);
    authority.issue("brief", "root", "signer", 2);
    let roots = roots_of(&authority, "root");
    let token = authority.sign("brief", &info_at(now()));
    let at = |days: u64| UnixSeconds(now().0 + days * DAY + 60);
    for (days, good) in [(0, true), (1, true), (3, false)] {
        let found = verify(&token, RECEIPT, &roots, at(days));
        assert_eq!(found.is_ok(), good, "{days} {found:?}");
        assert!(good || matches!(found, Err(TimestampError::Dates { .. })));
        assert_eq!(
            authority.openssl_verifies(&token, "-token_in", "root", at(days)),
            good
        );
    }
    // From before there was such an authority.
    let early = authority.sign("brief", &info_at(UnixSeconds(now().0 - DAY)));
    let refused = verify(&early, RECEIPT, &roots, soon());
    assert!(
        matches!(refused, Err(TimestampError::Dates { .. })),
        "{refused:?}"
    );
    let late = authority.sign("brief", &info_at(UnixSeconds(now().0 + 3600)));
    let refused = verify(&late, RECEIPT, &roots, soon());
    assert!(
        matches!(refused, Err(TimestampError::ToCome { .. })),
        "{refused:?}"
    );
}

#[test]
fn an_authority_issues_no_further_and_for_nothing_else_than_it_may() {
    let authority = Timestamper::empty(RECEIPT);
    for (root, between, good) in [
        ("root", "root", true),
        ("short-root", "root", false),
        ("root", "other-root", false),
        ("root", "signer", false),
    ] {
        authority.root("root", root);
        authority.issue("between", "root", between, 3650);
        authority.issue("signer", "between", "signer", 3650);
        fs::copy(
            authority.path().join("between.pem"),
            authority.path().join("chain"),
        )
        .unwrap();
        fs::write(authority.path().join("info"), info_at(now())).unwrap();
        assert!(authority.openssl(
            "cms -sign -binary -nodetach -cades -md sha256 -econtent_type \
             1.2.840.113549.1.9.16.1.4 -in info -signer signer.pem -inkey signer.key -certfile \
             chain -outform DER -out token"
        ));
        let token = authority.read("token");
        let found = verify(&token, RECEIPT, &roots_of(&authority, "root"), soon());
        assert_eq!(found.is_ok(), good, "{root} {between} {found:?}");
        assert!(good || matches!(found, Err(TimestampError::Root { .. })));
        // OpenSSL does not ask what those above are for.
        let oracle = authority.openssl_verifies(&token, "-token_in", "root", soon());
        assert_eq!(oracle, good || between == "other-root", "{root} {between}");
    }
}

/// What is signed as something else, or not granted, or by a rule that nobody here knows, is no date.
#[test]
fn what_an_authority_did_not_mean_as_a_date_is_refused() {
    let authority = Timestamper::new(RECEIPT);
    let roots = roots_of(&authority, "root");
    let verify = |token: &[u8]| verify(token, RECEIPT, &roots, soon());
    let mut response = authority.respond("signer", "-sha256 -cert", "-section ts");
    let status = response
        .windows(5)
        .position(|bytes| bytes == [0x30, 3, 2, 1, 0]);
    response[status.unwrap() + 4] = 2;
    assert_eq!(verify(&response), Err(TimestampError::Refused));

    // Signed as another type of content, whose name is then replaced where it is not signed.
    fs::write(authority.path().join("info"), info_at(now())).unwrap();
    assert!(authority.openssl(
        "cms -sign -binary -nodetach -cades -md sha256 -econtent_type 1.2.840.113549.1.9.16.1.5 \
         -in info -signer signer.pem -inkey signer.key -outform DER -out token"
    ));
    let mut token = authority.read("token");
    let other = der::oid(&[1, 2, 840, 113_549, 1, 9, 16, 1, 5]);
    let at = token
        .windows(other.len())
        .position(|bytes| bytes == other)
        .unwrap();
    token[at + other.len() - 1] = 4;
    let refused = verify(&token);
    assert!(
        matches!(refused, Err(TimestampError::Malformed { .. })),
        "{refused:?}"
    );

    for critical in [false, true] {
        let extension = der::extension(&der::oid(&[1, 2, 3]), critical, &[5, 0]);
        let info = info_at(now());
        let info = [&info[2..], &der::element(0xa1, &extension)].concat();
        let token = authority.sign("signer", &der::element(0x30, &info));
        let found = verify(&token);
        assert_eq!(found.is_ok(), !critical, "{found:?}");
    }
}

/// A token with so many certificates that a search among them could take long.
#[test]
fn a_token_with_more_certificates_than_lead_anywhere_is_refused() {
    let authority = Timestamper::new(RECEIPT);
    let roots = roots_of(&authority, "root");
    let mut chain = Vec::new();
    for (number, good) in (1..=16).map(|number| (number, number < 16)) {
        authority.certify("root", "root", "root", 3650 + number);
        chain.extend(authority.read("root.pem"));
        if number < 15 {
            continue;
        }
        fs::write(authority.path().join("chain.pem"), &chain).unwrap();
        let reply = "-section ts -chain chain.pem";
        let token = authority.respond("signer", "-sha256 -cert", reply);
        let found = verify(&token, RECEIPT, &roots, soon());
        // One more is the signer's.
        assert_eq!(found.is_ok(), good, "{number} {found:?}");
        assert!(good || matches!(found, Err(TimestampError::Malformed { .. })));
    }
}

#[test]
fn hash_functions_with_collisions_date_nothing() {
    let authority = Timestamper::new(RECEIPT);
    let roots = roots_of(&authority, "root");
    let over = authority.respond("signer", "-sha1 -cert", "-section ts");
    let named = authority.respond("signer", "-sha256 -cert", "-section ts-sha1");
    for token in [over, named] {
        let refused = verify(&token, RECEIPT, &roots, soon());
        assert!(
            matches!(refused, Err(TimestampError::Hash { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_time_is_read_as_the_latest_that_it_may_be() {
    let authority = Timestamper::new(RECEIPT);
    let roots = roots_of(&authority, "root");
    let time = now();
    let text: String = time
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    for (fraction, later) in [("", 0), (".0", 0), (".001", 1), (".999999", 1)] {
        let token = authority.sign("signer", &info(SHA256, &format!("{text}{fraction}Z")));
        let found = verify(&token, RECEIPT, &roots, soon()).unwrap();
        assert_eq!(found.time.0, time.0 + later, "{fraction}");
    }
    for bad in ["", "Z", "+0100", ".x1Z", " Z"] {
        let token = authority.sign("signer", &info(SHA256, &format!("{text}{bad}")));
        let found = verify(&token, RECEIPT, &roots, soon());
        let good = bad == "Z";
        assert_eq!(found.is_ok(), good, "{bad:?} {found:?}");
    }
}

#[test]
fn a_token_that_is_cut_or_altered_dates_nothing_else() {
    let authority = Timestamper::new(RECEIPT);
    let roots = roots_of(&authority, "root");
    let token = authority.respond("signer", "-sha256 -cert", "-section ts");
    let good = verify(&token, RECEIPT, &roots, soon()).unwrap();
    for length in 0..token.len() {
        assert!(
            verify(&token[..length], RECEIPT, &roots, soon()).is_err(),
            "{length}"
        );
    }
    let longer = [&token[..], &[0]].concat();
    assert!(verify(&longer, RECEIPT, &roots, soon()).is_err());
    let mut unsigned = 0;
    for at in 0..token.len() {
        let mut altered = token.clone();
        altered[at] ^= 1 << (at % 8);
        if let Ok(found) = verify(&altered, RECEIPT, &roots, soon()) {
            assert_eq!(found, good, "{at}");
            unsigned += 1;
        }
    }
    // The issuer and number beside the signature, versions, and names of algorithms said twice.
    assert!(unsigned < 100, "{unsigned}");
}

/// A signature over attributes of another content: the content is not the one that was signed.
#[test]
fn a_content_that_was_not_signed_is_refused() {
    let authority = Timestamper::new(RECEIPT);
    let roots = roots_of(&authority, "root");
    let info = info_at(now());
    let token = authority.sign("signer", &info);
    let at = token
        .windows(info.len())
        .position(|bytes| bytes == info)
        .unwrap();
    let mut altered = token.clone();
    // The number of the token.
    altered[at + info.len() - 18] ^= 1;
    let refused = verify(&altered, RECEIPT, &roots, soon());
    assert!(
        matches!(refused, Err(TimestampError::Signature { .. })),
        "{refused:?}"
    );
    assert!(!authority.openssl_verifies(&altered, "-token_in", "root", soon()));
}

#[test]
fn roots_are_certificates_and_at_least_one() {
    let authority = Timestamper::new(RECEIPT);
    for bad in [&b""[..], b"hello", &authority.read("signer.key")] {
        let refused = TimestampRoots::parse(bad);
        assert!(
            matches!(refused, Err(TimestampError::Roots { .. })),
            "{refused:?}"
        );
    }
}
