//! `/destinations`: the places that receive threat details, how they stand, and the test.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{deliveries, destination_form, json as text, link, parts};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// Deliveries on the page of a destination.
const DELIVERIES: &str = "20";
/// What can just have been done.
const DONE: &[(&str, &str)] = &[
    ("on", "It is switched on."),
    ("off", "It is switched off. Deliveries to it are noted as not sent; everything else of it stays."),
    ("made", "It is saved and in force. Send a test to see whether it answers."),
    ("changed", "The changes are in force."),
    ("same", "Nothing was different, so nothing was changed."),
    ("deleted", "It is deleted."),
];
/// The form of a new one.
const ADD: &str = "/destinations/_new";

/// `GET /destinations`
pub(crate) async fn list(call: Call) -> Answer {
    let listing = Ask::get("/v1/destinations", &[]).with_query_of(&call).ask(&call).await?;
    let content = html! {
        (parts::done(&call, DONE))
        div.head {
            div.grow { h1 { "Destinations" } p.sub { "The places that receive threat details. Addresses and secrets are never shown whole." } }
            div.actions { @if inside::may(&call, Verb::Get, ADD) { a.button.primary href=(ADD) { "New destination" } } }
        }
        div.panel.flush id="destinations" data-live {
            (table(&call, listing.list("items")))
            (parts::paging(&call, "/destinations", &[], &listing))
        }
    };
    layout::page(&call, Section::Destinations, "Destinations", &content)
}

/// On, off, or resting after too many failures.
fn state(item: &Value) -> Markup {
    let breaker = item.full("breaker").map_or("", |breaker| breaker.text("state"));
    html! {
        @if item.flag("enabled") { (parts::badge("on")) } @else { (parts::badge("off")) }
        @if breaker == "open" { " " span.badge.bad { "✕ resting after failures" } }
        @if breaker == "half_open" { " " span.badge.warn { "! being tried" } }
    }
}

fn table(call: &Call, items: &[Value]) -> Markup {
    if items.is_empty() {
        let help = html! {
            @if inside::may(call, Verb::Get, ADD) { a href=(ADD) { "Make one here" } ", or write it into " } @else { "They stand in " }
            code { "destinations.yaml" } ". Playbooks send to them by name."
        };
        return parts::empty("There are no destinations yet", &help);
    }
    html! {
        div.scroll { table {
            thead { tr { th scope="col" { "State" } th scope="col" { "Destination" } th scope="col" { "Kind" } th scope="col" { "Address" } th scope="col" { "Receives" } th scope="col" { "Deliveries" } } }
            tbody { @for item in items { @let id = item.text("id"); tr {
                td { (state(item)) }
                td.wide { a href=(link::path(&["destinations", id])) { (id) } }
                td { (item.text("kind")) }
                td.wide { code { (item.text("url")) } }
                td.wide { (receives(item)) }
                td { a href=(link::with("/deliveries", &[("destination", id)])) { "all" } " · " a href=(link::with("/deliveries", &[("destination", id), ("status", "failed")])) { "failed" } }
            } } }
        } }
    }
}

fn receives(item: &Value) -> String {
    let mut words = Vec::new();
    if let Some(floor) = item.some("min_severity") {
        words.push(format!("{floor} and above"));
    }
    if let Some(kinds) = item.full("kinds") {
        words.push(text::plain(kinds));
    }
    if let Some(tenants) = item.full("tenants") {
        words.push(format!("tenants {}", text::plain(tenants)));
    }
    if words.is_empty() { "everything".to_owned() } else { words.join("; ") }
}

/// `GET /destinations/{id}`
pub(crate) async fn show(call: Call) -> Answer {
    page(&call, None).await
}

async fn page(call: &Call, tested: Option<&Value>) -> Answer {
    let id = call.segment(0).to_owned();
    let destination = Ask::get("/v1/destinations/{id}", &[&id]).ask(call).await?;
    let sent = Ask::get("/v1/deliveries", &[]).with("destination", &id).with("limit", DELIVERIES).list(call).await?;
    let made = destination.text("origin") != "file";
    let content = html! {
        (parts::done(call, DONE))
        @if let Some(tested) = tested { (destination_form::outcome(tested)) }
        (head(call, &id, &destination))
        (resting(&destination))
        section.panel aria-label="About the destination" { (facts(&destination)) }
        section.panel.flush aria-labelledby="sent" id="sent-list" data-live {
            h2 id="sent" { "Last deliveries" }
            (deliveries::table(call, sent.list("items"), &parts::empty("Nothing was sent here yet", &html! { "Send a test, or a case by hand." })))
        }
        @if sent.list("items").iter().any(|one| one.text("status") == "failed") { (deliveries::again_form(call, &[("destination", &id)])) }
        @if made { (destination_form::delete_form(call, &id)) }
    };
    layout::page(call, Section::Destinations, &id, &content)
}

