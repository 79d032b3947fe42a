//! The event log of a register that a runtime extends: what went into it, in order. Nobody believes
//! it: whoever reads it computes each digest from the content and compares the register.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha384};

use crate::{
    Digest, VERSION,
    crypto::label,
    documents::receipt::{Endorsement, MAX_EVIDENCE_LEN},
    encoding::{Base64, JsonError, check_version, parse_json, to_json},
};

/// The event of a runtime that was started for one policy.
const TENANT: &str = "tenant";

/// Everything that went into a register since the machine was started.
///
/// ```
/// use mc2_protocol::{Digest, evidence::{EventLog, Register384}};
///
/// let policy = Digest::of(b"a policy's exact bytes");
/// let log = EventLog::of_tenant(&policy);
/// let mut register = Register384::default();
/// assert_ne!(register, log.register());
/// register.extend(&log.events()[0].digest());
/// assert_eq!(register, log.register());
/// assert_eq!(EventLog::parse(&log.to_bytes())?, log);
/// # Ok::<(), mc2_protocol::encoding::JsonError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventLog {
    version: u32,
    events: Vec<Event>,
}

impl EventLog {
    /// Its media type as an endorsement.
    pub const MEDIA_TYPE: &str = "application/vnd.mc2.event-log.v1+json";

    /// The log of a register that was extended once: by a runtime started for this policy.
    pub fn of_tenant(policy: &Digest) -> Self {
        Self {
            version: VERSION,
            events: vec![Event::tenant(policy)],
        }
    }

    /// Reads a log, strictly.
    ///
    /// # Errors
    /// [`JsonError`] when it is none of this version.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        const WHAT: &str = "the event log";
        let log: Self = parse_json(WHAT, bytes, MAX_EVIDENCE_LEN)?;
        check_version(WHAT, log.version)?;
        Ok(log)
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }

    /// As it travels beside evidence.
    pub fn endorsement(&self) -> Endorsement {
        Endorsement {
            media_type: Self::MEDIA_TYPE.to_owned(),
            value: self.to_bytes().into(),
        }
    }

    /// The events in their order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// What the register holds after all events, each digest computed from its content.
    pub fn register(&self) -> Register384 {
        let mut register = Register384::default();
        for event in &self.events {
            register.extend(&event.digest());
        }
        register
    }
}

/// One thing that was measured into a register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// What kind of thing: `tenant`.
    pub event: String,
    /// Its content; of `tenant` the 32 bytes of the policy's SHA-256.
    pub content: Base64,
}

impl Event {
    /// A runtime was started for this policy.
    pub fn tenant(policy: &Digest) -> Self {
        Self {
            event: TENANT.to_owned(),
            content: policy.as_bytes().as_slice().into(),
        }
    }

    /// What the register is extended by: SHA-384 over label, event and content.
    pub fn digest(&self) -> [u8; 48] {
        let parts = [self.event.as_bytes(), self.content.as_slice()];
        Sha384::digest(label::context(label::MEASURED_EVENT, &parts)).into()
    }
}

/// A register of SHA-384: zeros at first, then SHA-384(what it held ‖ what it is extended by).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register384(pub [u8; 48]);

impl Register384 {
    /// Extends it.
    pub fn extend(&mut self, bytes: &[u8]) {
        let mut hash = Sha384::new();
        hash.update(self.0);
        hash.update(bytes);
        self.0 = hash.finalize().into();
    }
}

impl Default for Register384 {
    fn default() -> Self {
        Self([0; 48])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 6: nothing in a log is believed but its contents.
    #[test]
    fn each_event_its_content_and_its_order_decide_the_register() {
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let log = |events: Vec<Event>| EventLog {
            version: VERSION,
            events,
        };
        let named = Event {
            event: "other".to_owned(),
            ..Event::tenant(&one)
        };
        let registers = [
            log(vec![]),
            log(vec![Event::tenant(&one)]),
            log(vec![Event::tenant(&other)]),
            log(vec![named]),
            log(vec![Event::tenant(&one), Event::tenant(&other)]),
            log(vec![Event::tenant(&other), Event::tenant(&one)]),
        ]
        .map(|log| log.register().0);
        for (index, register) in registers.iter().enumerate() {
            assert!(!registers[..index].contains(register), "{index}");
        }
        assert_eq!(registers[0], [0; 48]);
    }

    #[test]
    fn a_log_that_says_more_is_refused() {
        let good = EventLog::of_tenant(&Digest::of(b"policy")).to_bytes();
        let text = String::from_utf8(good).unwrap();
        assert!(EventLog::parse(text.as_bytes()).is_ok());
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("\"event\"", "\"digest\":\"00\",\"event\""),
            ("{\"version\"", "{\"register\":\"00\",\"version\""),
        ] {
            let broken = text.replacen(from, to, 1);
            assert_ne!(broken, text);
            assert!(EventLog::parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
