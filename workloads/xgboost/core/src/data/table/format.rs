//! Which format a file has.

use crate::data::{DataError, libsvm};

/// A format of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text with a header line.
    Csv {
        /// Between fields.
        separator: u8,
    },
    /// Text of labels and pairs.
    LibSvm,
    /// Parquet.
    Parquet,
    /// Arrow IPC, file or stream.
    Arrow,
}

/// Endings and media types of text that is LibSVM whatever it looks like.
const LIBSVM: [&str; 4] = [".libsvm", ".svm", ".svmlight", ".svml"];

impl Format {
    /// How many bytes of a file's start [`detect`](Self::detect) looks at.
    pub const START: usize = 64 << 10;

    /// The format of the file called `name`, of that media type (or nothing), that starts so.
    ///
    /// # Errors
    /// None of them.
    pub fn detect(name: &str, media_type: &str, start: &[u8]) -> Result<Self, DataError> {
        if start.starts_with(b"PAR1") || start.starts_with(b"PARE") {
            return Ok(Self::Parquet);
        }
        // A stream starts with the mark of a message, or, written long ago, with the length of
        // the schema's, which is a multiple of 8 and followed by a table's offset.
        if start.starts_with(b"ARROW1") || start.starts_with(b"\xff\xff\xff\xff") {
            return Ok(Self::Arrow);
        }
        if start.iter().take(1024).any(|byte| *byte == 0) {
            return Err(DataError::Unsupported {
                file: name.to_owned(),
                reason: "neither Parquet, Arrow IPC, CSV nor LibSVM: it starts like none of the \
                         first two and is no text"
                    .to_owned(),
            });
        }
        let lower = name.to_ascii_lowercase();
        if LIBSVM.iter().any(|ending| lower.ends_with(ending)) {
            return Ok(Self::LibSvm);
        }
        if media_type == "text/tab-separated-values" || lower.ends_with(".tsv") {
            return Ok(Self::Csv { separator: b'\t' });
        }
        let named_csv = media_type == "text/csv" || lower.ends_with(".csv");
        if !named_csv && libsvm::looks_like(start) {
            return Ok(Self::LibSvm);
        }
        Ok(Self::Csv { separator: b',' })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_told_by_the_first_bytes_then_by_the_name_then_by_the_text() {
        let comma = Format::Csv { separator: b',' };
        for (name, media_type, start, format) in [
            ("t.csv", "", &b"PAR1..."[..], Format::Parquet),
            ("t", "", b"ARROW1\0\0", Format::Arrow),
            ("t", "", b"\xff\xff\xff\xff\x10\0\0\0", Format::Arrow),
            ("t.tsv", "", b"a\tb", Format::Csv { separator: b'\t' }),
            (
                "t",
                "text/tab-separated-values",
                b"a\tb",
                Format::Csv { separator: b'\t' },
            ),
            ("t", "", b"1 0:1 3:2\n", Format::LibSvm),
            ("t.csv", "", b"1 0:1 3:2\n", comma),
            ("t.svm", "", b"1\n", Format::LibSvm),
            ("t", "", b"a,b\n1,2\n", comma),
        ] {
            assert_eq!(
                Format::detect(name, media_type, start).unwrap(),
                format,
                "{name}"
            );
        }
        assert!(Format::detect("t", "", b"PK\x03\x04\0\0").is_err());
    }
}
