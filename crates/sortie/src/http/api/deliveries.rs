//! `/v1/deliveries`.

use axum::http::StatusCode;
use engine::view;
use futures_util::stream::{self, StreamExt as _};
use model::DeliveryId;
use model::run::DeliveryStatus;
use serde::Serialize;
use store::Page;

use super::super::ingest::json;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::csv::{self, Table};
use super::runs::{Empty, filter};
use super::{listing, refusal, shape};

/// Deliveries that are sent again at the same time.
const RESENT_AT_ONCE: usize = 8;
/// Most deliveries that one request sends again.
const RESENT_MAX: usize = 100;

/// The statuses of deliveries.
const STATUSES: [DeliveryStatus; 5] = [
    DeliveryStatus::Queued,
    DeliveryStatus::Retrying,
    DeliveryStatus::Delivered,
    DeliveryStatus::Failed,
    DeliveryStatus::Suppressed,
];

fn statuses(call: &Call) -> Result<Vec<DeliveryStatus>, Problem> {
    let one = |name: &str| {
        let known = STATUSES.map(DeliveryStatus::name).join(", ");
        let found = STATUSES.into_iter().find(|status| status.name() == name);
        found.ok_or_else(|| Problem::bad("invalid_query", format!("`status` is one or more of {known}")))
    };
    call.query.list("status").into_iter().map(one).collect()
}

const TABLE: Table = Table {
    name: "deliveries",
    columns: &[
        "delivery_id",
        "run_id",
        "playbook",
        "tenant",
        "alert_id",
        "case_id",
        "webhook_id",
        "destination",
        "step",
        "status",
        "reason",
        "attempts",
        "http_status",
        "last_at",
        "next_at",
    ],
    pages: |call| Box::pin(page(call)),
};

/// `GET /v1/deliveries`
pub(in crate::http) async fn list(call: Call) -> Answer {
    if csv::wanted(&call)? { csv::answer(call, &TABLE).await } else { page(call).await }
}

async fn page(call: Call) -> Answer {
    let (filter, statuses) = (filter(&call)?, statuses(&call)?);
    let (after, limit) = (call.query.cursor()?, call.query.limit()?);
    let page = call.app.look(move |store| view::deliveries::page(store, &filter, &statuses, after, limit)).await?;
    listing(page, |found| shape::DeliveryItem::of(&found))
}

async fn seen(call: &Call) -> Result<view::deliveries::Detail, Problem> {
    let id: DeliveryId = call.id("delivery")?;
    let found = call.app.look(move |store| view::deliveries::detail(store, id)).await?;
    found
        .filter(|detail| call.caller.sees(&detail.found.run.tenant))
        .ok_or_else(|| Problem::not_found("delivery", call.segment(0)))
}

/// `GET /v1/deliveries/{id}`
pub(in crate::http) async fn show(call: Call) -> Answer {
    let detail = seen(&call).await?;
    json(StatusCode::OK, &shape::DeliveryDetail::of(&detail, call.caller.role.sees_answers()))
}

/// `POST /v1/deliveries/{id}/redeliver`
pub(in crate::http) async fn redeliver(mut call: Call) -> Answer {
    let Empty {} = call.json().await?;
    let id = seen(&call).await?.found.id;
    let taken = call.app.engine.redeliver(id, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    let detail = seen(&call).await?;
    let shown = shape::Redelivered::of(taken, &detail, call.caller.role.sees_answers());
    json(StatusCode::OK, &shown)
}

/// A delivery that was sent again.
#[derive(Serialize)]
struct Resent {
    delivery_id: String,
    destination: String,
    webhook_id: String,
    ok: bool,
    message: Option<String>,
}

/// `POST /v1/deliveries/redeliver`: the failed deliveries that the query asks for, a page at a time, each with the same
/// webhook-id.
pub(in crate::http) async fn redeliver_all(mut call: Call) -> Answer {
    let Empty {} = call.json().await?;
    let (filter, after) = (filter(&call)?, call.query.cursor()?);
    let limit = call.query.limit()?.min(RESENT_MAX);
    let failed = [DeliveryStatus::Failed];
    let page = call.app.look(move |store| view::deliveries::page(store, &filter, &failed, after, limit)).await?;
    let (engine, actor) = (&call.app.engine, call.caller.actor());
    let again = page.items.into_iter().map(|found| {
        let actor = actor.clone();
        async move {
            let (ok, message) = match engine.redeliver(found.id, actor).await {
                Ok(true) => (true, None),
                Ok(false) => (false, Some("the receiver did not take it".to_owned())),
                Err(error) => (false, Some(error.to_string())),
            };
            let delivery = &found.delivery;
            Resent {
                delivery_id: found.id.to_string(),
                destination: delivery.destination.clone(),
                webhook_id: engine::action::idempotency_key(found.run.id, &delivery.path, &delivery.destination),
                ok,
                message,
            }
        }
    });
    let items: Vec<Resent> = stream::iter(again).buffered(RESENT_AT_ONCE).collect().await;
    listing(Page { items, next: page.next }, |item| item)
}
