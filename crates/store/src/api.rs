//! What every backend answers: the trait, what it takes, what it gives, and how it fails.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::history::{Entry, Header};
use model::run::{RunStatus, RunSummary};
use model::{Digest, Kind, Object, ObjectKey, RunId, Seq, Time};

/// How far a commit must have got before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It survives a power cut: flushed and synced to the disk. The default.
    #[default]
    Power,
    /// It survives `kill -9` of the process, not a power cut.
    Process,
    /// Not even flushed. Exists so that the tests of the two others can be seen to fail; no configuration reaches it.
    Nothing,
}

/// Why the store refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the data folder open.
    #[error("the data folder {} is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The commit does not continue the history where it ends: another writer was there.
    #[error("the commit starts at entry {base} but the history goes on at {next}")]
    NotNext {
        /// Where the commit starts.
        base: Seq,
        /// Where it should.
        next: Seq,
    },
    /// A run was written under a lease that is no longer held, or with a version that is not the stored one.
    #[error("run {run} was taken over by another worker or changed meanwhile")]
    Fenced {
        /// Which run.
        run: RunId,
    },
    /// A run was written after its end.
    #[error("run {run} has already ended")]
    AlreadyEnded {
        /// Which run.
        run: RunId,
    },
    /// A key that can be claimed once was claimed before.
    #[error("the key was claimed by entry {by}")]
    Claimed {
        /// The entry that claimed it.
        by: Seq,
    },
    /// A value is larger than the store takes.
    #[error("a value of {bytes} bytes is larger than the limit of {max} bytes")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The disk is too full to accept more; nothing was written.
    #[error("the disk is nearly full: {free} bytes are free, {needed} are kept in reserve")]
    Full {
        /// Free bytes.
        free: u64,
        /// Bytes that must stay free.
        needed: u64,
    },
    /// The data is damaged. Nothing was changed.
    #[error("the store is damaged: {detail}; restore a backup with `sortie restore FILE`")]
    Corrupt {
        /// What was found.
        detail: String,
    },
    /// The data was written by a newer version of Sortie.
    #[error("the data folder was written by a newer version (format {found}; this one reads {known})")]
    Newer {
        /// The format found.
        found: u32,
        /// The newest format that this version reads.
        known: u32,
    },
    /// An earlier commit could not be made durable. What is on the disk is whole, but what is in memory cannot be
    /// trusted to be there: nothing more is accepted until the store is opened again.
    #[error("an earlier commit could not be made durable ({detail}); the store must be opened again")]
    Broken {
        /// What had failed.
        detail: String,
    },
    /// The folder that a backup is restored into holds a store already.
    #[error("{} already holds data; a backup is restored into an empty folder only", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// What was given as a backup is none, or is not whole. Nothing was changed.
    #[error("this is not a whole backup: {detail}")]
    BadBackup {
        /// What was found.
        detail: String,
    },
    /// So much was changed while a backup was being written that it was given up.
    #[error("more than {max} bytes were changed while the backup was being written; try again when it is quieter")]
    BackupOverrun {
        /// How much may change, in bytes.
        max: usize,
    },
    /// Another backup is being written.
    #[error("another backup is being written")]
    BackupRunning,
    /// The operating system said no.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database said no.
    #[error("the database failed while {doing}: {detail}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        detail: String,
    },
}

/// A key that can be claimed once until a time: a repeat of an event, the start of a scheduled run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// A digest over what is claimed (scope, tenant, key).
    pub key: [u8; 16],
    /// The entry that claims it.
    pub by: Seq,
    /// That entry's tag, so that the first event's id can be told.
    pub tag: u32,
    /// The beginning of the digest of the body, to tell a repeat from a key that was used again.
    pub body: [u8; 16],
    /// Until when it stays claimed.
    pub until: Time,
}

/// A window in which something stays silent, such as `score/PLAYBOOK/0/host:ws-17`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its name.
    pub key: String,
    /// Until when it is silent (half open: at this instant it is no longer); nothing removes it.
    pub until: Option<Time>,
}

/// Times at which something happened, for limits and counts over a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Its name.
    pub key: String,
    /// The times; none removes it.
    pub times: Vec<Time>,
    /// Until when anybody wants to know (half open).
    pub until: Time,
}

/// A small named value as it stands afterwards; nothing removes it.
pub type Mark = (String, Option<Vec<u8>>);

