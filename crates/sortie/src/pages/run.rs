//! `/runs/{id}`: what one execution of a playbook did, step by step.

use axum::http::StatusCode;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::parts::Tone;
use super::{approvals, event, flow, link, parts, runs};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// What can just have been done.
const DONE: &[(&str, &str)] = &[
    ("again", "This is the new run. The old one stays as it was; it is linked below."),
    ("sent", "Sending has begun. This run says what each destination answers."),
    ("by-hand", "It was started by hand, and is recorded under your name."),
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
    let asked = questions(&call, &run).await?;
    let content = html! {
        (parts::done(&call, DONE))
        div id="run-head" data-live[run.full("ended_at").is_none()] {
            (head(&call, &run))
            (failure(&run))
            (waits(&run))
        }
        div id="asked" data-live[run.full("ended_at").is_none()] { (asked) }
        div id="run" data-live[run.full("ended_at").is_none()] {
            (flow::flow(&run))
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
                @if inside::may(call, Verb::Get, "/v1/audit/export") {
                    a.button href=(link::with("/audit/export", &[("run", id)])) title="What is recorded of this run, with proofs, to verify elsewhere" { "Evidence" }
                }
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

/// The questions of the run that wait for a person, to be answered here.
async fn questions(call: &Call, run: &Value) -> Result<Markup, Problem> {
    let mut all = Vec::new();
    let now = call.app.engine.store().now();
    for id in run.list("waits").iter().filter_map(|wait| wait.some("approval_id")) {
        match Ask::get("/v1/approvals/{id}", &[id]).ask(call).await {
            Ok(question) => all.push(approvals::question(call, &question, now)),
            // Somebody has answered it in between.
            Err(problem) if problem.status == StatusCode::NOT_FOUND => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(html! { @for question in &all { (question) } })
}

/// What the run waits for.
fn waits(run: &Value) -> Markup {
    html! {
        @for wait in run.list("waits") {
            div.note.busy { p {
                "Step " strong { (wait.text("step")) } " waits for "
                @match wait.text("on") { "approval" => "a person's answer", "time" => "a time", "event" => "an event", "call" | "run" => "a run that it has called", other => (parts::words(other).to_lowercase()) }
                @if let Some(until) = wait.some("until") { ", until " (parts::time(until)) }
            } }
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
                        @if let Some(error) = step.full("error") { ": " (error.text("message")) " " code { (error.text("code")) } (flow::place(error)) }
                    }
                }
                @if run.text("status") == "needs_attention" {
                    p { "It must not be repeated by itself: look at the other system first, then run it again or leave it." }
                }
            }
        }
    }
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
                dt { "Text" } dd { a href=(link::with(&link::playbook(run.text("playbook")), &[("version", run.text("playbook_digest"))])) title=(run.text("playbook_digest")) { "version " (event::short(run.text("playbook_digest"))) } }
                @if let Some(caller) = run.some("called_by") { dt { "Called by" } dd { a.mono href=(link::run(caller)) { (caller) } } }
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
                        p { a href=(format!("#L{line}")) { "Line " (line) " of the text" } " decided." }
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

fn deliveries(run: &Value) -> Markup {
    html! {
        @if !run.list("sent").is_empty() {
            section.panel.flush aria-labelledby="sent" {
                h2 id="sent" { "Deliveries" }
                div.scroll { table {
                    thead { tr { th scope="col" { "Status" } th scope="col" { "Destination" } th.num scope="col" { "Tries" } th.num scope="col" { "HTTP" } th scope="col" { "Last try" } th scope="col" { "Delivery" } } }
                    tbody { @for sent in run.list("sent") { tr {
                        td { (parts::badge(sent.text("status"))) @if let Some(reason) = sent.some("reason") { div.muted { (parts::words(reason)) } } }
                        td.wide { a href=(link::path(&["destinations", sent.text("destination")])) { (sent.text("destination")) } }
                        td.num { (sent.number("attempts").unwrap_or(0)) }
                        td.num { @if let Some(status) = sent.number("http_status") { (status) } @else { "–" } }
                        td { (parts::time(sent.text("last_at"))) }
                        td { a.mono href=(link::path(&["deliveries", sent.text("delivery_id")])) { (sent.text("delivery_id")) } }
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

/// Entries of the history on the page: the first and the last ones of a long run.
const HISTORY_FIRST: usize = 100;
/// The same at its end.
const HISTORY_LAST: usize = 200;

fn history(run: &Value) -> Markup {
    let all = run.list("history");
    let left_out = all.len().saturating_sub(HISTORY_FIRST + HISTORY_LAST);
    let (first, last) =
        if left_out == 0 { (all, &[][..]) } else { (&all[..HISTORY_FIRST], &all[all.len() - HISTORY_LAST..]) };
    html! {
        section.panel aria-label="History" {
            details {
                summary { strong { "History" } ", " (run.list("history").len()) " entries" @if run.flag("history_incomplete") { ", its beginning is no longer kept" } }
                div.scroll { table {
                    thead { tr { th.num scope="col" { "Entry" } th scope="col" { "Time" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "Step" } th scope="col" { "Detail" } } }
                    tbody {
                        @for moment in first { (moment_row(moment)) }
                        @if left_out > 0 { tr { td colspan="6" { span.muted { (left_out) " entries are left out here; the evidence of the run holds them all" } } } }
                        @for moment in last { (moment_row(moment)) }
                    }
                } }
            }
        }
    }
}

fn moment_row(moment: &Value) -> Markup {
    html! { tr {
        td.num { (moment.number("seq").unwrap_or(0)) }
        td { (parts::time(moment.text("time"))) }
        td.wide { (moment.text("actor")) }
        td { (parts::words(moment.text("fact"))) @if let Some(status) = moment.some("status") { " " (parts::badge(status)) } }
        td { (moment.some("path").unwrap_or("–")) }
        td.wide { (moment.text("detail")) }
    } }
}

/// The text as it ran, with the lines marked that failed.
fn text(run: &Value) -> Markup {
    let marked: Vec<u64> = run
        .list("steps")
        .iter()
        .filter(|step| parts::tone(step.text("status")) == Tone::Bad)
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
