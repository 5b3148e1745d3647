//! The end of rounds and of blocks.

use model::run::{Fact, RoundEnd, RunState, StepError, StepStatus};
use playbook::{Answer, Body, Budget, Repeat, Step};
use serde_json::{Map, Value, json};

use super::begin::render;
use super::{Ended, Means, error};
use crate::next::Todo;

/// A round of a loop is over.
pub(super) fn round(todo: &Todo<'_>, index: u32, status: StepStatus, culprit: Option<&str>, means: &Means<'_>) -> Fact {
    let mut end = RoundEnd {
        status,
        at: means.now,
        output: last_output(todo.frame.steps(), means.state, |step| todo.frame.path(step)),
        error: culprit.and_then(|path| means.state.steps.get(path)?.error.clone()),
        culprit: culprit.map(str::to_owned),
        again: None,
    };
    if let (Body::Repeat(repeat), None) = (&todo.step.body, culprit) {
        turn(repeat, index, &mut end, means);
    }
    Fact::RoundEnded { path: todo.path.clone(), index, end }
}

/// Whether a `repeat` is over after this turn.
fn turn(repeat: &Repeat, index: u32, end: &mut RoundEnd, means: &Means<'_>) {
    match repeat.until.answer(means.evaluator, means.scope, Budget::STEP) {
        Answer::Yes => {}
        Answer::No { .. } if index + 1 < repeat.max => end.again = Some(means.now.plus(repeat.every)),
        Answer::No { reason, at } => {
            let message = format!("after {} turns {reason}", repeat.max);
            end.status = StepStatus::Failed;
            end.error = Some(StepError { at: Some((at.line, at.column)), ..error("repeat_exhausted", message) });
        }
        Answer::Failed { code, message, at } => {
            end.status = StepStatus::Failed;
            end.error = Some(StepError { code: code.to_owned(), message, at: Some((at.line, at.column)) });
        }
    }
}

/// All that was to be done in a block is done.
pub(super) fn block(todo: &Todo<'_>, culprit: Option<&str>, warned: bool, means: &Means<'_>) -> Fact {
    let (state, path) = (means.state, todo.path.as_str());
    let inner = |between: &str, steps: &[Step]| {
        last_output(steps, state, |step| format!("{path}/{between}/{}", step.segment()))
    };
    let output = match &todo.step.body {
        Body::ForEach(_) => return each(todo, means).fact(todo.step, path, means.now),
        Body::Repeat(_) => return repeat(todo, means).fact(todo.step, path, means.now),
        Body::Switch { cases } => {
            let input = state.steps.get(path).and_then(|step| step.input.as_ref());
            let n = input.and_then(|input| input.value().get("case")?.as_u64());
            let case = n.and_then(|n| cases.get(usize::try_from(n).ok()?));
            let output = n.zip(case).and_then(|(n, case)| inner(&n.to_string(), &case.steps));
            json!({ "case": n, "output": output })
        }
        Body::Parallel { branches } => {
            let one = |branch: &playbook::Branch| {
                let failed = culprit_in(&branch.steps, state, &format!("{path}/{}/", branch.id));
                let status = if failed { StepStatus::Failed } else { StepStatus::Succeeded };
                let output = inner(&branch.id, &branch.steps);
                (branch.id.clone(), json!({ "status": status.name(), "output": output }))
            };
            Value::Object(branches.iter().map(one).collect::<Map<String, Value>>())
        }
        Body::Try(guard) => {
            let caught =
                guard.catch.iter().any(|step| state.steps.contains_key(&format!("{path}/catch/{}", step.segment())));
            let (name, steps) = if caught { ("catch", &guard.catch) } else { ("try", &guard.steps) };
            inner(name, steps).unwrap_or_default()
        }
        _ => Value::Null,
    };
    let ended = match culprit {
        Some(culprit) => failed_in(culprit, output, state),
        None => Ended { status: good(warned), handled: warned, ..Ended::well(output) },
    };
    ended.fact(todo.step, path, means.now)
}

fn good(warned: bool) -> StepStatus {
    if warned { StepStatus::SucceededWithWarnings } else { StepStatus::Succeeded }
}

/// A block in which a step failed.
fn failed_in(culprit: &str, output: Value, state: &RunState) -> Ended {
    let cause = state.steps.get(culprit).and_then(|step| step.error.clone());
    let cause = cause.unwrap_or_else(|| error("failed", "it failed"));
    let message = format!("step `{culprit}` failed: {}", cause.message);
    let error = StepError { message, ..cause };
    Ended { output, culprit: Some(culprit.to_owned()), ..Ended::badly(StepStatus::Failed, error) }
}

