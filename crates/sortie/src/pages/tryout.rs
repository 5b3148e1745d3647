//! Trying a playbook out from its page: its tests, and a back-test over the last days.

use std::collections::BTreeSet;

use maud::{Markup, html};
use serde_json::{Value, json};

use super::form::Form;
use super::inside::{self, Ask};
use super::json::Read as _;
use super::layout::{self, Section};
use super::{link, parts};
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call, Verb};

/// How far back, to choose from.
const DAYS: &[(&str, &str)] =
    &[("1", "the last day"), ("7", "the last 7 days"), ("30", "the last 30 days"), ("90", "the last 90 days")];
/// Verdicts in the order of the table; others follow.
const VERDICTS: [&str; 4] = ["matched", "observed", "failed", "not_matched"];

/// The tests of a playbook: what became of them last, and the button that carries them out.
pub(super) fn tests(call: &Call, id: &str, playbook: &Value) -> Markup {
    let may = inside::may(call, Verb::Post, "/v1/playbooks/{id}/test");
    let tested = playbook.full("tested");
    html! {
        section.panel aria-labelledby="tests" {
            h2 id="tests" { "Tests" }
            @match tested {
                Some(tested) => (results(tested, playbook.text("digest"))),
                None => p.muted { @if playbook.number("tests").unwrap_or(0) == 0 { "Its text holds no test. Write some under " code { "tests:" } ", or in " code { (id) ".test.yaml" } " beside it." }
                    @else { (playbook.number("tests").unwrap_or(0)) " tests stand in its text. They were not carried out since the server started." } },
            }
            @if may {
                form.inline method="post" action=(link::path(&["playbooks", id, "test"])) {
                    (parts::word(call))
                    button type="submit" data-busy="The tests are running…" { @if tested.is_some() { "Run the tests again" } @else { "Run the tests" } }
                    span.muted { "Nothing leaves the machine, nothing is stored." }
                }
            }
        }
    }
}

fn results(tested: &Value, in_force: &str) -> Markup {
    let (passed, failed) = (tested.number("passed").unwrap_or(0), tested.number("failed").unwrap_or(0));
    html! {
        p {
            @if passed + failed == 0 { span.badge.quiet { "–" " no tests" } }
            @else if tested.flag("ok") { span.badge.good { "✓ " (passed) " passed" } }
            @else { span.badge.bad { "✕ " (failed) " failed" } " " (passed) " passed" }
            ", " (parts::time(tested.text("at"))) " by " (tested.text("by")) ", in " (parts::took(tested.number("took_ms").unwrap_or(0)))
            @if tested.text("playbook_digest") != in_force { " " span.badge.warn { "! of another version" } }
        }
        @if let Some(left) = tested.number("left_out").filter(|left| *left > 0) { p.warn { (left) " were not carried out, because the others took too long." } }
        @for wrong in tested.list("wrong") { p.bad { (wrong.as_str().unwrap_or_default()) } }
        ul.results {
            @for one in tested.list("tests") {
                li {
                    @if one.flag("ok") { span.good aria-hidden="true" { "✓" } " " (one.text("name")) }
                    @else {
                        span.bad { "✕ " strong { (one.text("name")) } } " " span.muted { (one.text("file")) " line " (one.number("line").unwrap_or(1)) }
                        @for found in one.list("differences") { div.difference {
                            code { (found.text("what")) }
                            @if let Some(wanted) = found.some("expected") { ": expected " code { (wanted) } ", got " code { (found.text("got")) } } @else { ": " (found.text("got")) }
                        } }
                    }
                }
            }
        }
        @if passed + failed > 0 {
            p.muted { (tested.number("steps_reached").unwrap_or(0)) " of " (tested.number("steps").unwrap_or(0)) " steps reached."
                @for missed in tested.list("missed") { @let line = missed.number("line").unwrap_or(1); " Never: " a href=(format!("#L{line}")) { (missed.text("what")) } "." } }
        }
    }
}

