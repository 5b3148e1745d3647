//! `/playbooks/{id}`: its text, its versions and what is different between them, its switch, its last runs, and a form to
//! run it by hand.

use axum::http::StatusCode;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::diff::{self, Line};
use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{event, json as text, link, parts, playbooks, rehearsal, run, runs, tryout};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// What can just have been done.
const DONE: &[(&str, &str)] = &[
    ("on", "It is switched on. The switch survives reloads and restarts."),
    ("off", "It is switched off. Runs that have started go on."),
];
/// What the name of the field of an input begins with.
const INPUT: &str = "input-";
/// What the name of the field with its type begins with.
const TYPE: &str = "type-";
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
    let versions = Ask::get("/v1/playbooks/{id}/versions", &[&id])
        .with("limit", VERSIONS)
        .with("cursor", call.query.get("cursor").unwrap_or_default())
        .list(&call)
        .await?;
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
            (by_hand(&call, &id, &playbook))
        }
        div.columns {
            (tryout::tests(&call, &id, &playbook))
            (tryout::backtest_form(&call, &id, "7", None))
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
    let of_this = |tested: &&Value| tested.text("playbook_digest") == playbook.text("digest");
    let missed = playbook.full("tested").filter(of_this).map_or(&[][..], |tested| tested.list("missed"));
    let marks: Vec<u64> = missed.iter().filter_map(|one| one.number("line")).collect();
    html! {
        section.panel aria-labelledby="text" {
            h2 id="text" { "The text in force" }
            @if !marks.is_empty() { p.muted { "Marked: what no test reaches." } }
            (run::listing(playbook.text("text"), &marks))
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

fn by_hand(call: &Call, id: &str, playbook: &Value) -> Markup {
    html! {
        @if inside::may(call, Verb::Post, "/v1/playbooks/{id}/run") {
            section.panel aria-labelledby="by-hand" {
                h2 id="by-hand" { "Run it by hand" }
                p.muted { "Its conditions are not asked: a person has decided. Its steps do what they say; a rehearsal says what they would do." }
                form.stack method="post" action=(link::path(&["playbooks", id, "run"])) {
                    (parts::word(call))
                    label { "About" select name="what" {
                        option value="nothing" { "nothing in particular" } option value="alert" { "the alert" }
                        option value="case" { "the case" } option value="event" { "the event" }
                    } }
                    label { "With this id" input type="text" name="id" autocomplete="off" maxlength="512"; }
                    @if call.app.settings.tenants.is_some() && call.caller.tenant.is_none() {
                        label { "Tenant" input type="text" name="tenant" autocomplete="off"; }
                    }
                    @for input in playbook.list("inputs") { (input_field(input)) }
                    div.buttons {
                        button.primary type="submit" name="do" value="run" { "Run" }
                        button type="submit" name="do" value="rehearse" { "Rehearse, do nothing" }
                    }
                }
            }
        }
    }
}

/// The field of an input, by its type.
fn input_field(input: &Value) -> Markup {
    let (name, kind, required) = (input.text("name"), input.text("type"), input.flag("required"));
    let key = format!("{INPUT}{name}");
    let default = input.full("default");
    let written =
        default.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).unwrap_or_default();
    let label = html! { (name) @if let Some(about) = input.some("description") { ": " (about) } @if !required { " (optional)" } };
    html! {
        input type="hidden" name={ (TYPE) (name) } value=(kind);
        @match kind {
            "boolean" => label { (label) select name=(key) {
                option value="" { @match default { Some(value) => { "as usual: " (value) }, None => "not given" } }
                option value="true" { "true" } option value="false" { "false" }
            } },
            "number" => label { (label) input type="number" step="any" name=(key) required[required && default.is_none()] placeholder=(written); },
            "list" | "object" => label { (label) ", as JSON" textarea name=(key) spellcheck="false" required[required && default.is_none()] placeholder=(if written.is_empty() { if kind == "list" { "[]" } else { "{}" } } else { &written }) {} },
            _ => label { (label) input type="text" name=(key) required[required && default.is_none()] maxlength="2000" autocomplete="off" placeholder=(written); },
        }
    }
}

fn history(id: &str, playbook: &Value, versions: &Value) -> Markup {
    html! {
        section.panel.flush aria-labelledby="versions" {
            h2 id="versions" { "Versions" }
            @if versions.list("items").is_empty() {
                (parts::empty("No load of it was found", &html! { @if parts::goes_on(versions) { "It was loaded longer ago than one look takes in." } @else { "Loads are entries of the history; retention has dropped the older ones." } }))
            } @else {
                div.scroll { table {
                    thead { tr { th scope="col" { "In force since" } th scope="col" { "Version" } th scope="col" { "Loaded by" } th scope="col" { "Commit" } th scope="col" { "Compare" } } }
                    tbody { @for version in versions.list("items") { tr {
                        td { (parts::time(version.text("since"))) }
                        td { @if let Some(digest) = version.some("digest") { code title=(digest) { (event::short(digest)) } } @else { span.muted { "taken away" } } }
                        td { (version.text("actor")) }
                        td.wide { (commit(version)) }
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
            @if let Some(cursor) = versions.some("next_cursor") {
                nav.paging aria-label="Older versions" { a.button rel="next" href={ (link::with(&link::playbook(id), &[("cursor", cursor)])) "#versions" } { "Older versions" } }
            }
        }
    }
}

/// Who wrote it, as git knows it.
fn commit(version: &Value) -> Markup {
    html! {
        @match version.some("commit") {
            Some(commit) => {
                code title=(commit) { (commit.chars().take(10).collect::<String>()) } " by " (version.text("author"))
                @if !version.list("uncommitted").is_empty() { div.warn title=(text::plain(&Value::Array(version.list("uncommitted").to_vec()))) { "and " (version.list("uncommitted").len()) " files that were not committed" } }
            },
            None => span.muted { "no git checkout" },
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
    body["inputs"] = Value::Object(given(&form)?);
    if !form.get("tenant").trim().is_empty() {
        body["tenant"] = form.get("tenant").trim().into();
    }
    if form.get("do") == "rehearse" {
        body["dry_run"] = true.into();
        let told = Ask::post("/v1/playbooks/{id}/run", &[&id], body).ask(&call).await?;
        return rehearsed(&call, &id, &told);
    }
    let made = Ask::post("/v1/playbooks/{id}/run", &[&id], body).ask(&call).await?;
    Ok(layout::see_other(&link::with(&link::run(made.text("run_id")), &[("done", "by-hand")])))
}

/// The inputs as their types say; what was left empty is left out.
fn given(form: &Form) -> Result<Map<String, Value>, Problem> {
    let mut inputs = Map::new();
    for name in form.names(TYPE) {
        let (text, kind) = (form.get(&format!("{INPUT}{name}")), form.get(&format!("{TYPE}{name}")));
        if text.trim().is_empty() {
            continue;
        }
        let value = match kind {
            "string" => Value::from(text),
            kind => serde_json::from_str(text.trim()).map_err(|error| {
                Problem::bad("invalid_form", format!("`{name}` is a {kind}, written as JSON: {error}"))
            })?,
        };
        inputs.insert(name.to_owned(), value);
    }
    Ok(inputs)
}

/// What a run by hand would have done.
fn rehearsed(call: &Call, id: &str, told: &Value) -> Answer {
    let content = html! {
        div.head { div.grow { h1 { "Rehearsed" } p.sub { a href=(link::playbook(id)) { (id) } ": nothing was sent, changed or kept." } } }
        (rehearsal::told(told))
        p { a.button href=(link::playbook(id)) { "Back to the playbook" } }
    };
    layout::page(call, Section::Playbooks, "Rehearsed", &content)
}
