//! Which format a file has: told by its first bytes, else by its media type or name.

/// A format a table can be read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// Apache Parquet.
    Parquet,
    /// The Arrow IPC file format.
    ArrowFile,
    /// The Arrow IPC streaming format.
    ArrowStream,
    /// Text with fields separated by `delimiter`, its first line naming them.
    Csv {
        /// The byte between two fields.
        delimiter: u8,
    },
}

/// A format a result can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// Boxes of text, for people.
    Table,
    /// Apache Parquet.
    Parquet,
    /// Text with a header.
    Csv,
    /// The same with tabs in place of commas.
    Tsv,
    /// The Arrow IPC file format.
    Arrow,
    /// One JSON object a line.
    Json,
    /// Every statement's result and end as lines of JSON, which no file has.
    Results,
}

/// A file that is no table this program reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found}; expected Parquet, CSV with a header, or Arrow IPC{hint}")]
pub struct FormatError {
    found: String,
    hint: &'static str,
}

/// How many bytes of a file's start [`InputFormat::detect`] wants to see.
pub const HEAD: usize = 4096;

impl InputFormat {
    /// Tells a file's format from its first [`HEAD`] bytes, its media type and its name.
    ///
    /// Content counts before what others say of it; text is taken for CSV.
    ///
    /// # Errors
    ///
    /// Says what the file is instead, where that can be told, and what to do.
    pub fn detect(head: &[u8], media_type: &str, name: &str) -> Result<Self, FormatError> {
        if let Some(format) = by_magic(head) {
            return Ok(format);
        }
        if let Some((found, hint)) = foreign(head) {
            return Err(FormatError {
                found: format!("it is {found}"),
                hint,
            });
        }
        if let Some(said) = promised(media_type, name) {
            let found = format!("it is called {said} but does not start as {said} does");
            return Err(FormatError {
                found,
                hint: "; the file may be damaged",
            });
        }
        if looks_like_json(head) {
            return Err(FormatError {
                found: "it looks like JSON".to_owned(),
                hint: "; convert it first",
            });
        }
        let extension = extension(name);
        let tabs = media_type == "text/tab-separated-values"
            || matches!(extension.as_deref(), Some("tsv" | "tab"));
        Ok(Self::Csv {
            delimiter: if tabs { b'\t' } else { b',' },
        })
    }

    /// The format's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::ArrowFile => "an Arrow IPC file",
            Self::ArrowStream => "an Arrow IPC stream",
            Self::Csv { .. } => "CSV",
        }
    }
}

impl OutputFormat {
    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "table" => Self::Table,
            "parquet" => Self::Parquet,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "arrow" => Self::Arrow,
            "json" => Self::Json,
            _ => return None,
        })
    }

    /// The format that data of this media type has.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        Some(match media_type {
            "application/vnd.apache.parquet" => Self::Parquet,
            "text/csv" => Self::Csv,
            "text/tab-separated-values" => Self::Tsv,
            "application/vnd.apache.arrow.file" => Self::Arrow,
            "application/json" | "application/x-ndjson" => Self::Json,
            "text/plain" => Self::Table,
            _ => return None,
        })
    }

    /// The format a file name's ending suggests.
    pub fn of_file_name(name: &str) -> Option<Self> {
        match extension(name)?.as_str() {
            "parquet" | "pq" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "arrow" | "feather" | "ipc" => Some(Self::Arrow),
            "json" | "jsonl" | "ndjson" => Some(Self::Json),
            "txt" => Some(Self::Table),
            _ => None,
        }
    }
}

fn by_magic(head: &[u8]) -> Option<InputFormat> {
    if head.starts_with(b"PAR1") && !is_text(head) {
        return Some(InputFormat::Parquet);
    }
    if head.starts_with(b"ARROW1\0\0") {
        return Some(InputFormat::ArrowFile);
    }
    // A stream starts with a continuation marker and the length of a schema message.
    if let [0xff, 0xff, 0xff, 0xff, length @ ..] = head
        && let Some((length, _)) = length.split_first_chunk::<4>()
        && (8..1 << 28).contains(&u32::from_le_bytes(*length))
    {
        return Some(InputFormat::ArrowStream);
    }
    None
}