/// The form of a back-test.
pub(super) fn backtest_form(call: &Call, id: &str, days: &str, text: Option<&str>) -> Markup {
    html! {
        @if inside::may(call, Verb::Post, "/v1/playbooks/{id}/backtest") {
            section.panel aria-labelledby="backtest" {
                h2 id="backtest" { "Try it on the past" }
                p.muted { "What it would have decided and sent about the events that are stored. Nothing leaves the machine, nothing is stored." }
                form.sheet method="post" action=(link::path(&["playbooks", id, "backtest"])) {
                    (parts::word(call))
                    div.fields { label { "Over" (parts::select("days", days, DAYS)) } }
                    @if let Some(text) = text {
                        details { summary { "With another text, before it stands in the file" }
                            label { "Text" textarea.code name="text" rows="18" spellcheck="false" { (text) } } }
                    }
                    div.buttons { button type="submit" data-busy="Deciding…" { "Try it" } }
                }
            }
        }
    }
}

/// `POST /playbooks/{id}/test`: carries the tests out, and shows the page with what became of them.
pub(crate) async fn test(call: Call, _form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    Ask::post("/v1/playbooks/{id}/test", &[&id], json!({})).ask(&call).await?;
    Ok(layout::see_other(&format!("{}#tests", link::playbook(&id))))
}

/// `POST /playbooks/{id}/backtest`: what came of it, as a page of its own.
pub(crate) async fn backtest(call: Call, form: Form) -> Answer {
    let id = call.segment(0).to_owned();
    let playbook = Ask::get("/v1/playbooks/{id}", &[&id]).ask(&call).await?;
    let days: u32 = form.get("days").parse().map_err(|_| Problem::bad("invalid_form", "say over how many days"))?;
    let text = form.get("text");
    let other = !text.trim().is_empty() && text.trim_end() != playbook.text("text").trim_end();
    let mut body = json!({ "days": days });
    if other {
        body["text"] = text.into();
    }
    let (tried, wrong) = match Ask::post("/v1/playbooks/{id}/backtest", &[&id], body).ask(&call).await {
        Ok(tried) => (Some(tried), None),
        Err(problem) if problem.code == "invalid_playbook" => (None, Some(problem)),
        Err(problem) => return Err(problem),
    };
    let name = playbook.some("name").unwrap_or(&id);
    let content = html! {
        div.head { div.grow { h1 { "Tried on the past" } p.sub { a href=(link::playbook(&id)) { (name) } @if other { ", with another text" } @else { ", as it is in force" } } } }
        @if let Some(problem) = &wrong { div.note.bad role="alert" { p { strong { "The text is not a playbook that could be loaded. " } (problem.detail) } } }
        @if let Some(tried) = &tried { (outcome(tried)) }
        (backtest_form(&call, &id, form.get("days"), Some(if other { text } else { playbook.text("text") })))
    };
    layout::page(&call, Section::Playbooks, "Tried on the past", &content)
}

fn outcome(tried: &Value) -> Markup {
    let events = tried.number("events").unwrap_or(0);
    html! {
        @if !tried.flag("complete") { div.note.warn { p { "There are more events than one look takes in: only the newest were tried. " code { "sortie backtest" } " takes all of them." } } }
        section.panel aria-labelledby="outcome" {
            h2 id="outcome" { (events) " events" }
            @if events == 0 { p { "No event is kept of these days." } } @else {
                p.muted { "From " (parts::time(tried.text("since"))) " to " (parts::time(tried.text("until"))) ", decided in " (parts::took(tried.number("took_ms").unwrap_or(0))) "." }
                (by_day(tried))
            }
        }
        @if tried.full("would_send").is_some() { (sends(tried)) }
        (named(tried))
    }
}

/// The verdicts that occur, in their order.
fn verdicts(tried: &Value) -> Vec<String> {
    let all: BTreeSet<&String> =
        tried.full("verdicts").and_then(Value::as_object).into_iter().flat_map(|all| all.keys()).collect();
    let known = VERDICTS.iter().filter(|name| all.iter().any(|one| one == *name)).map(|name| (*name).to_owned());
    let others = all.iter().filter(|name| !VERDICTS.contains(&name.as_str())).map(|name| (*name).clone());
    known.chain(others).collect()
}

