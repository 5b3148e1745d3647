//! `/runs/{id}`: what one execution of a playbook did, step by step.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use maud::{Markup, html};
use model::Time;
use serde_json::{Value, json};

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::outline::{self, Line};
use super::parts::Tone;
use super::{event, link, parts, runs};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// What can just have been done.
const DONE: &[(&str, &str)] = &[
    ("again", "This is the new run. The old one stays as it was; it is linked below."),
    ("sent", "Sending has begun. This run says what each destination answers."),
    ("cancelled", "The run was stopped. Nothing of it starts any more."),
];

/// `GET /runs/{id}`
pub(crate) async fn show(call: Call) -> Answer {
    let id = call.segment(0).to_owned();
    let run = Ask::get("/v1/runs/{id}", &[&id]).ask(&call).await?;
    let cause = match Ask::get("/v1/events/{id}", &[run.text("event_id")]).ask(&call).await {
        Ok(event) => Some(event),
        // The run is kept longer than what started it.
        Err(problem) if matches!(problem.status, StatusCode::NOT_FOUND | StatusCode::GONE) => None,
        Err(problem) => return Err(problem),
    };
    let content = html! {
        (parts::done(&call, DONE))
        div id="run" data-live[run.full("ended_at").is_none()] {
            (head(&call, &run))
            (failure(&run))
            (flow(&run))
            div.columns {
                (facts(&call, &run))
                (decision(&run, cause.as_ref()))
            }
            (deliveries(&run))
        }
        (trigger(&run, cause.as_ref()))
        (history(&run))
        (text(&run))
    };
    layout::page(&call, Section::Runs, &format!("Run of {}", run.text("playbook")), &content)
}

fn head(call: &Call, run: &Value) -> Markup {
    let id = run.text("run_id");
    let ended = run.full("ended_at").is_some();
    let failed = run.text("status") != "succeeded";
    let may = |path| inside::may(call, Verb::Post, path);
    html! {
        div.head {
            div.grow {
                h1 { a href=(link::playbook(run.text("playbook"))) { (run.text("playbook")) } " " (parts::badge(run.text("status"))) }
                p.sub { "Run " code { (id) } }
            }
            div.actions {
                @if ended && may("/v1/runs/{id}/retry") { (again(call, id, failed)) }
                @if !ended && may("/v1/runs/{id}/cancel") {
                    (parts::button(call, &link::path(&["runs", id, "cancel"]), "Cancel", "danger", Some("Stop this run? What it has done stays done.")))
                }
            }
        }
    }
}

/// The form of running again: from where, and with which text.
fn again(call: &Call, id: &str, failed: bool) -> Markup {
    html! {
        form.inline method="post" action=(link::path(&["runs", id, "again"])) {
            (parts::word(call))
            @if failed {
                label { "From" select name="from" { option value="failed" { "the step that failed" } option value="start" { "the first step" } } }
            }
            label { "With" select name="version" { option value="same" { "the same text" } option value="current" { "the playbook as it is now" } } }
            button.primary type="submit" { "Run again" }
        }
    }
}

/// Why it did not end well, with the line that did it.
fn failure(run: &Value) -> Markup {
    let tone = parts::tone(run.text("status"));
    let bad = |step: &&Value| {
        matches!(step.text("status"), "failed" | "timed_out" | "needs_attention") && !step.flag("handled")
    };
    let step = run.list("steps").iter().rfind(bad);
    html! {
        @if matches!(tone, Tone::Bad | Tone::Warn) && (run.some("reason").is_some() || step.is_some()) {
            div class={ "note " (tone.class()) } {
                @if let Some(reason) = run.some("reason") { p { strong { (reason) } } }
                @if let Some(step) = step {
                    p { "Step " strong { (step.text("path")) } " " (parts::words(step.text("status")).to_lowercase())
                        @if let Some(error) = step.full("error") { ": " (error.text("message")) " " code { (error.text("code")) } (place(error)) }
                    }
                }
                @if run.text("status") == "needs_attention" {
                    p { "It must not be repeated by itself: look at the other system first, then run it again or leave it." }
                }
            }
        }
    }
}

/// The line of the text, on this page.
fn place(error: &Value) -> Markup {
    let line = error.full("at").and_then(|at| at.number("line"));
    html! { @if let Some(line) = line { " " a href=(format!("#L{line}")) { "line " (line) } } }
}

