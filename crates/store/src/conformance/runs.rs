//! Runs: who holds them, when they are due, how they are listed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use model::run::{RunStatus, RunSummary};
use model::{Kind, RunId, Seq, Time};

use super::build::{self, Draft};
use crate::api::{Error, Expect, Lease, RunFilter, Store};

const LEASE: Duration = Duration::from_secs(30);

/// So many runs, a few per entry and commit.
fn many(store: &dyn Store, count: usize, shape: impl Fn(usize, &mut RunSummary)) -> Vec<RunSummary> {
    let mut all = Vec::new();
    while all.len() < count {
        let mut draft = Draft::on(store);
        for _ in 0..8 {
            let seq = draft.entry(b"{}");
            for n in 0..3 {
                let mut run = build::run(seq, n, "p", draft.time);
                shape(all.len(), &mut run);
                draft.write(run.clone(), Expect::New);
                all.push(run);
            }
        }
        draft.commit(store).unwrap();
    }
    all
}

pub(super) fn two_workers_never_hold_one_run(store: &dyn Store) {
    const CLAIMS: usize = 100_000;
    let runs = many(store, 48, |_, _| {});
    let held: Vec<AtomicBool> = runs.iter().map(|_| AtomicBool::new(false)).collect();
    let place = |run: RunId| runs.iter().position(|other| other.id == run).unwrap();
    let claims = AtomicUsize::new(0);
    let now = store.now();
    let work = || {
        while claims.load(Ordering::Relaxed) < CLAIMS {
            for lease in store.take_due(now, 3, LEASE).unwrap() {
                let flag = &held[place(lease.run)];
                assert!(!flag.swap(true, Ordering::SeqCst), "{} is held twice", lease.run);
                claims.fetch_add(1, Ordering::Relaxed);
                flag.store(false, Ordering::SeqCst);
                store.release(lease, now).unwrap();
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(work);
        }
    });
    assert!(claims.into_inner() >= CLAIMS);
}

pub(super) fn a_lease_that_ended_is_fenced(store: &dyn Store) {
    let run = build::one_run(store, "p").unwrap();
    let now = store.now();
    let first = store.take_due(now, 10, LEASE).unwrap()[0];
    assert_eq!(store.take_due(now, 10, LEASE).unwrap(), [], "it is held");
    assert_eq!(store.next_due(), Some(now.plus(LEASE)), "there is something to do when the lease ends");
    let almost = Time::from_micros(now.plus(LEASE).micros() - 1);
    assert_eq!(store.take_due(almost, 10, LEASE).unwrap(), []);
    assert_eq!(store.prolong(&[first], almost, LEASE).unwrap(), [true]);
    let later = almost.plus(LEASE);
    let second = store.take_due(later, 10, LEASE).unwrap()[0];
    assert_eq!(second.run, first.run);
    assert!(second.epoch > first.epoch);
    assert_eq!(store.prolong(&[first, second], later, LEASE).unwrap(), [false, true]);
    assert!(matches!(store.release(first, now), Err(Error::Fenced { .. })));
    let write = |lease: Lease, keep_lease: bool, version: u32, status: RunStatus| {
        let mut draft = Draft::on(store);
        let seq = draft.entry(b"{}");
        let mut summary = build::moved(&run, status, seq, draft.time);
        summary.version = version + 1;
        draft.write(summary, Expect::Lease { epoch: lease.epoch, version });
        draft.commit.runs[0].keep_lease = keep_lease;
        draft.commit(store)
    };
    assert!(matches!(write(first, true, 0, RunStatus::Running), Err(Error::Fenced { .. })));
    write(second, true, 0, RunStatus::Running).unwrap();
    write(second, true, 1, RunStatus::Running).unwrap();
    assert_eq!(store.take_due(later, 10, LEASE).unwrap(), [], "the lease was kept");
    write(second, false, 2, RunStatus::Waiting).unwrap();
    assert!(
        matches!(write(second, false, 3, RunStatus::Succeeded), Err(Error::Fenced { .. })),
        "the lease was given up"
    );
    let third = store.take_due(later, 10, LEASE).unwrap()[0];
    write(third, true, 3, RunStatus::Succeeded).unwrap();
    assert!(matches!(write(third, true, 4, RunStatus::Succeeded), Err(Error::AlreadyEnded { .. })));
    assert_eq!((store.next_due(), store.prolong(&[third], later, LEASE).unwrap()), (None, vec![false]));
}