/// Whether a list has a step whose failure nothing handled.
fn culprit_in(steps: &[Step], state: &RunState, prefix: &str) -> bool {
    steps.iter().any(|step| {
        let known = state.steps.get(&format!("{prefix}{}", step.segment()));
        known.is_some_and(|known| known.status.is_failure() && !known.handled)
    })
}

/// A loop over items, with a result for each.
fn each(todo: &Todo<'_>, means: &Means<'_>) -> Ended {
    let Some(known) = means.state.steps.get(&todo.path) else { return Ended::well(json!([])) };
    let none = model::run::Rounds::default();
    let rounds = known.rounds.as_deref().unwrap_or(&none);
    let results = results(known.items(), rounds.ends());
    let failed: Vec<&RoundEnd> = rounds.ends().iter().flatten().filter(|end| end.status.is_failure()).collect();
    let warned = rounds.ends().iter().flatten().any(|end| end.status != StepStatus::Succeeded);
    let output = Value::Array(results);
    match failed.first() {
        Some(first) if failed.len() == known.items().len() => {
            let cause = first.error.as_ref().map_or("it failed", |error| error.message.as_str());
            let message = format!("all {} items failed; the first: {cause}", failed.len());
            let error = error("all_items_failed", message);
            Ended { output, ..Ended::badly(StepStatus::Failed, error) }
        }
        _ => Ended { status: good(warned), handled: warned, ..Ended::well(output) },
    }
}

/// What a result takes besides item, output and error, in bytes.
const RESULT_BYTES: usize = 90;

/// What came of the items. Where all of it together is too large for an output, the items are left out of the results, and
/// then outputs and messages, which is said.
fn results(items: &[Value], ends: &[Option<RoundEnd>]) -> Vec<Value> {
    let most = model::limits::STEP_OUTPUT_BYTES_MAX.saturating_sub(items.len().saturating_mul(RESULT_BYTES));
    let bytes: usize = items.iter().map(|item| item.to_string().len() + 8).sum();
    let left = most.checked_sub(bytes);
    let mut room = left.unwrap_or(most);
    let result = |(item, end): (&Value, &Option<RoundEnd>)| {
        let mut result = result(end.as_ref(), &mut room);
        if left.is_some() {
            result["item"] = item.clone();
        }
        result
    };
    items.iter().zip(ends).map(result).collect()
}

/// What came of one item, as far as there is room for it.
fn result(end: Option<&RoundEnd>, room: &mut usize) -> Value {
    let mut fits = |bytes: usize| {
        let left = room.checked_sub(bytes);
        *room = left.unwrap_or(*room);
        left.is_some()
    };
    let status = end.map_or("", |end| end.status.name());
    let mut result = json!({ "status": status, "output": null });
    if let Some(output) = end.and_then(|end| end.output.as_ref()) {
        if fits(output.to_string().len()) {
            result["output"] = output.clone();
        } else {
            result["output_left_out"] = Value::Bool(true);
        }
    }
    if let Some(error) = end.and_then(|end| end.error.as_ref()) {
        let message = fits(error.message.len() + 16).then_some(error.message.as_str());
        result["error"] = json!({ "code": error.code, "message": message });
    }
    result
}

/// A `repeat` that is over.
fn repeat(todo: &Todo<'_>, means: &Means<'_>) -> Ended {
    let rounds = means.state.steps.get(&todo.path).and_then(|step| step.rounds.as_ref());
    let Some(last) = rounds.and_then(|rounds| rounds.last()) else { return Ended::well(Value::Null) };
    let output = json!({ "turns": rounds.map_or(0, |rounds| rounds.ended()), "output": last.output });
    match (&last.culprit, &last.error) {
        (Some(culprit), _) => failed_in(culprit, output, means.state),
        (None, Some(error)) => Ended { output, ..Ended::badly(StepStatus::Failed, error.clone()) },
        (None, None) => {
            let warned = rounds
                .is_some_and(|rounds| rounds.ends().iter().flatten().any(|end| end.status != StepStatus::Succeeded));
            Ended { status: good(warned), handled: warned, ..Ended::well(output) }
        }
    }
}

/// What the last step of a list answered that answered anything.
fn last_output(steps: &[Step], state: &RunState, path: impl Fn(&Step) -> String) -> Option<Value> {
    steps.iter().rev().find_map(|step| state.steps.get(&path(step))?.output.clone())
}

/// What a playbook gives to a caller.
///
/// # Errors
/// [`StepError`] when one of them has no value.
pub fn outputs(means: &Means<'_>) -> Result<Option<Value>, StepError> {
    if means.playbook.outputs.is_empty() {
        return Ok(None);
    }
    let all = means.playbook.outputs.iter().map(|(name, template)| Ok((name.clone(), render(template, means)?)));
    Ok(Some(Value::Object(all.collect::<Result<Map<String, Value>, StepError>>()?)))
}
