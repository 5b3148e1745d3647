//! What a run has waited for and what has come: events, answers, the ends of runs that it called.

use std::sync::Arc;

use model::run::{RunStatus, StepStatus, WaitOn};
use model::{EventId, RunId, Time};
use playbook::{Body, Budget, Root, Wait};
use serde_json::{Value, json};
use store::Mark;

use super::work::Work;
use super::{Runner, load};
use crate::approval::{Decision, Reply};
use crate::decide::event_record;
use crate::flow::{self, Ended, error};
use crate::waits::{self, Look, Signal};

/// What has come for a step.
struct Came {
    /// How it ends by that; nothing when it was not what it waits for.
    ended: Option<Ended>,
    /// The signals that are used up.
    used: Vec<Mark>,
}

impl Work {
    /// Takes over what has come; answers whether anything ended by it.
    pub(super) fn hear(&mut self, runner: &Runner, now: Time) -> Result<bool, super::record::Halt> {
        use super::record::Halt;
        let paths: Vec<String> = self.state.waiting().map(str::to_owned).collect();
        let mut heard = false;
        for path in paths {
            let Ok(Some(came)) = self.came(runner, &path, now) else { continue };
            self.used.extend(came.used);
            let Some(ended) = came.ended else { continue };
            let playbook = Arc::clone(&self.playbook);
            let Some(step) = playbook.step_at(&path) else {
                return Err(Halt::Broken("history", format!("the playbook has no step `{path}`")));
            };
            self.apply(ended.fact(step, &path, now))?;
            heard = true;
        }
        Ok(heard)
    }

    fn came(&mut self, runner: &Runner, path: &str, now: Time) -> Result<Option<Came>, store::Error> {
        let run = self.state.start.id;
        let Some(wait) = self.state.steps.get(path).and_then(|step| step.wait.clone()) else { return Ok(None) };
        let store = &runner.shared.store;
        match wait.on {
            WaitOn::Time => Ok(None),
            WaitOn::Run { run } => Ok(callee(runner, run)?.map(|ended| Came { ended: Some(ended), used: Vec::new() })),
            WaitOn::Approval(_) => {
                let name = waits::answer_signal(run, path);
                let answered = store.mark(&name)?.and_then(|text| serde_json::from_slice::<Reply>(&text).ok());
                Ok(answered.map(|answered| Came { ended: Some(answer(answered)), used: vec![(name, None)] }))
            }
            WaitOn::Event { .. } => {
                let signals = store.marks(&waits::signals(run, path))?;
                if signals.is_empty() {
                    return Ok(None);
                }
                let mut ended = None;
                for (name, kept) in &signals {
                    let id = name.rsplit('/').next().and_then(|id| id.parse::<EventId>().ok());
                    let event = id.and_then(|id| load::event_of(store.as_ref(), id.seq).ok().map(|event| (id, event)));
                    if let Some((id, event)) = event.filter(|_| ended.is_none()) {
                        let signal = serde_json::from_slice::<Signal>(kept).ok();
                        ended = self.matches(runner, path, (id, &event), signal.as_ref(), now);
                    }
                }
                Ok(Some(Came { ended, used: signals.into_iter().map(|(name, _)| (name, None)).collect() }))
            }
        }
    }

    /// How a wait ends by an event; nothing when it is another event that is waited for.
    fn matches(
        &mut self,
        runner: &Runner,
        path: &str,
        (id, event): (EventId, &model::Event),
        signal: Option<&Signal>,
        now: Time,
    ) -> Option<Ended> {
        let playbook = Arc::clone(&self.playbook);
        let Some(Body::Wait(Wait::Event(wait))) = playbook.step_at(path).map(|step| &step.body) else { return None };
        let mut record = event_record(event);
        if let Some(when) = wait.when.as_ref().filter(|_| signal.is_none_or(|signal| !signal.fits)) {
            let scope = self.scope_at(runner, path, now)?;
            let came = Arc::new(record.clone());
            let scope = match signal {
                Some(signal) => signal.scope(scope, came, event.received),
                None => scope.known(Root::Event, Some(came)),
            };
            match when.answer(&runner.shared.evaluator, &scope, Budget::STEP) {
                playbook::Answer::Yes => {}
                playbook::Answer::No { .. } => return None,
                playbook::Answer::Failed { message, .. } => {
                    tracing::warn!(%id, path, message, "whether an event is the one that is waited for cannot be said");
                    return None;
                }
            }
        }
        record.insert("event_id".to_owned(), Value::String(id.to_string()));
        Some(Ended::well(json!({ "event": record, "timed_out": false })))
    }

    /// Keeps what the conditions of waits look at where events are decided.
    pub(super) fn listen(&mut self, runner: &Runner, now: Time) {
        let run = self.state.start.id;
        let paths: Vec<String> = self.state.waiting().map(str::to_owned).collect();
        let playbook = Arc::clone(&self.playbook);
        for path in paths {
            let Some(Body::Wait(Wait::Event(wait))) = playbook.step_at(&path).map(|step| &step.body) else { continue };
            let Some(when) = &wait.when else { continue };
            if let Some(scope) = self.scope_at(runner, &path, now) {
                runner.shared.waits.look(run, &path, Look { when: when.clone(), scope });
            }
        }
    }

    /// The scope of a step that waits.
    fn scope_at(&mut self, runner: &Runner, path: &str, now: Time) -> Option<playbook::Scope> {
        let playbook = Arc::clone(&self.playbook);
        let frame = crate::next::frame_of(&self.state, &playbook, path)?;
        self.scope(runner, &frame, now).ok()
    }
}

/// How a question ends by its answer.
fn answer(answered: Reply) -> Ended {
    let Reply { decision, by, comment, fields, .. } = answered;
    let said = comment.as_deref().map_or(String::new(), |comment| format!(": {comment}"));
    let message = format!("{by} said no{said}");
    let output =
        json!({ "decision": decision.name(), "by": by, "comment": comment, "fields": fields, "timed_out": false });
    match decision {
        Decision::Approve => Ended::well(output),
        Decision::Deny => flow::denied(output, message),
    }
}

/// How a call ends by the end of the run that was called; nothing while it is open.
fn callee(runner: &Runner, run: RunId) -> Result<Option<Ended>, store::Error> {
    let store = &runner.shared.store;
    let Some(summary) = store.run(run)? else {
        let gone = error("callee_gone", format!("run {run} is gone, and how it ended is not known"));
        return Ok(Some(Ended::badly(StepStatus::Failed, gone)));
    };
    if !summary.status.is_final() {
        return Ok(None);
    }
    let output = load::load(store.as_ref(), run).ok().and_then(|loaded| loaded.state.output).unwrap_or(json!({}));
    Ok(Some(match summary.status {
        RunStatus::Succeeded => Ended::well(output),
        RunStatus::SucceededWithWarnings => {
            Ended { status: StepStatus::SucceededWithWarnings, handled: true, ..Ended::well(output) }
        }
        status => {
            let reason = summary.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
            let message = format!("run {run} of `{}` ended as {}{reason}", summary.playbook, status.name());
            Ended::badly(StepStatus::Failed, error("callee_failed", message))
        }
    }))
}
