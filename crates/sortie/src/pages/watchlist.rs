//! `/watchlist`: entities whose events raise the priority, and entities that automation leaves alone for a while.

use std::time::Duration;

use maud::{Markup, html};
use model::record::ENTITY_KINDS;
use model::{Time, period};
use serde_json::{Value, json};

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{link, parts};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// Priorities to choose from.
const PRIORITIES: &[(&str, &str)] = &[
    ("", "that of the configuration"),
    ("critical", "critical"),
    ("high", "high"),
    ("medium", "medium"),
    ("low", "low"),
];
/// How long an entity can be muted, to choose from.
const LENGTHS: &[(&str, &str)] =
    &[("1h", "an hour"), ("8h", "8 hours"), ("1d", "a day"), ("7d", "7 days"), ("30d", "30 days")];
/// What can just have been done.
const DONE: &[(&str, &str)] = &[
    ("added", "It is watched from now on: what arrives about it is raised."),
    ("removed", "It is no longer watched."),
    ("muted", "Playbooks leave it alone until then. What arrives is kept and decided as skipped."),
    ("unmuted", "The mute has ended."),
];

/// `GET /watchlist`
pub(crate) async fn show(call: Call) -> Answer {
    let watched = Ask::get("/v1/watchlist", &[]).with_query_of(&call).ask(&call).await?;
    let mutes = Ask::get("/v1/mutes", &[]).with_query_of(&call).ask(&call).await?;
    let content = html! {
        (parts::done(&call, DONE))
        div.head { div.grow { h1 { "Watchlist and mutes" } p.sub { "Who is looked at more closely, and who is left alone for a while." } } }
        section.panel.flush aria-labelledby="watched" { h2 id="watched" { "Watched" } (watched_table(&call, watched.list("items"))) }
        @if inside::may(&call, Verb::Post, "/v1/watchlist") { (add_form(&call)) }
        section.panel.flush aria-labelledby="muted" id="mutes" data-live { h2 id="muted" { "Muted" } (mutes_table(&call, mutes.list("items"))) }
        @if inside::may(&call, Verb::Post, "/v1/entities/{kind}/{id}/mute") { (mute_form(&call)) }
    };
    layout::page(&call, Section::Watchlist, "Watchlist", &content)
}

fn several(call: &Call) -> bool {
    call.app.settings.tenants.is_some() && call.caller.tenant.is_none()
}

fn watched_table(call: &Call, items: &[Value]) -> Markup {
    let may = inside::may(call, Verb::Delete, "/v1/watchlist/{kind}/{id}");
    html! {
        @if items.is_empty() {
            (parts::empty("Nobody is watched", &html! { "Add an account, a host or an address below: alerts and cases about it get a higher priority." }))
        } @else {
            div.scroll { table {
                thead { tr { th scope="col" { "Entity" } th scope="col" { "Reason" } th scope="col" { "Priority at least" } @if several(call) { th scope="col" { "Tenant" } } th scope="col" { "Added" } @if may { th scope="col" { span.hidden { "What you can do" } } } } }
                tbody { @for item in items { tr {
                    td.wide { (item.text("kind")) " " strong { bdi { (item.text("id")) } } }
                    td.wide { (item.some("reason").unwrap_or("–")) }
                    td { @if let Some(priority) = item.some("priority") { (parts::badge(priority)) } @else { span.muted { "as configured" } } }
                    @if several(call) { td { (item.some("tenant").unwrap_or("all")) } }
                    td { @if item.text("from") == "file" { "in " code { "sortie.yaml" } } @else { (parts::time(item.text("added_at"))) " by " (item.text("added_by")) } }
                    @if may { td { @if item.text("from") != "file" { (entity_button(call, "/watchlist/remove", item, "Remove")) } } }
                } } }
            } }
        }
    }
}

/// A form that is one button about one entity.
fn entity_button(call: &Call, action: &str, item: &Value, label: &str) -> Markup {
    html! {
        form.inline method="post" action=(action) {
            (parts::word(call))
            @for key in ["kind", "id", "tenant"] { input type="hidden" name=(key) value=(item.text(key)); }
            button type="submit" aria-label={ (label) ": " (item.text("kind")) " " (item.text("id")) } { (label) }
        }
    }
}

/// Which entity is meant.
fn entity_fields(call: &Call) -> Markup {
    let kinds: Vec<(&str, &str)> = ENTITY_KINDS.iter().map(|kind| (*kind, *kind)).collect();
    html! {
        label { "Kind" (parts::select("kind", "user", &kinds)) }
        label { "Name or address" input type="text" name="id" required maxlength="512" autocomplete="off" spellcheck="false"; }
        @if several(call) { label { "Tenant" input type="text" name="tenant" autocomplete="off"; } }
    }
}

