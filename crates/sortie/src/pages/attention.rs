//! What needs a person, on the overview: gathered from the status of the server and the newest of the lists; and what to do
//! first where nothing has happened yet.

use std::time::Duration;

use maud::{Markup, html};
use model::Time;
use serde_json::Value;

use super::json::Read as _;
use super::parts::Tone;
use super::{link, parts};
use crate::http::route::Call;

/// How long a source that was heard may say nothing before it is named.
const SILENT: Duration = Duration::from_secs(86_400);

/// Whether nothing has happened here yet.
pub(super) fn is_fresh(status: &Value) -> bool {
    let none = |key: &str| status.number(key) == Some(0);
    none("runs_open")
        && none("runs_ended")
        && broken(status).is_empty()
        && status.list("heard").iter().all(|one| one.some("last_at").is_none())
}

/// What to do first.
pub(super) fn first_steps(call: &Call, status: &Value) -> Markup {
    let has = |key: &str| status.number(key).unwrap_or(0) > 0;
    let step = |done: bool, what: Markup| {
        html! { li { span class={ "sign " (if done { "good" } else { "quiet" }) } aria-hidden="true" { @if done { "✓" } @else { "○" } } span { (what) } } }
    };
    let source = status.list("sources").first().and_then(Value::as_str).unwrap_or("generic");
    html! {
        section.panel aria-labelledby="first" {
            h2 id="first" { "First steps" }
            ol.concerns {
                (step(has("playbooks"), html! { "Put a playbook into the folder of playbooks: it is loaded at once and stands under " a href="/playbooks" { "Playbooks" } "." }))
                (step(has("destinations"), html! { "Say where threat details go: " a href="/destinations" { "Destinations" } ", with a test for each." }))
                (step(false, html! { "Send an event to " code { "/v1/in/" (source) } ". Then " a href="/events" { "Events" } " says what every playbook decided about it, and why." }))
                @if call.app.settings.auth_required { (step(false, html! { "Make a user for each person, so that the history names people: " code { "sortie users create --name alice --role analyst" } "." })) }
            }
        }
    }
}

/// What the lists of the overview hold.
pub(super) struct Seen {
    /// Runs that went wrong.
    pub(super) wrong: Value,
    /// Deliveries that failed.
    pub(super) unsent: Value,
    /// Questions that wait.
    pub(super) asked: Value,
    /// The last runs.
    pub(super) last: Value,
}

/// One thing that somebody should look at.
struct Concern {
    tone: Tone,
    what: Markup,
}

/// What needs a person, the worst first.
fn concerns(status: &Value, seen: &Seen) -> Vec<Concern> {
    let count = |list: &Value| {
        let more = if list.some("next_cursor").is_some() { " or more" } else { "" };
        format!("{}{more}", list.list("items").len())
    };
    let mut all = Vec::new();
    let mut add = |tone, what| all.push(Concern { tone, what });
    let unclear = seen.wrong.list("items").iter().filter(|run| run.text("status") == "needs_attention").count();
    if unclear > 0 {
        add(
            Tone::Bad,
            html! { a href="/runs?status=needs_attention" { (unclear) " runs need attention" } ": whether their last step was done is not known." },
        );
    }
    if seen.wrong.list("items").len() > unclear {
        add(Tone::Bad, html! { a href="/runs?status=failed,timed_out" { "Runs failed" } ", the newest stand below." });
    }
    if !seen.unsent.list("items").is_empty() {
        add(
            Tone::Bad,
            html! { a href="/deliveries?status=failed" { (count(&seen.unsent)) @if seen.unsent.list("items").len() == 1 && seen.unsent.some("next_cursor").is_none() { " delivery" } @else { " deliveries" } " failed" } " for good. They can be sent again, all at once." },
        );
    }
    for one in status.list("resting") {
        add(
            Tone::Bad,
            html! { "The destination " a href=(link::path(&["destinations", one.text("destination")])) { (one.text("destination")) } " rests after " (one.number("failures").unwrap_or(0)) " failures in a row." },
        );
    }
    for file in broken(status) {
        add(
            Tone::Bad,
            html! { "The file " a href="/playbooks#broken" { (file.text("file")) } " is broken"
            @match file.some("kept") { Some(_) => ": the text that was good before stays loaded.", None => ": it is not loaded." } },
        );
    }
    for one in status.list("suspended") {
        add(
            Tone::Bad,
            html! { "The playbook " a href=(link::playbook(one.text("playbook"))) { (one.text("playbook")) } " is suspended since " (parts::time(one.text("since"))) ": " (one.text("reason")) },
        );
    }
    for one in status.list("fuses_blown") {
        add(
            Tone::Warn,
            html! { "The fuse of " a href=(link::playbook(one.text("playbook"))) { (one.text("playbook")) } " has blown: it ran too often. It holds again " (parts::time(one.text("until"))) "." },
        );
    }
    match seen.asked.list("items").len() {
        0 => {}
        1 => add(Tone::Busy, html! { a href="/approvals" { "A question" } " of a playbook waits for an answer." }),
        _ => add(
            Tone::Busy,
            html! { a href="/approvals" { (count(&seen.asked)) " questions" } " of playbooks wait for an answer." },
        ),
    }
    for one in status.list("heard").iter().filter(|one| one.number("unreadable").unwrap_or(0) > 0) {
        add(
            Tone::Warn,
            html! { a href=(link::with("/events", &[("type", &format!("{}.unreadable", one.text("source")))])) { (one.number("unreadable").unwrap_or(0)) " bodies" } " of " (one.text("source")) " could not be read since the start; they are kept." },
        );
    }
    for one in silent(status) {
        add(
            Tone::Warn,
            html! { "The source " a href=(link::with("/events", &[("source", one.text("source"))])) { (one.text("source")) } " is silent since " (parts::time(one.text("last_at"))) "." },
        );
    }
    all
}