/// What must hold for a run to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It does not exist yet.
    New,
    /// It exists with this version, whoever holds it (a cancellation, a redelivery).
    Version(u32),
    /// This lease is held and the stored version is this one.
    Lease {
        /// The lease's epoch.
        epoch: u64,
        /// The stored version.
        version: u32,
    },
}

/// A run as it stands after the commit. A final status closes it and gives up its lease. A run that has ended may be
/// written again under [`Expect::Version`] with a final status only: its deliveries can be sent again, its end stands.
#[derive(Debug, Clone, PartialEq)]
pub struct RunWrite {
    /// The summary.
    pub summary: RunSummary,
    /// What must hold.
    pub expect: Expect,
    /// Whether the lease is kept by the writer; otherwise anyone may claim the run once it is due.
    pub keep_lease: bool,
}

/// A piece of a file of an object as it stands afterwards. Files go with their object when it is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileWrite {
    /// Whose file.
    pub object: ObjectKey,
    /// Which of its files.
    pub file: u64,
    /// Which piece of it, from 0.
    pub n: u32,
    /// The piece; nothing removes it.
    pub bytes: Option<Vec<u8>>,
}

/// One atomic, durable step of the history.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The entries, gap-free; the first must be [`Store::next_seq`].
    pub entries: Vec<Entry>,
    /// Objects as they stand afterwards.
    pub objects: Vec<(ObjectKey, Object)>,
    /// Where the fields of objects stand in the payloads of entries of this commit, byte for byte as
    /// [`model::json::write_fields`] writes them, so that they need not be written again. Leaving one out costs time only.
    pub fields: Vec<Fields>,
    /// Full blocks of older history of objects, by object and first entry.
    pub object_blocks: Vec<(ObjectKey, Vec<Seq>)>,
    /// Keys that are claimed.
    pub claims: Vec<Claim>,
    /// Windows that begin or end.
    pub windows: Vec<Window>,
    /// Tallies as they stand afterwards.
    pub tallies: Vec<Tally>,
    /// Runs as they stand afterwards.
    pub runs: Vec<RunWrite>,
    /// Small named values (tokens, toggles, cursors of schedules); nothing removes one.
    pub marks: Vec<Mark>,
    /// Pieces of files of objects.
    pub files: Vec<FileWrite>,
    /// Texts by digest (playbooks as they were loaded).
    pub texts: Vec<(Digest, Vec<u8>)>,
    /// Texts that are dropped.
    pub gone_texts: Vec<Digest>,
}

/// Where the fields of an object stand.
#[derive(Debug, Clone)]
pub struct Fields {
    /// The fields: an object that holds these very ones is meant.
    pub record: Arc<model::Record>,
    /// The place of the entry in [`Commit::entries`].
    pub entry: usize,
    /// Which bytes of its payload.
    pub bytes: Range<usize>,
}

/// A run that a worker may work on until the lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Which run.
    pub run: RunId,
    /// The lease's epoch; it rises with each claim of the run.
    pub epoch: u64,
}

/// An entry as it is read: the payload is gone once retention has dropped it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// The header.
    pub header: Header,
    /// The entry with its payload.
    pub entry: Option<Entry>,
}

/// The Merkle tree over the history: leaf 0 is the entry `base`, and so on without a gap. A leaf is
/// [`model::tree::leaf`] over an entry's header in its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ledger {
    /// The entry that the first leaf stands for.
    pub base: Seq,
    /// How many leaves.
    pub size: u64,
    /// The root.
    pub root: Digest,
}

/// How an entry's payload was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// It is the one that the header commits to.
    Whole,
    /// It was dropped.
    Dropped,
    /// It is another than the one that the header commits to.
    False,
}

/// An entry as it is found by its place, whether it belongs there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it lies: the sequence number that an entry in this place must have.
    pub place: Seq,
    /// Its header, and its leaf in the ledger's tree; nothing when it cannot be read.
    pub header: Option<(Header, Digest)>,
    /// Its payload.
    pub payload: Payload,
}

/// Which runs a listing asks for. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Of this playbook.
    pub playbook: Option<String>,
    /// With one of these statuses; empty means any.
    pub statuses: Vec<RunStatus>,
    /// About this alert.
    pub alert: Option<String>,
    /// About this case.
    pub case: Option<String>,
    /// Started by this event.
    pub event: Option<Seq>,
    /// With a delivery to this destination.
    pub destination: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Created at or after this time.
    pub since: Option<Time>,
    /// Created before this time.
    pub until: Option<Time>,
}

