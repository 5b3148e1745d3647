//! Trying a playbook out: its tests, and a back-test over the events that the store holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use playbook::{Playbook, Source};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use super::super::ingest::json;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::playbooks::find;
use super::runs::Empty;
use super::tenant;
use crate::workshop::Trial;
use crate::workshop::past::{self, Counts, DAYS_MAX, Named, Outcome, Wanted};
use crate::workshop::tests::{self, Tested};

/// Days that are looked back when nothing is said.
const DAYS: u32 = 7;

/// What became of the tests of a playbook.
#[derive(Serialize)]
pub(super) struct Report {
    playbook_digest: String,
    at: String,
    by: String,
    ok: bool,
    passed: usize,
    failed: usize,
    left_out: usize,
    took_ms: u64,
    steps: usize,
    steps_reached: usize,
    tests: Vec<One>,
    missed: Vec<Missed>,
    wrong: Vec<String>,
}

#[derive(Serialize)]
struct One {
    name: String,
    file: String,
    line: u32,
    ok: bool,
    differences: Vec<Difference>,
}

#[derive(Serialize)]
struct Difference {
    what: String,
    expected: Option<String>,
    got: String,
    line: u32,
}

#[derive(Serialize)]
struct Missed {
    what: String,
    line: u32,
}

impl Report {
    /// What became of them, as it is written.
    pub(super) fn of(tested: &Tested) -> Report {
        let one = |one: &tests::One| One {
            name: one.name.clone(),
            file: one.file.clone(),
            line: one.line,
            ok: one.differences.is_empty(),
            differences: one
                .differences
                .iter()
                .map(|found| Difference {
                    what: found.what.clone(),
                    expected: found.wanted.clone(),
                    got: found.got.clone(),
                    line: found.line,
                })
                .collect(),
        };
        let all: Vec<One> = tested.all.iter().map(one).collect();
        let failed = all.iter().filter(|one| !one.ok).count();
        Report {
            playbook_digest: tested.trial.digest.to_string(),
            at: tested.trial.at.to_string(),
            by: tested.trial.by.clone(),
            ok: failed == 0 && tested.left_out == 0 && tested.wrong.is_empty(),
            passed: all.len() - failed,
            failed,
            left_out: tested.left_out,
            took_ms: u64::try_from(tested.took.as_millis()).unwrap_or(u64::MAX),
            steps: tested.steps.0,
            steps_reached: tested.steps.1,
            tests: all,
            missed: tested.missed.iter().map(|(what, line)| Missed { what: what.clone(), line: *line }).collect(),
            wrong: tested.wrong.clone(),
        }
    }
}

fn turn(call: &Call) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = || Problem::conflict("busy", "another playbook is being tried out; try again in a moment");
    call.app.settings.workshop.turn().ok_or_else(busy)
}

/// `POST /v1/playbooks/{id}/test`
pub(in crate::http) async fn test(mut call: Call) -> Answer {
    let Empty {} = call.json().await?;
    let playbook = find(&call)?;
    let turn = turn(&call)?;
    let trial =
        Trial { digest: playbook.digest, at: call.app.engine.store().now(), by: call.caller.actor().to_string() };
    let (workshop, engine, of) = (Arc::clone(&call.app.settings.workshop), call.app.engine.clone(), playbook.clone());
    let tested = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        tests::run(&workshop, &engine, &of, trial)
    });
    let tested = tested.await.map_err(|error| Problem::inside(error.to_string()))?;
    let tested = Arc::new(tested.map_err(|error| Problem::inside(error.to_string()))?);
    call.app.settings.workshop.remember(&playbook.id, Arc::clone(&tested));
    json(StatusCode::OK, &Report::of(&tested))
}

/// How far back, and which text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    days: Option<u32>,
    #[serde(default)]
    text: Option<String>,
}

/// What a playbook would have decided.
#[derive(Serialize)]
struct Tried {
    since: Option<String>,
    until: Option<String>,
    days: u32,
    events: u64,
    complete: bool,
    took_ms: u64,
    verdicts: Counts,
    /// Of the text in force, where another one was tried.
    before: Option<Counts>,
    by_day: BTreeMap<String, Counts>,
    would_send: BTreeMap<String, Counts>,
    named: Vec<Event>,
    named_total: u64,
}

/// An event of interest.
#[derive(Serialize)]
struct Event {
    event_id: String,
    time: String,
    r#type: String,
    verdict: Option<&'static str>,
    before: Option<&'static str>,
    reason: String,
}

impl Event {
    fn of(named: Named) -> Event {
        Event {
            event_id: named.event.to_string(),
            time: named.time.to_string(),
            r#type: named.kind,
            verdict: named.verdict.map(model::Verdict::name),
            before: named.before.map(model::Verdict::name),
            reason: named.reason,
        }
    }
}

/// `POST /v1/playbooks/{id}/backtest`
pub(in crate::http) async fn backtest(mut call: Call) -> Answer {
    let Asked { days, text } = call.json().await?;
    let days = days.unwrap_or(DAYS);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Problem::bad("invalid_value", format!("`days` is a number from 1 to {DAYS_MAX}")));
    }
    let now = find(&call)?;
    let other = text.map(|text| compile(&call, &now, text)).transpose()?;
    let compared = other.is_some();
    let turn = turn(&call)?;
    let engine = call.app.engine.clone();
    let wanted = Wanted { now, other, days, tenant: tenant(&call)? };
    let outcome = call.app.look(move |store| {
        let _turn = turn;
        past::run(&engine, store, &wanted)
    });
    let Outcome { since, until, events, complete, verdicts, before, days: by_day, sends, named, named_total, took } =
        outcome.await?;
    let tried = Tried {
        since: since.map(|time| time.to_string()),
        until: until.map(|time| time.to_string()),
        days,
        events,
        complete,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        verdicts,
        before: compared.then_some(before),
        by_day,
        would_send: sends,
        named: named.into_iter().map(Event::of).collect(),
        named_total,
    };
    json(StatusCode::OK, &tried)
}

/// A text that is not in force. It must be of the same playbook.
fn compile(call: &Call, now: &Playbook, text: String) -> Result<Arc<Playbook>, Problem> {
    let context = call.app.engine.context();
    let destinations = context.destinations();
    let catalog = call.app.settings.workshop.catalog(&destinations.event_sets);
    let source = Source { file: now.file.clone(), text: text.replace("\r\n", "\n") };
    let compiled = playbook::compile(&source, &catalog, call.app.engine.evaluator()).map_err(|all| {
        let said: Vec<String> =
            all.iter().take(5).map(|one| format!("line {}: {} ({})", one.span.line, one.message, one.code)).collect();
        Problem::bad("invalid_playbook", said.join("; "))
    })?;
    if compiled.id != now.id {
        return Err(Problem::bad(
            "invalid_playbook",
            format!("this is the text of `{}`, not of `{}`", compiled.id, now.id),
        ));
    }
    Ok(Arc::new(compiled))
}
