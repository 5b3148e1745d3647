//! A new case without an assignee is given to a queue and a person: the first assignment rule that fits says to whom.
//!
//! Invariant: whoever gets it is a member of the queue. Turns are counted in the commit that gives the case away.

use model::{Object, triage::Rules};
use playbook::{Answer, Budget, Evaluator, Scope};
use serde_json::Value;

use super::{Assignment, Who};
use crate::decide::View;

/// The mark under which the turns of a queue are counted.
const TURN_PREFIX: &str = "assign/";

/// What conditions of assignment rules are answered with.
pub(crate) struct Asked<'a> {
    pub(crate) rules: &'a [Assignment],
    pub(crate) team: &'a Rules,
    pub(crate) evaluator: &'a Evaluator,
    pub(crate) scope: Scope,
    pub(crate) tenant: &'a str,
}

/// Gives a new case away. Answers the mark that counts a turn, when one was used.
pub(crate) fn assign(
    object: &mut Object,
    asked: &Asked<'_>,
    view: &dyn View,
    notes: &mut Vec<String>,
) -> Result<Option<store::Mark>, store::Error> {
    if object.text("assignee").is_some() {
        return Ok(None);
    }
    for rule in asked.rules {
        let has = object.text("queue");
        if has.is_some() && rule.queue.is_some() && has != rule.queue.as_deref() {
            continue;
        }
        let answer = rule.when.as_ref().map(|when| when.answer(asked.evaluator, &asked.scope, Budget::WHEN));
        match answer {
            None | Some(Answer::Yes) => return give(object, rule, asked, view, notes),
            Some(Answer::No { .. }) => {}
            Some(Answer::Failed { code, message, .. }) => {
                notes.push(format!("the assignment rule `{}` could not be answered: {message} ({code})", rule.name));
            }
        }
    }
    Ok(None)
}

fn give(
    object: &mut Object,
    rule: &Assignment,
    asked: &Asked<'_>,
    view: &dyn View,
    notes: &mut Vec<String>,
) -> Result<Option<store::Mark>, store::Error> {
    let queue = object.text("queue").map(str::to_owned).or_else(|| rule.queue.clone());
    let (person, mark) = match &rule.who {
        Who::Nobody => (None, None),
        Who::Person(person) => (Some(person.clone()), None),
        Who::InTurn => in_turn(queue.as_deref(), asked, view)?.unzip(),
    };
    let person = person.filter(|person| asked.team.may_have(queue.as_deref(), person));
    let told = |what: &Option<String>| what.clone().unwrap_or_else(|| "nobody".to_owned());
    notes.push(format!(
        "assigned by the rule `{}`: queue {}, assignee {}",
        rule.name,
        queue.clone().unwrap_or_else(|| "none".to_owned()),
        told(&person)
    ));
    if let Some(queue) = queue {
        object.set_here("queue", Value::from(queue));
    }
    if let Some(person) = person {
        object.set_here("assignee", Value::from(person));
    }
    Ok(mark)
}

/// The member whose turn it is, and the mark that says so.
fn in_turn(
    queue: Option<&str>,
    asked: &Asked<'_>,
    view: &dyn View,
) -> Result<Option<(String, store::Mark)>, store::Error> {
    let Some((queue, members)) = queue.and_then(|queue| asked.team.queues.get_key_value(queue)) else {
        return Ok(None);
    };
    if members.is_empty() {
        return Ok(None);
    }
    let name = format!("{TURN_PREFIX}{}/{queue}", asked.tenant);
    let count = view.mark(&name)?.and_then(|text| std::str::from_utf8(&text).ok()?.parse::<usize>().ok()).unwrap_or(0);
    let person = members.get(count % members.len()).cloned().unwrap_or_default();
    let next = count.wrapping_add(1).to_string().into_bytes();
    Ok(Some((person, (name, Some(next)))))
}
