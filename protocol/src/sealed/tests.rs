use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use proptest::prelude::*;

use super::{
    manifest::{Content, Manifest, MediaType, SealedStream},
    *,
};
use crate::{SecretKey, crypto::aead::TAG_LEN};

fn rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// Written in small pieces, handed on in parts of three segments.
fn seal(key: &SecretKey, plaintext: &[u8], segment_size: u32) -> (Vec<u8>, SealedFile) {
    let sealer = Sealer::new(key, b"ad", segment_size, &mut rng());
    let part_len = 3 * segment_size as usize;
    let mut out = Vec::new();
    let sink = |offset, part: &mut Vec<u8>| {
        assert_eq!(offset, out.len() as u64);
        assert!(part.len() <= part_len);
        out.extend_from_slice(part);
        Ok(())
    };
    let mut writer = Writer::new(sealer, part_len, sink);
    for piece in plaintext.chunks(1000) {
        writer.write_all(piece).unwrap();
    }
    let (file, _) = writer.finish().unwrap();
    (out, file)
}

/// Read from a reader, each part taken away.
fn copy(key: &SecretKey, plaintext: &[u8], expected: u64) -> (Vec<u8>, SealedFile) {
    let sealer = Sealer::new(key, b"ad", MIN_SEGMENT_SIZE, &mut rng());
    let mut parts = Vec::new();
    let sink = |_, part: &mut Vec<u8>| {
        parts.push(std::mem::take(part));
        Ok(())
    };
    let writer = Writer::new(sealer, 64 * MIN_SEGMENT_SIZE as usize, sink);
    let mut writer = writer.in_buffer(vec![9; 10]);
    writer.expect(expected);
    writer.copy_from(&mut &*plaintext).unwrap();
    let (file, _) = writer.finish().unwrap();
    (parts.concat(), file)
}

/// A manifest of a file sealed for the dataset called `data`.
fn manifest(file: &SealedFile) -> Manifest {
    let content = Content::File(SealedStream::new(file));
    let (name, media_type) = ("data".parse().unwrap(), MediaType::octet_stream());
    Manifest::new(name, media_type, MIN_SEGMENT_SIZE, content, None).unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 256) as u8).collect()
}

fn open_segment(
    key: &SecretKey,
    sealed: &[u8],
    file: &SealedFile,
    index: u32,
    segment_size: u32,
) -> Result<Vec<u8>, SealedError> {
    let layout = Layout::new(file.length, segment_size)?;
    let opener = Opener::new(key, &file.header, b"ad", layout);
    let (offset, length) = layout.ciphertext(index);
    let mut buffer = sealed[offset as usize..][..length].to_vec();
    let digest = file.digests[index as usize * 32..][..32]
        .try_into()
        .unwrap();
    let length = opener.open_within(index, &digest, &mut buffer, 0)?;
    buffer.truncate(length);
    Ok(buffer)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_segment_opens_to_its_place(length in 0usize..40_000, seed: u8) {
        let key = SecretKey::from_bytes([seed; 32]);
        let plaintext: Vec<u8> = (0..length).map(|i| (i * 31) as u8 ^ seed).collect();
        let (sealed, file) = seal(&key, &plaintext, MIN_SEGMENT_SIZE);
        let layout = Layout::new(length as u64, MIN_SEGMENT_SIZE).unwrap();
        prop_assert_eq!(sealed.len() as u64, layout.sealed_length());
        prop_assert_eq!(file.digests.len(), layout.segments() as usize * 32);
        let mut opened = Vec::new();
        for index in 0..layout.segments() {
            let (start, len) = layout.plaintext(index);
            let segment = open_segment(&key, &sealed, &file, index, MIN_SEGMENT_SIZE).unwrap();
            prop_assert_eq!(start as usize, opened.len());
            prop_assert_eq!(len, segment.len());
            if len > 0 {
                prop_assert_eq!(layout.segment_of(start), index);
                prop_assert_eq!(layout.segment_of(start + len as u64 - 1), index);
            }
            opened.extend(segment);
        }
        prop_assert_eq!(opened, plaintext);
    }
}

#[test]
fn lengths_at_segment_borders_have_the_layout_tink_gives() {
    let first = 4096 - 16 - 40;
    for (length, segments) in [(0, 1), (first, 1), (first + 1, 2), (first + 4080, 2)] {
        assert_eq!(
            Layout::new(length, 4096).unwrap().segments(),
            segments,
            "{length}"
        );
    }
}

