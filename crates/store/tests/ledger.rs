//! The ledger on a disk: it is the same after a restart, whatever was dropped, and grows out of an older store.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use model::Seq;
use store::conformance::build::Draft;
use store::{Ledger, Options, Retention, Sled, Store};

fn open(dir: &Path) -> Sled {
    Sled::open(dir, Options { cache_bytes: 8 << 20, reserve_bytes: 0, ..Options::default() }).unwrap()
}

fn write(store: &Sled, entries: u64) {
    let mut draft = Draft::on(store);
    for _ in 0..entries {
        draft.entry(b"{}");
    }
    draft.commit(store).unwrap();
}

fn drop_all(store: &Sled) {
    let keep = Retention { age: Duration::ZERO, runs: u64::MAX, bytes: 0 };
    while store.sweep(store.now(), &keep).unwrap().more {}
}

#[test]
fn the_tree_goes_on_where_it_was_after_every_restart_and_every_sweep() {
    let dir = tempfile::tempdir().unwrap();
    let kept = tempfile::tempdir().unwrap();
    // The same entries in a store that is never closed nor swept: what the tree must be.
    let whole = open(kept.path());
    for entries in [1, 200, 54, 1, 1, 255, 256, 400, 3] {
        let store = open(dir.path());
        assert_eq!(without_base(store.ledger()), without_base(whole.ledger()));
        write_same(&store, &whole, entries);
        if entries != 54 {
            drop_all(&store);
        }
    }
    let store = open(dir.path());
    assert_eq!(store.ledger(), whole.ledger());
    assert!(store.entry(Seq(1)).unwrap().is_none() && whole.entry(Seq(1)).unwrap().is_some());
}

fn without_base(ledger: Ledger) -> (u64, model::Digest) {
    (ledger.size, ledger.root)
}

fn write_same(store: &Sled, whole: &Sled, entries: u64) {
    let mut draft = Draft::on(store);
    for _ in 0..entries {
        draft.entry(b"{}");
    }
    let commit = draft.commit.clone();
    draft.commit(store).unwrap();
    whole.commit(commit).unwrap();
}

#[test]
fn a_store_that_is_older_than_the_ledger_gets_one_over_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for _ in 0..20 {
        write(&store, 40);
    }
    let expected = store.ledger();
    drop(store);
    let raw = sled::open(dir.path().join("db")).unwrap();
    raw.remove(b"!l").unwrap();
    for key in raw.scan_prefix(b"l").keys() {
        raw.remove(key.unwrap()).unwrap();
    }
    raw.flush().unwrap();
    drop(raw);
    let store = open(dir.path());
    assert_eq!(store.ledger(), expected);
    assert_eq!(store.tile(0, 2).unwrap().len(), 256);
    drop_all(&store);
    drop(store);
    let raw = sled::open(dir.path().join("db")).unwrap();
    raw.remove(b"!l").unwrap();
    drop(raw);
    let store = open(dir.path());
    assert_eq!(store.ledger().base, store.stats().first_seq, "what was dropped before cannot be covered");
    assert_eq!(store.ledger().base.0 + store.ledger().size, store.next_seq().0);
}

#[test]
fn blocks_of_an_objects_history_go_with_what_they_list() {
    use store::conformance::build;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let key = build::key(model::Kind::Alert, "A-1");
    let block = |store: &Sled, count: u64| {
        let mut draft = Draft::on(store);
        let entries: Vec<Seq> = (0..count).map(|_| draft.entry(b"{}")).collect();
        let first = entries[0];
        draft.commit.object_blocks.push((key.clone(), entries));
        draft.commit(store).unwrap();
        first
    };
    let old = block(&store, 32);
    write(&store, 100);
    let new = block(&store, 32);
    assert_eq!(store.object_block(&key, old).unwrap().len(), 32);
    drop_all(&store);
    assert!(store.object_block(&key, old).unwrap().is_empty(), "nothing that it lists is there any more");
    assert_eq!(store.object_block(&key, new).unwrap().len(), 32, "the end of the history always stays");
}