/// Where a page ended: everything before it, in the order of the listing, has been given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The sequence number of the last thing looked at.
    pub seq: Seq,
    /// Its number within that entry.
    pub n: u16,
}

/// A page of a listing. It may be short, or empty, while there is more: a page looks at a bounded number of keys.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where to go on; nothing at the end.
    pub next: Option<Cursor>,
}

/// What may be kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// How long.
    pub age: Duration,
    /// How many ended runs.
    pub runs: u64,
    /// How many bytes of history, as stored.
    pub bytes: u64,
}

/// What one step of a sweep did. Sweeps go in small steps so that they never hold anybody up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries dropped.
    pub entries: u64,
    /// The first and the last entry dropped.
    pub range: Option<(Seq, Seq)>,
    /// Ended runs dropped.
    pub runs: u64,
    /// Objects dropped (untouched for longer than the history is kept, and not an open case).
    pub objects: u64,
    /// Claims and windows dropped.
    pub expired: u64,
    /// Whether there is more to do.
    pub more: bool,
}

/// Figures about the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// The oldest entry from which on none is missing. Entries of runs that have not ended may be kept before it.
    pub first_seq: Seq,
    /// The next entry.
    pub next_seq: Seq,
    /// Runs that have not ended.
    pub open_runs: u64,
    /// Runs that have ended.
    pub ended_runs: u64,
    /// Bytes of the data folder.
    pub disk_bytes: u64,
    /// Bytes of history as stored, headers and payloads.
    pub history_bytes: u64,
    /// Keys written since the store was opened.
    pub keys_written: u64,
    /// Bytes of keys and values written since the store was opened.
    pub bytes_written: u64,
    /// Commits since the store was opened.
    pub commits: u64,
    /// The longest commit since the store was opened, in microseconds.
    pub commit_micros_max: u64,
}

/// What the engine needs of a store. All methods block.
pub trait Store: Send + Sync {
    /// The store's clock, in whole milliseconds: never goes back, not even over a restart.
    fn now(&self) -> Time;

