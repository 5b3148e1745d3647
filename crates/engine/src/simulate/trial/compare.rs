//! What was expected of a test against what came of it.

use model::run::{RunState, StepStatus};
use model::{Kind, ObjectKey};
use playbook::Span;
use playbook::testing::{NOT_RUN, Object, Request, Test, Wanted};
use serde_json::Value;

use super::{Difference, Seen, means, names};
use crate::outbound::{Origin, Planned};
use crate::simulate::Simulation;

/// Longest value that a message shows, in characters.
const SHOWN_CHARS_MAX: usize = 400;

/// Everything that did not come as expected, in the order in which tests are written.
pub(super) fn differences(test: &Test, seen: &Seen, simulation: &Simulation) -> Vec<Difference> {
    let expect = &test.expect;
    let mut found = Found::default();
    if let Some(runs) = &expect.runs {
        found.equal("runs", runs.span, &runs.value, &seen.runs.len());
        if runs.value != seen.runs.len() {
            found.explain(decided(seen));
        }
    }
    if let Some(wanted) = &expect.verdicts {
        let got: Vec<String> = seen.decisions.iter().map(verdict).collect();
        found.each("verdict", wanted, &got);
    }
    if let Some(wanted) = &expect.reason {
        let got = seen.decisions.iter().flatten().last().map_or("there was no decision", |(_, reason)| reason.as_str());
        if !got.contains(&wanted.value) {
            found.add("reason", wanted.span, format!("… {} …", wanted.value), got.to_owned());
        }
    }
    if let Some(wanted) = &expect.statuses {
        let got: Vec<String> = seen.runs.iter().map(|run| run.state.status.name().to_owned()).collect();
        let before = found.all.len();
        found.each("status", wanted, &got);
        if found.all.len() > before {
            found.explain(seen.runs.iter().find_map(|run| run.state.reason.clone()).unwrap_or_default());
        }
    }
    steps(test, seen, &mut found);
    if let Some(wanted) = &expect.requests {
        requests(wanted, (&seen.playbook, &seen.report.would_send), &mut found);
    }
    for object in &expect.objects {
        state(object, simulation, &mut found);
    }
    found.all
}

/// What differs so far.
#[derive(Default)]
struct Found {
    all: Vec<Difference>,
}

impl Found {
    fn add(&mut self, what: impl Into<String>, span: Span, wanted: String, got: String) {
        self.all.push(Difference { what: what.into(), wanted: Some(wanted), got, span });
    }

    fn equal<T: PartialEq + std::fmt::Display>(&mut self, what: &str, span: Span, wanted: &T, got: &T) {
        if wanted != got {
            self.add(what, span, wanted.to_string(), got.to_string());
        }
    }

    /// Adds to what came of the last one.
    fn explain(&mut self, more: String) {
        if let Some(last) = self.all.last_mut().filter(|_| !more.is_empty()) {
            last.got = format!("{} ({more})", last.got);
        }
    }

    /// One word stands for all, a list for one each.
    fn each(&mut self, what: &str, wanted: &Wanted<Vec<String>>, got: &[String]) {
        let same = match wanted.value.as_slice() {
            [one] => !got.is_empty() && got.iter().all(|got| got == one),
            all => all == got,
        };
        if !same {
            let shown = |all: &[String]| if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            self.add(what, wanted.span, shown(&wanted.value), shown(got));
        }
    }

    /// A value that may hold more than is looked at.
    fn part(&mut self, what: &str, span: Span, wanted: &Value, got: Option<&Value>) {
        let Some(got) = got else {
            return self.add(what, span, short(wanted), "nothing".to_owned());
        };
        match (wanted, got) {
            (Value::Object(wanted), Value::Object(got)) => {
                for (name, wanted) in wanted {
                    // What is absent counts as null, as everywhere.
                    let got = got.get(name).or(wanted.is_null().then_some(&Value::Null));
                    self.part(&format!("{what}.{name}"), span, wanted, got);
                }
            }
            (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
                for (at, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                    self.part(&format!("{what}[{at}]"), span, wanted, Some(got));
                }
            }
            (wanted, got) if same(wanted, got) => {}
            (wanted, got) => self.add(what, span, short(wanted), short(got)),
        }
    }
}

fn verdict(decision: &Option<(model::Verdict, String)>) -> String {
    decision.as_ref().map_or("none", |(verdict, _)| verdict.name()).to_owned()
}

/// Why there were as many runs as there were.
fn decided(seen: &Seen) -> String {
    let all: Vec<String> = seen
        .decisions
        .iter()
        .map(|decision| match decision {
            Some((verdict, reason)) => format!("{}: {reason}", verdict.name()),
            None => "it does not listen to this kind of event".to_owned(),
        })
        .collect();
    all.join("; ")
}

