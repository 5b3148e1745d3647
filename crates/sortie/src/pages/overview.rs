//! `/`: what needs a person, and what happened lately.

use std::time::Duration;

use maud::{Markup, html};
use model::Time;
use serde_json::{Value, json};

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::parts::Tone;
use super::{deliveries, link, parts, runs};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// Runs and deliveries of each list on the page.
const SHOWN: &str = "8";
/// How long a source that was heard may say nothing before it is named.
const SILENT: Duration = Duration::from_secs(86_400);
/// What can just have been done.
const DONE: &[(&str, &str)] = &[
    ("paused", "Paused. Events are accepted, decided and kept; what waits goes on after the pause."),
    ("resumed", "The pause is lifted. What waited goes on."),
];

/// `GET /`
pub(crate) async fn show(call: Call) -> Answer {
    let status = Ask::get("/v1/status", &[]).ask(&call).await?;
    let list = |path| Ask::get(path, &[]).with("limit", SHOWN);
    let seen = Seen {
        wrong: list("/v1/runs").with("status", "failed,timed_out,needs_attention").ask(&call).await?,
        unsent: list("/v1/deliveries").with("status", "failed").ask(&call).await?,
        asked: list("/v1/approvals").ask(&call).await?,
        last: list("/v1/runs").ask(&call).await?,
    };
    let activity = match call.caller.tenant {
        None => Some(Ask::get("/v1/activity", &[]).ask(&call).await?),
        Some(_) => None,
    };
    let content = html! {
        (parts::done(&call, DONE))
        div.head {
            div.grow { h1 { "Overview" } p.sub { "What needs a person, and what happened lately." } }
        }
        div id="overview" data-live {
            (state(&call, &status))
            (attention(&status, &seen))
            (figures(&status))
            @if let Some(activity) = &activity { (charts(activity)) }
            @if !seen.wrong.list("items").is_empty() {
                section.panel.flush aria-labelledby="wrong" {
                    h2 id="wrong" { "Runs that went wrong" }
                    (runs::table(&call, seen.wrong.list("items"), &html! {}))
                }
            }
            @if !seen.unsent.list("items").is_empty() {
                section.panel.flush aria-labelledby="unsent" {
                    h2 id="unsent" { "Deliveries that failed" }
                    (deliveries::table(&call, seen.unsent.list("items"), &html! {}))
                }
            }
            section.panel.flush aria-labelledby="last" {
                h2 id="last" { "Last runs" }
                (runs::table(&call, seen.last.list("items"), &parts::empty("No playbook has run yet", &html! {
                    "Post an event to " code { "/v1/in/generic" } ", or run a " a href="/playbooks" { "playbook" } " by hand."
                })))
            }
            (sources(&call, &status))
        }
        (pause_form(&call, &status))
    };
    layout::page(&call, Section::Overview, "Overview", &content)
}

