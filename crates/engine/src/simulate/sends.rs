//! What a would-run of a back-test sends: its steps followed as if each of them succeeded at once.
//!
//! A step whose `if` says no is left out, and so are the ways of a `switch` that are not taken; loops go round once. What
//! is only known while a run is at work (an answer, a person's decision) counts as the way on. Destinations choose and stay
//! silent as they do in the engine: the rules are the same code.

use std::sync::Arc;

use model::run::RunStart;
use model::{Event, Kind, Time};
use playbook::{Answer, Body, Budget, Condition, Evaluator, Playbook, Root, Scope, Step, Steps};
use serde::Serialize;
use serde_json::{Value, json};

use super::backtest::State;
use crate::action::{self, refuses};
use crate::decide::{View, event_record};
use crate::outbound::Destinations;

/// Something that would have been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WouldSend {
    /// Where to.
    pub destination: String,
    /// `held_back` when the destination's window was silent.
    pub dedupe: Option<&'static str>,
    /// The playbook.
    pub playbook: String,
    /// Why the destination does not want it, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<&'static str>,
}

/// What would-runs are followed with.
pub(super) struct Sends<'a> {
    pub(super) state: &'a State,
    pub(super) evaluator: &'a Evaluator,
    pub(super) destinations: &'a Destinations,
    pub(super) now: Time,
}

impl Sends<'_> {
    /// Follows one would-run.
    pub(super) fn of(
        &self,
        playbook: &Playbook,
        start: &RunStart,
        event: &Event,
        out: &mut Vec<WouldSend>,
    ) -> Result<(), store::Error> {
        let record = |kind: Kind| -> Result<_, store::Error> {
            let Some(key) = start.object(kind) else { return Ok(None) };
            Ok(self.state.object(&key)?.map(|object| Arc::clone(&object.record)))
        };
        let scope = Scope::new(self.now)
            .known(Root::Event, Some(Arc::new(event_record(event))))
            .known(Root::Alert, record(Kind::Alert)?)
            .known(Root::Case, record(Kind::Case)?)
            .known(Root::Entity, record(Kind::Entity)?)
            .known(Root::Trigger, Some(Arc::new(start.trigger.clone())))
            .free(Root::Vars, Arc::clone(&playbook.vars))
            .free(Root::Inputs, Arc::new(Value::Object(start.inputs.clone())));
        let mut walk = Walk { sends: self, start, scope, done: Steps::new(), out };
        walk.steps(&playbook.steps)?;
        walk.steps(&playbook.finally)
    }
}

/// One would-run being followed.
struct Walk<'a, 'o> {
    sends: &'a Sends<'a>,
    start: &'a RunStart,
    scope: Scope,
    done: Steps,
    out: &'o mut Vec<WouldSend>,
}

impl Walk<'_, '_> {
    fn steps(&mut self, steps: &[Step]) -> Result<(), store::Error> {
        for step in steps {
            let goes = step.condition.as_ref().is_none_or(|condition| self.says(condition));
            if goes {
                self.step(step)?;
            }
            let status = if goes { "succeeded" } else { "skipped" };
            let done = json!({ "status": status, "succeeded": goes, "output": null, "error": null });
            self.done.insert(step.id.clone(), Arc::new(done));
        }
        Ok(())
    }

    /// Whether a condition lets the run go on: what cannot be told yet does.
    fn says(&self, condition: &Condition) -> bool {
        let scope = self.scope.clone().steps(Arc::new(self.done.clone()));
        !matches!(condition.answer(self.sends.evaluator, &scope, Budget::STEP), Answer::No { .. })
    }

    fn step(&mut self, step: &Step) -> Result<(), store::Error> {
        match &step.body {
            Body::Action { with, .. } => {
                let Some(to) = with.get("to") else { return Ok(()) };
                let scope = self.scope.clone().steps(Arc::new(self.done.clone()));
                let mut left = model::limits::STEP_OUTPUT_BYTES_MAX;
                let rendered = to.render(self.sends.evaluator, &scope, &mut left);
                let dedupe = with.get("dedupe").and_then(|template| template.constant()).and_then(Value::as_str);
                let dedupe = dedupe.and_then(|text| model::period::parse(text).ok());
                for name in names(rendered.ok().as_ref()) {
                    self.send(name, dedupe)?;
                }
                Ok(())
            }
            Body::Switch { cases } => {
                let taken = cases.iter().find(|case| case.when.as_ref().is_none_or(|when| self.says(when)));
                taken.map_or(Ok(()), |case| self.steps(&case.steps))
            }
            Body::Try(guard) => {
                self.steps(&guard.steps)?;
                self.steps(&guard.finally)
            }
            _ => {
                let is_way_on = |(name, _): &(String, &[Step])| name != "on_error";
                step.lists().into_iter().filter(is_way_on).try_for_each(|(_, steps)| self.steps(steps))
            }
        }
    }

    fn send(&mut self, name: &str, dedupe: Option<std::time::Duration>) -> Result<(), store::Error> {
        let about = action::about(self.start);
        let object = match &about {
            Some(key) => self.sends.state.object(key)?,
            None => None,
        };
        let priority = object.as_ref().and_then(|object| object.text("priority"));
        let mut would = WouldSend {
            destination: name.to_owned(),
            dedupe: None,
            playbook: self.start.playbook.clone(),
            suppressed: None,
        };
        if let Some(destination) = self.sends.destinations.map.get(name) {
            would.suppressed = refuses(destination, &self.start.tenant, about.as_ref(), priority);
            let window = dedupe.or(destination.dedupe).filter(|_| would.suppressed.is_none());
            if let Some(period) = window {
                let key = action::window_of(self.start, about.as_ref(), name);
                let free = self.sends.state.claim(key, self.sends.now, self.sends.now.plus(period));
                would.dedupe = (!free).then_some("held_back");
            }
        }
        self.out.push(would);
        Ok(())
    }
}

/// The destinations that a rendered `to` names.
fn names(to: Option<&Value>) -> Vec<&str> {
    match to {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(name)) => vec![name.as_str()],
        _ => Vec::new(),
    }
}