fn steps(test: &Test, seen: &Seen, found: &mut Found) {
    let expect = &test.expect;
    if let Some(wanted) = &expect.steps {
        let done = |state: &RunState| -> Vec<String> {
            let began = |path: &&String| state.steps.get(*path).is_some_and(|step| step.status != StepStatus::Skipped);
            state.order.iter().filter(began).cloned().collect()
        };
        let got: Vec<String> = seen.runs.iter().flat_map(|run| done(&run.state)).collect();
        let same =
            got.len() == wanted.value.len() && wanted.value.iter().zip(&got).all(|(name, path)| names(name, path));
        if !same {
            found.add("steps", wanted.span, wanted.value.join(", "), got.join(", "));
        }
    }
    let last = seen.runs.last().map(|run| &run.state);
    let step = |name: &str| {
        let all = last.into_iter().flat_map(|state| &state.order);
        all.rev().find(|path| names(name, path)).and_then(|path| last?.steps.get(path))
    };
    for (name, wanted) in &expect.step_statuses {
        let got = step(name).map_or(NOT_RUN, |step| step.status.name());
        if wanted.value != got {
            found.add(format!("steps.{name}"), wanted.span, wanted.value.clone(), got.to_owned());
            let error = step(name).and_then(|step| step.error.as_ref());
            found.explain(error.map(|error| format!("{}: {}", error.code, error.message)).unwrap_or_default());
        }
    }
    for (name, wanted) in &expect.outputs {
        let got = step(name).and_then(|step| step.output.as_ref());
        found.part(&format!("outputs.{name}"), wanted.span, &wanted.value, got);
    }
    for (name, wanted) in &expect.errors {
        let got = step(name).and_then(|step| step.error.as_ref()).map_or("none", |error| error.code.as_str());
        if wanted.value != got {
            found.add(format!("errors.{name}"), wanted.span, wanted.value.clone(), got.to_owned());
        }
    }
}

/// A request with the number of its tries.
struct Sent<'a> {
    first: &'a Planned,
    tries: usize,
}

/// Tries of the same thing are one.
fn sent(planned: &[Planned]) -> Vec<Sent<'_>> {
    let mut all: Vec<(&Origin, Sent<'_>)> = Vec::new();
    for planned in planned {
        match all.iter_mut().find(|(origin, _)| **origin == planned.origin) {
            Some((_, sent)) => sent.tries += 1,
            None => all.push((&planned.origin, Sent { first: planned, tries: 1 })),
        }
    }
    all.into_iter().map(|(_, sent)| sent).collect()
}

fn requests(wanted: &Wanted<Vec<Request>>, (own, planned): (&str, &[Planned]), found: &mut Found) {
    let got = sent(planned);
    if wanted.value.len() != got.len() {
        let shown: Vec<String> = got.iter().map(|sent| describe(sent.first)).collect();
        let shown = if shown.is_empty() { "nothing".to_owned() } else { shown.join("; ") };
        found.add("requests", wanted.span, count(wanted.value.len()), format!("{}: {shown}", count(got.len())));
    }
    for (at, (wanted, got)) in wanted.value.iter().zip(&got).enumerate() {
        request(&format!("requests[{at}]"), wanted, (own, got), found);
    }
}

fn count(requests: usize) -> String {
    if requests == 1 { "1 request".to_owned() } else { format!("{requests} requests") }
}

fn describe(planned: &Planned) -> String {
    match &planned.origin.destination {
        Some(destination) => format!("`{}` to {destination}", planned.origin.step),
        None => format!("`{}` {} {}", planned.origin.step, planned.method, planned.url),
    }
}

fn request(what: &str, wanted: &Request, (own, got): (&str, &Sent<'_>), found: &mut Found) {
    let planned = got.first;
    let span = wanted.span;
    let origin = (planned.origin.playbook.as_str(), planned.origin.step.as_str());
    if let Some(step) = wanted.step.as_ref().filter(|step| !means(step, own, origin)) {
        found.add(format!("{what}.step"), span, step.clone(), planned.origin.step.clone());
    }
    let destination = planned.origin.destination.as_deref();
    if let Some(wanted) = wanted.destination.as_deref().filter(|wanted| Some(*wanted) != destination) {
        found.add(format!("{what}.destination"), span, wanted.to_owned(), destination.unwrap_or("none").to_owned());
    }
    let texts = [("method", &wanted.method, &planned.method), ("url", &wanted.url, &planned.url)];
    for (name, wanted, got) in texts {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != got) {
            found.add(format!("{what}.{name}"), span, wanted.clone(), got.clone());
        }
    }
    for (name, wanted) in &wanted.headers {
        let got = planned.headers.get(name).map_or("none", String::as_str);
        if wanted != got {
            found.add(format!("{what}.headers.{name}"), span, wanted.clone(), got.to_owned());
        }
    }
    if let Some(wanted) = &wanted.body {
        found.part(&format!("{what}.body"), span, wanted, Some(&planned.body));
    }
    if let Some(wanted) = wanted.body_is.as_ref().filter(|wanted| !same(wanted, &planned.body)) {
        found.add(format!("{what}.body_is"), span, short(wanted), short(&planned.body));
    }
    if let Some(wanted) = &wanted.tries {
        found.equal(&format!("{what}.tries"), span, wanted, &got.tries);
    }
}

/// How an object stands at the end.
fn state(wanted: &Object, simulation: &Simulation, found: &mut Found) {
    let what = match wanted.kind {
        Kind::Alert => format!("alerts.{}", wanted.id),
        Kind::Case => format!("cases.{}", wanted.id),
        Kind::Entity => format!("entities.{}", wanted.id),
    };
    let kind = wanted.kind;
    let key = |tenant: &str| ObjectKey { tenant: tenant.to_owned(), kind, id: wanted.id.clone() };
    let tenants = simulation.tenants();
    let found_object = tenants.iter().find_map(|tenant| simulation.object(&key(tenant)).ok().flatten());
    let got = found_object.map(|object| Value::Object((*object.record).clone()));
    found.part(&what, wanted.span, &wanted.fields, got.as_ref());
}

/// Equality in which 90 and 90.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// A value as a message shows it.
fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text;
    }
    text.chars().take(SHOWN_CHARS_MAX - 1).chain(['…']).collect()
}
