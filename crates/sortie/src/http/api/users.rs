//! `/v1/users`: people who sign in with a password. A password that Sortie makes is shown in the answer that makes it, and
//! never again; its holder must choose another at the first sign-in.

use axum::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use store::Page;

use super::super::App;
use super::super::ingest;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::runs::Empty;
use super::wish::{Wish, must_see_all};
use super::{listing, refusal};
use crate::auth::session::Who;
use crate::auth::user::{Kept, MADE_BYTES, MARKS, USERS_MAX, User};

/// A user without the password.
#[derive(Serialize)]
struct Item {
    name: String,
    role: &'static str,
    tenant: Option<String>,
    must_change: bool,
    created_at: String,
    created_by: String,
}

/// A user with a password that was just made.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    item: Item,
    password: String,
}

impl Item {
    fn of(user: &User) -> Item {
        Item {
            name: user.name.clone(),
            role: user.role.name(),
            tenant: user.tenant.clone(),
            must_change: user.password.is_one_time(),
            created_at: user.created_at.to_string(),
            created_by: user.created_by.clone(),
        }
    }
}

/// Said to whoever is bound to a tenant.
const WHY: &str = "who is bound to a tenant may not rule over users";

/// `GET /v1/users`
pub(in crate::http) async fn list(call: Call) -> Answer {
    must_see_all(&call, WHY)?;
    let items = call.app.users.list();
    listing(Page { items, next: None }, |user| Item::of(&user))
}

/// Puts a user down, or away, and takes over what then holds.
///
/// # Errors
/// What the engine refuses.
pub(crate) async fn keep(
    app: &App,
    name: &str,
    user: Option<&User>,
    what: serde_json::Value,
    actor: model::event::Actor,
) -> Result<(), Problem> {
    let mark = user.map(User::mark).transpose().map_err(|error| Problem::inside(error.to_string()))?;
    let marks = vec![(format!("{MARKS}{name}"), mark.map(|(_, bytes)| bytes))];
    let kept = app.engine.set_marks(marks, format!("user:{name}"), what, actor).await;
    kept.map_err(|error| refusal(&error))?;
    let marks = app.look(|store| Ok(store.marks(MARKS)?)).await?;
    app.users.load(marks).map_err(|error| Problem::inside(error.to_string()))?;
    app.sessions.end_all_of(&Who::User(name.to_owned()));
    Ok(())
}

fn one_time() -> Result<(String, Kept), Problem> {
    let mut random = [0; MADE_BYTES];
    getrandom::fill(&mut random).map_err(|error| Problem::inside(error.to_string()))?;
    Ok(Kept::made(&random))
}

fn made(status: StatusCode, user: &User, password: String) -> Answer {
    let mut answer = ingest::json(status, &Made { item: Item::of(user), password })?;
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// `POST /v1/users`
pub(in crate::http) async fn create(mut call: Call) -> Answer {
    let wish: Wish = call.json().await?;
    must_see_all(&call, WHY)?;
    let role = wish.role(&call)?;
    let app = std::sync::Arc::clone(&call.app);
    let _one_at_a_time = app.token_changes.lock().await;
    if app.users.find(&wish.name).is_some() {
        return Err(Problem::conflict("name_taken", format!("there is a user `{}` already", wish.name)));
    }
    if app.users.list().len() >= USERS_MAX {
        return Err(Problem::conflict("too_many_users", format!("there are {USERS_MAX} users; delete one first")));
    }
    let (password, kept) = one_time()?;
    let user = User {
        name: wish.name,
        role,
        tenant: wish.tenant,
        password: kept,
        created_at: app.engine.store().now(),
        created_by: call.caller.name.clone(),
    };
    let what = json!({ "action": "user.created", "name": user.name, "role": role.name(), "tenant": user.tenant });
    keep(&app, &user.name, Some(&user), what, call.caller.actor()).await?;
    made(StatusCode::CREATED, &user, password)
}

/// The user in the path.
fn find(call: &Call) -> Result<User, Problem> {
    let name = call.segment(0);
    let found = call.app.users.find(name).ok_or_else(|| Problem::not_found("user", name))?;
    Ok((*found).clone())
}

/// `DELETE /v1/users/{name}`
pub(in crate::http) async fn delete(call: Call) -> Answer {
    must_see_all(&call, WHY)?;
    let app = std::sync::Arc::clone(&call.app);
    let _one_at_a_time = app.token_changes.lock().await;
    let user = find(&call)?;
    let what = json!({ "action": "user.deleted", "name": user.name, "role": user.role.name() });
    keep(&app, &user.name, None, what, call.caller.actor()).await?;
    ingest::json(StatusCode::OK, &Item::of(&user))
}

/// `POST /v1/users/{name}/password`: a new one-time password for somebody who has lost the old one.
pub(in crate::http) async fn reset(mut call: Call) -> Answer {
    let Empty {} = call.json().await?;
    must_see_all(&call, WHY)?;
    let app = std::sync::Arc::clone(&call.app);
    let _one_at_a_time = app.token_changes.lock().await;
    let (password, kept) = one_time()?;
    let user = User { password: kept, ..find(&call)? };
    let what = json!({ "action": "user.password_reset", "name": user.name });
    keep(&app, &user.name, Some(&user), what, call.caller.actor()).await?;
    made(StatusCode::OK, &user, password)
}
