//! `/v1/audit`: who did, changed or was refused what.

use engine::view;
use serde::Serialize;
use serde_json::Value;

use super::super::route::{Answer, Call};
use super::csv::{self, Table};
use super::{listing, range, tenant};

/// One entry.
#[derive(Serialize)]
struct Item {
    seq: u64,
    time: String,
    actor: String,
    action: String,
    kind: &'static str,
    object: String,
    detail: Option<Value>,
}

const TABLE: Table = Table {
    name: "audit",
    columns: &["seq", "time", "actor", "action", "kind", "object", "detail"],
    pages: |call| Box::pin(page(call)),
};

/// `GET /v1/audit`
pub(in crate::http) async fn list(call: Call) -> Answer {
    if csv::wanted(&call)? { csv::answer(call, &TABLE).await } else { page(call).await }
}

async fn page(call: Call) -> Answer {
    let filter = view::audit::Filter {
        actor: call.query.text("actor"),
        action: call.query.text("action"),
        object: call.query.text("object"),
        tenant: tenant(&call)?,
    };
    let range = range(&call)?;
    let page = call.app.look(move |store| view::audit::page(store, &filter, range)).await?;
    listing(page, |item| Item {
        seq: item.seq.0,
        time: item.time.to_string(),
        actor: item.actor.to_string(),
        action: item.action,
        kind: item.kind.name(),
        object: item.object,
        detail: item.detail,
    })
}
