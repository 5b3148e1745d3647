//! `case.set_queue`: hands a case to another team.

use model::Kind;
use model::run::StepError;
use playbook::{ActionSpec, Effect, Param, ParamType};
use serde_json::{Value, json};

use super::local::{CASE, CASE_OUTPUT, Here, Local, Wish};
use super::render::Params;

/// For cases.
pub(super) static CASE_SET_QUEUE: Local = Local {
    spec: &ActionSpec {
        id: "case.set_queue",
        title: "Change the queue of a case",
        doc: "Hands the case to another queue. Where queues with members are configured, an assignee who is no member of \
              the new queue is taken off: the case becomes unassigned.",
        effect: Effect::Idempotent,
        about: Some(Kind::Case),
        network: false,
        params: &[Param { name: "queue", ty: ParamType::Queue, required: true, doc: "the queue" }, CASE],
        output: CASE_OUTPUT,
        example: "- id: hand-over\n  action: case.set_queue\n  with: { queue: Tier 2 Analyst }\n",
    },
    kind: Kind::Case,
    wish,
};

fn wish(here: &Here<'_>, params: &mut Params<'_>) -> Result<Wish, StepError> {
    let queue = queue(here, params)?;
    let mut change = here.change();
    change.fields.insert("queue".to_owned(), json!(queue));
    if let Some(assignee) = here.state()?.text("assignee")
        && !may_have(here, Some(&queue), assignee)
    {
        change.fields.insert("assignee".to_owned(), Value::Null);
    }
    Ok(here.wish(vec![change]))
}

/// The queue that is asked for; it must be one of the configured ones, where there are any.
pub(super) fn queue(here: &Here<'_>, params: &mut Params<'_>) -> Result<String, StepError> {
    let text = params.needed("queue")?;
    let queues = &here.call.ctx.queues;
    if queues.is_empty() || queues.contains_key(&text) {
        return Ok(text);
    }
    let names: Vec<&str> = queues.keys().map(String::as_str).collect();
    Err(params.wrong("queue", &format!("one of {}", names.join(", "))))
}

/// Whether a person may be the assignee of a case in this queue: its members are, where queues are configured.
pub(super) fn may_have(here: &Here<'_>, queue: Option<&str>, person: &str) -> bool {
    let queues = &here.call.ctx.queues;
    match queue.and_then(|queue| queues.get(queue)) {
        Some(members) => members.is_empty() || members.iter().any(|member| member == person),
        None => true,
    }
}