pub(super) fn tenants_take_turns(store: &dyn Store) {
    let now = store.now();
    let name = |i: usize| match i {
        0..21 => "loud",
        21 => "a-quiet",
        22 => "quiet",
        _ => "zealous",
    };
    let runs = many(store, 24, |i, run| (run.tenant, run.due_at) = (name(i).to_owned(), now));
    let tenant = |lease: &Lease| runs.iter().find(|run| run.id == lease.run).unwrap().tenant.clone();
    let taken: Vec<String> = store.take_due(now, 6, LEASE).unwrap().iter().map(tenant).collect();
    assert_eq!(taken, ["a-quiet", "loud", "quiet", "zealous", "loud", "loud"]);
    let mut last = store.take_due(now, 1, LEASE).unwrap();
    assert_eq!(tenant(&last[0]), "loud", "nobody else has anything");
    // Somebody else has a run again, due later than all of the loud one's: the next turn is his, also with room for one.
    let lease = last.pop().unwrap();
    let quiet =
        many(store, 24, |i, run| (run.tenant, run.due_at) = (if i == 0 { "quiet" } else { "loud" }.to_owned(), now));
    store.release(lease, now).unwrap();
    assert_eq!(store.take_due(now, 1, LEASE).unwrap()[0].run, quiet[0].id);
}

pub(super) fn due_order(store: &dyn Store) {
    let base = store.now().plus(Duration::from_secs(1000));
    let due = |i: usize| base.plus(Duration::from_millis((i * 7919 % 997) as u64));
    let runs = many(store, 48, |i, run| run.due_at = due(i));
    let first = runs.iter().map(|run| run.due_at).min().unwrap();
    assert_eq!(store.next_due(), Some(first));
    assert_eq!(store.take_due(Time::from_micros(first.micros() - 1), 100, LEASE).unwrap(), [], "nothing is due early");
    let middle = base.plus(Duration::from_millis(500));
    let mut taken = Vec::new();
    loop {
        let some = store.take_due(middle, 5, LEASE).unwrap();
        if some.is_empty() {
            break;
        }
        taken.extend(some.into_iter().map(|lease| lease.run));
    }
    let mut expected: Vec<(Time, RunId)> =
        runs.iter().map(|run| (run.due_at, run.id)).filter(|due| due.0 <= middle).collect();
    expected.sort_unstable();
    assert_eq!(taken, expected.into_iter().map(|(_, run)| run).collect::<Vec<_>>());
    assert!(!taken.is_empty() && taken.len() < runs.len());
    // A lease that is given back comes again when it says.
    let lease = store.take_due(base.plus(Duration::from_secs(1)), 1, LEASE).unwrap()[0];
    let again = base.plus(Duration::from_secs(20));
    store.release(lease, again).unwrap();
    store.take_due(base.plus(Duration::from_secs(1)), 100, Duration::from_secs(3600)).unwrap();
    let soon = store.take_due(Time::from_micros(again.micros() - 1), 100, LEASE).unwrap();
    assert!(!soon.iter().any(|other| other.run == lease.run));
    assert!(store.take_due(again, 100, LEASE).unwrap().iter().any(|other| other.run == lease.run));
}

/// All pages, of this many items each.
fn pages(store: &dyn Store, filter: &RunFilter, limit: usize) -> Vec<RunSummary> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = store.runs(filter, after, limit).unwrap();
        assert!(page.items.len() <= limit);
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

