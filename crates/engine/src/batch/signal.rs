//! What comes for runs that wait: events that are decided, answers of people.

use std::sync::Arc;

use model::history::EntryKind;
use model::run::{Awaited, RunSummary, WaitOn};
use model::{Event, EventId, RunId, Seq};
use playbook::{Budget, Root};

use super::Batch;
use crate::approval::Decision;
use crate::decide::{self, Position};
use crate::refusal::Refusal;
use crate::waits::{self, Ear};
use crate::writer::Answer;

impl Batch<'_> {
    /// Tells the runs that wait for an event of this kind that it came.
    pub(super) fn signal(&mut self, event: &Event, at: Position) {
        let id = EventId { seq: at.seq, tag: at.tag };
        let mut ears = self.shared.waits.ears(&event.kind, &event.tenant);
        // Those that began to wait in this very commit.
        for write in self.commit.runs.iter().filter(|write| write.summary.tenant == event.tenant) {
            let run = write.summary.id;
            for wait in write.summary.waits.iter().filter(|wait| waits::hears(wait, &event.kind)) {
                if ears.iter().all(|ear| ear.run != run || ear.path != wait.path) {
                    ears.push(Ear { run, path: wait.path.clone(), look: None });
                }
            }
        }
        if ears.is_empty() {
            return;
        }
        let record = Arc::new(decide::event_record(event));
        for ear in ears {
            let fits = ear.look.as_ref().is_none_or(|look| {
                let scope = look.scope.clone().known(Root::Event, Some(Arc::clone(&record)));
                let answer = look.when.answer(&self.shared.evaluator, &scope, Budget::WHEN);
                !matches!(answer, playbook::Answer::No { .. })
            });
            if fits {
                self.marks.insert(waits::event_signal(ear.run, &ear.path, id), Some(Vec::new()));
                self.woken.push(ear.run);
            }
        }
    }

    /// A run as it will be.
    pub(super) fn run(&self, id: RunId) -> Result<Option<RunSummary>, Refusal> {
        let written = self.commit.runs.iter().rev().find(|write| write.summary.id == id);
        match written {
            Some(write) => Ok(Some(write.summary.clone())),
            None => self.shared.store.run(id).map_err(|error| Refusal::from(&error)),
        }
    }

    /// Takes an answer to a question that is still open, once.
    pub(super) fn answer(&mut self, order: &Answer) -> Result<Seq, Refusal> {
        let closed = || Refusal::Conflict("the question is not open any more".to_owned());
        let run = self.run(order.run)?.filter(|run| !run.status.is_final()).ok_or_else(closed)?;
        let asks = |wait: &&Awaited| wait.path == order.path && matches!(wait.wait.on, WaitOn::Approval(_));
        let wait = run.waits.iter().find(asks).ok_or_else(closed)?;
        if wait.wait.until.is_some_and(|until| until <= self.now) {
            return Err(Refusal::Conflict("its deadline has passed".to_owned()));
        }
        let name = waits::answer_signal(order.run, &order.path);
        if self.mark(&name)?.is_some() {
            return Err(Refusal::Conflict("it has been answered already".to_owned()));
        }
        let kept = serde_json::to_vec(&order.answered)
            .map_err(|error| Refusal::Invalid { code: "internal", message: error.to_string() })?;
        let at = self.position();
        let seq = at.0.seq;
        let what =
            format!("approval {}", if order.answered.decision == Decision::Approve { "given" } else { "denied" });
        let payload =
            serde_json::json!({ "what": what, "run": order.run, "step": order.path, "answer": order.answered });
        let object = format!("run:{}", order.run);
        self.entry(EntryKind::SettingChanged, at, order.actor.clone(), object, payload.to_string().into_bytes());
        self.marks.insert(name, Some(kept));
        self.woken.push(order.run);
        Ok(seq)
    }
}
