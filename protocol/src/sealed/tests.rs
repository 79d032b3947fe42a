use super::*;
use proptest::prelude::*;

fn rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}

fn seal(key: &SecretKey, plaintext: &[u8], segment_size: u32) -> (Vec<u8>, SealedFile) {
    let mut sealer = Sealer::new(key, b"ad", segment_size, &mut rng());
    let mut out = Vec::new();
    let mut sink = |bytes: &[u8]| -> Result<(), std::convert::Infallible> {
        out.extend_from_slice(bytes);
        Ok(())
    };
    for piece in plaintext.chunks(1000) {
        sealer.write(piece, &mut sink).unwrap();
    }
    let file = sealer.finish(&mut sink).unwrap();
    (out, file)
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
