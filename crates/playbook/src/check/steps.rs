//! The steps: what is done, in which order, and what happens when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Checker;
use crate::catalog::ActionSpec;
use crate::diagnostic::Span;
use crate::fields::Fields;
use crate::reader::did_you_mean;
use crate::script::{Names, Root};
use crate::syntax::{Backoff, Body, OnError, Retry, Step};
use crate::yaml::{Key, Node, Value};

/// Blocks of the language that this version does not know yet.
const LATER: [&str; 12] = [
    "for_each",
    "parallel",
    "switch",
    "repeat",
    "try",
    "call",
    "wait",
    "approve",
    "set",
    "stop",
    "dedupe",
    "concurrency",
];

/// Most tries after the first.
const RETRIES_MAX: i64 = 20;
/// Deepest nesting of `on_error` lists.
const NESTING_MAX: usize = 8;

/// What is known where steps stand.
pub(super) struct Place<'a> {
    pub(super) roots: Vec<Root>,
    pub(super) vars: Arc<serde_json::Value>,
    pub(super) secrets: &'a [String],
}

/// A list of steps being read.
struct List<'a> {
    place: &'a Place<'a>,
    /// The path of the list, with a dot at its end.
    prefix: String,
    roots: Vec<Root>,
    depth: usize,
}

/// The ids of steps while they are read.
pub(super) struct Ids {
    before: Vec<String>,
    after: Vec<String>,
}