fn ids(runs: &[RunSummary]) -> Vec<RunId> {
    runs.iter().map(|run| run.id).collect()
}

pub(super) fn pages_are_whole(store: &dyn Store) {
    let runs = many(store, 600, |_, _| {});
    let filters = [
        RunFilter::default(),
        RunFilter { playbook: Some("p".into()), ..RunFilter::default() },
        RunFilter { statuses: vec![RunStatus::Queued, RunStatus::Failed], ..RunFilter::default() },
    ];
    let done = AtomicBool::new(false);
    let wanted: BTreeSet<RunId> = runs.iter().map(|run| run.id).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            for (i, run) in runs.iter().enumerate() {
                let mut draft = Draft::on(store);
                let seq = draft.entry(b"{}");
                draft.start(seq, 0, "p");
                draft.write(build::moved(run, RunStatus::Failed, seq, draft.time), Expect::Version(0));
                draft.commit(store).unwrap();
                if i == runs.len() - 1 {
                    done.store(true, Ordering::SeqCst);
                }
            }
        });
        while !done.load(Ordering::SeqCst) {
            for filter in &filters {
                let found = ids(&pages(store, filter, 7));
                let set: BTreeSet<RunId> = found.iter().copied().collect();
                assert_eq!(set.len(), found.len(), "none twice");
                assert!(found.is_sorted_by(|a, b| a > b), "newest first");
                assert!(wanted.is_subset(&set), "none left out: {:?}", wanted.difference(&set).next());
            }
        }
    });
}

pub(super) fn filters_agree(store: &dyn Store) {
    let time = store.now();
    let alerts = ["A-1", "A-2"];
    let mut runs = many(store, 96, |i, run| {
        run.playbook = format!("p{}", i % 5);
        run.alert = Some(alerts[i / 3 % 2].to_owned());
        run.case = (i % 7 == 0).then(|| "C-1".to_owned());
        run.tenant = if i % 4 == 0 { "acme" } else { "default" }.to_owned();
        run.created_at = time.plus(Duration::from_secs(i as u64));
    });
    for (i, status) in RunStatus::ALL.into_iter().cycle().take(96).enumerate() {
        let mut draft = Draft::on(store);
        let seq = draft.entry(b"{}");
        let run = build::moved(&runs[i], status, seq, draft.time);
        draft.write(run.clone(), Expect::Version(0));
        draft.commit(store).unwrap();
        runs[i] = run;
    }
    let mut draft = Draft::on(store);
    for alert in alerts {
        let mut object = build::object(alert, 1, draft.time);
        let of = |run: &&RunSummary| run.alert.as_deref() == Some(alert);
        let mut entries: Vec<Seq> = runs.iter().filter(of).map(|run| run.id.seq).collect();
        entries.dedup();
        let tail = entries.split_off(entries.len() / 2);
        object.meta.blocks = entries.first().copied().into_iter().collect();
        object.meta.entries = tail;
        draft.commit.object_blocks.push((build::key(Kind::Alert, alert), entries));
        draft.commit.objects.push((build::key(Kind::Alert, alert), object));
    }
    let mut case = build::object("C-1", 1, draft.time);
    case.meta.entries = runs.iter().filter(|run| run.case.is_some()).map(|run| run.id.seq).collect();
    draft.commit.objects.push((build::key(Kind::Case, "C-1"), case));
    draft.commit(store).unwrap();
    let text = |text: &str| Some(text.to_owned());
    let all = RunFilter::default;
    let filters = [
        RunFilter { playbook: text("p3"), ..all() },
        RunFilter { playbook: text("none"), ..all() },
        RunFilter { alert: text("A-1"), ..all() },
        RunFilter { alert: text("A-2"), playbook: text("p1"), ..all() },
        RunFilter { case: text("C-1"), ..all() },
        RunFilter { case: text("C-1"), statuses: vec![RunStatus::Failed], ..all() },
        RunFilter { event: Some(runs[10].id.seq), ..all() },
        RunFilter { tenant: text("acme"), ..all() },
        RunFilter { statuses: vec![RunStatus::Failed, RunStatus::NeedsAttention], ..all() },
        RunFilter { statuses: vec![RunStatus::Running, RunStatus::TimedOut], ..all() },
        RunFilter { statuses: vec![RunStatus::Succeeded], ..all() },
        RunFilter {
            since: Some(time.plus(Duration::from_secs(30))),
            until: Some(time.plus(Duration::from_secs(40))),
            ..all()
        },
        RunFilter { destination: text("desk"), ..all() },
    ];
    runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.id));
    for filter in filters {
        let expected: Vec<RunSummary> =
            runs.iter().filter(|run| crate::rules::lets_through(&filter, run)).cloned().collect();
        for limit in [1, 5, 1000] {
            assert_eq!(pages(store, &filter, limit), expected, "{filter:?}");
        }
    }
}

