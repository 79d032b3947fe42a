//! Just enough DER to write certificates and revocation lists.

use std::time::Duration;

use crate::UnixSeconds;

/// An element with this tag.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length => {
            let bytes = length.to_be_bytes();
            let skip = bytes.iter().take_while(|&&byte| byte == 0).count();
            out.push(0x80 | (bytes.len() - skip) as u8);
            out.extend(&bytes[skip..]);
        }
    }
    out.extend(content);
    out
}

/// A SEQUENCE of these.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

/// A SEQUENCE of these, owned.
pub fn sequence_of(parts: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

/// An INTEGER that is not negative, of its big-endian bytes.
pub fn number(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|&&byte| byte == 0).count();
    let mut content = bytes[skip..].to_vec();
    if content.first().is_none_or(|&first| first & 0x80 != 0) {
        content.insert(0, 0);
    }
    element(0x02, &content)
}

/// An INTEGER that is not negative.
pub fn integer(value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let skip = bytes.iter().take(7).take_while(|&&byte| byte == 0).count();
    let mut content = bytes[skip..].to_vec();
    if content[0] & 0x80 != 0 {
        content.insert(0, 0);
    }
    element(0x02, &content)
}

/// A BOOLEAN.
pub fn boolean(value: bool) -> Vec<u8> {
    element(0x01, &[if value { 0xff } else { 0 }])
}

/// An OCTET STRING.
pub fn octets(value: &[u8]) -> Vec<u8> {
    element(0x04, value)
}

/// A BIT STRING of whole bytes.
pub fn bits(value: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], value].concat())
}

/// An OBJECT IDENTIFIER of these arcs.
pub fn oid(arcs: &[u64]) -> Vec<u8> {
    let mut content = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for &arc in &arcs[2..] {
        let groups = (0..10).rev().map(|group| (arc >> (7 * group)) as u8 & 0x7f);
        let mut digits: Vec<u8> = groups.skip_while(|&digit| digit == 0).collect();
        if digits.is_empty() {
            digits.push(0);
        }
        let last = digits.len() - 1;
        digits[..last].iter_mut().for_each(|digit| *digit |= 0x80);
        content.extend(digits);
    }
    element(0x06, &content)
}

/// A Name that is one common name.
pub fn name(common_name: &str) -> Vec<u8> {
    let value = element(0x0c, common_name.as_bytes());
    let pair = sequence(&[&oid(&[2, 5, 4, 3]), &value]);
    sequence(&[&element(0x31, &pair)])
}

/// A Time: UTCTime until 2049, as RFC 5280 has it, and GeneralizedTime from then on.
///
/// # Panics
/// Where the calendar of DER does not have it.
pub fn time(at: UnixSeconds) -> Vec<u8> {
    use x509_cert::der::{
        DateTime, Encode,
        asn1::{GeneralizedTime, UtcTime},
    };

    let date = DateTime::from_unix_duration(Duration::from_secs(at.0)).expect("a date DER has");
    let encoded = if date.year() < 2050 {
        UtcTime::from_date_time(date).and_then(|time| time.to_der())
    } else {
        GeneralizedTime::from_date_time(date).to_der()
    };
    encoded.expect("a date encodes")
}

/// An extension.
pub fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { boolean(true) } else { Vec::new() };
    sequence(&[oid, &critical, &octets(value)])
}
