//! One record of them, and how they are read.

use std::io;

use mc2_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::store::records::{Records, Table};

/// Records looked at before others are let to them.
const AT_ONCE: usize = 256;

/// One object or component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// All its bytes.
    pub(crate) bytes: u64,
    /// When it was stored first, or by a runtime last, in Unix time by the host's clock.
    pub(crate) stored: u64,
    /// When it was used last.
    pub(crate) used: u64,
    /// The dataset or output of an object's manifest; empty for a component.
    pub(crate) dataset: String,
    /// Whether a runtime ever stored it.
    pub(crate) output: bool,
    /// The name of the token it was stored with first, where there was one.
    pub(crate) holder: Option<String>,
}

impl Kept {
    pub(super) fn read(key: &[u8], value: &[u8]) -> Option<(Digest, Self)> {
        let digest = key.try_into().ok().map(Digest::from_bytes)?;
        Some((digest, serde_json::from_slice(value).ok()?))
    }
}

pub(super) type Page = (Vec<(Digest, Kept)>, Vec<u8>);

/// Some records of a table from this key on, and the key to go on from; `None` at the end.
pub(super) fn page(records: &Records, table: Table, from: &[u8]) -> io::Result<Option<Page>> {
    let found = records.range(table, &[], from, AT_ONCE)?;
    let Some((last, _)) = found.last() else {
        return Ok(None);
    };
    let next = [last.as_slice(), &[0]].concat();
    let kept = found
        .iter()
        .filter_map(|(key, value)| Kept::read(key, value));
    Ok(Some((kept.collect(), next)))
}
