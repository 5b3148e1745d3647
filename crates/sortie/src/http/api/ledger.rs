//! The ledger: verification, checkpoints, proofs, evidence to take away, the signing key.
//!
//! Invariant: what speaks of all tenants at once is for those who see all tenants; evidence of one tenant holds nothing of
//! another.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use engine::ledger::bundle::{self, Wanted};
use engine::ledger::checkpoint::Checkpoint;
use engine::ledger::hold::{self, Held};
use engine::ledger::verify::{self, Outside};
use engine::ledger::{LedgerError, proof, value};
use engine::view;
use model::history::EntryKind;
use model::{Kind, ObjectKey, RunId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Page;

use super::super::ingest::json as answer;
use super::super::pieces;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::wish::must_see_all;
use super::{listing, refusal, tenant};

/// Keys and checkpoints that one request may bring along.
const OUTSIDE_MAX: usize = 100;

/// What a verification is given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    checkpoints: Vec<String>,
}

/// A signed checkpoint.
#[derive(Serialize)]
struct Signed {
    checkpoint: String,
    key: String,
    size: u64,
    root: String,
    time: String,
}

/// A public key.
#[derive(Serialize)]
struct Key {
    key: String,
}

fn problem(error: &LedgerError) -> Problem {
    match error {
        LedgerError::Absent => Problem::conflict("no_signing_key", error.to_string()),
        LedgerError::Refused(refused) => refusal(refused),
        _ => {
            let detail = "the history could not be signed; the log says why";
            Problem {
                inside: Some(error.to_string()),
                ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger", detail)
            }
        }
    }
}

/// Said to whoever sees one tenant only.
const WHY: &str = "this speaks of all tenants, and the token is of one; export its evidence instead";

/// `POST /v1/audit/verify`
pub(in crate::http) async fn verify(mut call: Call) -> Answer {
    must_see_all(&call, WHY)?;
    let given: Given = call.json().await?;
    if given.keys.len() > OUTSIDE_MAX || given.checkpoints.len() > OUTSIDE_MAX {
        return Err(Problem::bad("too_many", format!("at most {OUTSIDE_MAX} keys and checkpoints")));
    }
    let keys: Result<Vec<_>, _> = given.keys.iter().map(|key| key.parse()).collect();
    let keys = keys.map_err(|error| Problem::bad("invalid_body", format!("`keys`: {error}")))?;
    let outside = Outside { keys, checkpoints: given.checkpoints };
    let Ok(_turn) = Arc::clone(&call.app.backups).try_acquire_owned() else {
        return Err(Problem::new(StatusCode::CONFLICT, "busy", "another walk over the whole store is under way"));
    };
    let report =
        call.app.look(move |store| verify::store(store, &outside, &mut |_, _| {}).map_err(view::Error::from)).await?;
    answer(StatusCode::OK, &report)
}

/// `GET /v1/audit/checkpoint`
pub(in crate::http) async fn checkpoint(call: Call) -> Answer {
    let (checkpoint, signed) = call.app.engine.checkpoint().await.map_err(|error| problem(&error))?;
    let key = call.app.engine.signing_key().map_err(|error| problem(&error))?.to_string();
    let Checkpoint { size, root, time, .. } = checkpoint;
    answer(StatusCode::OK, &Signed { checkpoint: signed, key, size, root: root.to_string(), time: time.to_string() })
}

/// `POST /v1/audit/key/rotate`
pub(in crate::http) async fn rotate(call: Call) -> Answer {
    must_see_all(&call, WHY)?;
    let key = call.app.engine.rotate_signing_key(call.caller.actor()).await.map_err(|error| problem(&error))?;
    answer(StatusCode::OK, &Key { key: key.to_string() })
}

/// `GET /v1/audit/runs/{id}/proof`
pub(in crate::http) async fn prove(call: Call) -> Answer {
    let id: RunId = call.id("run")?;
    let own = call.caller.tenant.clone();
    let known = call.app.look(move |store| store.run(id).map_err(view::Error::from)).await?;
    if known.is_none_or(|run| own.is_some_and(|own| own != run.tenant)) {
        return Err(Problem::not_found("run", call.segment(0)));
    }
    let (checkpoint, signed) = call.app.engine.checkpoint().await.map_err(|error| problem(&error))?;
    let proved =
        call.app.look(move |store| proof::run(store, id, &checkpoint, signed).map_err(view::Error::from)).await?;
    match proved {
        Some(proved) => answer(StatusCode::OK, &proved),
        None => Err(Problem::not_found("run", call.segment(0))),
    }
}

/// A value that is to be proved, and the secret as which it was placed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueWish {
    secret: String,
    value: String,
}

