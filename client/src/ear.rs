//! An appraisal as others' programs read it: an EAT attestation result (EAR, draft-ietf-rats-ear-04)
//! in a JWT (RFC 7519) that this person signs with EdDSA (RFC 8037).
//!
//! It says what this verifier found, and is worth as much as whoever signed it: a relying party that
//! can appraise evidence itself has no use for it. The trustworthiness vector is AR4SI's
//! (draft-ietf-rats-ar4si): a claim that nothing was found about is left out.

use std::{io::Write as _, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::Signer as _;
use mc2_attestation::{Check, Interval, Outcome, Tee, UnixSeconds};
use mc2_protocol::{Digest, Identity, documents::record::Nonce, encoding::to_json};
use serde_json::{Map, Value, json};

use crate::{
    checks,
    files::{FileError, Staged, failed},
};

/// The profile of the draft that this follows.
pub const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";

/// What an appraisal found, to be told to others.
#[derive(Clone, Copy)]
pub struct Verdict<'a> {
    /// What was appraised, by the name that it has in the result.
    pub of: &'a str,
    /// Its kind of enclave, where that is known.
    pub tee: Option<Tee>,
    /// Every check that was made.
    pub checks: &'a [Check],
    /// The policy it was appraised against, and whether that lists the machines it may be on.
    pub policy: Option<(&'a Digest, bool)>,
    /// The nonce the evidence was asked for with.
    pub nonce: Option<&'a Nonce>,
    /// What the evidence says, where its signatures are good.
    pub claims: Option<&'a Value>,
    /// As of when it was appraised.
    pub appraised: UnixSeconds,
    /// How long the evidence's own checks come out as they did.
    pub holds: Interval,
    /// When the result is signed, by this machine's clock.
    pub issued: UnixSeconds,
}

impl Verdict<'_> {
    /// The result, signed by `verifier`: a JWT in its compact form.
    pub fn to_jwt(&self, verifier: &Identity) -> String {
        let header = json!({
            "alg": "EdDSA",
            "typ": "eat+jwt",
            "kid": verifier.card().digest(),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(to_json(value));
        let signed = format!("{}.{}", part(&header), part(&self.payload()));
        let signature = verifier.signing_key().sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// Writes it to the file `path`, signed by `verifier`.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, verifier: &Identity, path: &Path) -> Result<(), FileError> {
        let mut staged = Staged::create(path, 0o666)?;
        let written = staged.file().write_all(self.to_jwt(verifier).as_bytes());
        written.map_err(failed("write", path))?;
        staged.publish()
    }

    fn payload(&self) -> Value {
        let mut appraisal = json!({
            "ear_status": self.status(),
            "ear_trustworthiness_vector": self.vector(),
            "ear_verifier_claims": {
                "appraised": self.appraised.0,
                "checks": checks::to_json(self.checks),
                "compared": self.is_compared(),
            },
        });
        if let Some((policy, _)) = self.policy {
            appraisal["ear_appraisal_policy_ids"] = json!([format!("urn:mc2:policy:{policy}")]);
        }
        if let Some(claims) = self.claims {
            appraisal["ear_attester_claims"] = claims.clone();
        }
        let mut result = json!({
            "eat_profile": PROFILE,
            "iat": self.issued.0,
            "ear_verifier_id": {
                "developer": "MC2",
                "build": concat!("mc2-client ", env!("CARGO_PKG_VERSION")),
            },
            "submods": { self.of: appraisal },
        });
        if let Some(expiry) = self.expiry() {
            result["exp"] = json!(expiry);
        }
        if let Some(nonce) = self.nonce {
            result["eat_nonce"] = json!(URL_SAFE_NO_PAD.encode(nonce.0));
        }
        result
    }

    /// The last second of the verdict. What holds at no time was refused, and that does not lapse.
    fn expiry(&self) -> Option<u64> {
        let Interval { from, until } = self.holds;
        (from <= until && until.0 != u64::MAX).then_some(until.0)
    }

    /// Whether what was started was found among reference values. Everything else is true of an
    /// enclave of the attacker's own.
    fn is_compared(&self) -> bool {
        self.outcome(&["measurement"]) == Some(Outcome::Passed)
    }

    /// No better than the worst of the vector; an appraisal with any check that did not pass affirms
    /// nothing, and nor does one that compared the measurement with nothing.
    fn status(&self) -> &'static str {
        let passed = self.checks.iter().all(Check::has_passed);
        let worst = self.vector().values().filter_map(Value::as_i64).max();
        match worst {
            _ if !passed || self.checks.is_empty() || self.is_simulated() => CONTRAINDICATED,
            Some(96..) => CONTRAINDICATED,
            Some(32..) => WARNING,
            _ if !self.is_compared() => WARNING,
            _ => AFFIRMING,
        }
    }

    fn vector(&self) -> Map<String, Value> {
        let claims = [
            ("instance-identity", self.instance_identity()),
            ("configuration", self.configuration()),
            ("executables", self.executables()),
            ("hardware", self.hardware()),
            ("runtime-opaque", self.runtime_opaque()),
        ];
        let claims = claims.into_iter();
        claims
            .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))))
            .collect()
    }

    /// 2: one that was expected; 97: another.
    fn instance_identity(&self) -> Option<i8> {
        match (self.outcome(&["platform"])?, self.policy) {
            (Outcome::Passed, Some((_, true))) => Some(2),
            (Outcome::Failed, _) => Some(97),
            _ => None,
        }
    }

    /// 2: set up as is accepted; 96: not.
    fn configuration(&self) -> Option<i8> {
        judged(
            self.outcome(&["platform-configuration", "snp-migration", "td-attributes"])?,
            2,
            96,
        )
    }

    /// 2: what was started is known and good; 96: it is not.
    fn executables(&self) -> Option<i8> {
        judged(self.outcome(&["measurement"])?, 2, 96)
    }

    /// 2: genuine and up to date; 32: genuine, with known weaknesses that were accepted; 96: with ones
    /// that were not; 97: no hardware that is known; 99: not genuine.
    fn hardware(&self) -> Option<i8> {
        if self.is_simulated() {
            return Some(97);
        }
        match self.outcome(&SIGNATURES)? {
            Outcome::Passed => {}
            Outcome::Failed => return Some(99),
            Outcome::NotReached => return None,
        }
        let tcb = self.checks.iter().find(|check| check.id == "tcb")?;
        match tcb.outcome {
            Outcome::Passed if tcb.found.split(',').next() == Some("UpToDate") => Some(2),
            Outcome::Passed => Some(32),
            Outcome::Failed => Some(96),
            Outcome::NotReached => None,
        }
    }

    /// 2: nobody outside can look into it; 96: somebody can.
    fn runtime_opaque(&self) -> Option<i8> {
        if self.is_simulated() {
            return Some(96);
        }
        let debug = [
            "debug",
            "snp-debug",
            "nitro-debug",
            "snp-vmpl",
            "service-td",
        ];
        judged(self.outcome(&debug)?, 2, 96)
    }

    fn is_simulated(&self) -> bool {
        self.tee == Some(Tee::Sim)
    }

    /// What came of these checks together: the worst of those that were made of them.
    fn outcome(&self, ids: &[&str]) -> Option<Outcome> {
        let made = self.checks.iter().filter(|check| ids.contains(&check.id));
        let worse = |one, other| match (one, other) {
            (Outcome::Failed, _) | (_, Outcome::Failed) => Outcome::Failed,
            (Outcome::NotReached, _) | (_, Outcome::NotReached) => Outcome::NotReached,
            (Outcome::Passed, Outcome::Passed) => Outcome::Passed,
        };
        made.map(|check| check.outcome).reduce(worse)
    }
}

const AFFIRMING: &str = "affirming";
const WARNING: &str = "warning";
const CONTRAINDICATED: &str = "contraindicated";

/// The checks that evidence is its hardware's.
const SIGNATURES: [&str; 7] = [
    "quote-signature",
    "snp-chain",
    "snp-signature",
    "nitro-chain",
    "nitro-signature",
    "vtpm-key",
    "vtpm-quote",
];

const fn judged(outcome: Outcome, good: i8, bad: i8) -> Option<i8> {
    match outcome {
        Outcome::Passed => Some(good),
        Outcome::Failed => Some(bad),
        Outcome::NotReached => None,
    }
}
