//! Trying a destination: a test message, or its credentials alone; saved or not.

use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use engine::chat;
use engine::outbound::Origin;
use engine::outbound::deliver::{Message, UNKNOWN_ERROR, deliver, log_in, test_hint, test_message};
use engine::outbound::destination::{Auth, Destination, Manner, TimeFormat};
use engine::payload;
use model::history::EntryKind;
use model::{Kind, Object, Record};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::ingest;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::destinations::{find, take_id};
use super::refusal;
use super::runs::Empty;
use crate::auth::Role;

/// The outcome of a test.
#[derive(Serialize)]
struct Tested {
    ok: bool,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    http_status: Option<u16>,
    latency_ms: u64,
}

/// `POST /v1/destinations/{id}/test`
pub(in crate::http) async fn test(mut call: Call) -> Answer {
    let Empty {} = call.json().await?;
    let destination = find(&call)?;
    let tested = send(&call, &destination).await?;
    if tested.ok {
        // It answers again: what waits for it need not wait for the next probe.
        call.app.engine.context().gates.forget(&destination.id);
    }
    ingest::json(StatusCode::OK, &tested)
}

/// `POST /v1/destinations/test`: a destination that is not saved.
pub(in crate::http) async fn test_unsaved(mut call: Call) -> Answer {
    let destination = unsaved(&mut call).await?;
    let tested = send(&call, &destination).await?;
    ingest::json(StatusCode::OK, &tested)
}

/// `POST /v1/destinations/{id}/validate`
pub(in crate::http) async fn validate(mut call: Call) -> Answer {
    let Empty {} = call.json().await?;
    let destination = find(&call)?;
    credentials(&call, &destination).await
}

/// `POST /v1/destinations/validate`: the credentials of a destination that is not saved.
pub(in crate::http) async fn validate_unsaved(mut call: Call) -> Answer {
    let destination = unsaved(&mut call).await?;
    credentials(&call, &destination).await
}

async fn unsaved(call: &mut Call) -> Result<Arc<Destination>, Problem> {
    let mut body: Record = call.json().await?;
    let id = take_id(&mut body)?.unwrap_or_else(|| "unsaved".to_owned());
    let destination = call.app.engine.read_destination(&id, &body).map_err(|error| refusal(&error))?;
    // Who may not read a secret must not send it to an address of his own choice either.
    if destination.holds_secret() && call.caller.role != Role::Admin {
        let detail =
            "a test that places a secret needs the role admin; test without `auth` and `sign`, or have it saved";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    Ok(destination)
}

async fn send(call: &Call, destination: &Destination) -> Result<Tested, Problem> {
    let context = call.app.engine.context();
    let now = call.app.engine.store().now();
    let details = example(destination.time_format, context.words.closed(), now);
    let body = match destination.manner {
        Manner::Webhook => details,
        Manner::Teams => chat::card(&details, None),
        Manner::Slack => chat::blocks(&details, None),
    };
    let message = Message {
        tenant: String::new(),
        id: format!("test-{}", now.micros()),
        body: body.to_string().into(),
        content_type: "application/json",
        headers: Vec::new(),
        chain: 0,
        timeout: None,
        now,
        origin: Origin::default(),
    };
    let began = Instant::now();
    let sent = deliver(&context.effects, &context.secrets, destination, message).await;
    let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let tested = match sent {
        Ok(sent) => Tested {
            ok: sent.accepted(),
            message: test_message(&sent),
            hint: (!sent.accepted()).then(|| test_hint(&sent)),
            detail: sent.error.as_ref().map(ToString::to_string),
            http_status: sent.status,
            latency_ms,
        },
        Err(error) => Tested {
            ok: false,
            message: UNKNOWN_ERROR.to_owned(),
            hint: None,
            detail: Some(error.to_string()),
            http_status: None,
            latency_ms,
        },
    };
    let what = json!({
        "action": "destination.tested", "ok": tested.ok, "http_status": tested.http_status, "url": destination.target.masked(),
    });
    note(call, destination, what).await?;
    Ok(tested)
}

async fn note(call: &Call, destination: &Destination, what: Value) -> Result<(), Problem> {
    let object = format!("destination:{}", destination.id);
    let recorded = call.app.engine.record(EntryKind::SettingChanged, object, what, call.caller.actor()).await;
    recorded.map(drop).map_err(|error| refusal(&error))
}

/// The outcome of a look at credentials.
#[derive(Serialize)]
struct Validated {
    ok: bool,
    message: String,
}

async fn credentials(call: &Call, destination: &Destination) -> Answer {
    let context = call.app.engine.context();
    let outcome = log_in(&context.effects, &context.secrets, destination).await;
    let (ok, message) = match (&destination.auth, outcome) {
        (_, Err(error)) => (false, error.to_string()),
        (_, Ok(Some(error))) => (false, error.to_string()),
        (Auth::Login(_), Ok(None)) => (true, "The login yields a token.".to_owned()),
        (Auth::None, Ok(None)) => (true, "This destination has no credentials.".to_owned()),
        (_, Ok(None)) => {
            (true, "There is no login to ask: whether these credentials are taken, a test message shows.".to_owned())
        }
    };
    note(call, destination, json!({ "action": "destination.validated", "ok": ok })).await?;
    ingest::json(StatusCode::OK, &Validated { ok, message })
}

/// The threat details of an alert that everyone sees to be a test.
fn example(format: TimeFormat, closed: &str, now: model::Time) -> Value {
    let alert = json!({
        "id": "TEST-1", "name": "Test message from Sortie", "priority": "low", "risk_score": 1, "tags": ["test"],
        "threat_summary": "This is a test. Nothing happened.", "created_time": now, "last_update_time": now,
    });
    let record = alert.as_object().cloned().unwrap_or_default();
    let object = Object { record: Arc::new(record), meta: model::object::Meta::default() };
    payload::threat_details(Kind::Alert, &object, closed, format)
}
