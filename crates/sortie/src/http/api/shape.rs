//! Runs, deliveries and what belongs to them, as they are written.
//!
//! Length: what is written stands in one place, so that a field is seen beside its neighbours.

use engine::view;
use model::run::{
    Answer, Attempt, AttemptOutcome, Delivery, Fact, Redacted, RunStart, RunSummary, StepError, StepState,
};
use model::{DeliveryId, Input, Record};
use serde::Serialize;
use serde_json::Value;

use super::approvals::Waits;

/// A run in a listing.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    run_id: String,
    playbook: String,
    playbook_digest: String,
    status: &'static str,
    mode: &'static str,
    trigger: String,
    event_id: String,
    alert_id: Option<String>,
    case_id: Option<String>,
    tenant: String,
    created_at: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    called_by: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits: Vec<Waits>,
    deliveries: u32,
}

impl Run {
    /// A run as it is listed.
    pub(crate) fn of(run: &RunSummary) -> Run {
        let took = run.started_at.zip(run.ended_at).map(|(from, to)| to.since(from).as_millis());
        Run {
            run_id: run.id.to_string(),
            playbook: run.playbook.clone(),
            playbook_digest: run.digest.to_string(),
            status: run.status.name(),
            mode: if run.observed { "observe" } else { "act" },
            trigger: run.trigger.clone(),
            event_id: run.event.to_string(),
            alert_id: run.alert.clone(),
            case_id: run.case.clone(),
            tenant: run.tenant.clone(),
            created_at: run.created_at.to_string(),
            started_at: run.started_at.map(|t| t.to_string()),
            ended_at: run.ended_at.map(|t| t.to_string()),
            duration_ms: took.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX)),
            reason: run.reason.clone(),
            retry_of: run.retry_of.map(|id| id.to_string()),
            called_by: run.caller.map(|id| id.to_string()),
            waits: run.waits.iter().map(|wait| Waits::of(run.id, wait)).collect(),
            deliveries: run.deliveries_total,
        }
    }
}

/// One run with everything that is kept of it.
#[derive(Debug, Serialize)]
pub(crate) struct RunDetail {
    #[serde(flatten)]
    run: Run,
    trigger_fields: Option<Record>,
    inputs: Option<Record>,
    chain: Vec<Link>,
    cancelled_by: Option<String>,
    /// What a run of `mode: observe` would have done.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Value>,
    steps: Vec<Step>,
    history: Vec<Moment>,
    history_incomplete: bool,
    sent: Vec<Sent>,
    playbook_text: Option<String>,
}

/// One run in the chain behind another.
#[derive(Debug, Serialize)]
struct Link {
    playbook: String,
    run_id: String,
}

/// A step of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    path: String,
    action: String,
    status: &'static str,
    attempts: Vec<Try>,
    input: Option<Input>,
    output: Option<Value>,
    error: Option<Fault>,
    started_at: String,
    ended_at: Option<String>,
    handled: bool,
}

/// One try of an action.
#[derive(Debug, Serialize)]
pub(crate) struct Try {
    n: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    started_at: String,
    ended_at: String,
    latency_ms: u64,
    outcome: &'static str,
    http_status: Option<u16>,
    error: Option<Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Heard>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    redacted: Vec<Redacted>,
}

/// What a receiver answered.
#[derive(Debug, Serialize)]
struct Heard {
    body: String,
    bytes: u64,
    truncated: bool,
}

/// What went wrong in a step.
#[derive(Debug, Serialize)]
struct Fault {
    code: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Spot>,
}

/// A place in the playbook's text.
#[derive(Debug, Serialize)]
struct Spot {
    line: u32,
    column: u32,
}

