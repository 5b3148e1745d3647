//! The beginning of steps, and the end of waits.

use model::run::{Ask, Fact, StepError, StepStatus, Wait as Waits, WaitOn};
use model::{Record, Time, limits};
use playbook::{Approve, Body, Budget, Case, Each, Input, Items, OnDeadline, Step, Template, Wait};
use serde_json::{Value, json};

use super::{Ended, Follows, Means, asked, error, of_script};
use crate::next::{self, Todo};

/// Longest question to a person, in characters.
const ASK_CHARS_MAX: usize = 2_000;

/// Begins a step, or goes on with one.
pub(super) fn begin(todo: &Todo<'_>, means: &Means<'_>) -> Follows {
    if let Some(fact) = asked(todo, means) {
        return Follows::Facts(vec![fact]);
    }
    let (step, path) = (todo.step, todo.path.as_str());
    let known = means.state.steps.contains_key(path);
    let facts = match &step.body {
        Body::Action { .. } => return Follows::Act,
        Body::Call(call) => match inputs(&call.inputs, means) {
            Ok(inputs) => return Follows::Call { playbook: call.playbook.clone(), inputs },
            Err(error) => Err(error),
        },
        Body::ForEach(each) => items(each, means).map(|items| vec![started(step, path, Some(items), means.now)]),
        Body::Switch { cases } => switch(cases, step, path, means),
        Body::Parallel { .. } | Body::Repeat(_) | Body::Try(_) => Ok(vec![started(step, path, None, means.now)]),
        Body::Wait(wait) if !known => wait_from(wait, step, path, means),
        Body::Wait(wait) => Ok(vec![waited(wait, step, path, means.now)]),
        Body::Approve(approve) if !known => ask(approve, step, path, means),
        Body::Approve(approve) => Ok(vec![unanswered(approve, step, path, means.now)]),
        Body::Set { values } => set(values, means).map(|values| vec![Ended::well(values).fact(step, path, means.now)]),
        Body::Stop { outcome, reason } => {
            let reason = reason.as_ref().map_or(Ok(Value::Null), |reason| render(reason, means));
            let output = reason.map(|reason| json!({ "outcome": outcome.name(), "reason": text(&reason) }));
            output.map(|output| vec![Ended::well(output).fact(step, path, means.now)])
        }
        _ => Err(error("unsupported", "this version cannot run a step of this kind")),
    };
    let failed = |error| vec![Ended::badly(StepStatus::Failed, error).fact(step, path, means.now)];
    Follows::Facts(facts.unwrap_or_else(failed))
}

/// The fact that a block begins.
fn started(step: &Step, path: &str, input: Option<Value>, at: Time) -> Fact {
    Fact::StepStarted {
        path: path.to_owned(),
        action: step.body.kind().to_owned(),
        at,
        input: input.map(Into::into),
        once: false,
    }
}

fn waiting(path: &str, at: Time, on: WaitOn, until: Option<Time>) -> Fact {
    Fact::Waiting { path: path.to_owned(), at, wait: Waits { on, until } }
}

pub(super) fn render(template: &Template, means: &Means<'_>) -> Result<Value, StepError> {
    let mut room = limits::STEP_OUTPUT_BYTES_MAX;
    template.render(means.evaluator, means.scope, &mut room).map_err(of_script)
}

/// A value as text for people.
fn text(value: &Value) -> Value {
    match value {
        Value::Null | Value::String(_) => value.clone(),
        other => Value::String(other.to_string()),
    }
}

fn inputs<'t>(
    given: impl IntoIterator<Item = (&'t String, &'t Template)>,
    means: &Means<'_>,
) -> Result<Record, StepError> {
    given.into_iter().map(|(name, template)| Ok((name.clone(), render(template, means)?))).collect()
}

fn set(values: &[(String, Template)], means: &Means<'_>) -> Result<Value, StepError> {
    let values = inputs(values.iter().map(|(name, template)| (name, template)), means)?;
    let known = means.state.vars.iter().filter(|(name, _)| !values.contains_key(*name));
    let bytes: usize = known.chain(&values).map(|(name, value)| name.len() + value.to_string().len()).sum();
    if bytes > limits::STEP_OUTPUT_BYTES_MAX {
        let message =
            format!("the values that `set` keeps are larger together than {} bytes", limits::STEP_OUTPUT_BYTES_MAX);
        return Err(error("too_large", message));
    }
    Ok(Value::Object(values))
}

/// The items of a loop, as they are written down when it begins.
fn items(each: &Each, means: &Means<'_>) -> Result<Value, StepError> {
    let value = match &each.items {
        Items::Script(script) => script.value(means.evaluator, means.scope, Budget::STEP).map_err(of_script)?,
        Items::Value(template) => render(template, means)?,
    };
    let Value::Array(items) = value else {
        let is = if value.is_null() { "absent" } else { "no list" };
        return Err(error("not_a_list", format!("`in` must give a list; the value is {is}")));
    };
    let most = limits::LOOP_ROUNDS_MAX;
    if items.len() > most {
        return Err(error("too_many_items", format!("`in` has {} items; at most {most} are allowed", items.len())));
    }
    let value = json!({ "items": items });
    let bytes = value.to_string().len();
    if bytes > limits::STEP_OUTPUT_BYTES_MAX {
        let message = format!("the items take {bytes} bytes; at most {} are allowed", limits::STEP_OUTPUT_BYTES_MAX);
        return Err(error("too_large", message));
    }
    Ok(value)
}

