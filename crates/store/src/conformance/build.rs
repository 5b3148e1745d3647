//! Commits for tests, in few words.

use model::history::{Entry, EntryKind};
use model::run::{RunStart, RunStatus, RunSummary};
use model::{Actor, Digest, EventId, Kind, Object, ObjectKey, Record, RunId, Seq, Time};
use serde_json::Value;

use crate::api::{Claim, Commit, Error, Expect, RunWrite, Store};

/// A commit that is being put together.
#[derive(Debug)]
pub struct Draft {
    /// What it is so far.
    pub commit: Commit,
    /// The time of its entries.
    pub time: Time,
    next: Seq,
}

impl Draft {
    /// An empty commit that goes on where `store` ends, now.
    pub fn on(store: &dyn Store) -> Draft {
        Draft { commit: Commit::default(), time: store.now(), next: store.next_seq() }
    }

    /// The same at another time.
    #[must_use]
    pub fn at(mut self, time: Time) -> Draft {
        self.time = time;
        self
    }

    /// Adds an entry; answers its number.
    pub fn entry(&mut self, payload: &[u8]) -> Seq {
        let seq = self.next;
        let salt = [seq.0.to_be_bytes()[7] ^ 0x5a; 16];
        let who = ("node".to_owned(), Actor::System);
        let object = format!("alert:A-{seq}");
        self.commit.entries.push(Entry::new(
            EntryKind::EventAccepted,
            (seq, self.time),
            who,
            object,
            salt,
            payload.to_vec(),
        ));
        self.next = seq.next();
        seq
    }

    /// Adds a new run, started by entry `seq`.
    pub fn start(&mut self, seq: Seq, n: u16, playbook: &str) -> RunSummary {
        let summary = run(seq, n, playbook, self.time);
        self.write(summary.clone(), Expect::New);
        summary
    }

    /// Adds a write of a run.
    pub fn write(&mut self, summary: RunSummary, expect: Expect) {
        self.commit.runs.push(RunWrite { summary, expect, keep_lease: false });
    }

    /// Commits it.
    ///
    /// # Errors
    /// What the store answers.
    pub fn commit(self, store: &dyn Store) -> Result<(), Error> {
        store.commit(self.commit)
    }
}

/// A queued run.
pub fn run(seq: Seq, n: u16, playbook: &str, now: Time) -> RunSummary {
    let id = RunId { seq, n, tag: 0xab };
    let start = RunStart {
        id,
        playbook: playbook.to_owned(),
        digest: Digest::of(playbook.as_bytes()),
        trigger: Record::new(),
        tenant: "default".to_owned(),
        event: EventId { seq, tag: 0xab },
        alert: None,
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
    };
    RunSummary::new(&start, now)
}

/// The run one version on, with this status, by entry `entry`.
#[must_use]
pub fn moved(run: &RunSummary, status: RunStatus, entry: Seq, due_at: Time) -> RunSummary {
    let mut run = run.clone();
    run.status = status;
    run.version += 1;
    run.due_at = due_at;
    run.entries.push(entry);
    run.ended_at = status.is_final().then_some(due_at);
    run
}

/// One run, started and committed.
///
/// # Errors
/// What the store answers.
pub fn one_run(store: &dyn Store, playbook: &str) -> Result<RunSummary, Error> {
    let mut draft = Draft::on(store);
    let seq = draft.entry(b"{}");
    let run = draft.start(seq, 0, playbook);
    draft.commit(store)?;
    Ok(run)
}

/// An object's key of the tenant `default`.
pub fn key(kind: Kind, id: &str) -> ObjectKey {
    ObjectKey { tenant: "default".to_owned(), kind, id: id.to_owned() }
}

/// An object whose name has `bytes` bytes.
pub fn object(id: &str, bytes: usize, time: Time) -> Object {
    let mut record = Record::new();
    record.insert("id".to_owned(), Value::String(id.to_owned()));
    record.insert("name".to_owned(), Value::String("n".repeat(bytes)));
    let meta = model::object::Meta { created_at: time, updated_at: time, ..model::object::Meta::default() };
    Object { record: record.into(), meta }
}

/// A claim of this key by entry `by`.
pub fn claim(key: u8, by: Seq, until: Time) -> Claim {
    Claim { key: [key; 16], by, tag: 7, body: [9; 16], until }
}
