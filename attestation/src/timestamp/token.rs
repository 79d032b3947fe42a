//! A token's bytes: CMS SignedData (RFC 5652, §5) around TSTInfo (RFC 3161, §2.4.2), in DER.

use der::{
    DateTime, Decode, Encode, Header, Reader, SliceReader, Tag, TagNumber,
    asn1::{AnyRef, ObjectIdentifier},
};

use super::error::TimestampError;
use crate::{
    time::UnixSeconds,
    x509::{Hash, Scheme},
};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// signingCertificate, by SHA-1 alone.
const CERTIFICATE_V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
/// signingCertificateV2 (RFC 5035).
const CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// Certificates in a token, at most: each that may be on the way to a root costs time.
const MAX_CERTIFICATES: usize = 16;
/// PKIStatus granted, and grantedWithMods.
const GRANTED: [&[u8]; 2] = [&[0], &[1]];

/// What a token says of its signature, which is not verified yet. That its content is the one whose
/// digest is signed, is.
#[derive(Debug)]
pub(super) struct Token {
    /// The certificates in it, DER; nobody signed that they are there.
    pub(super) certificates: Vec<Vec<u8>>,
    /// TSTInfo, DER.
    pub(super) content: Vec<u8>,
    /// What is signed: the attributes as a SET, which hold the content's digest.
    pub(super) signed_attributes: Vec<u8>,
    /// The digest of the signer's certificate, from among these.
    pub(super) certificate_id: (Hash, Vec<u8>),
    pub(super) scheme: Scheme,
    pub(super) signature: Vec<u8>,
}

/// What the authority says.
#[derive(Debug)]
pub(super) struct Info {
    /// The digest of what it saw.
    pub(super) imprint: (Hash, Vec<u8>),
    /// The latest time at which it may have seen that.
    pub(super) time: UnixSeconds,
}

impl Token {
    /// Reads a token, or an authority's response (TimeStampResp) with one.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TimestampError> {
        let mut outer = Elements::within(whole(bytes)?, Tag::Sequence, "its frame")?;
        let first = outer.next("its frame")?;
        if first.tag == Tag::ObjectIdentifier {
            return Self::content_info(first, outer);
        }
        let status = Elements::within(first, Tag::Sequence, "the status")?.next("the status")?;
        if status.tag != Tag::Integer || !GRANTED.contains(&status.content) {
            return Err(TimestampError::Refused);
        }
        let token = outer.next("its frame")?;
        outer.end("its frame")?;
        let mut info = Elements::within(token, Tag::Sequence, "its frame")?;
        Self::content_info(info.next("its frame")?, info)
    }

    fn content_info(kind: Element<'_>, mut rest: Elements<'_>) -> Result<Self, TimestampError> {
        const WHAT: &str = "the signed data";
        if kind.id(WHAT)? != SIGNED_DATA {
            return Err(malformed(WHAT));
        }
        let explicit = Elements::within(rest.next(WHAT)?, constructed(0), WHAT)?;
        rest.end(WHAT)?;
        let mut data = Elements::within(explicit.only(WHAT)?, Tag::Sequence, WHAT)?;
        data.next_of(Tag::Integer, WHAT)?;
        // The hash functions that signers use: each signer says so again.
        data.next_of(Tag::Set, WHAT)?;
        let content = content(data.next_of(Tag::Sequence, WHAT)?)?;
        let mut certificates = Vec::new();
        if let Some(set) = data.optional(constructed(0)) {
            let mut set = Elements(set.content);
            while !set.0.is_empty() {
                if certificates.len() == MAX_CERTIFICATES {
                    return Err(malformed("more certificates than lead to a root"));
                }
                certificates.push(set.next("a certificate")?.whole.to_vec());
            }
        }
        data.optional(constructed(1));
        let signers = Elements::within(data.next(WHAT)?, Tag::Set, WHAT)?;
        data.end(WHAT)?;
        signed(signers.only("its one signer")?, content, certificates)
    }
}

