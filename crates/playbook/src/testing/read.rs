//! From YAML to tests, with every mistake at its place.
//!
//! Length: one short function for each part of a test, in the order in which they are written.

use std::collections::BTreeSet;
use std::time::Duration;

use model::run::{RunStatus, StepStatus};
use model::{Kind, Time, Verdict, record};
use serde_json::Value as Json;

use super::words::{Failure, NO_VERDICT, NOT_RUN};
use super::{Expect, Given, Input, Object, RUNS_BY, Request, Response, Script, Test, Wanted, What, people};
use crate::catalog::Catalog;
use crate::diagnostic::Span;
use crate::fields::{Fields, text_of};
use crate::reader::{Reader, did_you_mean};
use crate::syntax::Playbook;
use crate::yaml::{Node, Value};

/// Most things that happen in one test.
const INPUTS_MAX: usize = 1_000;
/// Most runs that a test may expect.
const RUNS_MAX: i64 = 100_000;
/// Most tries that a test may expect of one request.
const TRIES_MAX: i64 = 1_000;

/// What tests may name.
pub(crate) struct Known {
    /// The ids of the steps.
    pub(crate) steps: BTreeSet<String>,
    /// The destinations, where they are known.
    pub(crate) destinations: Option<BTreeSet<String>>,
}

impl Known {
    /// Of a playbook that was checked.
    pub(crate) fn of(playbook: &Playbook, catalog: &Catalog) -> Known {
        Known { steps: playbook.step_ids.iter().cloned().collect(), destinations: catalog.destinations.clone() }
    }

    /// Steps are named by their id, or by their whole path.
    pub(super) fn step(&self, reader: &mut Reader, name: &str, span: Span) {
        // Steps of other playbooks are looked for once all are read.
        if super::foreign::split(name, |id| self.steps.contains(id)).is_some() {
            return;
        }
        let last = name.rsplit('/').next().unwrap_or(name);
        if last.starts_with('#') || self.steps.contains(last) {
            return;
        }
        let help = did_you_mean(name, self.steps.iter().map(String::as_str));
        reader.error("PB212", span, format!("there is no step `{name}`"), help);
    }

    fn destination(&self, reader: &mut Reader, name: &str, span: Span) {
        let Some(known) = &self.destinations else { return };
        if !known.contains(name) {
            let help = did_you_mean(name, known.iter().map(String::as_str));
            reader.error("PB205", span, format!("there is no destination `{name}`"), help);
        }
    }
}

/// Reads the tests of a playbook.
pub(crate) fn read(reader: &mut Reader, node: &Node, known: &Known) -> Vec<Test> {
    let Some(items) = reader.list(node, "`tests`") else { return Vec::new() };
    if items.is_empty() {
        nothing(reader, node.span, "there is no test in the list");
    }
    items.iter().filter_map(|item| test(reader, item, known)).collect()
}

fn nothing(reader: &mut Reader, span: Span, why: &str) {
    let help = "say what happens with `event` or `events`, and what must come of it with `expect`".to_owned();
    reader.error("PB501", span, format!("{why}, so nothing is tested"), Some(help));
}

fn test(reader: &mut Reader, node: &Node, known: &Known) -> Option<Test> {
    let mut fields = reader.map(node, "a test")?;
    let name = fields.text(reader, "name");
    fields.opt_text(reader, "description");
    let now = fields.opt_node("now").and_then(|node| time(reader, node));
    let given = given(reader, &mut fields);
    let inputs = inputs(reader, &mut fields);
    let until = fields.duration(reader, "until");
    let responses = scripts(reader, &mut fields, "responses", known, Known::step);
    let destinations = scripts(reader, &mut fields, "destinations", known, Known::destination);
    let approvals = people::read(reader, &mut fields, known);
    let expect = fields.node(reader, "expect").map(|node| expect(reader, node, known));
    let (file, span) = (reader.file().clone(), fields.span());
    fields.finish(reader);
    let (name, expect) = (name?, expect?);
    Some(Test { name, file, span, now, given, inputs, until, responses, destinations, approvals, expect })
}

fn time(reader: &mut Reader, node: &Node) -> Option<Time> {
    let text = text_of(reader, node, "now")?;
    match Time::parse(&text) {
        Ok(time) => Some(time),
        Err(error) => {
            reader.error("PB116", node.span, error.to_string(), None);
            None
        }
    }
}

