//! The form that makes and changes destinations, its trial before anything is saved, and deleting.
//!
//! Invariants: an address or a secret that is kept never comes out into a page; a form that is shown again after a mistake
//! holds what was typed but the secrets. Of a change only what the person has changed is sent.

use maud::{Markup, html};
use model::period;
use serde_json::{Map, Value, json};

use super::destination_wish::{self as wish, AUTHS, KINDS, SIGNS};
use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{link, parts};
use crate::auth::Role;
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// What the fields of the form hold: what was typed, else what the destination has.
struct Values<'a> {
    typed: Option<&'a Form>,
    kept: Map<String, Value>,
}

impl Values<'_> {
    fn get(&self, name: &str) -> String {
        match self.typed {
            Some(form) => form.get(name).to_owned(),
            None => self.was(name),
        }
    }

    fn was(&self, name: &str) -> String {
        self.kept.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn has(&self, name: &str, value: &str) -> bool {
        match self.typed {
            Some(form) => form.all(name).iter().any(|one| one == value),
            None => self.was(name).split(", ").any(|one| one == value),
        }
    }
}

/// The plain fields of a destination as the form writes them.
fn kept(item: &Value) -> Map<String, Value> {
    let millis = |value: Option<u64>| value.map(|millis| period::format(std::time::Duration::from_millis(millis)));
    let rate = item.full("rate");
    let breaker = item.full("breaker");
    let number = |value: Option<u64>| value.map(|number| number.to_string());
    let list = |key: &str| {
        let all: Vec<&str> = item.list(key).iter().filter_map(Value::as_str).collect();
        (!all.is_empty()).then(|| all.join(", "))
    };
    let pairs = [
        ("kind", item.some("kind").map(str::to_owned)),
        ("min_severity", item.some("min_severity").map(str::to_owned)),
        ("kinds", list("kinds")),
        ("tenants", list("tenants")),
        ("dedupe", millis(item.number("dedupe_seconds").map(|seconds| seconds.saturating_mul(1_000)))),
        ("timeout", millis(item.number("timeout_ms"))),
        ("time_format", item.some("time_format").map(str::to_owned)),
        ("concurrency", number(item.number("concurrency"))),
        ("ordered", item.flag("ordered").then(|| "true".to_owned())),
        ("retry_max", number(item.number("retry_max"))),
        ("retry_backoff", item.some("retry_backoff").map(str::to_owned)),
        ("retry_first", millis(item.number("retry_first_ms"))),
        ("retry_cap", millis(item.number("retry_cap_ms"))),
        ("retry_on", item.some("retry_on").filter(|on| *on == "any").map(str::to_owned)),
        ("rate_requests", number(rate.and_then(|rate| rate.number("requests")))),
        ("rate_per", millis(rate.and_then(|rate| rate.number("per_ms")))),
        ("breaker_failures", number(breaker.and_then(|breaker| breaker.number("opens_after")))),
        ("breaker_pause", millis(breaker.and_then(|breaker| breaker.number("pause_ms")))),
    ];
    pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))).collect()
}

/// `GET /destinations/_new`
pub(crate) async fn blank(call: Call) -> Answer {
    let values = Values { typed: None, kept: defaults() };
    page(&call, None, &values, &html! {})
}

/// What the form of a new destination begins with.
fn defaults() -> Map<String, Value> {
    let Value::Object(all) = json!({ "kind": "webhook", "time_format": "rfc3339" }) else { return Map::new() };
    all
}

/// `GET /destinations/{id}/edit`
pub(crate) async fn edit(call: Call) -> Answer {
    let id = call.segment(0).to_owned();
    let item = changeable(&call, &id).await?;
    page(&call, Some(&id), &Values { typed: None, kept: kept(&item) }, &html! {})
}

async fn changeable(call: &Call, id: &str) -> Result<Value, Problem> {
    let item = Ask::get("/v1/destinations/{id}", &[id]).ask(call).await?;
    if item.text("origin") == "file" {
        return Err(Problem::conflict(
            "in_the_file",
            "this destination stands in `destinations.yaml` and is changed there",
        ));
    }
    Ok(item)
}

/// `POST /destinations`: makes a destination, or tries it out without keeping it.
pub(crate) async fn make(call: Call, form: Form) -> Answer {
    let values = Values { typed: Some(&form), kept: Map::new() };
    let body = match wish::read(&form, &Map::new()) {
        Ok(body) => body,
        Err(problem) => return page(&call, None, &values, &wrong(&problem)),
    };
    let path = match form.get("do") {
        "test" => "/v1/destinations/test",
        "validate" => "/v1/destinations/validate",
        _ => "/v1/destinations",
    };
    match (Ask::post(path, &[], Value::Object(body)).ask(&call).await, path) {
        (Err(problem), _) if !problem.status.is_server_error() => page(&call, None, &values, &wrong(&problem)),
        (Err(problem), _) => Err(problem),
        (Ok(made), "/v1/destinations") => {
            Ok(layout::see_other(&link::with(&link::path(&["destinations", made.text("id")]), &[("done", "made")])))
        }
        (Ok(tried), _) => page(&call, None, &values, &outcome(&tried)),
    }
}

