//! `/v1/tokens`: made, listed, deleted. A secret is shown in the answer that makes it, and never again.

use axum::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use store::Page;

use super::super::ingest;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::wish::{Wish, must_see_all};
use super::{listing, refusal};
use crate::auth::session::Who;
use crate::auth::token::{MARKS, RANDOM_BYTES, TOKENS_MAX};
use crate::auth::{Role, Token};

/// A token without its secret.
#[derive(Serialize)]
struct Item {
    name: String,
    role: &'static str,
    tenant: Option<String>,
    created_at: String,
    created_by: String,
}

/// A token that was just made.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    item: Item,
    token: String,
}

impl Item {
    fn of(token: &Token) -> Item {
        Item {
            name: token.name.clone(),
            role: token.role.name(),
            tenant: token.tenant.clone(),
            created_at: token.created_at.to_string(),
            created_by: token.created_by.clone(),
        }
    }
}

/// Said to whoever is bound to a tenant.
const WHY: &str = "a token of one tenant may not rule over tokens";

/// `GET /v1/tokens`
pub(in crate::http) async fn list(call: Call) -> Answer {
    must_see_all(&call, WHY)?;
    let items = call.app.tokens.list();
    listing(Page { items, next: None }, |token| Item::of(&token))
}

/// Puts marks of tokens down, and takes over what then holds.
async fn keep(call: &Call, name: &str, mark: Option<Vec<u8>>, what: serde_json::Value) -> Result<(), Problem> {
    let engine = &call.app.engine;
    let marks = vec![(format!("{MARKS}{name}"), mark)];
    let kept = engine.set_marks(marks, format!("token:{name}"), what, call.caller.actor()).await;
    kept.map_err(|error| refusal(&error))?;
    let marks = call.app.look(|store| Ok(store.marks(MARKS)?)).await?;
    call.app.tokens.load(marks).map_err(|error| Problem::inside(error.to_string()))
}

/// `POST /v1/tokens`
pub(in crate::http) async fn create(mut call: Call) -> Answer {
    let wish: Wish = call.json().await?;
    must_see_all(&call, WHY)?;
    let role = wish.role(&call)?;
    let app = std::sync::Arc::clone(&call.app);
    let _one_at_a_time = app.token_changes.lock().await;
    let all = app.tokens.list();
    if all.iter().any(|token| token.name == wish.name) {
        return Err(Problem::conflict("name_taken", format!("there is a token `{}` already", wish.name)));
    }
    if all.len() >= TOKENS_MAX {
        return Err(Problem::conflict("too_many_tokens", format!("there are {TOKENS_MAX} tokens; delete one first")));
    }
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|error| Problem::inside(error.to_string()))?;
    let now = app.engine.store().now();
    let (secret, token) = Token::make(&wish.name, role, wish.tenant, &call.caller.name, now, &random);
    let (_, mark) = token.mark().map_err(|error| Problem::inside(error.to_string()))?;
    let what = json!({
        "action": "token.created", "name": token.name, "role": role.name(), "tenant": token.tenant,
    });
    keep(&call, &token.name, Some(mark), what).await?;
    let mut answer = ingest::json(StatusCode::CREATED, &Made { item: Item::of(&token), token: secret })?;
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// `DELETE /v1/tokens/{name}`
pub(in crate::http) async fn delete(call: Call) -> Answer {
    must_see_all(&call, WHY)?;
    let app = std::sync::Arc::clone(&call.app);
    let _one_at_a_time = app.token_changes.lock().await;
    let all = app.tokens.list();
    let name = call.segment(0);
    let token = all.iter().find(|token| token.name == name).ok_or_else(|| Problem::not_found("token", name))?;
    let rules = |token: &Token| token.role == Role::Admin && token.tenant.is_none();
    if rules(token) && all.iter().filter(|other| rules(other)).count() == 1 {
        return Err(Problem::conflict("last_admin", "this is the last token that may make others; make another first"));
    }
    keep(&call, name, None, json!({ "action": "token.deleted", "name": name, "role": token.role.name() })).await?;
    app.sessions.end_all_of(&Who::Token(token.digest));
    ingest::json(StatusCode::OK, &Item::of(token))
}
