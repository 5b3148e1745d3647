//! Giving room back to the disk: the database never makes its file smaller, so it is written anew.
//!
//! Invariant: at any moment one whole database is in the folder; a compaction that is interrupted leaves the old one or
//! the new one.

use std::path::Path;

use super::backup::{REWRITE_CACHE_BYTES, end_database};
use super::base::failed;
use super::folder::{Folder, size_of_folder};
use super::open::open_database;
use crate::api::Error;

/// Bytes that are written in one batch.
const BATCH_BYTES: usize = 1024 * 1024;

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Keys in the database.
    pub keys: u64,
    /// Bytes on the disk before.
    pub bytes_before: u64,
    /// Bytes on the disk after.
    pub bytes_after: u64,
}

/// Rewrites the database in the data folder `dir`, which no process may have open.
///
/// # Errors
/// [`Error::InUse`] when a process has it open; [`Error::Corrupt`] when there is no store or it is damaged; and when the
/// system says no. The store is then as it was.
pub fn compact(dir: &Path) -> Result<Compacted, Error> {
    let folder = Folder::take(dir, 0)?;
    if !folder.db().join("db").exists() {
        return Err(Error::Corrupt { detail: "there is no database".to_owned() });
    }
    // Opened and closed once as a store, so that what is damaged is refused and never rewritten.
    drop(folder);
    drop(super::open::open(dir, super::Options { reserve_bytes: 0, ..super::Options::default() })?);
    let folder = Folder::take(dir, 0)?;
    let bytes_before = size_of_folder(&folder.db());
    let keys = match copy(&folder) {
        Ok(keys) => keys,
        Err(error) => {
            drop(std::fs::remove_dir_all(folder.new_db()));
            return Err(error);
        }
    };
    folder.swap()?;
    Ok(Compacted { keys, bytes_before, bytes_after: size_of_folder(&folder.db()) })
}

fn copy(folder: &Folder) -> Result<u64, Error> {
    let old = open_database(&folder.db(), REWRITE_CACHE_BYTES)?;
    let new = open_database(&folder.new_db(), REWRITE_CACHE_BYTES)?;
    let mut keys = 0_u64;
    let mut batch = sled::Batch::default();
    let mut bytes = 0;
    for found in old.iter() {
        let (key, value) = found.map_err(failed("reading the old database"))?;
        bytes += key.len() + value.len();
        batch.insert(key, value);
        keys += 1;
        if bytes >= BATCH_BYTES {
            new.apply_batch(std::mem::take(&mut batch)).map_err(failed("writing the new database"))?;
            bytes = 0;
        }
    }
    new.apply_batch(batch).map_err(failed("writing the new database"))?;
    drop(old);
    end_database(new, &folder.new_db())?;
    Ok(keys)
}
