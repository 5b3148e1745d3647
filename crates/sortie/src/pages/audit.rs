//! `/audit`: who did, changed or was refused what.

use maud::{Markup, html};
use serde_json::Value;

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{json, link, parts};
use crate::http::route::{Answer, Call};

const KEYS: &[&str] = &["actor", "action", "object", "tenant", "since", "until"];
const NAMES: &[(&str, &str)] =
    &[("actor", "by"), ("object", "about"), ("tenant", "tenant"), ("since", "since"), ("until", "until")];
const ACTIONS: &[(&str, &str)] = &[
    ("", "All"),
    ("refused", "Refused"),
    ("setting.changed", "Settings"),
    ("playbooks.loaded", "Playbooks loaded"),
    ("signed_in", "Signed in"),
    ("event.accepted", "Events"),
    ("run.progressed", "Runs"),
    ("server", "Server"),
];

/// Kinds of actors to choose from.
const ACTORS: &[(&str, &str)] = &[
    ("", "All"),
    ("user:*", "People"),
    ("token:*", "Tokens"),
    ("automation:*", "Playbooks"),
    ("source:*", "Sources"),
    ("system", "The server"),
];

/// `GET /audit`
pub(crate) async fn list(call: Call) -> Answer {
    if let Some(table) = inside::table(&call, "/v1/audit").await? {
        return Ok(table);
    }
    let listing = Ask::get("/v1/audit", &[]).with_query_of(&call).list(&call).await?;
    let content = html! {
        div.head {
            div.grow { h1 { "Audit" } p.sub { "Every entry of the history, newest first: who did, changed or was refused what." } }
            div.actions {
                @if call.caller.tenant.is_none() { form.inline method="post" action="/audit/verify" {
                    (parts::word(&call))
                    button.primary type="submit" data-busy="Verifying every entry…" { "Verify now" }
                } }
            }
        }
        (export_form())
        (search(&call))
        (parts::chips(&call, "/audit", KEYS, "actor", "Who", ACTORS))
        (parts::chips(&call, "/audit", KEYS, "action", "What", ACTIONS))
        (parts::narrowed(&call, "/audit", KEYS, NAMES))
        div.panel.flush {
            @if !parts::goes_on(&listing) { (table(&call, listing.list("items"))) }
            (parts::paging(&call, "/audit", KEYS, &listing))
        }
    };
    layout::page(&call, Section::Audit, "Audit", &content)
}

/// The form that takes evidence away.
fn export_form() -> Markup {
    html! {
        section.panel aria-labelledby="export" {
            details {
                summary { strong id="export" { "Take evidence away" } ", to verify on a machine that never saw this server" }
                form.search method="get" action="/audit/export" data-download {
                    label { "About the case" input type="text" name="case" autocomplete="off"; }
                    label { "About the alert" input type="text" name="alert" autocomplete="off"; }
                    label { "Since (UTC)" input type="text" name="since" placeholder="2026-11-25T00:00:00Z" autocomplete="off"; }
                    label { "Until (UTC)" input type="text" name="until" placeholder="2026-11-26T00:00:00Z" autocomplete="off"; }
                    button type="submit" { "Download" }
                }
                p role="status" data-progress {}
                p.muted { "The bundle is checked with " code { "sortie audit verify FILE.zip" } ". Empty fields leave nothing out." }
            }
        }
    }
}

/// `POST /audit/verify`: walks the whole history and says what it found.
pub(crate) async fn verify(call: Call, _form: Form) -> Answer {
    let report = Ask::post("/v1/audit/verify", &[], serde_json::json!({})).ask(&call).await?;
    let content = html! {
        div.head { div.grow { h1 { "Verification" } p.sub { "Every entry against the ledger, and the ledger against its signed checkpoints." } } }
        (verdict(&report))
        section.panel aria-label="What was checked" { (checked(&report)) }
        (findings(&report))
        p { a.button href="/audit" { "Back to the audit trail" } }
    };
    layout::page(&call, Section::Audit, "Verification", &content)
}

fn verdict(report: &Value) -> Markup {
    html! {
        @if report.flag("ok") {
            div.note.good role="status" { p { strong { "Nothing is wrong." } " " (report.number("entries").unwrap_or(0)) " entries were checked." } }
        } @else {
            div.note.bad role="alert" { p {
                strong { "The record is not as it was written: " (report.number("findings_total").unwrap_or(0)) " findings." }
                @if let Some(first) = report.list("findings").first() { " The first: entry " (first.number("entry").map_or_else(|| "–".to_owned(), |n| n.to_string())) ", " (parts::words(first.text("kind")).to_lowercase()) ". What stands before it can be trusted." }
            } }
        }
    }
}

