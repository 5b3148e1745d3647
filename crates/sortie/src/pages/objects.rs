//! `/alerts` and `/cases`: the lists.

use engine::triage::Triage;
use maud::{Markup, html};
use serde_json::Value;

use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{json, link, parts, searches};
use crate::http::route::{Answer, Call, Verb};

/// Keys of the query that links keep.
const KEYS: &[&str] =
    &["q", "search", "stage", "priority", "queue", "assignee", "tag", "sort", "tenant", "since", "until"];
/// What the list can be narrowed to.
const NAMES: &[(&str, &str)] = &[
    ("search", "saved search"),
    ("sort", "in the order of"),
    ("queue", "queue"),
    ("assignee", "assignee"),
    ("tag", "tag"),
    ("tenant", "tenant"),
    ("since", "since"),
    ("until", "until"),
];
/// Priorities to choose from.
const PRIORITIES: &[(&str, &str)] =
    &[("", "All"), ("critical", "Critical"), ("high", "High"), ("medium", "Medium"), ("low", "Low")];

/// What is different between alerts and cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// `alert` or `case`.
    pub(super) name: &'static str,
    /// The page and the folder of the API.
    pub(super) page: &'static str,
    /// The heading.
    pub(super) title: &'static str,
    /// The listing in the API.
    pub(super) list: &'static str,
    /// The object in the API.
    pub(super) one: &'static str,
    /// Its history in the API.
    pub(super) history: &'static str,
    /// Its comments in the API.
    pub(super) comments: &'static str,
    /// Sending it in the API.
    pub(super) send: &'static str,
    /// Its files in the API.
    pub(super) files: &'static str,
    /// One of them.
    pub(super) file: &'static str,
    /// Its place in the navigation.
    pub(super) section: Section,
}

/// Alerts.
pub(super) const ALERT: Kind = Kind {
    name: "alert",
    page: "/alerts",
    title: "Alerts",
    list: "/v1/alerts",
    one: "/v1/alerts/{id}",
    history: "/v1/alerts/{id}/history",
    comments: "/v1/alerts/{id}/comments",
    send: "/v1/alerts/{id}/send",
    files: "/v1/alerts/{id}/attachments",
    file: "/v1/alerts/{id}/attachments/{file}",
    section: Section::Alerts,
};

/// Cases.
pub(super) const CASE: Kind = Kind {
    name: "case",
    page: "/cases",
    title: "Cases",
    list: "/v1/cases",
    one: "/v1/cases/{id}",
    history: "/v1/cases/{id}/history",
    comments: "/v1/cases/{id}/comments",
    send: "/v1/cases/{id}/send",
    files: "/v1/cases/{id}/attachments",
    file: "/v1/cases/{id}/attachments/{file}",
    section: Section::Cases,
};

/// `GET /alerts`
pub(crate) async fn alerts(call: Call) -> Answer {
    list(call, ALERT).await
}

/// `GET /cases`
pub(crate) async fn cases(call: Call) -> Answer {
    list(call, CASE).await
}

async fn list(call: Call, kind: Kind) -> Answer {
    if let Some(table) = inside::table(&call, kind.list).await? {
        return Ok(table);
    }
    let listing = Ask::get(kind.list, &[]).with_query_of(&call).list(&call).await?;
    let first = call.query.get("cursor").is_none();
    let stages = call.app.engine.context().words.stages.clone();
    let mut choices: Vec<(&str, &str)> = vec![("", "All")];
    choices.extend(stages.iter().map(|stage| (stage.as_str(), stage.as_str())));
    let triage = call.app.engine.triage();
    let mut queues: Vec<(&str, &str)> = vec![("", "All")];
    queues.extend(triage.rules.queues.keys().map(|queue| (queue.as_str(), queue.as_str())));
    let searches = searches::section(&call, kind).await?;
    let content = html! {
        div.head { div.grow { h1 { (kind.title) } p.sub { "As they stand now, the one changed last in front." } } }
        (search(&call, kind))
        (searches)
        @if kind == CASE && queues.len() > 1 { (parts::chips(&call, kind.page, KEYS, "queue", "Queue", &queues)) }
        @if kind == CASE { (parts::chips(&call, kind.page, KEYS, "stage", "Stage", &choices)) }
        (parts::chips(&call, kind.page, KEYS, "priority", "Priority", PRIORITIES))
        (parts::narrowed(&call, kind.page, KEYS, NAMES))
        div.panel.flush id="objects" data-live[first] {
            @if !parts::goes_on(&listing) { (table(&call, kind, listing.list("items"))) }
            @if listing.get("complete").and_then(Value::as_bool) == Some(false) { p.muted { "There is more than one look takes in: narrow the search, or go on to the older ones." } }
            (parts::paging(&call, kind.page, KEYS, &listing))
        }
        @if kind == ALERT { (grouping(&triage)) }
    };
    layout::page(&call, kind.section, kind.title, &content)
}

