//! Steps of any kind in any order, done on two stores at once: they must give the same answers.

use std::time::Duration;

use model::run::{RunStatus, RunSummary};
use model::{Digest, Kind, Seq, Time};

use super::build::{self, Draft};
use crate::api::{Error, Expect, Lease, RunFilter, Store, Window};

/// One step. Numbers pick from what there is.
#[derive(Debug, Clone)]
pub enum Step {
    /// A commit with so many entries, each with a run when `runs` says so, and an object, a claim, a window and a mark
    /// of small numbers.
    Commit {
        /// How many entries.
        entries: u8,
        /// Bits: which entries start a run.
        runs: u8,
        /// Which object, claim, window and mark.
        name: u8,
        /// How large the payloads and the object are, in bytes.
        bytes: u16,
        /// How far the first entry's number is off.
        off: i8,
    },
    /// A write of a known run.
    Write {
        /// Which run.
        run: u8,
        /// Which status it gets.
        status: u8,
        /// What is expected: 0 new, 1 the version, 2 a wrong version, 3 the lease taken last.
        expect: u8,
        /// Whether the lease is kept.
        keep: bool,
    },
    /// Runs are taken.
    Take {
        /// At most so many.
        max: u8,
        /// For so many seconds.
        seconds: u8,
    },
    /// A lease is prolonged, or given back.
    Lease {
        /// Which of the leases taken so far.
        lease: u8,
        /// Given back and not prolonged.
        release: bool,
    },
    /// Time goes on.
    Pass {
        /// By so many seconds.
        seconds: u8,
    },
    /// Everything is read and compared.
    Look {
        /// Items on a page.
        limit: u8,
    },
}

/// Two stores that are kept alike.
pub struct Pair<'a> {
    left: &'a dyn Store,
    right: &'a dyn Store,
    now: Time,
    runs: Vec<RunSummary>,
    /// Epochs are the backend's own: a lease is two.
    leases: Vec<(Lease, Lease)>,
}

