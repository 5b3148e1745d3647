//! Opening the store: take the folder, open the database, see that nothing is missing, and rebuild what lives in memory.
//!
//! Invariants: opening looks at the open runs and at the end of the history, never at all of it. A database that is
//! empty or shorter than it was is refused, never taken for a new one.

use std::fs::File;
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

use model::run::RunSummary;
use model::{Seq, Time};

use super::absent::Absent;
use super::base::{Base, failed};
use super::committer::{self, Committer};
use super::folder::{self, Folder};
use super::group;
use super::history::Groups;
use super::keys::{self, Keyspace};
use super::ledger::Edge;
use super::packs::{Pack, Packs, Place};
use super::recent::Recent;
use super::schedule::Schedule;
use super::sweep::{Dropped, Sweeper};
use super::values::{self, Writes};
use super::{Figures, Options, Sled, parse};
use crate::api::{Durability, Error};

/// How often the database's own thread writes what is waiting and collects garbage. Without it nothing is collected.
const FLUSH_EVERY_MILLIS: u64 = 500;
/// How long the threads of a store that was just closed in this process may still hold its file.
const STILL_CLOSING: Duration = Duration::from_secs(5);
/// Groups at the end of the history that are seen to follow each other.
const GROUPS_CHECKED: usize = 1_000;