/// `POST /v1/audit/runs/{id}/prove-value`: for an administrator, who could set the secret anew anyway. Each question is
/// recorded, since answers to many of them would be a way to guess.
pub(in crate::http) async fn prove_value(mut call: Call) -> Answer {
    must_see_all(&call, WHY)?;
    let id: RunId = call.id("run")?;
    let ValueWish { secret, value } = call.json().await?;
    let engine = call.app.engine.clone();
    let (checkpoint, signed) = engine.checkpoint().await.map_err(|error| problem(&error))?;
    let commitments = engine.context().secrets.commitments().clone();
    if commitments.fingerprint().is_none() {
        return Err(Problem::conflict(
            "no_commitment_key",
            "this needs the key of commitments: ask the running server",
        ));
    }
    let name = secret.clone();
    let proved = call
        .app
        .look(move |store| {
            let asked = value::Asked { secret: &name, value: value.as_bytes(), commitments: &commitments };
            value::prove(store, id, (&checkpoint, signed), asked)
        })
        .await?;
    let what = if proved.is_some() { "redacted value proved" } else { "redacted value not proved" };
    let note = json!({ "what": what, "secret": secret });
    let recorded = engine.record(EntryKind::Exported, format!("run:{id}"), note, call.caller.actor()).await;
    recorded.map_err(|refused| refusal(&refused))?;
    match proved {
        Some(proved) => answer(StatusCode::OK, &proved),
        None => {
            let detail = "no request of this run was sent with this value as that secret, as far as the history shows";
            Err(Problem::new(StatusCode::NOT_FOUND, "not_proved", detail))
        }
    }
}

/// What the query asks to take away.
fn wanted(call: &Call) -> Result<Wanted, Problem> {
    let query = &call.query;
    let tenant = tenant(call)?;
    let object = match (query.text("case"), query.text("alert")) {
        (Some(_), Some(_)) => return Err(Problem::bad("invalid_query", "give `case` or `alert`, not both")),
        (Some(id), None) => Some((Kind::Case, id)),
        (None, Some(id)) => Some((Kind::Alert, id)),
        (None, None) => None,
    };
    let object =
        object.map(|(kind, id)| ObjectKey { tenant: tenant.clone().unwrap_or_else(|| "default".to_owned()), kind, id });
    let run = query.text("run").map(|id| id.parse().map_err(|_| Problem::not_found("run", &id))).transpose()?;
    Ok(Wanted { since: query.time("since")?, until: query.time("until")?, object, run, tenant })
}

/// `GET /v1/audit/export`
pub(in crate::http) async fn export(call: Call) -> Answer {
    let wanted = wanted(&call)?;
    let Ok(turn) = Arc::clone(&call.app.backups).try_acquire_owned() else {
        return Err(Problem::new(StatusCode::CONFLICT, "busy", "another walk over the whole store is under way"));
    };
    // First, so that the evidence shows that it was taken.
    let what = json!({
        "what": "evidence exported",
        "since": wanted.since, "until": wanted.until, "tenant": wanted.tenant,
        "about": wanted.object.as_ref().map(|key| format!("{}:{}", key.kind, key.id)),
        "run": wanted.run.map(|run| run.to_string()),
    });
    let engine = &call.app.engine;
    let recorded = engine.record(EntryKind::Exported, "audit".to_owned(), what, call.caller.actor()).await;
    recorded.map_err(|refused| refusal(&refused))?;
    let (checkpoint, signed) = engine.checkpoint().await.map_err(|error| problem(&error))?;
    let key = engine.signing_key().map_err(|error| problem(&error))?.to_string();
    let store = Arc::clone(engine.store());
    let body = pieces::written("the evidence", call.caller.name.clone(), turn, move |out| {
        let by = (&checkpoint, signed.as_str(), key.as_str());
        bundle::write(store.as_ref(), &wanted, by, out, &mut |_, _| {}).map(drop).map_err(std::io::Error::other)
    });
    let mut answer = Response::new(Body::from_stream(body));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    let name = HeaderValue::from_static("attachment; filename=\"evidence.zip\"");
    answer.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(answer)
}

/// A hold as it is written.
#[derive(Serialize)]
struct HoldShown {
    object: String,
    tenant: Option<String>,
    reason: String,
    by: String,
    since: String,
}

impl HoldShown {
    fn of(hold: hold::Hold) -> HoldShown {
        let tenant = match &hold.held {
            Held::Object(key) => Some(key.tenant.clone()),
            Held::Run(_) => None,
        };
        HoldShown { object: hold.held.name(), tenant, reason: hold.reason, by: hold.by, since: hold.since.to_string() }
    }
}

/// What a hold is placed on, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldWish {
    object: String,
    reason: String,
}

fn held(call: &Call, name: &str) -> Result<Held, Problem> {
    let tenant = tenant(call)?.unwrap_or_else(|| "default".to_owned());
    let wrong = || Problem::bad("invalid_object", "`object` is `case:ID`, `alert:ID` or `run:ID`");
    Held::parse(name, &tenant).ok_or_else(wrong)
}

/// `GET /v1/holds`
pub(in crate::http) async fn holds(call: Call) -> Answer {
    must_see_all(&call, WHY)?;
    let all = call.app.look(|store| hold::all(store).map_err(view::Error::from)).await?;
    listing(Page { items: all, next: None }, HoldShown::of)
}

/// `POST /v1/holds`
pub(in crate::http) async fn hold(mut call: Call) -> Answer {
    must_see_all(&call, WHY)?;
    let wish: HoldWish = call.json().await?;
    let held = held(&call, &wish.object)?;
    let placed = call.app.engine.hold(held, wish.reason, call.caller.actor()).await;
    answer(StatusCode::CREATED, &HoldShown::of(placed.map_err(|refused| refusal(&refused))?))
}

/// `DELETE /v1/holds/{object}`
pub(in crate::http) async fn lift_hold(call: Call) -> Answer {
    must_see_all(&call, WHY)?;
    let held = held(&call, call.segment(0))?;
    let lifted = call.app.engine.lift_hold(&held, call.caller.actor()).await;
    lifted.map_err(|refused| refusal(&refused))?;
    answer(StatusCode::OK, &json!({ "object": held.name() }))
}