impl<'a> Pair<'a> {
    /// Two empty stores.
    pub fn new(left: &'a dyn Store, right: &'a dyn Store) -> Pair<'a> {
        Pair { left, right, now: left.now().max(right.now()), runs: Vec::new(), leases: Vec::new() }
    }

    /// Does a step on both, and sees that they answer alike.
    pub fn step(&mut self, step: &Step) {
        match *step {
            Step::Commit { entries, runs, name, bytes, off } => self.commit(entries, runs, name, bytes, off),
            Step::Write { run, status, expect, keep } => self.write(run, status, expect, keep),
            Step::Take { max, seconds } => self.take(max, seconds),
            Step::Lease { lease, release } => self.lease(lease, release),
            Step::Pass { seconds } => self.now = self.now.plus(Duration::from_secs(seconds.into())),
            Step::Look { limit } => self.look(limit.into()),
        }
        assert_eq!(self.left.next_seq(), self.right.next_seq());
        assert_eq!(self.left.next_due(), self.right.next_due());
    }

    fn commit(&mut self, entries: u8, runs: u8, name: u8, bytes: u16, off: i8) {
        let mut draft = Draft::on(self.left).at(self.now);
        let mut created = Vec::new();
        for i in 0..entries % 8 {
            let seq = draft.entry(&vec![b'0' + i; bytes.into()]);
            if runs & (1 << i) != 0 {
                created.push(draft.start(seq, 0, &format!("p{}", name % 3)));
            }
        }
        let next = self.left.next_seq();
        let id = format!("o{}", name % 4);
        let mut object = build::object(&id, bytes.into(), self.now);
        object.meta.last = next;
        draft.commit.objects.push((build::key(Kind::Entity, &id), object));
        draft.commit.object_blocks.push((build::key(Kind::Entity, &id), vec![next, Seq(next.0 + 1)]));
        draft.commit.claims.push(build::claim(name % 16, next, self.now.plus(Duration::from_secs(5))));
        let until = (!name.is_multiple_of(3)).then(|| self.now.plus(Duration::from_secs(name.into())));
        draft.commit.windows.push(Window { key: format!("w{}", name % 5), until });
        draft
            .commit
            .marks
            .push((format!("m{}", name % 6), (!name.is_multiple_of(4)).then(|| vec![name; usize::from(bytes) * 2])));
        draft.commit.texts.push((Digest::of(&[name]), vec![name; bytes.into()]));
        if let (Some(entry), true) = (draft.commit.entries.first_mut(), off != 0) {
            entry.header.seq = Seq(entry.header.seq.0.saturating_add_signed(off.into()));
        }
        if self.both(draft) {
            self.runs.extend(created);
        }
    }

    fn both(&mut self, draft: Draft) -> bool {
        let left = self.left.commit(draft.commit.clone());
        let right = self.right.commit(draft.commit);
        assert_eq!(told(&left), told(&right));
        left.is_ok()
    }

    fn write(&mut self, run: u8, status: u8, expect: u8, keep: bool) {
        let Some(at) = usize::from(run).checked_rem(self.runs.len()) else { return };
        let run = self.runs[at].clone();
        let status = RunStatus::ALL[usize::from(status) % RunStatus::ALL.len()];
        let lease = self.leases.iter().rev().find(|(lease, _)| lease.run == run.id).copied();
        let mut drafts = [Draft::on(self.left).at(self.now), Draft::on(self.left).at(self.now)];
        let mut after = run.clone();
        for (side, draft) in drafts.iter_mut().enumerate() {
            let seq = draft.entry(b"{\"write\":1}");
            after = build::moved(&run, status, seq, self.now.plus(Duration::from_secs(3)));
            let expect = match (expect % 4, lease) {
                (0, _) => Expect::New,
                (2, _) => Expect::Version(run.version + 1),
                (3, Some((left, right))) => {
                    Expect::Lease { epoch: if side == 0 { left.epoch } else { right.epoch }, version: run.version }
                }
                _ => Expect::Version(run.version),
            };
            draft.write(after.clone(), expect);
            draft.commit.runs[0].keep_lease = keep;
        }
        let [left, right] = drafts.map(|draft| draft.commit);
        let left = self.left.commit(left);
        let right = self.right.commit(right);
        assert_eq!(told(&left), told(&right));
        if left.is_ok() {
            self.runs[at] = after;
        }
    }

    fn take(&mut self, max: u8, seconds: u8) {
        let lease = Duration::from_secs(seconds.into());
        let left = self.left.take_due(self.now, max.into(), lease).unwrap();
        let right = self.right.take_due(self.now, max.into(), lease).unwrap();
        let runs = |leases: &[Lease]| leases.iter().map(|lease| lease.run).collect::<Vec<_>>();
        assert_eq!(runs(&left), runs(&right));
        self.leases.extend(left.into_iter().zip(right));
    }

    fn lease(&mut self, lease: u8, release: bool) {
        let Some(at) = usize::from(lease).checked_rem(self.leases.len()) else { return };
        let (left, right) = self.leases[at];
        if release {
            let due = self.now.plus(Duration::from_secs(2));
            assert_eq!(told(&self.left.release(left, due)), told(&self.right.release(right, due)));
        } else {
            let lease = Duration::from_secs(4);
            assert_eq!(
                self.left.prolong(&[left], self.now, lease).unwrap(),
                self.right.prolong(&[right], self.now, lease).unwrap()
            );
        }
    }

    fn look(&self, limit: usize) {
        let alike = |look: &dyn Fn(&dyn Store) -> String| assert_eq!(look(self.left), look(self.right));
        let now = self.now;
        for name in 0..16_u8 {
            alike(&|store| format!("{:?}", store.claim(&[name; 16], now).unwrap()));
            alike(&|store| format!("{:?}", store.window(&format!("w{name}"), now).unwrap()));
            alike(&|store| format!("{:?}", store.mark(&format!("m{name}")).unwrap()));
            alike(&|store| format!("{:?}", store.text(&Digest::of(&[name])).unwrap()));
            let key = build::key(Kind::Entity, &format!("o{name}"));
            alike(&|store| format!("{:?}", store.object(&key).unwrap()));
        }
        alike(&|store| format!("{:?}", store.marks("m").unwrap()));
        for seq in 0..=self.left.next_seq().0 {
            alike(&|store| format!("{:?}", store.entry(Seq(seq)).unwrap()));
            alike(&|store| format!("{:?}", store.object_block(&build::key(Kind::Entity, "o1"), Seq(seq)).unwrap()));
        }
        for run in &self.runs {
            assert_eq!(self.left.run(run.id).unwrap().as_ref(), Some(run));
            assert_eq!(self.right.run(run.id).unwrap().as_ref(), Some(run));
        }
        for status in RunStatus::ALL {
            let statuses = vec![status, RunStatus::Failed];
            for playbook in [None, Some("p1".to_owned())] {
                let filter = RunFilter { playbook, statuses: statuses.clone(), ..RunFilter::default() };
                alike(&|store| format!("{:?}", pages(store, &filter, limit)));
            }
        }
        alike(&|store| format!("{:?}", pages(store, &RunFilter::default(), limit)));
        let figures = |store: &dyn Store| {
            let stats = store.stats();
            (stats.first_seq, stats.next_seq, stats.open_runs, stats.ended_runs)
        };
        assert_eq!(figures(self.left), figures(self.right));
    }
}

/// All pages, as one list: where a page ends is the backend's own.
fn pages(store: &dyn Store, filter: &RunFilter, limit: usize) -> Vec<RunSummary> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = store.runs(filter, after, limit).unwrap();
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

/// An answer in words, without what is the backend's own.
fn told(answer: &Result<(), Error>) -> String {
    format!("{answer:?}")
}
