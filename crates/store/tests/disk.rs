//! What is particular to a store on a disk: reopening, damage, room, backup, compaction.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use model::run::RunStatus;
use model::{Kind, Seq, Time};
use store::conformance::build::{self, Draft};
use store::conformance::witnessed;
use store::{Durability, Error, Expect, Options, Retention, Sled, Store};

fn options() -> Options {
    Options { cache_bytes: 8 << 20, reserve_bytes: 0, ..Options::default() }
}

fn open(dir: &Path) -> Sled {
    Sled::open(dir, options()).unwrap()
}

fn refused(dir: &Path) -> Error {
    match Sled::open(dir, options()) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

#[test]
fn everything_is_there_after_a_clean_end() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let store = open(dir.path());
        assert_eq!(store.next_seq(), Seq(round * 30 + 1));
        (1..store.next_seq().0).for_each(|seq| witnessed::check(&store, Seq(seq)));
        (0..30).for_each(|_| write(&store));
        let stats = store.stats();
        assert_eq!((stats.open_runs, stats.ended_runs), (round * 15 + 15, round * 15 + 15));
    }
}

#[test]
fn a_lease_does_not_outlive_the_process_and_is_never_mistaken_for_a_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let run = build::one_run(&store, "p").unwrap();
    let before = store.take_due(store.now(), 1, Duration::from_secs(3600)).unwrap()[0];
    drop(store);
    let store = open(dir.path());
    let after = store.take_due(store.now(), 1, Duration::from_secs(3600)).unwrap()[0];
    assert_eq!(after.run, run.id);
    assert!(after.epoch > before.epoch);
    let mut draft = Draft::on(&store);
    let seq = draft.entry(b"{}");
    draft.write(
        build::moved(&run, RunStatus::Running, seq, draft.time),
        Expect::Lease { epoch: before.epoch, version: 0 },
    );
    assert!(matches!(draft.commit(&store), Err(Error::Fenced { .. })));
}

static WALL: AtomicI64 = AtomicI64::new(1_700_000_000_000);

#[test]
fn time_does_not_go_back_when_the_wall_clock_does_not_even_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { clock: || Time::from_millis(WALL.load(Ordering::SeqCst)), ..options() };
    let store = Sled::open(dir.path(), options).unwrap();
    let first = store.now();
    let mut draft = Draft::on(&store);
    draft.entry(b"{}");
    draft.commit(&store).unwrap();
    WALL.fetch_sub(3_600_000, Ordering::SeqCst);
    assert_eq!(store.now(), first);
    drop(store);
    let store = Sled::open(dir.path(), options).unwrap();
    assert_eq!(store.now(), first);
    WALL.fetch_add(3_600_001, Ordering::SeqCst);
    assert_eq!(store.now(), Time::from_millis(first.millis() + 1));
}

#[test]
fn a_second_opening_is_refused_at_once_and_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(matches!(refused(dir.path()), Error::InUse { path } if path == dir.path()));
    assert!(matches!(store::compact(dir.path()), Err(Error::InUse { .. })));
    assert!(matches!(store::restore(dir.path(), &mut &b""[..]), Err(Error::InUse { .. })));
    drop(store);
    open(dir.path());
}

fn write(store: &Sled) {
    witnessed::write(store).unwrap();
}

/// A store that was closed, with so many commits.
fn closed(commits: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (0..commits).for_each(|_| write(&store));
    dir
}

#[test]
fn a_database_that_lost_something_is_refused_and_never_taken_for_a_new_one() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("the file is gone", |db| fs::remove_file(db.join("db")).unwrap()),
        ("the folder is gone", |db| fs::remove_dir_all(db).unwrap()),
        ("the file is empty", |db| drop(fs::File::create(db.join("db")).unwrap())),
        ("the file is zeros", |db| {
            let bytes = fs::metadata(db.join("db")).unwrap().len();
            fs::write(db.join("db"), vec![0; bytes as usize]).unwrap();
        }),
        ("the file is not a database", |db| fs::write(db.join("db"), vec![0x5a; 3 << 20]).unwrap()),
    ];
    for (what, damage) in damages {
        let dir = closed(40);
        damage(&dir.path().join("db"));
        let error = refused(dir.path());
        assert!(matches!(error, Error::Corrupt { .. }), "{what}: {error}");
        assert!(error.to_string().contains("sortie restore"), "{what}: {error}");
    }
}

