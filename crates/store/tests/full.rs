//! A disk that is really full. Needs a small one:
//!
//! ```text
//! mount -t tmpfs -o size=40m tmpfs /mnt/small && SORTIE_SMALL_DISK=/mnt/small cargo test -p store --test full
//! ```
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use model::Seq;
use store::conformance::witnessed;
use store::{Error, Options, Sled, Store};

fn open(dir: &Path) -> Sled {
    Sled::open(dir, Options { reserve_bytes: 4 << 20, cache_bytes: 8 << 20, ..Options::default() }).unwrap()
}

/// Writes until the store refuses; answers the last commit.
fn until_full(store: &Sled) -> u64 {
    loop {
        match witnessed::write(store) {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error, Error::Full { .. }), "{error}");
                return store.next_seq().0 - 1;
            }
        }
    }
}

#[test]
fn a_full_disk_is_refused_in_time_opened_again_and_left_behind() {
    let Some(disk) = std::env::var_os("SORTIE_SMALL_DISK") else {
        eprintln!("skipped: SORTIE_SMALL_DISK names no folder on a small disk");
        return;
    };
    let root = tempfile::tempdir_in(&disk).unwrap();
    let dir = root.path().join("data");
    let store = open(&dir);
    let last = until_full(&store);
    assert!(last > 10);
    (1..=last).for_each(|seq| witnessed::check(&store, Seq(seq)));
    drop(store);
    // Somebody else takes the rest, to the last byte.
    let hog = root.path().join("hog");
    let mut bytes = 1 << 20;
    let mut hogged = Vec::new();
    while bytes > 0 {
        let more = vec![1_u8; hogged.len() + bytes];
        match fs::write(&hog, &more) {
            Ok(()) => hogged = more,
            Err(_) => bytes /= 4,
        }
    }
    fs::write(&hog, &hogged).unwrap();
    let store = open(&dir);
    (1..=last).for_each(|seq| witnessed::check(&store, Seq(seq)));
    let again = until_full(&store);
    drop(store);
    fs::remove_file(&hog).unwrap();
    let store = open(&dir);
    (1..=again).for_each(|seq| witnessed::check(&store, Seq(seq)));
}

#[test]
fn a_store_goes_on_by_itself_once_there_is_room() {
    let Some(disk) = std::env::var_os("SORTIE_SMALL_DISK") else {
        eprintln!("skipped: SORTIE_SMALL_DISK names no folder on a small disk");
        return;
    };
    let root = tempfile::tempdir_in(&disk).unwrap();
    let hog = root.path().join("hog");
    fs::write(&hog, vec![1; 12 << 20]).unwrap();
    let store = open(&root.path().join("data"));
    let last = until_full(&store);
    fs::remove_file(&hog).unwrap();
    for _ in 0..20 {
        witnessed::write(&store).unwrap();
    }
    (1..=last + 20).for_each(|seq| witnessed::check(&store, Seq(seq)));
}

#[test]
fn after_a_write_that_failed_nothing_more_is_accepted_and_what_was_acknowledged_is_there() {
    let Some(disk) = std::env::var_os("SORTIE_SMALL_DISK") else {
        eprintln!("skipped: SORTIE_SMALL_DISK names no folder on a small disk");
        return;
    };
    let root = tempfile::tempdir_in(&disk).unwrap();
    let hog = root.path().join("hog");
    fs::write(&hog, vec![1; 12 << 20]).unwrap();
    let dir = root.path().join("data");
    let options = Options { reserve_bytes: 0, cache_bytes: 8 << 20, ..Options::default() };
    let store = Sled::open(&dir, options).unwrap();
    let error = loop {
        if let Err(error) = witnessed::write(&store) {
            break error;
        }
    };
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let acknowledged = store.next_seq().0 - 1;
    fs::remove_file(&hog).unwrap();
    assert!(matches!(witnessed::write(&store), Err(Error::Broken { .. })));
    assert!(store.take_due(store.now(), 1, std::time::Duration::from_secs(1)).is_err());
    drop(store);
    let store = open(&dir);
    assert!(store.next_seq().0 > acknowledged);
    (1..=acknowledged).for_each(|seq| witnessed::check(&store, Seq(seq)));
}
