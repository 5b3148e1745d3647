//! `/`: what needs a person, and what happened lately.

use maud::{Markup, html};
use serde_json::Value;

use super::inside::Ask;
use super::json::Read as _;
use super::layout::{self, Section};
use super::parts;
use super::runs;
use crate::http::route::{Answer, Call};

/// Runs of each list on the page.
const SHOWN: &str = "8";

/// `GET /`
pub(crate) async fn show(call: Call) -> Answer {
    let status = Ask::get("/v1/status", &[]).ask(&call).await?;
    let wrong = Ask::get("/v1/runs", &[])
        .with("status", "failed,timed_out,needs_attention")
        .with("limit", SHOWN)
        .ask(&call)
        .await?;
    let last = Ask::get("/v1/runs", &[]).with("limit", SHOWN).ask(&call).await?;
    let content = html! {
        div.head { div.grow { h1 { "Overview" } p.sub { "What needs a person, and what happened lately." } } }
        div id="overview" data-live {
            (state(&status))
            (figures(&status))
            section.panel.flush aria-labelledby="wrong" {
                h2 id="wrong" { "Went wrong lately" }
                (runs::table(&call, wrong.list("items"), &parts::empty("Nothing went wrong", &html! { "No run that is kept failed, timed out or waits for a person." })))
            }
            section.panel.flush aria-labelledby="last" {
                h2 id="last" { "Last runs" }
                (runs::table(&call, last.list("items"), &parts::empty("No playbook has run yet", &html! {
                    "Post an event to " code { "/v1/in/generic" } ", or run a playbook by hand."
                })))
            }
        }
    };
    layout::page(&call, Section::Overview, "Overview", &content)
}

fn state(status: &Value) -> Markup {
    html! {
        @if !status.flag("ready") {
            div.note.bad role="alert" { p { strong { "Events are not accepted: " } (status.text("reason")) } }
        }
    }
}

fn figures(status: &Value) -> Markup {
    let figure = |key: &str, name: &str, path: &str| {
        html! {
            @if let Some(value) = status.number(key) {
                a.figure href=(path) { span.value { (value) } span.name { (name) } }
            }
        }
    };
    html! {
        div.figures {
            (figure("runs_open", "runs that have not ended", "/runs?status=queued,running,waiting"))
            (figure("runs_ended", "ended runs that are kept", "/runs"))
            (figure("playbooks", "playbooks loaded", "/playbooks"))
            (figure("destinations", "destinations", "/destinations"))
        }
    }
}
