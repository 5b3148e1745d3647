//! The keys of `sortie.yaml` about alerts and cases: queues, bands of priority, the watchlist, assignment, grouping.
//!
//! Conditions are compiled here, so that a mistake in one is told like any other, with its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::triage::{Assignment, Grouping, Notification, Triage, Watched, Who, grouping};
use model::record::{ENTITY_KINDS, PRIORITIES, Vocabulary, nearest};
use model::triage::WATCHLIST_MAX;
use playbook::yaml::{Node, Value};
use playbook::{Condition, Evaluator, Fields, Names, Reader, Root, ScriptSource, Span};

use super::codes;

/// Most rules of each kind.
const RULES_MAX: usize = 200;

/// Reads the keys; `words` are the stages as they were read before.
pub(super) fn read(triage: &mut Triage, words: &Vocabulary, fields: &mut Fields<'_>, reader: &mut Reader) {
    if let Some(mut bands) = fields.fields(reader, "priority_bands") {
        triage.rules.bands = priority_bands(&mut bands, reader);
        bands.finish(reader);
    }
    if let Some(node) = fields.opt_node("watchlist") {
        triage.watched = each(reader, node, "watchlist", WATCHLIST_MAX, watched);
    }
    if let Some(node) = fields.opt_node("notifications") {
        triage.notifications = each(reader, node, "notifications", RULES_MAX, notification);
    }
    let mut conditions = Conditions { words, evaluator: None };
    if let Some(node) = fields.opt_node("assignment") {
        let queues = triage.rules.queues.clone();
        triage.assignment = each(reader, node, "assignment", RULES_MAX, |fields, reader, n| {
            assignment(fields, reader, n, &queues, &mut conditions)
        });
    }
    if let Some(node) = fields.opt_node("grouping") {
        let evaluator = conditions.evaluator.get_or_insert_with(Evaluator::uncounted).clone();
        let codes = grouping::Codes { value: codes::UNREADABLE_VALUE, words: codes::WORDS };
        triage.grouping_file = each(reader, node, "grouping", grouping::GROUPINGS_MAX, |fields, reader, _| {
            grouping::read(reader, fields, words, &evaluator, codes)
        });
        distinct(reader, node, &triage.grouping_file);
        triage.grouping = triage.grouping_file.clone();
    }
}

/// What conditions are compiled with, once the first one stands there.
struct Conditions<'a> {
    words: &'a Vocabulary,
    evaluator: Option<Evaluator>,
}

impl Conditions<'_> {
    fn compile(&mut self, reader: &mut Reader, node: &Node, roots: &[Root]) -> Option<Arc<Condition>> {
        if node.as_text().is_none() {
            reader.error(codes::UNREADABLE_VALUE, node.span, "`when` is a condition, written as text", None);
            return None;
        }
        let names = Names { roots: roots.to_vec(), words: self.words.clone(), ..Names::default() };
        let evaluator = self.evaluator.get_or_insert_with(Evaluator::uncounted);
        match Condition::compile(ScriptSource::of(reader, node), &names, evaluator) {
            Ok(condition) => Some(Arc::new(condition)),
            Err(found) => {
                reader.extend(found);
                None
            }
        }
    }
}

/// The items of a list of maps; `read` gets each with its number, from 1.
fn each<T>(
    reader: &mut Reader,
    node: &Node,
    what: &str,
    most: usize,
    mut read: impl FnMut(&mut Fields<'_>, &mut Reader, usize) -> Option<T>,
) -> Vec<T> {
    let Value::List(items) = &node.value else {
        reader.error(codes::UNREADABLE_VALUE, node.span, format!("`{what}` is a list"), None);
        return Vec::new();
    };
    if items.len() > most {
        reader.error(codes::UNREADABLE_VALUE, node.span, format!("`{what}` has at most {most} items"), None);
        return Vec::new();
    }
    let mut all = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let Some(mut fields) = reader.map(item, &format!("an item of `{what}`")) else { continue };
        all.extend(read(&mut fields, reader, n + 1));
        fields.finish(reader);
    }
    all
}