impl Checker<'_> {
    /// All ids, nested ones included; each must be there once.
    pub(super) fn step_ids<'n>(&mut self, lists: impl Iterator<Item = &'n Node>) -> Ids {
        let mut found: Vec<(String, Span)> = Vec::new();
        for list in lists {
            collect(list, &mut found, 0);
        }
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        for (id, span) in &found {
            if let Some(first) = seen.get(id.as_str()) {
                let message = format!("the step `{id}` is there twice; the first is in line {}", first.line);
                self.reader.error("PB108", *span, message, Some("give each step an id of its own".to_owned()));
            } else {
                seen.insert(id, *span);
            }
        }
        Ids { before: Vec::new(), after: found.into_iter().map(|(id, _)| id).collect() }
    }

    pub(super) fn step_lists(
        &mut self,
        main: Option<&Node>,
        on_failure: Option<&Node>,
        mut ids: Ids,
        place: &Place<'_>,
    ) -> (Vec<Step>, Vec<Step>) {
        let mut roots = place.roots.clone();
        roots.extend([Root::Run, Root::Steps]);
        let list = List { place, prefix: String::new(), roots: roots.clone(), depth: 0 };
        let steps = main.map(|node| self.step_list(node, "`steps`", &list, &mut ids)).unwrap_or_default();
        roots.push(Root::Failure);
        let list = List { place, prefix: "on_failure.".to_owned(), roots, depth: 0 };
        let on_failure =
            on_failure.map(|node| self.step_list(node, "`on_failure`", &list, &mut ids)).unwrap_or_default();
        (steps, on_failure)
    }

    fn step_list(&mut self, node: &Node, what: &str, list: &List<'_>, ids: &mut Ids) -> Vec<Step> {
        let Some(items) = self.reader.list(node, what) else { return Vec::new() };
        if items.is_empty() {
            let help = Some("add a step, such as `- action: log`".to_owned());
            self.reader.error("PB110", node.span, format!("{what} has no steps"), help);
        }
        items.iter().enumerate().filter_map(|(at, item)| self.step(item, at, list, ids)).collect()
    }

    fn step(&mut self, node: &Node, at: usize, list: &List<'_>, ids: &mut Ids) -> Option<Step> {
        let mut fields = self.reader.map(node, "a step")?;
        self.later(&mut fields, &LATER, "block");
        let id = self.step_id(&mut fields);
        let path = if id.is_empty() { format!("{}#{}", list.prefix, at + 1) } else { format!("{}{id}", list.prefix) };
        let names = Names {
            steps: ids.before.clone(),
            later_steps: ids.after.iter().filter(|later| !ids.before.contains(later)).cloned().collect(),
            ..self.names(list.roots.clone(), &list.place.vars)
        };
        let condition = fields.opt_node("if").and_then(|node| self.condition(node, &names));
        let body = self.body(&mut fields, &names, list.place);
        let timeout = fields.duration(&mut self.reader, "timeout");
        let retry = self.retry(&mut fields, body.as_ref().map(|(spec, _)| *spec));
        if !id.is_empty() {
            ids.before.push(id.clone());
        }
        let on_error = self.on_error(&mut fields, &path, list, ids);
        fields.finish(&mut self.reader);
        let (spec, with) = body?;
        Some(Step { id, path, condition, body: Body::Action { spec, with }, timeout, retry, on_error, span: node.span })
    }

    fn step_id(&mut self, fields: &mut Fields<'_>) -> String {
        let Some(node) = fields.opt_node("id") else { return String::new() };
        let Some(id) = crate::fields::text_of(&mut self.reader, node, "id") else { return String::new() };
        if !is_step_id(&id) {
            let help = "use letters, digits, `_` and `-`, a letter first".to_owned();
            self.reader.error("PB106", node.span, format!("`{id}` cannot be the id of a step"), Some(help));
        }
        id
    }

    fn body(
        &mut self,
        fields: &mut Fields<'_>,
        names: &Names,
        place: &Place<'_>,
    ) -> Option<(&'static ActionSpec, BTreeMap<String, crate::template::Template>)> {
        let with = fields.opt_node("with");
        let blocks = LATER.iter().any(|block| fields.has(block));
        let node = if blocks { fields.opt_node("action") } else { fields.node(&mut self.reader, "action") }?;
        let id = crate::fields::text_of(&mut self.reader, node, "action")?;
        let Some(spec) = self.catalog.action(&id) else {
            let known = self.catalog.actions.iter().map(|spec| spec.id);
            let help = did_you_mean(&id, known).or_else(|| self.same_verb(&id));
            self.reader.error("PB201", node.span, format!("there is no action `{id}`"), help);
            return None;
        };
        let with = self.params(spec, node.span, with, names, place.secrets);
        Some((spec, with))
    }

    /// Actions of the same family, for someone who remembers half of a name.
    fn same_verb(&self, id: &str) -> Option<String> {
        let family = id.split_once('.')?.0;
        let alike: Vec<&str> = self
            .catalog
            .actions
            .iter()
            .map(|spec| spec.id)
            .filter(|known| known.split_once('.').is_some_and(|(f, _)| f == family))
            .collect();
        (!alike.is_empty()).then(|| format!("there are {}", alike.join(", ")))
    }

    fn retry(&mut self, fields: &mut Fields<'_>, spec: Option<&ActionSpec>) -> Option<Retry> {
        let default = spec.filter(|spec| spec.network).map(|_| Retry::NETWORK);
        let Some(mut retry) = fields.fields(&mut self.reader, "retry") else { return default };
        let reader = &mut self.reader;
        let base = Retry::NETWORK;
        let max = retry.int(reader, "max", 0..=RETRIES_MAX).and_then(|max| u32::try_from(max).ok());
        let backoff = match retry.one_of(reader, "backoff", &["exponential", "linear", "fixed"]) {
            Some("linear") => Backoff::Linear,
            Some("fixed") => Backoff::Fixed,
            _ => Backoff::Exponential,
        };
        let first = retry.duration(reader, "first").unwrap_or(base.first);
        let cap = retry.duration(reader, "cap").unwrap_or(base.cap);
        retry.finish(reader);
        Some(Retry { max: max.unwrap_or(base.max), backoff, first, cap })
    }

    fn on_error(&mut self, fields: &mut Fields<'_>, path: &str, list: &List<'_>, ids: &mut Ids) -> OnError {
        let Some(node) = fields.opt_node("on_error") else { return OnError::Fail };
        if let Value::List(_) = &node.value {
            if list.depth >= NESTING_MAX {
                let message = format!("`on_error` is nested deeper than {NESTING_MAX} levels");
                self.reader.error("PB111", node.span, message, None);
                return OnError::Fail;
            }
            let mut roots = list.roots.clone();
            roots.push(Root::Error);
            let inner = List { place: list.place, prefix: format!("{path}.on_error."), roots, depth: list.depth + 1 };
            return OnError::Steps(self.step_list(node, "`on_error`", &inner, ids));
        }
        match fields.one_of(&mut self.reader, "on_error", &["fail", "continue"]) {
            Some("continue") => OnError::Continue,
            _ => OnError::Fail,
        }
    }
}

/// The ids of a list of steps, in the order of the file.
fn collect(list: &Node, found: &mut Vec<(String, Span)>, depth: usize) {
    let Value::List(items) = &list.value else { return };
    for item in items {
        let Value::Map(entries) = &item.value else { continue };
        for (Key { text, .. }, node) in entries {
            match (text.as_str(), &node.value) {
                ("id", Value::Text(id)) => found.push((id.clone(), node.span)),
                ("on_error", Value::List(_)) if depth < NESTING_MAX => collect(node, found, depth + 1),
                _ => {}
            }
        }
    }
}

fn is_step_id(id: &str) -> bool {
    id.len() <= model::limits::PLAYBOOK_ID_CHARS_MAX
        && id.starts_with(|c: char| c.is_ascii_alphabetic())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