/// TSTInfo in the encapsulated content.
fn content(encapsulated: Element<'_>) -> Result<&[u8], TimestampError> {
    const WHAT: &str = "the content";
    let mut parts = Elements(encapsulated.content);
    if parts.next(WHAT)?.id(WHAT)? != TST_INFO {
        return Err(malformed("what it is about is no time"));
    }
    let explicit = Elements::within(parts.next(WHAT)?, constructed(0), WHAT)?;
    parts.end(WHAT)?;
    let octets = explicit.only(WHAT)?;
    octets
        .of(Tag::OctetString, WHAT)
        .map(|octets| octets.content)
}

/// The token of what its one signer says.
fn signed(
    signer: Element<'_>,
    content: &[u8],
    certificates: Vec<Vec<u8>>,
) -> Result<Token, TimestampError> {
    const WHAT: &str = "its signer";
    let mut parts = Elements::within(signer, Tag::Sequence, WHAT)?;
    parts.next_of(Tag::Integer, WHAT)?;
    // By issuer and number, or by a key's digest: the signed attributes say whose it is.
    parts.next(WHAT)?;
    let digest = hash(parts.next(WHAT)?, "the content")?;
    let attributes = parts.next_of(constructed(0), WHAT)?;
    let algorithm = Elements::within(parts.next(WHAT)?, Tag::Sequence, WHAT)?.next(WHAT)?;
    let algorithm = algorithm.id(WHAT)?;
    let scheme = Scheme::in_cms(&algorithm, digest).ok_or_else(|| TimestampError::Signature {
        found: format!("the algorithm {algorithm} is not accepted"),
    })?;
    let signature = parts.next_of(Tag::OctetString, WHAT)?.content.to_vec();
    parts.optional(constructed(1));
    parts.end(WHAT)?;
    let kind =
        attribute(attributes, CONTENT_TYPE)?.ok_or_else(|| malformed("its content's type"))?;
    if kind.id("its content's type")? != TST_INFO {
        return Err(malformed("its content's type"));
    }
    let stated = attribute(attributes, MESSAGE_DIGEST)?.ok_or_else(|| malformed("its digest"))?;
    let stated = stated.of(Tag::OctetString, "its digest")?;
    if stated.content != digest.of(content) {
        return Err(TimestampError::Signature {
            found: "what is signed is the digest of another content".to_owned(),
        });
    }
    Ok(Token {
        certificates,
        content: content.to_vec(),
        signed_attributes: as_a_set(attributes)?,
        certificate_id: certificate_id(attributes)?,
        scheme,
        signature,
    })
}

/// What is signed is the SET, not the field that it is tagged as (RFC 5652, §5.4).
fn as_a_set(attributes: Element<'_>) -> Result<Vec<u8>, TimestampError> {
    let mut set = Header::new(Tag::Set, attributes.length()?)
        .to_der()
        .map_err(|_| malformed("its attributes"))?;
    set.extend(attributes.content);
    Ok(set)
}

/// The first ESSCertIDv2, which is of the signer's own certificate.
fn certificate_id(attributes: Element<'_>) -> Result<(Hash, Vec<u8>), TimestampError> {
    const WHAT: &str = "the name of its certificate";
    let Some(value) = attribute(attributes, CERTIFICATE_V2)? else {
        return Err(match attribute(attributes, CERTIFICATE_V1)? {
            Some(_) => TimestampError::Hash {
                what: "its certificate",
                found: "SHA-1".to_owned(),
            },
            None => malformed(WHAT),
        });
    };
    let mut value = Elements::within(value, Tag::Sequence, WHAT)?;
    let mut ids = Elements::within(value.next(WHAT)?, Tag::Sequence, WHAT)?;
    let mut id = Elements::within(ids.next(WHAT)?, Tag::Sequence, WHAT)?;
    let hash = match id.optional(Tag::Sequence) {
        Some(named) => hash(named, "its certificate")?,
        None => Hash::Sha256,
    };
    let digest = id.next_of(Tag::OctetString, WHAT)?;
    Ok((hash, digest.content.to_vec()))
}

