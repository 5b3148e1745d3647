//! Fills a store with runs that have ended, past the server.
//!
//! Invariant: each run has what a real one has: the entry that accepted its event and started it, the entry of its
//! progress, its place in the indexes.

use std::path::Path;

use model::history::{Entry, EntryKind, Salt};
use model::run::{Fact, RunStart, RunState, RunStatus, RunSummary};
use model::{Actor, Digest, EventId, Record, RunId, Seq, Time};
use store::{Commit, Durability, Expect, Options, RunWrite, Sled, Store};

use crate::support::{Result, alert};

/// The playbook of the runs.
pub(super) const PLAYBOOK: &str = "bench-fill";
/// Runs in one commit.
const GROUP: u64 = 100;
/// Every so manyth run has failed.
const FAILED_EVERY: u64 = 50;

/// Adds runs until there are `runs`.
///
/// # Errors
/// When the store refuses.
pub(super) fn up_to(data: &Path, runs: u64) -> Result<()> {
    // Nothing here needs to survive anything: closing the store makes it whole.
    let options = Options { durability: Durability::Nothing, cache_bytes: 512 << 20, ..Options::default() };
    let store = Sled::open(data, options)?;
    let mut there = store.stats().ended_runs;
    while there < runs {
        let count = GROUP.min(runs - there);
        add(&store, there, count)?;
        there += count;
    }
    Ok(())
}

fn add(store: &Sled, from: u64, count: u64) -> Result<()> {
    let now = store.now();
    let mut next = store.next_seq();
    let mut begun = Commit::default();
    let mut states = Vec::new();
    for n in from..from + count {
        let start = start(n, next);
        begun.entries.push(entry(EntryKind::EventAccepted, (next, now), format!("alert:bench-{n}"), n));
        let summary = RunSummary::new(&start, now);
        begun.runs.push(RunWrite { summary: summary.clone(), expect: Expect::New, keep_lease: false });
        states.push((n, RunState::new(start)?, summary));
        next = next.next();
    }
    store.commit(begun)?;
    let mut ended = Commit::default();
    for (n, mut state, mut summary) in states {
        let status = if n.is_multiple_of(FAILED_EVERY) { RunStatus::Failed } else { RunStatus::Succeeded };
        state.apply(&Fact::Started { at: now })?;
        state.apply(&Fact::Ended { status, at: now, reason: None, output: None })?;
        let version = summary.version;
        summary.follow(&state, next, now);
        ended.entries.push(entry(EntryKind::RunProgressed, (next, now), summary.id.to_string(), n));
        ended.runs.push(RunWrite { summary, expect: Expect::Version(version), keep_lease: false });
        next = next.next();
    }
    store.commit(ended)?;
    Ok(())
}

/// A salt that follows from the number, so that the store is the same each time.
fn salt(n: u64) -> Salt {
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    salt
}

fn entry(kind: EntryKind, at: (Seq, Time), object: String, n: u64) -> Entry {
    let payload = match kind {
        EntryKind::EventAccepted => alert::body(n, "", true),
        _ => format!(r#"{{"run":{n},"facts":[]}}"#).into_bytes(),
    };
    Entry::new(kind, at, ("bench".to_owned(), Actor::System), object, salt(n), payload)
}

fn start(n: u64, seq: Seq) -> RunStart {
    let tag = Entry::tag(&salt(n));
    let mut trigger = Record::new();
    trigger.insert("kind".to_owned(), "alert.created".into());
    RunStart {
        id: RunId { seq, n: 0, tag },
        playbook: PLAYBOOK.to_owned(),
        digest: Digest::of(PLAYBOOK.as_bytes()),
        trigger,
        tenant: "default".to_owned(),
        event: EventId { seq, tag },
        alert: Some(format!("bench-{n}")),
        case: None,
        entity: None,
        chain: Vec::new(),
        inputs: Record::new(),
        retry_of: None,
        requester: None,
        caller: None,
        carried: Vec::new(),
        gate: None,
        observed: false,
    }
}
