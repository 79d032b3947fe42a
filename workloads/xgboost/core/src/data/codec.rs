//! Compressed bytes of Parquet and Arrow IPC, in Rust throughout: a component has no C in it.

use std::io::Read;

/// The largest piece that is decompressed at once. Writers make pages of 1 MiB.
pub(crate) const MAX_PIECE: usize = 256 << 20;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Snappy,
    Gzip,
    Zstd,
    /// One block, as Parquet's `LZ4_RAW`.
    Lz4Block,
    /// A frame, as Arrow has it.
    Lz4Frame,
}

/// Decompresses `from` into `into`, which then has exactly `length` bytes.
pub(crate) fn decompress(
    codec: Codec,
    from: &[u8],
    length: usize,
    into: &mut Vec<u8>,
) -> Result<(), String> {
    if length > MAX_PIECE {
        let most = MAX_PIECE >> 20;
        return Err(format!(
            "a compressed piece of {length} bytes; at most {most} MiB are read"
        ));
    }
    // What cannot be is refused before room for it is made.
    let factor = match codec {
        Codec::Snappy => 64,
        Codec::Lz4Block => 256,
        Codec::None | Codec::Gzip | Codec::Zstd | Codec::Lz4Frame => usize::MAX,
    };
    if length > from.len().saturating_mul(factor) {
        return Err(format!(
            "decompressing {codec:?}: {length} bytes cannot come out of {}",
            from.len()
        ));
    }
    into.clear();
    let failed = |error: &dyn std::fmt::Display| format!("decompressing {codec:?}: {error}");
    match codec {
        Codec::None => into.extend_from_slice(from),
        Codec::Snappy => {
            let found = snap::raw::decompress_len(from).map_err(|error| failed(&error))?;
            if found == length {
                into.resize(length, 0);
                snap::raw::Decoder::new()
                    .decompress(from, into)
                    .map_err(|error| failed(&error))?;
            }
        }
        Codec::Lz4Block => {
            into.resize(length, 0);
            let count =
                lz4_flex::block::decompress_into(from, into).map_err(|error| failed(&error))?;
            into.truncate(count);
        }
        Codec::Gzip => fill(flate2::read::MultiGzDecoder::new(from), length, into)
            .map_err(|error| failed(&error))?,
        Codec::Lz4Frame => fill(lz4_flex::frame::FrameDecoder::new(from), length, into)
            .map_err(|error| failed(&error))?,
        Codec::Zstd => {
            let decoder =
                ruzstd::decoding::StreamingDecoder::new(from).map_err(|error| failed(&error))?;
            fill(decoder, length, into).map_err(|error| failed(&error))?;
        }
    }
    match into.len() == length {
        true => Ok(()),
        false => Err(format!(
            "decompressing {codec:?}: not the {length} bytes that were promised"
        )),
    }
}

/// Reads one byte more than is due, so that too much is noticed and no bomb goes off.
fn fill(from: impl Read, length: usize, into: &mut Vec<u8>) -> std::io::Result<()> {
    from.take(length as u64 + 1).read_to_end(into).map(|_| ())
}
