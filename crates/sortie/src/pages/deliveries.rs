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
/// What narrows the deliveries that are sent again.
const CHOSEN: &[&str] = &["destination", "playbook", "alert", "case", "event", "tenant", "since", "until"];
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
    if let Some(table) = inside::table(&call, "/v1/deliveries").await? {
        return Ok(table);
    }
    let listing = Ask::get("/v1/deliveries", &[]).with_query_of(&call).list(&call).await?;
    let first = call.query.get("cursor").is_none();
    let content = html! {
        div.head { div.grow { h1 { "Deliveries" } p.sub { "One payload for one destination each, those of the newest run in front." } } }
        (parts::chips(&call, "/deliveries", KEYS, "status", "Status", STATUSES))
        (parts::narrowed(&call, "/deliveries", KEYS, NAMES))
        div.panel.flush id="deliveries" data-live[first] {
            @if !parts::goes_on(&listing) { (table(&call, listing.list("items"), &parts::empty("No delivery is here", &html! { "Deliveries are made by steps that send to destinations." }))) }
            (parts::paging(&call, "/deliveries", KEYS, &listing))
        }
        @if call.query.get("status") == Some("failed") && !listing.list("items").is_empty() {
            @let chosen: Vec<(&str, &str)> = CHOSEN.iter().filter_map(|key| Some((*key, call.query.get(key)?))).collect();
            (again_form(&call, &chosen))
        }
    };
    layout::page(&call, Section::Deliveries, "Deliveries", &content)
}

/// The form that sends all failed deliveries again that fit what was chosen, a page at a time.
pub(super) fn again_form(call: &Call, chosen: &[(&str, &str)]) -> Markup {
    html! {
        @if inside::may(call, Verb::Post, "/v1/deliveries/redeliver") {
            section.panel aria-label="Send again" {
                form.inline method="post" action="/deliveries/again" data-confirm="Send all failed deliveries of this list again?" {
                    (parts::word(call))
                    @for (key, value) in chosen { input type="hidden" name=(key) value=(value); }
                    button type="submit" { "Send all failed ones again" }
                    span.muted { "Each goes with the webhook-id that it had, so that a receiver recognises a repeat." }
                }
            }
        }
    }
}

/// `POST /deliveries/again`: sends a page of failed deliveries again and says what became of each.
pub(crate) async fn again_all(call: Call, form: Form) -> Answer {
    let mut ask = Ask::post("/v1/deliveries/redeliver", &[], json!({}));
    for key in CHOSEN.iter().chain(&["cursor"]) {
        ask = ask.with(key, form.get(key));
    }
    let told = ask.ask(&call).await?;
    let (items, taken) = (told.list("items"), told.list("items").iter().filter(|one| one.flag("ok")).count());
    let content = html! {
        div.head { div.grow { h1 { "Sent again" } p.sub { (taken) " of " (items.len()) " were taken by their receivers." } } }
        div.panel.flush {
            @if items.is_empty() { (parts::empty("Nothing was left to send again", &html! { a href="/deliveries" { "All deliveries" } })) } @else {
                div.scroll { table {
                    thead { tr { th scope="col" { "Outcome" } th scope="col" { "Destination" } th scope="col" { "What was said" } th scope="col" { "Delivery" } } }
                    tbody { @for one in items { tr {
                        td { (parts::badge(if one.flag("ok") { "delivered" } else { "failed" })) }
                        td { (one.text("destination")) }
                        td.wide { (one.some("message").unwrap_or("taken")) }
                        td { a.mono href=(link::path(&["deliveries", one.text("delivery_id")])) { (one.text("delivery_id")) } }
                    } } }
                } }
            }
        }
        @if let Some(cursor) = told.some("next_cursor") {
            form.inline method="post" action="/deliveries/again" {
                (parts::word(&call))
                @for key in CHOSEN { input type="hidden" name=(key) value=(form.get(key)); }
                input type="hidden" name="cursor" value=(cursor);
                button.primary type="submit" { "Go on with the older ones" }
            }
        }
        p { a.button href="/deliveries?status=failed" { "What has failed still" } }
    };
    layout::page(&call, Section::Deliveries, "Sent again", &content)
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
        section.panel aria-labelledby="happened" {
            h2 id="happened" { "What happened" }
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
