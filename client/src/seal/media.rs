//! What kind of data a file holds: told by its first bytes, else by its name.

use std::path::Path;

use mc2_protocol::sealed::manifest::MediaType;

/// How many of a file's first bytes [`detect`] looks at.
pub const HEAD: usize = 8;

const BY_MAGIC: [(&[u8], &str); 2] = [
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"ARROW1", "application/vnd.apache.arrow.file"),
];

const BY_EXTENSION: [(&str, &str); 12] = [
    ("parquet", "application/vnd.apache.parquet"),
    ("arrow", "application/vnd.apache.arrow.file"),
    ("feather", "application/vnd.apache.arrow.file"),
    ("arrows", "application/vnd.apache.arrow.stream"),
    ("csv", "text/csv"),
    ("tsv", "text/tab-separated-values"),
    ("json", "application/json"),
    ("jsonl", "application/x-ndjson"),
    ("ndjson", "application/x-ndjson"),
    ("ubj", "application/ubjson"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
];

/// The media type of a file called `name` that starts with `head`.
///
/// ```
/// use std::path::Path;
///
/// use mc2_client::seal::media::detect;
///
/// assert_eq!(detect(Path::new("orders.csv"), b"id,amount\n").as_str(), "text/csv");
/// assert_eq!(detect(Path::new("orders"), b"PAR1").as_str(), "application/vnd.apache.parquet");
/// ```
pub fn detect(name: &Path, head: &[u8]) -> MediaType {
    let magic = BY_MAGIC
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, media_type)| *media_type);
    let extension = || {
        let extension = name.extension()?.to_str()?.to_ascii_lowercase();
        let known = BY_EXTENSION.iter().find(|(known, _)| *known == extension)?;
        Some(known.1)
    };
    magic
        .or_else(extension)
        .and_then(|media_type| MediaType::try_from(media_type.to_owned()).ok())
        .unwrap_or_else(MediaType::octet_stream)
}

/// The media type that an output is wanted in, by the ending of the path it goes to. Nothing is said of
/// what is in a folder.
pub fn wanted(path: &Path, folder: bool) -> MediaType {
    if folder {
        return MediaType::octet_stream();
    }
    detect(path, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_count_for_more_than_the_name() {
        let of = |name: &str, head: &[u8]| detect(Path::new(name), head).as_str().to_owned();
        assert_eq!(of("x.csv", b"PAR1...."), "application/vnd.apache.parquet");
        assert_eq!(of("x.CSV", b"a,b\n"), "text/csv");
        assert_eq!(of("x", b"a,b\n"), "application/octet-stream");
        for (_, media_type) in BY_MAGIC {
            assert!(MediaType::try_from(media_type.to_owned()).is_ok());
        }
        for (_, media_type) in BY_EXTENSION {
            assert!(MediaType::try_from(media_type.to_owned()).is_ok());
        }
    }
}
