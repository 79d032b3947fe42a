//! The log that a TD's firmware keeps of what it measured, as Linux shows it in
//! `/sys/firmware/acpi/tables/data/CCEL`: TCG's crypto-agile event log (TCG PC Client Platform
//! Firmware Profile, section 10), with the number of a TD's register, from 1 for RTMR0, in a PCR's
//! place. Little-endian.

use super::firmware::u32_at;
use crate::digest::extended;
use crate::process::{Failure, Outcome};

const RTMR0: u32 = 1;
const SHA384: u16 = 0x000c;
/// EV_NO_ACTION, which nothing is extended by.
const NO_ACTION: u32 = 3;
/// EV_PLATFORM_CONFIG_FLAGS, as which OVMF measures what QEMU hands it, ACPI tables above all.
const PLATFORM_CONFIG: u32 = 0x8000_000a;
/// The first event: register, kind and SHA-1 digest, then the length of what follows.
const HEAD: usize = 4 + 4 + 20;
const SPECIFICATION: &[u8] = b"Spec ID Event03\0";

/// Something that was measured into RTMR0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// TCG's number for its kind.
    kind: u32,
    /// What the register was extended by.
    pub(super) digest: [u8; 48],
    content: Vec<u8>,
}

impl Event {
    /// What it is, for people: its kind, and what of its content is text. Nothing measures either.
    pub(super) fn shown(&self) -> String {
        let name = match self.kind {
            4 => "separator",
            PLATFORM_CONFIG => "platform's configuration",
            0x8000_0001 => "variable of Secure Boot",
            0x8000_0002 => "boot option",
            0x8000_0008 | 0x8000_000b => "part of the firmware",
            0x8000_0009 | 0x8000_000c => "hand-off tables",
            _ => "event",
        };
        let text: String = self
            .content
            .iter()
            .filter(|byte| byte.is_ascii_graphic() || **byte == b' ')
            .map(|byte| char::from(*byte))
            .take(40)
            .collect();
        format!("{name} ({:#x}) {text:?}", self.kind)
    }
}

/// What went into RTMR0, in its order.
pub(super) fn rtmr0(log: &[u8]) -> Outcome<Vec<Event>> {
    let mut rest = Rest(log);
    let mut head = Rest(rest.take(HEAD)?);
    let (_register, kind) = (head.u32()?, head.u32()?);
    let first = rest.sized()?;
    if kind != NO_ACTION || !first.starts_with(SPECIFICATION) {
        return Err(broken("it does not begin as TCG's crypto-agile logs do"));
    }
    let lengths = lengths(first)?;
    let mut events = Vec::new();
    // What is left of the memory that the firmware has for it was never written.
    while !rest.0.iter().all(|byte| *byte == 0xff) && !rest.0.iter().all(|byte| *byte == 0) {
        let (register, kind, count) = (rest.u32()?, rest.u32()?, rest.u32()?);
        let mut found = None;
        for _ in 0..count {
            let algorithm = rest.u16()?;
            let length = lengths.iter().find(|(known, _)| *known == algorithm);
            let (_, length) = length.ok_or_else(|| broken("a digest is of an unknown kind"))?;
            let digest = rest.take(usize::from(*length))?;
            if algorithm == SHA384 {
                found = digest.first_chunk().copied();
            }
        }
        let content = rest.sized()?.to_vec();
        if register == RTMR0 && kind != NO_ACTION {
            let digest = found.ok_or_else(|| broken("an event has no SHA-384 digest"))?;
            events.push(Event {
                kind,
                digest,
                content,
            });
        }
    }
    if events.is_empty() {
        return Err(broken("nothing in it went into RTMR0"));
    }
    Ok(events)
}

/// What the register holds after these events.
pub(super) fn replayed(events: &[Event]) -> [u8; 48] {
    extended(events.iter().map(|event| event.digest))
}

/// For each event of RTMR0, in its order, the digests that these logs have for it.
pub(super) fn known(logs: &[Vec<Event>]) -> Outcome<Vec<Vec<[u8; 48]>>> {
    let events = logs.first().map_or(0, Vec::len);
    if logs.iter().any(|log| log.len() != events) {
        return Err(Failure::new(
            "these firmware logs have different numbers of events, so they are of machines that are \
             no variants of one: make a reference value of each",
        ));
    }
    let mut known = vec![Vec::new(); events];
    for log in logs {
        for (known, event) in known.iter_mut().zip(log) {
            if !known.contains(&event.digest) {
                known.push(event.digest);
            }
        }
    }
    Ok(known)
}

