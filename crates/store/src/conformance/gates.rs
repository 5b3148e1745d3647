//! Limits on runs at work at once, and the tallies of limits over a period.

use std::time::Duration;

use model::RunId;
use model::run::{Gate, RunStatus, RunSummary};

use super::build::{self, Draft};
use crate::api::{Expect, Retention, Store, Tally};

const LEASE: Duration = Duration::from_secs(30);

fn gated(store: &dyn Store, group: &str, max: u32) -> RunSummary {
    let mut draft = Draft::on(store);
    let seq = draft.entry(b"{}");
    let mut run = build::run(seq, 0, "p", draft.time);
    run.gate = Some(Gate { group: group.to_owned(), max, evicts: false });
    draft.write(run.clone(), Expect::New);
    draft.commit(store).unwrap();
    run
}

fn ended(store: &dyn Store, run: &RunSummary) {
    let mut draft = Draft::on(store);
    let seq = draft.entry(b"{}");
    draft.write(build::moved(run, RunStatus::Cancelled, seq, draft.time), Expect::Version(run.version));
    draft.commit(store).unwrap();
}

fn taken(store: &dyn Store) -> Vec<RunId> {
    store.take_due(store.now(), 100, LEASE).unwrap().into_iter().map(|lease| lease.run).collect()
}

pub(super) fn only_the_oldest_go_on(store: &dyn Store) {
    let runs: Vec<RunSummary> = (0..5).map(|_| gated(store, "a", 2)).collect();
    let other = gated(store, "b", 1);
    let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
    assert_eq!(store.group("a").unwrap(), ids, "the oldest first");
    let mut first = taken(store);
    first.sort_unstable();
    assert_eq!(first, [ids[0], ids[1], other.id], "another group is another limit");
    assert_eq!(taken(store), [], "three wait");
    ended(store, &runs[3]);
    assert_eq!(taken(store), [], "the end of one that waits frees nothing");
    ended(store, &runs[0]);
    assert_eq!(taken(store), [ids[2]]);
    ended(store, &runs[1]);
    assert_eq!(taken(store), [ids[4]]);
    for run in [&runs[2], &runs[4]] {
        ended(store, run);
    }
    assert_eq!(store.group("a").unwrap(), []);
    let again = gated(store, "a", 2);
    assert_eq!(taken(store), [again.id], "nothing is counted that could be forgotten");
}

pub(super) fn a_run_is_hastened(store: &dyn Store) {
    let mut draft = Draft::on(store);
    let later = draft.time.plus(Duration::from_secs(3600));
    let seq = draft.entry(b"{}");
    let mut run = build::run(seq, 0, "p", draft.time);
    run.due_at = later;
    draft.write(run.clone(), Expect::New);
    draft.commit(store).unwrap();
    assert_eq!(taken(store), []);
    let now = store.now();
    let forged = RunId { tag: run.id.tag + 1, ..run.id };
    store.hasten(&[forged], now).unwrap();
    assert_eq!(taken(store), []);
    store.hasten(&[run.id], now).unwrap();
    assert_eq!(store.next_due(), Some(now));
    let lease = store.take_due(store.now(), 1, LEASE).unwrap()[0];
    store.hasten(&[run.id], now).unwrap();
    assert_eq!(taken(store), [], "what is held stays held");
    store.release(lease, later).unwrap();
    store.hasten(&[run.id], later.plus(LEASE)).unwrap();
    assert_eq!(store.next_due(), Some(later), "nothing is made later");
}

pub(super) fn tallies(store: &dyn Store) {
    let now = store.now();
    let times: Vec<model::Time> = (0..3000).map(|n| now.plus(Duration::from_millis(n))).collect();
    let until = now.plus(Duration::from_secs(60));
    let put = |key: &str, times: &[model::Time]| {
        let mut draft = Draft::on(store);
        draft.entry(b"{}");
        draft.commit.tallies.push(Tally { key: key.to_owned(), times: times.to_vec(), until });
        draft.commit(store).unwrap();
    };
    put("a", &times);
    put("a\0", &times[..1]);
    assert_eq!(store.tally("a", now).unwrap(), times);
    assert_eq!(store.tally("a\0", now).unwrap(), times[..1]);
    assert_eq!(store.tally("a", until).unwrap(), [], "half open");
    put("a", &times[..2]);
    assert_eq!(store.tally("a", now).unwrap(), times[..2]);
    put("a", &[]);
    assert_eq!(store.tally("a", now).unwrap(), []);
    put("b", &times);
    let keep = Retention { age: Duration::from_secs(3600), runs: 1000, bytes: u64::MAX };
    let mut expired = 0;
    loop {
        let swept = store.sweep(until, &keep).unwrap();
        expired += swept.expired;
        if !swept.more {
            break;
        }
    }
    assert_eq!(expired, 2);
    assert_eq!(store.tally("b", now).unwrap(), []);
}
