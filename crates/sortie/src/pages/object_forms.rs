//! What a person can do about an alert or a case: the forms of its page, and what they send.

use std::collections::BTreeSet;

use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::objects::{ALERT, CASE, Kind};
use super::{layout, link, parts};
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

/// What is done to cases most, in one click.
pub(super) fn quick(call: &Call, id: &str, object: &Value) -> Markup {
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

fn target(kind: Kind, id: &str, what: &str) -> String {
    link::path(&[kind.page.trim_start_matches('/'), id, what])
}

/// The panel of everything that the caller may do.
pub(super) fn actions(call: &Call, kind: Kind, id: &str, object: &Value, destinations: &Value) -> Markup {
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
