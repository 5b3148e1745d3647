//! `/playbooks/{id}`: its text, its versions and what is different between them, its switch, its last runs, and a form to
//! run it by hand.

use axum::http::StatusCode;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::diff::{self, Line};
use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{event, json as text, link, parts, playbooks, run, runs};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// What can just have been done.
const DONE: &[(&str, &str)] = &[
    ("on", "It is switched on. The switch survives reloads and restarts."),
    ("off", "It is switched off. Runs that have started go on."),
];
/// Versions on the page.
const VERSIONS: &str = "20";

/// `GET /playbooks/{id}`
pub(crate) async fn show(call: Call) -> Answer {
    let id = call.segment(0).to_owned();
    let playbook = match Ask::get("/v1/playbooks/{id}", &[&id]).ask(&call).await {
        Err(problem) if problem.status == StatusCode::NOT_FOUND && call.query.get("version").is_some() => {
            return gone(&call, &id).await;
        }
        found => found?,
    };
    let versions = Ask::get("/v1/playbooks/{id}/versions", &[&id]).with("limit", VERSIONS).ask(&call).await?;
    let shown = match call.query.get("version") {
        Some(digest) if digest != playbook.text("digest") => {
            Some(Ask::get("/v1/playbooks/{id}/versions/{digest}", &[&id, digest]).ask(&call).await?)
        }
        _ => None,
    };
    let content = html! {
        (parts::done(&call, DONE))
        (head(&call, &id, &playbook))
        @match &shown {
            Some(old) => (other_version(&id, old, &playbook)),
            None => (current(&playbook)),
        }
        div.columns {
            (facts(&playbook))
            (by_hand(&call, &id))
        }
        section.panel.flush aria-labelledby="runs" id="last-runs" data-live {
            h2 id="runs" { "Last runs" }
            (runs::table(&call, playbook.list("last_runs"), &parts::empty("It has not run yet", &html! {
                "The page of an event says why it did not: " a href="/events" { "events" } "."
            })))
        }
        (history(&id, &playbook, &versions))
    };
    layout::page(&call, Section::Playbooks, playbook.some("name").unwrap_or(&id), &content)
}

/// A text of a playbook that is not loaded any more.
async fn gone(call: &Call, id: &str) -> Answer {
    let digest = call.query.get("version").unwrap_or_default();
    let old = Ask::get("/v1/playbooks/{id}/versions/{digest}", &[id, digest]).ask(call).await?;
    let content = html! {
        div.head { div.grow { h1 { (id) } p.sub { "Version " code { (event::short(old.text("digest"))) } } } }
        div.note.warn { p { "This playbook is not loaded any more: its file is gone. The text below decided at its time, and is kept as long as the history needs it." } }
        section.panel aria-labelledby="text" { h2 id="text" { "The text of this version" } (run::listing(old.text("text"), &[])) }
        p { a.button href=(link::with("/runs", &[("playbook", id)])) { "Its runs" } }
    };
    layout::page(call, Section::Playbooks, id, &content)
}

fn head(call: &Call, id: &str, playbook: &Value) -> Markup {
    let on = playbook.flag("enabled");
    let (word, path) =
        if on { ("Switch off", "/v1/playbooks/{id}/disable") } else { ("Switch on", "/v1/playbooks/{id}/enable") };
    html! {
        div.head {
            div.grow {
                h1 { (playbook.some("name").unwrap_or(id)) " " (playbooks::state(playbook)) }
                p.sub { code { (id) } " in " code { (playbook.text("file")) } }
                @if let Some(about) = playbook.some("description") { p { (about) } }
            }
            div.actions {
                @if inside::may(call, Verb::Post, path) {
                    form.inline method="post" action=(link::path(&["playbooks", id, "switch"])) {
                        (parts::word(call))
                        input type="hidden" name="to" value=(if on { "off" } else { "on" });
                        button type="submit" class=[on.then_some("danger")] { (word) }
                    }
                }
            }
        }
    }
}

fn current(playbook: &Value) -> Markup {
    html! {
        section.panel aria-labelledby="text" {
            h2 id="text" { "The text in force" }
            (run::listing(playbook.text("text"), &[]))
        }
    }
}

fn other_version(id: &str, old: &Value, playbook: &Value) -> Markup {
    let all = diff::lines(old.text("text"), playbook.text("text"));
    let changed = all.iter().filter(|line| !matches!(line, Line::Same(_))).count();
    html! {
        div.note.warn {
            p { "This is version " code { (event::short(old.text("digest"))) } ", not the one in force. " a href=(link::playbook(id)) { "Show the one in force" } }
        }
        section.panel aria-labelledby="text" {
            h2 id="text" { "The text of this version" }
            (run::listing(old.text("text"), &[]))
        }
        section.panel aria-labelledby="diff" {
            h2 id="diff" { "What has changed since, " (changed) " lines" }
            ol.listing.plain tabindex="0" {
                @for line in all {
                    @match line {
                        Line::Same(text) => li { "  " (text) },
                        Line::Removed(text) => li.removed { "- " (text) },
                        Line::Added(text) => li.added { "+ " (text) },
                    }
                }
            }
        }
    }
}