/// `POST /destinations/{id}/change`
pub(crate) async fn change(call: Call, form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    let item = changeable(&call, &id).await?;
    let values = Values { typed: Some(&form), kept: kept(&item) };
    let body = match wish::read(&form, &values.kept) {
        Ok(body) => body,
        Err(problem) => return page(&call, Some(&id), &values, &wrong(&problem)),
    };
    let target = |word| link::with(&link::path(&["destinations", &id]), &[("done", word)]);
    if body.is_empty() {
        return Ok(layout::see_other(&target("same")));
    }
    match Ask::patch("/v1/destinations/{id}", &[&id], Value::Object(body)).ask(&call).await {
        Ok(_) => Ok(layout::see_other(&target("changed"))),
        Err(problem) if !problem.status.is_server_error() => page(&call, Some(&id), &values, &wrong(&problem)),
        Err(problem) => Err(problem),
    }
}

/// `POST /destinations/{id}/delete`
pub(crate) async fn delete(call: Call, _form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    Ask::delete("/v1/destinations/{id}", &[&id]).ask(&call).await?;
    Ok(layout::see_other("/destinations?done=deleted"))
}

fn wrong(problem: &Problem) -> Markup {
    html! {
        div.note.bad role="alert" { p { strong { "Nothing was saved. " } (problem.detail) " " code { (problem.code) } }
            p { "Secrets must be typed again; the rest of the form is as you left it." } }
    }
}

/// How a test or a look at the credentials went.
pub(super) fn outcome(tried: &Value) -> Markup {
    let ok = tried.flag("ok");
    html! {
        div class={ "note " (if ok { "good" } else { "bad" }) } role="status" {
            p {
                strong { (tried.text("message")) }
                @if let Some(status) = tried.number("http_status") { " HTTP " (status) "." }
                @if let Some(millis) = tried.number("latency_ms") { " It took " (parts::took(millis)) "." }
            }
            @if let Some(hint) = tried.some("hint") { p { (hint) } }
            @if let Some(detail) = tried.some("detail") { p.muted { (detail) } }
        }
    }
}

fn page(call: &Call, id: Option<&str>, values: &Values<'_>, said: &Markup) -> Answer {
    let title = id.map_or_else(|| "New destination".to_owned(), |id| format!("Change {id}"));
    let action = id.map_or_else(|| "/destinations".to_owned(), |id| link::path(&["destinations", id, "change"]));
    let content = html! {
        div.head { div.grow { h1 { (title) } p.sub { "It is in force as soon as it is saved, and every change is in the audit trail." } } }
        (said)
        form.sheet method="post" action=(action) {
            (parts::word(call))
            section.panel aria-labelledby="where" { h2 id="where" { "Where" } (place(id, values)) }
            section.panel aria-labelledby="secrets" { h2 id="secrets" { "Who we are to it" } (credentials(call, id, values)) }
            section.panel aria-labelledby="what" { h2 id="what" { "What it receives" } (receives(call, values)) }
            section.panel { details { summary { strong { "Tries, rate, order" } ", with sensible values when left empty" } (finer(values)) } }
            div.buttons {
                button.primary type="submit" name="do" value="save" { @if id.is_some() { "Save the changes" } @else { "Save" } }
                @if id.is_none() {
                    button type="submit" name="do" value="test" { "Send a test, save nothing" }
                    button type="submit" name="do" value="validate" { "Check the login only" }
                }
                a.button href=(id.map_or_else(|| "/destinations".to_owned(), |id| link::path(&["destinations", id]))) { "Leave it" }
            }
        }
    };
    layout::page(call, Section::Destinations, &title, &content)
}

fn place(id: Option<&str>, values: &Values<'_>) -> Markup {
    html! {
        div.fields {
            @if id.is_none() {
                label { "Name: a-z, 0-9 and -" input type="text" name="id" value=(values.get("id")) required maxlength="64" pattern="[a-z0-9\\-]+" autocomplete="off" autocapitalize="none" spellcheck="false"; }
            }
            label { "Kind" (parts::select("kind", &values.get("kind"), KINDS)) }
            label.whole {
                @if id.is_some() { "Address; leave it empty to keep the one it has" } @else { "Address. That of a chat webhook is a secret: it is never shown again" }
                input type="text" inputmode="url" name="url" value=(values.get("url")) required[id.is_none()] placeholder="https://desk.example.com/hook" autocomplete="off" spellcheck="false" maxlength="2048";
            }
            (was(values, "kind"))
        }
    }
}

/// What the form showed, so that only what was changed is sent.
fn was(values: &Values<'_>, name: &str) -> Markup {
    html! { input type="hidden" name=(format!("was-{name}")) value=(values.was(name)); }
}

fn text(values: &Values<'_>, name: &str, label: &str, placeholder: &str) -> Markup {
    html! {
        label { (label) input type="text" name=(name) value=(values.get(name)) placeholder=(placeholder) autocomplete="off" spellcheck="false" maxlength="500"; }
        (was(values, name))
    }
}