pub(super) fn a_forged_id_reaches_nothing(store: &dyn Store) {
    let run = build::one_run(store, "p").unwrap();
    let forged = RunId { tag: run.id.tag + 1, ..run.id };
    assert_eq!(store.run(forged).unwrap(), None);
    let lease = store.take_due(store.now(), 1, LEASE).unwrap()[0];
    let stolen = Lease { run: forged, epoch: lease.epoch };
    assert_eq!(store.prolong(&[stolen], store.now(), LEASE).unwrap(), [false]);
    assert!(matches!(store.release(stolen, store.now()), Err(Error::Fenced { .. })));
    for expect in [Expect::Version(0), Expect::Lease { epoch: lease.epoch, version: 0 }, Expect::New] {
        let mut draft = Draft::on(store);
        let seq = draft.entry(b"{}");
        let mut write = build::moved(&run, RunStatus::Cancelled, seq, draft.time);
        write.id = forged;
        draft.write(write, expect);
        assert!(matches!(draft.commit(store), Err(Error::Fenced { .. })));
    }
    assert_eq!(store.run(run.id).unwrap(), Some(run));
    let mut draft = Draft::on(store);
    draft.entry(b"{}");
    draft.commit.objects.push((build::key(Kind::Case, "C-1"), build::object("C-1", 1, draft.time)));
    draft.commit(store).unwrap();
    let mut other = build::key(Kind::Case, "C-1");
    other.tenant = "acme".to_owned();
    assert_eq!(store.object(&other).unwrap(), None);
    assert_eq!(store.object(&build::key(Kind::Alert, "C-1")).unwrap(), None);
}

pub(super) fn nothing_after_the_end(store: &dyn Store) {
    let run = build::one_run(store, "p").unwrap();
    let write = |from: &RunSummary, status: RunStatus| {
        let mut draft = Draft::on(store);
        let seq = draft.entry(b"{}");
        let after = build::moved(from, status, seq, draft.time);
        draft.write(after.clone(), Expect::Version(from.version));
        draft.commit(store).map(|()| after)
    };
    let ended = write(&run, RunStatus::Failed).unwrap();
    assert!(matches!(write(&run, RunStatus::Running), Err(Error::AlreadyEnded { .. })));
    assert!(matches!(write(&ended, RunStatus::Running), Err(Error::AlreadyEnded { .. })));
    assert_eq!(store.run(run.id).unwrap().as_ref(), Some(&ended));
    let again = write(&ended, RunStatus::Failed).unwrap();
    assert_eq!(store.run(run.id).unwrap(), Some(again), "a delivery can be sent again");
    let stats = store.stats();
    assert_eq!((stats.open_runs, stats.ended_runs), (0, 1));
    assert_eq!(store.take_due(Time::MAX, 10, LEASE).unwrap(), []);
}
