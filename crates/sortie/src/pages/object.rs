//! `/alerts/{id}` and `/cases/{id}`: one object, what happened to it, and what a person can do about it.

use std::collections::BTreeSet;

use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::objects::{self, ALERT, CASE, Kind};
use super::{attachments, json as text, layout, link, parts, runs};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// Fields that the form of changing offers, with their labels. The reasons of closing are asked by a form of their own, and
/// can be corrected once it is closed.
const FIELDS: &[(&str, &str)] = &[
    ("stage", "Stage"),
    ("priority", "Priority"),
    ("assignee", "Assignee"),
    ("queue", "Queue"),
    ("closed_reason", "Reason of closing"),
    ("close_supporting_reason", "In your words"),
];
/// Fields that have a place of their own on the page, or say nothing to a person.
const ELSEWHERE: &[&str] = &[
    "alert_id",
    "case_id",
    "id",
    "name",
    "tenant",
    "source",
    "version",
    "first_seen_at",
    "updated_at",
    "detections",
    "stage",
    "priority",
    "assignee",
    "queue",
    "risk_score",
    "description",
    "link",
];
/// Entries of the history on the page.
const HISTORY: &str = "50";
/// Runs on the page.
const RUNS: &str = "10";
/// What can just have been done.
const DONE: &[(&str, &str)] = &[
    ("changed", "Changed. Playbooks that listen to this change have been asked; the history below says what followed."),
    ("same", "Nothing was different, so nothing was changed."),
    ("commented", "The comment is in the history."),
    ("attached", "The file is attached; its digest is in the history."),
    ("detached", "The file was taken off. That it was there stays in the history."),
];

/// `GET /alerts/{id}`
pub(crate) async fn alert(call: Call) -> Answer {
    show(call, ALERT).await
}

/// `GET /cases/{id}`
pub(crate) async fn case(call: Call) -> Answer {
    show(call, CASE).await
}

async fn show(call: Call, kind: Kind) -> Answer {
    let id = call.segment(0).to_owned();
    let object = Ask::get(kind.one, &[&id]).with_query_of(&call).ask(&call).await?;
    let tenant = object.text("tenant").to_owned();
    let history = Ask::get(kind.history, &[&id])
        .with("tenant", &tenant)
        .with("limit", HISTORY)
        .with_query_of(&call)
        .ask(&call)
        .await?;
    let last =
        Ask::get("/v1/runs", &[]).with(kind.name, &id).with("tenant", &tenant).with("limit", RUNS).list(&call).await?;
    let destinations = match inside::may(&call, Verb::Post, kind.send) {
        true => Ask::get("/v1/destinations", &[]).ask(&call).await?,
        false => Value::Null,
    };
    let name = object.some("name").unwrap_or(&id);
    let files = attachments::section(&call, kind, &id, &tenant).await?;
    let content = html! {
        (parts::done(&call, DONE))
        (head(&call, kind, &id, &object, name))
        div.columns {
            (facts(&call, &object, kind))
            (actions(&call, kind, &id, &object, &destinations))
        }
        (detections(&object))
        (files)
        section.panel.flush aria-labelledby="runs-title" id="last-runs" data-live {
            h2 id="runs-title" { "Runs about it" }
            (runs::table(&call, last.list("items"), &parts::empty("No playbook has run about it", &html! {
                "The events in its history say why not."
            })))
        }
        (happened(&call, kind, &id, &tenant, &history))
    };
    layout::page(&call, kind.section, name, &content)
}

fn head(call: &Call, kind: Kind, id: &str, object: &Value, name: &str) -> Markup {
    html! {
        div.head {
            div.grow {
                h1 { (name) }
                p.sub {
                    (parts::words(kind.name)) " " code { (id) }
                    @if let Some(number) = object.some("number") { ", number " (number) }
                    ", changed " (parts::time(object.text("updated_at")))
                }
            }
            div.actions {
                @if kind == CASE && inside::may(call, Verb::Patch, kind.one) { (quick(call, id, object)) }
                a.button href=(link::with("/events", &[(kind.name, id), ("tenant", tenant_key(call, object))])) { "Its events" }
            }
        }
    }
}

/// What is done to cases most, in one click.
fn quick(call: &Call, id: &str, object: &Value) -> Markup {
    let words = &call.app.engine.context().words;
    let closed = object.text("stage") == words.closed();
    let one = |label: &str, class: &str, name: &str, value: &str| {
        html! {
            form.inline method="post" action=(target(CASE, id, "change")) {
                (parts::word(call)) (tenant_field(object))
                input type="hidden" name=(name) value=(value);
                button class=(class) type="submit" { (label) }
            }
        }
    };
    html! {
        @if object.text("assignee") != call.caller.name { (one("Assign to me", "", "assignee", &call.caller.name)) }
        @if closed {
            @if let Some(stage) = words.stages.get(words.stages.len().saturating_sub(2)) { (one(&format!("Reopen as {stage}"), "primary", "stage", stage)) }
        } @else { a.button href="#do-close" { "Close…" } }
    }
}

