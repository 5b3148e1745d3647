//! `/v1/destinations`: shown without their secrets, and tested.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use engine::outbound::Origin;
use engine::outbound::deliver::{Message, deliver, test_message};
use engine::outbound::destination::{self, Auth, Destination, Sign, TimeFormat};
use engine::payload;
use model::history::EntryKind;
use model::id::is_name;
use model::record::PRIORITIES;
use model::{Kind, Object, Record, Seq};
use serde::Serialize;
use serde_json::json;
use store::{Cursor, Page};

use super::super::ingest;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::runs::Empty;
use super::{listing, refusal};
use crate::auth::Role;

/// How a reference to a secret begins.
const REFERENCE: &str = "${secret:";

/// A destination as people may see it.
#[derive(Serialize)]
struct Item {
    id: String,
    kind: &'static str,
    url: String,
    auth: String,
    sign: Option<&'static str>,
    enabled: bool,
    min_severity: Option<&'static str>,
    kinds: Option<Vec<String>>,
    tenants: Option<Vec<String>>,
    dedupe_seconds: Option<u64>,
    timeout_ms: Option<u64>,
    retry_max: Option<u32>,
    time_format: &'static str,
    origin: &'static str,
}

impl Item {
    fn of(destination: &Destination) -> Item {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Item {
            id: destination.id.clone(),
            kind: "webhook",
            url: destination.target.masked(),
            auth: match &destination.auth {
                Auth::None => "none".to_owned(),
                Auth::Header { name, .. } => format!("header {name}"),
                Auth::Basic { user, .. } => format!("basic {user}"),
                Auth::Bearer(_) => "bearer".to_owned(),
            },
            sign: destination.sign.as_ref().map(|sign| match sign {
                Sign::Standard(_) => "standard_webhooks",
                Sign::Hmac { .. } => "hmac",
            }),
            enabled: destination.enabled,
            min_severity: destination.min_severity.and_then(|rank| PRIORITIES.get(rank).copied()),
            kinds: destination.kinds.clone(),
            tenants: destination.tenants.clone(),
            dedupe_seconds: destination.dedupe.map(|d| d.as_secs()),
            timeout_ms: destination.timeout.map(millis),
            retry_max: destination.retry.as_ref().map(|retry| retry.max),
            time_format: match destination.time_format {
                TimeFormat::Rfc3339 => "rfc3339",
                TimeFormat::EpochMicros => "epoch_micros",
            },
            origin: "file",
        }
    }
}

fn sees(call: &Call, destination: &Destination) -> bool {
    destination.tenants.as_ref().is_none_or(|tenants| tenants.iter().any(|tenant| call.caller.sees(tenant)))
}

/// `GET /v1/destinations`, by id.
pub(in crate::http) async fn list(call: Call) -> Answer {
    let (after, limit) = (call.query.cursor()?, call.query.limit()?);
    let all = call.app.engine.context().destinations();
    let first = after.map_or(0, |cursor| usize::try_from(cursor.seq.0).unwrap_or(usize::MAX));
    let mut items = Vec::new();
    let mut next = None;
    for (place, destination) in all.map.values().enumerate().skip(first).filter(|(_, d)| sees(&call, d)) {
        if items.len() == limit {
            next = Some(Cursor { seq: Seq(place as u64), n: 0 });
            break;
        }
        items.push(Item::of(destination));
    }
    listing(Page { items, next }, |item| item)
}

fn find(call: &Call) -> Result<Arc<Destination>, Problem> {
    let id = call.segment(0);
    if !is_name(id) {
        return Err(Problem::bad("invalid_id", "the id of a destination has 1 to 64 of a-z, 0-9 and `-`"));
    }
    let found = call.app.engine.context().destinations().map.get(id).cloned();
    found.filter(|destination| sees(call, destination)).ok_or_else(|| Problem::not_found("destination", id))
}

/// `GET /v1/destinations/{id}`
pub(in crate::http) async fn show(call: Call) -> Answer {
    ingest::json(StatusCode::OK, &Item::of(&*find(&call)?))
}

/// The outcome of a test.
#[derive(Serialize)]
struct Tested {
    ok: bool,
    message: String,
    http_status: Option<u16>,
    latency_ms: u64,
}

/// `POST /v1/destinations/{id}/test`
pub(in crate::http) async fn test(mut call: Call) -> Answer {
    let Empty {} = call.json().await?;
    let destination = find(&call)?;
    send(&call, &destination).await
}

/// `POST /v1/destinations/test`: a destination that is not saved.
pub(in crate::http) async fn test_unsaved(mut call: Call) -> Answer {
    let mut body: Record = call.json().await?;
    let id = match body.remove("id") {
        None => "unsaved".to_owned(),
        Some(serde_json::Value::String(id)) if is_name(&id) => id,
        Some(_) => return Err(Problem::bad("invalid_id", "`id` has 1 to 64 of a-z, 0-9 and `-`")),
    };
    let text = json!({ "destinations": { id.as_str(): body } }).to_string();
    // Who may not read a secret must not send it to an address of his own choice either.
    if text.contains(REFERENCE) && call.caller.role != Role::Admin {
        let detail =
            "a test that places a secret needs the role admin; test without `auth` and `sign`, or have it saved";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let context = call.app.engine.context();
    // JSON is YAML: the file's own reader says what is wrong.
    let read = destination::read(&Arc::from("request"), &text, context.effects.egress());
    let read = read.map_err(|found| {
        let all: Vec<String> = found.iter().map(|d| format!("{}: {}", d.code, d.message)).collect();
        Problem::bad("invalid_destination", all.join("; "))
    })?;
    let destination =
        read.map.get(&id).cloned().ok_or_else(|| Problem::bad("invalid_destination", "nothing was read"))?;
    send(&call, &destination).await
}

async fn send(call: &Call, destination: &Destination) -> Answer {
    let context = call.app.engine.context();
    let now = call.app.engine.store().now();
    let example = example(destination.time_format, context.words.closed(), now);
    let body = serde_json::to_vec(&example).map_err(|error| Problem::inside(error.to_string()))?;
    let message = Message {
        id: format!("test-{}", now.micros()),
        body: body.into(),
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
        Ok(sent) => Tested { ok: sent.accepted(), message: test_message(&sent), http_status: sent.status, latency_ms },
        Err(error) => Tested { ok: false, message: error.to_string(), http_status: None, latency_ms },
    };
    let what = json!({ "action": "destination.tested", "ok": tested.ok, "http_status": tested.http_status });
    let object = format!("destination:{}", destination.id);
    let recorded = call.app.engine.record(EntryKind::SettingChanged, object, what, call.caller.actor()).await;
    recorded.map_err(|error| refusal(&error))?;
    ingest::json(StatusCode::OK, &tested)
}

/// The threat details of an alert that everyone sees to be a test.
fn example(format: TimeFormat, closed: &str, now: model::Time) -> serde_json::Value {
    let alert = json!({
        "id": "TEST-1", "name": "Test message from Sortie", "priority": "low", "risk_score": 1, "tags": ["test"],
        "threat_summary": "This is a test. Nothing happened.", "created_time": now, "last_update_time": now,
    });
    let record = alert.as_object().cloned().unwrap_or_default();
    let object = Object { record: Arc::new(record), meta: model::object::Meta::default() };
    payload::threat_details(Kind::Alert, &object, closed, format)
}
