//! `/events/{id}`: why did my playbook not run?

use maud::{Markup, html};
use serde_json::Value;

use super::inside::Ask;
use super::json::Read as _;
use super::layout::{self, Section};
use super::{json, link, parts};
use crate::http::route::{Answer, Call};

/// `GET /events/{id}`
pub(crate) async fn show(call: Call) -> Answer {
    let id = call.segment(0).to_owned();
    let event = Ask::get("/v1/events/{id}", &[&id]).ask(&call).await?;
    let content = html! {
        div.head {
            div.grow {
                h1 { (event.text("type")) " " span.muted { "from " (event.text("source")) } }
                p.sub { "Event " code { (id) } ", arrived " (parts::time(event.text("received_at"))) }
            }
        }
        (decisions(&event))
        div.columns {
            (facts(&call, &event))
            (changes(&event))
        }
        (content(&event))
    };
    layout::page(&call, Section::Events, event.text("type"), &content)
}

fn facts(call: &Call, event: &Value) -> Markup {
    html! {
        section.panel aria-label="About the event" {
            h2 { "The event" }
            dl.facts {
                dt { "About" }
                dd { @if let Some(subject) = event.full("subject") { (subject_link(call, event, subject)) } @else { "no alert, case or entity" } }
                dt { "Happened" } dd { (parts::time(event.text("time"))) }
                dt { "Arrived" } dd { (parts::time(event.text("received_at"))) }
                dt { "Sent by" } dd { (event.text("actor")) }
                @if let Some(own) = event.some("id") { dt { "Sender's id" } dd { code { (own) } } }
                dt { "Tenant" } dd { (event.text("tenant")) }
                @if let Some(from) = event.some("from") { dt { "Stage before" } dd { (from) } }
                @if !event.list("chain").is_empty() {
                    dt { "Caused by" }
                    dd { @for run in event.list("chain") { @let run = run.as_str().unwrap_or_default(); a.mono href=(link::run(run)) { (run) } " " } }
                }
                dt { "Playbooks" } dd { "set " code title=(event.text("playbooks_digest")) { (short(event.text("playbooks_digest"))) } }
            }
            @for warning in event.list("warnings") { p.note.warn { (warning.as_str().unwrap_or_default()) } }
        }
    }
}

/// The beginning of a digest, enough to tell two apart.
pub(super) fn short(digest: &str) -> String {
    digest.trim_start_matches("sha256:").chars().take(12).collect()
}

fn subject_link(call: &Call, event: &Value, subject: &Value) -> Markup {
    let (kind, id) = (subject.text("kind"), subject.text("id"));
    html! {
        @if matches!(kind, "case" | "alert") {
            a href=(link::object(call, kind, id, event.text("tenant"))) { (kind) " " bdi { (id) } }
        } @else { (kind) " " bdi { (id) } }
    }
}

fn changes(event: &Value) -> Markup {
    html! {
        section.panel aria-label="What it changed" {
            h2 { "What it changed" }
            @if event.list("transitions").is_empty() {
                p.muted { "Nothing: the values were the same as before, or it is a plain event. Triggers on changes hear nothing of it." }
            } @else {
                ul { @for change in event.list("transitions") { li { (change.text("text")) } } }
            }
        }
    }
}

/// How a decision is sorted: what ran first, what was close next.
fn place(verdict: &str) -> u8 {
    match verdict {
        "matched" => 0,
        "queued" | "observed" => 1,
        "failed" => 2,
        "not_matched" => 4,
        _ => 3,
    }
}

fn decisions(event: &Value) -> Markup {
    let mut all: Vec<&Value> = event.list("decisions").iter().collect();
    all.sort_by_key(|decision| place(decision.text("verdict")));
    let ran = all.iter().filter(|decision| decision.some("run_id").is_some()).count();
    html! {
        section.panel.flush aria-labelledby="decided" {
            h2 id="decided" { "Why playbooks ran, or did not" }
            p.sub { (sentence(all.len(), ran)) }
            @if !event.flag("decisions_complete") {
                p { span.badge.warn { "!" " Not complete" } " The playbooks were changed since, so only the decisions recorded at that time are listed; what did not match by its trigger alone is left out." }
            }
            @if !all.is_empty() {
                div.scroll {
                    table {
                        thead { tr { th scope="col" { "Decision" } th scope="col" { "Playbook" } th scope="col" { "Because" } th scope="col" { "Decided at" } th scope="col" { "Run" } } }
                        tbody { @for decision in all { (decision_row(decision)) } }
                    }
                }
            }
        }
    }
}

fn sentence(listening: usize, ran: usize) -> String {
    match (listening, ran) {
        (0, _) => "No playbook listens to this kind of event.".to_owned(),
        (1, 0) => "One playbook listens to this kind of event. It did not run.".to_owned(),
        (1, _) => "One playbook listens to this kind of event. It ran.".to_owned(),
        (all, 0) => format!("{all} playbooks listen to this kind of event. None of them ran."),
        (all, ran) => format!("{all} playbooks listen to this kind of event. {ran} of them ran."),
    }
}

/// One decision, with the piece of the playbook that decided.
pub(super) fn decision_row(decision: &Value) -> Markup {
    let (playbook, digest) = (decision.text("playbook"), decision.text("playbook_digest"));
    let at = decision.full("at");
    html! {
        tr {
            td { (parts::badge(decision.text("verdict"))) }
            td.wide { a href=(link::with(&link::playbook(playbook), &[("version", digest)])) title="the text that decided" { (playbook) } }
            td.wide { (decision.text("reason")) }
            td {
                @if let Some(at) = at {
                    @let line = at.number("line").unwrap_or(1);
                    a href=(link::playbook_line(playbook, digest, line)) title=(format!("{}, column {}", at.text("file"), at.number("column").unwrap_or(1))) {
                        "line " (line)
                    }
                } @else { span.muted { "–" } }
            }
            td { @if let Some(run) = decision.some("run_id") { a.mono href=(link::run(run)) { (run) } } @else { span.muted { "–" } } }
        }
    }
}

/// What the event carried.
pub(super) fn content(event: &Value) -> Markup {
    let fields = event.full("subject").and_then(|subject| subject.full("fields"));
    let raw = event.full("raw").map(json::pretty).or_else(|| event.some("raw_base64").map(str::to_owned));
    html! {
        section.panel aria-label="What it carried" {
            h2 { "What it carried" }
            @if let Some(fields) = fields {
                details open { summary { "Fields as Sortie reads them" } pre tabindex="0" { (json::pretty(fields)) } }
            }
            @if let Some(data) = event.full("data") {
                details open[fields.is_none()] { summary { "Data" } pre tabindex="0" { (json::pretty(data)) } }
            }
            @if let Some(raw) = raw { details { summary { "The body as it came" } pre tabindex="0" { (raw) } } }
        }
    }
}
