//! The keys of a playbook.

use std::sync::Arc;

use model::{Digest, Time, limits};

use super::Checker;
use super::steps::{Ids, List, Lists, Place};
use crate::diagnostic::Span;
use crate::fields::Fields;
use crate::inputs::Input;
use crate::reader::did_you_mean;
use crate::script::{Condition, Names, Root, ScriptSource};
use crate::syntax::{On, Playbook, Step, Trigger};
use crate::template::{self, Template};
use crate::testing::{self, Known};
use crate::yaml::{Node, Value};

/// Keys of the language that this version does not know yet.
const LATER: [&str; 1] = ["catch"];

/// What stands before the steps.
struct Head {
    id: Arc<str>,
    name: String,
    description: String,
    enabled: bool,
    order: i64,
    tenants: Option<Vec<String>>,
    expires: Option<Time>,
}

impl Checker<'_> {
    /// Reads a whole playbook; nothing when even its outline is wrong.
    pub(super) fn playbook(&mut self, node: &Node) -> Option<Playbook> {
        let mut fields = self.reader.map(node, "a playbook")?;
        self.later(&mut fields, &LATER, "key");
        fields.int(&mut self.reader, "language", 1..=1);
        let head = self.head(&mut fields);
        let secrets = self.secrets(&mut fields);
        let vars = self.vars(&mut fields);
        let triggers = self.triggers(&mut fields, &vars);
        let inputs = self.inputs(&mut fields);
        self.startable(&triggers, inputs.as_deref());
        let sample = inputs.as_deref().map(super::inputs::sample);
        let roots = super::triggers::roots(&triggers);
        let names = Names { inputs: sample.clone(), ..self.names(roots.clone(), &vars) };
        let when = fields.opt_node("when").and_then(|node| self.condition(node, &names));
        let control = self.control(&mut fields, &names);
        let timeout = fields.duration(&mut self.reader, "timeout");
        let known = with_set(&vars, &fields);
        let place = Place { roots, vars: known, secrets: &secrets, inputs: sample };
        let (Lists { steps, on_failure, finally }, outputs) = self.all_steps(&mut fields, &place);
        let step_ids = super::steps::ids_of([node.get("steps"), node.get("on_failure"), node.get("finally")]);
        let known =
            Known { steps: step_ids.iter().cloned().collect(), destinations: self.catalog.destinations.clone() };
        let tests = fields.opt_node("tests");
        let tests = tests.map(|tests| testing::read(&mut self.reader, tests, &known)).unwrap_or_default();
        let triggers_itself = fields.one_of(&mut self.reader, "triggers_itself", &["allow", "deny"]) == Some("allow");
        fields.finish(&mut self.reader);
        let (file, text) = (self.reader.file().clone(), self.reader.text().clone());
        let Head { id, name, description, enabled, order, tenants, expires } = head?;
        let digest = Digest::of(text.as_bytes());
        Some(Playbook {
            id,
            name,
            description,
            enabled,
            order,
            tenants,
            expires,
            triggers,
            secrets,
            when,
            vars,
            control,
            timeout,
            steps,
            on_failure,
            finally,
            inputs: inputs.unwrap_or_default(),
            outputs,
            step_ids,
            tests,
            triggers_itself,
            file,
            text,
            digest,
        })
    }

    fn head(&mut self, fields: &mut Fields<'_>) -> Option<Head> {
        let reader = &mut self.reader;
        let id = fields.node(reader, "playbook");
        let name = fields.opt_text(reader, "name");
        let description = fields.opt_text(reader, "description").unwrap_or_default();
        let enabled = fields.bool(reader, "enabled").unwrap_or(true);
        let order = fields.int(reader, "order", -1_000_000..=1_000_000).unwrap_or(100);
        let tenants = fields.text_list(reader, "tenants", true);
        let expires = fields.opt_node("expires");
        let expires = expires.and_then(|node| self.time(node, "expires"));
        self.tenants(tenants.as_deref());
        let id = self.id(id?)?;
        let tenants = tenants.map(|tenants| tenants.into_iter().map(|(name, _)| name).collect());
        let name = name.unwrap_or_else(|| id.to_string());
        Some(Head { id, name, description, enabled, order, tenants, expires })
    }

    fn id(&mut self, node: &Node) -> Option<Arc<str>> {
        let id = crate::fields::text_of(&mut self.reader, node, "playbook")?;
        if model::id::is_name(&id) {
            return Some(id.into());
        }
        let help = format!("use 1 to {} small letters, digits and `-`", limits::PLAYBOOK_ID_CHARS_MAX);
        let slug = id.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let help = if model::id::is_name(&slug) { format!("{help}, such as `{slug}`") } else { help };
        self.reader.error("PB106", node.span, format!("`{id}` cannot be the id of a playbook"), Some(help));
        None
    }

    fn time(&mut self, node: &Node, name: &str) -> Option<Time> {
        let text = crate::fields::text_of(&mut self.reader, node, name)?;
        match Time::parse(&text) {
            Ok(time) => Some(time),
            Err(error) => {
                self.reader.error("PB116", node.span, error.to_string(), None);
                None
            }
        }
    }

    fn tenants(&mut self, tenants: Option<&[(String, Span)]>) {
        let Some(known) = &self.catalog.tenants else { return };
        for (name, span) in tenants.unwrap_or_default() {
            if !known.contains(name) {
                let help = did_you_mean(name, known.iter().map(String::as_str));
                self.reader.error("PB210", *span, format!("there is no tenant `{name}`"), help);
            }
        }
    }

    fn secrets(&mut self, fields: &mut Fields<'_>) -> Vec<String> {
        let listed = fields.text_list(&mut self.reader, "secrets", false).unwrap_or_default();
        for (name, span) in &listed {
            if !template::is_secret_name(name) {
                let help = Some("use capital letters, digits and `_`, such as `VT_KEY`".to_owned());
                self.reader.error("PB405", *span, format!("`{name}` is not the name of a secret"), help);
            }
        }
        listed.into_iter().map(|(name, _)| name).collect()
    }

    fn vars(&mut self, fields: &mut Fields<'_>) -> Arc<serde_json::Value> {
        let empty = || Arc::new(serde_json::Value::Object(serde_json::Map::new()));
        let Some(node) = fields.opt_node("vars") else { return empty() };
        if self.reader.map(node, "`vars`").is_none() {
            return empty();
        }
        template::only_constants(&mut self.reader, node);
        Arc::new(node.to_json())
    }

    /// Says of keys of the coming language that they are not known yet.
    pub(super) fn later(&mut self, fields: &mut Fields<'_>, keys: &[&'static str], what: &str) {
        for key in keys.iter().filter(|key| fields.has(key)).copied().collect::<Vec<_>>() {
            if let Some((key, _)) = fields.entry(key) {
                let message = format!("the {what} `{}` is not supported by this version", key.text);
                self.reader.error("PB115", key.span, message, Some("leave it out".to_owned()));
            }
        }
    }

    /// The names of a place before any step.
    pub(super) fn names(&self, roots: Vec<Root>, vars: &Arc<serde_json::Value>) -> Names {
        Names { roots, vars: Some(vars.clone()), words: self.catalog.words.clone(), ..Names::default() }
    }

    /// A condition; `true` and `false` may stand without quotes.
    pub(super) fn condition(&mut self, node: &Node, names: &Names) -> Option<Condition> {
        let source = match &node.value {
            Value::Text(_) => ScriptSource::of(&self.reader, node),
            Value::Bool(value) => {
                let written = Node { value: Value::Text(value.to_string()), ..node.clone() };
                ScriptSource::of(&self.reader, &written)
            }
            other => {
                let message = format!("a condition is a script that answers yes or no; this is {}", other.describe());
                self.reader.error(
                    "PB305",
                    node.span,
                    message,
                    Some("write a script, such as `case.priority == \"critical\"`".to_owned()),
                );
                return None;
            }
        };
        match Condition::compile(source, names, self.evaluator) {
            Ok(condition) => Some(condition),
            Err(found) => {
                self.reader.extend(found);
                None
            }
        }
    }

    /// A playbook that must be given something is started by those who can give it.
    fn startable(&mut self, triggers: &[Trigger], inputs: Option<&[Input]>) {
        let must = inputs.unwrap_or_default().iter().find(|input| input.required && input.default.is_none());
        let other = triggers.iter().find(|trigger| !matches!(trigger.on, On::Manual));
        if let (Some(input), Some(trigger)) = (must, other) {
            let message =
                format!("nobody gives the input `{}` when `{}` starts the playbook", input.name, trigger.on.kind());
            let help = "give it a `default`, or leave `manual` as the only trigger".to_owned();
            self.reader.error("PB219", trigger.span, message, Some(help));
        }
    }

    fn all_steps(&mut self, fields: &mut Fields<'_>, place: &Place<'_>) -> (Lists, Vec<(String, Template)>) {
        let main = fields.node(&mut self.reader, "steps");
        let on_failure = fields.opt_node("on_failure");
        let finally = fields.opt_node("finally");
        let mut ids = self.step_ids(main.into_iter().chain(on_failure).chain(finally));
        let span = fields.span();
        let lists = self.step_lists([main, on_failure, finally], &mut ids, place);
        let count = count(&lists.steps) + count(&lists.on_failure) + count(&lists.finally);
        if count > limits::PLAYBOOK_STEPS_MAX {
            let message = format!("the playbook has {count} steps; at most {} are allowed", limits::PLAYBOOK_STEPS_MAX);
            self.reader.error("PB111", span, message, Some("split it into several playbooks".to_owned()));
        }
        let outputs = self.outputs(fields, place, &ids);
        (lists, outputs)
    }

    /// What the playbook gives to a caller.
    fn outputs(&mut self, fields: &mut Fields<'_>, place: &Place<'_>, ids: &Ids) -> Vec<(String, Template)> {
        let Some(mut listed) = fields.fields(&mut self.reader, "outputs") else { return Vec::new() };
        let mut roots = place.roots.clone();
        roots.extend([Root::Run, Root::Steps]);
        let list = List { place, prefix: String::new(), roots, locals: Vec::new(), depth: 0 };
        let names = self.step_names(&list, ids);
        listed.free().map(|(key, node)| (key.text.clone(), self.template(node, &names))).collect()
    }

    /// The triggers, of which there must be one.
    fn triggers(&mut self, fields: &mut Fields<'_>, vars: &Arc<serde_json::Value>) -> Vec<Trigger> {
        let span = fields.span();
        let Some(node) = fields.opt_node("triggers") else {
            let help = Some("add `triggers:` with one of case.stage_changed, alert.created, score.threshold, schedule, event, manual".to_owned());
            self.reader.error("PB109", span, "the playbook has no triggers, so it would never start", help);
            return Vec::new();
        };
        let Some(items) = self.reader.list(node, "`triggers`") else { return Vec::new() };
        if items.is_empty() {
            self.reader.error("PB109", node.span, "the playbook has no triggers, so it would never start", None);
        }
        items.iter().filter_map(|item| self.trigger(item, vars)).collect()
    }
}

/// How many steps there are, nested ones included.
fn count(steps: &[Step]) -> usize {
    steps.iter().map(|step| 1 + step.lists().iter().map(|(_, steps)| count(steps)).sum::<usize>()).sum()
}

/// The constants, and the names that `set` gives, of whose values nothing is known.
fn with_set(vars: &Arc<serde_json::Value>, fields: &Fields<'_>) -> Arc<serde_json::Value> {
    let lists: Vec<&Node> = ["steps", "on_failure", "finally"].into_iter().filter_map(|key| fields.peek(key)).collect();
    let named = super::inputs::names_set(&lists);
    let serde_json::Value::Object(constants) = &**vars else { return vars.clone() };
    if named.is_empty() {
        return vars.clone();
    }
    let mut all = constants.clone();
    all.extend(named.into_iter().map(|name| (name, serde_json::Value::Null)));
    Arc::new(serde_json::Value::Object(all))
}
