//! Clocks, sizes, names and numbers at their ends.

use std::thread;
use std::time::Duration;

use model::{Digest, Kind, Seq, Time};

use super::build::{self, Draft};
use crate::api::{Cursor, Error, RunFilter, Store, Window};
use crate::rules::{MARK_BYTES_MAX, NAME_BYTES_MAX, VALUE_BYTES_MAX};

pub(super) fn time_never_goes_back(store: &dyn Store) {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut last = store.now();
                for _ in 0..10_000 {
                    let now = store.now();
                    assert!(now >= last);
                    assert_eq!(now.micros() % 1000, 0, "whole milliseconds");
                    last = now;
                }
            });
        }
    });
    let ahead = store.now().plus(Duration::from_secs(3600));
    let mut draft = Draft::on(store).at(ahead);
    draft.entry(b"{}");
    draft.commit(store).unwrap();
    assert!(store.now() >= Time::from_millis(ahead.millis()), "not before what was committed");
}

pub(super) fn large_values(store: &dyn Store) {
    for bytes in [0, 1, 6_143, 6_144, 6_145, 256 * 1024, 1_000_000] {
        let mut draft = Draft::on(store);
        let seq = draft.entry(&vec![b'x'; bytes]);
        draft.commit.objects.push((build::key(Kind::Case, "C"), build::object("C", bytes, draft.time)));
        draft.commit.marks.push(("m".into(), Some(vec![1; bytes])));
        draft.commit.texts.push((Digest::of(&[bytes as u8]), vec![2; bytes]));
        let mut run = draft.start(seq, 0, "p");
        run.reason = Some("r".repeat(bytes));
        draft.commit.runs[0].summary = run.clone();
        let object = draft.commit.objects[0].1.clone();
        draft.commit(store).unwrap();
        assert_eq!(store.entry(seq).unwrap().unwrap().entry.unwrap().payload.len(), bytes);
        assert_eq!(store.object(&build::key(Kind::Case, "C")).unwrap(), Some(object));
        assert_eq!(store.mark("m").unwrap().unwrap().len(), bytes);
        assert_eq!(store.text(&Digest::of(&[bytes as u8])).unwrap().unwrap().len(), bytes);
        assert_eq!(store.run(run.id).unwrap(), Some(run));
    }
    let too_large = VALUE_BYTES_MAX + 1;
    let next = store.next_seq();
    let mut drafts: Vec<Draft> = (0..4).map(|_| Draft::on(store)).collect();
    drafts[0].entry(&vec![b'x'; too_large]);
    drafts[1].commit.objects.push((build::key(Kind::Case, "D"), build::object("D", too_large, Time::EPOCH)));
    drafts[2].commit.marks.push(("n".into(), Some(vec![1; too_large])));
    drafts[3].commit.texts.push((Digest::of(b"big"), vec![2; too_large]));
    for draft in drafts {
        assert!(matches!(draft.commit(store), Err(Error::TooLarge { max: VALUE_BYTES_MAX, .. })));
    }
    assert_eq!((store.next_seq(), store.mark("n").unwrap()), (next, None));
    // Smaller again: nothing of the large value may be left.
    let mut draft = Draft::on(store);
    draft.commit.marks.push(("m".into(), Some(vec![3; 10])));
    draft.commit(store).unwrap();
    assert_eq!(store.marks("").unwrap(), [("m".to_owned(), vec![3; 10])]);
}

