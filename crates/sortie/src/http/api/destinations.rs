//! `/v1/destinations`: shown without their secrets, made, changed, switched, deleted.
//!
//! Invariants: a secret that was given never comes out again. Who may not read secrets neither gives one nor says where one
//! is sent. A caller of one tenant changes destinations of that tenant alone.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use engine::outbound::destination::{Auth, Destination, Grant, Sign, TimeFormat};
use engine::outbound::gate::Standing;
use engine::registry::DestinationError;
use model::id::is_name;
use model::record::PRIORITIES;
use model::{Record, Seq};
use playbook::Backoff;
use serde::Serialize;
use serde_json::{Value, json};
use store::{Cursor, Page};

use super::super::ingest;
use super::super::problem::Problem;
use super::super::route::{Answer, Call, Caller};
use super::runs::Empty;
use super::{listing, refusal};
use crate::auth::Role;

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
    retry_backoff: Option<&'static str>,
    retry_first_ms: Option<u64>,
    retry_cap_ms: Option<u64>,
    retry_on: &'static str,
    time_format: &'static str,
    rate: Option<PerTime>,
    concurrency: usize,
    ordered: bool,
    breaker: Breaker,
    in_flight: usize,
    origin: &'static str,
}

#[derive(Serialize)]
struct PerTime {
    requests: u32,
    per_ms: u64,
}

/// A breaker: what it is set to, and how it stands.
#[derive(Serialize)]
struct Breaker {
    state: &'static str,
    failures: u32,
    opens_after: Option<u32>,
    pause_ms: Option<u64>,
    open_until: Option<String>,
}

fn millis(period: Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
}

impl Item {
    fn of(call: &Call, destination: &Destination) -> Item {
        let now = call.app.engine.store().now();
        let Standing { breaker, failures, until, in_flight } =
            call.app.engine.context().gates.standing(&destination.id, now);
        Item {
            id: destination.id.clone(),
            kind: destination.manner.name(),
            url: destination.target.masked(),
            auth: auth(&destination.auth),
            sign: destination.sign.as_ref().map(|sign| match sign {
                Sign::Standard(_) => "standard_webhooks",
                Sign::Hmac { .. } => "hmac",
            }),
            enabled: destination.enabled,
            min_severity: destination.min_severity.and_then(|rank| PRIORITIES.get(rank).copied()),
            kinds: destination.kinds.clone(),
            // Who sees one tenant does not learn the names of others.
            tenants: destination
                .tenants
                .as_ref()
                .map(|all| all.iter().filter(|tenant| call.caller.sees(tenant)).cloned().collect()),
            dedupe_seconds: destination.dedupe.map(|d| d.as_secs()),
            timeout_ms: destination.timeout.map(millis),
            retry_max: destination.retry.as_ref().map(|retry| retry.max),
            retry_backoff: destination.retry.as_ref().map(|retry| match retry.backoff {
                Backoff::Exponential => "exponential",
                Backoff::Linear => "linear",
                Backoff::Fixed => "fixed",
            }),
            retry_first_ms: destination.retry.as_ref().map(|retry| millis(retry.first)),
            retry_cap_ms: destination.retry.as_ref().map(|retry| millis(retry.cap)),
            retry_on: if destination.retry_any { "any" } else { "transient" },
            time_format: match destination.time_format {
                TimeFormat::Rfc3339 => "rfc3339",
                TimeFormat::EpochMicros => "epoch_micros",
            },
            rate: destination.rate.map(|rate| PerTime { requests: rate.requests, per_ms: millis(rate.per) }),
            concurrency: destination.concurrency,
            ordered: destination.ordered,
            breaker: Breaker {
                state: breaker.name(),
                failures,
                opens_after: destination.breaker.map(|breaker| breaker.failures),
                pause_ms: destination.breaker.map(|breaker| millis(breaker.pause)),
                open_until: until.map(|time| time.to_string()),
            },
            in_flight,
            origin: destination.home.name(),
        }
    }
}

fn auth(auth: &Auth) -> String {
    match auth {
        Auth::None => "none".to_owned(),
        Auth::Header { name, .. } => format!("header {name}"),
        Auth::Basic { user, .. } => format!("basic {user}"),
        Auth::Bearer(_) => "bearer".to_owned(),
        Auth::Login(login) => match &login.grant {
            Grant::Password { user, .. } => format!("login {user}"),
            Grant::Client { id, .. } => format!("oauth2 {id}"),
        },
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
        items.push(Item::of(&call, destination));
    }
    listing(Page { items, next }, |item| item)
}

/// The destination in the path, where the caller sees it.
///
/// # Errors
/// 400 for what is no id, 404.
pub(super) fn find(call: &Call) -> Result<Arc<Destination>, Problem> {
    let id = call.segment(0);
    if !is_name(id) {
        return Err(Problem::bad("invalid_id", "the id of a destination has 1 to 64 of a-z, 0-9 and `-`"));
    }
    let found = call.app.engine.context().destinations().map.get(id).cloned();
    found.filter(|destination| sees(call, destination)).ok_or_else(|| Problem::not_found("destination", id))
}

