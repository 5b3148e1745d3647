//! The steps: what is done, in which order, and what happens when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{BLOCKS, Checker};
use crate::diagnostic::Span;
use crate::fields::Fields;
use crate::reader::did_you_mean;
use crate::script::{Names, Root};
use crate::syntax::{Backoff, Body, OnError, Retry, Step};
use crate::yaml::{Key, Node, Value};

/// Keys of the language that this version does not know yet.
const LATER: [&str; 2] = ["dedupe", "concurrency"];

/// Most tries after the first.
const RETRIES_MAX: i64 = 20;
/// Deepest nesting of lists of steps.
const NESTING_MAX: usize = 8;

/// What is known where steps stand.
pub(super) struct Place<'a> {
    pub(super) roots: Vec<Root>,
    pub(super) vars: Arc<serde_json::Value>,
    pub(super) secrets: &'a [String],
    /// The inputs by name with a value of their type, where they are declared.
    pub(super) inputs: Option<Arc<serde_json::Value>>,
}

/// A list of steps being read.
pub(super) struct List<'a> {
    pub(super) place: &'a Place<'a>,
    /// The path of the list, with a `/` at its end.
    pub(super) prefix: String,
    pub(super) roots: Vec<Root>,
    /// The variables of the loops around it.
    pub(super) locals: Vec<String>,
    pub(super) depth: usize,
}

impl<'a> List<'a> {
    /// A list in a step of this one.
    pub(super) fn inside(&self, prefix: String) -> List<'a> {
        let (place, roots, locals) = (self.place, self.roots.clone(), self.locals.clone());
        List { place, prefix, roots, locals, depth: self.depth + 1 }
    }
}

/// The ids of steps while they are read.
pub(super) struct Ids {
    /// Those that may be read where reading is now.
    pub(super) visible: Vec<String>,
    /// All of the playbook.
    all: Vec<String>,
    /// Those that cannot be read from where reading is now, with the reason.
    pub(super) hidden: BTreeMap<String, String>,
}

impl Ids {
    /// Hides what was read after `mark`: it is done once for each item, or at the same time as what follows.
    pub(super) fn hide(&mut self, mark: usize, why: &str) -> Vec<String> {
        let hidden = self.visible.split_off(mark.min(self.visible.len()));
        self.hidden.extend(hidden.iter().map(|id| (id.clone(), why.to_owned())));
        hidden
    }

    /// Makes what was hidden readable again.
    pub(super) fn show(&mut self, ids: Vec<String>) {
        for id in &ids {
            self.hidden.remove(id);
        }
        self.visible.extend(ids);
    }
}