#[test]
fn a_truncated_or_reordered_file_is_refused() {
    let key = SecretKey::from_bytes([1; 32]);
    let (sealed, file) = seal(&key, &[7; 10_000], 4096);
    let cipher = SegmentCipher::new(&key, &file.header, b"ad");
    // The second segment presented as the last, as a truncation would.
    let mut segment = sealed[4096..8192].to_vec();
    assert_eq!(
        cipher.open_within(1, true, &mut segment, 0),
        Err(SealedError::Authentication { index: 1 })
    );
    // The second segment presented as the third.
    let mut segment = sealed[4096..8192].to_vec();
    assert!(cipher.open_within(2, false, &mut segment, 0).is_err());
}

#[test]
fn every_flipped_byte_is_refused_by_digest_and_by_tag() {
    let key = SecretKey::from_bytes([1; 32]);
    let (sealed, file) = seal(&key, b"hello", 4096);
    for at in 40..sealed.len() {
        let mut broken = sealed.clone();
        broken[at] ^= 0x80;
        assert_eq!(
            open_segment(&key, &broken, &file, 0, 4096),
            Err(SealedError::SegmentDigest { index: 0 })
        );
        let cipher = SegmentCipher::new(&key, &file.header, b"ad");
        assert!(cipher.open_within(0, true, &mut broken[40..], 0).is_err());
    }
}

#[test]
fn another_key_or_dataset_does_not_open_it() {
    let key = SecretKey::from_bytes([1; 32]);
    let (sealed, file) = seal(&key, b"hello", 4096);
    let other = SecretKey::from_bytes([2; 32]);
    assert_ne!(file.header.commitment(&other), file.key_commitment);
    for (key, ad) in [(&other, &b"ad"[..]), (&key, b"ae")] {
        let cipher = SegmentCipher::new(key, &file.header, ad);
        assert!(
            cipher
                .open_within(0, true, &mut sealed.clone()[40..], 0)
                .is_err()
        );
    }
}

#[test]
fn lengths_that_overflow_are_refused() {
    assert_eq!(
        Layout::new(u64::MAX, SEGMENT_SIZE),
        Err(SealedError::TooLong { length: u64::MAX })
    );
    assert!(Layout::new(1 << 50, SEGMENT_SIZE).is_err());
    assert!(Layout::new(0, 100).is_err());
}

#[test]
fn lengths_around_segments_and_parts_come_back_however_they_are_written() {
    let body = MIN_SEGMENT_SIZE as usize - TAG_LEN;
    let part = 64 * body - HEADER_LEN;
    let lengths = [0, 1, 1000].into_iter().chain(
        [body - HEADER_LEN, 2 * body - HEADER_LEN, part, part + body]
            .into_iter()
            .flat_map(|length| [length - 1, length, length + 1]),
    );
    let key = SecretKey::from_bytes([5; 32]);
    for length in lengths {
        let plaintext = pattern(length);
        let at_once = seal_bytes(&key, b"ad", MIN_SEGMENT_SIZE, &plaintext, &mut rng());
        let mut sealed = vec![at_once, seal(&key, &plaintext, MIN_SEGMENT_SIZE)];
        for expected in [0, length as u64, u64::MAX / 2] {
            sealed.push(copy(&key, &plaintext, expected));
        }
        for (bytes, file) in sealed {
            let layout = Layout::new(file.length, MIN_SEGMENT_SIZE).unwrap();
            assert_eq!(bytes.len() as u64, layout.sealed_length());
            let opener = Opener::new(&key, &file.header, b"ad", layout);
            let (digests, _) = file.digests.as_chunks();
            for at_once in [1, 3, 1000] {
                let mut opened = Vec::new();
                for span in layout.spans(at_once) {
                    let (from, length) = layout.sealed(span);
                    let mut part = bytes[from as usize..][..length].to_vec();
                    let digests = &digests[span.first as usize..=span.last() as usize];
                    let mut longer = [part.as_slice(), &[0]].concat();
                    let error = opener.open_span(span, digests, &mut longer).unwrap_err();
                    assert!(
                        matches!(error, SealedError::SegmentLength { .. }),
                        "{error}"
                    );
                    let length = opener.open_span(span, digests, &mut part).unwrap();
                    opened.extend_from_slice(&part[..length]);
                }
                assert!(opened == plaintext, "{length} bytes, {at_once} at once");
            }
        }
    }
}

