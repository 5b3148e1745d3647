//! Fills a store with what real events leave: an entry with body and run, an entry of the run's progress with its delivery,
//! the alert (every twentieth time a case), the places in the indexes.

use std::path::Path;
use std::sync::Arc;

use engine::record;
use model::history::{Entry, EntryKind, Salt};
use model::object::Meta;
use model::run::{Attempt, AttemptOutcome, Fact, RunStart, RunState, RunStatus, RunSummary, StepStatus};
use model::{Actor, Digest, EventId, Kind, Object, ObjectKey, Record, RunId, Seq, Time};
use serde_json::{Value, json};
use store::{Commit, Durability, Expect, Options, RunWrite, Sled, Store};

use crate::support::{Result, alert};

/// The playbook of the runs.
const PLAYBOOK: &str = "bench-fill";
/// Its text, so that its page has something to show.
pub(super) const TEXT: &str = "playbook: bench-fill\nname: Sends what is critical\ntriggers: [alert.created, case.created]\nsteps:\n  - { id: send, action: webhook.send_threat_details, with: { to: [desk] } }\n";
/// Runs in one commit.
const GROUP: u64 = 100;
/// Every so manyth run has failed, and every so manyth event is about a case.
const FAILED_EVERY: u64 = 50;
const CASE_EVERY: u64 = 20;

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

fn kind_of(n: u64) -> Kind {
    if n.is_multiple_of(CASE_EVERY) { Kind::Case } else { Kind::Alert }
}

fn key(n: u64) -> ObjectKey {
    ObjectKey { tenant: "default".to_owned(), kind: kind_of(n), id: format!("bench-{n}") }
}

fn add(store: &Sled, from: u64, count: u64) -> Result<()> {
    let now = store.now();
    let mut next = store.next_seq();
    let mut begun = Commit::default();
    let mut states = Vec::new();
    for n in from..from + count {
        let start = start(n, next);
        let fields = fields(n)?;
        let payload = accepted(n, (&start, &fields), now)?;
        begun.entries.push(entry(EntryKind::EventAccepted, (next, now), key(n).to_string(), n, payload));
        let meta = Meta {
            version: 1,
            created: next,
            last: next,
            created_at: now,
            updated_at: now,
            source: "generic".to_owned(),
            entries: vec![next],
            ..Meta::default()
        };
        begun.objects.push((key(n), Object { record: Arc::new(fields), meta }));
        let summary = RunSummary::new(&start, now);
        begun.runs.push(RunWrite { summary: summary.clone(), expect: Expect::New, keep_lease: false });
        states.push((n, RunState::new(start)?, summary));
        next = next.next();
    }
    store.commit(begun)?;
    let mut ended = Commit::default();
    for (n, mut state, mut summary) in states {
        let facts = facts(!n.is_multiple_of(FAILED_EVERY), now);
        for fact in &facts {
            state.apply(fact)?;
        }
        let version = summary.version;
        summary.follow(&state, next, now);
        let payload = record::progressed(summary.id, &facts)?;
        ended.entries.push(entry(EntryKind::RunProgressed, (next, now), summary.id.to_string(), n, payload));
        ended.runs.push(RunWrite { summary, expect: Expect::Version(version), keep_lease: false });
        next = next.next();
    }
    store.commit(ended)?;
    Ok(())
}

/// What a run did: one delivery.
fn facts(taken: bool, at: Time) -> Vec<Fact> {
    let path = || "send".to_owned();
    let action = || "webhook.send_threat_details".to_owned();
    let input = json!({ "to": ["desk"] });
    let attempt = Attempt {
        n: 1,
        destination: Some("desk".to_owned()),
        started_at: at,
        ended_at: at,
        outcome: if taken { AttemptOutcome::Succeeded } else { AttemptOutcome::Failed },
        http_status: Some(if taken { 204 } else { 400 }),
        answer: None,
        error: None,
        redacted: Vec::new(),
    };
    let (step, run) = match taken {
        true => (StepStatus::Succeeded, RunStatus::Succeeded),
        false => (StepStatus::Failed, RunStatus::Failed),
    };
    vec![
        Fact::Started { at },
        Fact::StepStarted { path: path(), action: action(), at, input: Some(input.into()), once: false },
        Fact::Attempted { path: path(), attempt },
        Fact::StepEnded {
            path: path(),
            action: action(),
            status: step,
            at,
            output: None,
            error: None,
            handled: false,
            culprit: None,
        },
        Fact::Ended { status: run, at, reason: None, output: None },
    ]
}

/// The fields of the alert or the case.
fn fields(n: u64) -> Result<Record> {
    let body: Value = serde_json::from_slice(&alert::body(n, "", true))?;
    let Some(Value::Object(mut fields)) = body.get("alert").cloned() else { return Err("no alert".into()) };
    if kind_of(n) == Kind::Case {
        fields.insert("stage".to_owned(), "New".into());
        fields.insert("number".to_owned(), n.to_string().into());
    }
    Ok(fields.into_iter().collect())
}

/// The payload of an event.
fn accepted(n: u64, (start, fields): (&RunStart, &Record), now: Time) -> Result<Vec<u8>> {
    let kind = kind_of(n);
    let raw: Value = serde_json::from_slice(&alert::body(n, "", true))?;
    let payload = json!({
        "source": "generic", "type": format!("{kind}.created"), "id": format!("evt-{n}"), "time": now, "received": now,
        "tenant": "default", "actor": Actor::Source("generic".to_owned()),
        "subject": { "kind": kind, "id": format!("bench-{n}"), "fields": fields },
        "raw": raw, "decisions_total": 1, "set": Digest::of(b"set"), "runs": [start],
        "decisions": [{ "playbook": PLAYBOOK, "verdict": "matched", "reason": "it fits", "run_id": start.id }],
    });
    // As it is read back: what does not fit is said here, not by the page.
    let payload = serde_json::to_vec(&payload)?;
    record::read_accepted(&payload)?;
    Ok(payload)
}

/// A salt that follows from the number, so that the store is the same each time.
fn salt(n: u64) -> Salt {
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    salt
}

fn entry(kind: EntryKind, at: (Seq, Time), object: String, n: u64, payload: Vec<u8>) -> Entry {
    let actor = match kind {
        EntryKind::EventAccepted => Actor::Source("generic".to_owned()),
        _ => Actor::System,
    };
    Entry::new(kind, at, ("bench".to_owned(), actor), object, salt(n), payload)
}

fn start(n: u64, seq: Seq) -> RunStart {
    let tag = Entry::tag(&salt(n));
    let mut trigger = Record::new();
    trigger.insert("kind".to_owned(), format!("{}.created", kind_of(n)).into());
    let about = |kind: Kind| (kind_of(n) == kind).then(|| format!("bench-{n}"));
    RunStart {
        id: RunId { seq, n: 0, tag },
        playbook: PLAYBOOK.to_owned(),
        digest: Digest::of(TEXT.as_bytes()),
        trigger,
        tenant: "default".to_owned(),
        event: EventId { seq, tag },
        alert: about(Kind::Alert),
        case: about(Kind::Case),
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