/// Kinds of digests and their lengths, as the first event states them.
fn lengths(first: &[u8]) -> Outcome<Vec<(u16, u16)>> {
    let mut rest = Rest(first);
    // Platform's class, version, and the size of a word.
    rest.take(SPECIFICATION.len() + 4 + 4)?;
    let count = rest.u32()?;
    (0..count.min(16))
        .map(|_| Ok((rest.u16()?, rest.u16()?)))
        .collect()
}

fn broken(what: &str) -> Failure {
    Failure::new(format!(
        "this is no log of a TD's firmware (/sys/firmware/acpi/tables/data/CCEL): {what}"
    ))
}

/// Bytes that were not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Outcome<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| broken("it ends in the middle of an event"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Outcome<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Outcome<u32> {
        let bytes = self.take(4)?;
        u32_at(bytes, 0).ok_or_else(|| broken("it ends in the middle of a number"))
    }

    /// Bytes after four of their length.
    fn sized(&mut self) -> Outcome<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(register: u32, kind: u32, digest: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [register, kind, 1] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(SHA384.to_le_bytes());
        bytes.extend([digest; 48]);
        bytes.extend((content.len() as u32).to_le_bytes());
        bytes.extend(content);
        bytes
    }

    /// A log whose ACPI tables have this digest, in memory that is larger.
    fn log(tables: u8) -> Vec<u8> {
        let mut first = SPECIFICATION.to_vec();
        first.extend([0, 0, 0, 0, 0, 2, 0, 2]);
        first.extend(1_u32.to_le_bytes());
        first.extend([SHA384, 48].map(u16::to_le_bytes).concat());
        first.push(0);
        let mut log = vec![0; HEAD];
        log[4] = 3;
        log.extend((first.len() as u32).to_le_bytes());
        log.extend(first);
        log.extend(event(RTMR0, 0x8000_000b, 1, b"td_hob"));
        log.extend(event(RTMR0, NO_ACTION, 9, b""));
        log.extend(event(RTMR0, PLATFORM_CONFIG, tables, b"ACPI DATA\0\xff"));
        log.extend(event(2, 4, 8, b"of RTMR1"));
        log.extend(event(RTMR0, 4, 2, &[0; 4]));
        log.extend([0xff; 100]);
        log
    }

    #[test]
    fn what_went_into_rtmr0_is_found_in_its_order() {
        let events = rtmr0(&log(7)).unwrap();
        let digests: Vec<u8> = events.iter().map(|event| event.digest[47]).collect();
        assert_eq!(digests, [1, 7, 2]);
        assert_eq!(
            events[1].shown(),
            "platform's configuration (0x8000000a) \"ACPI DATA\""
        );
        let register = extended([1, 7, 2].map(|digest| [digest; 48]));
        assert_eq!(replayed(&events), register);
    }

    #[test]
    fn a_log_that_is_cut_or_says_nothing_of_rtmr0_is_refused() {
        let whole = log(7);
        let ends = whole.len() - 100;
        // Between two events it is a shorter log.
        let lengths: Vec<usize> = (0..ends)
            .filter(|&at| rtmr0(&whole[..at]).is_ok())
            .collect();
        assert_eq!(lengths.len(), 4, "{lengths:?}");
        let mut of_a_pcr = whole.clone();
        of_a_pcr[HEAD + 4] = b'?';
        assert!(rtmr0(&of_a_pcr).is_err());
        for at in 0..ends {
            let mut other = whole.clone();
            other[at] ^= 0xff;
            // Any answer is fine but a panic.
            let _ = rtmr0(&other);
        }
    }

    #[test]
    fn logs_of_several_machines_give_what_is_known_of_each_event() {
        let logs = [7, 8, 7].map(|tables| rtmr0(&log(tables)).unwrap());
        let all = known(&logs).unwrap();
        assert_eq!(all, [vec![[1; 48]], vec![[7; 48], [8; 48]], vec![[2; 48]]]);
        let mut shorter = logs[0].clone();
        shorter.pop();
        assert!(known(&[logs[0].clone(), shorter]).is_err());
    }
}