/// One fact of a run's history.
#[derive(Debug, Serialize)]
struct Moment {
    seq: u64,
    time: String,
    actor: String,
    fact: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<Try>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// A delivery of the run.
#[derive(Debug, Serialize)]
pub(crate) struct Sent {
    delivery_id: String,
    #[serde(flatten)]
    stands: Stands,
}

/// How a delivery stands.
#[derive(Debug, Serialize)]
pub(crate) struct Stands {
    destination: String,
    step: String,
    status: &'static str,
    reason: Option<String>,
    attempts: u32,
    http_status: Option<u16>,
    last_at: String,
    next_at: Option<String>,
}

/// A delivery in a listing.
#[derive(Debug, Serialize)]
pub(crate) struct DeliveryItem {
    delivery_id: String,
    run_id: String,
    playbook: String,
    tenant: String,
    alert_id: Option<String>,
    case_id: Option<String>,
    webhook_id: String,
    #[serde(flatten)]
    stands: Stands,
}

/// One delivery with its tries.
#[derive(Debug, Serialize)]
pub(crate) struct DeliveryDetail {
    #[serde(flatten)]
    item: DeliveryItem,
    tries: Vec<Try>,
    input: Option<Input>,
}

/// A delivery that was sent again.
#[derive(Debug, Serialize)]
pub(crate) struct Redelivered {
    ok: bool,
    #[serde(flatten)]
    delivery: DeliveryDetail,
}

impl Redelivered {
    /// A delivery that was sent again, and whether the receiver took it.
    pub(crate) fn of(ok: bool, detail: &view::deliveries::Detail, sees_answers: bool) -> Redelivered {
        Redelivered { ok, delivery: DeliveryDetail::of(detail, sees_answers) }
    }
}

impl Stands {
    fn of(delivery: &Delivery) -> Stands {
        Stands {
            destination: delivery.destination.clone(),
            step: delivery.path.clone(),
            status: delivery.status.name(),
            reason: delivery.reason.clone(),
            attempts: delivery.attempts,
            http_status: delivery.http_status,
            last_at: delivery.last_at.to_string(),
            next_at: delivery.next_at.map(|t| t.to_string()),
        }
    }
}

impl DeliveryItem {
    /// A delivery as it is listed.
    pub(crate) fn of(found: &view::deliveries::Found) -> DeliveryItem {
        let (run, delivery) = (&found.run, &found.delivery);
        DeliveryItem {
            delivery_id: found.id.to_string(),
            run_id: run.id.to_string(),
            playbook: run.playbook.clone(),
            tenant: run.tenant.clone(),
            alert_id: run.alert.clone(),
            case_id: run.case.clone(),
            webhook_id: engine::action::idempotency_key(run.id, &delivery.path, &delivery.destination),
            stands: Stands::of(delivery),
        }
    }
}

impl DeliveryDetail {
    /// A delivery with its tries. What receivers answered is left out for those who may not see it.
    pub(crate) fn of(detail: &view::deliveries::Detail, sees_answers: bool) -> DeliveryDetail {
        DeliveryDetail {
            item: DeliveryItem::of(&detail.found),
            tries: detail.attempts.iter().map(|attempt| Try::of(attempt, sees_answers)).collect(),
            input: detail.input.clone(),
        }
    }
}

impl Fault {
    fn of(error: &StepError) -> Fault {
        let at = error.at.map(|(line, column)| Spot { line, column });
        Fault { code: error.code.clone(), message: error.message.clone(), at }
    }
}

impl Heard {
    fn of(answer: &Answer) -> Heard {
        Heard { body: answer.body.clone(), bytes: answer.bytes, truncated: answer.truncated }
    }
}

impl Try {
    fn of(attempt: &Attempt, sees_answers: bool) -> Try {
        let (outcome, next_at, reason) = match &attempt.outcome {
            AttemptOutcome::Succeeded => ("succeeded", None, None),
            AttemptOutcome::Retry { at } => ("retry", Some(at.to_string()), None),
            AttemptOutcome::Failed => ("failed", None, None),
            AttemptOutcome::Held => ("held", None, Some("paused".to_owned())),
            AttemptOutcome::Suppressed { reason } => ("suppressed", None, Some(reason.clone())),
        };
        Try {
            n: attempt.n,
            destination: attempt.destination.clone(),
            started_at: attempt.started_at.to_string(),
            ended_at: attempt.ended_at.to_string(),
            latency_ms: u64::try_from(attempt.ended_at.since(attempt.started_at).as_millis()).unwrap_or(u64::MAX),
            outcome,
            http_status: attempt.http_status,
            error: attempt.error.as_ref().map(Fault::of),
            next_at,
            reason,
            answer: attempt.answer.as_ref().filter(|_| sees_answers).map(Heard::of),
            redacted: attempt.redacted.clone(),
        }
    }
}

impl Step {
    fn of(path: &str, step: &StepState, sees_answers: bool) -> Step {
        Step {
            path: path.to_owned(),
            action: step.action.clone(),
            status: step.status.name(),
            attempts: step.attempts.iter().map(|attempt| Try::of(attempt, sees_answers)).collect(),
            input: step.input.clone(),
            // What `http.request` answers is what a receiver said.
            output: step.output.clone().filter(|_| sees_answers || !is_answer(&step.action)),
            error: step.error.as_ref().map(Fault::of),
            started_at: step.started_at.to_string(),
            ended_at: step.ended_at.map(|t| t.to_string()),
            handled: step.handled,
        }
    }
}

/// Whether the output of this action holds what a receiver said.
fn is_answer(action: &str) -> bool {
    matches!(action, "http.request" | "webhook.send")
}

impl Moment {
    fn of(moment: &view::runs::Moment, sees_answers: bool) -> Moment {
        let mut shown = Moment {
            seq: moment.seq.0,
            time: moment.time.to_string(),
            actor: moment.actor.to_string(),
            fact: "created",
            path: None,
            status: None,
            attempt: None,
            detail: None,
        };
        let Some(fact) = &moment.fact else { return shown };
        match fact {
            Fact::Started { .. } => shown.fact = "started",
            Fact::StepStarted { path, action, .. } => {
                shown.fact = "step_started";
                shown.path = Some(path.clone());
                shown.detail = Some(action.clone());
            }
            Fact::Attempted { path, attempt } => {
                shown.fact = "attempted";
                shown.path = Some(path.clone());
                shown.attempt = Some(Try::of(attempt, sees_answers));
            }
            Fact::StepEnded { path, status, error, .. } => {
                shown.fact = "step_ended";
                shown.path = Some(path.clone());
                shown.status = Some(status.name());
                shown.detail = error.as_ref().map(|error| error.message.clone());
            }
            Fact::Waiting { path, wait, .. } => {
                shown.fact = "waiting";
                shown.path = Some(path.clone());
                shown.detail = wait.until.map(|until| format!("until {until}"));
            }
            Fact::RoundEnded { path, index, end } => {
                shown.fact = "round_ended";
                shown.path = Some(format!("{path}/{index}"));
                shown.status = Some(end.status.name());
                shown.detail = end.error.as_ref().map(|error| error.message.clone());
            }
            Fact::Overdue { reason, step, .. } => {
                shown.fact = "overdue";
                shown.path.clone_from(step);
                shown.detail = Some(reason.clone());
            }
            Fact::CancelRequested { by, .. } => {
                shown.fact = "cancel_requested";
                shown.detail = Some(by.clone());
            }
            Fact::Redelivered { path, by, attempt } => {
                shown.fact = "redelivered";
                shown.path = Some(path.clone());
                shown.attempt = Some(Try::of(attempt, sees_answers));
                shown.detail = Some(by.clone());
            }
            Fact::Ended { status, reason, .. } => {
                shown.fact = "ended";
                shown.status = Some(status.name());
                shown.detail.clone_from(reason);
            }
        }
        shown
    }
}

impl RunDetail {
    /// A run with everything. What receivers answered is left out for those who may not see it.
    pub(crate) fn of(detail: &view::runs::Detail, sees_answers: bool) -> RunDetail {
        let state = detail.state.as_ref();
        let start: Option<&RunStart> = state.map(|state| &state.start);
        let steps = state.map_or(Vec::new(), |state| {
            let known = state.order.iter().filter_map(|path| Some((path, state.steps.get(path)?)));
            known.map(|(path, step)| Step::of(path, step, sees_answers)).collect()
        });
        let chain = start.map_or(Vec::new(), |start| {
            start.chain.iter().map(|l| Link { playbook: l.playbook.clone(), run_id: l.run.to_string() }).collect()
        });
        let all = state.map_or(detail.summary.deliveries.as_slice(), |state| state.deliveries());
        let numbered = (0_u32..).zip(all);
        let sent = |(index, delivery): (u32, &Delivery)| Sent {
            delivery_id: DeliveryId { run: detail.summary.id, index }.to_string(),
            stands: Stands::of(delivery),
        };
        RunDetail {
            run: Run::of(&detail.summary),
            trigger_fields: start.map(|start| start.trigger.clone()),
            inputs: start.map(|start| start.inputs.clone()),
            chain,
            cancelled_by: state.and_then(|state| state.cancel.clone()),
            plan: state.filter(|state| state.start.observed).and_then(|state| state.output.clone()),
            steps,
            history: detail.history.iter().map(|moment| Moment::of(moment, sees_answers)).collect(),
            history_incomplete: detail.incomplete,
            sent: numbered.map(sent).collect(),
            playbook_text: detail.text.clone(),
        }
    }
}