fn given(reader: &mut Reader, fields: &mut Fields<'_>) -> Vec<Given> {
    let mut all = Vec::new();
    let Some(mut known) = fields.fields(reader, "given") else { return all };
    for (name, kind) in [("alerts", Kind::Alert), ("cases", Kind::Case), ("entities", Kind::Entity)] {
        let Some(node) = known.opt_node(name) else { continue };
        for item in reader.list(node, name).unwrap_or_default() {
            if let Some(mut object) = reader.map(item, &format!("an item of `{name}`")) {
                object.node(reader, "id");
                let _ = object.free();
                all.push(Given { kind, fields: item.to_json(), span: item.span });
            }
        }
    }
    known.finish(reader);
    all
}

fn inputs(reader: &mut Reader, fields: &mut Fields<'_>) -> Vec<Input> {
    let span = fields.span();
    let (one, many) = (fields.opt_node("event"), fields.opt_node("events"));
    match (one, many) {
        (Some(_), Some(many)) => {
            let help = Some("put it into the list".to_owned());
            reader.error("PB104", many.span, "a test has `event` or `events`, not both", help);
            Vec::new()
        }
        (Some(node), None) => input(reader, node).into_iter().collect(),
        (None, Some(node)) => {
            let items = reader.list(node, "`events`").unwrap_or_default();
            if items.is_empty() {
                nothing(reader, node.span, "nothing happens in this test");
            }
            if items.len() > INPUTS_MAX {
                let message = format!("there are {} events; at most {INPUTS_MAX} are allowed", items.len());
                reader.error("PB104", node.span, message, None);
            }
            items.iter().take(INPUTS_MAX).filter_map(|item| input(reader, item)).collect()
        }
        (None, None) => {
            nothing(reader, span, "nothing happens in this test");
            Vec::new()
        }
    }
}

fn input(reader: &mut Reader, node: &Node) -> Option<Input> {
    let mut fields = reader.map(node, "an event of a test")?;
    let after = fields.duration(reader, "after");
    let what = if fields.has("type") {
        let _ = fields.free();
        let mut event = node.to_json();
        if let Some(event) = event.as_object_mut() {
            event.remove("after");
        }
        What::Event(event)
    } else if let Some(source) = fields.opt_text(reader, "source") {
        let body = fields.node(reader, "body")?.to_json();
        fields.finish(reader);
        What::Message { source, body }
    } else if let Some(mut run) = fields.fields(reader, "run") {
        let (alert, case) = (run.opt_text(reader, "alert"), run.opt_text(reader, "case"));
        let by = run.opt_text(reader, "by").unwrap_or_else(|| RUNS_BY.to_owned());
        let inputs = run.opt_node("inputs").map(Node::to_json);
        run.finish(reader);
        fields.finish(reader);
        What::Run { alert, case, by, inputs: inputs.and_then(|all| all.as_object().cloned()).unwrap_or_default() }
    } else {
        if after.is_none() {
            let help =
                "give it a `type` (an event), a `source` (a message), `run` (a run by hand) or `after` (time passes)";
            reader.error("PB102", node.span, "this says nothing that happens", Some(help.to_owned()));
        }
        fields.finish(reader);
        What::Nothing
    };
    Some(Input { after: after.unwrap_or(Duration::ZERO), what, span: node.span })
}

fn scripts(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    name: &'static str,
    known: &Known,
    check: fn(&Known, &mut Reader, &str, Span),
) -> Vec<Script> {
    let Some(mut entries) = fields.fields(reader, name) else { return Vec::new() };
    let mut all = Vec::new();
    for (key, node) in entries.free() {
        check(known, reader, &key.text, key.span);
        let answers: Vec<Response> = match &node.value {
            Value::List(items) => items.iter().filter_map(|item| response(reader, item)).collect(),
            _ => response(reader, node).into_iter().collect(),
        };
        if !answers.is_empty() {
            all.push(Script { name: key.text.clone(), answers, span: key.span });
        }
    }
    all
}