/// The form that closes a case, with its reason.
fn close_form(call: &Call, id: &str, object: &Value) -> Markup {
    let words = &call.app.engine.context().words;
    html! {
        form.stack method="post" action=(target(CASE, id, "change")) {
            (parts::word(call)) (tenant_field(object))
            input type="hidden" name="stage" value=(words.closed());
            label { "Reason" select name="closed_reason" required { option value="" { "choose one" } @for reason in &words.close_reasons { option value=(reason) { (reason) } } } }
            label { "In your words" textarea name="close_supporting_reason" maxlength="2000" {} }
            div { button.primary type="submit" { "Close the case" } }
        }
    }
}

/// The tenant for links of lists; nothing where there is one only.
fn tenant_key<'a>(call: &Call, object: &'a Value) -> &'a str {
    if call.app.settings.tenants.is_some() { object.text("tenant") } else { "" }
}

fn facts(call: &Call, object: &Value, kind: Kind) -> Markup {
    let rest: Vec<(&String, &Value)> = object
        .as_object()
        .map(|fields| {
            fields.iter().filter(|(name, value)| !ELSEWHERE.contains(&name.as_str()) && !value.is_null()).collect()
        })
        .unwrap_or_default();
    html! {
        section.panel aria-label="How it stands" {
            h2 { "How it stands" }
            dl.facts {
                @if kind == CASE { dt { "Stage" } dd { strong { (object.some("stage").unwrap_or("–")) } } }
                dt { "Priority" } dd { (objects::priority(object)) }
                dt { "Risk score" } dd { (object.full("risk_score").map_or_else(|| "–".to_owned(), text::plain)) }
                @if kind == CASE {
                    dt { "Assignee" } dd { (object.some("assignee").unwrap_or("nobody")) }
                    dt { "Queue" } dd { (object.some("queue").unwrap_or("–")) }
                }
                @if kind == ALERT { @if let Some(case) = object.some("case_id") {
                    dt { "Case" } dd { a href=(link::object(call, "case", case, object.text("tenant"))) { bdi { (case) } } }
                } }
                @if let Some(description) = object.some("description") { dt { "Description" } dd { (description) } }
                @for (name, value) in rest { dt { (parts::words(name)) } dd { (text::plain(value)) } }
                @if let Some(address) = object.some("link") { dt { "Link" } dd { (outward(address)) } }
                dt { "Source" } dd { (object.text("source")) }
                dt { "First seen" } dd { (parts::time(object.text("first_seen_at"))) }
                dt { "Tenant" } dd { (object.text("tenant")) }
            }
        }
    }
}

/// A link that an event brought: followed only when it leads to the web, and told nothing about where it came from.
fn outward(address: &str) -> Markup {
    let web = ["https://", "http://"]
        .iter()
        .any(|scheme| address.get(..scheme.len()).is_some_and(|a| a.eq_ignore_ascii_case(scheme)));
    html! {
        @if web { a href=(address) rel="noopener noreferrer nofollow" referrerpolicy="no-referrer" { (address) } }
        @else { code { (address) } }
    }
}

fn target(kind: Kind, id: &str, what: &str) -> String {
    link::path(&[kind.page.trim_start_matches('/'), id, what])
}

fn actions(call: &Call, kind: Kind, id: &str, object: &Value, destinations: &Value) -> Markup {
    let change = inside::may(call, Verb::Patch, kind.one);
    let comment = inside::may(call, Verb::Post, kind.comments);
    let send = inside::may(call, Verb::Post, kind.send);
    html! {
        @if change || comment || send {
            section.panel aria-label="What you can do" {
                h2 { "What you can do" }
                @if change { details open[kind == CASE] id="do-change" { summary { strong { "Change" } } (change_form(call, kind, id, object)) } }
                @if change && kind == CASE && object.text("stage") != call.app.engine.context().words.closed() {
                    details id="do-close" { summary { strong { "Close" } ", with a reason" } (close_form(call, id, object)) }
                }
                @if comment { details open id="do-comment" { summary { strong { "Comment" } }
                    form.stack method="post" action=(target(kind, id, "comment")) {
                        (parts::word(call)) (tenant_field(object))
                        label { "Comment" textarea name="text" required maxlength="20000" {} }
                        div { button type="submit" { "Add the comment" } }
                    }
                } }
                @if send { details id="do-send" { summary { strong { "Send to destinations" } } (send_form(call, kind, id, object, destinations)) } }
            }
        }
    }
}