/// `GET /v1/destinations/{id}`
pub(in crate::http) async fn show(call: Call) -> Answer {
    ingest::json(StatusCode::OK, &Item::of(&call, &*find(&call)?))
}

/// Whether this caller may make `after` of `before`.
fn permit(caller: &Caller, before: Option<&Destination>, after: &Destination) -> Result<(), &'static str> {
    if let Some(own) = &caller.tenant {
        let only_own = |one: &Destination| one.tenants.as_deref().is_some_and(|all| all == [own.clone()]);
        if !only_own(after) || before.is_some_and(|before| !only_own(before)) {
            return Err("a token of one tenant changes destinations of that tenant alone");
        }
    }
    let same = before.is_some_and(|before| {
        before.target == after.target
            && before.auth == after.auth
            && before.sign == after.sign
            && before.manner == after.manner
    });
    if after.holds_secret() && !same && caller.role != Role::Admin {
        return Err(
            "a destination with `auth` or `sign` places a secret: to make one, or to change where it goes, needs the role admin",
        );
    }
    Ok(())
}

/// What the registry says, as a client sees it.
fn problem(error: DestinationError) -> Problem {
    match error {
        DestinationError::Refused(error) => refusal(&error),
        DestinationError::Forbidden(why) => Problem::new(StatusCode::FORBIDDEN, "forbidden", why),
    }
}

/// The id in a body, or the one that stands for none.
///
/// # Errors
/// 400 for what is no id.
pub(super) fn take_id(body: &mut Record) -> Result<Option<String>, Problem> {
    match body.remove("id") {
        None => Ok(None),
        Some(Value::String(id)) if is_name(&id) => Ok(Some(id)),
        Some(_) => Err(Problem::bad("invalid_id", "`id` has 1 to 64 of a-z, 0-9 and `-`")),
    }
}

/// `POST /v1/destinations`
pub(in crate::http) async fn create(mut call: Call) -> Answer {
    let mut body: Record = call.json().await?;
    let id = take_id(&mut body)?.ok_or_else(|| Problem::bad("invalid_id", "`id` is missing"))?;
    if let Some(own) = &call.caller.tenant {
        body.entry("tenants").or_insert_with(|| json!([own]));
    }
    let caller = call.caller.clone();
    let allowed = move |before: Option<&Destination>, after: &Destination| permit(&caller, before, after);
    let made = call.app.engine.make_destination(&id, body, &allowed, call.caller.actor()).await.map_err(problem)?;
    ingest::json(StatusCode::CREATED, &Item::of(&call, &made))
}

/// `PATCH /v1/destinations/{id}`
pub(in crate::http) async fn patch(mut call: Call) -> Answer {
    let change: Record = call.json().await?;
    if change.is_empty() {
        return Err(Problem::bad("invalid_body", "name at least one key to change"));
    }
    if change.contains_key("id") {
        return Err(Problem::bad("unknown_key", "the id of a destination cannot be changed"));
    }
    see(&call)?;
    let (id, caller) = (call.segment(0).to_owned(), call.caller.clone());
    let allowed = move |before: Option<&Destination>, after: &Destination| permit(&caller, before, after);
    let changed = call.app.engine.change_destination(&id, change, &allowed, call.caller.actor()).await;
    ingest::json(StatusCode::OK, &Item::of(&call, &*changed.map_err(problem)?))
}

/// A destination that is refused by the rules of today can be changed and deleted by those who see everything.
fn see(call: &Call) -> Result<(), Problem> {
    match find(call) {
        Err(problem) if problem.status == StatusCode::NOT_FOUND && call.caller.tenant.is_none() => Ok(()),
        other => other.map(drop),
    }
}

/// `DELETE /v1/destinations/{id}`
pub(in crate::http) async fn delete(call: Call) -> Answer {
    see(&call)?;
    let (id, caller) = (call.segment(0).to_owned(), call.caller.clone());
    let allowed = move |before: Option<&Destination>, after: &Destination| permit(&caller, before, after);
    let deleted = call.app.engine.delete_destination(&id, &allowed, call.caller.actor()).await.map_err(problem)?;
    match deleted {
        Some(gone) => ingest::json(StatusCode::OK, &Item::of(&call, &gone)),
        None => ingest::json(StatusCode::OK, &json!({ "id": id })),
    }
}

async fn switch(mut call: Call, on: bool) -> Answer {
    let Empty {} = call.json().await?;
    find(&call)?;
    let (id, caller) = (call.segment(0).to_owned(), call.caller.clone());
    let allowed = move |before: Option<&Destination>, after: &Destination| permit(&caller, before, after);
    let switched = call.app.engine.switch_destination(&id, on, &allowed, call.caller.actor()).await;
    ingest::json(StatusCode::OK, &Item::of(&call, &*switched.map_err(problem)?))
}

/// `POST /v1/destinations/{id}/enable`
pub(in crate::http) async fn enable(call: Call) -> Answer {
    switch(call, true).await
}

/// `POST /v1/destinations/{id}/disable`
pub(in crate::http) async fn disable(call: Call) -> Answer {
    switch(call, false).await
}