fn checked(report: &Value) -> Markup {
    let number = |key: &str| report.number(key).unwrap_or(0);
    html! {
        dl.facts {
            dt { "Entries" } dd { (number("entries")) ", " (number("payloads")) " with what they held, " (number("dropped")) " proved by their hashes alone" }
            dt { "Root" } dd { code { (report.text("root")) } }
            dt { "Checkpoints" } dd { (number("checkpoints")) " agree" @if let Some(time) = report.some("newest_checkpoint") { ", the newest of " (parts::time(time)) } }
            dt { "Not yet signed" } dd { (number("unsigned")) " entries after the newest checkpoint" }
            dt { "Signed by" } dd { @if let Some(key) = report.some("signer") { code { (key) } } @else { "nobody yet" } }
            dt { "Runs without an end" } dd { (number("open_runs")) }
        }
        @for remark in report.list("remarks") { p.muted { (json::plain(remark)) } }
    }
}

fn findings(report: &Value) -> Markup {
    let all = report.list("findings");
    html! {
        @if !all.is_empty() {
            section.panel aria-label="Findings" {
                h2 { "Findings" }
                div.scroll { table {
                    thead { tr { th.num scope="col" { "Entry" } th scope="col" { "Damage" } th scope="col" { "What was found" } } }
                    tbody { @for finding in all { tr {
                        td.num { @if let Some(entry) = finding.number("entry") { (entry) } @else { "–" } }
                        td { span.badge.bad { "✕ " (parts::words(finding.text("kind"))) } }
                        td.wide { (finding.text("detail")) }
                    } } }
                } }
            }
        }
    }
}

/// `GET /audit/export`: the bundle, as the API makes it.
pub(crate) async fn export(call: Call) -> Answer {
    Ask::get("/v1/audit/export", &[]).with_query_of(&call).answer(&call).await
}

fn search(call: &Call) -> Markup {
    let now = |key: &str| call.query.get(key).unwrap_or_default().to_owned();
    html! {
        form.search method="get" action="/audit" role="search" aria-label="Find entries" {
            label { "By whom" input type="search" name="actor" value=(now("actor")) placeholder="alice" autocomplete="off"; }
            label { "About" input type="text" name="object" value=(now("object")) placeholder="case:C-1" autocomplete="off"; }
            label { "Since (UTC)" input type="text" name="since" value=(now("since")) placeholder="2026-11-25T00:00:00Z" autocomplete="off"; }
            label { "Until (UTC)" input type="text" name="until" value=(now("until")) placeholder="2026-11-26T00:00:00Z" autocomplete="off"; }
            input type="hidden" name="action" value=(now("action"));
            button type="submit" { "Find" }
        }
    }
}

fn table(call: &Call, items: &[Value]) -> Markup {
    if items.is_empty() {
        return parts::empty("No entry fits", &html! { a href="/audit" { "Show all" } });
    }
    html! {
        div.scroll { table {
            thead { tr { th.num scope="col" { "Entry" } th scope="col" { "Time" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "About" } th scope="col" { "Detail" } } }
            tbody { @for group in items.chunk_by(together) { (row(call, group)) } }
        } }
    }
}

/// Whether two entries are shown in one row: what one run did, entry after entry.
fn together(a: &Value, b: &Value) -> bool {
    a.text("kind") == "run.progressed" && ["kind", "actor", "object"].iter().all(|key| a.text(key) == b.text(key))
}

fn row(call: &Call, group: &[Value]) -> Markup {
    let (Some(item), Some(first)) = (group.first(), group.last()) else { return html! {} };
    html! { tr {
        td.num { @if group.len() > 1 { (first.number("seq").unwrap_or(0)) "–" } (item.number("seq").unwrap_or(0)) }
        td { (parts::time(item.text("time"))) }
        td.wide { a href=(link::with("/audit", &[("actor", item.text("actor"))])) { (item.text("actor")) } }
        td { @if item.text("action") == "refused" { span.badge.bad { "✕ Refused" } } @else { (item.text("action")) }
            @if group.len() > 1 { div.muted { (group.len()) " entries" } } }
        td.wide { (about(call, item.text("object"))) }
        td.wide { (detail(item)) }
    } }
}

/// What an entry is about: everything that was done to it, and its own page where it has one.
fn about(call: &Call, object: &str) -> Markup {
    let page = match (object.get(..4), object.split_once(':')) {
        (Some("run-"), _) => Some(link::run(object)),
        (Some("evt-"), _) => Some(link::event(object)),
        (_, Some(("playbook", id))) => Some(link::playbook(id)),
        (_, Some(("destination", id))) => Some(link::path(&["destinations", id])),
        _ => engine::view::parse_object(object)
            .filter(|key| matches!(key.kind, model::Kind::Alert | model::Kind::Case))
            .map(|key| link::object(call, key.kind.name(), &key.id, &key.tenant)),
    };
    html! {
        @if object.is_empty() { span.muted { "–" } } @else { a href=(link::with("/audit", &[("object", object)])) { (object) } }
        @if let Some(page) = page { " · " a href=(page) aria-label={ "The page of " (object) } { "page" } }
    }
}

fn detail(item: &Value) -> Markup {
    html! {
        @if let Some(detail) = item.full("detail") {
            details { summary { (brief(detail)) } pre tabindex="0" { (json::pretty(detail)) } }
        }
    }
}

/// What a detail says in a line.
fn brief(detail: &Value) -> String {
    let said = ["detail", "what", "reason", "code", "action"].into_iter().find_map(|key| detail.some(key));
    said.unwrap_or("more").chars().take(120).collect()
}