fn credentials(call: &Call, id: Option<&str>, values: &Values<'_>) -> Markup {
    if call.caller.role != Role::Admin {
        return html! { p.muted { "A destination with a login or a signature places a secret. An administrator adds it; without one it is saved as it stands here." } };
    }
    let keep = id.map(|_| ("keep", "as it is"));
    let choices = |all: &'static [(&'static str, &'static str)]| -> Vec<(&str, &str)> {
        keep.into_iter().chain(all.iter().copied()).collect()
    };
    html! {
        p.muted { "Whatever is typed here is kept encrypted and never comes out again. " code { "${secret:NAME}" } " names a secret that is kept already." }
        div.fields { label { "Authentication" (parts::select("auth", &values.get("auth"), &choices(AUTHS))) } }
        @for (kind, title, fields) in wish::AUTH_FIELDS { (group("auth", kind, title, fields, values)) }
        div.fields { label { "Signature" (parts::select("sign", &values.get("sign"), &choices(SIGNS))) } }
        @for (kind, title, fields) in wish::SIGN_FIELDS { (group("sign", kind, title, fields, values)) }
    }
}

/// The fields of one way; the script shows those of the chosen way only.
fn group(chosen_by: &str, kind: &str, title: &str, fields: &[wish::Field], values: &Values<'_>) -> Markup {
    html! {
        fieldset data-when={ (chosen_by) "=" (kind) } {
            legend { (title) }
            div.fields {
                @for field in fields {
                    @let name = format!("{chosen_by}_{kind}_{}", field.key);
                    label { (field.label)
                        @if field.secret { input type="password" name=(name) autocomplete="new-password" maxlength="4096"; }
                        @else { input type="text" name=(name) value=(values.get(&name)) placeholder=(field.default) autocomplete="off" spellcheck="false" maxlength="2048"; }
                    }
                }
            }
        }
    }
}

fn receives(call: &Call, values: &Values<'_>) -> Markup {
    let floors = [
        ("", "every priority"),
        ("low", "low and above"),
        ("medium", "medium and above"),
        ("high", "high and above"),
        ("critical", "critical only"),
    ];
    html! {
        div.fields {
            label { "Priority" (parts::select("min_severity", &values.get("min_severity"), &floors)) }
            (was(values, "min_severity"))
            (text(values, "dedupe", "Silent about the same thing for", "6h"))
            label { "Times are written as" (parts::select("time_format", &values.get("time_format"), &[("rfc3339", "RFC 3339"), ("epoch_micros", "microseconds since 1970")])) }
            (was(values, "time_format"))
            @if call.app.settings.tenants.is_some() && call.caller.tenant.is_none() { (text(values, "tenants", "Tenants, with commas; empty for all", "acme, globex")) }
        }
        fieldset {
            legend { "About; none ticked means everything" }
            div.boxes { @for kind in wish::ABOUT { label.box { input type="checkbox" name="kinds" value=(kind) checked[values.has("kinds", kind)]; (kind) } } }
            (was(values, "kinds"))
        }
    }
}

fn finer(values: &Values<'_>) -> Markup {
    html! {
        div.fields {
            (text(values, "timeout", "Waits for an answer", "10s"))
            (text(values, "retry_max", "Tries after the first", "3"))
            label { "The time between tries" (parts::select("retry_backoff", &values.get("retry_backoff"), &[("", "as usual: doubles"), ("exponential", "doubles"), ("linear", "grows by the first"), ("fixed", "stays the same")])) }
            (was(values, "retry_backoff"))
            (text(values, "retry_first", "First pause", "1s"))
            (text(values, "retry_cap", "Longest pause", "1m"))
            label { "Tries again after" (parts::select("retry_on", &values.get("retry_on"), &[("", "as usual: no answer, 408, 429, 5xx"), ("any", "everything but 2xx")])) }
            (was(values, "retry_on"))
            (text(values, "rate_requests", "At most so many requests", "60"))
            (text(values, "rate_per", "in", "1m"))
            (text(values, "concurrency", "At the same time, 1 to 32", "32"))
            (text(values, "breaker_failures", "Rests after so many failures in a row", "20"))
            (text(values, "breaker_pause", "for", "30s"))
        }
        label.box { input type="checkbox" name="ordered" value="true" checked[values.has("ordered", "true")]; "One at a time, in the order of the runs" }
        (was(values, "ordered"))
    }
}

/// The form that deletes, folded away.
pub(super) fn delete_form(call: &Call, id: &str) -> Markup {
    html! {
        @if inside::may(call, Verb::Delete, "/v1/destinations/{id}") {
            section.panel {
                details {
                    summary { strong { "Delete" } ", for good" }
                    p { "Its deliveries stay in the history. It is refused while a playbook names it." }
                    form.inline method="post" action=(link::path(&["destinations", id, "delete"])) data-confirm={ "Delete " (id) " for good?" } {
                        (parts::word(call))
                        button.danger type="submit" { "Delete " (id) }
                    }
                }
            }
        }
    }
}