/// The lists of a playbook.
pub(super) struct Lists {
    pub(super) steps: Vec<Step>,
    pub(super) on_failure: Vec<Step>,
    pub(super) finally: Vec<Step>,
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
        let all = found.into_iter().map(|(id, _)| id).collect();
        Ids { visible: Vec::new(), all, hidden: BTreeMap::new() }
    }

    pub(super) fn step_lists(&mut self, nodes: [Option<&Node>; 3], ids: &mut Ids, place: &Place<'_>) -> Lists {
        let [main, on_failure, finally] = nodes;
        let mut roots = place.roots.clone();
        roots.extend([Root::Run, Root::Steps]);
        let list = |prefix: &str, roots: &[Root]| List {
            place,
            prefix: prefix.to_owned(),
            roots: roots.to_vec(),
            locals: Vec::new(),
            depth: 0,
        };
        let mut read = |node: Option<&Node>, what: &str, list: &List<'_>| {
            node.map(|node| self.step_list(node, what, list, ids)).unwrap_or_default()
        };
        let steps = read(main, "`steps`", &list("", &roots));
        roots.push(Root::Failure);
        let on_failure = read(on_failure, "`on_failure`", &list("on_failure/", &roots));
        let finally = read(finally, "`finally`", &list("finally/", &roots));
        Lists { steps, on_failure, finally }
    }

    pub(super) fn step_list(&mut self, node: &Node, what: &str, list: &List<'_>, ids: &mut Ids) -> Vec<Step> {
        let Some(items) = self.reader.list(node, what) else { return Vec::new() };
        if items.is_empty() {
            let help = Some("add a step, such as `- action: log`".to_owned());
            self.reader.error("PB110", node.span, format!("{what} has no steps"), help);
        }
        if list.depth > NESTING_MAX {
            let message = format!("steps are nested deeper than {NESTING_MAX} levels");
            let help = Some("put a part into a playbook of its own and `call` it".to_owned());
            self.reader.error("PB111", node.span, message, help);
            return Vec::new();
        }
        let steps: Vec<Step> =
            items.iter().enumerate().filter_map(|(at, item)| self.step(item, at, list, ids)).collect();
        self.reachable(&steps);
        steps
    }

    /// Nothing comes after what always ends the run.
    fn reachable(&mut self, steps: &[Step]) {
        for pair in steps.windows(2) {
            let [stop, next] = pair else { continue };
            if always_stops(stop) {
                let help = Some("give the `stop` an `if`, or leave out what follows".to_owned());
                self.reader.error("PB123", next.span, "this step is never reached: the run stops before it", help);
            }
        }
    }

    fn step(&mut self, node: &Node, at: usize, list: &List<'_>, ids: &mut Ids) -> Option<Step> {
        let mut fields = self.reader.map(node, "a step")?;
        self.later(&mut fields, &LATER, "key");
        let id = self.step_id(&mut fields);
        let path = if id.is_empty() { format!("{}#{}", list.prefix, at + 1) } else { format!("{}{id}", list.prefix) };
        let names = self.step_names(list, ids);
        let condition = fields.opt_node("if").and_then(|node| self.condition(node, &names));
        let body = self.body(&mut fields, &path, &names, (list, ids));
        let spec = match &body {
            Some(Body::Action { spec, .. }) => Some(*spec),
            _ => None,
        };
        let acts = spec.is_some() || !BLOCKS.iter().any(|block| fields.has(block.name));
        let (timeout, retry) =
            if acts { (fields.duration(&mut self.reader, "timeout"), self.retry(&mut fields)) } else { (None, None) };
        if !id.is_empty() {
            ids.visible.push(id.clone());
        }
        let on_error = self.on_error(&mut fields, &path, list, ids);
        fields.finish(&mut self.reader);
        Some(Step { id, path, condition, body: body?, timeout, retry, on_error, span: node.span })
    }

    /// The names that may stand in a step that is read now.
    pub(super) fn step_names(&self, list: &List<'_>, ids: &Ids) -> Names {
        Names {
            steps: ids.visible.clone(),
            later_steps: ids.all.iter().filter(|later| !ids.visible.contains(later)).cloned().collect(),
            hidden_steps: ids.hidden.clone(),
            locals: list.locals.clone(),
            inputs: list.place.inputs.clone(),
            ..self.names(list.roots.clone(), &list.place.vars)
        }
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

    /// What the step does: an action, or one of the blocks.
    fn body(
        &mut self,
        fields: &mut Fields<'_>,
        path: &str,
        names: &Names,
        (list, ids): (&List<'_>, &mut Ids),
    ) -> Option<Body> {
        let with = fields.opt_node("with");
        let mut kinds: Vec<&'static str> =
            BLOCKS.iter().map(|block| block.name).filter(|name| fields.has(name)).collect();
        if fields.has("action") {
            kinds.insert(0, "action");
        }
        if let [first, second, ..] = kinds[..] {
            let at = fields.entry(second).map_or(fields.span(), |(key, _)| key.span);
            fields.pass(kinds.iter().copied());
            let message = format!("a step does one thing; this one has `{first}` and `{second}`");
            self.reader.error("PB120", at, message, Some("make it two steps".to_owned()));
            return None;
        }
        match kinds.first() {
            Some(&"action") | None => {
                let Some(node) = fields.opt_node("action") else {
                    // Known, so that a wrong key is compared with them.
                    fields.pass(BLOCKS.iter().map(|block| block.name));
                    fields.node(&mut self.reader, "action");
                    return None;
                };
                self.action(node, with, names, list.place)
            }
            Some(kind) => {
                if let Some(with) = with {
                    let message = format!("`with` belongs to actions; what `{kind}` needs stands under it");
                    self.reader.error("PB101", with.span, message, None);
                }
                let (key, node) = fields.entry(kind)?;
                self.block(kind, (key, node), path, names, (list, ids))
            }
        }
    }

    fn action(&mut self, node: &Node, with: Option<&Node>, names: &Names, place: &Place<'_>) -> Option<Body> {
        let id = crate::fields::text_of(&mut self.reader, node, "action")?;
        let Some(spec) = self.catalog.action(&id) else {
            let known = self.catalog.actions.iter().map(|spec| spec.id);
            let help = did_you_mean(&id, known).or_else(|| self.same_verb(&id)).or_else(|| self.other_ways());
            self.reader.error("PB201", node.span, format!("there is no action `{id}`"), help);
            return None;
        };
        let with = self.params(spec, node.span, with, names, place.secrets);
        Some(Body::Action { spec, with: Arc::new(with) })
    }

    /// For someone who looks for the action of a product.
    fn other_ways(&self) -> Option<String> {
        let known = |id: &str| self.catalog.action(id).is_some();
        (known("http.request") || known("webhook.send")).then(|| {
            "messages go to destinations with `webhook.send`, other services are asked with `http.request`; `docs/reference/actions` lists all".to_owned()
        })
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

    /// What the step says itself; where it says nothing, its destination does, or the default of what it does.
    fn retry(&mut self, fields: &mut Fields<'_>) -> Option<Retry> {
        let mut retry = fields.fields(&mut self.reader, "retry")?;
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
            let mut inner = list.inside(format!("{path}/on_error/"));
            inner.roots.push(Root::Error);
            return OnError::Steps(self.step_list(node, "`on_error`", &inner, ids));
        }
        match fields.one_of(&mut self.reader, "on_error", &["fail", "continue"]) {
            Some("continue") => OnError::Continue,
            _ => OnError::Fail,
        }
    }
}

/// Whether a step ends the run whenever it is come to: a `stop`, or a block of which each way ends in one.
fn always_stops(step: &Step) -> bool {
    let stops = |steps: &[Step]| steps.iter().any(always_stops);
    let kind = match &step.body {
        Body::Stop { .. } => true,
        Body::Switch { cases } => {
            cases.iter().any(|case| case.when.is_none()) && cases.iter().all(|case| stops(&case.steps))
        }
        Body::Parallel { branches } => branches.iter().any(|branch| stops(&branch.steps)),
        Body::Try(guard) => {
            stops(&guard.finally) || (stops(&guard.steps) && (guard.catch.is_empty() || stops(&guard.catch)))
        }
        _ => false,
    };
    kind && step.condition.is_none() && matches!(step.on_error, OnError::Fail)
}

/// The ids of the steps in some lists, nested ones included.
pub(super) fn ids_of<'n>(lists: impl IntoIterator<Item = Option<&'n Node>>) -> Vec<String> {
    let mut found = Vec::new();
    lists.into_iter().flatten().for_each(|list| collect(list, &mut found, 0));
    found.into_iter().map(|(id, _)| id).collect()
}

