//! A page of runs, newest first.
//!
//! Invariants: a page looks at a bounded number of keys for a bounded time, and says where to go on. A run that ends
//! while a page is being made is on it once: each stretch of the listing takes the open runs from memory first and the
//! ended ones from the store afterwards, and a run is moved the other way round, first in the store, then in memory.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use model::run::{RunStatus, RunSummary};
use model::{Kind, Object, Seq, limits};
use sled::IVec;

use super::base::{failed, lock};
use super::committer::status_byte;
use super::keys::{self, Keyspace, RunKey};
use super::{Sled, index, parse, values};
use crate::api::{Cursor, Error, Page, RunFilter};
use crate::rules;

/// Open runs that are taken from memory at a time.
const STRETCH_RUNS: usize = 256;
/// Keys between two looks at the clock.
const CLOCK_EVERY: usize = 64;
/// Objects of one id (in different tenants) that are looked at.
const NAMESAKES_MAX: usize = 64;

const FIRST: RunKey = (Seq(0), 0);
const LAST: RunKey = (Seq(u64::MAX), u16::MAX);

/// A page that is being made.
struct Making<'a> {
    filter: &'a RunFilter,
    limit: usize,
    items: Vec<RunSummary>,
    looked: usize,
    last: Option<RunKey>,
    until: Instant,
}

impl Making<'_> {
    /// Whether the page is full or the budget used up.
    fn done(&self) -> bool {
        self.items.len() >= self.limit
            || self.looked >= limits::SCAN_KEYS_MAX
            || (self.looked % CLOCK_EVERY == CLOCK_EVERY - 1 && Instant::now() >= self.until)
    }

    fn look(&mut self, key: RunKey, run: Option<RunSummary>) {
        self.looked += 1;
        self.last = Some(key);
        self.items.extend(run.filter(|run| rules::lets_through(self.filter, run)));
    }

    /// The page, when more may follow.
    fn short(self) -> Page<RunSummary> {
        let next = self.last.map(|(seq, n)| Cursor { seq, n });
        Page { items: self.items, next }
    }

    fn end(self) -> Page<RunSummary> {
        Page { items: self.items, next: None }
    }
}

