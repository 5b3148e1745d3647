//! `/sign-in/oidc`: to the provider, and back.
//!
//! Invariants: what comes back is tied by state and cookie to the browser that left; whatever goes wrong is recorded, and
//! the person reads what to do, not what the provider said.

use std::time::Instant;

use axum::http::{HeaderValue, StatusCode, header};
use maud::html;
use model::event::Actor;

use super::{layout, link, sign_in};
use crate::auth::oidc::provider::{Asker, Error};
use crate::auth::oidc::{self, FLOW_BYTES, FLOW_LIFETIME, Identity};
use crate::auth::session::{self, Who};
use crate::http::dispatch;
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call};

/// The provider, and how it is asked.
fn asker(call: &Call) -> Result<Asker<'_>, Problem> {
    let provider = call.app.settings.oidc.as_ref();
    let provider = provider.ok_or_else(|| Problem::not_found("page", "/sign-in/oidc"))?;
    let context = call.app.engine.context();
    Ok(Asker { provider, kept: &call.app.provider, effects: &context.effects, secrets: &context.secrets })
}

fn callback(call: &Call) -> String {
    format!("{}{}", call.app.settings.public_url.as_deref().unwrap_or_default(), oidc::CALLBACK)
}

/// `GET /sign-in/oidc`: begins, and sends the browser to the provider.
pub(crate) async fn begin(call: Call) -> Answer {
    let asker = asker(&call)?;
    let now = Instant::now();
    let known = match asker.known(now).await {
        Ok(known) => known,
        Err(error) => return Err(failed(&call, &error).await),
    };
    let mut random = [0; FLOW_BYTES];
    getrandom::fill(&mut random).map_err(|error| Problem::inside(error.to_string()))?;
    let to = call.query.get("to").and_then(link::own_path).unwrap_or("/");
    let begun = call.app.flows.begin(&random, to, now);
    let mut address = known.authorization.url().clone();
    address
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &asker.provider.client_id)
        .append_pair("redirect_uri", &callback(&call))
        .append_pair("scope", &asker.provider.scopes.join(" "))
        .append_pair("state", &begun.state)
        .append_pair("nonce", &begun.nonce)
        .append_pair("code_challenge", &begun.challenge)
        .append_pair("code_challenge_method", "S256");
    let mut answer = layout::see_other(address.as_str());
    // Lax: the way back from the provider must bring it along. It is worth nothing without the state.
    let secure = if call.app.settings.is_secure() { "; Secure" } else { "" };
    let cookie = format!(
        "{}={}; Path=/sign-in/oidc; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
        oidc::COOKIE,
        begun.cookie,
        FLOW_LIFETIME.as_secs()
    );
    set_cookie(&mut answer, &cookie)?;
    Ok(answer)
}

fn set_cookie(answer: &mut axum::http::Response<axum::body::Body>, cookie: &str) -> Result<(), Problem> {
    let value = HeaderValue::from_str(cookie).map_err(|error| Problem::inside(error.to_string()))?;
    answer.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

/// What went wrong, recorded with its cause; the person reads where to look.
async fn failed(call: &Call, error: &Error) -> Problem {
    let detail = match error {
        Error::Token(_) | Error::Code => "the identity provider's answer was refused; sign in again",
        Error::Secret(_) | Error::Description(_) => "the connection to the identity provider is not set up rightly",
        Error::Identity(_) => "the identity provider did not answer as it should; try again",
    };
    let status = match error {
        Error::Token(_) | Error::Code => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_GATEWAY,
    };
    tracing::warn!(%error, "signing in through the identity provider failed");
    let problem = Problem::new(status, "sign_in_failed", detail);
    let kept = Problem { detail: format!("{detail}: {error}"), ..problem.clone() };
    dispatch::record(&call.app, &kept, ("GET", oidc::CALLBACK), call.peer, Actor::System).await;
    problem
}

async fn refused(call: &Call, detail: String) -> Problem {
    let problem = Problem::new(StatusCode::FORBIDDEN, "sign_in_refused", detail);
    dispatch::record(&call.app, &problem, ("GET", oidc::CALLBACK), call.peer, Actor::System).await;
    problem
}

/// `GET /sign-in/oidc/callback`: the browser comes back.
pub(crate) async fn come_back(call: Call) -> Answer {
    let asker = asker(&call)?;
    let cookie = session::named_cookie(&call.headers, oidc::COOKIE).unwrap_or_default();
    let state = call.query.get("state").unwrap_or_default();
    let Some(flow) = call.app.flows.take(cookie, state, Instant::now()) else {
        let detail = "this sign-in was not begun by this browser, or took too long; begin again";
        return Err(refused(&call, detail.to_owned()).await);
    };
    if call.query.get("iss").is_some_and(|issuer| issuer != asker.provider.issuer) {
        return Err(refused(&call, "the answer came from another identity provider".to_owned()).await);
    }
    if call.query.get("error").is_some() {
        return Err(refused(&call, "the identity provider did not let you in".to_owned()).await);
    }
    let code = call.query.get("code").unwrap_or_default();
    let seconds = call.app.engine.store().now().millis().div_euclid(1_000);
    let claims = match asker.claims(&flow, code, &callback(&call), Instant::now(), seconds).await {
        Ok(claims) => claims,
        Err(error) => return Err(failed(&call, &error).await),
    };
    let tenants = call.app.settings.tenants.as_ref();
    let is_tenant = |name: &str| tenants.map_or(name == "default", |all| all.contains(name));
    let identity: Identity = match asker.provider.identity(&claims, is_tenant) {
        Ok(identity) => identity,
        Err(unwelcome) => return Err(refused(&call, unwelcome.to_string()).await),
    };
    let entered = sign_in::enter_as(&call, Who::Person(Box::new(identity)), &flow.to).await?;
    let cookies: Vec<HeaderValue> = entered.headers().get_all(header::SET_COOKIE).iter().cloned().collect();
    // A redirect from here would still count as coming from the provider, and a browser would keep the strict cookie back.
    // A page of our own begins anew.
    let content = html! {
        section.panel {
            h1 { "Signed in" }
            p { a href=(flow.to) autofocus { "Go on" } }
        }
    };
    let mut answer = layout::respond(StatusCode::OK, &layout::bare_then("Signed in", &flow.to, &content));
    for cookie in cookies {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    set_cookie(&mut answer, &format!("{}=; Path=/sign-in/oidc; Max-Age=0; HttpOnly; SameSite=Lax", oidc::COOKIE))?;
    Ok(answer)
}