fn collect(list: &Node, found: &mut Vec<(String, Span)>, depth: usize) {
    let Value::List(items) = &list.value else { return };
    if depth > NESTING_MAX {
        return;
    }
    for item in items {
        let Value::Map(entries) = &item.value else { continue };
        for (Key { text, .. }, node) in entries {
            match (text.as_str(), &node.value) {
                ("id", Value::Text(id)) => found.push((id.clone(), node.span)),
                ("on_error", Value::List(_)) => collect(node, found, depth + 1),
                ("parallel" | "for_each" | "repeat" | "try", Value::Map(_)) => {
                    for list in ["branches", "steps", "catch", "finally"].into_iter().filter_map(|key| node.get(key)) {
                        collect(list, found, depth + 1);
                    }
                }
                ("switch", Value::List(cases)) => {
                    for list in cases.iter().filter_map(|case| case.get("steps")) {
                        collect(list, found, depth + 1);
                    }
                }
                // The branches of `parallel` are read as if they were steps.
                ("steps", Value::List(_)) => collect(node, found, depth + 1),
                _ => {}
            }
        }
    }
}

pub(super) fn is_step_id(id: &str) -> bool {
    id.len() <= model::limits::PLAYBOOK_ID_CHARS_MAX
        && id.starts_with(|c: char| c.is_ascii_alphabetic())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