/// How detections that arrive on their own become alerts.
fn grouping(triage: &Triage) -> Markup {
    html! {
        @if !triage.grouping.is_empty() {
            section.panel aria-labelledby="grouping" {
                details {
                    summary { strong id="grouping" { "How detections become alerts" } ", " (triage.grouping.len()) " rules of the configuration" }
                    div.scroll { table {
                        thead { tr { th scope="col" { "Rule" } th scope="col" { "By" } th scope="col" { "Within" } th scope="col" { "If" } } }
                        tbody { @for rule in &triage.grouping { tr {
                            td { (rule.name) } td { code { (rule.by) } } td { (model::period::format(rule.window)) }
                            td.wide { @if let Some(when) = &rule.when { code { (when.as_written()) } } @else { "all that have it" } }
                        } } }
                    } }
                }
            }
        }
    }
}

/// The heading of a column, which is a link to the list in its order; `falls` where the large comes first.
fn column(call: &Call, kind: Kind, field: &str, name: &str, falls: bool, number: bool) -> Markup {
    let now = call.query.get("sort").unwrap_or_default();
    let (down, up) = (format!("-{field}"), field.to_owned());
    let (next, sorted) = match (now == down, now == up) {
        (true, _) => (&up, Some("descending")),
        (_, true) => (&down, Some("ascending")),
        _ => (if falls { &down } else { &up }, None),
    };
    let pairs: Vec<(&str, &str)> = KEYS
        .iter()
        .map(|key| (*key, if *key == "sort" { next.as_str() } else { call.query.get(key).unwrap_or_default() }))
        .collect();
    let sign = match sorted {
        Some("descending") => " ↓",
        Some(_) => " ↑",
        None => "",
    };
    html! {
        th.num[number] scope="col" aria-sort=[sorted] { a href=(link::with(kind.page, &pairs)) { (name) span aria-hidden="true" { (sign) } } }
    }
}

/// Whether the listing can be searched by words and fields.
fn takes(kind: Kind, key: &str) -> bool {
    inside::route(Verb::Get, kind.list).is_some_and(|route| route.query.iter().any(|known| known.name == key))
}

fn search(call: &Call, kind: Kind) -> Markup {
    let now = |key: &str| call.query.get(key).unwrap_or_default().to_owned();
    html! {
        form.search method="get" action=(kind.page) role="search" aria-label={ "Find " (kind.title.to_lowercase()) } {
            @if takes(kind, "q") {
                label.grow { "Search: words, or fields such as priority:critical AND NOT stage:Closed"
                    input type="search" name="q" value=(now("q")) autocomplete="off"; }
            }
            @if takes(kind, "assignee") { label { "Assignee" input type="text" name="assignee" value=(now("assignee")) autocomplete="off"; } }
            label { "Tag" input type="text" name="tag" value=(now("tag")) autocomplete="off"; }
            @for key in ["stage", "priority"] { @if takes(kind, key) { input type="hidden" name=(key) value=(now(key)); } }
            button type="submit" { "Find" }
        }
    }
}

fn table(call: &Call, kind: Kind, items: &[Value]) -> Markup {
    if items.is_empty() {
        let narrowed = KEYS.iter().any(|key| call.query.get(key).is_some());
        let help = html! {
            @if narrowed { a href=(kind.page) { "Show all" } } @else { "They appear as soon as an event about one arrives." }
        };
        return parts::empty(if narrowed { "Nothing fits this search" } else { "There are none yet" }, &help);
    }
    let case = kind == CASE;
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { @if case { "Case" } @else { "Alert" } } (column(call, kind, "name", "Name", false, false)) (column(call, kind, "priority", "Priority", true, false))
                (column(call, kind, "risk_score", "Risk", true, true))
                @if case { (column(call, kind, "stage", "Stage", false, false)) (column(call, kind, "assignee", "Assignee", false, false)) (column(call, kind, "queue", "Queue", false, false)) }
                th scope="col" { "Tags" } (column(call, kind, "updated_at", "Changed", true, false))
            } }
            tbody { @for item in items { (row(call, kind, item)) } }
        } }
    }
}

fn row(call: &Call, kind: Kind, item: &Value) -> Markup {
    let id = item.text(&format!("{}_id", kind.name)).to_owned();
    html! {
        tr {
            td { a href=(link::object(call, kind.name, &id, item.text("tenant"))) { bdi { (item.some("number").unwrap_or(&id)) } } }
            td.wide { (item.some("name").unwrap_or("–")) }
            td { (priority(item)) }
            td.num { (risk(item)) }
            @if kind == CASE {
                td { (item.some("stage").unwrap_or("–")) }
                td { (item.some("assignee").unwrap_or("–")) }
                td { (item.some("queue").unwrap_or("–")) }
            }
            td.wide { (item.full("tags").map(json::plain).unwrap_or_default()) }
            td { (parts::time(item.text("updated_at"))) }
        }
    }
}

/// The priority as a badge.
pub(super) fn priority(item: &Value) -> Markup {
    html! { @if let Some(priority) = item.some("priority") { (parts::badge(priority)) } @else { "–" } }
}

fn risk(item: &Value) -> String {
    item.full("risk_score").map_or_else(|| "–".to_owned(), json::plain)
}
