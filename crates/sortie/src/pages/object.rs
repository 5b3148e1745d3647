//! `/alerts/{id}` and `/cases/{id}`: one object, what happened to it, and what a person can do about it.

use maud::{Markup, html};
use serde_json::Value;

use super::inside::{self, Ask};
use super::json::Read as _;
use super::objects::{self, ALERT, CASE, Kind};
use super::{attachments, json as text, layout, link, object_forms, parts, runs};
use crate::http::route::{Answer, Call, Verb};

/// Fields that have a place of their own on the page, or say nothing to a person.
const ELSEWHERE: &[&str] = &[
    "alert_id",
    "case_id",
    "id",
    "name",
    "tenant",
    "source",
    "version",
    "first_seen_at",
    "updated_at",
    "detections",
    "stage",
    "priority",
    "assignee",
    "queue",
    "risk_score",
    "description",
    "link",
];
/// Entries of the history on the page.
const HISTORY: &str = "50";
/// Runs on the page.
const RUNS: &str = "10";
/// What can just have been done.
const DONE: &[(&str, &str)] = &[
    ("changed", "Changed. Playbooks that listen to this change have been asked; the history below says what followed."),
    ("same", "Nothing was different, so nothing was changed."),
    ("commented", "The comment is in the history."),
    ("attached", "The file is attached; its digest is in the history."),
    ("detached", "The file was taken off. That it was there stays in the history."),
];

/// `GET /alerts/{id}`
pub(crate) async fn alert(call: Call) -> Answer {
    show(call, ALERT).await
}

/// `GET /cases/{id}`
pub(crate) async fn case(call: Call) -> Answer {
    show(call, CASE).await
}

async fn show(call: Call, kind: Kind) -> Answer {
    let id = call.segment(0).to_owned();
    let object = Ask::get(kind.one, &[&id]).with_query_of(&call).ask(&call).await?;
    let tenant = object.text("tenant").to_owned();
    let history = Ask::get(kind.history, &[&id])
        .with("tenant", &tenant)
        .with("limit", HISTORY)
        .with_query_of(&call)
        .ask(&call)
        .await?;
    let last =
        Ask::get("/v1/runs", &[]).with(kind.name, &id).with("tenant", &tenant).with("limit", RUNS).list(&call).await?;
    let destinations = match inside::may(&call, Verb::Post, kind.send) {
        true => Ask::get("/v1/destinations", &[]).ask(&call).await?,
        false => Value::Null,
    };
    let name = object.some("name").unwrap_or(&id);
    let files = attachments::section(&call, kind, &id, &tenant).await?;
    let content = html! {
        (parts::done(&call, DONE))
        (head(&call, kind, &id, &object, name))
        div.columns {
            (facts(&call, &object, kind))
            (object_forms::actions(&call, kind, &id, &object, &destinations))
        }
        (detections(&object))
        (files)
        section.panel.flush aria-labelledby="runs-title" id="last-runs" data-live {
            h2 id="runs-title" { "Runs about it" }
            (runs::table(&call, last.list("items"), &parts::empty("No playbook has run about it", &html! {
                "The events in its history say why not."
            })))
        }
        (happened(&call, kind, &id, &tenant, &history))
    };
    layout::page(&call, kind.section, name, &content)
}

fn head(call: &Call, kind: Kind, id: &str, object: &Value, name: &str) -> Markup {
    html! {
        div.head {
            div.grow {
                h1 { (name) }
                p.sub {
                    (parts::words(kind.name)) " " code { (id) }
                    @if let Some(number) = object.some("number") { ", number " (number) }
                    ", changed " (parts::time(object.text("updated_at")))
                }
            }
            div.actions {
                @if kind == CASE && inside::may(call, Verb::Patch, kind.one) { (object_forms::quick(call, id, object)) }
                @if inside::may(call, Verb::Get, "/v1/audit/export") {
                    a.button href=(link::with("/audit/export", &[(kind.name, id), ("tenant", tenant_key(call, object))])) title="What is recorded about it and its runs, with proofs, to verify elsewhere" { "Evidence" }
                }
                a.button href=(link::with("/events", &[(kind.name, id), ("tenant", tenant_key(call, object))])) { "Its events" }
            }
        }
    }
}

/// The tenant for links of lists; nothing where there is one only.
fn tenant_key<'a>(call: &Call, object: &'a Value) -> &'a str {
    if call.app.settings.tenants.is_some() { object.text("tenant") } else { "" }
}

