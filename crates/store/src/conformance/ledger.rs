//! The ledger: its tree is the one over the headers, and stays when they are dropped.

use std::time::Duration;

use model::tree::{self, Tree};
use model::{Digest, Seq};

use super::build::Draft;
use crate::api::{Error, Retention, Store};

/// The tree over all entries, from their headers.
fn expected(store: &dyn Store) -> Tree {
    let mut tree = Tree::new();
    let mut full = Vec::new();
    store
        .entries_forward(Seq(0), &mut |stored| {
            tree.push(tree::leaf(&serde_json::to_vec(&stored.header).unwrap()), &mut full);
            true
        })
        .unwrap();
    tree
}

fn write(store: &dyn Store, entries: usize) {
    let mut draft = Draft::on(store);
    for n in 0..entries {
        draft.entry(format!("{{\"n\":{n}}}").as_bytes());
    }
    draft.commit(store).unwrap();
}

/// The root, from tiles alone.
fn root_of_tiles(store: &dyn Store, size: u64) -> Digest {
    let mut tile = |level, index| store.tile(level, index);
    let mut hashes = |height, index| Ok::<_, Error>(tree::perfect(height, index, &mut tile)?.unwrap());
    tree::root(size, &mut hashes).unwrap()
}

pub(super) fn the_tree_follows(store: &dyn Store) {
    assert_eq!((store.ledger().size, store.ledger().root), (0, tree::empty()));
    assert!(store.tile(0, 0).unwrap().is_empty() && store.tile(3, 9).unwrap().is_empty());
    for entries in [1, 2, 100, 153, 1, 400] {
        write(store, entries);
        let (ledger, tree) = (store.ledger(), expected(store));
        assert_eq!((ledger.base, ledger.size, ledger.root), (Seq(1), tree.size(), tree.root()));
        assert_eq!(root_of_tiles(store, ledger.size), ledger.root);
    }
    assert_eq!(store.tile(0, 0).unwrap().len(), tree::TILE);
    assert_eq!(store.leaf(Seq(7)).unwrap(), Some(store.tile(0, 0).unwrap()[6]));
    assert_eq!(store.leaf(store.next_seq()).unwrap(), None);
    // What is refused leaves no leaf.
    let before = store.ledger();
    let mut draft = Draft::on(store);
    draft.entry(b"{}");
    draft.commit.entries[0].header.seq = Seq(before.size + 2);
    assert!(draft.commit(store).is_err());
    assert_eq!(store.ledger(), before);
}

pub(super) fn tiles_outlive_their_entries(store: &dyn Store) {
    for _ in 0..6 {
        write(store, 70);
    }
    let before = store.ledger();
    let keep = Retention { age: Duration::ZERO, runs: u64::MAX, bytes: 0 };
    while store.sweep(store.now(), &keep).unwrap().more {}
    assert!(store.entry(Seq(1)).unwrap().is_none(), "entries were dropped");
    assert_eq!(store.ledger(), before);
    assert_eq!(root_of_tiles(store, before.size), before.root);
    write(store, 30);
    assert_eq!(root_of_tiles(store, before.size), before.root, "the old tree is still there");
    assert_eq!(root_of_tiles(store, store.ledger().size), store.ledger().root);
}

pub(super) fn what_is_held_stays(store: &dyn Store) {
    for _ in 0..6 {
        write(store, 1);
    }
    store.hold([Seq(2)].into());
    let keep = Retention { age: Duration::ZERO, runs: u64::MAX, bytes: 0 };
    let sweep = || while store.sweep(store.now(), &keep).unwrap().more {};
    sweep();
    assert!(store.entry(Seq(2)).unwrap().is_some_and(|stored| stored.entry.is_some()));
    assert!(store.entry(Seq(1)).unwrap().is_none() && store.entry(Seq(4)).unwrap().is_none(), "and nothing else");
    store.hold([].into());
    write(store, 1);
    sweep();
    assert!(store.entry(Seq(2)).unwrap().is_none(), "until it is let go");
}
