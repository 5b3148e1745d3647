//! Commits: all or nothing, once, in order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use model::run::RunStatus;
use model::{Digest, Kind, Seq};

use super::build::{self, Draft};
use crate::api::{Commit, Error, Expect, RunFilter, Store, Window};

/// A commit with every effect there is, beside `runs`.
fn everything(store: &dyn Store) -> Draft {
    let mut draft = Draft::on(store);
    let seq = draft.entry(b"{\"everything\":true}");
    let until = draft.time.plus(Duration::from_secs(60));
    draft.commit.objects.push((build::key(Kind::Case, "C-1"), build::object("C-1", 5, draft.time)));
    draft.commit.object_blocks.push((build::key(Kind::Case, "C-1"), vec![Seq(1), Seq(2)]));
    draft.commit.claims.push(build::claim(1, seq, until));
    draft.commit.windows.push(Window { key: "w".into(), until: Some(until) });
    draft.commit.marks.push(("m".into(), Some(b"v".to_vec())));
    draft.commit.texts.push((Digest::of(b"text"), b"text".to_vec()));
    draft
}

fn nothing_of_it(store: &dyn Store) {
    let now = store.now();
    assert_eq!(store.object(&build::key(Kind::Case, "C-1")).unwrap(), None);
    assert_eq!(store.object_block(&build::key(Kind::Case, "C-1"), Seq(1)).unwrap(), []);
    assert_eq!(store.claim(&[1; 16], now).unwrap(), None);
    assert_eq!(store.window("w", now).unwrap(), None);
    assert_eq!(store.mark("m").unwrap(), None);
    assert_eq!(store.text(&Digest::of(b"text")).unwrap(), None);
}

pub(super) fn a_refused_commit_changes_nothing(store: &dyn Store) {
    let run = build::one_run(store, "p").unwrap();
    let lease = store.take_due(store.now(), 1, Duration::from_secs(60)).unwrap()[0];
    let next = store.next_seq();
    let bad = [
        Expect::New,
        Expect::Version(7),
        Expect::Lease { epoch: lease.epoch + 1, version: 0 },
        Expect::Lease { epoch: lease.epoch, version: 1 },
    ];
    for expect in bad {
        let mut draft = everything(store);
        let other = draft.start(next, 3, "other");
        draft.write(build::moved(&run, RunStatus::Succeeded, next, draft.time), expect);
        assert!(matches!(draft.commit(store), Err(Error::Fenced { run: fenced }) if fenced == run.id), "{expect:?}");
        assert_eq!(store.next_seq(), next);
        assert_eq!(store.entry(next).unwrap(), None);
        assert_eq!(store.run(other.id).unwrap(), None);
        assert_eq!(store.run(run.id).unwrap().as_ref(), Some(&run));
        assert_eq!(store.runs(&RunFilter::default(), None, 10).unwrap().items.len(), 1);
        nothing_of_it(store);
    }
    // And the lease is still good.
    let mut draft = everything(store);
    let expect = Expect::Lease { epoch: lease.epoch, version: 0 };
    draft.write(build::moved(&run, RunStatus::Succeeded, next, draft.time), expect);
    draft.commit(store).unwrap();
    assert_eq!(store.run(run.id).unwrap().unwrap().status, RunStatus::Succeeded);
    assert!(store.object(&build::key(Kind::Case, "C-1")).unwrap().is_some());
    assert_eq!(store.object_block(&build::key(Kind::Case, "C-1"), Seq(1)).unwrap(), [Seq(1), Seq(2)]);
    assert_eq!(store.marks("").unwrap(), [("m".to_owned(), b"v".to_vec())]);
}

pub(super) fn one_start_key_starts_one_run(store: &dyn Store) {
    let start = |n: u16| {
        let mut draft = Draft::on(store);
        let seq = draft.entry(b"{}");
        draft.start(seq, n, "p");
        draft.commit.claims.push(build::claim(3, seq, draft.time.plus(Duration::from_secs(60))));
        (seq, draft.commit(store))
    };
    let (first, answer) = start(0);
    answer.unwrap();
    let (_, answer) = start(1);
    assert!(matches!(answer, Err(Error::Claimed { by }) if by == first));
    assert_eq!(store.runs(&RunFilter::default(), None, 10).unwrap().items.len(), 1);
    // Within one commit as well.
    let mut draft = Draft::on(store);
    let seq = draft.entry(b"{}");
    for _ in 0..2 {
        draft.commit.claims.push(build::claim(4, seq, draft.time.plus(Duration::from_secs(60))));
    }
    assert!(matches!(draft.commit(store), Err(Error::Claimed { by }) if by == seq));
    // And once it has ended, it is free again.
    let until = store.claim(&[3; 16], store.now()).unwrap().unwrap().until;
    assert_eq!(store.claim(&[3; 16], until).unwrap(), None);
    let mut draft = Draft::on(store).at(until);
    let seq = draft.entry(b"{}");
    draft.commit.claims.push(build::claim(3, seq, until.plus(Duration::from_secs(60))));
    draft.commit(store).unwrap();
    assert_eq!(store.claim(&[3; 16], until).unwrap().unwrap().by, seq);
}