/// Whether everything of these commits is there; what is missing without an error is a failure.
fn whole_or_refused(dir: &Path, commits: u64) -> bool {
    let store = match Sled::open(dir, options()) {
        Ok(store) => store,
        Err(Error::Corrupt { .. }) => return false,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(store.next_seq(), Seq(commits + 1), "shorter without a word");
    match store.verify() {
        Ok(verified) => assert_eq!((verified.entries, verified.objects), (commits, commits)),
        Err(Error::Corrupt { .. } | Error::Io { .. } | Error::Database { .. }) => return false,
        Err(other) => panic!("{other}"),
    }
    (1..=commits).for_each(|seq| witnessed::check(&store, Seq(seq)));
    true
}

#[test]
fn a_truncated_or_flipped_file_is_refused_or_whole() {
    let dir = closed(150);
    // Once more, so that the database has written a snapshot of its page table.
    write(&open(dir.path()));
    let names: Vec<_> = fs::read_dir(dir.path().join("db")).unwrap().map(|e| e.unwrap().file_name()).collect();
    let snapshot = names.iter().find(|name| name.to_string_lossy().starts_with("snap")).unwrap().clone();
    let mut refusals = 0;
    for i in 1..40_usize {
        let name = if i % 8 == 0 { snapshot.as_os_str() } else { "db".as_ref() };
        let mut damaged = fs::read(dir.path().join("db").join(name)).unwrap();
        let at = damaged.len() * i / 40;
        if i % 2 == 0 {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 0x40;
        }
        let copy = tempfile::tempdir().unwrap();
        fs::create_dir_all(copy.path().join("db/blobs")).unwrap();
        fs::copy(dir.path().join("witness"), copy.path().join("witness")).unwrap();
        for other in names.iter().filter(|other| *other != "blobs") {
            fs::copy(dir.path().join("db").join(other), copy.path().join("db").join(other)).unwrap();
        }
        fs::write(copy.path().join("db").join(name), &damaged).unwrap();
        let whole = whole_or_refused(copy.path(), 151);
        refusals += u32::from(!whole);
    }
    assert!(refusals > 0);
}

#[test]
fn a_newer_format_is_refused() {
    let dir = closed(1);
    let db = sled::open(dir.path().join("db")).unwrap();
    let mut value = vec![0];
    value.extend_from_slice(&9_u64.to_be_bytes());
    db.insert(b"!f", value).unwrap();
    db.flush().unwrap();
    drop(db);
    assert!(matches!(refused(dir.path()), Error::Newer { found: 9, known: 2 }));
}

#[test]
fn a_full_disk_is_refused_before_anything_is_written_and_later_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let full = Options { reserve_bytes: u64::MAX / 4, ..options() };
    let store = Sled::open(dir.path(), full).unwrap();
    assert!(matches!(witnessed::write(&store), Err(Error::Full { .. })));
    assert_eq!((store.next_seq(), store.stats().commits), (Seq(1), 0));
    drop(store);
    let store = Sled::open(dir.path(), Options { reserve_bytes: 1 << 20, ..options() }).unwrap();
    witnessed::write(&store).unwrap();
    assert_eq!(fs::metadata(dir.path().join("ballast")).unwrap().len(), 1 << 20, "the ballast is laid down");
    drop(store);
    let store = Sled::open(dir.path(), full).unwrap();
    assert!(!dir.path().join("ballast").exists(), "and given up when the disk is full");
    witnessed::check(&store, Seq(1));
}

/// Commits and sweeps each time the backup writes something.
struct Meanwhile<'a> {
    store: &'a Sled,
    bytes: Vec<u8>,
}

impl Write for Meanwhile<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        write(self.store);
        let keep = Retention { age: Duration::MAX, runs: 60, bytes: u64::MAX };
        self.store.sweep(self.store.now(), &keep).unwrap();
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_backup_made_under_load_is_one_moment_and_restores_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (0..200).for_each(|_| write(&store));
    let before = store.stats();
    let mut out = Meanwhile { store: &store, bytes: Vec::new() };
    assert!(store.backup(&mut out).unwrap() > 200);
    let bytes = out.bytes;
    assert!(
        store.next_seq().0 > before.next_seq.0 + 5 && store.stats().first_seq > before.first_seq,
        "it was under load"
    );
    let fresh = tempfile::tempdir().unwrap();
    let folder = fresh.path().join("data");
    store::restore(&folder, &mut bytes.as_slice()).unwrap();
    assert!(matches!(store::restore(&folder, &mut bytes.as_slice()), Err(Error::NotEmpty { .. })));
    let restored = open(&folder);
    let after = restored.stats();
    let figures = |s: store::Stats| (s.first_seq, s.next_seq, s.open_runs, s.ended_runs, s.history_bytes);
    assert_eq!(figures(after), figures(before));
    (1..201).for_each(|seq| witnessed::check(&restored, Seq(seq)));
    restored.verify().unwrap();
    assert_eq!(witnessed::write(&restored).unwrap(), before.next_seq);
}

#[test]
fn what_is_not_a_whole_backup_leaves_no_store_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (0..20).for_each(|_| write(&store));
    let mut bytes = Vec::new();
    store.backup(&mut bytes).unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let mut bad: Vec<Vec<u8>> = (0..bytes.len()).step_by(bytes.len() / 40).map(|cut| bytes[..cut].to_vec()).collect();
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        bad.push(flipped);
    }
    for backup in bad {
        let answer = store::restore(fresh.path(), &mut backup.as_slice());
        assert!(matches!(answer, Err(Error::BadBackup { .. })), "{answer:?}");
        assert!(!fresh.path().join("db").exists() && !fresh.path().join("db.new").exists());
    }
    store::restore(fresh.path(), &mut bytes.as_slice()).unwrap();
    (1..21).for_each(|seq| witnessed::check(&open_again(fresh.path()), Seq(seq)));
}

