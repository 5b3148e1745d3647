//! `/v1/runs`.

use axum::http::StatusCode;
use engine::command::{RetryFrom, RetryVersion};
use engine::view;
use model::RunId;
use model::run::RunStatus;
use serde::{Deserialize, Serialize};
use store::RunFilter;

use super::super::ingest::json;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::csv::{self, Table};
use super::{listing, refusal, shape, tenant};

/// The id of a run that was made or changed.
#[derive(Serialize)]
pub(in crate::http) struct Made {
    pub(in crate::http) run_id: String,
}

/// The statuses that a listing asks for.
///
/// # Errors
/// 400 for a name that is none.
fn statuses(call: &Call) -> Result<Vec<RunStatus>, Problem> {
    let one = |name: &str| {
        let known = RunStatus::ALL.map(RunStatus::name).join(", ");
        RunStatus::from_name(name)
            .ok_or_else(|| Problem::bad("invalid_query", format!("`status` is one or more of {known}")))
    };
    call.query.list("status").into_iter().map(one).collect()
}

/// What a listing of runs or deliveries asks for.
///
/// # Errors
/// 400 for what cannot be, 404 for a tenant that the caller does not see.
pub(super) fn filter(call: &Call) -> Result<RunFilter, Problem> {
    let event = call.query.get("event").map(str::parse::<model::EventId>).transpose();
    let event = event.map_err(|e| Problem::bad("invalid_query", format!("`event`: {e}")))?;
    Ok(RunFilter {
        playbook: call.query.text("playbook"),
        statuses: Vec::new(),
        alert: call.query.text("alert"),
        case: call.query.text("case"),
        event: event.map(|id| id.seq),
        destination: call.query.text("destination"),
        tenant: tenant(call)?,
        since: call.query.time("since")?,
        until: call.query.time("until")?,
    })
}

const TABLE: Table = Table {
    name: "runs",
    columns: &[
        "run_id",
        "playbook",
        "playbook_digest",
        "status",
        "mode",
        "trigger",
        "event_id",
        "alert_id",
        "case_id",
        "tenant",
        "created_at",
        "started_at",
        "ended_at",
        "duration_ms",
        "reason",
        "retry_of",
        "called_by",
        "deliveries",
    ],
    pages: |call| Box::pin(page(call)),
};

/// `GET /v1/runs`
pub(in crate::http) async fn list(call: Call) -> Answer {
    if csv::wanted(&call)? { csv::answer(call, &TABLE).await } else { page(call).await }
}

async fn page(call: Call) -> Answer {
    let filter = RunFilter { statuses: statuses(&call)?, ..filter(&call)? };
    let (after, limit) = (call.query.cursor()?, call.query.limit()?);
    let page = call.app.look(move |store| view::runs::page(store, &filter, after, limit)).await?;
    listing(page, |run| shape::Run::of(&run))
}

/// The run in the path, when the caller sees it.
async fn seen(call: &Call) -> Result<view::runs::Detail, Problem> {
    let id: RunId = call.id("run")?;
    let found = call.app.look(move |store| view::runs::detail(store, id)).await?;
    found
        .filter(|detail| call.caller.sees(&detail.summary.tenant))
        .ok_or_else(|| Problem::not_found("run", call.segment(0)))
}

/// `GET /v1/runs/{id}`
pub(in crate::http) async fn show(call: Call) -> Answer {
    let detail = seen(&call).await?;
    json(StatusCode::OK, &shape::RunDetail::of(&detail, call.caller.role.sees_answers()))
}

/// `POST /v1/runs/{id}/cancel`
pub(in crate::http) async fn cancel(mut call: Call) -> Answer {
    let Empty {} = call.json().await?;
    let run = seen(&call).await?.summary.id;
    call.app.engine.cancel(run, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    json(StatusCode::OK, &Made { run_id: run.to_string() })
}

/// A body without keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Empty {}

/// How a run is repeated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retry {
    #[serde(default)]
    from: From,
    #[serde(default)]
    version: Version,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum From {
    #[default]
    Start,
    Failed,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Version {
    #[default]
    Same,
    Current,
}

/// `POST /v1/runs/{id}/retry`
pub(in crate::http) async fn retry(mut call: Call) -> Answer {
    let asked: Retry = call.json().await?;
    let run = seen(&call).await?.summary.id;
    let from = match asked.from {
        From::Start => RetryFrom::Start,
        From::Failed => RetryFrom::Failed,
    };
    let version = match asked.version {
        Version::Same => RetryVersion::Same,
        Version::Current => RetryVersion::Current,
    };
    let made = call.app.engine.retry(run, from, version, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    json(StatusCode::ACCEPTED, &Made { run_id: made.to_string() })
}