fn response(reader: &mut Reader, node: &Node) -> Option<Response> {
    if let Value::Int(status) = node.value {
        let status = status_of(reader, status, node.span)?;
        return Some(Response::Answer { status, headers: Vec::new(), body: Json::Null });
    }
    let mut fields = reader.map(node, "an answer")?;
    let fails = fields.opt_node("fails");
    let status = fields.opt_node("status");
    let headers = texts(reader, &mut fields, "headers");
    let body = fields.opt_node("body").map_or(Json::Null, Node::to_json);
    fields.finish(reader);
    if let Some(node) = fails {
        let text = text_of(reader, node, "fails")?;
        let found = Failure::from_name(&text);
        if found.is_none() {
            let names = Failure::ALL.map(Failure::name);
            word(reader, node.span, "fails", &text, &names);
        }
        return found.map(Response::Fails);
    }
    let status = match status.map(|node| (&node.value, node)) {
        None => 200,
        Some((Value::Int(status), node)) => status_of(reader, *status, node.span)?,
        Some((_, node)) => {
            reader.wrong_type(node, "status", "an HTTP status such as 200");
            return None;
        }
    };
    Some(Response::Answer { status, headers, body })
}

fn status_of(reader: &mut Reader, status: i64, span: Span) -> Option<u16> {
    let found = u16::try_from(status).ok().filter(|status| (100..=599).contains(status));
    if found.is_none() {
        reader.error("PB104", span, format!("an HTTP status is from 100 to 599; this is {status}"), None);
    }
    found
}

/// A map of texts.
fn texts(reader: &mut Reader, fields: &mut Fields<'_>, name: &'static str) -> Vec<(String, String)> {
    let Some(mut entries) = fields.fields(reader, name) else { return Vec::new() };
    let all: Vec<(String, &Node)> = entries.free().map(|(key, node)| (key.text.to_ascii_lowercase(), node)).collect();
    all.into_iter().filter_map(|(key, node)| Some((key, text_of(reader, node, name)?))).collect()
}

pub(super) fn word(reader: &mut Reader, span: Span, name: &str, given: &str, known: &[&str]) {
    let help =
        did_you_mean(given, known.iter().copied()).unwrap_or_else(|| format!("it is one of {}", known.join(", ")));
    reader.error("PB104", span, format!("`{name}` cannot be `{given}`"), Some(help));
}

fn expect(reader: &mut Reader, node: &Node, known: &Known) -> Expect {
    let Some(mut fields) = reader.map(node, "`expect`") else { return Expect::default() };
    let mut expect = Expect::default();
    let span = |fields: &mut Fields<'_>, name: &'static str| fields.opt_node(name).map(|node| node.span);
    if let (Some(runs), Some(span)) = (fields.int(reader, "runs", 0..=RUNS_MAX), span(&mut fields, "runs")) {
        expect.runs = usize::try_from(runs).ok().map(|value| Wanted { value, span });
    }
    let verdicts: Vec<&str> = Verdict::ALL.iter().map(|verdict| verdict.name()).chain([NO_VERDICT]).collect();
    expect.verdicts = words(reader, &mut fields, "verdict", &verdicts);
    expect.reason = fields.opt_node("reason").and_then(|node| wanted_text(reader, node, "reason"));
    expect.statuses = words(reader, &mut fields, "status", &RunStatus::ALL.map(RunStatus::name));
    if let Some(node) = fields.opt_node("steps") {
        steps(reader, node, known, &mut expect);
    }
    for (name, node, key) in entries(reader, &mut fields, "outputs", known) {
        expect.outputs.push((name, Wanted { value: node.to_json(), span: key }));
    }
    for (name, node, _) in entries(reader, &mut fields, "errors", known) {
        expect.errors.extend(wanted_text(reader, node, "errors").map(|code| (name, code)));
    }
    if let Some(node) = fields.opt_node("requests") {
        let items = reader.list(node, "`requests`").unwrap_or_default();
        let all = items.iter().filter_map(|item| request(reader, item, known)).collect();
        expect.requests = Some(Wanted { value: all, span: node.span });
    }
    for (name, kind) in [("alerts", Kind::Alert), ("cases", Kind::Case), ("entities", Kind::Entity)] {
        if let Some(objects) = fields.fields(reader, name) {
            expected_objects(reader, objects, kind, &mut expect.objects);
        }
    }
    fields.finish(reader);
    if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        nothing(reader, node.span, "nothing is expected");
    }
    expect
}

