//! `/v1/grouping`: the rules by which detections become alerts. Those of the configuration are shown and changed there.

use axum::http::StatusCode;
use engine::triage::grouping::{ORDER, Written};
use serde::{Deserialize, Serialize};
use store::Page;

use super::super::ingest::json;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::{listing, of_tenant, refusal, tenant};

/// A rule as it is shown.
#[derive(Serialize)]
struct Item {
    name: String,
    by: String,
    window: String,
    when: Option<String>,
    tenant: Option<String>,
    order: i64,
    from: &'static str,
    made_by: Option<String>,
    made_at: Option<String>,
}

impl Item {
    fn of(one: Written) -> Item {
        let Written { name, by, window, when, tenant, order, made_by, made_at } = one;
        let from = if made_by.is_some() { "api" } else { "file" };
        Item { name, by, window, when, tenant, order, from, made_by, made_at }
    }
}

/// What a new rule is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: String,
    by: String,
    window: String,
    #[serde(default)]
    when: Option<String>,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    order: Option<i64>,
}

/// `GET /v1/grouping`
pub(in crate::http) async fn list(call: Call) -> Answer {
    let engine = call.app.engine.clone();
    let mut items = call.app.look(move |_| Ok(engine.groupings()?)).await?;
    if let Some(tenant) = tenant(&call)? {
        items.retain(|one| one.tenant.as_ref().is_none_or(|own| *own == tenant));
    }
    listing(Page { items, next: None }, Item::of)
}

/// `POST /v1/grouping`
pub(in crate::http) async fn make(mut call: Call) -> Answer {
    let wish: Wish = call.json().await?;
    let tenant = of_tenant(&call, wish.tenant)?;
    let rule = Written {
        name: wish.name,
        by: wish.by,
        window: wish.window,
        when: wish.when,
        tenant,
        order: wish.order.unwrap_or(ORDER),
        made_by: Some(call.caller.name.clone()),
        made_at: Some(call.app.engine.store().now().to_string()),
    };
    call.app.engine.group_by(rule.clone(), call.caller.actor()).await.map_err(|error| refusal(&error))?;
    json(StatusCode::CREATED, &Item::of(rule))
}

/// What was ended.
#[derive(Serialize)]
struct Ended<'a> {
    name: &'a str,
}

/// `DELETE /v1/grouping/{name}`
pub(in crate::http) async fn end(call: Call) -> Answer {
    let name = call.segment(0).to_owned();
    if let Some(own) = &call.caller.tenant {
        let engine = call.app.engine.clone();
        let known = call.app.look(move |_| Ok(engine.groupings()?)).await?;
        if !known.iter().any(|one| one.name == name && one.tenant.as_ref() == Some(own)) {
            return Err(Problem::not_found("grouping rule", &name));
        }
    }
    call.app.engine.group_no_more(&name, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    json(StatusCode::OK, &Ended { name: &name })
}
