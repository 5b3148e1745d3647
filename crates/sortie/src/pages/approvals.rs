//! `/approvals`: what playbooks ask people, and the answers.

use maud::{Markup, html};
use model::Time;
use serde_json::{Map, Value, json};

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{link, parts, runs};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// The field of a form that belongs to the question's field of the rest of its name.
const FIELD: &str = "field-";
/// What can just have been done.
const DONE: &[(&str, &str)] =
    &[("approve", "Approved. The run goes on."), ("deny", "Denied. The run goes on as its playbook says for a no.")];

/// `GET /approvals`
pub(crate) async fn list(call: Call) -> Answer {
    let listing = Ask::get("/v1/approvals", &[]).with_query_of(&call).ask(&call).await?;
    let now = call.app.engine.store().now();
    let content = html! {
        (parts::done(&call, DONE))
        div.head {
            div.grow {
                h1 { "Approvals" }
                p.sub { "Questions of playbooks that wait for a person. Who started a run cannot answer its questions." }
            }
        }
        div id="approvals" data-live {
            @if listing.list("items").is_empty() {
                div.panel.flush { (parts::empty("Nothing waits for an answer", &html! { "A playbook asks with a step " code { "approve" } "." })) }
            }
            @for item in listing.list("items") { (question(&call, item, now)) }
        }
    };
    layout::page(&call, Section::Approvals, "Approvals", &content)
}

/// A question, with the form that answers it.
pub(super) fn question(call: &Call, item: &Value, now: Time) -> Markup {
    let id = item.text("approval_id");
    html! {
        section.panel aria-label={ "Question " (id) } {
            h2 { (item.text("ask")) }
            dl.facts {
                dt { "Asked by" } dd { a href=(link::run(item.text("run_id"))) { (item.text("playbook")) } ", step " (item.text("step")) }
                dt { "About" } dd { (runs::about(call, item)) }
                dt { "May answer" } dd { (item.text("by")) }
                @if let Some(requester) = item.some("requester") { dt { "Started by" } dd { (requester) } }
                @if let Some(deadline) = item.some("deadline") {
                    dt { "Until" } dd { (parts::time(deadline)) @if let Some(left) = left(deadline, now) { ", " (left) } }
                }
            }
            @if inside::may(call, Verb::Post, "/v1/approvals/{id}") { (answer_form(call, id, item)) }
            @else { p.muted { "Your role may not answer." } }
        }
    }
}

/// How long is left, in words.
fn left(deadline: &str, now: Time) -> Option<String> {
    let left = Time::parse(deadline).ok()?.millis().saturating_sub(now.millis());
    Some(
        u64::try_from(left)
            .map_or_else(|_| "which has passed".to_owned(), |left| format!("{} left", parts::took(left))),
    )
}

fn answer_form(call: &Call, id: &str, item: &Value) -> Markup {
    let fields = item.full("fields").and_then(Value::as_object);
    html! {
        form.stack method="post" action=(link::path(&["approvals", id])) id={ "answer-" (id) } {
            (parts::word(call))
            @for (name, spec) in fields.into_iter().flatten() { (field(name, spec)) }
            label { "Comment" input type="text" name="comment" maxlength="2000" autocomplete="off"; }
            div {
                button.primary type="submit" name="decision" value="approve" { "Approve" } " "
                button.danger type="submit" name="decision" value="deny" formnovalidate { "Deny" }
            }
        }
    }
}

/// One field that the question asks for, by its type.
fn field(name: &str, spec: &Value) -> Markup {
    let (key, required) = (format!("{FIELD}{name}"), spec.flag("required"));
    html! {
        input type="hidden" name={ "type-" (name) } value=(spec.text("type"));
        @match spec.text("type") {
            "boolean" => label.box { input type="checkbox" name=(key) value="true"; (name) },
            "number" | "integer" => label { (name) input type="number" step="any" name=(key) required[required]; },
            _ => label { (name) input type="text" name=(key) required[required] maxlength="2000" autocomplete="off"; },
        }
    }
}

/// `POST /approvals/{id}`
pub(crate) async fn answer(call: Call, form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    let decision = match form.get("decision") {
        decision @ ("approve" | "deny") => decision,
        _ => return Err(Problem::bad("invalid_form", "the answer is `approve` or `deny`")),
    };
    let mut body = json!({ "decision": decision, "fields": given(&form)? });
    if !form.get("comment").trim().is_empty() {
        body["comment"] = form.get("comment").trim().into();
    }
    Ask::post("/v1/approvals/{id}", &[&id], body).ask(&call).await?;
    Ok(layout::see_other(&link::with("/approvals", &[("done", decision)])))
}

/// The fields as their types say; what was left empty is left out.
fn given(form: &Form) -> Result<Map<String, Value>, Problem> {
    let mut fields = Map::new();
    for name in form.names("type-") {
        let text = form.get(&format!("{FIELD}{name}"));
        let value = match form.get(&format!("type-{name}")) {
            "boolean" => Value::Bool(text == "true"),
            _ if text.trim().is_empty() => continue,
            "number" | "integer" => serde_json::from_str(text.trim())
                .ok()
                .filter(Value::is_number)
                .ok_or_else(|| Problem::bad("invalid_form", format!("`{name}` is a number")))?,
            _ => Value::from(text),
        };
        fields.insert(name.to_owned(), value);
    }
    Ok(fields)
}