/// What a file is that is no table, and what to do with it.
fn foreign(head: &[u8]) -> Option<(&'static str, &'static str)> {
    const DECOMPRESS: &str = "; decompress it before sealing";
    const CONVERT: &str = "; convert it first";
    const ENCODE: &str = "; write it as UTF-8";
    const KNOWN: [(&[u8], &str, &str); 26] = [
        (
            b"PARE",
            "Parquet with an encrypted footer",
            "; write it with a plain footer",
        ),
        (b"\x1f\x8b", "compressed by gzip", DECOMPRESS),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd", DECOMPRESS),
        (b"\xfd7zXZ\0", "compressed by xz", DECOMPRESS),
        (b"BZh", "compressed by bzip2", DECOMPRESS),
        (b"\x04\x22\x4d\x18", "compressed by lz4", DECOMPRESS),
        (b"\xff\x06\0\0sNaPpY", "compressed by snappy", DECOMPRESS),
        (b"LZIP", "compressed by lzip", DECOMPRESS),
        (b"\x89LZO\0", "compressed by lzop", DECOMPRESS),
        (b"\x1f\x9d", "compressed by compress", DECOMPRESS),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", DECOMPRESS),
        (b"Rar!\x1a\x07", "a RAR archive", DECOMPRESS),
        (b"PK\x03\x04", "a ZIP archive or an Excel workbook", CONVERT),
        (b"\xd0\xcf\x11\xe0", "an old Excel workbook", CONVERT),
        (b"Obj\x01", "Avro", CONVERT),
        (b"ORC", "ORC", CONVERT),
        (b"FEA1", "Feather version 1", "; write it as version 2"),
        (b"SQLite format 3\0", "an SQLite database", CONVERT),
        (b"\x89HDF", "HDF5", CONVERT),
        (b"%PDF-", "a PDF document", CONVERT),
        (
            b"version https://git-lfs",
            "a pointer of Git LFS",
            "; fetch the file itself",
        ),
        // Before UTF-16, whose mark it starts with.
        (b"\xff\xfe\0\0", "UTF-32 text", ENCODE),
        (b"\0\0\xfe\xff", "UTF-32 text", ENCODE),
        (b"\xff\xfe", "UTF-16 text", ENCODE),
        (b"\xfe\xff", "UTF-16 text", ENCODE),
        (b"\0asm", "a WebAssembly binary", ""),
    ];
    if head.is_empty() {
        return Some(("empty", ""));
    }
    let text = is_text(head);
    let known = KNOWN.iter().find(|(magic, ..)| {
        // A header may start with such a word, as `ORCID` and `PARENT` do.
        let word = magic.len() <= 4 && magic.iter().all(u8::is_ascii_alphanumeric);
        head.starts_with(magic) && !(word && text)
    });
    match known {
        Some((_, found, hint)) => Some((found, hint)),
        None if head.get(257..262) == Some(b"ustar") => Some(("a tar archive", "; unpack it")),
        None if has_every_other_zero(head) => Some(("UTF-16 text", ENCODE)),
        None if head.contains(&0) => Some(("binary and of no known format", "")),
        None => None,
    }
}

/// A binary format that the media type or name speak of.
fn promised(media_type: &str, name: &str) -> Option<&'static str> {
    let by_name = match extension(name).as_deref() {
        Some("parquet" | "pq") => Some("Parquet"),
        Some("arrow" | "arrows" | "feather" | "ipc") => Some("Arrow IPC"),
        _ => None,
    };
    match media_type {
        "application/vnd.apache.parquet" => Some("Parquet"),
        "application/vnd.apache.arrow.file" | "application/vnd.apache.arrow.stream" => {
            Some("Arrow IPC")
        }
        _ => by_name,
    }
}

/// Whether there is nothing but text.
fn is_text(head: &[u8]) -> bool {
    head.iter()
        .all(|byte| !byte.is_ascii_control() || matches!(byte, b'\t' | b'\r' | b'\n'))
}