fn by_day(tried: &Value) -> Markup {
    let names = verdicts(tried);
    let count = |counts: Option<&Value>, name: &str| counts.and_then(|counts| counts.number(name)).unwrap_or(0);
    let days = tried.full("by_day").and_then(Value::as_object);
    html! {
        @if names.is_empty() { p { "It listens to none of them." } } @else {
            div.scroll { table {
                thead { tr { th scope="col" { "Day (UTC)" } @for name in &names { th.num scope="col" { (parts::words(name)) } } } }
                tbody {
                    @for (day, counts) in days.into_iter().flatten() { tr {
                        th scope="row" { (day) }
                        @for name in &names { td.num { (count(Some(counts), name)) } }
                    } }
                    tr.sum { th scope="row" { "All" } @for name in &names { td.num { strong { (count(tried.full("verdicts"), name)) } } } }
                    @if tried.full("before").is_some() { tr { th scope="row" { "The text in force" } @for name in &names { td.num { (count(tried.full("before"), name)) } } } }
                }
            } }
        }
    }
}

fn sends(tried: &Value) -> Markup {
    let all = tried.full("would_send").and_then(Value::as_object);
    html! {
        section.panel.flush aria-labelledby="sends" {
            h2 id="sends" { "What it would have sent" }
            div.scroll { table {
                thead { tr { th scope="col" { "Destination" } th.num scope="col" { "Sent" } th.num scope="col" { "Held back by a silent window" } th.num scope="col" { "Not wanted there" } } }
                tbody { @for (destination, counts) in all.into_iter().flatten() { tr {
                    td { a href=(link::path(&["destinations", destination])) { (destination) } }
                    @for how in ["sent", "held_back", "suppressed"] { td.num { (counts.number(how).unwrap_or(0)) } }
                } } }
            } }
        }
    }
}

fn named(tried: &Value) -> Markup {
    let (items, total) = (tried.list("named"), tried.number("named_total").unwrap_or(0));
    let compared = tried.full("before").is_some() || items.iter().any(|one| one.some("before").is_some());
    html! {
        section.panel.flush aria-labelledby="named" {
            h2 id="named" { @if compared { "Events that the two texts decide differently" } @else { "Events that it would have acted on" } }
            @if items.is_empty() { (parts::empty(if compared { "None" } else { "It would have acted on none of them" }, &html! { "The page of an event says what a condition saw." })) } @else {
                @if total > items.len() as u64 { p.muted { "The newest " (items.len()) " of " (total) "." } }
                div.scroll { table {
                    thead { tr { th scope="col" { "Decision" } @if compared { th scope="col" { "In force" } } th scope="col" { "Event" } th scope="col" { "When" } th scope="col" { "Because" } } }
                    tbody { @for one in items { tr {
                        td { (verdict(one.some("verdict"))) }
                        @if compared { td { (verdict(one.some("before"))) } }
                        td { a href=(link::event(one.text("event_id"))) { (one.text("type")) } }
                        td { (parts::time(one.text("time"))) }
                        td.wide { (one.text("reason")) }
                    } } }
                } }
            }
        }
    }
}

fn verdict(name: Option<&str>) -> Markup {
    html! { @match name { Some(name) => (parts::badge(name)), None => span.muted { "does not listen" } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_test_is_text_and_says_both_sides() {
        let tested = json!({"passed": 1, "failed": 1, "ok": false, "at": "2026-11-25T12:00:00.000Z", "by": "user:a", "tests": [
            {"name": "<b>good</b>", "ok": true}, {"name": "bad", "ok": false, "file": "a.yaml", "line": 3,
             "differences": [{"what": "verdict", "expected": "matched", "got": "not_matched", "line": 5}]}],
            "steps": 2, "steps_reached": 1, "missed": [{"what": "step b", "line": 9}]});
        let shown = results(&tested, "").into_string();
        assert!(shown.contains("&lt;b&gt;good") && !shown.contains("<b>good"), "{shown}");
        assert!(shown.contains("expected <code>matched</code>, got <code>not_matched</code>"), "{shown}");
        assert!(shown.contains("href=\"#L9\""), "{shown}");
    }
}
