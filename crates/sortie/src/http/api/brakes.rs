//! Brakes: pausing and resuming, muting entities.

use axum::http::StatusCode;
use engine::brakes::{Mute, Pause, Scope};
use model::record::ENTITY_KINDS;
use model::{Kind, ObjectKey, Time};
use serde::{Deserialize, Serialize};

use super::super::ingest::json;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::runs::Empty;
use super::{refusal, tenant};

/// A pause as it is shown.
#[derive(Serialize)]
pub(super) struct Paused {
    scope: &'static str,
    since: String,
    by: String,
    reason: String,
}

impl Paused {
    /// A pause as it is shown.
    pub(super) fn of((scope, pause): (&Scope, &Pause)) -> Paused {
        Paused {
            scope: scope.name(),
            since: pause.since.to_string(),
            by: pause.by.clone(),
            reason: pause.reason.clone(),
        }
    }
}

/// What is to be paused, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    scope: Scope,
    reason: String,
}

/// `POST /v1/pause`
pub(in crate::http) async fn pause(mut call: Call) -> Answer {
    let Wish { scope, reason } = call.json().await?;
    of_all_tenants(&call)?;
    let engine = &call.app.engine;
    engine.pause(scope, &reason, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    paused(&call)
}

/// What is to be resumed; everything when it is not said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {
    scope: Option<Scope>,
}

/// `POST /v1/resume`
pub(in crate::http) async fn resume(mut call: Call) -> Answer {
    let Resume { scope } = call.json().await?;
    of_all_tenants(&call)?;
    call.app.engine.resume(scope, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    paused(&call)
}

/// What is paused now.
fn paused(call: &Call) -> Answer {
    let brakes = call.app.engine.brakes();
    let pauses: Vec<Paused> = brakes.pauses.iter().map(Paused::of).collect();
    json(StatusCode::OK, &serde_json::json!({ "pauses": pauses }))
}

fn of_all_tenants(call: &Call) -> Result<(), Problem> {
    if call.caller.tenant.is_none() {
        return Ok(());
    }
    let detail = "a pause concerns all tenants; who sees all of them may pause and resume";
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

/// A muted entity as it is shown.
#[derive(Serialize)]
struct Muted {
    kind: String,
    id: String,
    tenant: String,
    until: String,
    since: String,
    by: String,
    reason: String,
}

impl Muted {
    fn of(mute: &Mute) -> Muted {
        let (kind, id) = mute.entity.split_once('/').unwrap_or(("", &mute.entity));
        Muted {
            kind: kind.to_owned(),
            id: id.to_owned(),
            tenant: mute.tenant.clone(),
            until: mute.until.to_string(),
            since: mute.since.to_string(),
            by: mute.by.clone(),
            reason: mute.reason.clone(),
        }
    }
}

/// Until when an entity is to be left alone, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MuteWish {
    until: String,
    reason: String,
}

/// `POST /v1/entities/{kind}/{id}/mute`
pub(in crate::http) async fn mute(mut call: Call) -> Answer {
    let MuteWish { until, reason } = call.json().await?;
    let until = Time::parse(&until).map_err(|error| Problem::bad("invalid_time", format!("`until`: {error}")))?;
    let key = entity(&call)?;
    let muted = call.app.engine.mute(key, until, &reason, call.caller.actor()).await;
    json(StatusCode::OK, &Muted::of(&muted.map_err(|error| refusal(&error))?))
}

/// `POST /v1/entities/{kind}/{id}/unmute`
pub(in crate::http) async fn unmute(mut call: Call) -> Answer {
    let Empty {} = call.json().await?;
    let key = entity(&call)?;
    let was = call.app.engine.unmute(key, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    json(StatusCode::OK, &serde_json::json!({ "was_muted": was }))
}

/// `GET /v1/mutes`: the muted entities, the one that ends first in front.
pub(in crate::http) async fn mutes(call: Call) -> Answer {
    let wanted = tenant(&call)?;
    let now = call.app.engine.store().now();
    let brakes = call.app.engine.brakes();
    let mut all: Vec<&Mute> = brakes.mutes.values().filter(|mute| now < mute.until).collect();
    all.retain(|mute| wanted.as_ref().is_none_or(|tenant| *tenant == mute.tenant));
    all.sort_by(|a, b| (a.until, &a.entity).cmp(&(b.until, &b.entity)));
    let items: Vec<Muted> = all.into_iter().map(Muted::of).collect();
    json(StatusCode::OK, &serde_json::json!({ "items": items, "next_cursor": null }))
}

/// The entity in the path. It need not be known yet.
fn entity(call: &Call) -> Result<ObjectKey, Problem> {
    let (kind, id) = (call.segment(0), call.segment(1));
    if !ENTITY_KINDS.contains(&kind) {
        let detail = format!("`{kind}` is not a kind of entity; there are {}", ENTITY_KINDS.join(", "));
        return Err(Problem::bad("invalid_kind", detail));
    }
    if id.is_empty() || id.len() > model::limits::ID_BYTES_MAX {
        return Err(Problem::bad("invalid_id", format!("an id has 1 to {} bytes", model::limits::ID_BYTES_MAX)));
    }
    let known = call.app.settings.tenants.as_ref();
    let tenant = match (tenant(call)?, known) {
        (Some(tenant), _) => tenant,
        (None, None) => "default".to_owned(),
        (None, Some(all)) if all.len() == 1 => all.iter().next().cloned().unwrap_or_default(),
        (None, Some(_)) => return Err(Problem::bad("ambiguous_tenant", "say with `?tenant=` whose entity is meant")),
    };
    let exists = known.map_or(tenant == "default", |all| all.contains(&tenant));
    if !exists {
        return Err(Problem::bad("unknown_tenant", format!("there is no tenant `{tenant}`")));
    }
    Ok(ObjectKey { tenant, kind: Kind::Entity, id: format!("{kind}/{id}") })
}