fn wanted_text(reader: &mut Reader, node: &Node, name: &str) -> Option<Wanted<String>> {
    let value = text_of(reader, node, name)?;
    Some(Wanted { value, span: node.span })
}

/// One word or a list of them.
fn words(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    name: &'static str,
    known: &[&str],
) -> Option<Wanted<Vec<String>>> {
    let span = fields.opt_node(name)?.span;
    let all = fields.text_list(reader, name, true)?;
    for (text, span) in &all {
        if !known.contains(&text.as_str()) {
            word(reader, *span, name, text, known);
        }
    }
    Some(Wanted { value: all.into_iter().map(|(text, _)| text).collect(), span })
}

fn steps(reader: &mut Reader, node: &Node, known: &Known, expect: &mut Expect) {
    match &node.value {
        Value::List(items) => {
            let mut all = Vec::new();
            for item in items {
                let Some(name) = text_of(reader, item, "steps") else { continue };
                known.step(reader, &name, item.span);
                all.push(name);
            }
            expect.steps = Some(Wanted { value: all, span: node.span });
        }
        Value::Map(entries) => {
            let statuses: Vec<&str> = StepStatus::ALL.iter().map(|status| status.name()).chain([NOT_RUN]).collect();
            for (key, node) in entries {
                known.step(reader, &key.text, key.span);
                let Some(status) = wanted_text(reader, node, "steps") else { continue };
                if !statuses.contains(&status.value.as_str()) {
                    word(reader, node.span, &key.text, &status.value, &statuses);
                }
                expect.step_statuses.push((key.text.clone(), status));
            }
        }
        _ => reader.wrong_type(node, "steps", "a list of steps, or a map of steps and statuses"),
    }
}

/// A map of steps.
fn entries<'a>(
    reader: &mut Reader,
    fields: &mut Fields<'a>,
    name: &'static str,
    known: &Known,
) -> Vec<(String, &'a Node, Span)> {
    let Some(mut map) = fields.fields(reader, name) else { return Vec::new() };
    let all: Vec<_> = map.free().map(|(key, node)| (key.text.clone(), node, key.span)).collect();
    for (step, _, span) in &all {
        known.step(reader, step, *span);
    }
    all
}

fn request(reader: &mut Reader, node: &Node, known: &Known) -> Option<Request> {
    let mut fields = reader.map(node, "a request")?;
    let (step, destination) = (fields.opt_node("step"), fields.opt_node("destination"));
    let mut named = |node: Option<&Node>, name: &str, check: fn(&Known, &mut Reader, &str, Span)| {
        let node = node?;
        let text = text_of(reader, node, name)?;
        check(known, reader, &text, node.span);
        Some(text)
    };
    let step = named(step, "step", Known::step);
    let destination = named(destination, "destination", Known::destination);
    let request = Request {
        step,
        destination,
        method: fields.opt_text(reader, "method"),
        url: fields.opt_text(reader, "url"),
        headers: texts(reader, &mut fields, "headers"),
        body: fields.opt_node("body").map(Node::to_json),
        body_is: fields.opt_node("body_is").map(Node::to_json),
        tries: fields.int(reader, "tries", 1..=TRIES_MAX).and_then(|tries| usize::try_from(tries).ok()),
        span: node.span,
    };
    fields.finish(reader);
    Some(request)
}

fn expected_objects(reader: &mut Reader, mut objects: Fields<'_>, kind: Kind, all: &mut Vec<Object>) {
    let table = match kind {
        Kind::Alert => record::ALERT,
        Kind::Case => record::CASE,
        Kind::Entity => record::ENTITY,
    };
    for (key, node) in objects.free() {
        let Some(mut fields) = reader.map(node, &format!("the {kind} `{}`", key.text)) else { continue };
        let mut looks = false;
        for (field, _) in fields.free() {
            looks = true;
            if !table.iter().any(|known| known.name == field.text) {
                let help = did_you_mean(&field.text, table.iter().map(|known| known.name));
                reader.error("PB303", field.span, format!("`{kind}` has no field `{}`", field.text), help);
            }
        }
        if !looks {
            nothing(reader, node.span, "no field is looked at");
        }
        all.push(Object { kind, id: key.text.clone(), fields: node.to_json(), span: key.span });
    }
}