/// Said about a destination that rests after too many failures.
fn resting(destination: &Value) -> Markup {
    let breaker = destination.full("breaker");
    html! {
        @if let Some(until) = breaker.and_then(|breaker| breaker.some("open_until")) {
            div.note.warn { p { strong { "It rests" } " after " (breaker.and_then(|breaker| breaker.number("failures")).unwrap_or(0)) " failures in a row; the next try is " (parts::time(until)) ". What is to be sent waits. A test that is received ends the rest at once." } }
        }
    }
}

fn head(call: &Call, id: &str, destination: &Value) -> Markup {
    let on = destination.flag("enabled");
    let path = if on { "/v1/destinations/{id}/disable" } else { "/v1/destinations/{id}/enable" };
    html! {
        div.head {
            div.grow { h1 { (id) " " (state(destination)) } p.sub { (destination.text("kind")) " at " code { (destination.text("url")) } } }
            div.actions {
                @if inside::may(call, Verb::Post, "/v1/destinations/{id}/test") {
                    (parts::button(call, &link::path(&["destinations", id, "test"]), "Send a test", "primary", None))
                    @if ["login", "oauth2"].iter().any(|way| destination.text("auth").starts_with(way)) {
                        (parts::button(call, &link::path(&["destinations", id, "validate"]), "Check the login", "", None))
                    }
                }
                @if destination.text("origin") != "file" && inside::may(call, Verb::Patch, "/v1/destinations/{id}") {
                    a.button href=(link::path(&["destinations", id, "edit"])) { "Change" }
                }
                @if inside::may(call, Verb::Post, path) {
                    form.inline method="post" action=(link::path(&["destinations", id, "switch"])) {
                        (parts::word(call))
                        input type="hidden" name="to" value=(if on { "off" } else { "on" });
                        button type="submit" class=[on.then_some("danger")] { @if on { "Switch off" } @else { "Switch on" } }
                    }
                }
            }
        }
    }
}

fn facts(destination: &Value) -> Markup {
    let breaker = destination.full("breaker");
    html! {
        dl.facts {
            dt { "Authentication" } dd { (destination.some("auth").unwrap_or("none")) }
            dt { "Signature" } dd { (destination.some("sign").map_or_else(|| "none".to_owned(), parts::words)) }
            dt { "Receives" } dd { (receives(destination)) }
            @if let Some(seconds) = destination.number("dedupe_seconds") { dt { "Silent for the same entity" } dd { (parts::took(seconds.saturating_mul(1_000))) } }
            @if let Some(millis) = destination.number("timeout_ms") { dt { "Waits for an answer" } dd { (parts::took(millis)) } }
            @if let Some(max) = destination.number("retry_max") { dt { "Tries after the first" } dd { (max) } }
            @if let Some(rate) = destination.full("rate") {
                dt { "At most" } dd { (rate.number("requests").unwrap_or(0)) " in " (parts::took(rate.number("per_ms").unwrap_or(0))) }
            }
            @if let Some(open) = breaker.and_then(|breaker| breaker.some("open_until")) { dt { "Rests until" } dd { (parts::time(open)) } }
            @if let Some(failures) = breaker.and_then(|breaker| breaker.number("failures")).filter(|n| *n > 0) { dt { "Failures in a row" } dd { (failures) } }
            dt { "Times are written as" } dd { (destination.text("time_format")) }
            dt { "Kept in" } dd { @if destination.text("origin") == "file" { code { "destinations.yaml" } ", and changed there; the switch is here" } @else { "the store, encrypted: made here or through the API" } }
        }
    }
}

/// `POST /destinations/{id}/test`: the page again, with how it went.
pub(crate) async fn test(call: Call, _form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    let tested = Ask::post("/v1/destinations/{id}/test", &[&id], json!({})).ask(&call).await?;
    page(&call, Some(&tested)).await
}

/// `POST /destinations/{id}/validate`: the page again, with whether the login yields a token.
pub(crate) async fn validate(call: Call, _form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    let looked = Ask::post("/v1/destinations/{id}/validate", &[&id], json!({})).ask(&call).await?;
    page(&call, Some(&looked)).await
}

/// `POST /destinations/{id}/switch`
pub(crate) async fn switch(call: Call, form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    let (path, word) = match form.get("to") {
        "on" => ("/v1/destinations/{id}/enable", "on"),
        "off" => ("/v1/destinations/{id}/disable", "off"),
        _ => return Err(Problem::bad("invalid_form", "`to` is `on` or `off`")),
    };
    Ask::post(path, &[&id], json!({})).ask(&call).await?;
    Ok(layout::see_other(&link::with(&link::path(&["destinations", &id]), &[("done", word)])))
}