pub(super) fn a_claim_has_one_winner(store: &dyn Store) {
    let won = AtomicUsize::new(0);
    let lost = AtomicUsize::new(0);
    let attempt = || loop {
        let mut draft = Draft::on(store);
        let seq = draft.entry(b"{}");
        draft.commit.claims.push(build::claim(5, seq, draft.time.plus(Duration::from_secs(600))));
        match draft.commit(store) {
            Ok(()) => break won.fetch_add(1, Ordering::SeqCst),
            Err(Error::Claimed { .. }) => break lost.fetch_add(1, Ordering::SeqCst),
            Err(Error::NotNext { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    };
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(attempt);
        }
    });
    assert_eq!((won.into_inner(), lost.into_inner()), (1, 63));
}

pub(super) fn the_history_has_no_gap(store: &dyn Store) {
    let mut written = Vec::new();
    for count in [1_usize, 3, 200, 1, 40] {
        let mut draft = Draft::on(store);
        for i in 0..count {
            draft.entry(format!("{{\"i\":{i},\"pad\":\"{}\"}}", "x".repeat(i * 37 % 4000)).as_bytes());
        }
        written.extend(draft.commit.entries.clone());
        draft.commit(store).unwrap();
    }
    let next = store.next_seq();
    assert_eq!(next.0, written.len() as u64 + 1);
    for wrong in [Seq(next.0 - 1), Seq(next.0 + 1), Seq(1)] {
        let mut draft = Draft::on(store);
        draft.entry(b"{}");
        draft.commit.entries[0].header.seq = wrong;
        let answer = draft.commit(store);
        assert!(matches!(answer, Err(Error::NotNext { base, next: n }) if base == wrong && n == next));
    }
    let mut draft = Draft::on(store);
    draft.entry(b"{}");
    draft.entry(b"{}");
    draft.commit.entries[1].header.seq = Seq(next.0 + 2);
    assert!(matches!(draft.commit(store), Err(Error::NotNext { .. })));
    let mut forward = Vec::new();
    store
        .entries_forward(Seq(1), &mut |entry| {
            forward.push(entry.entry.unwrap());
            true
        })
        .unwrap();
    assert_eq!(forward, written);
    assert!(forward.iter().all(model::history::Entry::verifies));
    let mut back = Vec::new();
    store
        .entries_back(None, &mut |entry| {
            back.push(entry.entry.unwrap());
            true
        })
        .unwrap();
    back.reverse();
    assert_eq!(back, written);
    for seq in [1, 2, 4, 5, 150, 204, 205, 206, next.0 - 1] {
        let found = store.entry(Seq(seq)).unwrap().unwrap();
        assert_eq!(found.entry.as_ref(), written.get(seq as usize - 1));
    }
    let mut some = Vec::new();
    store
        .entries_back(Some(Seq(100)), &mut |entry| {
            some.push(entry.header.seq.0);
            some.len() < 3
        })
        .unwrap();
    assert_eq!(some, [99, 98, 97]);
    let mut some = Vec::new();
    store
        .entries_forward(Seq(100), &mut |entry| {
            some.push(entry.header.seq.0);
            some.len() < 3
        })
        .unwrap();
    assert_eq!(some, [100, 101, 102]);
}

pub(super) fn a_repeated_commit_changes_nothing(store: &dyn Store) {
    let mut draft = everything(store);
    let seq = draft.commit.entries[0].header.seq;
    let run = draft.start(seq, 0, "p");
    let commit: Commit = draft.commit;
    store.commit(commit.clone()).unwrap();
    let stats = store.stats();
    assert!(matches!(store.commit(commit), Err(Error::NotNext { .. })), "the caller did not hear the answer");
    assert_eq!((store.stats().next_seq, store.stats().open_runs), (stats.next_seq, 1));
    assert_eq!(store.run(run.id).unwrap(), Some(run));
}
