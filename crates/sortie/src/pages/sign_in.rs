//! `/sign-in` and `/sign-out`.
//!
//! Invariants: a wrong secret is answered like an unknown one, at a bounded rate for each address; where to go afterwards
//! is a path of this server or the overview; every attempt is in the history.

use std::time::Instant;

use axum::http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};
use model::event::Actor;
use model::history::EntryKind;
use serde_json::json;

use super::form::Form;
use super::{assets, layout, link};
use crate::auth::brake::Verdict;
use crate::auth::session::{self, SECRET_BYTES, Who};
use crate::http::api::refusal;
use crate::http::dispatch;
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call};

/// What wrong passwords are counted under, apart from wrong tokens.
const SCOPE: &str = "sign-in";

/// `GET /sign-in`
pub(crate) async fn show(call: Call) -> Answer {
    if !call.app.settings.auth_required {
        return Ok(layout::see_other("/"));
    }
    let to = call.query.get("to").and_then(link::own_path).unwrap_or("/");
    Ok(layout::respond(StatusCode::OK, &layout::bare("Sign in", &content(&call, to, None))))
}

fn content(call: &Call, to: &str, wrong: Option<&str>) -> Markup {
    html! {
        p.brand { img src=(assets::icon()) alt="" width="34" height="34"; "Sortie" }
        section.panel {
            h1 { "Sign in" }
            @if let Some(words) = wrong { p.note.bad role="alert" { (words) } }
            @if call.app.settings.oidc.is_some() {
                p { a.button.primary href=(link::with("/sign-in/oidc", &[("to", to)])) { "Sign in with your organisation" } }
            }
            form.stack method="post" action="/sign-in" id="with-password" {
                input type="hidden" name="to" value=(to);
                label { "Name" input type="text" name="name" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus; }
                label { "Password" input type="password" name="password" autocomplete="current-password" required; }
                div { button.primary type="submit" { "Sign in" } }
            }
        }
        section.panel {
            details {
                summary { "With a token instead" }
                form.stack method="post" action="/sign-in" id="with-token" {
                    input type="hidden" name="to" value=(to);
                    label { "Token" input type="password" name="token" autocomplete="off" required; }
                    div { button type="submit" { "Sign in with the token" } }
                }
            }
        }
        p.muted {
            "The first start made the user " strong { "admin" } "; the one-time password lies in " code { "admin.password" } " in the data folder. "
            "More users are made with " code { "sortie users create" } "."
        }
    }
}

/// `POST /sign-in`
pub(crate) async fn enter(call: Call, form: Form) -> Answer {
    if !call.app.settings.auth_required {
        return Ok(layout::see_other("/"));
    }
    let to = link::own_path(form.get("to")).unwrap_or("/");
    let found = match form.get("token").trim() {
        "" => by_password(&call, &form).await,
        token => by_token(&call, token).await,
    };
    match found {
        Ok(who) => enter_as(&call, who, to).await,
        Err(problem) => Ok(again(&call, to, &problem)),
    }
}

async fn by_token(call: &Call, token: &str) -> Result<Who, Problem> {
    match call.app.tokens.find(token) {
        Some(token) => Ok(Who::Token(token.digest)),
        None => Err(wrong(call, "this token is not known").await),
    }
}

async fn by_password(call: &Call, form: &Form) -> Result<Who, Problem> {
    // People choose passwords: whoever has guessed too often waits even when right at last.
    must_wait(call)?;
    match call.app.users.check(form.get("name").trim(), form.get("password")).await {
        Some(user) => Ok(Who::User(user.name.clone())),
        None => Err(wrong(call, "there is no such name with this password").await),
    }
}

/// Whether the address must wait before another password of it is looked at.
///
/// # Errors
/// 429 with the time to wait.
pub(super) fn must_wait(call: &Call) -> Result<(), Problem> {
    match call.app.brake.wait(call.peer, SCOPE, Instant::now()) {
        Some(wait) => Err(dispatch::too_many(wait)),
        None => Ok(()),
    }
}

/// Counts and records a wrong secret; answers what is said about it.
pub(super) async fn wrong(call: &Call, words: &str) -> Problem {
    let problem = match call.app.brake.failed(call.peer, SCOPE, Instant::now()) {
        Verdict::TooMany(wait) => dispatch::too_many(wait),
        Verdict::Refuse => Problem::new(StatusCode::UNAUTHORIZED, "wrong_secret", words),
    };
    dispatch::record(&call.app, &problem, ("POST", "/sign-in"), call.peer, Actor::System).await;
    problem
}

/// The page again, with what was wrong.
fn again(call: &Call, to: &str, problem: &Problem) -> axum::http::Response<axum::body::Body> {
    let mut answer =
        layout::respond(problem.status, &layout::bare("Sign in", &content(call, to, Some(&problem.detail))));
    if let Some(wait) = problem.retry_after_header() {
        answer.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    answer
}

/// Begins a session; answers its `Set-Cookie`.
///
/// # Errors
/// When the system has no randomness.
pub(super) fn begin(call: &Call, who: Who) -> Result<String, Problem> {
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| Problem::inside(error.to_string()))?;
    let lifetime = match (&who, &call.app.settings.oidc) {
        (Who::Person(_), Some(provider)) => provider.session,
        _ => session::LIFETIME,
    };
    let secret = call.app.sessions.begin(who, &random, Instant::now(), lifetime);
    Ok(session::set_cookie(&secret, lifetime, call.app.settings.is_secure()))
}

/// Records who has signed in, and leads to where the person wanted to go. A session that the browser had before ends: its
/// secret may be known to whoever put it there.
pub(super) async fn enter_as(call: &Call, who: Who, to: &str) -> Answer {
    let caller = dispatch::caller_of(&call.app, &who)
        .ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "this was just deleted"))?;
    let actor = caller.actor();
    let what = json!({ "action": "signed_in", "peer": call.peer.to_string(), "role": caller.role.name() });
    let recorded = call.app.engine.record(EntryKind::SettingChanged, actor.to_string(), what, actor).await;
    recorded.map_err(|error| refusal(&error))?;
    if let Some(old) = session::cookie(&call.headers) {
        call.app.sessions.end(old);
    }
    let cookie = begin(call, who)?;
    let mut answer = layout::see_other(to);
    let cookie = HeaderValue::from_str(&cookie).map_err(|error| Problem::inside(error.to_string()))?;
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(answer)
}

/// `POST /sign-out`
pub(crate) async fn leave(call: Call, _form: Form) -> Answer {
    if let Some(secret) = session::cookie(&call.headers) {
        call.app.sessions.end(secret);
        let what = json!({ "action": "signed_out" });
        let actor = call.caller.actor();
        let recorded = call.app.engine.record(EntryKind::SettingChanged, actor.to_string(), what, actor).await;
        recorded.map_err(|error| refusal(&error))?;
    }
    let mut answer = layout::see_other("/sign-in");
    let gone = session::clear_cookie(call.app.settings.is_secure());
    let gone = HeaderValue::from_str(&gone).map_err(|error| Problem::inside(error.to_string()))?;
    answer.headers_mut().insert(header::SET_COOKIE, gone);
    Ok(answer)
}
