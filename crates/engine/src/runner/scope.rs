//! What names mean in a step.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::run::{RunState, StepState, StepStatus};
use model::{Kind, Record, Time};
use playbook::{OnError, Playbook, Root, Scope, Step, Template};
use serde_json::{Value, json};

use super::Runner;
use super::work::Work;
use crate::decide::event_record;
use crate::next;

/// Whether a step looks at anything: most only have constants, and then nothing need be put together for them.
pub(super) fn is_read(step: &Step, with: &BTreeMap<String, Template>) -> bool {
    step.condition.is_some() || with.values().any(|template| template.constant().is_none())
}

/// The scope of a step at this moment. Alerts and cases are read as they stand now.
pub(super) fn of_step(runner: &Runner, work: &Work, now: Time) -> Result<Scope, store::Error> {
    let state = &work.state;
    let record = |kind: Kind| -> Result<Option<Arc<Record>>, store::Error> {
        let Some(key) = state.start.object(kind) else { return Ok(None) };
        Ok(runner.shared.store.object(&key)?.map(|object| object.record))
    };
    let text = |value: String| Value::String(value);
    let mut run = Record::new();
    run.insert("id".to_owned(), text(state.start.id.to_string()));
    run.insert("playbook".to_owned(), text(state.start.playbook.clone()));
    if let Some(started) = state.started_at {
        run.insert("started_at".to_owned(), text(started.to_string()));
    }
    let mut scope = Scope::new(now)
        .known(Root::Event, Some(Arc::new(event_record(&work.event))))
        .known(Root::Alert, record(Kind::Alert)?)
        .known(Root::Case, record(Kind::Case)?)
        .known(Root::Entity, record(Kind::Entity)?)
        .known(Root::Trigger, Some(Arc::new(state.start.trigger.clone())))
        .known(Root::Run, Some(Arc::new(run)))
        .free(Root::Vars, Arc::clone(&work.playbook.vars))
        .free(Root::Inputs, Arc::new(Value::Object(state.start.inputs.clone())))
        .free(Root::Steps, Arc::new(Value::Object(steps(&work.playbook, state))));
    if let Some(failure) = next::failure(state, &work.playbook, now) {
        let mut facts = Record::new();
        facts.insert("step".to_owned(), text(failure.path.to_owned()));
        if let Some(error) = failure.error {
            facts.insert("code".to_owned(), text(error.code.clone()));
            facts.insert("message".to_owned(), text(error.message.clone()));
        }
        scope = scope.known(Root::Failure, Some(Arc::new(facts)));
    }
    Ok(scope)
}

/// `steps.<id>` for every step that has an id, done or not.
fn steps(playbook: &Playbook, state: &RunState) -> Record {
    let mut all = Record::new();
    collect(&playbook.steps, state, &mut all);
    collect(&playbook.on_failure, state, &mut all);
    all
}

fn collect(steps: &[Step], state: &RunState, all: &mut Record) {
    for step in steps {
        if !step.id.is_empty() {
            all.insert(step.id.clone(), view(state.steps.get(&step.path)));
        }
        if let OnError::Steps(fallback) = &step.on_error {
            collect(fallback, state, all);
        }
    }
}

fn view(step: Option<&StepState>) -> Value {
    let Some(step) = step else {
        return json!({ "status": null, "succeeded": false, "output": null, "error": null });
    };
    json!({
        "status": step.status.name(),
        "succeeded": step.status == StepStatus::Succeeded,
        "output": step.output,
        "error": step.error.as_ref().map(|error| json!({ "code": error.code, "message": error.message })),
    })
}