    /// The server is about to stop: what shows that nothing is missing is brought up to now, on the disk. Writing may go on.
    ///
    /// # Errors
    /// When it cannot be written.
    fn settle(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The sequence number that the next commit starts with.
    fn next_seq(&self) -> Seq;

    /// Makes everything in `commit` true at once. When this returns `Ok`, it is as durable as configured; when it
    /// returns an error, nothing has changed.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NotNext`], [`Error::Fenced`], [`Error::AlreadyEnded`] and [`Error::Claimed`] say that the
    /// caller's view was stale.
    fn commit(&self, commit: Commit) -> Result<(), Error>;

    /// An object's state.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn object(&self, key: &ObjectKey) -> Result<Option<Object>, Error>;

    /// All objects of a kind, in no order that means anything, until `visit` answers `false` or there are no more. What
    /// is changed meanwhile may be seen before or after its change.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn objects(&self, kind: Kind, visit: &mut dyn FnMut(ObjectKey, Object) -> bool) -> Result<(), Error>;

    /// The entries of one full block of an object's older history.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn object_block(&self, key: &ObjectKey, first: Seq) -> Result<Vec<Seq>, Error>;

    /// A piece of a file of an object.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn file(&self, key: &ObjectKey, file: u64, n: u32) -> Result<Option<Vec<u8>>, Error>;

    /// Who claimed a key, if it is still claimed at `now`.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn claim(&self, key: &[u8; 16], now: Time) -> Result<Option<Claim>, Error>;

    /// Until when a window is silent, if it is at `now`.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn window(&self, key: &str, now: Time) -> Result<Option<Time>, Error>;

    /// The times of a tally, as they were given; none when nobody wants to know at `now` any more.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn tally(&self, key: &str, now: Time) -> Result<Vec<Time>, Error>;

    /// A named value.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;

    /// All named values whose names start with `prefix`, in order.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn marks(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error>;

    /// A text by its digest.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn text(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error>;

    /// One entry of the history.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn entry(&self, seq: Seq) -> Result<Option<StoredEntry>, Error>;

    /// Entries before `before` (all when nothing), newest first, until `visit` answers `false` or there are no more.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn entries_back(&self, before: Option<Seq>, visit: &mut dyn FnMut(StoredEntry) -> bool) -> Result<(), Error>;

    /// Entries from `from` on, oldest first, until `visit` answers `false` or there are no more.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn entries_forward(&self, from: Seq, visit: &mut dyn FnMut(StoredEntry) -> bool) -> Result<(), Error>;

    /// One run.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn run(&self, id: RunId) -> Result<Option<RunSummary>, Error>;

    /// A page of runs, newest first, by the entry that created them. Stable while runs come and go: none twice, none
    /// left out. Looks at no more than [`model::limits::SCAN_KEYS_MAX`] keys.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn runs(&self, filter: &RunFilter, after: Option<Cursor>, limit: usize) -> Result<Page<RunSummary>, Error>;

    /// The open runs of a group ([`model::run::Gate::group`]), the oldest first.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn group(&self, group: &str) -> Result<Vec<RunId>, Error>;

    /// Takes up to `max` runs that are due at `now` and that nobody holds. Tenants take turns, also from one call to the
    /// next, so that one with many runs does not hold up the others; of each the one due first is in front. A run under a
    /// limit ([`RunSummary::gate`]) is not due while as many older runs of its group are open. A lease that has
    /// ended holds nothing once its run is taken by another; until then its owner may still prolong it and write.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn take_due(&self, now: Time, max: usize, lease: Duration) -> Result<Vec<Lease>, Error>;

    /// When there may next be something for [`Store::take_due`]: when a run that nobody holds is due, or a lease on a
    /// run that is due ends.
    fn next_due(&self) -> Option<Time>;

    /// Prolongs leases; answers for each whether it is still held.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn prolong(&self, leases: &[Lease], now: Time, lease: Duration) -> Result<Vec<bool>, Error>;

    /// Gives a lease back without a change; the run may be claimed again from `due_at` on.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn release(&self, lease: Lease, due_at: Time) -> Result<(), Error>;

    /// Makes runs that nobody holds due at `at` if they would be later. Lost when the store is closed.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn hasten(&self, runs: &[RunId], at: Time) -> Result<(), Error>;

    /// These entries, and nothing else, are never dropped until this is called again: legal holds. Not kept over a restart.
    fn hold(&self, entries: BTreeSet<Seq>);

    /// The entry up to which, itself not included, retention would drop history now; nothing when it would drop none. Looks
    /// at a bounded part of the history, so that there may be more once that is dropped. What is held or belongs to a run
    /// that has not ended lies in that range and stays.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn sweep_due(&self, now: Time, keep: &Retention) -> Result<Option<Seq>, Error>;

    /// One small step of retention: entries from `before` on stay, whatever `keep` says, so that what is dropped can be
    /// recorded first. Never touches a run that has not ended, nor the entries of its history. A step need not be durable
    /// when this returns; it is with the next commit.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn sweep_before(&self, now: Time, keep: &Retention, before: Seq) -> Result<Swept, Error>;

    /// [`Store::sweep_before`] without that bound.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn sweep(&self, now: Time, keep: &Retention) -> Result<Swept, Error> {
        self.sweep_before(now, keep, Seq(u64::MAX))
    }

    /// Writes everything, as it stood at one moment, while commits go on.
    ///
    /// # Errors
    /// [`Error`] when the store or the writer fails.
    fn backup(&self, out: &mut dyn Write) -> Result<u64, Error>;

    /// The tree over everything that is durable.
    fn ledger(&self) -> Ledger;

    /// The hashes of a tile of the ledger (see [`model::tree::Tile`]), full or not; none where the tree has none. Tiles
    /// outlive the entries that they cover.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn tile(&self, level: u8, index: u64) -> Result<Vec<Digest>, Error>;

    /// Everything that lies where the history lies, in order, until `visit` answers `false`: for verification, which
    /// must go on where reading stops.
    ///
    /// # Errors
    /// [`Error`] when the store fails; not when an entry is damaged.
    fn inspect(&self, visit: &mut dyn FnMut(Found) -> bool) -> Result<(), Error>;

    /// The leaf of an entry, computed anew from its header as it is stored now; nothing when it was dropped.
    ///
    /// # Errors
    /// [`Error`] when the store fails.
    fn leaf(&self, seq: Seq) -> Result<Option<Digest>, Error>;

    /// Figures about the store.
    fn stats(&self) -> Stats;
}

/// Fills an empty data folder from a backup, and says how many keys there were.
pub type Restore = fn(&std::path::Path, &mut dyn Read) -> Result<u64, Error>;
