//! The handlers of `/v1`, one file for each kind of thing. Each reads its request, asks the engine or the views, and
//! fills the structs that are written.

pub(super) mod approvals;
pub(super) mod attachments;
pub(super) mod audit;
pub(super) mod backup;
pub(super) mod brakes;
mod csv;
pub(super) mod deliveries;
pub(super) mod destinations;
pub(super) mod events;
pub(super) mod found;
pub(super) mod grouping;
pub(super) mod ledger;
pub(super) mod meta;
pub(super) mod notifications;
pub(super) mod objects;
pub(super) mod playbooks;
pub(super) mod runs;
pub(super) mod secrets;
pub(super) mod shape;
pub(super) mod tokens;
pub(super) mod trials;
pub(crate) mod users;
pub(super) mod watchlist;
mod wish;
pub(super) mod workshop;

use axum::http::StatusCode;
use engine::Refusal;
use engine::view::Range;
use serde::Serialize;
use store::Page;

use super::ingest::json;
use super::problem::Problem;
use super::query::cursor_text;
use super::route::{Answer, Call};

/// When to come back while the store has no room or the server stops.
const UNAVAILABLE_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// What the engine refuses, as a client sees it.
pub(crate) fn refusal(refusal: &Refusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        Refusal::KeyReused { .. } => Problem::conflict("key_reused", detail),
        Refusal::Busy { retry_after } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", detail).retry_after(*retry_after)
        }
        Refusal::Full => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "disk_full", detail).retry_after(UNAVAILABLE_RETRY)
        }
        Refusal::Stopping => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail).retry_after(UNAVAILABLE_RETRY).and_close()
        }
        Refusal::NotFound { .. } => Problem::new(StatusCode::NOT_FOUND, "not_found", detail),
        Refusal::Conflict(_) | Refusal::Stale(_) => Problem::conflict("conflict", detail),
        Refusal::Invalid { code, .. } => Problem::bad(code, detail),
        Refusal::Store(_) => {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store", "the store failed; the log says why");
            Problem { inside: Some(detail), ..problem }.retry_after(UNAVAILABLE_RETRY)
        }
    }
}

/// A page of a listing.
#[derive(Serialize)]
struct Listing<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// A page as it is written.
fn listing<T, S: Serialize>(page: Page<T>, shape: impl Fn(T) -> S) -> Answer {
    let listing =
        Listing { items: page.items.into_iter().map(shape).collect(), next_cursor: page.next.map(cursor_text) };
    json(StatusCode::OK, &listing)
}

/// The tenant that a listing is about: the caller's own, else the one asked for. Asking for another than one's own finds
/// nothing, as if it did not exist.
///
/// # Errors
/// 404 when the caller is bound to another tenant.
fn tenant(call: &Call) -> Result<Option<String>, Problem> {
    match (&call.caller.tenant, call.query.text("tenant")) {
        (Some(own), Some(asked)) if *own != asked => Err(Problem::not_found("tenant", &asked)),
        (Some(own), _) => Ok(Some(own.clone())),
        (None, asked) => Ok(asked),
    }
}

/// The tenant that an entry is for: a caller of one tenant speaks for that one only.
///
/// # Errors
/// 404 for another tenant than the caller's own, 400 for one that there is not.
fn of_tenant(call: &Call, asked: Option<String>) -> Result<Option<String>, Problem> {
    let asked = match (&call.caller.tenant, asked) {
        (Some(own), Some(asked)) if *own != asked => return Err(Problem::not_found("tenant", &asked)),
        (Some(own), _) => return Ok(Some(own.clone())),
        (None, asked) => asked,
    };
    match (&asked, &call.app.settings.tenants) {
        (Some(asked), Some(all)) if !all.contains(asked) => {
            Err(Problem::bad("unknown_tenant", format!("there is no tenant `{asked}`")))
        }
        _ => Ok(asked),
    }
}

/// Between which times of arrival a listing is, and where it goes on.
///
/// # Errors
/// 400 for what cannot be.
fn range(call: &Call) -> Result<Range, Problem> {
    Ok(Range {
        since: call.query.time("since")?,
        until: call.query.time("until")?,
        after: call.query.cursor()?,
        limit: call.query.limit()?,
    })
}
