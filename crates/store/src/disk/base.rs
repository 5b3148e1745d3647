//! The one way to write: a batch, `flush()`, and a sync of our own; and what a failure of these means.
//!
//! Invariants: [`Base::apply`] and [`Base::apply_lazily`] are called under the committer's lock only, so that nothing else ever flushes (the
//! database hangs otherwise). After a failure nothing more is written: what is in memory may not be on the disk.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sled::IVec;

use super::preimages::Preimages;
use super::values::Writes;
use crate::api::{Durability, Error};

/// Turns an error of the database into ours.
pub(super) fn failed(doing: &'static str) -> impl Fn(sled::Error) -> Error {
    move |error| match error {
        sled::Error::Io(source) => Error::Io { doing, source },
        sled::Error::Corruption { at, .. } => Error::Corrupt { detail: format!("a page at {at:?} is damaged") },
        other => Error::Database { doing, detail: other.to_string() },
    }
}

/// A lock whose holder may have panicked: what it guards is always whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Room behind the end of the database's file that is taken before it is needed, in bytes: a disk that somebody else fills
/// to the last byte must not stop a commit half-way. Several commits, and what the database writes by itself.
const AHEAD_BYTES: u64 = 16 * 1024 * 1024;
/// After so many bytes of keys and values there is a look whether more room must be taken.
const LOOK_EVERY_BYTES: u64 = 1024 * 1024;

/// The database, its file, and whether it can still be trusted.
pub(super) struct Base {
    /// The one tree.
    pub(super) tree: sled::Db,
    file: File,
    /// The same file for taking room, up to where it is taken, and when there was a look.
    room: File,
    room_to: AtomicU64,
    looked_at: AtomicU64,
    durability: Durability,
    broken: OnceLock<String>,
    keys_written: AtomicU64,
    bytes_written: AtomicU64,
    preimages: Mutex<Option<Preimages>>,
}

impl Base {
    /// Takes the open database in `folder`.
    pub(super) fn new(tree: sled::Db, folder: &Path, durability: Durability) -> Result<Base, Error> {
        let io = |source| Error::Io { doing: "opening the database file", source };
        let path = folder.join("db");
        let file = File::open(&path).map_err(io)?;
        let room = File::options().write(true).open(&path).map_err(io)?;
        let base = Base {
            tree,
            file,
            room,
            room_to: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            durability,
            broken: OnceLock::new(),
            keys_written: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            preimages: Mutex::new(None),
        };
        base.take_room();
        Ok(base)
    }

    /// Takes room behind the end of the file, so much that a good part of it is always left. The file's length stays what
    /// it is. Where the file system cannot do that, or is nearly full, nothing is taken: the reserve is checked all the
    /// same.
    fn take_room(&self) {
        let Ok(bytes) = self.room.metadata().map(|data| data.len()) else { return };
        if bytes + AHEAD_BYTES / 2 <= self.room_to.load(Ordering::Relaxed) {
            return;
        }
        let taken = rustix::fs::fallocate(&self.room, rustix::fs::FallocateFlags::KEEP_SIZE, bytes, AHEAD_BYTES);
        match taken {
            Ok(()) => self.room_to.store(bytes + AHEAD_BYTES, Ordering::Relaxed),
            Err(error) => tracing::debug!(%error, "no room could be taken behind the end of the database"),
        }
    }

    /// Refuses when an earlier write could not be made durable.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.broken.get() {
            Some(detail) => Err(Error::Broken { detail: detail.clone() }),
            None => Ok(()),
        }
    }

    /// Writes everything at once and makes it durable.
    pub(super) fn apply(&self, writes: Writes) -> Result<(), Error> {
        self.check()?;
        let done = self.apply_inner(writes);
        if let Err(error) = &done
            && self.broken.set(error.to_string()).is_ok()
        {
            tracing::error!(%error, "a commit could not be made durable; nothing more is accepted");
        }
        done
    }

    /// Writes everything at once; it becomes durable with the next [`Base::apply`], or by itself a little later. For what
    /// may be lost in a crash because it is done again: a sweep waits for no disk.
    pub(super) fn apply_lazily(&self, writes: Writes) -> Result<(), Error> {
        self.check()?;
        self.write(writes)
    }

    fn apply_inner(&self, writes: Writes) -> Result<(), Error> {
        self.write(writes)?;
        self.make_durable()
    }

    fn write(&self, writes: Writes) -> Result<(), Error> {
        self.keys_written.fetch_add(writes.changes.len() as u64, Ordering::Relaxed);
        let bytes = self.bytes_written.fetch_add(writes.bytes as u64, Ordering::Relaxed);
        if bytes >= self.looked_at.load(Ordering::Relaxed) + LOOK_EVERY_BYTES {
            self.looked_at.store(bytes, Ordering::Relaxed);
            self.take_room();
        }
        let mut preimages = lock(&self.preimages);
        if let Some(running) = preimages.as_mut() {
            running.save(&self.tree, &writes.changes)?;
        }
        let mut batch = sled::Batch::default();
        for (key, value) in writes.changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.tree.apply_batch(batch).map_err(failed("writing"))?;
        drop(preimages);
        Ok(())
    }

    /// Flushes and syncs, as configured.
    fn make_durable(&self) -> Result<(), Error> {
        if self.durability == Durability::Nothing {
            return Ok(());
        }
        self.tree.flush().map_err(failed("flushing"))?;
        if self.durability == Durability::Process { Ok(()) } else { self.sync() }
    }

    /// Syncs the database file. The database's own `flush` hands the bytes to the disk but does not wait for its cache.
    pub(super) fn sync(&self) -> Result<(), Error> {
        // `fdatasync` also flushes what is needed to read the data again: the size of a file that grew is part of that.
        self.file.sync_data().map_err(|source| Error::Io { doing: "syncing the database file", source })
    }

    /// Flushes and syncs whatever the configured durability is: for a clean end.
    pub(super) fn close(&self) -> Result<(), Error> {
        self.check()?;
        self.tree.flush().map_err(failed("flushing"))?;
        self.sync()
    }

    /// Keys written since the database was opened.
    pub(super) fn keys_written(&self) -> u64 {
        self.keys_written.load(Ordering::Relaxed)
    }

    /// Bytes of keys and values written since the database was opened.
    pub(super) fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Ordering::Relaxed)
    }

    /// The state of a backup that is running. Whoever holds this lock holds up commits.
    pub(super) fn preimages(&self) -> MutexGuard<'_, Option<Preimages>> {
        lock(&self.preimages)
    }

    /// Everything under a prefix, in order.
    pub(super) fn scan(&self, prefix: &[u8]) -> impl DoubleEndedIterator<Item = Result<(IVec, IVec), Error>> + use<> {
        self.tree.scan_prefix(prefix).map(|found| found.map_err(failed("reading")))
    }
}
