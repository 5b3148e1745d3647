//! Retention: what is open stays, what is old goes, and the sequence goes on.

use std::time::Duration;

use model::run::{RunStatus, RunSummary};
use model::{Kind, Seq, Time};

use super::build::{self, Draft};
use crate::api::{Expect, Retention, RunFilter, Store, Swept};

const DAY: Duration = Duration::from_secs(86_400);

/// Sweeps until there is nothing more to do; answers all steps together.
fn sweep(store: &dyn Store, now: Time, keep: &Retention) -> Swept {
    let mut all = Swept::default();
    loop {
        let step = store.sweep(now, keep).unwrap();
        assert_eq!(step.range.is_some(), step.entries > 0);
        if let Some((from, to)) = step.range {
            assert_eq!(to.0 - from.0 + 1, step.entries, "the range says exactly what was dropped");
        }
        all.entries += step.entries;
        all.runs += step.runs;
        all.expired += step.expired;
        all.objects += step.objects;
        if !step.more {
            return all;
        }
    }
}

fn keep(age: Duration, runs: u64, bytes: u64) -> Retention {
    Retention { age, runs, bytes }
}

/// Commits of one entry and one run each; every fifth run stays open.
fn fill(store: &dyn Store, commits: u64, from: Time) -> Vec<RunSummary> {
    let mut all = Vec::new();
    for i in 0..commits {
        let mut draft = Draft::on(store).at(from.plus(Duration::from_secs(i)));
        let seq = draft.entry(b"{\"payload\":true}");
        let mut run = draft.start(seq, 0, "p");
        if i % 5 != 0 {
            let time = draft.time;
            run = build::moved(&run, RunStatus::Failed, seq, time);
            draft.write(run.clone(), Expect::Version(0));
        }
        draft.commit(store).unwrap();
        all.push(run);
    }
    all
}

pub(super) fn what_is_open_stays(store: &dyn Store) {
    let start = store.now();
    let mut runs = fill(store, 200, start);
    let mut draft = Draft::on(store).at(start.plus(DAY * 10));
    let last = draft.entry(b"{}");
    runs[0] = build::moved(&runs[0], RunStatus::Waiting, last, draft.time);
    draft.write(runs[0].clone(), Expect::Version(0));
    draft.commit(store).unwrap();
    for keep in [keep(DAY, u64::MAX, u64::MAX), keep(DAY * 99, 0, u64::MAX), keep(DAY * 99, u64::MAX, 0)] {
        sweep(store, start.plus(DAY * 10), &keep);
        for run in runs.iter().filter(|run| !run.status.is_final()) {
            assert_eq!(store.run(run.id).unwrap().as_ref(), Some(run));
            for seq in &run.entries {
                assert!(
                    store.entry(*seq).unwrap().is_some_and(|entry| entry.entry.is_some()),
                    "entry {seq} of an open run"
                );
            }
        }
    }
    let left = store.runs(&RunFilter::default(), None, 1000).unwrap().items;
    assert!(left.iter().all(|run| !run.status.is_final()), "the others are gone");
    assert_eq!(store.stats().open_runs, 40);
    // Once they end, they go as well.
    for run in left {
        let mut draft = Draft::on(store).at(start.plus(DAY * 10));
        let seq = draft.entry(b"{}");
        draft.write(build::moved(&run, RunStatus::Cancelled, seq, draft.time), Expect::Version(run.version));
        draft.commit(store).unwrap();
    }
    sweep(store, start.plus(DAY * 12), &keep(DAY, u64::MAX, u64::MAX));
    assert_eq!(store.runs(&RunFilter::default(), None, 1000).unwrap().items, []);
    assert_eq!((store.stats().open_runs, store.stats().ended_runs), (0, 0));
}

pub(super) fn a_sweep_ends(store: &dyn Store) {
    let start = store.now();
    let mut draft = Draft::on(store).at(start);
    for i in 0..200_u8 {
        draft.commit.claims.push(build::claim(i, Seq(1), start.plus(DAY * if i % 2 == 0 { 1 } else { 3 })));
    }
    let mut closed = build::object("closed", 1, start);
    std::sync::Arc::make_mut(&mut closed.record).insert("closed_time".into(), "2026-01-01T00:00:00.000Z".into());
    draft.commit.objects.push((build::key(Kind::Case, "closed"), closed));
    draft.commit.objects.push((build::key(Kind::Case, "open"), build::object("open", 1, start)));
    draft.commit.objects.push((build::key(Kind::Case, "new"), build::object("new", 1, start.plus(DAY * 3))));
    draft.commit(store).unwrap();
    let runs: Vec<RunSummary> = fill(store, 300, start).into_iter().filter(|run| run.status.is_final()).collect();
    let mut draft = Draft::on(store);
    let seq = draft.entry(b"{}");
    for run in store.runs(&RunFilter::default(), None, 1000).unwrap().items {
        if !run.status.is_final() {
            draft.write(build::moved(&run, RunStatus::Cancelled, seq, draft.time), Expect::Version(0));
        }
    }
    draft.commit(store).unwrap();
    let next = store.next_seq();
    let before = store.stats();
    assert_eq!(sweep(store, start.plus(DAY), &keep(DAY * 9, u64::MAX, u64::MAX)).entries, 0, "nothing is old");
    let swept = sweep(store, start.plus(DAY * 2), &keep(DAY, u64::MAX, u64::MAX));
    assert_eq!((swept.entries, swept.runs), (300, 300), "all but the last entry, which says where the history ends");
    assert!(swept.expired <= 100);
    let stats = store.stats();
    assert_eq!((stats.next_seq, stats.first_seq, stats.ended_runs), (next, Seq(301), before.ended_runs - 300));
    assert!(stats.history_bytes < before.history_bytes);
    assert_eq!(store.run(runs[0].id).unwrap(), None);
    assert_eq!(store.entry(Seq(5)).unwrap(), None);
    for filter in [
        RunFilter { playbook: Some("p".into()), ..RunFilter::default() },
        RunFilter { statuses: vec![RunStatus::Failed], ..RunFilter::default() },
    ] {
        assert_eq!(store.runs(&filter, None, 100).unwrap().items, []);
    }
    let now = start.plus(DAY * 2);
    assert_eq!((store.claim(&[0; 16], now).unwrap(), store.claim(&[1; 16], now).unwrap().is_some()), (None, true));
    let there = |id: &str| store.object(&build::key(Kind::Case, id)).unwrap().is_some();
    assert!(there("open") && there("new"), "a case that is not closed stays");
    let mut draft = Draft::on(store);
    assert_eq!(draft.entry(b"{}"), next);
    draft.commit(store).unwrap();
    let mut seen = Vec::new();
    store
        .entries_forward(Seq(1), &mut |entry| {
            seen.push(entry.header.seq.0);
            true
        })
        .unwrap();
    assert_eq!(seen, [301, 302]);
}
