//! The flow of a run: the playbook as it ran, indented as its steps nest, with the path that was taken. Each step that was
//! reached opens to its input, its attempts and its output, and has a bar that says when in the run it was at work.

use std::collections::BTreeMap;

use maud::{Markup, html};
use model::Time;
use serde_json::Value;

use super::json::Read as _;
use super::link;
use super::outline::{self, Line, Paths};
use super::parts::{self, Tone};

/// When the run began and how long its bars are, in microseconds.
struct Span {
    from: i64,
    length: i64,
}

fn micros(text: &str) -> Option<i64> {
    Time::parse(text).ok().map(Time::micros)
}

impl Span {
    fn of(run: &Value) -> Option<Span> {
        let all = run.list("steps").iter();
        let from = all.clone().filter_map(|step| micros(step.text("started_at"))).min()?;
        let ends = all.filter_map(|step| micros(step.some("ended_at").unwrap_or(step.text("started_at"))));
        let to = ends.max().unwrap_or(from);
        Some(Span { from, length: (to - from).max(1) })
    }

    /// Where on a bar of a thousand parts a step stands, and how wide it is.
    fn place(&self, step: &Value) -> Option<(i64, i64)> {
        let began = micros(step.text("started_at"))?;
        let ended = micros(step.text("ended_at")).unwrap_or(self.from + self.length);
        let part = |at: i64| ((at - self.from).saturating_mul(1_000) / self.length).clamp(0, 1_000);
        let width = (part(ended) - part(began)).max(6);
        Some((part(began).min(1_000 - width), width))
    }
}

/// What happened at each path; a step of a loop happens several times.
struct Done<'a> {
    steps: BTreeMap<String, Vec<&'a Value>>,
    span: Option<Span>,
}

/// The playbook as an indented flow with the path that the run took.
pub(super) fn flow(run: &Value) -> Markup {
    let outline = outline::of(run.text("playbook_text"));
    let paths = Paths::of(&outline);
    let mut done = Done { steps: BTreeMap::new(), span: Span::of(run) };
    for step in run.list("steps") {
        done.steps.entry(paths.plain(step.text("path"))).or_default().push(step);
    }
    let lines = html! { (list(&outline, &mut done)) };
    let rest: Vec<&Value> = std::mem::take(&mut done.steps).into_values().flatten().collect();
    html! {
        section.panel aria-labelledby="flow" {
            h2 id="flow" { "What it did" }
            @if outline.is_empty() && rest.is_empty() {
                p.muted { "Its steps are no longer kept." }
            } @else {
                (lines)
                @if !rest.is_empty() {
                    ol.flow { @for step in rest { li.step { (happened(step.text("path"), step, done.span.as_ref())) } } }
                }
            }
        }
    }
}

fn list(lines: &[Line], done: &mut Done<'_>) -> Markup {
    html! { ol.flow { @for line in lines { (one(line, done)) } } }
}

fn one(line: &Line, done: &mut Done<'_>) -> Markup {
    let found = done.steps.remove(&line.path).unwrap_or_default();
    html! {
        li.step.unreached[found.is_empty() && !line.path.is_empty()] {
            @if found.is_empty() {
                div.line {
                    span.sign.quiet aria-hidden="true" { @if line.path.is_empty() { "↳" } @else { "○" } }
                    span.name { (line.name) }
                    span.what { (line.what) @if let Some(condition) = &line.condition { " if " code { (condition) } } }
                    span.bar-cell {}
                    span.took { @if !line.path.is_empty() { "not reached" } }
                }
            } @else {
                @if found.len() > FEW { (many(&line.name, &found, done.span.as_ref())) } @else {
                    @for step in &found {
                        (happened(if found.len() > 1 { step.text("path") } else { &line.name }, step, done.span.as_ref()))
                    }
                }
            }
            @if !line.inside.is_empty() { (list(&line.inside, done)) }
        }
    }
}

/// A step that was done this often is shown each time; more often, it is summed up.
const FEW: usize = 3;

/// A step of a loop that was done many times: how often it ended how, over which time; the times themselves open.
fn many(name: &str, found: &[&Value], span: Option<&Span>) -> Markup {
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for step in found {
        *ends.entry(step.text("status")).or_default() += 1;
    }
    let tones = ends.keys().map(|status| parts::tone(status));
    let worst = tones.max_by_key(|tone| {
        [Tone::Quiet, Tone::Good, Tone::Busy, Tone::Warn, Tone::Bad].iter().position(|one| one == tone)
    });
    let tone = worst.unwrap_or(Tone::Quiet);
    let from = found.iter().map(|step| step.text("started_at")).min().unwrap_or_default();
    let to = found.iter().map(|step| step.text("ended_at")).max().unwrap_or_default();
    let whole = serde_json::json!({ "started_at": from, "ended_at": to });
    let took = micros(from).zip(micros(to)).map(|(from, to)| (to - from) / 1_000);
    let said: Vec<String> =
        ends.iter().map(|(status, n)| format!("{n} {}", parts::words(status).to_lowercase())).collect();
    html! {
        details id=(format!("steps-{}", found.first().map_or("", |step| step.text("path")))) {
            summary { span.line {
                span class={ "sign " (tone.class()) } aria-hidden="true" { (tone.sign()) }
                span.name { (name) }
                span.what { (found.len()) " times: " (said.join(", ")) }
                span.bar-cell { (bar(&whole, span, tone)) }
                span.took { @if let Some(millis) = took { (parts::took(u64::try_from(millis).unwrap_or(0))) } }
            } }
            div.times {
                @for step in shown(found) { (happened(step.text("path"), step, span)) }
                @if found.len() > TIMES_MAX { p.muted { "and " (found.len() - TIMES_MAX) " more times, failures in front; " code { "sortie runs show" } " lists them all" } }
            }
        }
    }
}

