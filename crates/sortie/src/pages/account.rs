//! `/account`: who one is, and the form that chooses another password.

use axum::http::{HeaderValue, header};
use maud::{Markup, html};
use serde_json::json;

use super::form::Form;
use super::layout::{self, Section};
use super::{link, parts};
use crate::auth::first_user;
use crate::auth::session::Who;
use crate::auth::user::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, PasswordError, SALT_BYTES, User};
use crate::http::api::users;
use crate::http::dispatch;
use crate::http::problem::Problem;
use crate::http::route::{Answer, Call};

/// What can just have been done.
const DONE: &[(&str, &str)] = &[("changed", "The password is changed. Your other sessions have ended.")];

/// The user whose session asks, when it is one with a password.
fn user(call: &Call) -> Option<std::sync::Arc<User>> {
    match dispatch::session(&call.app, &call.headers)? {
        Who::User(name) => call.app.users.find(&name),
        _ => None,
    }
}

/// `GET /account`
pub(crate) async fn show(call: Call) -> Answer {
    let user = user(&call);
    let content = html! {
        (parts::done(&call, DONE))
        div.head { div.grow { h1 { "Your account" } } }
        section.panel aria-label="Who you are" {
            dl.facts {
                dt { "Name" } dd { (call.caller.name) }
                dt { "Role" } dd { (call.caller.role.name()) }
                dt { "Tenant" } dd { (call.caller.tenant.as_deref().unwrap_or("all")) }
            }
        }
        @match &user {
            Some(user) => (password_form(&call, user)),
            None => p.muted { "You have signed in without a password of Sortie's, so there is none to change." },
        }
    };
    layout::page(&call, Section::None, "Your account", &content)
}

fn password_form(call: &Call, user: &User) -> Markup {
    html! {
        @if user.password.is_one_time() {
            div.note.warn role="alert" { p { strong { "Choose a password." } " The one you signed in with was made for one use; nothing else opens until you have." } }
        }
        section.panel aria-labelledby="password" {
            h2 id="password" { "Change the password" }
            form.stack method="post" action="/account/password" {
                (parts::word(call))
                input type="hidden" name="username" value=(user.name) autocomplete="username";
                label { "The password you have" input type="password" name="current" autocomplete="current-password" required maxlength=(PASSWORD_BYTES_MAX); }
                label { "The new one, at least " (PASSWORD_CHARS_MIN) " characters" input type="password" name="new" autocomplete="new-password" required minlength=(PASSWORD_CHARS_MIN) maxlength=(PASSWORD_BYTES_MAX); }
                label { "The new one again" input type="password" name="again" autocomplete="new-password" required minlength=(PASSWORD_CHARS_MIN) maxlength=(PASSWORD_BYTES_MAX); }
                div { button.primary type="submit" { "Change the password" } }
            }
        }
    }
}

/// `POST /account/password`
pub(crate) async fn password(call: Call, form: Form) -> Answer {
    let no_password = || Problem::bad("no_password", "you have signed in without a password of Sortie's");
    let name = user(&call).ok_or_else(no_password)?.name.clone();
    if form.get("new") != form.get("again") {
        return Err(Problem::bad("invalid_form", "the new password was not typed the same twice"));
    }
    super::sign_in::must_wait(&call)?;
    let Some(user) = call.app.users.check(&name, form.get("current")).await else {
        return Err(super::sign_in::wrong(&call, "the password you have is another").await);
    };
    if form.get("new") == form.get("current") {
        return Err(Problem::bad("invalid_password", "the new password is the old one"));
    }
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| Problem::inside(error.to_string()))?;
    let kept = call.app.users.hash(form.get("new"), &name, salt).await.map_err(|error| match error {
        PasswordError::Hash(inside) => Problem::inside(inside),
        error => Problem::bad("invalid_password", error.to_string()),
    })?;
    let was_first = user.password.is_one_time() && name == first_user::NAME;
    let changed = User { password: kept, ..(*user).clone() };
    {
        let _one_at_a_time = call.app.token_changes.lock().await;
        let what = json!({ "action": "user.password_changed", "name": name });
        users::keep(&call.app, &name, Some(&changed), what, call.caller.actor()).await?;
    }
    if was_first {
        first_user::forget(&call.app.settings.data);
    }
    // All sessions have ended, this one too: a new one takes its place.
    let cookie = super::sign_in::begin(&call, Who::User(name))?;
    let mut answer = layout::see_other(&link::with("/account", &[("done", "changed")]));
    answer
        .headers_mut()
        .insert(header::SET_COOKIE, HeaderValue::from_str(&cookie).map_err(|e| Problem::inside(e.to_string()))?);
    Ok(answer)
}