fn tenant_field(object: &Value) -> Markup {
    html! { input type="hidden" name="tenant" value=(object.text("tenant")); }
}

fn change_form(call: &Call, kind: Kind, id: &str, object: &Value) -> Markup {
    let words = &call.app.engine.context().words;
    let priorities: Vec<String> = model::record::PRIORITIES.iter().map(|p| (*p).to_owned()).collect();
    let closed = object.text("stage") == words.closed();
    let stages: Vec<String> = words.stages.iter().filter(|stage| closed || *stage != words.closed()).cloned().collect();
    let triage = call.app.engine.triage();
    let queues: Vec<&String> = triage.rules.queues.keys().collect();
    let people: BTreeSet<&String> = triage.rules.queues.values().flatten().collect();
    html! {
        datalist id="queues" { @for queue in queues { option value=(queue) {} } }
        datalist id="people" { @for person in people { option value=(person) {} } }
        form.stack method="post" action=(target(kind, id, "change")) {
            (parts::word(call)) (tenant_field(object))
            @for (name, label) in offered(kind).filter(|(name, _)| closed || !name.starts_with("close")) {
                @let now = object.text(name);
                input type="hidden" name=(format!("was-{name}")) value=(now);
                label { (label)
                    @match name {
                        "stage" => (choice(name, now, &stages)),
                        "priority" => (choice(name, now, &priorities)),
                        "closed_reason" => (choice(name, now, &words.close_reasons)),
                        "queue" => input type="text" name=(name) value=(now) list="queues" maxlength="500" autocomplete="off";,
                        "assignee" => input type="text" name=(name) value=(now) list="people" maxlength="500" autocomplete="off";,
                        _ => input type="text" name=(name) value=(now) maxlength="2000" autocomplete="off";,
                    }
                }
            }
            div { button.primary type="submit" { "Change" } }
        }
    }
}

/// The fields that this kind has.
fn offered(kind: Kind) -> impl Iterator<Item = (&'static str, &'static str)> {
    FIELDS.iter().copied().filter(move |(name, _)| kind == CASE || *name == "priority")
}

fn choice(name: &str, now: &str, all: &[String]) -> Markup {
    html! {
        select name=(name) {
            @if !all.iter().any(|one| one == now) { option value=(now) selected { @if now.is_empty() { "–" } @else { (now) } } }
            @for one in all { option value=(one) selected[one == now] { (one) } }
        }
    }
}

fn send_form(call: &Call, kind: Kind, id: &str, object: &Value, destinations: &Value) -> Markup {
    let all = destinations.list("items");
    html! {
        @if all.is_empty() {
            p.muted { "There are no destinations yet. " a href="/destinations" { "Destinations" } " says how to make one." }
        } @else {
            form.stack method="post" action=(target(kind, id, "send")) {
                (parts::word(call)) (tenant_field(object))
                fieldset {
                    legend { "One to " (model::limits::HAND_DESTINATIONS_MAX) " destinations receive all threat details" }
                    @for one in all {
                        label.box { input type="checkbox" name="to" value=(one.text("id")); (one.text("id"))
                            @if !one.flag("enabled") { " " span.muted { "(switched off)" } } }
                    }
                }
                div { button.primary type="submit" { "Send" } }
            }
        }
    }
}

fn detections(object: &Value) -> Markup {
    let all = object.list("detections");
    html! {
        @if !all.is_empty() {
            section.panel.flush aria-labelledby="detections" {
                h2 id="detections" { "Detections" }
                div.scroll { table {
                    thead { tr { th scope="col" { "Id" } th scope="col" { "Type" } th scope="col" { "Use case" } th scope="col" { "Rules" } th scope="col" { "Description" } th scope="col" { "Logged about" } } }
                    tbody { @for one in all { tr {
                        td { (one.full("id").map(text::plain).unwrap_or_default()) }
                        td { (one.text("type")) } td.wide { (one.text("use_case")) }
                        td.wide { (one.full("rules").map(text::plain).unwrap_or_default()) }
                        td.wide { (one.text("description")) } td { (parts::time(one.text("approx_log_time"))) }
                    } } }
                } }
            }
        }
    }
}

fn happened(call: &Call, kind: Kind, id: &str, tenant: &str, history: &Value) -> Markup {
    let page = link::path(&[kind.page.trim_start_matches('/'), id]);
    let tenant = if call.app.settings.tenants.is_some() { tenant } else { "" };
    html! {
        section.panel.flush aria-labelledby="history" {
            h2 id="history" { "History" }
            div.scroll { table {
                thead { tr { th scope="col" { "Time" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "Event" } } }
                tbody { @for moment in history.list("items") { tr {
                    td { (parts::time(moment.text("time"))) }
                    td.wide { (moment.text("actor")) }
                    td.wide { (what(moment)) }
                    td { a.mono href=(link::event(moment.text("event_id"))) { (moment.text("event_id")) } }
                } } }
            } }
            @if let Some(cursor) = history.some("next_cursor") {
                nav.paging aria-label="Pages of the history" {
                    a.button rel="next" href=(link::with(&page, &[("tenant", tenant), ("cursor", cursor)])) { "Older" }
                }
            }
        }
    }
}