/// Whether the text is Latin in two bytes a character, without a mark that says so.
fn has_every_other_zero(head: &[u8]) -> bool {
    let zeros = |odd: usize| {
        let half = head.iter().skip(odd).step_by(2);
        half.filter(|byte| **byte == 0).count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    // Nearly all of the one half and nearly none of the other.
    let most = head.len() / 2 - head.len() / 16;
    head.len() >= 4 && (even.min(odd) <= head.len() / 32) && even.max(odd) >= most
}

fn looks_like_json(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    let rest = |open| text.strip_prefix(&[open]).map(<[u8]>::trim_ascii_start);
    rest(b'{').is_some_and(|rest| rest.starts_with(b"\""))
        || rest(b'[').is_some_and(|rest| rest.starts_with(b"{"))
}

fn extension(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit('/').next()?.rsplit_once('.')?;
    (!stem.is_empty()).then(|| extension.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(head: &[u8]) -> Result<InputFormat, FormatError> {
        InputFormat::detect(head, "application/octet-stream", "t")
    }

    #[test]
    fn content_counts_before_what_is_said_of_it() {
        let csv = InputFormat::detect(b"PAR1\x15", "text/csv", "t.csv");
        assert_eq!(csv, Ok(InputFormat::Parquet));
        assert_eq!(detect(b"ARROW1\0\0\xff\xff"), Ok(InputFormat::ArrowFile));
        assert_eq!(
            detect(b"\xff\xff\xff\xff\x10\x01\0\0"),
            Ok(InputFormat::ArrowStream)
        );
    }

    #[test]
    fn text_is_csv() {
        assert_eq!(
            detect(b"a,b\n1,2\n"),
            Ok(InputFormat::Csv { delimiter: b',' })
        );
        assert_eq!(
            detect(b"\xef\xbb\xbfa,b\n"),
            Ok(InputFormat::Csv { delimiter: b',' })
        );
        let tabs = InputFormat::detect(b"a\tb\n", "text/tab-separated-values", "t");
        assert_eq!(tabs, Ok(InputFormat::Csv { delimiter: b'\t' }));
    }

    #[test]
    fn a_header_may_start_as_another_format_does() {
        for head in [
            &b"ORCID,x\n"[..],
            b"PARENT,x\n",
            b"PAR1,PAR2\n",
            b"BZh,x\n",
            b"LZIP\n",
        ] {
            assert_eq!(detect(head), Ok(InputFormat::Csv { delimiter: b',' }));
        }
    }

    #[test]
    fn what_is_no_table_is_named() {
        for (head, named) in [
            (&b""[..], "empty"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"PK\x03\x04", "Excel"),
            (b"PARE\x15\0", "encrypted"),
            (b"{\"a\": 1}", "JSON"),
            (b"[\n {\"a\": 1}]", "JSON"),
            (b"abc\0def", "binary"),
            (b"\xff\xfea\0", "UTF-16"),
            (b"a\0,\0b\0\n\0", "UTF-16"),
            (b"\0a\0,\0b\0\n", "UTF-16"),
            (b"\xff\xfe\0\0a\0\0\0", "UTF-32"),
            (b"BZh91AY&SY\0\x01", "bzip2"),
            (b"\x28\xb5\x2f\xfd", "zstd"),
            (b"\x04\x22\x4d\x18", "lz4"),
            (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        ] {
            let message = detect(head).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
            assert!(message.contains("expected Parquet"), "{message}");
        }
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_csv() {
        for (media_type, name) in [("application/vnd.apache.parquet", "t"), ("", "x/t.parquet")] {
            let error = InputFormat::detect(b"PAX1 text", media_type, name).unwrap_err();
            assert!(error.to_string().contains("damaged"), "{error}");
        }
    }

    #[test]
    fn output_formats_go_by_name_or_ending() {
        assert_eq!(OutputFormat::named("arrow"), Some(OutputFormat::Arrow));
        assert_eq!(OutputFormat::named("xls"), None);
        assert_eq!(
            OutputFormat::of_file_name("a.b.JSON"),
            Some(OutputFormat::Json)
        );
        assert_eq!(OutputFormat::of_file_name("result"), None);
        for (name, media_type) in [
            ("tsv", "text/tab-separated-values"),
            ("json", "application/x-ndjson"),
            ("parquet", "application/vnd.apache.parquet"),
        ] {
            assert_eq!(
                OutputFormat::named(name),
                OutputFormat::of_media_type(media_type)
            );
        }
        assert_eq!(OutputFormat::of_media_type("text/markdown"), None);
    }
}