fn switch(cases: &[Case], step: &Step, path: &str, means: &Means<'_>) -> Result<Vec<Fact>, StepError> {
    for (n, case) in cases.iter().enumerate() {
        let Some(when) = &case.when else {
            return Ok(vec![started(step, path, Some(json!({ "case": n })), means.now)]);
        };
        match when.answer(means.evaluator, means.scope, Budget::STEP) {
            playbook::Answer::Yes => return Ok(vec![started(step, path, Some(json!({ "case": n })), means.now)]),
            playbook::Answer::No { .. } => {}
            playbook::Answer::Failed { code, message, at } => {
                return Err(StepError { code: code.to_owned(), message, at: Some((at.line, at.column)) });
            }
        }
    }
    // What it answers tells it from a step whose `if` said no.
    let output = json!({ "case": null, "output": null });
    let none = Ended::badly(StepStatus::Skipped, error(crate::next::CONDITION, "no case says yes"));
    let none = Ended { output, ..none };
    Ok(vec![none.fact(step, path, means.now)])
}

fn wait_from(wait: &Wait, step: &Step, path: &str, means: &Means<'_>) -> Result<Vec<Fact>, StepError> {
    let (on, until) = match wait {
        Wait::For(period) => (WaitOn::Time, means.now.plus(*period)),
        Wait::Until(template) => (WaitOn::Time, instant(&render(template, means)?)?),
        Wait::Event(event) => (WaitOn::Event { types: event.types.clone() }, means.now.plus(event.timeout)),
    };
    let begun = started(step, path, None, means.now);
    if until <= means.now {
        return Ok(vec![begun, waited(wait, step, path, means.now)]);
    }
    Ok(vec![begun, waiting(path, means.now, on, Some(until))])
}

fn instant(value: &Value) -> Result<Time, StepError> {
    let Some(text) = value.as_str() else {
        return Err(error("not_a_time", "`until` must give a time such as `2026-12-01T08:00:00Z`"));
    };
    Time::parse(text).map_err(|problem| error("not_a_time", problem.to_string()))
}

/// A wait whose time has come.
fn waited(wait: &Wait, step: &Step, path: &str, now: Time) -> Fact {
    let ended = match wait {
        Wait::For(_) | Wait::Until(_) => Ended::well(Value::Null),
        Wait::Event(event) => {
            let period = model::period::format(event.timeout);
            let message = format!("no event of type {} came within {period}", event.types.join(" or "));
            let output = json!({ "event": null, "timed_out": true });
            let why = error(next::WAIT_TIMEOUT, message);
            Ended { output, handled: !event.fails, ..Ended::badly(StepStatus::TimedOut, why) }
        }
    };
    ended.fact(step, path, now)
}

fn ask(approve: &Approve, step: &Step, path: &str, means: &Means<'_>) -> Result<Vec<Fact>, StepError> {
    let ask = match text(&render(&approve.ask, means)?) {
        Value::String(ask) => ask,
        _ => String::new(),
    };
    if ask.chars().count() > ASK_CHARS_MAX {
        return Err(error("too_large", format!("a question has at most {ASK_CHARS_MAX} characters")));
    }
    let fields = approve.fields.iter().map(|field| (field.name.clone(), described(field))).collect();
    let ask = Ask { ask, by: approve.by.clone(), requester: means.state.start.requester.clone(), fields };
    let until = means.now.plus(approve.deadline);
    let on = WaitOn::Approval(Box::new(ask));
    Ok(vec![started(step, path, None, means.now), waiting(path, means.now, on, Some(until))])
}

fn described(field: &Input) -> Value {
    json!({ "type": field.ty.name(), "required": field.required, "description": field.description })
}

/// A question whose deadline has passed.
fn unanswered(approve: &Approve, step: &Step, path: &str, now: Time) -> Fact {
    let period = model::period::format(approve.deadline);
    let comment = format!("nobody answered within {period}");
    let output = |decision: &str| json!({ "decision": decision, "by": null, "comment": comment, "fields": {}, "timed_out": true });
    let ended = match approve.on_deadline {
        OnDeadline::Approve => Ended::well(output("approve")),
        OnDeadline::Deny => denied(output("deny"), format!("nobody answered within {period}, which means no")),
        OnDeadline::Fail => Ended::badly(StepStatus::TimedOut, error("no_answer", comment.clone())),
    };
    ended.fact(step, path, now)
}

/// A question that was answered with no: what follows in the list is not done.
pub(crate) fn denied(output: Value, message: String) -> Ended {
    Ended { output, ..Ended::badly(StepStatus::Failed, error("denied", message)) }
}
