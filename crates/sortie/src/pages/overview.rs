//! `/`: what needs a person, and what happened lately.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::attention::{self, Seen};
use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{deliveries, parts, runs};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// Runs and deliveries of each list on the page.
const SHOWN: &str = "8";
/// What can just have been done.
const DONE: &[(&str, &str)] = &[
    ("paused", "Paused. Events are accepted, decided and kept; what waits goes on after the pause."),
    ("resumed", "The pause is lifted. What waited goes on."),
];

/// `GET /`
pub(crate) async fn show(call: Call) -> Answer {
    let status = Ask::get("/v1/status", &[]).ask(&call).await?;
    let list = |path| Ask::get(path, &[]).with("limit", SHOWN);
    // A look for what went wrong may take its whole time where nothing did: so all look at once.
    let (wrong, unsent, asked, last) = tokio::try_join!(
        list("/v1/runs").with("status", "failed,timed_out,needs_attention").ask(&call),
        list("/v1/deliveries").with("status", "failed").ask(&call),
        list("/v1/approvals").ask(&call),
        list("/v1/runs").ask(&call),
    )?;
    let seen = Seen { wrong, unsent, asked, last };
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
            @if attention::is_fresh(&status) { (attention::first_steps(&call, &status)) } @else { (attention::attention(&status, &seen)) }
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
            (attention::sources(&call, &status))
        }
        (pause_form(&call, &status))
    };
    layout::page(&call, Section::Overview, "Overview", &content)
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
