//! What a rehearsal says: the runs that would have been, what they would have sent and changed.

use maud::{Markup, html};
use serde_json::Value;

use super::json::{self, Read as _};
use super::{link, parts};

/// The report of a rehearsal.
pub(super) fn told(told: &Value) -> Markup {
    html! {
        @for run in told.list("runs") {
            section.panel.flush aria-label={ "Run of " (run.text("playbook")) } {
                h2 { (run.text("playbook")) " " (parts::badge(run.text("status"))) }
                @if let Some(reason) = run.some("reason") { p { (reason) } }
                div.scroll { table {
                    thead { tr { th scope="col" { "Step" } th scope="col" { "Action" } th scope="col" { "Status" } th scope="col" { "Detail" } } }
                    tbody { @for step in run.list("steps") { tr {
                        td.wide { (step.text("path")) }
                        td { (step.text("action")) }
                        td { (parts::badge(step.text("status"))) }
                        td.wide { (detail(step)) }
                    } } }
                } }
            }
        }
        (list("Would have been sent", told.list("would_send")))
        (list("Would have been changed", told.list("would_change")))
        @if told.list("runs").is_empty() { p { "No run would have started." } }
    }
}

fn detail(step: &Value) -> Markup {
    let rest: serde_json::Map<String, Value> = step
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| !["path", "action", "status"].contains(&key.as_str()) && !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    html! { @if !rest.is_empty() { details { summary { "more" } pre tabindex="0" { (json::pretty(&Value::Object(rest))) } } } }
}

fn list(title: &str, items: &[Value]) -> Markup {
    html! {
        @if !items.is_empty() {
            section.panel aria-label=(title) {
                h2 { (title) }
                @for item in items {
                    @if let Some(destination) = item.some("destination") { p { "To " a href=(link::path(&["destinations", destination])) { (destination) } } }
                    pre tabindex="0" { (json::pretty(item)) }
                }
            }
        }
    }
}
