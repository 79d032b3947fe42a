//! An object fetched whole, for a host that is to see no more than sizes.
//!
//! What is asked of the host, in which order and how much of it at a time, follows from the
//! object's manifest alone: each stream from its start to its end, one after the other.

use std::sync::Arc;

use bytes::Bytes;
use mc2_protocol::{
    DataKey, Manifest,
    sealed::{
        manifest::Content,
        paths::{PathTable, START_LEN},
    },
};

use super::{cache::BlockCache, error::InputError, file::SealedFile};
use crate::storage::Storage;

/// The files of an object in enclave memory.
pub(crate) enum WholeFiles {
    /// It is a file.
    File(Bytes),
    /// It is a folder: each file with its path, in the order of the paths' bytes.
    Folder(Vec<(String, Bytes)>),
}

impl WholeFiles {
    /// The memory that the object takes, in bytes: the plaintext of all its streams.
    pub(crate) fn weight(manifest: &Manifest) -> u64 {
        let lengths = manifest.streams().map(|stream| stream.length);
        lengths.fold(0, u64::saturating_add)
    }

    /// Fetches the object that `manifest` describes, if `key` is its own. `exact` is the
    /// plaintext's length without padding, where it is known.
    ///
    /// # Errors
    /// [`InputError`].
    pub(crate) async fn fetch(
        storage: &Arc<Storage>,
        cache: &Arc<BlockCache>,
        key: &DataKey,
        manifest: &Manifest,
        exact: Option<u64>,
    ) -> Result<Self, InputError> {
        let mut streams = Vec::with_capacity(manifest.stream_count());
        for index in 0..manifest.stream_count() {
            let (storage, cache) = (Arc::clone(storage), Arc::clone(cache));
            let stream = SealedFile::new(storage, cache, key, manifest, index)?;
            streams.push(stream.read_whole().await?);
        }
        Self::of(manifest, streams, exact)
    }

    /// The files in the plaintext of an object's streams.
    fn of(
        manifest: &Manifest,
        mut streams: Vec<Bytes>,
        exact: Option<u64>,
    ) -> Result<Self, InputError> {
        // Every kind of object has one stream at least.
        let mut last = streams.pop().ok_or(InputError::Short)?;
        match manifest.content() {
            Content::File(_) => {
                let length = last.len() as u64;
                cut(&mut last, exact.unwrap_or(length))?;
                Ok(Self::File(last))
            }
            Content::Folder { files, .. } => {
                let table = PathTable::parse_padded(&last)?;
                table.check_files(files.iter().map(|file| file.length))?;
                let named = table.files().iter().zip(streams).map(|(entry, mut file)| {
                    cut(&mut file, entry.length)?;
                    Ok((entry.path.clone(), file))
                });
                Ok(Self::Folder(named.collect::<Result<_, InputError>>()?))
            }
            Content::Packed(_) => {
                let start = last.first_chunk::<START_LEN>().ok_or(InputError::Short)?;
                let length = PathTable::stated_len(start)?;
                let table = last.get(..length).ok_or(InputError::Short)?;
                let table = PathTable::parse(table)?;
                table.check_packed(last.len() as u64, exact)?;
                let named = table.packed().map(|(start, entry)| {
                    let start = usize::try_from(start).map_err(|_| InputError::Short)?;
                    // The table was held against this length.
                    let mut file = last.slice(start.min(last.len())..);
                    cut(&mut file, entry.length)?;
                    Ok((entry.path.clone(), file))
                });
                Ok(Self::Folder(named.collect::<Result<_, InputError>>()?))
            }
        }
    }
}

/// Takes the padding off.
fn cut(file: &mut Bytes, length: u64) -> Result<(), InputError> {
    let length = usize::try_from(length).map_err(|_| InputError::Short)?;
    if file.len() < length {
        return Err(InputError::Short);
    }
    file.truncate(length);
    Ok(())
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{
        Name, SecretKey,
        sealed::{
            associated_data,
            manifest::{MediaType, SealedStream},
            paths::PathEntry,
            seal_bytes,
        },
    };

    use super::*;
    use crate::random;

    /// What a manifest says of these bytes.
    fn sealed(bytes: &[u8]) -> SealedStream {
        let secret = SecretKey::generate(&mut random::rng());
        let ad = associated_data(&"data".parse().unwrap());
        let (_, file) = seal_bytes(&secret, &ad, 4096, bytes, &mut random::rng());
        SealedStream::new(&file)
    }

    fn manifest(content: Content) -> Manifest {
        let dataset: Name = "data".parse().unwrap();
        Manifest::new(dataset, MediaType::octet_stream(), 4096, content, None).unwrap()
    }

    fn table(lengths: &[u64]) -> PathTable {
        let entry = |(index, length): (usize, &u64)| PathEntry {
            path: format!("part-{index}"),
            length: *length,
        };
        PathTable::new(lengths.iter().enumerate().map(entry).collect()).unwrap()
    }

    /// The files of a folder, or of a file alone.
    fn files(whole: Result<WholeFiles, InputError>) -> Vec<(String, Bytes)> {
        match whole.unwrap() {
            WholeFiles::File(file) => vec![(String::new(), file)],
            WholeFiles::Folder(files) => files,
        }
    }

    #[test]
    fn a_file_is_cut_to_its_length_where_that_is_known() {
        let bytes = Bytes::from_static(b"words\0\0\0");
        let manifest = manifest(Content::File(sealed(&bytes)));
        let of = |exact| WholeFiles::of(&manifest, vec![bytes.clone()], exact);
        assert_eq!(files(of(None))[0].1, bytes);
        assert_eq!(files(of(Some(5)))[0].1, "words");
        assert_eq!(of(Some(9)).err(), Some(InputError::Short));
        assert_eq!(WholeFiles::weight(&manifest), 8);
    }

    #[test]
    fn a_folder_s_files_are_those_of_its_table_in_whichever_way_it_is_sealed() {
        let table = table(&[3, 0, 2]);
        let parts = ["one", "", "up"];
        let mut packed = table.encode();
        packed.extend_from_slice(b"oneup");
        let exact = packed.len() as u64;
        packed.resize(128, 0);
        let of_packed = manifest(Content::Packed(sealed(&packed)));
        let whole = WholeFiles::of(&of_packed, vec![packed.clone().into()], Some(exact));
        let mut streams: Vec<Bytes> = parts.map(Bytes::from).to_vec();
        let of_folder = manifest(Content::Folder {
            files: streams.iter().map(|file| sealed(file)).collect(),
            table: sealed(&table.encode_padded()),
        });
        streams.push(table.encode_padded().into());
        for whole in [whole, WholeFiles::of(&of_folder, streams, None)] {
            let files = files(whole);
            let names: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
            assert_eq!(names, ["part-0", "part-1", "part-2"]);
            assert!(files.iter().map(|(_, file)| file).eq(parts));
        }
        let short = vec![packed[..exact as usize - 1].to_vec().into()];
        assert!(WholeFiles::of(&of_packed, short, None).is_err());
    }
}