fn what(moment: &Value) -> Markup {
    html! {
        @if moment.flag("gone") {
            span.muted { "no longer kept" }
        } @else {
            strong { (moment.text("type")) }
            @if let Some(comment) = moment.some("comment") { div { (comment) } }
            @for change in moment.list("changes") { div { (change.text("text")) (new_values(moment, change)) } }
            @for run in moment.list("runs") { @let run = run.as_str().unwrap_or_default(); div { "started " a.mono href=(link::run(run)) { (run) } } }
            @for warning in moment.list("warnings") { div.warn { (warning.as_str().unwrap_or_default()) } }
        }
    }
}

/// What the changed fields are now, where the change names only the fields.
fn new_values(moment: &Value, change: &Value) -> Markup {
    let fields = moment.full("fields");
    let value = |name: &Value| fields.and_then(|fields| fields.get(name.as_str()?));
    let named: Vec<String> = change
        .list("changed")
        .iter()
        .filter_map(|name| Some(format!("{} = {}", name.as_str()?, text::plain(value(name)?))))
        .collect();
    html! { @if !named.is_empty() { span.muted { " (" (named.join("; ")) ")" } } }
}

fn done(kind: Kind, id: &str, form: &Form, word: &str, call: &Call) -> Answer {
    let tenant = if call.app.settings.tenants.is_some() { form.get("tenant") } else { "" };
    let page = link::path(&[kind.page.trim_start_matches('/'), id]);
    Ok(layout::see_other(&link::with(&page, &[("tenant", tenant), ("done", word)])))
}

async fn change(call: Call, form: Form, kind: Kind) -> Answer {
    let id = call.segment(0).to_owned();
    let mut fields = Map::new();
    for (name, _) in offered(kind).filter(|(name, _)| form.has(name)) {
        let now = form.get(name);
        // Only what the person has changed: what others have changed meanwhile stays.
        if now != form.get(&format!("was-{name}")) {
            fields.insert(name.to_owned(), if now.is_empty() { Value::Null } else { Value::from(now) });
        }
    }
    if fields.is_empty() {
        return done(kind, &id, &form, "same", &call);
    }
    let segments = [id.as_str()];
    Ask::patch(kind.one, &segments, Value::Object(fields)).with("tenant", form.get("tenant")).ask(&call).await?;
    done(kind, &id, &form, "changed", &call)
}

async fn comment(call: Call, form: Form, kind: Kind) -> Answer {
    let id = call.segment(0).to_owned();
    let body = json!({ "text": form.get("text") });
    Ask::post(kind.comments, &[&id], body).with("tenant", form.get("tenant")).ask(&call).await?;
    done(kind, &id, &form, "commented", &call)
}

async fn send(call: Call, form: Form, kind: Kind) -> Answer {
    let id = call.segment(0).to_owned();
    if form.all("to").is_empty() {
        return Err(Problem::bad("destinations", "tick at least one destination"));
    }
    let body = json!({ "to": form.all("to") });
    let made = Ask::post(kind.send, &[&id], body).with("tenant", form.get("tenant")).ask(&call).await?;
    Ok(layout::see_other(&link::with(&link::run(made.text("run_id")), &[("done", "sent")])))
}

macro_rules! forms {
    ($($kind:ident: $change:ident $comment:ident $send:ident;)*) => {$(
        #[doc = concat!("Changes fields: ", stringify!($kind))]
        pub(crate) async fn $change(call: Call, form: Form) -> Answer { change(call, form, $kind).await }
        #[doc = concat!("Adds a comment: ", stringify!($kind))]
        pub(crate) async fn $comment(call: Call, form: Form) -> Answer { comment(call, form, $kind).await }
        #[doc = concat!("Sends by hand: ", stringify!($kind))]
        pub(crate) async fn $send(call: Call, form: Form) -> Answer { send(call, form, $kind).await }
    )*};
}
forms! {
    ALERT: change_alert comment_alert send_alert;
    CASE: change_case comment_case send_case;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_an_event_is_followed_only_to_the_web() {
        assert!(outward("https://xdr.example.com/case/1").into_string().contains("<a href=\"https://"));
        for bad in ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "//evil.example", "JaVaScRiPt:x"]
        {
            assert!(!outward(bad).into_string().contains("<a "), "{bad}");
        }
        assert!(!outward("https://x\" onclick=\"y").into_string().contains("\" onclick"));
    }
}
