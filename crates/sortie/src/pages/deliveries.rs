//! `/deliveries`: what was sent to whom, with every try, and the button that sends again.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{flow, link, parts, runs};
use crate::http::route::{Answer, Call, Verb};

const KEYS: &[&str] = &["status", "destination", "playbook", "alert", "case", "tenant", "since", "until"];
const STATUSES: &[(&str, &str)] = &[
    ("", "All"),
    ("failed", "Failed"),
    ("queued,retrying", "On their way"),
    ("delivered", "Delivered"),
    ("suppressed", "Not sent"),
];
const NAMES: &[(&str, &str)] = &[
    ("destination", "destination"),
    ("playbook", "playbook"),
    ("alert", "alert"),
    ("case", "case"),
    ("tenant", "tenant"),
    ("since", "since"),
    ("until", "until"),
];
/// What can just have been done.
const DONE: &[(&str, &str)] = &[("sent", "It was sent again, with the same webhook-id. How it went stands below.")];

/// `GET /deliveries`
pub(crate) async fn list(call: Call) -> Answer {
    let listing = Ask::get("/v1/deliveries", &[]).with_query_of(&call).ask(&call).await?;
    let first = call.query.get("cursor").is_none();
    let content = html! {
        div.head { div.grow { h1 { "Deliveries" } p.sub { "One payload for one destination each, those of the newest run in front." } } }
        (parts::chips(&call, "/deliveries", KEYS, "status", "Status", STATUSES))
        (parts::narrowed(&call, "/deliveries", KEYS, NAMES))
        div.panel.flush id="deliveries" data-live[first] {
            (table(&call, listing.list("items"), &parts::empty("No delivery is here", &html! { "Deliveries are made by steps that send to destinations." })))
            (parts::paging(&call, "/deliveries", KEYS, &listing))
        }
    };
    layout::page(&call, Section::Deliveries, "Deliveries", &content)
}

/// Deliveries as a table.
pub(super) fn table(call: &Call, items: &[Value], empty: &Markup) -> Markup {
    html! {
        @if items.is_empty() { (empty) } @else {
            div.scroll { table {
                thead { tr {
                    th scope="col" { "Status" } th scope="col" { "Destination" } th scope="col" { "About" } th scope="col" { "Playbook" }
                    th.num scope="col" { "Tries" } th.num scope="col" { "HTTP" } th scope="col" { "Last try" } th scope="col" { "Delivery" }
                } }
                tbody { @for item in items { (row(call, item)) } }
            } }
        }
    }
}

fn row(call: &Call, item: &Value) -> Markup {
    let id = item.text("delivery_id");
    html! {
        tr {
            td { (parts::badge(item.text("status"))) @if let Some(reason) = item.some("reason") { div.muted { (parts::words(reason)) } } }
            td.wide { a href=(link::path(&["destinations", item.text("destination")])) { (item.text("destination")) } }
            td.wide { (runs::about(call, item)) }
            td.wide { a href=(link::run(item.text("run_id"))) { (item.text("playbook")) } }
            td.num { (item.number("attempts").unwrap_or(0)) }
            td.num { @if let Some(status) = item.number("http_status") { (status) } @else { "–" } }
            td { (parts::time(item.text("last_at"))) }
            td { a.mono href=(link::path(&["deliveries", id])) { (id) } }
        }
    }
}

/// `GET /deliveries/{id}`
pub(crate) async fn show(call: Call) -> Answer {
    let id = call.segment(0).to_owned();
    let delivery = Ask::get("/v1/deliveries/{id}", &[&id]).ask(&call).await?;
    let again = delivery.text("status") == "failed" && inside::may(&call, Verb::Post, "/v1/deliveries/{id}/redeliver");
    let content = html! {
        (parts::done(&call, DONE))
        div.head {
            div.grow {
                h1 { "To " (delivery.text("destination")) " " (parts::badge(delivery.text("status"))) }
                p.sub { "Delivery " code { (id) } }
            }
            div.actions { @if again { (parts::button(&call, &link::path(&["deliveries", &id, "again"]), "Send again", "primary", None)) } }
        }
        section.panel aria-label="About the delivery" {
            dl.facts {
                dt { "About" } dd { (runs::about(&call, &delivery)) }
                dt { "Run" } dd { a href=(link::run(delivery.text("run_id"))) { (delivery.text("playbook")) } ", step " (delivery.text("step")) }
                dt { "Destination" } dd { a href=(link::path(&["destinations", delivery.text("destination")])) { (delivery.text("destination")) } }
                dt { "webhook-id" } dd { code { (delivery.text("webhook_id")) } }
                @if let Some(reason) = delivery.some("reason") { dt { "Not sent because" } dd { (parts::words(reason)) } }
                @if let Some(next) = delivery.some("next_at") { dt { "Tried again" } dd { (parts::time(next)) } }
            }
        }
        section.panel aria-label="What happened" {
            @if delivery.list("tries").is_empty() { p.muted { "No try is kept: it was not sent, or retention has dropped the history of its run." } }
            (flow::attempts(delivery.list("tries")))
            (parts::data("What the step was to send", delivery.full("input")))
        }
    };
    layout::page(&call, Section::Deliveries, "Delivery", &content)
}

/// `POST /deliveries/{id}/again`
pub(crate) async fn again(call: Call, _form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    Ask::post("/v1/deliveries/{id}/redeliver", &[&id], json!({})).ask(&call).await?;
    Ok(layout::see_other(&link::with(&link::path(&["deliveries", &id]), &[("done", "sent")])))
}
