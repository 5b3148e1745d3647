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

/// `GET /sign-in`
pub(crate) async fn show(call: Call) -> Answer {
    if !call.app.settings.auth_required {
        return Ok(layout::see_other("/"));
    }
    let to = call.query.get("to").and_then(link::own_path).unwrap_or("/");
    Ok(layout::respond(StatusCode::OK, &layout::bare("Sign in", &content(to, None))))
}

fn content(to: &str, wrong: Option<&str>) -> Markup {
    html! {
        p.brand { img src=(assets::icon()) alt="" width="34" height="34"; "Sortie" }
        section.panel {
            h1 { "Sign in" }
            @if let Some(words) = wrong { p.note.bad role="alert" { (words) } }
            form.stack method="post" action="/sign-in" {
                input type="hidden" name="to" value=(to);
                label { "Token" input type="password" name="token" autocomplete="current-password" required autofocus; }
                button.primary type="submit" { "Sign in" }
            }
        }
        p.muted {
            "The first start made a token for the administrator; it lies in " code { "admin.token" } " in the data folder. "
            "More are made with " code { "sortie tokens create --name NAME --role viewer" } "."
        }
    }
}

/// `POST /sign-in`
pub(crate) async fn enter(call: Call, form: Form) -> Answer {
    let to = link::own_path(form.get("to")).unwrap_or("/");
    let token = call.app.tokens.find(form.get("token").trim());
    let Some(token) = token else { return refuse(&call, to).await };
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| Problem::inside(error.to_string()))?;
    let secret = call.app.sessions.begin(Who::Token(token.digest), &random, Instant::now());
    let what = json!({ "action": "signed_in", "peer": call.peer.to_string(), "by": "token" });
    let actor = Actor::Token(token.name.clone());
    let recorded =
        call.app.engine.record(EntryKind::SettingChanged, format!("token:{}", token.name), what, actor).await;
    recorded.map_err(|error| refusal(&error))?;
    let mut answer = layout::see_other(to);
    let cookie = session::set_cookie(&secret, call.app.settings.is_secure());
    let cookie = HeaderValue::from_str(&cookie).map_err(|error| Problem::inside(error.to_string()))?;
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(answer)
}

/// The page again, and one more attempt counted and recorded.
async fn refuse(call: &Call, to: &str) -> Answer {
    let problem = match call.app.brake.failed(call.peer, "", Instant::now()) {
        Verdict::TooMany(wait) => dispatch::too_many(wait),
        Verdict::Refuse => Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "this token is not known"),
    };
    dispatch::record(&call.app, &problem, ("POST", "/sign-in"), call.peer, Actor::System).await;
    let page = layout::bare("Sign in", &content(to, Some(&problem.detail)));
    let mut answer = layout::respond(problem.status, &page);
    if let Some(wait) = problem.retry_after_header() {
        answer.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    Ok(answer)
}

/// `POST /sign-out`
pub(crate) async fn leave(call: Call, _form: Form) -> Answer {
    if let Some(secret) = session::cookie(&call.headers) {
        call.app.sessions.end(secret);
        let what = json!({ "action": "signed_out" });
        let object = format!("token:{}", call.caller.name);
        let recorded = call.app.engine.record(EntryKind::SettingChanged, object, what, call.caller.actor()).await;
        recorded.map_err(|error| refusal(&error))?;
    }
    let mut answer = layout::see_other("/sign-in");
    let gone = session::clear_cookie(call.app.settings.is_secure());
    let gone = HeaderValue::from_str(&gone).map_err(|error| Problem::inside(error.to_string()))?;
    answer.headers_mut().insert(header::SET_COOKIE, gone);
    Ok(answer)
}