fn facts(call: &Call, object: &Value, kind: Kind) -> Markup {
    let rest: Vec<(&String, &Value)> = object
        .as_object()
        .map(|fields| {
            fields.iter().filter(|(name, value)| !ELSEWHERE.contains(&name.as_str()) && !value.is_null()).collect()
        })
        .unwrap_or_default();
    html! {
        section.panel aria-label="How it stands" {
            h2 { "How it stands" }
            dl.facts {
                @if kind == CASE { dt { "Stage" } dd { strong { (object.some("stage").unwrap_or("–")) } } }
                dt { "Priority" } dd { (objects::priority(object)) }
                dt { "Risk score" } dd { (object.full("risk_score").map_or_else(|| "–".to_owned(), text::plain)) }
                @if kind == CASE {
                    dt { "Assignee" } dd { (object.some("assignee").unwrap_or("nobody")) }
                    dt { "Queue" } dd { (object.some("queue").unwrap_or("–")) }
                }
                @if kind == ALERT { @if let Some(case) = object.some("case_id") {
                    dt { "Case" } dd { a href=(link::object(call, "case", case, object.text("tenant"))) { bdi { (case) } } }
                } }
                @if let Some(description) = object.some("description") { dt { "Description" } dd { (description) } }
                @for (name, value) in rest { dt { (parts::words(name)) } dd { (text::plain(value)) } }
                @if let Some(address) = object.some("link") { dt { "Link" } dd { (outward(address)) } }
                dt { "Source" } dd { (object.text("source")) }
                dt { "First seen" } dd { (parts::time(object.text("first_seen_at"))) }
                dt { "Tenant" } dd { (object.text("tenant")) }
            }
        }
    }
}

/// A link that an event brought: followed only when it leads to the web, and told nothing about where it came from.
fn outward(address: &str) -> Markup {
    let web = ["https://", "http://"]
        .iter()
        .any(|scheme| address.get(..scheme.len()).is_some_and(|a| a.eq_ignore_ascii_case(scheme)));
    html! {
        @if web { a href=(address) rel="noopener noreferrer nofollow" referrerpolicy="no-referrer" { (address) } }
        @else { code { (address) } }
    }
}

fn detections(object: &Value) -> Markup {
    let all = object.list("detections");
    html! {
        @if !all.is_empty() {
            section.panel.flush aria-labelledby="detections" {
                h2 id="detections" { "Detections" }
                div.scroll { table {
                    thead { tr { th scope="col" { "Id" } th scope="col" { "Type" } th scope="col" { "Use case" } th scope="col" { "Rules" } th scope="col" { "Description" } th scope="col" { "Logged about" } } }
                    tbody { @for one in all { tr {
                        td { (one.full("id").map(text::plain).unwrap_or_default()) }
                        td { (one.text("type")) } td.wide { (one.text("use_case")) }
                        td.wide { (one.full("rules").map(text::plain).unwrap_or_default()) }
                        td.wide { (one.text("description")) } td { (parts::time(one.text("approx_log_time"))) }
                    } } }
                } }
            }
        }
    }
}

fn happened(call: &Call, kind: Kind, id: &str, tenant: &str, history: &Value) -> Markup {
    let page = link::path(&[kind.page.trim_start_matches('/'), id]);
    let tenant = if call.app.settings.tenants.is_some() { tenant } else { "" };
    html! {
        section.panel.flush aria-labelledby="history" {
            h2 id="history" { "History" }
            div.scroll { table {
                thead { tr { th scope="col" { "Time" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "Event" } } }
                tbody { @for moment in history.list("items") { tr {
                    td { (parts::time(moment.text("time"))) }
                    td.wide { (moment.text("actor")) }
                    td.wide { (what(moment)) }
                    td { a.mono href=(link::event(moment.text("event_id"))) { (moment.text("event_id")) } }
                } } }
            } }
            @if let Some(cursor) = history.some("next_cursor") {
                nav.paging aria-label="Pages of the history" {
                    a.button rel="next" href=(link::with(&page, &[("tenant", tenant), ("cursor", cursor)])) { "Older" }
                }
            }
        }
    }
}

fn what(moment: &Value) -> Markup {
    html! {
        @if moment.flag("gone") {
            span.muted { "no longer kept" }
        } @else {
            strong { (moment.text("type")) }
            @if let Some(comment) = moment.some("comment") { div { (comment) } }
            @for change in moment.list("changes") { div { (change.text("text")) (new_values(moment, change)) } }
            @for run in moment.list("runs") { @let run = run.as_str().unwrap_or_default(); div { "started " a.mono href=(link::run(run)) { (run) } } }
            @for warning in moment.list("warnings") { div.warn { (warning.as_str().unwrap_or_default()) } }
        }
    }
}

/// What the changed fields are now, where the change names only the fields.
fn new_values(moment: &Value, change: &Value) -> Markup {
    let fields = moment.full("fields");
    let value = |name: &Value| fields.and_then(|fields| fields.get(name.as_str()?));
    let named: Vec<String> = change
        .list("changed")
        .iter()
        .filter_map(|name| Some(format!("{} = {}", name.as_str()?, text::plain(value(name)?))))
        .collect();
    html! { @if !named.is_empty() { span.muted { " (" (named.join("; ")) ")" } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_an_event_is_followed_only_to_the_web() {
        assert!(outward("https://xdr.example.com/case/1").into_string().contains("<a href=\"https://"));
        for bad in ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "//evil.example", "JaVaScRiPt:x"]
        {
            assert!(!outward(bad).into_string().contains("<a "), "{bad}");
        }
        assert!(!outward("https://x\" onclick=\"y").into_string().contains("\" onclick"));
    }
}
