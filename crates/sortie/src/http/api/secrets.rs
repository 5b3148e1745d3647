//! `/v1/secrets`: kept, named, deleted. A value goes in and never comes out.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use store::Page;

use super::super::ingest;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::{listing, refusal};

/// A secret without its value.
#[derive(Serialize)]
struct Item {
    name: String,
}

/// A secret to keep.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: String,
    value: String,
}

/// Secrets belong to the whole server.
fn must_see_all(call: &Call) -> Result<(), Problem> {
    match call.caller.tenant {
        None => Ok(()),
        Some(_) => {
            Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "a token of one tenant may not rule over secrets"))
        }
    }
}

/// `GET /v1/secrets`
pub(in crate::http) async fn list(call: Call) -> Answer {
    must_see_all(&call)?;
    let items = call.app.engine.secret_names();
    listing(Page { items, next: None }, |name| Item { name })
}

/// `POST /v1/secrets`: keeps a secret, or another value for one that is kept.
pub(in crate::http) async fn set(mut call: Call) -> Answer {
    let Wish { name, value } = call.json().await?;
    must_see_all(&call)?;
    call.app.engine.set_secret(&name, &value, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    ingest::json(StatusCode::OK, &Item { name })
}

/// `DELETE /v1/secrets/{name}`
pub(in crate::http) async fn delete(call: Call) -> Answer {
    must_see_all(&call)?;
    let name = call.segment(0).to_owned();
    call.app.engine.delete_secret(&name, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    ingest::json(StatusCode::OK, &Item { name })
}
