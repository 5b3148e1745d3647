//! Events of our own that follow from what happens: alarms of playbooks, runs and deliveries. Each is in the commit of what
//! it is about. Those about runs and deliveries are raised only where a playbook listens to them.

use std::sync::Arc;

use model::event::Actor;
use model::history::EntryKind;
use model::run::RunStatus;
use model::{ChainLink, DeliveryId};
use serde_json::{Value, json};
use store::Expect;

use super::Batch;
use crate::brakes::{self, Suspension};
use crate::change::own_event;
use crate::decide::Raised;
use crate::refusal::Refusal;
use crate::runner::load;
use crate::source::Raw;
use crate::trigger::{DELIVERY_FAILED, RUN_FAILED, RUN_NEEDS_ATTENTION};
use crate::writer::Progress;

impl Batch<'_> {
    /// Suspends a playbook, with an entry and an alarm of its own.
    pub(super) fn suspend(&mut self, playbook: &Arc<str>, suspension: Suspension, tenant: &str) -> Result<(), Refusal> {
        tracing::error!(%playbook, reason = suspension.reason, "the playbook is suspended; `sortie playbooks enable` lifts it");
        let at = self.position();
        let what = json!({ "what": "playbook suspended", "playbook": playbook, "reason": suspension.reason });
        let object = format!("playbook:{playbook}");
        self.entry(EntryKind::SettingChanged, at, Actor::System, object, what.to_string().into_bytes());
        let mark = serde_json::to_vec(&suspension).unwrap_or_default();
        self.marks.insert(brakes::suspension_mark(playbook), Some(mark));
        let data = json!({ "playbook": playbook, "reason": suspension.reason });
        Arc::make_mut(&mut self.brakes).suspended.insert(playbook.to_string(), suspension);
        let raised = Raised { kind: brakes::SUSPENDED, tenant: tenant.to_owned(), data };
        self.raise(&raised, &[])
    }

    /// Takes in an alarm: an event of our own, in the same commit as what it is about.
    pub(super) fn raise(&mut self, raised: &Raised, chain: &[ChainLink]) -> Result<(), Refusal> {
        let event = Arc::new(own_event(raised.kind, raised.tenant.clone(), raised.data.clone(), (self.now, chain)));
        let at = self.position();
        let decided = self.decide(&event, at.0)?;
        self.accept(&event, &Raw::Bytes(bytes::Bytes::new()), at, decided).map(drop)
    }

    /// Says that a run failed or needs a person, and which of its deliveries failed.
    pub(super) fn raise_of_run(&mut self, progress: &Progress) -> Result<(), Refusal> {
        let run = &progress.summary;
        let hears = !progress.failed.is_empty() && self.set.hears(DELIVERY_FAILED);
        for (index, delivery) in progress.failed.iter().filter(|_| hears) {
            let data = json!({
                "delivery_id": DeliveryId { run: run.id, index: *index }, "run_id": run.id, "playbook": run.playbook,
                "destination": delivery.destination, "step": delivery.path, "http_status": delivery.http_status,
                "attempts": delivery.attempts, "alert_id": run.alert, "case_id": run.case,
            });
            self.raise_about(progress, DELIVERY_FAILED, data)?;
        }
        if !matches!(progress.expect, Expect::Lease { .. }) {
            return Ok(());
        }
        let kind = match run.status {
            RunStatus::Failed | RunStatus::TimedOut => RUN_FAILED,
            RunStatus::NeedsAttention => RUN_NEEDS_ATTENTION,
            _ => return Ok(()),
        };
        if run.observed || !self.set.hears(kind) {
            return Ok(());
        }
        let data = json!({
            "run_id": run.id, "playbook": run.playbook, "status": run.status.name(), "reason": run.reason,
            "trigger": run.trigger, "event_id": run.event, "alert_id": run.alert, "case_id": run.case,
        });
        self.raise_about(progress, kind, data)
    }

    /// An event about a run; the run is the last of the chain behind it.
    fn raise_about(&mut self, progress: &Progress, kind: &'static str, data: Value) -> Result<(), Refusal> {
        let run = &progress.summary;
        // What a run has changed carries its chain; of others it is read from where they began.
        let mut chain = progress.chain.clone();
        if chain.is_empty() {
            let before = load::load(self.shared.store.as_ref(), run.id).ok().map(|loaded| loaded.state.start);
            chain.extend(before.iter().flat_map(|start| start.chain.iter().cloned()));
            let requester = before.as_ref().and_then(|start| start.requester.clone());
            chain.push(ChainLink { playbook: run.playbook.clone(), run: run.id, requester });
        }
        self.raise(&Raised { kind, tenant: run.tenant.clone(), data }, &chain)
    }
}
