//! What listings show of a run, and where its history lies.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::delivery::Delivery;
use super::fact::{Gate, RunStart, Wait};
use super::state::RunState;
use super::status::RunStatus;
use crate::id::{Digest, EventId, ObjectKey, RunId, Seq};
use crate::limits;
use crate::record::Kind;
use crate::time::Time;

/// A step that waits for what others do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Awaited {
    /// Its path.
    pub path: String,
    /// Its number among the steps of the run, in the order in which they started.
    pub index: u32,
    /// For what, and how long.
    pub wait: Wait,
}

/// What listings show of a run, and where its history lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Which run.
    pub id: RunId,
    /// The playbook's id.
    pub playbook: String,
    /// The digest of its text.
    pub digest: Digest,
    /// Whose it is.
    pub tenant: String,
    /// The kind of trigger, such as `case.stage_changed`.
    pub trigger: String,
    /// The event that started it.
    pub event: EventId,
    /// The alert it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The case it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// The entity it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// How it stands.
    pub status: RunStatus,
    /// When it was created.
    pub created_at: Time,
    /// When it left the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Why it ended as it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The run that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
    /// When there is something to do; meaningful while it is open.
    pub due_at: Time,
    /// How many times it was written; a writer that expects another number is stale.
    pub version: u32,
    /// The entries of its history.
    #[serde(with = "super::entries")]
    pub entries: Vec<Seq>,
    /// Its deliveries, the first [`limits::SUMMARY_DELIVERIES_MAX`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Delivery>,
    /// How many there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deliveries_total: u32,
    /// What it waits for besides a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Awaited>,
    /// The run that called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<RunId>,
    /// The limit that it is under: it is not due while as many older runs of its group are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Whether it only works out what it would do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl RunSummary {
    /// The summary of a run that `start` creates at `now`.
    pub fn new(start: &RunStart, now: Time) -> RunSummary {
        let trigger = start.trigger.get("kind").and_then(Value::as_str).unwrap_or("manual").to_owned();
        RunSummary {
            id: start.id,
            playbook: start.playbook.clone(),
            digest: start.digest,
            tenant: start.tenant.clone(),
            trigger,
            event: start.event,
            alert: start.alert.clone(),
            case: start.case.clone(),
            entity: start.entity.clone(),
            status: RunStatus::Queued,
            created_at: now,
            started_at: None,
            ended_at: None,
            reason: None,
            retry_of: start.retry_of,
            due_at: now,
            version: 0,
            entries: vec![start.id.seq],
            deliveries: Vec::new(),
            deliveries_total: 0,
            waits: Vec::new(),
            caller: start.caller.as_ref().map(|caller| caller.run),
            gate: start.gate.clone(),
            observed: start.observed,
        }
    }

    /// The object of this kind that the run is about.
    pub fn object(&self, kind: Kind) -> Option<ObjectKey> {
        let id = match kind {
            Kind::Alert => &self.alert,
            Kind::Case => &self.case,
            Kind::Entity => &self.entity,
        };
        id.as_ref().map(|id| ObjectKey { tenant: self.tenant.clone(), kind, id: id.clone() })
    }

    /// Brings the summary up to the state after an entry; `due_at` is when there is something to do next.
    pub fn follow(&mut self, state: &RunState, entry: Seq, due_at: Time) {
        self.status = state.status;
        self.started_at = state.started_at;
        self.ended_at = state.ended_at;
        self.reason.clone_from(&state.reason);
        self.due_at = due_at;
        self.version += 1;
        self.entries.push(entry);
        self.waits = state.awaited();
        let all = state.deliveries();
        self.deliveries = all[..all.len().min(limits::SUMMARY_DELIVERIES_MAX)].to_vec();
        self.deliveries_total = u32::try_from(all.len()).unwrap_or(u32::MAX);
    }
}