/// The one value of an attribute, which may be there once.
fn attribute<'a>(
    attributes: Element<'a>,
    id: ObjectIdentifier,
) -> Result<Option<Element<'a>>, TimestampError> {
    const WHAT: &str = "its attributes";
    let mut rest = Elements(attributes.content);
    let mut found = None;
    while !rest.0.is_empty() {
        let mut parts = Elements::within(rest.next(WHAT)?, Tag::Sequence, WHAT)?;
        if parts.next(WHAT)?.id(WHAT)? != id {
            continue;
        }
        let values = Elements::within(parts.next(WHAT)?, Tag::Set, WHAT)?;
        parts.end(WHAT)?;
        if found.replace(values.only(WHAT)?).is_some() {
            return Err(malformed(WHAT));
        }
    }
    Ok(found)
}

impl Info {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TimestampError> {
        const WHAT: &str = "what it says";
        let mut parts = Elements::within(whole(bytes)?, Tag::Sequence, WHAT)?;
        if parts.next_of(Tag::Integer, WHAT)?.content != [1] {
            return Err(malformed("its version"));
        }
        parts.next_of(Tag::ObjectIdentifier, WHAT)?;
        let imprint = parts.next(WHAT)?;
        let mut imprint = Elements::within(imprint, Tag::Sequence, WHAT)?;
        let hash = hash(imprint.next(WHAT)?, "what it is over")?;
        let digest = imprint.next_of(Tag::OctetString, WHAT)?.content.to_vec();
        imprint.end(WHAT)?;
        parts.next_of(Tag::Integer, WHAT)?;
        let time = time(parts.next_of(Tag::GeneralizedTime, WHAT)?.content)?;
        let accuracy = match parts.optional(Tag::Sequence) {
            Some(accuracy) => seconds_of(accuracy)?,
            None => 0,
        };
        // Order, nonce and the authority's name.
        parts.optional(Tag::Boolean);
        parts.optional(Tag::Integer);
        parts.optional(constructed(0));
        if let Some(extensions) = parts.optional(constructed(1)) {
            none_is_critical(extensions)?;
        }
        parts.end(WHAT)?;
        Ok(Self {
            imprint: (hash, digest),
            time: UnixSeconds(time.saturating_add(accuracy)),
        })
    }
}

/// Seconds since 1970 of `YYYYMMDDhhmmss[.fraction]Z`, the fraction rounded up.
fn time(text: &[u8]) -> Result<u64, TimestampError> {
    const WHAT: &str = "its time";
    let text = std::str::from_utf8(text).map_err(|_| malformed(WHAT))?;
    let text = text.strip_suffix('Z').ok_or_else(|| malformed(WHAT))?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || !digits(fraction) {
        return Err(malformed(WHAT));
    }
    let number = |from: usize, to: usize| whole[from..to].parse::<u16>().unwrap_or_default();
    let small = |from| u8::try_from(number(from, from + 2)).unwrap_or_default();
    let date = DateTime::new(
        number(0, 4),
        small(4),
        small(6),
        small(8),
        small(10),
        small(12),
    );
    let date = date.map_err(|_| malformed(WHAT))?;
    let rounded = fraction.bytes().any(|digit| digit != b'0');
    Ok(date.unix_duration().as_secs() + u64::from(rounded))
}

/// Whole seconds of how exact a time is: seconds, thousandths and millionths.
fn seconds_of(accuracy: Element<'_>) -> Result<u64, TimestampError> {
    const WHAT: &str = "how exact its time is";
    let mut parts = Elements(accuracy.content);
    let seconds = match parts.optional(Tag::Integer) {
        Some(seconds) => u64::from_der(seconds.whole).map_err(|_| malformed(WHAT))?,
        None => 0,
    };
    let rounded = !parts.0.is_empty();
    for number in [0, 1] {
        parts.optional(Tag::ContextSpecific {
            constructed: false,
            number: TagNumber(number),
        });
    }
    parts.end(WHAT)?;
    Ok(seconds.saturating_add(u64::from(rounded)))
}