fn open_again(dir: &Path) -> Sled {
    open(dir)
}

/// Fails after so many bytes.
struct Breaking(usize);

impl Write for Breaking {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.checked_sub(bytes.len()) {
            Some(left) => {
                self.0 = left;
                Ok(bytes.len())
            }
            None => Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe)),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_backup_that_breaks_off_does_not_stay_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (0..20).for_each(|_| write(&store));
    assert!(matches!(store.backup(&mut Breaking(100)), Err(Error::Io { .. })));
    store.backup(&mut Vec::new()).unwrap();
    witnessed::write(&store).unwrap();
}

#[test]
fn compaction_gives_room_back_and_keeps_everything() {
    let dir = closed(200);
    let store = open(dir.path());
    for _ in 0..200 {
        let mut draft = Draft::on(&store);
        draft.entry(b"{}");
        draft.commit.objects.push((build::key(Kind::Case, "C"), build::object("C", 200_000, draft.time)));
        draft.commit(&store).unwrap();
    }
    drop(store);
    let compacted = store::compact(dir.path()).unwrap();
    assert!(compacted.bytes_after < compacted.bytes_before, "{compacted:?}");
    let store = open(dir.path());
    (1..201).for_each(|seq| witnessed::check(&store, Seq(seq)));
    assert_eq!(store.next_seq(), Seq(401));
}

#[test]
fn a_swap_that_was_interrupted_ends_with_a_whole_database() {
    let db = |dir: &tempfile::TempDir, name: &str| dir.path().join(name);
    // Before the new one was in place.
    let dir = closed(10);
    fs::rename(db(&dir, "db"), db(&dir, "db.old")).unwrap();
    fs::create_dir(db(&dir, "db.new")).unwrap();
    let store = open(dir.path());
    (1..11).for_each(|seq| witnessed::check(&store, Seq(seq)));
    assert!(!db(&dir, "db.old").exists() && !db(&dir, "db.new").exists());
    drop(store);
    // After it was in place.
    fs::create_dir(db(&dir, "db.old")).unwrap();
    fs::write(db(&dir, "db.old").join("db"), b"old").unwrap();
    let store = open(dir.path());
    (1..11).for_each(|seq| witnessed::check(&store, Seq(seq)));
    assert!(!db(&dir, "db.old").exists());
}

#[test]
fn the_folder_stops_growing_under_retention() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sled::open(dir.path(), Options { durability: Durability::Process, ..options() }).unwrap();
    let keep = Retention { age: Duration::from_secs(1000), runs: u64::MAX, bytes: u64::MAX };
    let start = store.now();
    let mut history = Vec::new();
    for window in 0..10_u64 {
        for i in 0..100_u64 {
            let mut draft = Draft::on(&store).at(start.plus(Duration::from_secs(window * 1000 + i * 10)));
            for n in 0..8 {
                let seq = draft.entry(&vec![b'a' + n; 2000]);
                let run = draft.start(seq, 0, "p");
                draft.write(build::moved(&run, RunStatus::Succeeded, seq, draft.time), Expect::Version(0));
            }
            let now = draft.time;
            let id = format!("A-{window}-{i}");
            draft.commit.objects.push((build::key(Kind::Alert, &id), build::object(&id, 9_000, now)));
            draft.commit(&store).unwrap();
            while store.sweep(now, &keep).unwrap().more {}
        }
        let stats = store.stats();
        history.push(stats.history_bytes);
        assert!(stats.ended_runs <= 816, "{stats:?}");
    }
    assert!(history[9] <= history[1] * 11 / 10, "{history:?}");
    let objects = store.verify().unwrap().objects;
    assert!((100..=120).contains(&objects), "{objects} objects are kept, of 100 in a window");
}

#[test]
fn a_store_that_lost_its_last_second_before_a_kill_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sled::open(dir.path(), Options { durability: Durability::Power, ..options() }).unwrap();
    (0..20).for_each(|_| write(&store));
    let copy = tempfile::tempdir().unwrap();
    let copy_files = |from: &Path, to: &Path| {
        fs::create_dir_all(to.join("blobs")).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    // The database as it was a moment ago, and the rest of the folder as the killed process left it.
    copy_files(&dir.path().join("db"), &copy.path().join("db"));
    (0..3).for_each(|_| write(&store));
    for name in ["witness", "witness.now"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let error = refused(copy.path());
    assert!(matches!(&error, Error::Corrupt { detail } if detail.contains("up to 23 were there")), "{error}");
    // Without the note the loss cannot be seen: it is what makes the difference.
    fs::remove_file(copy.path().join("witness.now")).unwrap();
    assert_eq!(open(copy.path()).next_seq(), Seq(21));
}
