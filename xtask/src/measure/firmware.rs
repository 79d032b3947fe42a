//! OVMF: a firmware's image, and the tables at its end that say how a TEE is to load it.

use crate::process::{Failure, Outcome};

/// The tables end so many bytes before the image does, at the reset vector.
const BEHIND_TABLES: usize = 32;
const ENTRY_HEADER: usize = 2 + 16;
const FOUR_GIB: u64 = 1 << 32;

/// A GUID as it is written in the image: the first three numbers little-endian.
pub(super) type Guid = [u8; 16];

const FOOTER: Guid = guid(0x96b5_82de, 0x1fb2, 0x45f7, 0xbaea_a366_c55a_082d);

/// A firmware image with its tables.
pub(super) struct Firmware<'a> {
    image: &'a [u8],
    entries: Vec<(Guid, &'a [u8])>,
}

impl<'a> Firmware<'a> {
    /// Reads the tables at the image's end, from the last to the first.
    pub(super) fn parse(image: &'a [u8]) -> Outcome<Self> {
        let broken =
            || Failure::new("this firmware has no table of GUIDs at its end: it is no OVMF");
        let end = image.len().checked_sub(BEHIND_TABLES).ok_or_else(broken)?;
        let (whole, footer) = last_entry(&image[..end]).ok_or_else(broken)?;
        if footer != FOOTER {
            return Err(broken());
        }
        // The footer's length is that of all entries and itself.
        let mut rest = &image[end - whole..end - ENTRY_HEADER];
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (length, guid) = last_entry(rest).ok_or_else(broken)?;
            let start = rest.len() - length;
            entries.push((guid, &rest[start..rest.len() - ENTRY_HEADER]));
            rest = &rest[..start];
        }
        Ok(Self { image, entries })
    }

    /// The image, whole.
    pub(super) const fn image(&self) -> &'a [u8] {
        self.image
    }

    /// Where the image lies in the guest's memory: it ends at 4 GiB.
    pub(super) const fn address(&self) -> u64 {
        FOUR_GIB - self.image.len() as u64
    }

    /// The first number of the entry with this GUID.
    pub(super) fn number(&self, wanted: &Guid, what: &str) -> Outcome<u32> {
        self.entries
            .iter()
            .find(|(guid, _)| guid == wanted)
            .and_then(|(_, content)| u32_at(content, 0))
            .ok_or_else(|| Failure::new(format!("this firmware does not state its {what}")))
    }

    /// The sections that the metadata of a TEE lists, each in `length` bytes: behind its signature, its
    /// own length, version 1 and their number.
    pub(super) fn sections(
        &self,
        wanted: &Guid,
        what: &str,
        signature: &[u8; 4],
        length: usize,
    ) -> Outcome<impl Iterator<Item = &'a [u8]> + use<'a>> {
        const HEADER: usize = 16;
        let metadata = self.metadata(wanted, what)?;
        let known = metadata.get(..4) == Some(signature) && u32_at(metadata, 8) == Some(1);
        let count = u32_at(metadata, 12).filter(|_| known).map(|it| it as usize);
        let sections = metadata.get(HEADER..).map(|all| all.chunks_exact(length));
        match (count, sections) {
            (Some(count), Some(sections)) if count <= sections.len() => Ok(sections.take(count)),
            _ => Err(Failure::new(format!("this firmware's {what} is broken"))),
        }
    }

    /// What lies so many bytes before the image's end, as the entry with this GUID says.
    fn metadata(&self, wanted: &Guid, what: &str) -> Outcome<&'a [u8]> {
        let offset = self.number(wanted, what)? as usize;
        self.image
            .len()
            .checked_sub(offset)
            .and_then(|start| self.image.get(start..))
            .ok_or_else(|| Failure::new(format!("this firmware's {what} lies outside of it")))
    }
}

/// Length and GUID of the entry that ends where `bytes` do.
fn last_entry(bytes: &[u8]) -> Option<(usize, Guid)> {
    let header = bytes.get(bytes.len().checked_sub(ENTRY_HEADER)?..)?;
    let length = usize::from(u16::from_le_bytes([header[0], header[1]]));
    let guid = header[2..].try_into().ok()?;
    (ENTRY_HEADER..=bytes.len())
        .contains(&length)
        .then_some((length, guid))
}

pub(super) const fn guid(first: u32, second: u16, third: u16, rest: u64) -> Guid {
    let (a, b, c, d) = (
        first.to_le_bytes(),
        second.to_le_bytes(),
        third.to_le_bytes(),
        rest.to_be_bytes(),
    );
    [
        a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6],
        d[7],
    ]
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firmware_cut_anywhere_is_refused_and_not_a_panic() {
        let image = super::super::snp::tests::SAMPLE;
        for length in 0..image.len() {
            assert!(Firmware::parse(&image[..length]).is_err(), "{length}");
        }
        assert!(Firmware::parse(image).is_ok());
    }
}