/// Nothing is known of what an authority may add, so none of it may matter.
fn none_is_critical(extensions: Element<'_>) -> Result<(), TimestampError> {
    const WHAT: &str = "a critical extension is not known";
    let mut rest = Elements(extensions.content);
    while !rest.0.is_empty() {
        let mut extension = Elements::within(rest.next(WHAT)?, Tag::Sequence, WHAT)?;
        extension.next_of(Tag::ObjectIdentifier, WHAT)?;
        if extension
            .optional(Tag::Boolean)
            .is_some_and(|critical| critical.content != [0])
        {
            return Err(malformed(WHAT));
        }
    }
    Ok(())
}

/// The hash function that an AlgorithmIdentifier names.
fn hash(algorithm: Element<'_>, what: &'static str) -> Result<Hash, TimestampError> {
    let id = Elements::within(algorithm, Tag::Sequence, what)?.next(what)?;
    let id = id.id(what)?;
    Hash::named(&id).ok_or_else(|| TimestampError::Hash {
        what,
        found: id.to_string(),
    })
}

/// An element: its tag, its content, and both with its length.
#[derive(Clone, Copy, Debug)]
struct Element<'a> {
    tag: Tag,
    content: &'a [u8],
    whole: &'a [u8],
}

/// Elements one after the other, as far as they were not read yet.
struct Elements<'a>(&'a [u8]);

impl<'a> Element<'a> {
    fn of(self, tag: Tag, what: &'static str) -> Result<Self, TimestampError> {
        if self.tag != tag {
            return Err(malformed(what));
        }
        Ok(self)
    }

    fn id(self, what: &'static str) -> Result<ObjectIdentifier, TimestampError> {
        ObjectIdentifier::from_der(self.whole).map_err(|_| malformed(what))
    }

    fn length(self) -> Result<der::Length, TimestampError> {
        self.content
            .len()
            .try_into()
            .map_err(|_| malformed("its length"))
    }
}

impl<'a> Elements<'a> {
    /// Those in an element of this tag.
    fn within(element: Element<'a>, tag: Tag, what: &'static str) -> Result<Self, TimestampError> {
        element.of(tag, what).map(|element| Self(element.content))
    }

    /// The next one.
    fn next(&mut self, what: &'static str) -> Result<Element<'a>, TimestampError> {
        let read = || -> der::Result<(Element<'a>, &'a [u8])> {
            let mut reader = SliceReader::new(self.0)?;
            let whole = reader.tlv_bytes()?;
            let any = AnyRef::from_der(whole)?;
            let element = Element {
                tag: der::Tagged::tag(&any),
                content: any.value(),
                whole,
            };
            Ok((element, self.0.get(whole.len()..).unwrap_or_default()))
        };
        let (element, rest) = read().map_err(|_| malformed(what))?;
        self.0 = rest;
        Ok(element)
    }

    fn next_of(&mut self, tag: Tag, what: &'static str) -> Result<Element<'a>, TimestampError> {
        self.next(what)?.of(tag, what)
    }

    /// The next one, where it is there and has this tag.
    fn optional(&mut self, tag: Tag) -> Option<Element<'a>> {
        let mut ahead = Self(self.0);
        let next = ahead.next("").ok().filter(|next| next.tag == tag)?;
        self.0 = ahead.0;
        Some(next)
    }

    /// The one that is there.
    fn only(mut self, what: &'static str) -> Result<Element<'a>, TimestampError> {
        let only = self.next(what)?;
        self.end(what)?;
        Ok(only)
    }

    /// Nothing is left.
    fn end(&self, what: &'static str) -> Result<(), TimestampError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(malformed(what))
    }
}

/// The one element that these bytes are.
fn whole(bytes: &[u8]) -> Result<Element<'_>, TimestampError> {
    Elements(bytes).only("its frame")
}

/// The tag of a field with other elements in it.
const fn constructed(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

const fn malformed(what: &'static str) -> TimestampError {
    TimestampError::Malformed { what }
}