fn facts(call: &Call, run: &Value) -> Markup {
    html! {
        section.panel aria-label="About the run" {
            h2 { "The run" }
            dl.facts {
                dt { "About" } dd { (runs::about(call, run)) }
                dt { "Started by" } dd { (run.text("trigger")) ", " a href=(link::event(run.text("event_id"))) { "event " (run.text("event_id")) } }
                dt { "Created" } dd { (parts::time(run.text("created_at"))) }
                dt { "Started" } dd { (parts::time(run.text("started_at"))) }
                dt { "Ended" } dd { (parts::time(run.text("ended_at"))) }
                dt { "Took" } dd { @if let Some(millis) = run.number("duration_ms") { (parts::took(millis)) } @else { "not ended" } }
                dt { "Tenant" } dd { (run.text("tenant")) }
                dt { "Text" } dd { "version " code title=(run.text("playbook_digest")) { (event::short(run.text("playbook_digest"))) } }
                @if let Some(old) = run.some("retry_of") { dt { "Repeats" } dd { a.mono href=(link::run(old)) { (old) } } }
                @if let Some(by) = run.some("cancelled_by") { dt { "Cancelled by" } dd { (by) } }
                @if !run.list("chain").is_empty() {
                    dt { "Caused by" }
                    dd { @for one in run.list("chain") { a href=(link::run(one.text("run_id"))) { (one.text("playbook")) } " " } }
                }
            }
        }
    }
}

fn decision(run: &Value, cause: Option<&Value>) -> Markup {
    let of_this = |decision: &&Value| decision.text("playbook") == run.text("playbook");
    let decision = cause.and_then(|event| event.list("decisions").iter().find(of_this));
    html! {
        section.panel aria-label="The decision" {
            h2 { "Why it ran" }
            @match (cause, decision) {
                (None, _) => p.muted { "The event that started it is no longer kept." },
                (Some(event), Some(decision)) => {
                    p { (parts::badge(decision.text("verdict"))) " " (decision.text("reason")) }
                    @if let Some(at) = decision.full("at") {
                        @let line = at.number("line").unwrap_or(1);
                        p { a href=(link::playbook_line(run.text("playbook"), line)) { "Line " (line) " of the playbook" } }
                    }
                    p { a href=(link::event(event.text("event_id"))) { "All decisions about this event" } }
                },
                (Some(event), None) => {
                    p { "It was started without a decision: by hand, or as a repeat of another run." }
                    p { "By " strong { (event.text("actor")) } ", " a href=(link::event(event.text("event_id"))) { (event.text("type")) } }
                },
            }
        }
    }
}

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

/// The path of a step without the numbers of loops: `each[3].send` is `each.send`.
fn plain_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut depth = 0_usize;
    for c in path.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            other if depth == 0 => out.push(other),
            _ => {}
        }
    }
    out
}

fn flow(run: &Value) -> Markup {
    let mut done = Done { steps: BTreeMap::new(), span: Span::of(run) };
    for step in run.list("steps") {
        done.steps.entry(plain_path(step.text("path"))).or_default().push(step);
    }
    let outline = outline::of(run.text("playbook_text"));
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
                @for step in &found {
                    (happened(if found.len() > 1 { step.text("path") } else { &line.name }, step, done.span.as_ref()))
                }
            }
            @if !line.inside.is_empty() { (list(&line.inside, done)) }
        }
    }
}

