//! The data folder around the database: who has it open, what must be there, and whether there is room.
//!
//! | name | what |
//! |---|---|
//! | `lock` | held as long as a process has the folder open |
//! | `db/` | the database |
//! | `db.new/`, `db.old/` | a rewrite that was interrupted; cleared up when the folder is opened |
//! | `witness` | how far the history had got, told by someone other than the database, on the disk |
//! | `witness.now` | the same after each commit; not synced, so that it survives a killed process and not a power cut |
//! | `ballast` | room that is given up when the disk is so full that the database could not open |
//!
//! Invariants: the witness never claims more than what is durable in the database. A folder whose database was
//! swapped half-way is whole again before the database is opened.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use model::Seq;
use serde::{Deserialize, Serialize};

use crate::api::Error;

/// How many times the reserve must be free before the ballast is laid down.
const BALLAST_AT: u64 = 3;

/// The data folder, held.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
    now: File,
    reserve_bytes: u64,
    ballast_laid: AtomicBool,
}

/// What the witness says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Witness {
    /// The entry after the last one.
    pub(super) next_seq: Seq,
}

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { doing, source }
}

/// Syncs a folder, so that what was created or renamed in it stays.
pub(super) fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(io("syncing a folder"))
}

/// Syncs a file.
pub(super) fn sync_file(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io("syncing a file"))
}

impl Folder {
    /// Takes the folder, creating it where it is missing. `reserve_bytes` are kept free on its disk.
    pub(super) fn take(path: &Path, reserve_bytes: u64) -> Result<Folder, Error> {
        fs::create_dir_all(path).map_err(io("creating the data folder"))?;
        let held = File::options().create(true).truncate(false).write(true).open(path.join("lock"));
        let held = held.map_err(io("opening the lock of the data folder"))?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(Error::Io { doing: "locking the data folder", source }),
        }
        let now = File::options().create(true).truncate(false).read(true).write(true).open(path.join("witness.now"));
        let now = now.map_err(io("opening the witness"))?;
        let folder =
            Folder { path: path.to_owned(), _lock: held, now, reserve_bytes, ballast_laid: AtomicBool::new(false) };
        folder.clear_up()?;
        if folder.free()? < reserve_bytes {
            folder.drop_ballast()?;
        }
        Ok(folder)
    }

    /// The folder of the database.
    pub(super) fn db(&self) -> PathBuf {
        self.path.join("db")
    }

    /// Where a rewritten database is built.
    pub(super) fn new_db(&self) -> PathBuf {
        self.path.join("db.new")
    }

    fn old_db(&self) -> PathBuf {
        self.path.join("db.old")
    }

    /// Ends a swap that was interrupted: back when the new one was not in place yet, forth when it was.
    fn clear_up(&self) -> Result<(), Error> {
        let (db, new, old) = (self.db(), self.new_db(), self.old_db());
        if old.exists() {
            if db.exists() {
                fs::remove_dir_all(&old).map_err(io("removing the old database"))?;
            } else {
                fs::rename(&old, &db).map_err(io("putting the old database back"))?;
            }
        }
        if new.exists() {
            fs::remove_dir_all(&new).map_err(io("removing a half-written database"))?;
        }
        sync_folder(&self.path)
    }

    /// Puts the database that was built in [`Folder::new_db`] in place of the present one, if there is one. At any
    /// moment one whole database is there.
    pub(super) fn swap(&self) -> Result<(), Error> {
        let (db, new, old) = (self.db(), self.new_db(), self.old_db());
        sync_folder(&new)?;
        if db.exists() {
            fs::rename(&db, &old).map_err(io("putting the old database aside"))?;
        }
        fs::rename(&new, &db).map_err(io("putting the new database in place"))?;
        sync_folder(&self.path)?;
        if old.exists() {
            fs::remove_dir_all(&old).map_err(io("removing the old database"))?;
        }
        sync_folder(&self.path)
    }

    /// What the witness says; nothing when there is none.
    pub(super) fn witness(&self) -> Result<Option<Witness>, Error> {
        match fs::read(self.path.join("witness")) {
            Ok(bytes) => {
                let said = serde_json::from_slice(&bytes).ok();
                if said.is_none() {
                    tracing::warn!("the file `witness` in the data folder cannot be read; it is written anew");
                }
                Ok(said)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { doing: "reading the witness", source }),
        }
    }

    /// Notes how far the history has got, after a commit that is durable. The number stands there twice, the second time
    /// inverted, so that half of a note is none.
    pub(super) fn note(&self, next: u64) {
        let mut both = [0; 16];
        both[..8].copy_from_slice(&next.to_be_bytes());
        both[8..].copy_from_slice(&(!next).to_be_bytes());
        if let Err(error) = self.now.write_all_at(&both, 0) {
            tracing::warn!(%error, "how far the history has got could not be noted");
        }
    }

    /// The last note; nothing when there is none that is whole.
    pub(super) fn noted(&self) -> Option<u64> {
        let mut both = [0; 16];
        self.now.read_exact_at(&mut both, 0).ok()?;
        let half = |range: std::ops::Range<usize>| both.get(range)?.try_into().ok().map(u64::from_be_bytes);
        half(0..8).filter(|next| half(8..16) == Some(!next))
    }

    /// Writes the witness anew.
    pub(super) fn testify(&self, witness: Witness, durable: bool) -> Result<(), Error> {
        let json = serde_json::to_vec(&witness).map_err(|e| io("writing the witness")(e.into()))?;
        let new = self.path.join("witness.new");
        fs::write(&new, json).map_err(io("writing the witness"))?;
        if durable {
            sync_file(&new)?;
        }
        fs::rename(&new, self.path.join("witness")).map_err(io("writing the witness"))?;
        if durable { sync_folder(&self.path) } else { Ok(()) }
    }

    fn free(&self) -> Result<u64, Error> {
        fs2::available_space(&self.path).map_err(io("looking up the free space"))
    }

    /// Refuses a commit when the disk is nearly full. Asked anew for each commit: it costs a microsecond, and a write
    /// that fails costs the store.
    pub(super) fn check_space(&self) -> Result<(), Error> {
        if self.reserve_bytes == 0 {
            return Ok(());
        }
        let free = self.free()?;
        if free < self.reserve_bytes {
            return Err(Error::Full { free, needed: self.reserve_bytes });
        }
        if free > self.reserve_bytes.saturating_mul(BALLAST_AT) {
            self.keep_ballast();
        }
        Ok(())
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    fn drop_ballast(&self) -> Result<(), Error> {
        match fs::remove_file(self.ballast()) {
            Ok(()) => {
                tracing::warn!("the disk is full; the ballast was given up so that the store can open");
                sync_folder(&self.path)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(Error::Io { doing: "giving up the ballast", source }),
        }
    }

    /// Makes the ballast when it is missing. A failure is no reason to stop: the reserve is checked all the same.
    fn keep_ballast(&self) {
        if self.ballast_laid.swap(true, Ordering::Relaxed) {
            return;
        }
        let path = self.ballast();
        if path.exists() {
            return;
        }
        let made = File::options().create_new(true).write(true).open(&path);
        let made = made.and_then(|file| fs2::FileExt::allocate(&file, self.reserve_bytes));
        if let Err(error) = made {
            tracing::warn!(%error, "no ballast could be laid down in the data folder");
            drop(fs::remove_file(&path));
        }
    }

    /// The size of everything in the folder, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        size_of_folder(&self.path)
    }
}

/// The size of all files under a folder, in bytes; what cannot be read counts nothing.
pub(super) fn size_of_folder(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of_folder(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
