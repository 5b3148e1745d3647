//! `/playbooks`: the list, in the order in which they are decided.

use maud::{Markup, html};
use serde_json::Value;

use super::inside::Ask;
use super::json::Read as _;
use super::layout::{self, Section};
use super::{json, link, parts};
use crate::http::route::{Answer, Call};

/// `GET /playbooks`
pub(crate) async fn list(call: Call) -> Answer {
    let listing = Ask::get("/v1/playbooks", &[]).with_query_of(&call).ask(&call).await?;
    let status = Ask::get("/v1/status", &[]).ask(&call).await?;
    let content = html! {
        div.head { div.grow { h1 { "Playbooks" } p.sub { "In the order in which they are decided. A playbook is a file in the folder of playbooks; its switch is here." } } }
        (broken(status.list("broken_files")))
        div.panel.flush {
            (table(listing.list("items")))
            (parts::paging(&call, "/playbooks", &[], &listing))
        }
    };
    layout::page(&call, Section::Playbooks, "Playbooks", &content)
}

/// Files that are not loaded as they stand, with what is wrong and what to do.
fn broken(files: &[Value]) -> Markup {
    html! {
        @if !files.is_empty() {
            section.panel.flush aria-labelledby="broken" {
                h2 id="broken" { span.bad { "✕" } " Files that are broken" }
                p.muted { "Nothing of them is loaded before they are right. Where a text was good before, that one stays in force." }
                div.scroll { table {
                    thead { tr { th scope="col" { "Place" } th scope="col" { "What is wrong" } th scope="col" { "What holds" } } }
                    tbody { @for file in files { tr {
                        td.wide { code { (file.text("file")) ":" (file.number("line").unwrap_or(1)) ":" (file.number("column").unwrap_or(1)) } }
                        td.wide { (file.text("message")) " " code { (file.text("code")) } @if let Some(help) = file.some("help") { div.muted { (help) } } }
                        td { @match file.some("kept") { Some(id) => { "the last good text of " a href=(link::playbook(id)) { (id) } }, None => "nothing" } }
                    } } }
                } }
            }
        }
    }
}

fn table(items: &[Value]) -> Markup {
    if items.is_empty() {
        let help = html! { "Put one into the folder of playbooks; " code { "sortie check" } " says what is wrong with a file that is not taken." };
        return parts::empty("No playbook is loaded", &help);
    }
    html! {
        div.scroll { table {
            thead { tr { th scope="col" { "State" } th scope="col" { "Playbook" } th scope="col" { "Triggers" } th.num scope="col" { "Steps" } th.num scope="col" { "Order" } th scope="col" { "Runs" } } }
            tbody { @for item in items { (row(item)) } }
        } }
    }
}

/// On or off, and why off.
pub(super) fn state(item: &Value) -> Markup {
    html! {
        @if item.flag("enabled") { (parts::badge("on")) } @else { (parts::badge("off")) }
        @if !item.flag("enabled_in_file") { div.muted { "off in its file" } }
        @if item.flag("waits_for_second_person") { div.warn { "waits until somebody else than its author switches it on" } }
        @if let Some(suspended) = item.full("suspended") {
            div.warn { "suspended since " (parts::time(suspended.text("since"))) ": " (suspended.text("reason")) }
        }
    }
}

fn row(item: &Value) -> Markup {
    let id = item.text("playbook");
    html! {
        tr {
            td { (state(item)) }
            td.wide {
                a href=(link::playbook(id)) { (item.some("name").unwrap_or(id)) }
                @if item.text("name") != id { div.muted.mono { (id) } }
                @if let Some(about) = item.some("description") { div.muted { (about) } }
            }
            td { (item.full("triggers").map(json::plain).unwrap_or_default()) }
            td.num { (item.number("steps").unwrap_or(0)) }
            td.num { (item.full("order").map(json::plain).unwrap_or_default()) }
            td { a href=(link::with("/runs", &[("playbook", id)])) { "runs" } " · " a href=(link::with("/runs", &[("playbook", id), ("status", "failed,timed_out,needs_attention")])) { "failed" } }
        }
    }
}
