//! Listings and single records: runs, events, alerts, cases, deliveries, playbooks, destinations.
//!
//! Each listing is one line in a table of columns; each is answered by the same request that a client of the API sends.

use serde_json::Value;

use super::World;
use super::api::{Api, Ask, block_on};
use super::args::{List, Output, Paging, Show, ShowObject};
use super::exit::Error;
use super::show;

/// Items of a page, when nothing else is said.
const LIMIT: u16 = 50;

/// A column: its heading, and the keys of which the first that is there is shown.
pub(super) type Column = (&'static str, &'static [&'static str]);

/// The columns of runs.
pub(super) const RUNS: &[Column] = &[
    ("RUN", &["run_id"]),
    ("PLAYBOOK", &["playbook"]),
    ("STATUS", &["status"]),
    ("ABOUT", &["case_id", "alert_id"]),
    ("TRIGGER", &["trigger"]),
    ("STARTED", &["started_at", "created_at"]),
    ("MS", &["duration_ms"]),
];
/// The columns of events.
pub(super) const EVENTS: &[Column] = &[
    ("EVENT", &["event_id"]),
    ("TYPE", &["type"]),
    ("SOURCE", &["source"]),
    ("ABOUT", &["about"]),
    ("ARRIVED", &["received_at"]),
    ("RUNS", &["runs"]),
];
/// The columns of alerts.
pub(super) const ALERTS: &[Column] = &[
    ("ALERT", &["alert_id"]),
    ("NAME", &["name"]),
    ("PRIORITY", &["priority"]),
    ("SCORE", &["risk_score"]),
    ("CASE", &["case_id"]),
    ("UPDATED", &["updated_at"]),
];
/// The columns of cases.
pub(super) const CASES: &[Column] = &[
    ("CASE", &["case_id"]),
    ("NAME", &["name"]),
    ("STAGE", &["stage"]),
    ("PRIORITY", &["priority"]),
    ("SCORE", &["risk_score"]),
    ("QUEUE", &["queue"]),
    ("ASSIGNEE", &["assignee"]),
    ("UPDATED", &["updated_at"]),
];
/// The columns of deliveries.
pub(super) const DELIVERIES: &[Column] = &[
    ("DELIVERY", &["delivery_id"]),
    ("DESTINATION", &["destination"]),
    ("STATUS", &["status"]),
    ("HTTP", &["http_status"]),
    ("TRIES", &["attempts"]),
    ("ABOUT", &["case_id", "alert_id"]),
    ("PLAYBOOK", &["playbook"]),
    ("LAST", &["last_at"]),
];
/// The columns of playbooks.
pub(super) const PLAYBOOKS: &[Column] = &[
    ("PLAYBOOK", &["playbook"]),
    ("NAME", &["name"]),
    ("ENABLED", &["enabled"]),
    ("ORDER", &["order"]),
    ("FILE", &["file"]),
];
/// The columns of destinations.
pub(super) const DESTINATIONS: &[Column] = &[
    ("DESTINATION", &["id"]),
    ("KIND", &["kind"]),
    ("URL", &["url"]),
    ("ENABLED", &["enabled"]),
    ("ORIGIN", &["origin"]),
];

/// The columns of secrets.
pub(super) const SECRETS: &[Column] = &[("SECRET", &["name"])];
/// The columns of tokens.
pub(super) const TOKENS: &[Column] = &[
    ("TOKEN", &["name"]),
    ("ROLE", &["role"]),
    ("TENANT", &["tenant"]),
    ("MADE", &["created_at"]),
    ("BY", &["created_by"]),
];

/// Shows a listing.
pub(super) fn list(
    world: &World,
    what: &'static str,
    filters: Vec<(&'static str, Option<String>)>,
    columns: &[Column],
    output: Output,
) -> Result<(), Error> {
    if filters.iter().any(|(key, value)| *key == "format" && value.is_some()) {
        return block_on(async {
            let api = Api::find(world).await?;
            api.download(&["v1", what], &filters, &mut std::io::stdout()).await
        });
    }
    let answer = block_on(async {
        let api = Api::find(world).await?;
        api.ask(Ask { query: &filters, ..Ask::get(&["v1", what]) }).await
    })?;
    if output.json {
        return Ok(world.console.data(&format!("{answer:#}"))?);
    }
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    world.console.table(&show::rows(items, columns))?;
    if items.is_empty() {
        world.console.talk(&format!("there are no {what} here"));
    }
    if let Some(cursor) = answer["next_cursor"].as_str() {
        world.console.talk(&format!("there may be more: --cursor {cursor}"));
    }
    Ok(())
}

/// The filters that every listing takes.
pub(super) fn paging(paging: &Paging) -> Vec<(&'static str, Option<String>)> {
    vec![
        ("limit", paging.limit.or((!paging.csv).then_some(LIMIT)).map(|limit| limit.to_string())),
        ("format", paging.csv.then(|| "csv".to_owned())),
        ("cursor", paging.cursor.clone()),
        ("tenant", paging.tenant.clone()),
        ("since", paging.since.clone()),
        ("until", paging.until.clone()),
    ]
}

/// Shows a plain listing.
pub(super) fn plain(world: &World, what: &'static str, list_of: &List, columns: &[Column]) -> Result<(), Error> {
    list(world, what, paging(&list_of.paging), columns, list_of.output)
}

/// Shows one record.
pub(super) fn one(world: &World, what: &'static str, show: &Show) -> Result<(), Error> {
    let answer = ask(world, Ask::get(&["v1", what, &show.id]))?;
    present(world, &answer, show.output)
}

/// Shows an alert or a case, with its history when asked.
pub(super) fn object(world: &World, what: &'static str, show: &ShowObject) -> Result<(), Error> {
    let query = [("tenant", show.tenant.clone())];
    let (mut answer, history) = block_on(async {
        let api = Api::find(world).await?;
        let answer = api.ask(Ask { query: &query, ..Ask::get(&["v1", what, &show.id]) }).await?;
        let history = match show.history {
            true => Some(api.ask(Ask { query: &query, ..Ask::get(&["v1", what, &show.id, "history"]) }).await?),
            false => None,
        };
        Ok((answer, history))
    })?;
    if let (Some(history), Value::Object(fields)) = (history, &mut answer) {
        fields.insert("history".to_owned(), history["items"].clone());
    }
    present(world, &answer, show.output)
}

/// `explain --event-id`: the recorded decisions.
pub(super) fn explain(world: &World, id: &str, json: bool) -> Result<(), Error> {
    let event = ask(world, Ask::get(&["v1", "explain", id]))?;
    if json {
        return Ok(world.console.data(&format!("{event:#}"))?);
    }
    super::explain::show_recorded(&world.console, &event)
}

/// Asks one thing.
pub(super) fn ask(world: &World, ask: Ask<'_>) -> Result<Value, Error> {
    block_on(async { Api::find(world).await?.ask(ask).await })
}

/// Shows an answer.
pub(super) fn present(world: &World, answer: &Value, output: Output) -> Result<(), Error> {
    let text = if output.json { format!("{answer:#}") } else { show::record(&world.console, answer) };
    Ok(world.console.data(&text)?)
}