/// The files that are broken, each once.
fn broken(status: &Value) -> Vec<&Value> {
    let mut seen = std::collections::BTreeSet::new();
    status.list("broken_files").iter().filter(|file| seen.insert(file.text("file"))).collect()
}

/// Sources that were heard once and have said nothing for a day.
fn silent(status: &Value) -> impl Iterator<Item = &Value> {
    let now = Time::parse(status.text("time")).unwrap_or(Time::EPOCH);
    status.list("heard").iter().filter(move |one| {
        one.some("last_at").and_then(|last| Time::parse(last).ok()).is_some_and(|last| last.plus(SILENT) < now)
    })
}

/// The panel of what needs a person.
pub(super) fn attention(status: &Value, seen: &Seen) -> Markup {
    let all = concerns(status, seen);
    // A look at the history is bounded; what lies deeper is not claimed to be absent.
    let deeper = parts::goes_on(&seen.wrong) || parts::goes_on(&seen.unsent);
    html! {
        section.panel aria-labelledby="attention" {
            h2 id="attention" { "Needs a person" }
            @if all.is_empty() && deeper { p { "Nothing among the newest part of the history. Older: " a href="/runs?status=failed,timed_out,needs_attention" { "runs that went wrong" } ", " a href="/deliveries?status=failed" { "deliveries that failed" } "." } }
            @else if all.is_empty() { p.good { span aria-hidden="true" { "✓ " } "Nothing. No run, delivery, destination or file asks for you." } }
            @else { ul.concerns { @for one in &all { li { span class={ "sign " (one.tone.class()) } aria-hidden="true" { (one.tone.sign()) } span { (one.what) } } } } }
        }
    }
}

/// When each source was heard last.
pub(super) fn sources(call: &Call, status: &Value) -> Markup {
    let all = status.list("heard");
    html! {
        @if !all.is_empty() && call.caller.tenant.is_none() {
            section.panel.flush aria-labelledby="sources" {
                h2 id="sources" { "Sources" }
                div.scroll { table {
                    thead { tr { th scope="col" { "Source" } th scope="col" { "Heard last" } th.num scope="col" { "Bodies not read" } th scope="col" { "Address" } } }
                    tbody { @for one in all { tr {
                        td { a href=(link::with("/events", &[("source", one.text("source"))])) { (one.text("source")) } }
                        td { @if let Some(last) = one.some("last_at") { (parts::time(last)) } @else { span.muted { "not since the start" } } }
                        td.num { (one.number("unreadable").unwrap_or(0)) }
                        td { code { "/v1/in/" (one.text("source")) } }
                    } } }
                } }
            }
        }
    }
}