#[test]
fn a_reader_gives_any_stretch_and_no_byte_of_a_broken_segment() {
    let key = SecretKey::from_bytes([5; 32]);
    let plaintext = pattern(20_000);
    let dataset = "data".parse().unwrap();
    let ad = associated_data(&dataset);
    let (mut bytes, file) = seal_bytes(&key, &ad, MIN_SEGMENT_SIZE, &plaintext, &mut rng());
    let manifest = manifest(&file);
    {
        let mut reader = manifest
            .reader(0, &key, file.digests.clone(), bytes.as_slice())
            .unwrap();
        let mut all = vec![9];
        assert_eq!(reader.read_to_end(&mut all).unwrap(), plaintext.len());
        assert!(all[0] == 9 && all[1..] == plaintext);
        for (from, length) in [
            (0, 1),
            (4039, 2),
            (4040, 8160),
            (19_999, 5),
            (20_000, 5),
            (7, 19_000),
        ] {
            let mut some = vec![0; length];
            let read = reader.read_at(from as u64, &mut some).unwrap();
            assert_eq!(read, length.min(plaintext.len() - from));
            assert_eq!(some[..read], plaintext[from..][..read]);
        }
        reader.seek(SeekFrom::End(-3)).unwrap();
        let mut tail = Vec::new();
        reader.read_to_end(&mut tail).unwrap();
        assert_eq!(tail, plaintext[19_997..]);
        assert!(reader.seek(SeekFrom::Current(-30_000)).is_err());
        assert_eq!(reader.seek(SeekFrom::Start(30_000)).unwrap(), 30_000);
        assert_eq!(reader.read(&mut [0; 10]).unwrap(), 0);
    }
    bytes[9000] ^= 1;
    let mut reader = manifest
        .reader(0, &key, file.digests.clone(), bytes.as_slice())
        .unwrap();
    let mut read = Vec::new();
    let error = reader.read_to_end(&mut read).unwrap_err();
    let cause = error.into_inner().unwrap().downcast::<SealedError>();
    assert_eq!(*cause.unwrap(), SealedError::SegmentDigest { index: 2 });
    assert_eq!(read, plaintext[..2 * 4080 - 40]);
    assert_eq!(reader.read_at(19_000, &mut [0; 10]).unwrap(), 10);
}

#[test]
fn a_reader_is_refused_over_another_key_list_or_header() {
    let key = SecretKey::from_bytes([5; 32]);
    let ad = associated_data(&"data".parse().unwrap());
    let (bytes, file) = seal_bytes(&key, &ad, MIN_SEGMENT_SIZE, b"hello", &mut rng());
    let manifest = manifest(&file);
    let refused = |key: &SecretKey, digests: &[u8], bytes: &[u8]| {
        let error = manifest
            .reader(0, key, digests.to_vec(), bytes)
            .err()
            .unwrap();
        *error
            .into_inner()
            .unwrap()
            .downcast::<SealedError>()
            .unwrap()
    };
    let other = SecretKey::from_bytes([6; 32]);
    assert_eq!(
        refused(&other, &file.digests, &bytes),
        SealedError::WrongKey
    );
    assert_eq!(refused(&key, &[0; 32], &bytes), SealedError::DigestList);
    let mut broken = bytes.clone();
    broken[5] ^= 1;
    assert_eq!(refused(&key, &file.digests, &broken), SealedError::Header);
}

#[test]
fn whoever_fails_while_a_file_is_sealed_is_told_apart() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let key = SecretKey::from_bytes([5; 32]);
    let sealer = || Sealer::new(&key, b"ad", MIN_SEGMENT_SIZE, &mut rng());
    let mut writer = Writer::new(sealer(), 0, |_, _: &mut Vec<u8>| unreachable!());
    let error = writer.copy_from(&mut Broken).unwrap_err();
    assert!(matches!(error, CopyError::Read(_)), "{error:?}");
    let full = |_, _: &mut Vec<u8>| Err(io::ErrorKind::StorageFull.into());
    let mut writer = Writer::new(sealer(), 0, full);
    let error = writer.copy_from(&mut &[1; 10_000][..]).unwrap_err();
    assert!(matches!(error, CopyError::Write(_)), "{error:?}");
}

#[test]
fn a_reader_of_an_empty_file_has_opened_its_one_segment() {
    let key = SecretKey::from_bytes([5; 32]);
    let ad = associated_data(&"data".parse().unwrap());
    let (mut empty, file) = seal_bytes(&key, &ad, MIN_SEGMENT_SIZE, b"", &mut rng());
    let reader = |bytes: &[u8]| {
        let read = manifest(&file).reader(0, &key, file.digests.clone(), bytes);
        read.map(|mut reader| reader.read(&mut [0]).unwrap())
    };
    assert_eq!(reader(&empty).unwrap(), 0);
    assert!(reader(&empty[..HEADER_LEN]).is_err());
    *empty.last_mut().unwrap() ^= 1;
    assert!(reader(&empty).is_err());
}
