//! What comes for runs that wait: events that are decided, answers of people.

use std::sync::Arc;

use model::history::EntryKind;
use model::run::{Awaited, RunSummary, WaitOn};
use model::{Event, EventId, Kind, Record, RunId, Seq};
use playbook::Budget;

use super::Batch;
use crate::approval::Decision;
use crate::decide::{self, Position, View as _};
use crate::refusal::Refusal;
use crate::waits::{self, Ear, Signal};
use crate::writer::Answer;

impl Batch<'_> {
    /// Tells the runs that wait for an event of this kind that it came. Whether it is the one that is waited for is judged
    /// by the state that it leaves; where that cannot be said here, the state is kept for the run to judge by.
    pub(super) fn signal(&mut self, event: &Event, at: Position) -> Result<(), Refusal> {
        let id = EventId { seq: at.seq, tag: at.tag };
        let mut ears = self.shared.waits.ears(&event.kind, &event.tenant);
        // Those that began to wait in this very commit.
        for write in self.commit.runs.iter().filter(|write| write.summary.tenant == event.tenant) {
            let run = &write.summary;
            for wait in run.waits.iter().filter(|wait| waits::hears(wait, &event.kind)) {
                if ears.iter().all(|ear| ear.run.id != run.id || ear.path != wait.path) {
                    ears.push(Ear { run: Arc::new(run.clone()), path: wait.path.clone(), look: None });
                }
            }
        }
        if ears.is_empty() {
            return Ok(());
        }
        let record = Arc::new(decide::event_record(event));
        for ear in ears {
            let Some(signal) = self.signal_for(&ear, &record)? else { continue };
            let kept = serde_json::to_vec(&signal)
                .map_err(|error| Refusal::Invalid { code: "internal", message: error.to_string() })?;
            self.marks.insert(waits::event_signal(ear.run.id, &ear.path, id), Some(kept));
            self.woken.push(ear.run.id);
        }
        Ok(())
    }

    /// What is kept of an event for a step that waits; nothing when it is another that is waited for.
    fn signal_for(&self, ear: &Ear, event: &Arc<Record>) -> Result<Option<Signal>, Refusal> {
        let record = |kind: Kind| -> Result<Option<Arc<Record>>, Refusal> {
            let Some(key) = ear.run.object(kind) else { return Ok(None) };
            let object = self.object(&key).map_err(|error| Refusal::from(&error))?;
            Ok(object.map(|object| Arc::clone(&object.record)))
        };
        let (alert, case, entity) = (record(Kind::Alert)?, record(Kind::Case)?, record(Kind::Entity)?);
        let signal = Signal { fits: false, alert, case, entity };
        let Some(look) = &ear.look else { return Ok(Some(signal)) };
        let scope = signal.scope(look.scope.clone(), Arc::clone(event), self.now);
        Ok(match look.when.answer(&self.shared.evaluator, &scope, Budget::WHEN) {
            playbook::Answer::Yes => Some(Signal { fits: true, ..Signal::default() }),
            playbook::Answer::No { .. } => None,
            playbook::Answer::Failed { .. } => Some(signal),
        })
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
