//! `/v1/events` and `/v1/explain`: what arrived, and what was decided about it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::http::StatusCode;
use engine::view::{self, events::Found};
use engine::{Engine, decide};
use model::{Decision, Digest, EventId, Transition};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::ingest::{Decided, json};
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::csv::{self, Table};
use super::{listing, range, tenant};

/// An event in a listing.
#[derive(Serialize)]
struct Item {
    event_id: String,
    r#type: String,
    source: String,
    id: Option<String>,
    time: String,
    received_at: String,
    tenant: String,
    actor: String,
    about: Option<String>,
    transitions: usize,
    decisions_total: usize,
    runs: Vec<String>,
    warnings: usize,
}

/// A transition as it is written.
#[derive(Serialize)]
pub(super) struct Change {
    object: String,
    text: String,
    #[serde(flatten)]
    what: Value,
}

impl Change {
    /// A transition as it is shown.
    pub(super) fn of(transition: &Transition) -> Change {
        let what = serde_json::to_value(&transition.change).unwrap_or_default();
        Change { object: transition.object.to_string(), text: transition.change.describe(), what }
    }
}

/// What an event is about.
#[derive(Serialize)]
struct Subject {
    kind: &'static str,
    id: String,
    fields: model::Record,
}

/// One event with everything that is kept of it.
#[derive(Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    item: Head,
    subject: Option<Subject>,
    from: Option<String>,
    data: Value,
    raw: Option<Box<RawValue>>,
    raw_base64: Option<String>,
    transitions: Vec<Change>,
    decisions: Vec<Decided<'a>>,
    decisions_total: usize,
    decisions_complete: bool,
    runs: Vec<String>,
    chain: Vec<String>,
    warnings: Vec<String>,
}

/// The plain fields of an event.
#[derive(Serialize)]
struct Head {
    event_id: String,
    r#type: String,
    source: String,
    id: Option<String>,
    time: String,
    received_at: String,
    tenant: String,
    actor: String,
    playbooks_digest: String,
}

const TABLE: Table = Table {
    name: "events",
    columns: &[
        "event_id",
        "type",
        "source",
        "id",
        "time",
        "received_at",
        "tenant",
        "actor",
        "about",
        "transitions",
        "decisions_total",
        "runs",
        "warnings",
    ],
    pages: |call| Box::pin(page(call)),
};

/// `GET /v1/events`
pub(in crate::http) async fn list(call: Call) -> Answer {
    if csv::wanted(&call)? { csv::answer(call, &TABLE).await } else { page(call).await }
}

async fn page(call: Call) -> Answer {
    let filter = view::events::Filter {
        source: call.query.text("source"),
        kind: call.query.text("type"),
        tenant: tenant(&call)?,
        alert: call.query.text("alert"),
        case: call.query.text("case"),
    };
    let range = range(&call)?;
    let page = call.app.look(move |store| view::events::page(store, &filter, range)).await?;
    listing(page, |event| {
        let accepted = event.accepted;
        Item {
            event_id: event.id.to_string(),
            r#type: accepted.kind,
            source: accepted.source,
            id: accepted.id,
            time: accepted.time.to_string(),
            received_at: event.time.to_string(),
            tenant: accepted.tenant,
            actor: accepted.actor.to_string(),
            about: accepted.subject.map(|about| format!("{}:{}", about.kind, about.id)),
            transitions: accepted.transitions.len(),
            decisions_total: accepted.decisions_total,
            runs: accepted.runs.iter().map(|start| start.id.to_string()).collect(),
            warnings: accepted.warnings.len(),
        }
    })
}

/// The event in the path, when the caller sees it, and all that was decided about it.
async fn seen(call: &Call) -> Result<(view::events::Event, Told), Problem> {
    let id: EventId = call.id("event")?;
    let missing = || Problem::not_found("event", call.segment(0));
    let engine = call.app.engine.clone();
    let found = call
        .app
        .look(move |store| match view::events::find(store, id)? {
            Some(Found::Kept(event)) => {
                let told = told(&engine, store, &event)?;
                Ok(Some(Ok((*event, told))))
            }
            Some(Found::Gone { time }) => Ok(Some(Err(time))),
            None => Ok(None),
        })
        .await?;
    match found.ok_or_else(missing)? {
        Ok((event, told)) if call.caller.sees(&event.accepted.tenant) => Ok((event, told)),
        Ok(_) => Err(missing()),
        // Whose it was is gone too: only who sees everything may know that it was there.
        Err(_) if call.caller.tenant.is_some() => Err(missing()),
        Err(time) => {
            let detail = format!("retention has dropped what event `{id}` of {time} held");
            Err(Problem::new(StatusCode::GONE, "gone", detail))
        }
    }
}

/// What was decided: what is recorded, and what follows from the triggers' own arguments.
struct Told {
    decisions: Vec<Decision>,
    /// The text of each playbook that was in force then.
    texts: BTreeMap<String, Digest>,
    /// Whether the decisions that are not recorded could be worked out: only with the set of playbooks of that time.
    complete: bool,
}

