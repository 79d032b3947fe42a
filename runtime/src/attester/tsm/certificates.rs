//! The certificates that a host gives its SNP guests with each report ("cert_table", AMD's GHCB
//! specification §4.1.8.1): entries of a GUID, an offset and a length, up to one of zeros, and what
//! they point at.
//!
//! The host wrote them, and nothing in them counts but AMD's signatures. A table that is broken is
//! as good as none: whoever appraises the report gets the certificates elsewhere.

use mc2_protocol::{
    documents::receipt::{Endorsement, MAX_EVIDENCE_LEN},
    evidence::{CERTIFICATE_TYPE, REVOCATION_LIST_TYPE},
};

/// Bytes of an entry: GUID, offset and length.
const ENTRY_LEN: usize = 24;
/// What is passed on at most. A signer's certificate and its root's list are two.
const MAX_TAKEN: usize = 4;

/// What a report's verifier can use, by GUID: the chip's or the operator's certificate, and the
/// revocation list. Authorities' certificates it has itself.
const USED: [([u8; 16], &str); 3] = [
    // VCEK, 63da758d-e664-4564-adc5-f4b93be8accd
    (
        [
            0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8,
            0xac, 0xcd,
        ],
        CERTIFICATE_TYPE,
    ),
    // VLEK, a8074bc2-a25a-483e-aae6-39c045a0b8a1
    (
        [
            0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0,
            0xb8, 0xa1,
        ],
        CERTIFICATE_TYPE,
    ),
    // CRL, 92f81bc3-5811-4d3d-97ff-d19f88dc67ea
    (
        [
            0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc,
            0x67, 0xea,
        ],
        REVOCATION_LIST_TYPE,
    ),
];

/// What a verifier can use of a table; nothing where it is broken.
pub(super) fn endorsements(table: &[u8]) -> Vec<Endorsement> {
    read(table).unwrap_or_default()
}

fn read(table: &[u8]) -> Option<Vec<Endorsement>> {
    let mut found = Vec::new();
    for entry in table.chunks_exact(ENTRY_LEN) {
        if entry == [0; ENTRY_LEN] {
            return Some(found);
        }
        let (guid, place) = entry.split_first_chunk::<16>()?;
        let number = |bytes: &[u8]| {
            let bytes = bytes.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        let (offset, length) = (number(&place[..4])?, number(&place[4..])?);
        let bytes = table.get(offset..offset.checked_add(length)?)?;
        let Some((_, media_type)) = USED.iter().find(|(known, _)| known == guid) else {
            continue;
        };
        if bytes.is_empty() || bytes.len() > MAX_EVIDENCE_LEN || found.len() == MAX_TAKEN {
            return None;
        }
        found.push(Endorsement {
            media_type: (*media_type).to_owned(),
            value: bytes.to_vec().into(),
        });
    }
    // No entry of zeros ends it.
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of these entries, as a host lays it out.
    fn table(entries: &[([u8; 16], &[u8])]) -> Vec<u8> {
        let mut offset = (entries.len() + 1) * ENTRY_LEN;
        let (mut head, mut body) = (Vec::new(), Vec::new());
        for (guid, bytes) in entries {
            head.extend(guid);
            head.extend(u32::try_from(offset).unwrap().to_le_bytes());
            head.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
            offset += bytes.len();
            body.extend(*bytes);
        }
        head.extend([0; ENTRY_LEN]);
        [head, body].concat()
    }

    fn found(table: &[u8]) -> Vec<(String, Vec<u8>)> {
        let found = endorsements(table).into_iter();
        found.map(|one| (one.media_type, one.value.0)).collect()
    }

    #[test]
    fn a_signers_certificate_and_a_list_are_passed_on_and_nothing_else() {
        let [(vcek, _), (vlek, _), (crl, _)] = USED;
        let whole = table(&[
            ([9; 16], b"an authority"),
            (vcek, b"chip"),
            (crl, b"list"),
            (vlek, b"operator"),
        ]);
        let certificate = |bytes: &[u8]| (CERTIFICATE_TYPE.to_owned(), bytes.to_vec());
        let list = (REVOCATION_LIST_TYPE.to_owned(), b"list".to_vec());
        let all = vec![certificate(b"chip"), list, certificate(b"operator")];
        assert_eq!(found(&whole), all);
        // A host gives pages, zeros behind the end.
        let padded = [whole, vec![0; 4096]].concat();
        assert_eq!(found(&padded), all);
    }

    #[test]
    fn a_broken_table_is_as_good_as_none() {
        let (vcek, _) = USED[0];
        let good = table(&[(vcek, b"chip")]);
        let mut broken: Vec<Vec<u8>> = (0..good.len()).map(|len| good[..len].to_vec()).collect();
        for (at, value) in [(16, u32::MAX), (20, u32::MAX), (20, 0), (16, 60)] {
            let mut table = good.clone();
            table[at..at + 4].copy_from_slice(&value.to_le_bytes());
            broken.push(table);
        }
        broken.push(table(&[(vcek, &b"chip"[..]); MAX_TAKEN + 1]));
        let large = vec![1; MAX_EVIDENCE_LEN + 1];
        broken.push(table(&[(vcek, &large)]));
        for (index, table) in broken.iter().enumerate() {
            assert_eq!(found(table), [], "{index}");
        }
    }
}