/// Opens the database in `path`. The data folder must be held.
pub(super) fn open_database(path: &Path, cache_bytes: u64) -> Result<sled::Db, Error> {
    let started = Instant::now();
    loop {
        let config =
            sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(Some(FLUSH_EVERY_MILLIS));
        // A damaged file makes the database panic here and there.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let error = match opened {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(error)) => error,
            Err(_) => return Err(Error::Corrupt { detail: "the database cannot read its file".to_owned() }),
        };
        let closing = matches!(&error, sled::Error::Io(io) if io.kind() == std::io::ErrorKind::Other);
        if !closing || started.elapsed() > STILL_CLOSING {
            return Err(match error {
                sled::Error::ReportableBug(detail) | sled::Error::Unsupported(detail) => Error::Corrupt { detail },
                other => failed("opening the database")(other),
            });
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Makes what the database created stay: it does not sync these itself.
pub(super) fn sync_created(path: &Path) -> Result<(), Error> {
    folder::sync_file(&path.join("conf"))?;
    folder::sync_file(&path.join("db"))?;
    folder::sync_folder(&path.join("blobs"))?;
    folder::sync_folder(path)
}

/// Where the history ends, and the totals there.
#[derive(Debug, Default)]
struct End {
    next: u64,
    last_time: Time,
    ended_total: u64,
    bytes_total: u64,
}

pub(super) fn open(dir: &Path, options: Options) -> Result<Sled, Error> {
    let folder = Folder::take(dir, options.reserve_bytes)?;
    let witness = folder.witness()?;
    let there = witness.map_or(0, |witness| witness.next_seq.0).max(folder.noted().unwrap_or(0));
    if there > 1 && !folder.db().join("db").exists() {
        return Err(Error::Corrupt { detail: "the database is missing".to_owned() });
    }
    let db = open_database(&folder.db(), options.cache_bytes)?;
    sync_created(&folder.db())?;
    folder::sync_folder(dir)?;
    let base = Base::new(db, &folder.db(), options.durability)?;
    let (boot, format) = check_format(&base, there)?;
    let end = catch_unwind(AssertUnwindSafe(|| find_end(&base)))
        .unwrap_or_else(|_| Err(Error::Corrupt { detail: "the database cannot read its pages".to_owned() }))?;
    if end.next < there {
        let detail = format!("the history ends before entry {}, but entries up to {} were there", end.next, there - 1);
        return Err(Error::Corrupt { detail });
    }
    let schedule = load_schedule(&base, boot)?;
    let dropped = Dropped::read(&base)?;
    let ledger = Edge::open(&base, end.next, dropped.first_seq)?;
    let figures = Figures {
        first_seq: dropped.first_seq.max(1),
        ended_runs: end.ended_total.saturating_sub(dropped.ended),
        history_bytes: end.bytes_total.saturating_sub(dropped.bytes),
        ..Figures::default()
    };
    let store = Sled {
        base,
        committer: Mutex::new(Committer::new(end.ended_total, end.bytes_total)),
        sweeper: Mutex::new(Sweeper::new(dropped)),
        schedule: Mutex::new(schedule),
        groups: Mutex::new(Groups::default()),
        ledger: Mutex::new(ledger),
        packs: Mutex::new(Packs::default()),
        recent: Mutex::new(Recent::new()),
        absent: Absent::default(),
        figures: Mutex::new(figures),
        next: AtomicU64::new(end.next),
        seen: AtomicI64::new(end.last_time.millis()),
        clock: options.clock,
        durability: options.durability,
        folder,
    };
    if format < keys::FORMAT {
        keep_as_it_was(&store, dir, format)?;
    }
    write_boot(&store.base, boot)?;
    if options.durability != Durability::Nothing {
        store.folder.testify(store.witness(), true)?;
        store.folder.note(store.witness().next_seq.0);
    }
    Ok(store)
}

/// Writes a backup of a store as an older version left it, before this one writes into it: the way back.
fn keep_as_it_was(store: &Sled, dir: &Path, format: u32) -> Result<(), Error> {
    let io = |source| Error::Io { doing: "writing a backup before the upgrade", source };
    let path = dir.join(format!("before-upgrade-from-{format}.backup"));
    let new = path.with_extension("partial");
    let mut file = File::create(&new).map_err(io)?;
    store.back_up(&mut BufWriter::new(&mut file))?;
    file.sync_all().and_then(|()| std::fs::rename(&new, &path)).map_err(io)?;
    folder::sync_folder(dir)?;
    tracing::warn!(
        backup = %path.display(),
        "the data folder was written by an older version (format {format}); it is upgraded to format {}, and a backup of how it was is kept",
        keys::FORMAT
    );
    Ok(())
}

/// Sees that this version can read the store; answers the number of this start, and the format that was found.
fn check_format(base: &Base, there: u64) -> Result<(u64, u32), Error> {
    let Some(format) = values::read(&base.tree, keys::FORMAT_KEY)? else {
        if there > 1 || !base.tree.is_empty() {
            return Err(Error::Corrupt { detail: "the database has lost its beginning".to_owned() });
        }
        return Ok((1, keys::FORMAT));
    };
    let found =
        number(&format).ok_or_else(|| Error::Corrupt { detail: "the format's number is cut short".to_owned() })?;
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found > keys::FORMAT {
        return Err(Error::Newer { found, known: keys::FORMAT });
    }
    let boot = values::read(&base.tree, keys::BOOT_KEY)?.and_then(|value| number(&value));
    let boot = boot.ok_or_else(|| Error::Corrupt { detail: "the number of starts is missing".to_owned() })?;
    Ok((boot + 1, found))
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn write_boot(base: &Base, boot: u64) -> Result<(), Error> {
    let mut writes = Writes::default();
    writes.put(keys::FORMAT_KEY, &u64::from(keys::FORMAT).to_be_bytes());
    writes.put(keys::BOOT_KEY, &boot.to_be_bytes());
    base.apply(writes)
}

/// Reads the end of the history, and sees that its last groups follow each other.
fn find_end(base: &Base) -> Result<End, Error> {
    let mut end = End { next: 1, ..End::default() };
    let mut after: Option<u64> = None;
    let mut seen = 0;
    let dropped = Dropped::read(base)?;
    let gap = |at: u64| Error::Corrupt { detail: format!("history is missing before entry {at}") };
    for found in base.scan(&keys::start(Keyspace::Headers)).rev().take(GROUPS_CHECKED) {
        let (key, stored) = found?;
        let first = keys::group_first(&key).ok_or_else(|| gap(end.next))?;
        let head = group::head(&values::whole(&base.tree, &key, stored)?)?;
        let next = first + u64::from(head.count);
        if !base.tree.contains_key(keys::group(Keyspace::Payloads, first)).map_err(failed("reading"))? {
            return Err(Error::Corrupt { detail: format!("the payloads of the entries from {first} on are missing") });
        }
        match after {
            None => {
                let (ended_total, bytes_total) = (head.ended_total, head.bytes_total);
                end = End { next, last_time: head.last_time, ended_total, bytes_total };
            }
            Some(after) if after != next && after > dropped.first_seq => return Err(gap(after)),
            Some(_) => {}
        }
        after = Some(first);
        seen += 1;
    }
    if let Some(first) = after.filter(|first| seen < GROUPS_CHECKED && *first > dropped.first_seq.max(1)) {
        return Err(gap(first));
    }
    if let Some(totals) = committer::read_totals(&base.tree)? {
        end.ended_total = end.ended_total.max(totals.ended_total);
    }
    Ok(end)
}

fn load_schedule(base: &Base, boot: u64) -> Result<Schedule, Error> {
    let mut schedule = Schedule::new(boot);
    load_packs(base, &mut schedule)?;
    for found in base.scan(&keys::start(Keyspace::RunOpen)) {
        let (key, stored) = found?;
        let run: RunSummary = parse(&values::whole(&base.tree, &key, stored)?, "a run")?;
        if keys::run_of(&key) != Some((run.id.seq, run.id.n)) || run.id.seq == Seq(0) {
            return Err(Error::Corrupt { detail: "a run lies where it does not belong".to_owned() });
        }
        schedule.follow(&run, None, Place::Own);
    }
    Ok(schedule)
}

/// Takes over the new runs that have not been written again since.
fn load_packs(base: &Base, schedule: &mut Schedule) -> Result<(), Error> {
    for found in base.scan(&keys::start(Keyspace::RunPack)) {
        let (key, stored) = found?;
        let first = keys::group_first(&key).unwrap_or(0);
        let pack = Pack::read(first, &values::whole(&base.tree, &key, stored)?)?;
        for index in 0..pack.len() {
            let run = pack.run(index)?;
            let newer =
                |space| base.tree.contains_key(keys::run(space, keys::run_key(run.id))).map_err(failed("reading"));
            if !newer(Keyspace::RunOpen)? && !newer(Keyspace::RunEnded)? && run.id.seq.0 >= first {
                schedule.follow(&run, None, Place::Pack { first, index });
            }
        }
    }
    Ok(())
}