/// From which score on each priority holds; a higher priority needs a higher score.
fn priority_bands(fields: &mut Fields<'_>, reader: &mut Reader) -> Vec<(f64, &'static str)> {
    let span = fields.span();
    let mut bands: Vec<(f64, &'static str)> = Vec::new();
    for name in PRIORITIES {
        let Some(from) = fields.number(reader, name) else { continue };
        if bands.last().is_some_and(|(before, _)| from <= *before) {
            let help = Some(
                "write the score from which each priority holds, such as `{ medium: 60, high: 80, critical: 90 }`"
                    .to_owned(),
            );
            reader.error(
                codes::WORDS,
                span,
                format!("`{name}` must begin at a higher score than the one below it"),
                help,
            );
        }
        bands.push((from, name));
    }
    bands
}

fn watched(fields: &mut Fields<'_>, reader: &mut Reader, _: usize) -> Option<Watched> {
    let kind = fields.one_of(reader, "kind", &ENTITY_KINDS);
    let id = fields.text(reader, "id");
    let (reason, tenant) = (fields.opt_text(reader, "reason"), fields.opt_text(reader, "tenant"));
    let priority = fields.one_of(reader, "priority", &PRIORITIES);
    if kind.is_none() && !fields.has("kind") {
        fields.node(reader, "kind");
    }
    Some(Watched { kind: kind?.to_owned(), id: id?, reason: reason.unwrap_or_default(), priority, tenant })
}

fn assignment(
    fields: &mut Fields<'_>,
    reader: &mut Reader,
    n: usize,
    queues: &BTreeMap<String, Vec<String>>,
    conditions: &mut Conditions<'_>,
) -> Option<Assignment> {
    let span = fields.span();
    let name = fields.opt_text(reader, "name").unwrap_or_else(|| n.to_string());
    let when = fields.opt_node("when");
    let when = when.map(|node| conditions.compile(reader, node, &[Root::Event, Root::Case, Root::Alert]));
    let queue = fields.opt_text(reader, "queue");
    let person = fields.opt_text(reader, "assignee");
    let in_turn = fields.bool(reader, "round_robin").unwrap_or(false);
    if let Some(queue) = &queue
        && !queues.is_empty()
        && !queues.contains_key(queue)
    {
        let known: Vec<&str> = queues.keys().map(String::as_str).collect();
        let help = nearest(queue, known.iter().copied())
            .map_or_else(|| format!("there are {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
        reader.error(codes::WORDS, span, format!("there is no queue `{queue}`"), Some(help));
        return None;
    }
    let members = queue.as_ref().and_then(|queue| queues.get(queue));
    let who = match (person, in_turn) {
        (Some(_), true) => return refuse(reader, span, "`assignee` and `round_robin` cannot both stand in one rule"),
        (Some(person), false) => {
            if members.is_some_and(|members| !members.is_empty() && !members.contains(&person)) {
                return refuse(reader, span, &format!("`{person}` is no member of the rule's queue"));
            }
            Who::Person(person)
        }
        (None, true) if members.is_none_or(Vec::is_empty) => {
            return refuse(reader, span, "`round_robin` needs a `queue` whose `members` are listed under `queues`");
        }
        (None, true) => Who::InTurn,
        (None, false) if queue.is_none() => {
            return refuse(reader, span, "an assignment needs a `queue`, an `assignee` or both");
        }
        (None, false) => Who::Nobody,
    };
    // A condition that is wrong was told; the rule must not apply to everything instead.
    let when = match when {
        Some(None) => return None,
        Some(condition) => condition,
        None => None,
    };
    Some(Assignment { name, when, queue, who })
}

fn refuse<T>(reader: &mut Reader, span: Span, message: &str) -> Option<T> {
    reader.error(codes::WORDS, span, message, None);
    None
}

fn notification(fields: &mut Fields<'_>, reader: &mut Reader, _: usize) -> Option<Notification> {
    let span = fields.span();
    let name = fields.text(reader, "name");
    let texts = |fields: &mut Fields<'_>, reader: &mut Reader, name: &'static str| {
        let list = fields.text_list(reader, name, true).unwrap_or_default();
        list.into_iter().map(|(text, _)| text).collect::<Vec<_>>()
    };
    let (on, to, email) = (texts(fields, reader, "on"), texts(fields, reader, "to"), texts(fields, reader, "email"));
    let of = fields.opt_text(reader, "of").unwrap_or_else(|| "case".to_owned());
    let mut text = |name: &'static str| fields.opt_text(reader, name);
    let (person, queue, tenant, when) = (text("person"), text("queue"), text("tenant"), text("when"));
    let made = Notification { name: name?, on, of, person, queue, tenant, when, to, email, by: None };
    match made.check() {
        Ok(()) => Some(made),
        Err(unfit) => refuse(reader, span, &unfit.0),
    }
}

/// Two rules of one name would share their windows.
fn distinct(reader: &mut Reader, node: &Node, rules: &[Grouping]) {
    for (n, rule) in rules.iter().enumerate() {
        if rules.iter().take(n).any(|earlier| earlier.name == rule.name) {
            let message = format!("the grouping rule `{}` stands here twice", rule.name);
            reader.error(codes::WORDS, node.span, message, None);
        }
    }
}
