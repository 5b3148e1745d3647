//! `/v1/approvals`: what playbooks ask people, and the answers.

use axum::http::StatusCode;
use engine::approval::{Decision, Question};
use model::run::{Awaited, WaitOn};
use model::{ApprovalId, Record, RunId};
use serde::{Deserialize, Serialize};
use serde_json::json as value;

use super::super::ingest::json;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::{refusal, tenant};
use crate::auth::Role;

/// An open question as it is shown.
#[derive(Serialize)]
struct Open {
    approval_id: String,
    ask: String,
    by: String,
    fields: Record,
    deadline: Option<String>,
    requester: Option<String>,
    run_id: String,
    step: String,
    playbook: String,
    tenant: String,
    alert_id: Option<String>,
    case_id: Option<String>,
    status: &'static str,
}

impl Open {
    fn of(question: &Question) -> Open {
        let (run, ask) = (&question.run, &question.ask);
        Open {
            approval_id: question.id.to_string(),
            ask: ask.ask.clone(),
            by: ask.by.clone(),
            fields: ask.fields.clone(),
            deadline: question.deadline.map(|time| time.to_string()),
            requester: ask.requester.clone(),
            run_id: run.id.to_string(),
            step: question.path.clone(),
            playbook: run.playbook.clone(),
            tenant: run.tenant.clone(),
            alert_id: run.alert.clone(),
            case_id: run.case.clone(),
            status: "open",
        }
    }
}

/// `GET /v1/approvals`
pub(in crate::http) async fn list(call: Call) -> Answer {
    let of = tenant(&call)?;
    let limit = call.query.limit()?;
    let open = call.app.engine.questions();
    let seen = open.iter().filter(|question| of.as_ref().is_none_or(|tenant| *tenant == question.run.tenant));
    // Open questions are few: whoever has more than a page of them answers some first.
    let items: Vec<Open> = seen.take(limit).map(Open::of).collect();
    json(StatusCode::OK, &value!({ "items": items, "next_cursor": null }))
}

/// The question in the path, when the caller sees it.
async fn seen(call: &Call) -> Result<Question, Problem> {
    let id: ApprovalId = call.id("approval")?;
    let missing = || Problem::not_found("approval", call.segment(0));
    let run = call.app.look(move |store| engine::view::runs::detail(store, id.run)).await?.ok_or_else(missing)?;
    if !call.caller.sees(&run.summary.tenant) {
        return Err(missing());
    }
    call.app.engine.question(id).await.map_err(|error| refusal(&error))
}

/// `GET /v1/approvals/{id}`
pub(in crate::http) async fn show(call: Call) -> Answer {
    json(StatusCode::OK, &Open::of(&seen(&call).await?))
}

/// An answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    decision: Decision,
    comment: Option<String>,
    #[serde(default)]
    fields: Record,
}

/// `POST /v1/approvals/{id}`
pub(in crate::http) async fn answer(mut call: Call) -> Answer {
    let Wish { decision, comment, fields } = call.json().await?;
    if !call.app.settings.auth_required {
        let detail =
            "with `auth: none` nobody is known, so that nobody can be told from who asks; set `auth: required`";
        return Err(Problem::new(StatusCode::FORBIDDEN, "needs_auth", detail));
    }
    let question = seen(&call).await?;
    if question.ask.by == Role::Admin.name() && call.caller.role != Role::Admin {
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "only an admin may answer this question"));
    }
    let actor = call.caller.actor();
    let answered = call.app.engine.answer(question.id, decision, (comment, fields), actor).await;
    let question = answered.map_err(|error| match error {
        engine::Refusal::Invalid { code: "own_request", message } => {
            Problem::new(StatusCode::FORBIDDEN, "own_request", message)
        }
        other => refusal(&other),
    })?;
    let (id, run) = (question.id.to_string(), question.run.id.to_string());
    json(StatusCode::OK, &value!({ "approval_id": id, "run_id": run, "decision": decision.name() }))
}

/// What a step of a run waits for.
#[derive(Debug, Serialize)]
pub(super) struct Waits {
    step: String,
    on: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<String>,
}

impl Waits {
    /// What a step of this run waits for.
    pub(super) fn of(run: RunId, awaited: &Awaited) -> Waits {
        let mut waits = Waits {
            step: awaited.path.clone(),
            on: "time",
            until: awaited.wait.until.map(|time| time.to_string()),
            approval_id: None,
            run_id: None,
            events: Vec::new(),
        };
        match &awaited.wait.on {
            WaitOn::Time => {}
            WaitOn::Event { types } => {
                waits.on = "event";
                waits.events.clone_from(types);
            }
            WaitOn::Approval(_) => {
                waits.on = "approval";
                waits.approval_id = Some(ApprovalId { run, index: awaited.index }.to_string());
            }
            WaitOn::Run { run } => {
                waits.on = "run";
                waits.run_id = Some(run.to_string());
            }
        }
        waits
    }
}
