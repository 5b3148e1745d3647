//! `/v1/notifications`: who is told of what. Those of the configuration are shown, and changed there.

use axum::http::StatusCode;
use engine::triage::Notification;
use serde::{Deserialize, Serialize};
use store::Page;

use super::super::ingest::json;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::{listing, of_tenant, refusal, tenant};

/// A notification as it is written.
#[derive(Serialize)]
struct Item {
    name: String,
    on: Vec<String>,
    of: String,
    person: Option<String>,
    queue: Option<String>,
    tenant: Option<String>,
    when: Option<String>,
    to: Vec<String>,
    email: Vec<String>,
    from: &'static str,
    made_by: Option<String>,
    playbook: String,
}

impl Item {
    fn of(one: Notification) -> Item {
        let (playbook, from) = (one.playbook_id(), if one.by.is_some() { "api" } else { "file" });
        let Notification { name, on, of, person, queue, tenant, when, to, email, by } = one;
        Item { name, on, of, person, queue, tenant, when, to, email, from, made_by: by, playbook }
    }
}

/// A notification as it is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: String,
    on: Vec<String>,
    #[serde(default)]
    of: Option<String>,
    #[serde(default)]
    person: Option<String>,
    #[serde(default)]
    queue: Option<String>,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    when: Option<String>,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    email: Vec<String>,
}

/// `GET /v1/notifications`
pub(in crate::http) async fn list(call: Call) -> Answer {
    let engine = call.app.engine.clone();
    let mut items = call.app.look(move |_| Ok(engine.notifications()?)).await?;
    if let Some(tenant) = tenant(&call)? {
        items.retain(|one| one.tenant.as_ref().is_none_or(|own| *own == tenant));
    }
    listing(Page { items, next: None }, Item::of)
}

/// `POST /v1/notifications`
pub(in crate::http) async fn make(mut call: Call) -> Answer {
    let wish: Wish = call.json().await?;
    let tenant = of_tenant(&call, wish.tenant)?;
    let made = Notification {
        name: wish.name,
        on: wish.on,
        of: wish.of.unwrap_or_else(|| "case".to_owned()),
        person: wish.person,
        queue: wish.queue,
        tenant,
        when: wish.when,
        to: wish.to,
        email: wish.email,
        by: Some(call.caller.name.clone()),
    };
    call.app.engine.notify(made.clone(), call.caller.actor()).await.map_err(|error| refusal(&error))?;
    json(StatusCode::CREATED, &Item::of(made))
}

/// What was ended.
#[derive(Serialize)]
struct Ended<'a> {
    name: &'a str,
}

/// `DELETE /v1/notifications/{name}`
pub(in crate::http) async fn end(call: Call) -> Answer {
    let name = call.segment(0).to_owned();
    if let Some(own) = &call.caller.tenant {
        let engine = call.app.engine.clone();
        let known = call.app.look(move |_| Ok(engine.notifications()?)).await?;
        if !known.iter().any(|one| one.name == name && one.tenant.as_ref() == Some(own)) {
            return Err(Problem::not_found("notification", &name));
        }
    }
    let ended = call.app.engine.end_notification(&name, call.caller.actor()).await;
    ended.map_err(|error| refusal(&error))?;
    json(StatusCode::OK, &Ended { name: &name })
}