fn add_form(call: &Call) -> Markup {
    html! {
        section.panel aria-labelledby="add" {
            h2 id="add" { "Watch somebody" }
            form.sheet method="post" action="/watchlist" {
                (parts::word(call))
                div.fields {
                    (entity_fields(call))
                    label { "Priority at least" (parts::select("priority", "", PRIORITIES)) }
                    label.whole { "Reason, for those who come after you" input type="text" name="reason" maxlength="500" autocomplete="off"; }
                }
                div.buttons { button.primary type="submit" { "Add to the watchlist" } }
            }
        }
    }
}

fn mutes_table(call: &Call, items: &[Value]) -> Markup {
    let may = inside::may(call, Verb::Post, "/v1/entities/{kind}/{id}/unmute");
    html! {
        @if items.is_empty() {
            (parts::empty("Nobody is muted", &html! { "Mute a host during maintenance: decisions about it are skipped, with your reason." }))
        } @else {
            div.scroll { table {
                thead { tr { th scope="col" { "Entity" } th scope="col" { "Until" } th scope="col" { "Reason" } th scope="col" { "By" } @if several(call) { th scope="col" { "Tenant" } } @if may { th scope="col" { span.hidden { "What you can do" } } } } }
                tbody { @for item in items { tr {
                    td.wide { (item.text("kind")) " " strong { bdi { (item.text("id")) } } }
                    td { (parts::time(item.text("until"))) }
                    td.wide { (item.text("reason")) }
                    td { (item.text("by")) ", " (parts::time(item.text("since"))) }
                    @if several(call) { td { (item.text("tenant")) } }
                    @if may { td { (entity_button(call, "/mutes/end", item, "Unmute")) } }
                } } }
            } }
        }
    }
}

fn mute_form(call: &Call) -> Markup {
    html! {
        section.panel aria-labelledby="mute" {
            h2 id="mute" { "Leave somebody alone for a while" }
            form.sheet method="post" action="/mutes" {
                (parts::word(call))
                div.fields {
                    (entity_fields(call))
                    label { "For" (parts::select("for", "8h", LENGTHS)) }
                    label { "Or until (UTC)" input type="text" name="until" placeholder="2026-12-01T08:00:00Z" autocomplete="off"; }
                    label.whole { "Reason, which every skipped decision names" input type="text" name="reason" required maxlength="500" autocomplete="off"; }
                }
                div.buttons { button.primary type="submit" { "Mute" } }
            }
        }
    }
}

fn back(word: &str) -> Answer {
    Ok(layout::see_other(&link::with("/watchlist", &[("done", word)])))
}

/// A field that is left out when it is empty.
fn given(form: &Form, name: &str) -> Option<String> {
    let text = form.get(name).trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// `POST /watchlist`
pub(crate) async fn add(call: Call, form: Form) -> Answer {
    let body = json!({
        "kind": form.get("kind"), "id": form.get("id").trim(), "reason": form.get("reason").trim(),
        "priority": given(&form, "priority"), "tenant": given(&form, "tenant"),
    });
    Ask::post("/v1/watchlist", &[], body).ask(&call).await?;
    back("added")
}

/// `POST /watchlist/remove`
pub(crate) async fn remove(call: Call, form: Form) -> Answer {
    let segments = [form.get("kind"), form.get("id")];
    Ask::delete("/v1/watchlist/{kind}/{id}", &segments).with("tenant", form.get("tenant")).ask(&call).await?;
    back("removed")
}

/// `POST /mutes`
pub(crate) async fn mute(call: Call, form: Form) -> Answer {
    let until = match given(&form, "until") {
        Some(until) => until,
        None => after(call.app.engine.store().now(), form.get("for"))?.to_string(),
    };
    let segments = [form.get("kind"), form.get("id").trim()];
    let body = json!({ "until": until, "reason": form.get("reason") });
    let ask = Ask::post("/v1/entities/{kind}/{id}/mute", &segments, body);
    ask.with("tenant", form.get("tenant").trim()).ask(&call).await?;
    back("muted")
}

fn after(now: Time, length: &str) -> Result<Time, Problem> {
    let length: Duration = period::parse(length).map_err(|error| Problem::bad("invalid_form", error.to_string()))?;
    Ok(now.plus(length))
}

/// `POST /mutes/end`
pub(crate) async fn unmute(call: Call, form: Form) -> Answer {
    let segments = [form.get("kind"), form.get("id")];
    let ask = Ask::post("/v1/entities/{kind}/{id}/unmute", &segments, json!({}));
    ask.with("tenant", form.get("tenant")).ask(&call).await?;
    back("unmuted")
}
