//! The blocks: loops, branches, waits, questions and what else a step can be besides an action.

use std::collections::BTreeMap;
use std::time::Duration;

use model::run::RunStatus;
use model::{Time, limits};

use super::Checker;
use super::steps::{Ids, List, is_step_id};
use crate::diagnostic::Span;
use crate::fields::{Fields, text_of};
use crate::reader::did_you_mean;
use crate::script::{Expression, Names, Root, ScriptSource};
use crate::syntax::{Approve, Body, Branch, Call, Case, Each, Guard, Items, OnDeadline, Repeat, Wait, WaitEvent};
use crate::template::{Rules, Template};
use crate::yaml::{Key, Node, Value};

/// The roles that may answer a question.
const ROLES: [&str; 2] = ["approver", "admin"];
/// The shortest rest between two turns of a loop.
const EVERY_MIN: Duration = Duration::from_millis(100);

type Around<'l, 'a, 'i> = (&'l List<'a>, &'i mut Ids);

impl Checker<'_> {
    /// Reads a block.
    pub(super) fn block(
        &mut self,
        kind: &str,
        (key, node): (&Key, &Node),
        path: &str,
        names: &Names,
        around: Around<'_, '_, '_>,
    ) -> Option<Body> {
        match kind {
            "for_each" => self.for_each(node, path, names, around),
            "parallel" => self.parallel(node, path, around),
            "switch" => self.switch(node, path, names, around),
            "repeat" => self.repeat(node, path, around),
            "try" => self.guard(node, path, around),
            "call" => self.call(node, names),
            "wait" => self.wait(node, names),
            "approve" => self.approve(node, names),
            "set" => self.set(node, key.span, names),
            _ => self.stop(node, names),
        }
    }

    fn for_each(&mut self, node: &Node, path: &str, names: &Names, (list, ids): Around<'_, '_, '_>) -> Option<Body> {
        let mut fields = self.reader.map(node, "`for_each`")?;
        let items = fields.node(&mut self.reader, "in").and_then(|node| self.items(node, names));
        let var = fields.node(&mut self.reader, "as").and_then(|node| self.local(node, list));
        let most = i64::try_from(limits::LOOP_PARALLEL_MAX).unwrap_or(i64::MAX);
        let parallel = fields.int(&mut self.reader, "max_parallel", 1..=most).unwrap_or(1);
        let mut inner = list.inside(format!("{path}/*/"));
        inner.locals.extend(var.clone());
        let mark = ids.visible.len();
        let steps = self.inner(&mut fields, "steps", &inner, ids).unwrap_or_default();
        fields.finish(&mut self.reader);
        ids.hide(mark, "it is done once for each item; read the `output` of the `for_each` instead");
        let max_parallel = usize::try_from(parallel).unwrap_or(1);
        Some(Body::ForEach(Each { items: items?, var: var?, max_parallel, steps }))
    }

    fn items(&mut self, node: &Node, names: &Names) -> Option<Items> {
        match &node.value {
            Value::Text(text) if !text.contains("${{") => {
                match Expression::compile(ScriptSource::of(&self.reader, node), names, self.evaluator) {
                    Ok(script) => Some(Items::Script(script)),
                    Err(found) => {
                        self.reader.extend(found);
                        None
                    }
                }
            }
            Value::Text(_) => Some(Items::Value(self.template(node, names))),
            Value::List(items) if items.len() > limits::LOOP_ROUNDS_MAX => {
                let message =
                    format!("`in` has {} items; at most {} are allowed", items.len(), limits::LOOP_ROUNDS_MAX);
                self.reader.error("PB104", node.span, message, None);
                None
            }
            Value::List(_) => Some(Items::Value(self.template(node, names))),
            _ => {
                self.reader.wrong_type(node, "in", "a script that gives a list, or a list");
                None
            }
        }
    }

    /// The name of a loop's variable.
    fn local(&mut self, node: &Node, list: &List<'_>) -> Option<String> {
        let name = text_of(&mut self.reader, node, "as")?;
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts || name.starts_with("__") || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let help = "use letters, digits and `_`, a letter first".to_owned();
            self.reader.error("PB106", node.span, format!("`{name}` cannot be the name of a variable"), Some(help));
            return None;
        }
        let words = ["now", "true", "false", "let", "if", "else", "switch", "in"];
        if Root::from_name(&name).is_some() || words.contains(&name.as_str()) || list.locals.contains(&name) {
            let help = Some("use another name".to_owned());
            self.reader.error("PB122", node.span, format!("`{name}` already has a meaning here"), help);
            return None;
        }
        Some(name)
    }

    /// A list of steps in a block, if it is there.
    fn inner(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        list: &List<'_>,
        ids: &mut Ids,
    ) -> Option<Vec<crate::syntax::Step>> {
        let node = if key == "steps" { fields.node(&mut self.reader, key) } else { fields.opt_node(key) }?;
        Some(self.step_list(node, &format!("`{key}`"), list, ids))
    }

    fn parallel(&mut self, node: &Node, path: &str, (list, ids): Around<'_, '_, '_>) -> Option<Body> {
        let mut fields = self.reader.map(node, "`parallel`")?;
        let listed = fields.node(&mut self.reader, "branches");
        fields.finish(&mut self.reader);
        let items = self.reader.list(listed?, "`branches`")?;
        if items.len() < 2 || items.len() > limits::BRANCHES_MAX {
            let message =
                format!("`parallel` has 2 to {} branches; this one has {}", limits::BRANCHES_MAX, items.len());
            self.reader.error("PB104", node.span, message, None);
        }
        let mut branches = Vec::with_capacity(items.len());
        let mut done = Vec::new();
        for item in items {
            let Some(mut fields) = self.reader.map(item, "a branch") else { continue };
            let id = fields.node(&mut self.reader, "id").and_then(|node| self.branch_id(node));
            let name = id.clone().unwrap_or_default();
            let inner = list.inside(format!("{path}/{name}/"));
            let mark = ids.visible.len();
            let steps = self.inner(&mut fields, "steps", &inner, ids).unwrap_or_default();
            fields.finish(&mut self.reader);
            done.extend(ids.hide(mark, "it is at work at the same time; read it after the `parallel`"));
            branches.extend(id.map(|id| Branch { id, steps }));
        }
        ids.show(done);
        Some(Body::Parallel { branches })
    }

    fn branch_id(&mut self, node: &Node) -> Option<String> {
        let id = text_of(&mut self.reader, node, "id")?;
        if !is_step_id(&id) {
            let help = "use letters, digits, `_` and `-`, a letter first".to_owned();
            self.reader.error("PB106", node.span, format!("`{id}` cannot be the id of a branch"), Some(help));
            return None;
        }
        Some(id)
    }

    fn switch(&mut self, node: &Node, path: &str, names: &Names, (list, ids): Around<'_, '_, '_>) -> Option<Body> {
        let items = self.reader.list(node, "`switch`")?;
        if items.is_empty() || items.len() > limits::BRANCHES_MAX {
            let message = format!("`switch` has 1 to {} cases; this one has {}", limits::BRANCHES_MAX, items.len());
            self.reader.error("PB104", node.span, message, None);
        }
        let mut cases = Vec::with_capacity(items.len());
        let mut done = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let Some(mut fields) = self.reader.map(item, "a case") else { continue };
            let when = self.case_condition(&mut fields, names, n + 1 == items.len());
            let inner = list.inside(format!("{path}/{n}/"));
            let mark = ids.visible.len();
            let steps = self.inner(&mut fields, "steps", &inner, ids).unwrap_or_default();
            fields.finish(&mut self.reader);
            done.extend(ids.hide(mark, "it is in another case, and only one of them is taken"));
            cases.extend(when.map(|when| Case { when, steps }));
        }
        ids.show(done);
        Some(Body::Switch { cases })
    }

    /// The condition of a case; nothing inside for `else`.
    fn case_condition(
        &mut self,
        fields: &mut Fields<'_>,
        names: &Names,
        last: bool,
    ) -> Option<Option<crate::script::Condition>> {
        match (fields.opt_node("when"), fields.entry("else")) {
            (Some(when), None) => Some(Some(self.condition(when, names)?)),
            (None, Some((key, node))) => {
                if node.value != Value::Bool(true) {
                    self.reader.wrong_type(node, "else", "`true`");
                } else if !last {
                    let message = "the cases after `else` are never reached";
                    self.reader.error("PB123", key.span, message, Some("put `else` at the end".to_owned()));
                }
                Some(None)
            }
            (Some(_), Some((key, _))) => {
                let message = "a case has `when` or `else`, not both";
                self.reader.error("PB120", key.span, message, None);
                None
            }
            (None, None) => {
                let help = Some("write `when:` with a condition, or `else: true` for the last case".to_owned());
                self.reader.error("PB102", fields.span(), "a case needs `when`", help);
                None
            }
        }
    }

    fn repeat(&mut self, node: &Node, path: &str, (list, ids): Around<'_, '_, '_>) -> Option<Body> {
        let mut fields = self.reader.map(node, "`repeat`")?;
        let every = match fields.node(&mut self.reader, "every") {
            Some(node) => self.reader.period(node, "every").filter(|every| self.at_least(node, *every)),
            None => None,
        };
        let max = match fields.has("max") {
            true => fields.int(&mut self.reader, "max", 1..=i64::try_from(limits::LOOP_ROUNDS_MAX).unwrap_or(i64::MAX)),
            false => {
                fields.node(&mut self.reader, "max");
                None
            }
        };
        let inner = list.inside(format!("{path}/*/"));
        let steps = self.inner(&mut fields, "steps", &inner, ids).unwrap_or_default();
        let names = self.step_names(&inner, ids);
        let until = fields.node(&mut self.reader, "until").and_then(|node| self.condition(node, &names));
        fields.finish(&mut self.reader);
        let max = u32::try_from(max?).ok()?;
        Some(Body::Repeat(Repeat { until: until?, every: every?, max, steps }))
    }

    fn at_least(&mut self, node: &Node, every: Duration) -> bool {
        if every < EVERY_MIN {
            let message = format!("`every` is at least {}", model::period::format(EVERY_MIN));
            self.reader.error("PB104", node.span, message, None);
        }
        every >= EVERY_MIN
    }

    fn guard(&mut self, node: &Node, path: &str, (list, ids): Around<'_, '_, '_>) -> Option<Body> {
        let mut fields = self.reader.map(node, "`try`")?;
        let [tried, catching, last] = Guard::LISTS.map(|name| list.inside(format!("{path}/{name}/")));
        let steps = self.inner(&mut fields, "steps", &tried, ids).unwrap_or_default();
        let catching = List { roots: [catching.roots.as_slice(), &[Root::Error]].concat(), ..catching };
        let catch = self.inner(&mut fields, "catch", &catching, ids);
        let finally = self.inner(&mut fields, "finally", &last, ids);
        if catch.is_none() && finally.is_none() {
            let help = Some("add `catch:`, `finally:` or both".to_owned());
            self.reader.error("PB102", node.span, "`try` needs `catch` or `finally`", help);
        }
        fields.finish(&mut self.reader);
        Some(Body::Try(Guard { steps, catch: catch.unwrap_or_default(), finally: finally.unwrap_or_default() }))
    }

    fn call(&mut self, node: &Node, names: &Names) -> Option<Body> {
        let mut fields = self.reader.map(node, "`call`")?;
        let at = fields.opt_node("playbook").map_or(node.span, |node| node.span);
        let playbook = fields.text(&mut self.reader, "playbook");
        let mut inputs = BTreeMap::new();
        if let Some(mut given) = fields.fields(&mut self.reader, "inputs") {
            for (key, node) in given.free() {
                inputs.insert(key.text.clone(), self.template(node, names));
            }
        }
        fields.finish(&mut self.reader);
        Some(Body::Call(Call { playbook: playbook?, inputs, at }))
    }

    fn wait(&mut self, node: &Node, names: &Names) -> Option<Body> {
        let mut fields = self.reader.map(node, "`wait`")?;
        let kinds: Vec<&str> = ["for", "until", "event"].into_iter().filter(|key| fields.has(key)).collect();
        let [kind] = kinds[..] else {
            let help = Some("write one of `for: 10m`, `until: …`, `event: { type: … }`".to_owned());
            fields.pass(["for", "until", "event", "timeout", "on_timeout"]);
            self.reader.error("PB120", node.span, "`wait` has one of `for`, `until` and `event`", help);
            return None;
        };
        let wait = match kind {
            "for" => {
                let period = fields.duration(&mut self.reader, "for")?;
                self.not_too_long(node, period);
                Wait::For(period)
            }
            "until" => Wait::Until(self.instant(fields.opt_node("until")?, names)?),
            _ => {
                let event = fields.fields(&mut self.reader, "event");
                let timeout = self.deadline(&mut fields, "timeout", "`wait` for an event");
                let fails = fields.one_of(&mut self.reader, "on_timeout", &["fail", "continue"]) != Some("continue");
                let (types, when) = self.wait_event(event?, names)?;
                fields.finish(&mut self.reader);
                return Some(Body::Wait(Wait::Event(WaitEvent { types, when, timeout: timeout?, fails })));
            }
        };
        fields.finish(&mut self.reader);
        Some(Body::Wait(wait))
    }

    fn wait_event(
        &mut self,
        mut fields: Fields<'_>,
        names: &Names,
    ) -> Option<(Vec<String>, Option<crate::script::Condition>)> {
        fields.node(&mut self.reader, "type");
        let listed = fields.text_list(&mut self.reader, "type", true).unwrap_or_default();
        let types = self.event_types(listed);
        let when = fields.opt_node("when").map(|node| self.condition(node, names));
        fields.finish(&mut self.reader);
        match when {
            Some(None) => None,
            when => (!types.is_empty()).then_some((types, when.flatten())),
        }
    }

    /// A length of time that must be there.
    fn deadline(&mut self, fields: &mut Fields<'_>, key: &'static str, what: &str) -> Option<Duration> {
        let Some(node) = fields.opt_node(key) else {
            let help = Some(format!("add `{key}: 4h`: nothing waits for ever"));
            self.reader.error("PB121", fields.span(), format!("{what} needs `{key}`"), help);
            return None;
        };
        let period = self.reader.period(node, key)?;
        self.not_too_long(node, period);
        Some(period)
    }

    fn not_too_long(&mut self, node: &Node, period: Duration) {
        let most = Duration::from_secs(limits::RUN_WAIT_SECONDS_MAX);
        if period > most {
            let message = format!("a run takes at most {}, with its waits", model::period::format(most));
            self.reader.error("PB104", node.span, message, None);
        }
    }

    /// A time, or a value that gives one.
    fn instant(&mut self, node: &Node, names: &Names) -> Option<Template> {
        let template = self.template(node, names);
        if let Some(constant) = template.constant() {
            let parsed = constant.as_str().map(Time::parse);
            match parsed {
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    self.reader.error("PB116", node.span, error.to_string(), None);
                    return None;
                }
                None => {
                    self.reader.wrong_type(node, "until", "a time such as `2026-12-01T08:00:00Z`");
                    return None;
                }
            }
        }
        Some(template)
    }

    fn approve(&mut self, node: &Node, names: &Names) -> Option<Body> {
        let mut fields = self.reader.map(node, "`approve`")?;
        let ask = fields.node(&mut self.reader, "ask").map(|node| self.template(node, names));
        let by = fields.one_of(&mut self.reader, "by", &ROLES).unwrap_or("approver").to_owned();
        let given = fields.opt_node("fields");
        let given = given.map_or_else(Vec::new, |node| self.declared(node, "`fields`"));
        let deadline = self.deadline(&mut fields, "deadline", "`approve`");
        let on_deadline = if fields.has("on_deadline") {
            fields.one_of(&mut self.reader, "on_deadline", &["approve", "deny", "fail"]).map(|word| match word {
                "approve" => OnDeadline::Approve,
                "deny" => OnDeadline::Deny,
                _ => OnDeadline::Fail,
            })
        } else {
            let help = Some("add `on_deadline: deny` (or `approve`, `fail`)".to_owned());
            self.reader.error("PB121", node.span, "`approve` needs `on_deadline`", help);
            None
        };
        fields.finish(&mut self.reader);
        Some(Body::Approve(Approve { ask: ask?, by, fields: given, deadline: deadline?, on_deadline: on_deadline? }))
    }

    fn set(&mut self, node: &Node, at: Span, names: &Names) -> Option<Body> {
        let mut fields = self.reader.map(node, "`set`")?;
        let mut values = Vec::new();
        for (key, node) in fields.free() {
            if !is_var(&key.text) {
                let help = "use letters, digits and `_`, a letter first".to_owned();
                let message = format!("`{}` cannot be the name of a value", key.text);
                self.reader.error("PB106", key.span, message, Some(help));
            }
            values.push((key.text.clone(), self.template(node, names)));
        }
        if values.is_empty() {
            self.reader.error("PB102", at, "`set` needs a name and a value", None);
        }
        Some(Body::Set { values })
    }

    fn stop(&mut self, node: &Node, names: &Names) -> Option<Body> {
        let mut fields = self.reader.map(node, "`stop`")?;
        let outcome = match fields.one_of(&mut self.reader, "outcome", &["succeeded", "failed"]) {
            Some("failed") => RunStatus::Failed,
            _ => RunStatus::Succeeded,
        };
        let reason = fields.opt_node("reason").map(|node| self.template(node, names));
        fields.finish(&mut self.reader);
        Some(Body::Stop { outcome, reason })
    }

    pub(super) fn template(&mut self, node: &Node, names: &Names) -> Template {
        Template::compile(&mut self.reader, node, names, self.evaluator, Rules::default())
    }
}

/// Whether a value can have this name.
pub(super) fn is_var(name: &str) -> bool {
    name.len() <= limits::PLAYBOOK_ID_CHARS_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A help for a name that is near to one of others.
pub(super) fn near(name: &str, known: &[&str]) -> Option<String> {
    did_you_mean(name, known.iter().copied())
        .or_else(|| (!known.is_empty()).then(|| format!("there are {}", known.join(", "))))
}