fn facts(playbook: &Value) -> Markup {
    html! {
        section.panel aria-label="About the playbook" {
            h2 { "The playbook" }
            dl.facts {
                dt { "Triggers" } dd { (playbook.full("triggers").map(text::plain).unwrap_or_default()) }
                dt { "Steps" } dd { (playbook.number("steps").unwrap_or(0)) }
                dt { "Order" } dd { (playbook.full("order").map(text::plain).unwrap_or_default()) ", lower is decided first" }
                dt { "Tenants" } dd { (playbook.full("tenants").map_or_else(|| "all".to_owned(), text::plain)) }
                @if let Some(expires) = playbook.some("expires") { dt { "Expires" } dd { (parts::time(expires)) } }
                dt { "Version" } dd { code title=(playbook.text("digest")) { (event::short(playbook.text("digest"))) } }
            }
        }
    }
}

fn by_hand(call: &Call, id: &str) -> Markup {
    html! {
        @if inside::may(call, Verb::Post, "/v1/playbooks/{id}/run") {
            section.panel aria-labelledby="by-hand" {
                h2 id="by-hand" { "Run it by hand" }
                p.muted { "Its conditions are not asked: a person has decided. Its steps do what they say." }
                form.stack method="post" action=(link::path(&["playbooks", id, "run"])) data-confirm="Run this playbook now?" {
                    (parts::word(call))
                    label { "About" select name="what" {
                        option value="nothing" { "nothing in particular" } option value="alert" { "the alert" }
                        option value="case" { "the case" } option value="event" { "the event" }
                    } }
                    label { "With this id" input type="text" name="id" autocomplete="off" maxlength="512"; }
                    @if call.app.settings.tenants.is_some() && call.caller.tenant.is_none() {
                        label { "Tenant" input type="text" name="tenant" autocomplete="off"; }
                    }
                    label { "Inputs, as JSON" textarea name="inputs" spellcheck="false" placeholder="{}" {} }
                    div { button.primary type="submit" { "Run" } }
                }
            }
        }
    }
}

fn history(id: &str, playbook: &Value, versions: &Value) -> Markup {
    html! {
        section.panel.flush aria-labelledby="versions" {
            h2 id="versions" { "Versions" }
            @if versions.list("items").is_empty() {
                (parts::empty("No load of it is kept", &html! { "Loads are entries of the history; retention has dropped the older ones." }))
            } @else {
                div.scroll { table {
                    thead { tr { th scope="col" { "In force since" } th scope="col" { "Version" } th scope="col" { "Loaded by" } th scope="col" { "" } } }
                    tbody { @for version in versions.list("items") { tr {
                        td { (parts::time(version.text("since"))) }
                        td { @if let Some(digest) = version.some("digest") { code title=(digest) { (event::short(digest)) } } @else { span.muted { "taken away" } } }
                        td { (version.text("actor")) }
                        td {
                            @match version.some("digest") {
                                Some(digest) if digest == playbook.text("digest") => "in force",
                                Some(digest) => a href=(link::with(&link::playbook(id), &[("version", digest)])) { "text and difference" },
                                None => "",
                            }
                        }
                    } } }
                } }
            }
        }
    }
}

/// `POST /playbooks/{id}/switch`
pub(crate) async fn switch(call: Call, form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    let (path, word) = match form.get("to") {
        "on" => ("/v1/playbooks/{id}/enable", "on"),
        "off" => ("/v1/playbooks/{id}/disable", "off"),
        _ => return Err(Problem::bad("invalid_form", "`to` is `on` or `off`")),
    };
    Ask::post(path, &[&id], json!({})).ask(&call).await?;
    Ok(layout::see_other(&link::with(&link::playbook(&id), &[("done", word)])))
}

/// `POST /playbooks/{id}/run`
pub(crate) async fn run_by_hand(call: Call, form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    let mut body = json!({});
    let about = form.get("id").trim();
    match form.get("what") {
        "" | "nothing" => {}
        what @ ("alert" | "case" | "event") if !about.is_empty() => body[what] = about.into(),
        what @ ("alert" | "case" | "event") => return Err(Problem::bad("invalid_form", format!("say which {what}"))),
        _ => return Err(Problem::bad("invalid_form", "say what it is about")),
    }
    if !form.get("inputs").trim().is_empty() {
        body["inputs"] = serde_json::from_str(form.get("inputs"))
            .map_err(|error| Problem::bad("invalid_form", format!("the inputs are not JSON: {error}")))?;
    }
    if !form.get("tenant").trim().is_empty() {
        body["tenant"] = form.get("tenant").trim().into();
    }
    let made = Ask::post("/v1/playbooks/{id}/run", &[&id], body).ask(&call).await?;
    Ok(layout::see_other(&link::with(&link::run(made.text("run_id")), &[("done", "by-hand")])))
}
