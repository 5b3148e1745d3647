//! `/events`: what arrived.

use maud::{Markup, html};
use serde_json::Value;

use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{link, parts};
use crate::http::route::{Answer, Call};

const KEYS: &[&str] = &["source", "type", "alert", "case", "tenant", "since", "until"];
const NAMES: &[(&str, &str)] = &[
    ("source", "source"),
    ("type", "type"),
    ("alert", "alert"),
    ("case", "case"),
    ("tenant", "tenant"),
    ("since", "since"),
    ("until", "until"),
];

/// `GET /events`
pub(crate) async fn list(call: Call) -> Answer {
    if let Some(table) = inside::table(&call, "/v1/events").await? {
        return Ok(table);
    }
    let listing = Ask::get("/v1/events", &[]).with_query_of(&call).list(&call).await?;
    let first = call.query.get("cursor").is_none();
    let content = html! {
        div.head {
            div.grow {
                h1 { "Events" }
                p.sub { "Everything that arrived, newest first. An event says which playbooks ran, which did not, and why." }
            }
        }
        (search(&call))
        (parts::narrowed(&call, "/events", KEYS, NAMES))
        div.panel.flush id="events" data-live[first] {
            @if !parts::goes_on(&listing) { (table(listing.list("items"))) }
            (parts::paging(&call, "/events", KEYS, &listing))
        }
    };
    layout::page(&call, Section::Events, "Events", &content)
}

fn search(call: &Call) -> Markup {
    let now = |key: &str| call.query.get(key).unwrap_or_default().to_owned();
    html! {
        form.search method="get" action="/events" role="search" aria-label="Find events" {
            label { "Case" input type="search" name="case" value=(now("case")) autocomplete="off"; }
            label { "Alert" input type="text" name="alert" value=(now("alert")) autocomplete="off"; }
            label { "Type" input type="text" name="type" value=(now("type")) placeholder="case.*" autocomplete="off"; }
            label { "Source" input type="text" name="source" value=(now("source")) autocomplete="off"; }
            button type="submit" { "Find" }
        }
    }
}

fn table(events: &[Value]) -> Markup {
    if events.is_empty() {
        return parts::empty(
            "No event is here",
            &html! { "Events are posted to " code { "/v1/in/SOURCE" } "; the sources stand in " code { "sortie.yaml" } "." },
        );
    }
    html! {
        div.scroll {
            table {
                thead { tr {
                    th scope="col" { "Arrived" } th scope="col" { "Type" } th scope="col" { "About" } th scope="col" { "Source" }
                    th.num scope="col" { "Changes" } th.num scope="col" { "Decisions" } th.num scope="col" { "Runs" }
                    th scope="col" { "Event" }
                } }
                tbody { @for event in events { (row(event)) } }
            }
        }
    }
}

fn row(event: &Value) -> Markup {
    let id = event.text("event_id");
    html! {
        tr {
            td { (parts::time(event.text("received_at"))) }
            td { a href=(link::event(id)) { (event.text("type")) } }
            td.wide { (event.some("about").unwrap_or("–")) }
            td { (event.text("source")) }
            td.num { (event.number("transitions").unwrap_or(0)) }
            td.num { (event.number("decisions_total").unwrap_or(0)) }
            td.num { (event.list("runs").len()) }
            td { a.mono href=(link::event(id)) { (id) } }
        }
    }
}
