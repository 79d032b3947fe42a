//! Gives room back to the file system: the database's file does not shrink by itself.

use std::io;

/// Bytes of a file from which on it is looked at.
pub(super) const FROM: u64 = 64 * 1024 * 1024;

/// Compacts a database whose file has so many bytes, where these are at least `from` and half of them
/// or more are free; whether it did. Each step is a transaction: what is killed halfway is a database
/// of the same records.
pub(super) fn compact(database: &mut redb::Database, bytes: u64, from: u64) -> io::Result<bool> {
    if bytes < from || used(database)? > bytes / 2 {
        return Ok(false);
    }
    database.compact().map_err(io::Error::other)
}

/// Bytes of the pages that are not free. Reads all of them.
fn used(database: &redb::Database) -> io::Result<u64> {
    let transaction = database.begin_write().map_err(io::Error::other)?;
    let stats = transaction.stats().map_err(io::Error::other)?;
    transaction.abort().map_err(io::Error::other)?;
    Ok(stats.allocated_pages() * stats.page_size() as u64)
}