/// A step that was reached.
fn happened(name: &str, step: &Value, span: Option<&Span>) -> Markup {
    let status = step.text("status");
    let tone = parts::tone(status);
    let took = micros(step.text("started_at")).zip(micros(step.text("ended_at"))).map(|(from, to)| (to - from) / 1_000);
    let tries = step.list("attempts").len();
    html! {
        details id=(format!("step-{}", step.text("path"))) open[matches!(tone, Tone::Bad)] {
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

fn deliveries(run: &Value) -> Markup {
    html! {
        @if !run.list("sent").is_empty() {
            section.panel.flush aria-labelledby="sent" {
                h2 id="sent" { "Deliveries" }
                div.scroll { table {
                    thead { tr { th scope="col" { "Status" } th scope="col" { "Destination" } th.num scope="col" { "Tries" } th.num scope="col" { "HTTP" } th scope="col" { "Last try" } th scope="col" { "Delivery" } } }
                    tbody { @for sent in run.list("sent") { tr {
                        td { (parts::badge(sent.text("status"))) @if let Some(reason) = sent.some("reason") { div.muted { (parts::words(reason)) } } }
                        td.wide { (sent.text("destination")) }
                        td.num { (sent.number("attempts").unwrap_or(0)) }
                        td.num { @if let Some(status) = sent.number("http_status") { (status) } @else { "–" } }
                        td { (parts::time(sent.text("last_at"))) }
                        td { code { (sent.text("delivery_id")) } }
                    } } }
                } }
            }
        }
    }
}

fn trigger(run: &Value, cause: Option<&Value>) -> Markup {
    html! {
        @if run.full("trigger_fields").is_some() || run.full("inputs").is_some() {
            section.panel aria-label="What started it" {
                h2 { "What started it" }
                (parts::data("Trigger", run.full("trigger_fields")))
                (parts::data("Inputs", run.full("inputs")))
            }
        }
        @if let Some(event) = cause { (event::content(event)) }
    }
}

fn history(run: &Value) -> Markup {
    html! {
        section.panel aria-label="History" {
            details {
                summary { strong { "History" } ", " (run.list("history").len()) " entries" @if run.flag("history_incomplete") { ", its beginning is no longer kept" } }
                div.scroll { table {
                    thead { tr { th.num scope="col" { "Entry" } th scope="col" { "Time" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "Step" } th scope="col" { "Detail" } } }
                    tbody { @for moment in run.list("history") { tr {
                        td.num { (moment.number("seq").unwrap_or(0)) }
                        td { (parts::time(moment.text("time"))) }
                        td.wide { (moment.text("actor")) }
                        td { (parts::words(moment.text("fact"))) @if let Some(status) = moment.some("status") { " " (parts::badge(status)) } }
                        td { (moment.some("path").unwrap_or("–")) }
                        td.wide { (moment.text("detail")) }
                    } } }
                } }
            }
        }
    }
}

/// The text as it ran, with the lines marked that failed.
fn text(run: &Value) -> Markup {
    let marked: Vec<u64> = run
        .list("steps")
        .iter()
        .filter_map(|step| step.full("error").and_then(|error| error.full("at")).and_then(|at| at.number("line")))
        .collect();
    html! {
        section.panel aria-labelledby="text" {
            h2 id="text" { "The playbook as it ran" }
            @match run.some("playbook_text") {
                Some(text) => (listing(text, &marked)),
                None => p.muted { "Its text is no longer kept." },
            }
        }
    }
}

/// A text with numbered lines, each with a place to link to.
pub(super) fn listing(text: &str, marked: &[u64]) -> Markup {
    html! {
        ol.listing tabindex="0" {
            @for (n, line) in (1_u64..).zip(text.lines()) {
                li id=(format!("L{n}")) class=[marked.contains(&n).then_some("mark")] { (line) }
            }
        }
    }
}

/// `POST /runs/{id}/again`
pub(crate) async fn again_posted(call: Call, form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    let word = |name: &str, other: &'static str| match form.get(name) {
        "" => Ok(other.to_owned()),
        given if given.len() <= 16 => Ok(given.to_owned()),
        _ => Err(Problem::bad("invalid_form", format!("`{name}` is not one of the choices"))),
    };
    let body = json!({ "from": word("from", "start")?, "version": word("version", "same")? });
    let made = Ask::post("/v1/runs/{id}/retry", &[&id], body).ask(&call).await?;
    Ok(layout::see_other(&link::with(&link::run(made.text("run_id")), &[("done", "again")])))
}

/// `POST /runs/{id}/cancel`
pub(crate) async fn cancel(call: Call, _form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    Ask::post("/v1/runs/{id}/cancel", &[&id], json!({})).ask(&call).await?;
    Ok(layout::see_other(&link::with(&link::run(&id), &[("done", "cancelled")])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_loops_lead_to_the_step_of_the_text() {
        assert_eq!(plain_path("each[3].send"), "each.send");
        assert_eq!(plain_path("#2.on_error.#1"), "#2.on_error.#1");
    }

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