pub(super) fn names_of_any_content(store: &dyn Store) {
    let long = "k".repeat(NAME_BYTES_MAX);
    let names = [
        "",
        "\0",
        "\0\0",
        "a",
        "a\0",
        "a\0b",
        "a/b",
        "\u{ffff}",
        "ä",
        "a\u{301}",
        &long,
        &long[1..],
        &long[..200],
        &long[..201],
    ];
    let mut draft = Draft::on(store);
    let time = store.now();
    for (i, name) in names.iter().enumerate() {
        let until = time.plus(Duration::from_secs(i as u64 + 1));
        draft.commit.windows.push(Window { key: (*name).to_owned(), until: Some(until) });
        let mut object = build::object("x", i, time);
        object.meta.version = i as u64;
        draft.commit.objects.push((build::key(Kind::Entity, name), object.clone()));
        let mut other = build::key(Kind::Entity, "x");
        other.tenant = (*name).to_owned();
        draft.commit.objects.push((other, object));
        if name.len() <= MARK_BYTES_MAX {
            draft.commit.marks.push(((*name).to_owned(), Some(vec![i as u8])));
        }
    }
    draft.commit(store).unwrap();
    for (i, name) in names.iter().enumerate() {
        assert_eq!(store.window(name, time).unwrap(), Some(time.plus(Duration::from_secs(i as u64 + 1))), "{i}");
        assert_eq!(store.object(&build::key(Kind::Entity, name)).unwrap().unwrap().meta.version, i as u64);
        let mut other = build::key(Kind::Entity, "x");
        other.tenant = (*name).to_owned();
        assert_eq!(store.object(&other).unwrap().unwrap().meta.version, i as u64);
    }
    let under_a: Vec<String> = store.marks("a").unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(under_a, ["a", "a\0", "a\0b", "a/b", "a\u{301}"]);
    for too_long in [long.clone() + "k", long.clone() + &long] {
        let mut draft = Draft::on(store);
        draft.commit.windows.push(Window { key: too_long, until: None });
        assert!(matches!(draft.commit(store), Err(Error::TooLarge { max: NAME_BYTES_MAX, .. })));
    }
    let mut draft = Draft::on(store);
    draft.commit.marks.push(("m".repeat(MARK_BYTES_MAX + 1), Some(Vec::new())));
    assert!(matches!(draft.commit(store), Err(Error::TooLarge { max: MARK_BYTES_MAX, .. })));
    let mut draft = Draft::on(store);
    draft.commit.windows.push(Window { key: "a".into(), until: None });
    draft.commit.marks.push(("a".into(), None));
    draft.commit(store).unwrap();
    assert_eq!((store.window("a", time).unwrap(), store.mark("a").unwrap()), (None, None));
    assert!(store.window("a\0", time).unwrap().is_some() && store.mark("a\0").unwrap().is_some());
}

pub(super) fn extremes(store: &dyn Store) {
    assert_eq!((store.next_seq(), store.next_due()), (Seq(1), None));
    store.commit(crate::Commit::default()).unwrap();
    assert_eq!(store.next_seq(), Seq(1));
    for seq in [0, 1, u64::MAX] {
        assert_eq!(store.entry(Seq(seq)).unwrap(), None);
        store.entries_back(Some(Seq(seq)), &mut |_| panic!("there is none")).unwrap();
        store.entries_forward(Seq(seq), &mut |_| panic!("there is none")).unwrap();
    }
    let mut runs = Vec::new();
    for due_at in [Time::MAX, Time::EPOCH, Time::from_micros(-1), Time::from_micros(i64::MIN)] {
        let mut draft = Draft::on(store);
        let seq = draft.entry(b"");
        let mut run = draft.start(seq, u16::MAX, "p");
        run.due_at = due_at;
        run.version = u32::MAX;
        draft.commit.runs[0].summary = run.clone();
        draft.commit.claims.push(build::claim(seq.0 as u8, seq, due_at));
        draft.commit.windows.push(Window { key: "w".into(), until: Some(due_at) });
        draft.commit(store).unwrap();
        assert_eq!(
            store.window("w", Time::from_micros(i64::MIN)).unwrap(),
            Some(due_at).filter(|at| at.micros() > i64::MIN)
        );
        runs.push(run);
    }
    assert_eq!(store.next_due(), Some(Time::from_micros(i64::MIN)));
    let taken = store.take_due(Time::EPOCH, usize::MAX, Duration::MAX).unwrap();
    assert_eq!(taken.iter().map(|lease| lease.run).collect::<Vec<_>>(), [runs[3].id, runs[2].id, runs[1].id]);
    assert_eq!(store.take_due(Time::EPOCH, 0, Duration::ZERO).unwrap(), []);
    assert_eq!(store.prolong(&taken, Time::MAX, Duration::MAX).unwrap(), [true, true, true]);
    let filter = RunFilter::default();
    assert_eq!(store.runs(&filter, None, usize::MAX).unwrap().items.len(), 4);
    assert_eq!(store.runs(&filter, None, 0).unwrap().items.len(), 1, "a page moves on whatever is asked");
    let end = Cursor { seq: Seq(u64::MAX), n: u16::MAX };
    assert_eq!(store.runs(&filter, Some(end), 10).unwrap().items.len(), 4);
    let start = Cursor { seq: Seq(0), n: 0 };
    assert_eq!(store.runs(&filter, Some(start), 10).unwrap().items.len(), 0);
    let event = RunFilter { event: Some(Seq(u64::MAX - 1)), ..RunFilter::default() };
    assert_eq!(store.runs(&event, None, 10).unwrap().items.len(), 0);
}
