//! Backup while commits go on, and restore into an empty folder.
//!
//! The format: the line [`MAGIC`]; frames, each its length (four bytes) and an lz4 block of records, a record being the
//! length of a key (four bytes), the key, the length of the value and the value; a frame of length zero; the number of
//! keys (eight bytes); the SHA-256 of everything before it.
//!
//! Invariants: a backup is what was stored at one moment, its start. A restore shows nothing before the last byte was
//! checked.

use std::io::{Read, Write};
use std::path::Path;

use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};
use sha2::{Digest as _, Sha256};
use sled::IVec;

use super::Sled;
use super::base::failed;
use super::folder::{self, Folder};
use super::open::{open_database, sync_created};
use super::preimages::Preimages;
use crate::api::Error;

const MAGIC: &[u8] = b"sortie backup 1\n";
/// Keys that are read at a time. Commits wait meanwhile.
const PART_KEYS: usize = 256;
/// Largest frame that is accepted, in bytes; a part of the tree is far smaller.
const FRAME_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// Memory for pages while a database is rewritten, in bytes.
pub(super) const REWRITE_CACHE_BYTES: u64 = 64 * 1024 * 1024;

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { doing, source }
}

/// Writes on, and takes a digest of what it wrote.
struct Digesting<'a> {
    out: &'a mut dyn Write,
    digest: Sha256,
}

impl Digesting<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.digest.update(bytes);
        self.out.write_all(bytes).map_err(io("writing the backup"))
    }
}

/// Ends the keeping of old values, however the backup ends.
struct Running<'a>(&'a Sled);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.base.preimages() = None;
    }
}

impl Sled {
    /// Writes everything as it stands now. Answers the number of keys.
    pub(super) fn back_up(&self, out: &mut dyn Write) -> Result<u64, Error> {
        self.base.check()?;
        let _running = {
            // Under the committer's lock the tree holds whole commits only, and all of them are durable.
            let _committer = super::base::lock(&self.committer);
            let mut preimages = self.base.preimages();
            if preimages.is_some() {
                return Err(Error::BackupRunning);
            }
            *preimages = Some(Preimages::default());
            Running(self)
        };
        let mut out = Digesting { out, digest: Sha256::new() };
        out.put(MAGIC)?;
        let mut keys = 0_u64;
        loop {
            let part = match self.base.preimages().as_mut() {
                Some(preimages) => preimages.next(&self.base.tree, PART_KEYS)?,
                None => Vec::new(),
            };
            if part.is_empty() {
                break;
            }
            keys += part.len() as u64;
            let frame = compress_prepend_size(&records(&part));
            out.put(&u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes())?;
            out.put(&frame)?;
        }
        out.put(&0_u32.to_be_bytes())?;
        out.put(&keys.to_be_bytes())?;
        let digest = out.digest.finalize();
        out.out.write_all(&digest).and_then(|()| out.out.flush()).map_err(io("writing the backup"))?;
        Ok(keys)
    }
}

fn records(part: &[(IVec, IVec)]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(part.iter().map(|(key, value)| key.len() + value.len() + 8).sum());
    for bytes in part.iter().flat_map(|(key, value)| [key, value]) {
        raw.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        raw.extend_from_slice(bytes);
    }
    raw
}

fn bad(detail: &str) -> Error {
    Error::BadBackup { detail: detail.to_owned() }
}

/// Reads, and takes a digest of what it read.
struct Checking<'a> {
    from: &'a mut dyn Read,
    digest: Sha256,
}

impl Checking<'_> {
    fn raw(&mut self, into: &mut [u8]) -> Result<(), Error> {
        self.from.read_exact(into).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => bad("it ends too early"),
            _ => io("reading the backup")(error),
        })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.raw(&mut bytes)?;
        self.digest.update(bytes);
        Ok(bytes)
    }

    fn frame(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let length = u32::from_be_bytes(self.take()?);
        if length == 0 {
            return Ok(None);
        }
        if length > FRAME_BYTES_MAX {
            return Err(bad("a part of it is too long"));
        }
        let mut frame = vec![0; length as usize];
        self.raw(&mut frame)?;
        self.digest.update(&frame);
        let size = frame.first_chunk().copied().map(u32::from_le_bytes).unwrap_or(u32::MAX);
        if size > FRAME_BYTES_MAX {
            return Err(bad("a part of it is too long"));
        }
        decompress_size_prepended(&frame).map(Some).map_err(|_| bad("a part of it cannot be unpacked"))
    }
}

/// Fills the data folder `dir`, which must not hold a store, from a backup. Answers the number of keys.
///
/// # Errors
/// [`Error::NotEmpty`] when there is a store, [`Error::BadBackup`] when the backup is not whole; then the folder holds no
/// store.
pub fn restore(dir: &Path, from: &mut dyn Read) -> Result<u64, Error> {
    let folder = Folder::take(dir, 0)?;
    if folder.db().exists() || folder.witness()?.is_some() {
        return Err(Error::NotEmpty { path: dir.to_owned() });
    }
    let keys = fill(&folder.new_db(), from);
    match keys {
        Ok(keys) => {
            folder.swap()?;
            // What was noted about another store in this folder says nothing about this one.
            folder.note(0);
            Ok(keys)
        }
        Err(error) => {
            drop(std::fs::remove_dir_all(folder.new_db()));
            Err(error)
        }
    }
}

fn fill(path: &Path, from: &mut dyn Read) -> Result<u64, Error> {
    let mut from = Checking { from, digest: Sha256::new() };
    if from.take::<16>()? != MAGIC {
        return Err(bad("it does not begin as one"));
    }
    let db = open_database(path, REWRITE_CACHE_BYTES)?;
    let mut keys = 0_u64;
    while let Some(raw) = from.frame()? {
        let mut batch = sled::Batch::default();
        let mut rest = raw.as_slice();
        while !rest.is_empty() {
            let key = IVec::from(part(&mut rest)?);
            batch.insert(key, IVec::from(part(&mut rest)?));
            keys += 1;
        }
        db.apply_batch(batch).map_err(failed("restoring"))?;
    }
    let said = u64::from_be_bytes(from.take()?);
    let digest: [u8; 32] = std::mem::take(&mut from.digest).finalize().into();
    let mut expected = [0; 32];
    from.raw(&mut expected)?;
    if said != keys || digest != expected {
        return Err(bad("its checksum is wrong"));
    }
    end_database(db, path)?;
    Ok(keys)
}

fn part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let (length, others) = rest.split_first_chunk::<4>().ok_or_else(|| bad("a record is cut short"))?;
    let (bytes, others) =
        others.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(|| bad("a record is cut short"))?;
    *rest = others;
    Ok(bytes)
}

/// Makes a database that was just filled durable, and closes it.
pub(super) fn end_database(db: sled::Db, path: &Path) -> Result<(), Error> {
    db.flush().map_err(failed("flushing"))?;
    drop(db);
    sync_created(path)?;
    folder::sync_folder(path)
}