/// What the lists of the page hold.
struct Seen {
    wrong: Value,
    unsent: Value,
    asked: Value,
    last: Value,
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

fn attention(status: &Value, seen: &Seen) -> Markup {
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
fn sources(call: &Call, status: &Value) -> Markup {
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

fn state(call: &Call, status: &Value) -> Markup {
    html! {
        @if !status.flag("ready") {
            div.note.bad role="alert" { p { strong { "Events are not accepted: " } (status.text("reason")) } }
        }
        @for pause in status.list("pauses") {
            div.note.warn role="alert" {
                p {
                    strong { @if pause.text("scope") == "all" { "All automation is paused" } @else { "Everything that leaves is paused" } }
                    " since " (parts::time(pause.text("since"))) " by " (pause.text("by")) ": " (pause.text("reason"))
                }
                @if inside::may(call, Verb::Post, "/v1/resume") && call.caller.tenant.is_none() {
                    form.inline method="post" action="/resume" {
                        (parts::word(call))
                        input type="hidden" name="scope" value=(pause.text("scope"));
                        button type="submit" { "Resume" }
                    }
                }
            }
        }
    }
}

fn pause_form(call: &Call, status: &Value) -> Markup {
    html! {
        @if inside::may(call, Verb::Post, "/v1/pause") && call.caller.tenant.is_none() && status.list("pauses").is_empty() {
            section.panel aria-labelledby="brake" {
                details {
                    summary { strong id="brake" { "Pause" } ", when automation does harm" }
                    form.stack method="post" action="/pause" data-confirm="Pause now?" {
                        (parts::word(call))
                        label { "What" select name="scope" {
                            option value="all" { "all automation: runs wait" }
                            option value="outbound" { "all that leaves: deliveries wait" }
                        } }
                        label { "Why, for those who come after you" input type="text" name="reason" required maxlength="500"; }
                        div { button.danger type="submit" { "Pause" } }
                    }
                }
            }
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

/// One chart: its name, what its bars count, and of these what went wrong.
const CHARTS: [(&str, &str, &str); 3] = [
    ("Events accepted", "events", ""),
    ("Runs ended", "runs", "failed"),
    ("Deliveries ended", "delivered", "undelivered"),
];

fn charts(activity: &Value) -> Markup {
    let slices = activity.list("items");
    html! {
        @if !slices.is_empty() {
            div.columns.three { @for (name, good, bad) in CHARTS { (chart(slices, name, good, bad)) } }
            p.muted { "Ten minutes a bar, since " (parts::time(slices.first().map_or("", |slice| slice.text("from")))) "; a restart begins anew." }
        }
    }
}

fn chart(slices: &[Value], name: &str, good: &str, bad: &str) -> Markup {
    let count = |slice: &Value, key: &str| slice.number(key).unwrap_or(0);
    // Runs are counted with those that failed, deliveries without.
    let whole =
        |slice: &Value| if bad == "failed" { count(slice, good) } else { count(slice, good) + count(slice, bad) };
    let top = slices.iter().map(whole).max().unwrap_or(0).max(1);
    let sum = |key: &str| slices.iter().map(|slice| count(slice, key)).sum::<u64>();
    let all: u64 = slices.iter().map(whole).sum();
    let height = |n: u64| n.saturating_mul(90) / top + u64::from(n > 0);
    html! {
        section.panel aria-label=(name) {
            h3 { (name) ": " (all) @if sum(bad) > 0 { ", " span.bad { (sum(bad)) " failed" } } }
            svg.chart viewBox="0 0 720 100" preserveAspectRatio="none" role="img" aria-label={ (all) " in all, at most " (top) " in ten minutes" } {
                @for (n, slice) in slices.iter().enumerate() {
                    @let (x, tall, low) = (720 - (slices.len() - n) * 5, height(whole(slice)), height(count(slice, bad)));
                    rect.good x=(x) y=(96 - tall.min(96)) width="4" height=(tall) {}
                    rect.bad x=(x) y=(96 - low.min(96)) width="4" height=(low) {}
                }
                line x1="0" y1="97" x2="720" y2="97" {}
            }
        }
    }
}

/// `POST /pause`
pub(crate) async fn pause(call: Call, form: Form) -> Answer {
    let scope = match form.get("scope") {
        scope @ ("all" | "outbound") => scope,
        _ => return Err(Problem::bad("invalid_form", "`scope` is `all` or `outbound`")),
    };
    Ask::post("/v1/pause", &[], json!({ "scope": scope, "reason": form.get("reason") })).ask(&call).await?;
    Ok(layout::see_other("/?done=paused"))
}

/// `POST /resume`
pub(crate) async fn resume(call: Call, form: Form) -> Answer {
    let scope = match form.get("scope") {
        scope @ ("all" | "outbound") => scope,
        _ => return Err(Problem::bad("invalid_form", "`scope` is `all` or `outbound`")),
    };
    Ask::post("/v1/resume", &[], json!({ "scope": scope })).ask(&call).await?;
    Ok(layout::see_other("/?done=resumed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_counts_what_it_shows() {
        let slices = [json!({ "runs": 3, "failed": 1 }), json!({ "runs": 5, "failed": 0 })];
        let shown = chart(&slices, "Runs ended", "runs", "failed").into_string();
        assert!(shown.contains("Runs ended: 8") && shown.contains("1 failed"), "{shown}");
        let sent = chart(&[json!({ "delivered": 3, "undelivered": 1 })], "D", "delivered", "undelivered").into_string();
        assert!(sent.contains("D: 4"), "{sent}");
    }
}