fn told(engine: &Engine, store: &dyn store::Store, event: &view::events::Event) -> Result<Told, view::Error> {
    let accepted = &event.accepted;
    let mut decisions = accepted.decisions.clone();
    let texts = engine.texts_of(accepted.set)?.unwrap_or_default();
    let Some(set) = engine.set_of(accepted.set)? else {
        let complete = decisions.len() >= accepted.decisions_total;
        return Ok(Told { decisions, texts, complete });
    };
    let about: Arc<model::Event> = accepted.event();
    let key = about.object();
    let object = match &key {
        Some(key) => store.object(key)?,
        None => None,
    };
    let heard = set.hear(&accepted.kind, &accepted.tenant, key.as_ref(), &accepted.transitions);
    decide::fill(&mut decisions, &heard.listening, &set, &about, &accepted.transitions, object.as_ref());
    let complete = decisions.len() >= accepted.decisions_total;
    Ok(Told { decisions, texts, complete })
}

impl Told {
    /// The decisions as they are shown, each with the text that decided.
    fn shown(&self) -> Vec<Decided<'_>> {
        let mut all: Vec<Decided<'_>> = self.decisions.iter().map(Decided::of).collect();
        for (shown, decision) in all.iter_mut().zip(&self.decisions) {
            shown.playbook_digest = self.texts.get(&*decision.playbook).map(ToString::to_string);
        }
        all
    }
}

/// `GET /v1/events/{id}`
pub(in crate::http) async fn show(call: Call) -> Answer {
    let (event, told) = seen(&call).await?;
    let accepted = event.accepted;
    let detail = Detail {
        item: Head {
            event_id: event.id.to_string(),
            r#type: accepted.kind,
            source: accepted.source,
            id: accepted.id,
            time: accepted.time.to_string(),
            received_at: event.time.to_string(),
            tenant: accepted.tenant,
            actor: accepted.actor.to_string(),
            playbooks_digest: accepted.set.to_string(),
        },
        subject: accepted.subject.map(|s| Subject { kind: s.kind.name(), id: s.id, fields: s.fields }),
        from: accepted.from,
        data: accepted.data,
        raw: accepted.raw,
        raw_base64: accepted.raw_base64,
        transitions: accepted.transitions.iter().map(Change::of).collect(),
        decisions: told.shown(),
        decisions_total: accepted.decisions_total,
        decisions_complete: told.complete,
        runs: accepted.runs.iter().map(|start| start.id.to_string()).collect(),
        chain: accepted.chain.iter().map(|link| link.run.to_string()).collect(),
        warnings: accepted.warnings,
    };
    json(StatusCode::OK, &detail)
}

/// Why playbooks ran or did not run for an event.
#[derive(Serialize)]
struct Explained<'a> {
    event_id: String,
    r#type: &'a str,
    transitions: Vec<Change>,
    decisions: Vec<Looked<'a>>,
    decisions_total: usize,
    decisions_complete: bool,
    note: Option<&'static str>,
}

/// A decision with the triggers, conditions and operands behind it; without them where the text of that time is gone.
#[derive(Serialize)]
struct Looked<'a> {
    #[serde(flatten)]
    decided: Decided<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    triggers: Option<Value>,
}

/// `GET /v1/explain/{event_id}`
pub(in crate::http) async fn explain(call: Call) -> Answer {
    let (event, told) = seen(&call).await?;
    let engine = call.app.engine.clone();
    let (event, told, mut triggers) = call
        .app
        .look(move |store| {
            let triggers = looked_at(&engine, store, &event, &told)?;
            Ok((event, told, triggers))
        })
        .await?;
    let accepted = &event.accepted;
    let note = (!told.complete).then_some(
        "the set of playbooks is another one since, or there are too many: decisions that were never looked at closely are left out",
    );
    let explained = Explained {
        event_id: event.id.to_string(),
        r#type: &accepted.kind,
        transitions: accepted.transitions.iter().map(Change::of).collect(),
        decisions: told
            .shown()
            .into_iter()
            .zip(&told.decisions)
            .map(|(decided, decision)| Looked { decided, triggers: triggers.remove(&decision.playbook) })
            .collect(),
        decisions_total: accepted.decisions_total,
        decisions_complete: told.complete,
        note,
    };
    json(StatusCode::OK, &explained)
}

/// The triggers of the playbooks that were decided about, by their ids: as the texts of that time say, over the state of that
/// time.
fn looked_at(
    engine: &Engine,
    store: &dyn store::Store,
    event: &view::events::Event,
    told: &Told,
) -> Result<HashMap<Arc<str>, Value>, view::Error> {
    let Some(set) = engine.set_of(event.accepted.set)? else { return Ok(HashMap::new()) };
    let mut all = HashMap::new();
    for decision in &told.decisions {
        if let Some(playbook) = set.find(&decision.playbook) {
            all.insert(Arc::clone(&decision.playbook), view::looks::of_event(engine, store, (event, &set), playbook)?);
        }
    }
    Ok(all)
}

/// What was accepted, as it was recorded.
#[derive(Serialize)]
struct Recorded {
    event_id: String,
    time: String,
    accepted: Box<RawValue>,
}

/// `GET /v1/history/events`
pub(in crate::http) async fn recorded(call: Call) -> Answer {
    let (tenant, range) = (tenant(&call)?, range(&call)?);
    let page = call.app.look(move |store| view::events::recorded(store, tenant.as_deref(), range)).await?;
    listing(page, |one| Recorded {
        event_id: one.id.to_string(),
        time: one.time.to_string(),
        accepted: serde_json::from_slice(&one.payload).unwrap_or_else(|_| RawValue::NULL.to_owned()),
    })
}
