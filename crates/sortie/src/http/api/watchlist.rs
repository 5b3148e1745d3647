//! `/v1/watchlist`: entities whose events raise the priority. Entries of the configuration are shown and changed there.

use axum::http::StatusCode;
use engine::triage::{Entry, Origin, Watched};
use model::limits::ID_BYTES_MAX;
use model::record::{ENTITY_KINDS, PRIORITIES, priority};
use serde::{Deserialize, Serialize};
use store::Page;

use super::super::ingest::json;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::{listing, of_tenant, refusal, tenant};

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;

/// An entry as it is written.
#[derive(Serialize)]
struct Item {
    kind: String,
    id: String,
    reason: String,
    priority: Option<&'static str>,
    tenant: Option<String>,
    from: &'static str,
    added_by: Option<String>,
    added_at: Option<String>,
}

impl Item {
    fn of(entry: Entry) -> Item {
        let (from, added_by, added_at) = match entry.origin {
            Origin::File => ("file", None, None),
            Origin::People { by, at } => ("api", Some(by), Some(at)),
        };
        let Watched { kind, id, reason, priority, tenant } = entry.watched;
        Item { kind, id, reason, priority, tenant, from, added_by, added_at }
    }
}

/// What a new entry is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    kind: String,
    id: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    priority: Option<String>,
    #[serde(default)]
    tenant: Option<String>,
}

/// `GET /v1/watchlist`
pub(in crate::http) async fn list(call: Call) -> Answer {
    let engine = call.app.engine.clone();
    let mut items = call.app.look(move |_| Ok(engine.watchlist()?)).await?;
    if let Some(tenant) = tenant(&call)? {
        items.retain(|entry| entry.watched.tenant.as_ref().is_none_or(|own| *own == tenant));
    }
    listing(Page { items, next: None }, Item::of)
}

/// `POST /v1/watchlist`
pub(in crate::http) async fn add(mut call: Call) -> Answer {
    let wish: Wish = call.json().await?;
    let known = ENTITY_KINDS.into_iter().find(|kind| kind.eq_ignore_ascii_case(&wish.kind));
    let kind = known.ok_or_else(|| {
        Problem::bad(
            "invalid_value",
            format!("`kind`: `{}` is none; use one of {}", wish.kind, ENTITY_KINDS.join(", ")),
        )
    })?;
    if wish.id.trim().is_empty() || wish.id.len() > ID_BYTES_MAX {
        return Err(Problem::bad("invalid_value", format!("`id` has 1 to {ID_BYTES_MAX} bytes")));
    }
    if wish.reason.chars().count() > REASON_CHARS_MAX {
        return Err(Problem::bad("invalid_value", format!("`reason` has at most {REASON_CHARS_MAX} characters")));
    }
    let level =
        match wish.priority.as_deref() {
            None => None,
            Some(text) => Some(priority(text).ok_or_else(|| {
                Problem::bad("invalid_value", format!("`priority` is one of {}", PRIORITIES.join(", ")))
            })?),
        };
    let tenant = of_tenant(&call, wish.tenant)?;
    let watched =
        Watched { kind: kind.to_owned(), id: wish.id.trim().to_owned(), reason: wish.reason, priority: level, tenant };
    let at = call.app.engine.store().now().to_string();
    let entry = Entry { watched, origin: Origin::People { by: call.caller.name.clone(), at } };
    call.app.engine.watch(entry.clone(), call.caller.actor()).await.map_err(|error| refusal(&error))?;
    json(StatusCode::CREATED, &Item::of(entry))
}

/// What was taken off.
#[derive(Serialize)]
struct Removed<'a> {
    kind: &'a str,
    id: &'a str,
}

/// `DELETE /v1/watchlist/{kind}/{id}`
pub(in crate::http) async fn remove(call: Call) -> Answer {
    let (kind, id) = (call.segment(0), call.segment(1));
    let tenant = tenant(&call)?;
    let removed = call.app.engine.unwatch(kind, id, tenant.as_deref(), call.caller.actor()).await;
    removed.map_err(|error| refusal(&error))?;
    json(StatusCode::OK, &Removed { kind, id })
}