impl Sled {
    /// A page of runs.
    pub(super) fn list(
        &self,
        filter: &RunFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<RunSummary>, Error> {
        let end = after.map_or(LAST, |cursor| (cursor.seq, cursor.n));
        let making = Making {
            filter,
            limit: limit.clamp(1, limits::PAGE_ITEMS_MAX),
            items: Vec::new(),
            looked: 0,
            last: after.map(|cursor| (cursor.seq, cursor.n)),
            until: Instant::now() + Duration::from_millis(limits::SCAN_MILLIS_MAX),
        };
        if let Some(event) = filter.event {
            let from = (event, 0);
            return self.list_range(making, from, end.min((event.next(), 0)));
        }
        if let Some((kind, id)) = object_of(filter) {
            return self.list_object(making, kind, id, end);
        }
        if let Some(playbook) = &filter.playbook {
            return self.list_playbook(making, playbook, end);
        }
        match sought(&filter.statuses) {
            Some(sought) => self.list_statuses(making, &sought, end),
            None => self.list_range(making, FIRST, end),
        }
    }

    /// All runs from `start` on, before `end`.
    fn list_range(&self, mut making: Making<'_>, start: RunKey, mut end: RunKey) -> Result<Page<RunSummary>, Error> {
        while start < end {
            let open = lock(&self.schedule).newest(start, end, STRETCH_RUNS);
            let stretch = if open.len() < STRETCH_RUNS { start } else { open.last().copied().unwrap_or(start) };
            let mut open = open.into_iter().peekable();
            let range = keys::run(Keyspace::RunEnded, stretch)..keys::run(Keyspace::RunEnded, end);
            for found in self.base.tree.range(range).rev() {
                let (key, stored) = found.map_err(failed("listing runs"))?;
                let at = keys::run_of(&key).unwrap_or(FIRST);
                while let Some(newer) = open.next_if(|run| *run > at) {
                    if making.done() {
                        return Ok(making.short());
                    }
                    making.look(newer, self.run_at(newer)?);
                }
                open.next_if(|run| *run == at);
                if making.done() {
                    return Ok(making.short());
                }
                making.look(at, Some(parse(&values::whole(&self.base.tree, &key, stored)?, "a run")?));
            }
            for older in open {
                if making.done() {
                    return Ok(making.short());
                }
                making.look(older, self.run_at(older)?);
            }
            end = stretch;
        }
        Ok(making.end())
    }

    /// Runs given by their places, newest first.
    fn list_keys(&self, making: &mut Making<'_>, keys: impl Iterator<Item = RunKey>) -> Result<bool, Error> {
        for key in keys {
            if making.done() {
                return Ok(false);
            }
            making.look(key, self.run_at(key)?);
        }
        Ok(true)
    }

    fn list_playbook(&self, mut making: Making<'_>, playbook: &str, end: RunKey) -> Result<Page<RunSummary>, Error> {
        let range = keys::playbook_block(playbook, FIRST)..keys::playbook_block(playbook, end);
        for found in self.base.tree.range(range).rev() {
            let (key, stored) = found.map_err(failed("listing runs"))?;
            let runs = index::runs_of(&self.base, &key, stored)?;
            if !self.list_keys(&mut making, runs.into_iter().rev().filter(|run| *run < end))? {
                return Ok(making.short());
            }
        }
        Ok(making.end())
    }

    /// Open runs, and ended ones of the statuses that have a list of their own.
    fn list_statuses(&self, mut making: Making<'_>, sought: &Sought, end: RunKey) -> Result<Page<RunSummary>, Error> {
        let mut end = end;
        loop {
            let open = if sought.open { lock(&self.schedule).newest(FIRST, end, STRETCH_RUNS) } else { Vec::new() };
            let mut keys: BTreeSet<RunKey> = open.iter().copied().collect();
            let mut whole_from = if open.len() < STRETCH_RUNS { FIRST } else { open.last().copied().unwrap_or(FIRST) };
            for status in &sought.ended {
                let range = keys::run_status(*status, FIRST)..keys::run_status(*status, end);
                let found = self.base.tree.range(range).rev().take(STRETCH_RUNS);
                let found: Result<Vec<RunKey>, Error> =
                    found.map(|found| run_found(found.map_err(failed("listing runs"))?)).collect();
                let found = found?;
                if found.len() == STRETCH_RUNS {
                    whole_from = whole_from.max(found.last().copied().unwrap_or(FIRST));
                }
                keys.extend(found);
            }
            if !self.list_keys(&mut making, keys.range(whole_from..).rev().copied())? {
                return Ok(making.short());
            }
            if whole_from == FIRST {
                return Ok(making.end());
            }
            end = whole_from;
        }
    }

    /// Runs that entries about an object started.
    fn list_object(
        &self,
        mut making: Making<'_>,
        kind: Kind,
        id: &str,
        end: RunKey,
    ) -> Result<Page<RunSummary>, Error> {
        let mut namesakes = Vec::new();
        for found in self.base.scan(&keys::object_prefix(Keyspace::Object, kind, id)).take(NAMESAKES_MAX) {
            let (key, stored) = found?;
            let object: Object = parse(&values::whole(&self.base.tree, &key, stored)?, "an object")?;
            namesakes.push(ObjectEntries {
                key: key.to_vec(),
                entries: object.meta.entries,
                blocks: object.meta.blocks,
            });
        }
        loop {
            let mut newest: Option<Seq> = None;
            for object in &mut namesakes {
                newest = newest.max(object.newest(self, end.0)?);
            }
            let Some(seq) = newest else { return Ok(making.end()) };
            if making.done() {
                return Ok(making.short());
            }
            making.looked += 1;
            let runs = self.runs_of_entry(seq)?;
            if !self.list_keys(&mut making, runs.into_iter().rev().filter(|run| *run < end))? {
                return Ok(making.short());
            }
            making.last = Some((seq, 0)).filter(|run| *run < end).or(making.last);
            for object in &mut namesakes {
                object.drop_from(seq);
            }
        }
    }

    /// The runs that an entry started, ascending.
    fn runs_of_entry(&self, seq: Seq) -> Result<Vec<RunKey>, Error> {
        let (start, end) = ((seq, 0), (seq.next(), 0));
        let mut runs: BTreeSet<RunKey> =
            lock(&self.schedule).newest(start, end, usize::from(u16::MAX)).into_iter().collect();
        let range = keys::run(Keyspace::RunEnded, start)..keys::run(Keyspace::RunEnded, end);
        for found in self.base.tree.range(range).keys() {
            runs.extend(keys::run_of(&found.map_err(failed("listing runs"))?));
        }
        Ok(runs.into_iter().collect())
    }
}

fn run_found((key, _): (IVec, IVec)) -> Result<RunKey, Error> {
    keys::run_of(&key).ok_or_else(|| Error::Corrupt { detail: "the key of a run is cut short".to_owned() })
}

/// The entries about one object, from the newest on.
struct ObjectEntries {
    key: Vec<u8>,
    entries: Vec<Seq>,
    blocks: Vec<Seq>,
}

impl ObjectEntries {
    /// The newest entry that is left, up to `end`.
    fn newest(&mut self, store: &Sled, end: Seq) -> Result<Option<Seq>, Error> {
        loop {
            while let Some(last) = self.entries.last() {
                if *last <= end {
                    return Ok(Some(*last));
                }
                self.entries.pop();
            }
            let Some(first) = self.blocks.pop() else { return Ok(None) };
            if let Some(start) = self.key.first_mut() {
                *start = Keyspace::ObjectBlock as u8;
            }
            let key = [self.key.as_slice(), &first.0.to_be_bytes()].concat();
            self.entries = store.read(&key, "a block of an object's history")?.unwrap_or_default();
        }
    }

    fn drop_from(&mut self, seq: Seq) {
        while self.entries.last().is_some_and(|last| *last >= seq) {
            self.entries.pop();
        }
    }
}

/// The object whose own history leads to the runs.
fn object_of(filter: &RunFilter) -> Option<(Kind, &str)> {
    let case = filter.case.as_deref().map(|id| (Kind::Case, id));
    case.or(filter.alert.as_deref().map(|id| (Kind::Alert, id)))
}

/// Statuses that can be listed without looking at all runs.
struct Sought {
    open: bool,
    ended: Vec<u8>,
}

/// Nothing when one of the statuses has no list of its own.
fn sought(statuses: &[RunStatus]) -> Option<Sought> {
    let lists = |status: &RunStatus| !status.is_final() || status_byte(*status).is_some();
    if statuses.is_empty() || !statuses.iter().all(lists) {
        return None;
    }
    let open = statuses.iter().any(|status| !status.is_final());
    let mut ended: Vec<u8> = statuses.iter().filter_map(|status| status_byte(*status)).collect();
    ended.sort_unstable();
    ended.dedup();
    Some(Sought { open, ended })
}