/// Most times that one step of a loop is shown.
const TIMES_MAX: usize = 30;

/// Of a step that was done many times, the failures first.
fn shown<'a>(found: &[&'a Value]) -> Vec<&'a Value> {
    let bad = |step: &&&Value| parts::tone(step.text("status")) == Tone::Bad;
    let (failed, others): (Vec<&Value>, Vec<&Value>) = found.iter().partition(|step| bad(step));
    failed.into_iter().chain(others).take(TIMES_MAX).collect()
}

/// A step that was reached.
fn happened(name: &str, step: &Value, span: Option<&Span>) -> Markup {
    let status = step.text("status");
    let tone = parts::tone(status);
    let took = micros(step.text("started_at")).zip(micros(step.text("ended_at"))).map(|(from, to)| (to - from) / 1_000);
    let tries = step.list("attempts").len();
    html! {
        details id=(format!("step-{}", step.text("path"))) open[tone == Tone::Bad && !step.flag("handled")] {
            summary {
                span.line {
                    span class={ "sign " (tone.class()) } aria-hidden="true" { (tone.sign()) }
                    span.name { (name) }
                    span.what {
                        (step.text("action")) " · " (parts::words(status).to_lowercase())
                        @if step.flag("handled") { ", handled" }
                        @if tries > 1 { ", " (tries) " tries" }
                    }
                    span.bar-cell { (bar(step, span, tone)) }
                    span.took { @if let Some(millis) = took { (parts::took(u64::try_from(millis).unwrap_or(0))) } }
                }
            }
            div.inside {
                @if let Some(error) = step.full("error") {
                    p { strong { (error.text("message")) } " " code { (error.text("code")) } (place(error)) }
                }
                @if let Some(run) = step.full("input").and_then(|input| input.some("run_id")) { p { "It is a run of its own: " a.mono href=(link::run(run)) { (run) } } }
                (parts::data("Input", step.full("input")))
                (attempts(step.list("attempts")))
                (parts::data("Output", step.full("output")))
            }
        }
    }
}

fn bar(step: &Value, span: Option<&Span>, tone: Tone) -> Markup {
    let place = span.and_then(|span| span.place(step));
    html! {
        @if let Some((x, width)) = place {
            svg class={ "bar " (tone.class()) } viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
                rect.track x="0" y="3" width="1000" height="4" {}
                rect.fill x=(x) y="0" width=(width) height="10" {}
            }
        }
    }
}

/// The line of the text, on this page.
pub(super) fn place(error: &Value) -> Markup {
    let line = error.full("at").and_then(|at| at.number("line"));
    html! { @if let Some(line) = line { " " a href=(format!("#L{line}")) { "line " (line) } } }
}

/// The tries of a step or a delivery.
pub(super) fn attempts(tries: &[Value]) -> Markup {
    let sent = tries.iter().any(|attempt| attempt.some("destination").is_some());
    html! {
        @if !tries.is_empty() {
            h3 { "Attempts" }
            div.scroll {
                table {
                    thead { tr {
                        th.num scope="col" { "Try" } @if sent { th scope="col" { "Destination" } }
                        th scope="col" { "Outcome" } th.num scope="col" { "HTTP" } th scope="col" { "Started" } th scope="col" { "What was said" }
                    } }
                    tbody { @for attempt in tries { tr {
                        td.num { (attempt.number("n").unwrap_or(1)) }
                        @if sent { td { (attempt.some("destination").unwrap_or("–")) } }
                        td { (parts::badge(attempt.text("outcome"))) }
                        td.num { @if let Some(status) = attempt.number("http_status") { (status) } @else { "–" } }
                        td { (parts::time(attempt.text("started_at"))) }
                        td.wide { (said(attempt)) }
                    } } }
                }
            }
        }
    }
}

fn said(attempt: &Value) -> Markup {
    html! {
        @if let Some(reason) = attempt.some("reason") { "not sent: " (parts::words(reason).to_lowercase()) }
        @if let Some(error) = attempt.full("error") { (error.text("message")) " " code { (error.text("code")) } }
        @if let Some(at) = attempt.some("next_at") { " Tried again " (parts::time(at)) }
        @if let Some(answer) = attempt.full("answer") {
            @if !answer.text("body").is_empty() {
                details { summary { "Answer, " (answer.number("bytes").unwrap_or(0)) " bytes" } pre tabindex="0" { (answer.text("body")) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_step_holds_is_text_in_the_page() {
        let run = json!({ "playbook_text": "steps:\n  - id: send\n    action: log\n", "steps": [{
            "path": "send", "action": "log", "status": "failed", "started_at": "2026-11-25T14:00:00.000Z",
            "ended_at": "2026-11-25T14:00:01.000Z", "error": { "code": "x", "message": "<img src=x onerror=alert(1)>" },
            "output": "</script><script>alert(1)</script>",
        }] });
        let shown = flow(&run).into_string();
        assert!(!shown.contains("<img") && !shown.contains("<script"), "{shown}");
        assert!(shown.contains("&lt;img") && shown.contains("1.0 s"), "{shown}");
    }
}
