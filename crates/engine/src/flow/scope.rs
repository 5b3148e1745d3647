//! What names mean where a step stands.

use std::collections::HashMap;
use std::sync::Arc;

use model::run::{RunState, StepError, StepState, StepStatus};
use model::{Event, Kind, ObjectKey, Record, Time};
use playbook::{Playbook, Root, Scope, Steps};
use serde_json::{Value, json};

use crate::decide::event_record;
use crate::next::{self, Around, Frame};

/// Reads an object as it stands now.
pub type Look<'a> = &'a dyn Fn(&ObjectKey) -> Result<Option<Arc<Record>>, store::Error>;

/// What a scope is made from, besides the run's state.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// The run's playbook.
    pub playbook: &'a Playbook,
    /// The event that started the run.
    pub event: &'a Event,
    /// Reads alerts, cases and entities.
    pub look: Look<'a>,
}

/// How steps that have ended are seen by others, made once for each: a step that has ended does not change any more.
#[derive(Debug, Default)]
pub struct Seen {
    ended: HashMap<String, Arc<Value>>,
    event: Option<Arc<Record>>,
}

/// Most steps that are kept in sight; beyond, what is seen is made anew.
const SEEN_MAX: usize = 1_024;

impl Seen {
    fn step(&mut self, path: &str, step: &StepState) -> Arc<Value> {
        if let Some(known) = self.ended.get(path) {
            return Arc::clone(known);
        }
        let seen = Arc::new(view(step));
        if step.status.is_final() {
            if self.ended.len() >= SEEN_MAX {
                self.ended.clear();
            }
            self.ended.insert(path.to_owned(), Arc::clone(&seen));
        }
        seen
    }
}

/// The scope of a list of steps at this moment. Alerts and cases are read as they stand now.
///
/// # Errors
/// [`store::Error`] when an object cannot be read.
pub fn scope(
    state: &RunState,
    frame: &Frame<'_>,
    sight: Sight<'_>,
    seen: &mut Seen,
    now: Time,
) -> Result<Scope, store::Error> {
    let record = |kind: Kind| -> Result<Option<Arc<Record>>, store::Error> {
        state.start.object(kind).map_or(Ok(None), |key| (sight.look)(&key))
    };
    let event = seen.event.get_or_insert_with(|| Arc::new(event_record(sight.event)));
    let mut scope = Scope::new(now)
        .known(Root::Event, Some(Arc::clone(event)))
        .known(Root::Alert, record(Kind::Alert)?)
        .known(Root::Case, record(Kind::Case)?)
        .known(Root::Entity, record(Kind::Entity)?)
        .known(Root::Trigger, Some(Arc::new(state.start.trigger.clone())))
        .known(Root::Run, Some(Arc::new(run(state))))
        .free(Root::Vars, vars(state, sight.playbook))
        .free(Root::Inputs, Arc::new(Value::Object(state.start.inputs.clone())));
    let mut steps = Steps::new();
    for (id, path) in frame.readable(state) {
        if let Some(known) = state.steps.get(&path) {
            steps.insert(id.to_owned(), seen.step(&path, known));
        }
    }
    scope = scope.steps(Arc::new(steps));
    let mut error = None;
    let mut named: Vec<&str> = Vec::new();
    for around in frame.around() {
        match around {
            Around::Nothing => {}
            Around::Item { var, path, index } => {
                let item = usize::try_from(*index).ok().and_then(|at| state.steps.get(path)?.items().get(at));
                if let Some(item) = item.filter(|_| !named.contains(var)) {
                    named.push(var);
                    scope = scope.local(var, Arc::new(item.clone()));
                }
            }
            Around::Error { path } => error = error.or(Some(path)),
        }
    }
    if let Some(path) = error {
        scope = scope.known(Root::Error, Some(Arc::new(failed(path, state))));
    }
    if let Some(failure) = next::failure(state, sight.playbook, now) {
        scope = scope.known(Root::Failure, Some(Arc::new(told(failure.path.as_deref(), failure.error.as_ref()))));
    }
    Ok(scope)
}

fn run(state: &RunState) -> Record {
    let mut run = Record::new();
    run.insert("id".to_owned(), Value::String(state.start.id.to_string()));
    run.insert("playbook".to_owned(), Value::String(state.start.playbook.clone()));
    if let Some(started) = state.started_at {
        run.insert("started_at".to_owned(), Value::String(started.to_string()));
    }
    run
}

/// The constants, and what `set` has named.
fn vars(state: &RunState, playbook: &Playbook) -> Arc<Value> {
    let Value::Object(constants) = &*playbook.vars else { return Arc::clone(&playbook.vars) };
    if state.vars.is_empty() {
        return Arc::clone(&playbook.vars);
    }
    let mut all = constants.clone();
    all.extend(state.vars.iter().map(|(name, value)| (name.clone(), value.clone())));
    Arc::new(Value::Object(all))
}

/// The failure of a step as scripts read it.
fn failed(path: &str, state: &RunState) -> Record {
    told(Some(path), state.steps.get(path).and_then(|step| step.error.as_ref()))
}

fn told(path: Option<&str>, error: Option<&StepError>) -> Record {
    let mut facts = Record::new();
    if let Some(path) = path {
        facts.insert("step".to_owned(), Value::String(path.to_owned()));
    }
    if let Some(error) = error {
        facts.insert("code".to_owned(), Value::String(error.code.clone()));
        facts.insert("message".to_owned(), Value::String(error.message.clone()));
    }
    facts
}

fn view(step: &StepState) -> Value {
    json!({
        "status": step.status.name(),
        "succeeded": step.status == StepStatus::Succeeded,
        "output": step.output,
        "error": step.error.as_ref().map(|error| json!({ "code": error.code, "message": error.message })),
    })
}
