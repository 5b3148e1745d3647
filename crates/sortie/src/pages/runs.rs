//! `/runs`: what the playbooks did.

use maud::{Markup, html};
use serde_json::Value;

use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{link, parts};
use crate::http::route::{Answer, Call};

/// Keys of the query that links keep.
const KEYS: &[&str] = &["status", "playbook", "alert", "case", "event", "destination", "tenant", "since", "until"];
/// Statuses to choose from.
const STATUSES: &[(&str, &str)] = &[
    ("", "All"),
    ("failed,timed_out,needs_attention", "Went wrong"),
    ("needs_attention", "Needs attention"),
    ("queued,running,waiting", "At work"),
    ("succeeded", "Succeeded"),
    ("succeeded_with_warnings", "With warnings"),
    ("cancelled", "Cancelled"),
];
/// What the list can be narrowed to.
const NAMES: &[(&str, &str)] = &[
    ("playbook", "playbook"),
    ("alert", "alert"),
    ("case", "case"),
    ("event", "event"),
    ("destination", "destination"),
    ("tenant", "tenant"),
    ("since", "since"),
    ("until", "until"),
];

/// `GET /runs`
pub(crate) async fn list(call: Call) -> Answer {
    if let Some(table) = inside::table(&call, "/v1/runs").await? {
        return Ok(table);
    }
    let listing = Ask::get("/v1/runs", &[]).with_query_of(&call).list(&call).await?;
    let first = call.query.get("cursor").is_none();
    let content = html! {
        div.head {
            div.grow { h1 { "Runs" } p.sub { "Each run is one execution of a playbook, newest first." } }
        }
        (search(&call))
        (parts::chips(&call, "/runs", KEYS, "status", "Status", STATUSES))
        (parts::narrowed(&call, "/runs", KEYS, NAMES))
        div.panel.flush id="runs" data-live[first] {
            @if !parts::goes_on(&listing) { (table(&call, listing.list("items"), &empty(&call))) }
            (parts::paging(&call, "/runs", KEYS, &listing))
        }
    };
    layout::page(&call, Section::Runs, "Runs", &content)
}

/// A form that goes to the runs of one case, alert or playbook.
fn search(call: &Call) -> Markup {
    let now = |key: &str| call.query.get(key).unwrap_or_default().to_owned();
    let box_of = |key: &str, label: &str| {
        html! { label { (label) input type="text" name=(key) value=(now(key)) autocomplete="off"; } }
    };
    html! {
        form.search method="get" action="/runs" role="search" aria-label="Find runs" {
            label { "Case" input type="search" name="case" value=(now("case")) autocomplete="off"; }
            (box_of("alert", "Alert"))
            (box_of("playbook", "Playbook"))
            input type="hidden" name="status" value=(now("status"));
            button type="submit" { "Find" }
        }
    }
}

fn empty(call: &Call) -> Markup {
    let narrowed = KEYS.iter().any(|key| call.query.get(key).is_some());
    html! {
        @if narrowed {
            (parts::empty("No run fits these filters", &html! {
                "If you expected one, look at the " a href="/events" { "event" } ": it says which playbook decided what, and why."
            }))
        } @else {
            (parts::empty("No playbook has run yet", &html! {
                "A run starts when an event fits a playbook's trigger and conditions. See what " a href="/events" { "arrived" } "."
            }))
        }
    }
}

/// Runs as a table; also used where a page shows the last runs of something.
pub(super) fn table(call: &Call, runs: &[Value], empty: &Markup) -> Markup {
    html! {
        @if runs.is_empty() {
            (empty)
        } @else {
            div.scroll {
                table {
                    thead { tr {
                        th scope="col" { "Status" } th scope="col" { "Playbook" } th scope="col" { "About" }
                        th scope="col" { "Created" } th.num scope="col" { "Took" }
                        th scope="col" { "Run" }
                    } }
                    tbody { @for run in runs { (row(call, run)) } }
                }
            }
        }
    }
}

fn row(call: &Call, run: &Value) -> Markup {
    let id = run.text("run_id");
    html! {
        tr {
            td { (parts::badge(run.text("status"))) }
            td.wide {
                a href=(link::run(id)) { (run.text("playbook")) }
                div.muted { (run.text("trigger")) @if let Some(reason) = run.some("reason") { ": " (reason) } }
            }
            td.wide { (about(call, run)) }
            td { (parts::time(run.text("created_at"))) }
            td.num { @if let Some(millis) = run.number("duration_ms") { (parts::took(millis)) } @else { "–" } }
            td { a.mono href=(link::run(id)) { (id) } }
        }
    }
}

/// What a run or a delivery is about, as links.
pub(super) fn about(call: &Call, item: &Value) -> Markup {
    let tenant = item.text("tenant");
    html! {
        @if let Some(case) = item.some("case_id") {
            a href=(link::object(call, "case", case, tenant)) { "case " bdi { (case) } }
        }
        @if item.some("case_id").is_some() && item.some("alert_id").is_some() { br; }
        @if let Some(alert) = item.some("alert_id") {
            a href=(link::object(call, "alert", alert, tenant)) { "alert " bdi { (alert) } }
        }
        @if item.some("case_id").is_none() && item.some("alert_id").is_none() { span.muted { "–" } }
    }
}
