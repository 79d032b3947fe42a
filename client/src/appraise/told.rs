//! An answer in words, for people and for programs.

use std::{fmt::Write as _, time::SystemTime};

use mc2_attestation::{
    Interval, UnixSeconds,
    claims::{Claims, Hardware},
};
use serde_json::{Value, json};

use super::Answer;
use crate::{checks, ear::Verdict, exit::Exit, unix_seconds};

const NOTHING_COMPARED: &str = "with nothing: without --reference, nothing says whether what was \
                                measured is any good";

impl Answer {
    /// How a command ends by it: well only if every check passed.
    pub fn exit(&self) -> Exit {
        if self.judgement.has_passed() {
            Exit::Success
        } else {
            Exit::AttestationRefused
        }
    }

    /// In words for people.
    pub fn to_text(&self) -> String {
        let judgement = &self.judgement;
        let mut text = format!(
            "{}, as of {}\n",
            self.question.subject.title(),
            self.question.now
        );
        text.push_str(&checks::to_text(&judgement.checks));
        if let Some(claims) = &judgement.claims {
            text.push_str("it says\n");
            for (name, value) in stated(claims) {
                // Writing into a string does not fail.
                let _ = writeln!(text, "  {name:<14}{value}");
            }
        }
        let compared = if self.compared {
            "with the reference values given"
        } else {
            NOTHING_COMPARED
        };
        let verdict = if judgement.has_passed() {
            "every check passed"
        } else {
            "REFUSED"
        };
        let _ = write!(
            text,
            "holds     {}\ncompared  {compared}\nverdict   {verdict}\n",
            judgement.holds
        );
        text
    }

    /// What was found, to be told to others: `claims` as [`Answer::claims`] gives them, and when it is
    /// signed.
    pub fn to_ear<'a>(&'a self, claims: Option<&'a Value>, issued: SystemTime) -> Verdict<'a> {
        Verdict {
            of: self.question.subject.as_str(),
            tee: self.question.subject.tee(),
            checks: &self.judgement.checks,
            policy: None,
            nonce: None,
            claims,
            appraised: self.question.now,
            holds: self.judgement.holds,
            issued: UnixSeconds(unix_seconds(issued)),
        }
    }

    /// What the evidence says, where its signatures are good.
    pub fn claims(&self) -> Option<Value> {
        self.judgement.claims.as_ref().map(claims_json)
    }

    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        let judgement = &self.judgement;
        let exit = self.exit();
        let end = |end: UnixSeconds| (end.0 != u64::MAX).then_some(end.0);
        let Interval { from, until } = judgement.holds;
        json!({
            "version": 1,
            "status": if judgement.has_passed() { "passed" } else { "refused" },
            "exit_code": exit.code(),
            "tee": self.question.subject.as_str(),
            "now": self.question.now.0,
            "checks": checks::to_json(&judgement.checks),
            "claims": self.claims(),
            "holds": (from <= until).then(|| json!({ "from": from.0, "until": end(until) })),
            "compared": self.compared,
        })
    }
}

/// What claims say, by the names people see.
fn stated(claims: &Claims) -> Vec<(String, String)> {
    let mut lines = vec![
        ("measurement".to_owned(), claims.measurement.to_string()),
        (
            "report data".to_owned(),
            hex::encode(claims.report_data.as_bytes()),
        ),
    ];
    if let Some(hardware) = &claims.hardware {
        let ids: Vec<String> = hardware.platforms.iter().map(ToString::to_string).collect();
        lines.push(("TCB status".to_owned(), hardware.tcb.to_string()));
        lines.push(("advisories".to_owned(), or_none(&hardware.advisories)));
        lines.push((
            "debug".to_owned(),
            if hardware.debug { "on" } else { "off" }.to_owned(),
        ));
        lines.push(("platform".to_owned(), or_none(&ids)));
        lines.push(("host data".to_owned(), hex::encode(&hardware.host_data)));
        for register in &hardware.registers {
            lines.push((register.name.clone(), hex::encode(&register.value)));
        }
    }
    lines
}

fn or_none(words: &[String]) -> String {
    if words.is_empty() {
        return "none".to_owned();
    }
    words.join(", ")
}

fn claims_json(claims: &Claims) -> Value {
    json!({
        "measurement": claims.measurement.to_string(),
        "report_data": hex::encode(claims.report_data.as_bytes()),
        "hardware": claims.hardware.as_ref().map(hardware_json),
    })
}

fn hardware_json(hardware: &Hardware) -> Value {
    let ids = hardware.platforms.iter().map(ToString::to_string);
    let registers = hardware
        .registers
        .iter()
        .map(|register| json!({ "name": register.name, "value": hex::encode(&register.value) }));
    json!({
        "platforms": ids.collect::<Vec<_>>(),
        "tcb": hardware.tcb.to_string(),
        "advisories": hardware.advisories,
        "debug": hardware.debug,
        "host_data": hex::encode(&hardware.host_data),
        "registers": registers.collect::<Vec<_>>(),
    })
}
