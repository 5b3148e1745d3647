//! Why a playbook was or was not started, as it is shown: each trigger, each condition, each operand with what it says and
//! sees, its place, and which decided.

use std::time::Duration;

use model::Seq;
use playbook::{Answer, Inside, Operand, Playbook, Says, Span};
use serde_json::{Value, json};
use store::Store;

use super::events::Event;
use crate::as_of::AsOf;
use crate::decide::{self, Decided, Look, Means, Position, View as _};
use crate::engine::Engine;
use crate::set::Set;

/// Looks at a playbook of the set of that time, for an event of the history: the state as it stood right after the event is
/// put together again from the history.
///
/// # Errors
/// [`store::Error`] when the history cannot be read.
pub fn of_event(
    engine: &Engine,
    store: &dyn Store,
    (event, set): (&Event, &Set),
    playbook: &Playbook,
) -> Result<Value, store::Error> {
    let seq: Seq = event.id.seq;
    let shared = engine.shared();
    let (triage, closed_stage) = (shared.triage(), shared.words.closed());
    let view = AsOf::new(store, seq, closed_stage, &triage.rules);
    let about = event.accepted.event();
    let object = match about.object() {
        Some(key) => view.object(&key)?.map(|object| (key, (*object).clone())),
        None => None,
    };
    let decided = Decided { object, transitions: event.accepted.transitions.clone(), ..Decided::default() };
    let spent = || Duration::ZERO;
    let means = Means { set, evaluator: &shared.evaluator, closed_stage, triage: &triage, spent: &spent };
    let at = Position { seq, tag: 0, now: event.time };
    let looks = decide::look(&about, at, &view, means, (playbook, &decided))?;
    Ok(as_json(&looks, &playbook.file))
}

/// The triggers of a playbook as JSON.
pub fn as_json(looks: &[Look], file: &str) -> Value {
    let place = |at: &Span| json!({ "file": file, "line": at.line, "column": at.column });
    let all = looks.iter().enumerate().map(|(index, look)| {
        let conditions: Vec<Value> = look
            .conditions
            .iter()
            .map(|asked| {
                let (answer, reason) = match &asked.answer {
                    Answer::Yes => ("yes", Value::Null),
                    Answer::No { reason, .. } => ("no", Value::from(reason.as_str())),
                    Answer::Failed { code, message, .. } => ("failed", Value::from(format!("{message} ({code})"))),
                };
                let operands = operands(&asked.operands, &place);
                json!({ "text": asked.text, "answer": answer, "reason": reason, "operands": operands })
            })
            .collect();
        json!({
            "trigger": index,
            "kind": look.kind,
            "fits": look.fits,
            "reason": look.reason,
            "at": place(&look.at),
            "conditions": conditions,
        })
    });
    all.collect()
}

fn operands(all: &[Operand], place: &dyn Fn(&Span) -> Value) -> Value {
    all.iter().map(|one| operand(one, place)).collect()
}

fn operand(operand: &Operand, place: &dyn Fn(&Span) -> Value) -> Value {
    let (answer, error) = match &operand.says {
        Says::Yes => ("yes", Value::Null),
        Says::No => ("no", Value::Null),
        Says::Failed { code, message } => ("failed", Value::from(format!("{message} ({code})"))),
    };
    let values: Vec<Value> =
        operand.values.iter().map(|(text, value)| json!({ "text": text, "value": value })).collect();
    let inside = |inside: &Inside| {
        let operands = operands(&inside.operands, place);
        json!({ "name": inside.name, "item": inside.item, "operands": operands })
    };
    json!({
        "text": operand.text,
        "at": place(&operand.at),
        "answer": answer,
        "error": error,
        "reached": operand.reached,
        "decides": operand.decides,
        "decides_together": operand.together,
        "values": values,
        "inside": operand.inside.iter().map(inside).collect::<Vec<_>>(),
    })
}
