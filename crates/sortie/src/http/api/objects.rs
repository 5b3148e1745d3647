//! `/v1/alerts` and `/v1/cases`: listed, shown, changed, commented, sent.

use axum::http::StatusCode;
use engine::Accepted;
use engine::view::{self, Range};
use model::record::nearest;
use model::{Kind, Object, ObjectKey, Record, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::ingest::{Decided, json};
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::csv::{self, Table};
use super::runs::Made;
use super::{events::Change, listing, range, refusal, tenant};

/// Fields that people may change.
const CHANGEABLE: [&str; 20] = [
    "name",
    "description",
    "risk_score",
    "priority",
    "stage",
    "queue",
    "assignee",
    "tags",
    "mitres",
    "use_cases",
    "users",
    "endpoints",
    "src_ips",
    "dest_ips",
    "case_id",
    "closed_reason",
    "close_supporting_reason",
    "link",
    "threat_summary",
    "extra",
];
/// Longest comment, in characters.
const COMMENT_CHARS_MAX: usize = 20_000;

fn range_of_page(call: &Call) -> Result<(view::objects::Filter, Range), Problem> {
    Ok((filter_of(call)?, range(call)?))
}

fn filter_of(call: &Call) -> Result<view::objects::Filter, Problem> {
    let texts = |key| call.query.list(key).into_iter().map(str::to_owned).collect();
    Ok(view::objects::Filter {
        tenant: tenant(call)?,
        stages: texts("stage"),
        priorities: texts("priority"),
        queue: call.query.text("queue"),
        assignee: call.query.text("assignee"),
        tag: call.query.text("tag"),
    })
}

/// The plain filters, and between which times, of a listing that goes on by places and not by entries.
pub(super) fn range_of(call: &Call) -> Result<(view::objects::Filter, Option<Time>, Option<Time>), Problem> {
    Ok((filter_of(call)?, call.query.time("since")?, call.query.time("until")?))
}

const ALERTS: Table = Table {
    name: "alerts",
    columns: &[
        "alert_id",
        "name",
        "description",
        "priority",
        "risk_score",
        "case_id",
        "tags",
        "use_cases",
        "mitres",
        "users",
        "endpoints",
        "detections_count",
        "attachments_count",
        "created_time",
        "last_update_time",
        "first_seen_at",
        "updated_at",
        "tenant",
        "source",
        "version",
    ],
    pages: |call| Box::pin(page(call, Kind::Alert)),
};

const CASES: Table = Table {
    name: "cases",
    columns: &[
        "case_id",
        "number",
        "name",
        "description",
        "stage",
        "priority",
        "risk_score",
        "queue",
        "assignee",
        "tags",
        "use_cases",
        "mitres",
        "users",
        "endpoints",
        "detections_count",
        "attachments_count",
        "closed_reason",
        "close_supporting_reason",
        "closed_time",
        "created_time",
        "last_update_time",
        "first_seen_at",
        "updated_at",
        "tenant",
        "source",
        "version",
    ],
    pages: |call| Box::pin(page(call, Kind::Case)),
};

async fn list(call: Call, kind: Kind) -> Answer {
    if csv::wanted(&call)? {
        return csv::answer(call, if kind == Kind::Alert { &ALERTS } else { &CASES }).await;
    }
    page(call, kind).await
}

async fn page(call: Call, kind: Kind) -> Answer {
    if let Some(answer) = super::found::list(&call, kind).await? {
        return answer;
    }
    let (filter, range) = range_of_page(&call)?;
    let page = call.app.look(move |store| view::objects::page(store, kind, &filter, range)).await?;
    listing(page, |(key, object)| brief_shape(&key, &object))
}

/// An object as listings show it.
pub(super) fn brief_shape(key: &ObjectKey, object: &Object) -> Record {
    let mut shown = shape(key, object);
    if let Some(detections) = shown.remove("detections") {
        shown.insert("detections_count".to_owned(), detections.as_array().map_or(0, Vec::len).into());
    }
    shown
}

/// An object as it is written: its fields, and what Sortie knows beyond them.
fn shape(key: &ObjectKey, object: &Object) -> Record {
    let mut shown = (*object.record).clone();
    let mut put = |name: String, value: Value| shown.insert(name, value);
    put(format!("{}_id", key.kind), key.id.clone().into());
    put("tenant".to_owned(), key.tenant.clone().into());
    put("source".to_owned(), object.meta.source.clone().into());
    put("version".to_owned(), object.meta.version.into());
    put("first_seen_at".to_owned(), object.meta.created_at.to_string().into());
    put("updated_at".to_owned(), object.meta.updated_at.to_string().into());
    if !object.meta.attachments.is_empty() {
        put("attachments_count".to_owned(), object.meta.attachments.len().into());
    }
    shown
}

/// The object in the path, in the one tenant where the caller sees it.
pub(super) async fn find(call: &Call, kind: Kind) -> Result<(ObjectKey, Object), Problem> {
    let id = call.segment(0).to_owned();
    let tenants: Vec<String> = match tenant(call)? {
        Some(tenant) => vec![tenant],
        None => match &call.app.settings.tenants {
            Some(all) => all.iter().cloned().collect(),
            None => vec!["default".to_owned()],
        },
    };
    let mut found = call
        .app
        .look(move |store| {
            let mut found = Vec::new();
            for tenant in tenants {
                let key = ObjectKey { tenant, kind, id: id.clone() };
                if let Some(object) = store.object(&key)? {
                    found.push((key, object));
                }
            }
            Ok(found)
        })
        .await?;
    if found.len() > 1 {
        let detail = format!("{kind} `{}` stands in several tenants; say which with `?tenant=`", call.segment(0));
        return Err(Problem::conflict("ambiguous_tenant", detail));
    }
    found.pop().ok_or_else(|| Problem::not_found(kind.name(), call.segment(0)))
}

/// Notes that the caller has read an object. A command that opened the data itself writes it at once: nothing of it goes
/// on after it.
pub(super) async fn saw(call: &Call, key: &ObjectKey) -> Result<(), Problem> {
    call.app.engine.read_by(call.caller.actor(), key.clone());
    if call.app.engine.is_served() {
        return Ok(());
    }
    call.app.engine.write_seen().await.map_err(|error| refusal(&error))
}

async fn show(call: Call, kind: Kind) -> Answer {
    let (key, object) = find(&call, kind).await?;
    saw(&call, &key).await?;
    json(StatusCode::OK, &shape(&key, &object))
}

/// One event in the history of an object.
#[derive(Serialize)]
struct Moment {
    event_id: String,
    time: String,
    actor: String,
    r#type: Option<String>,
    source: Option<String>,
    changes: Vec<Change>,
    fields: Option<Record>,
    data: Value,
    comment: Option<String>,
    runs: Vec<String>,
    warnings: Vec<String>,
    gone: bool,
}

impl Moment {
    fn of(moment: view::objects::Moment) -> Moment {
        let mut shown = Moment {
            event_id: moment.event.to_string(),
            time: moment.time.to_string(),
            actor: moment.actor.to_string(),
            r#type: None,
            source: None,
            changes: Vec::new(),
            fields: None,
            data: Value::Null,
            comment: None,
            runs: Vec::new(),
            warnings: Vec::new(),
            gone: true,
        };
        if let Some(what) = moment.what {
            shown.gone = false;
            shown.changes = what.transitions.iter().map(Change::of).collect();
            shown.comment = what
                .data
                .get("text")
                .and_then(Value::as_str)
                .filter(|_| what.kind.ends_with(".commented"))
                .map(str::to_owned);
            shown.r#type = Some(what.kind);
            shown.source = Some(what.source);
            shown.fields = Some(what.fields).filter(|fields| !fields.is_empty());
            shown.data = what.data;
            shown.runs = what.runs.iter().map(ToString::to_string).collect();
            shown.warnings = what.warnings;
        }
        shown
    }
}

async fn history(call: Call, kind: Kind) -> Answer {
    let (key, _) = find(&call, kind).await?;
    // Whoever reads a history sees who read before; the reading of now is the next one's to see.
    call.app.engine.write_seen().await.map_err(|error| refusal(&error))?;
    let read = key.clone();
    let (after, limit) = (call.query.cursor()?, call.query.limit()?);
    let page = call.app.look(move |store| view::objects::history(store, &key, after, limit)).await?;
    let page = page.ok_or_else(|| Problem::not_found(kind.name(), call.segment(0)))?;
    saw(&call, &read).await?;
    listing(page, Moment::of)
}

/// An object after a change, and what followed from it.
#[derive(Serialize)]
struct Changed<'a> {
    event_id: String,
    decisions: Vec<Decided<'a>>,
    changes: Vec<Change>,
    warnings: &'a [String],
    #[serde(flatten)]
    object: Record,
}

async fn patch(mut call: Call, kind: Kind) -> Answer {
    let mut fields: Record = call.json().await?;
    let reason = reopen_reason(&mut fields, kind)?;
    if fields.is_empty() {
        return Err(Problem::bad("invalid_body", "name at least one field to change"));
    }
    for name in fields.keys() {
        let known = CHANGEABLE.into_iter().filter(|name| kind.field(name).is_some());
        if !known.clone().any(|k| k == name) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
            let help = match nearest(&shown, known.clone()) {
                Some(near) if kind.field(name).is_none() => format!("; did you mean `{near}`?"),
                _ => format!("; what can be changed is {}", known.collect::<Vec<_>>().join(", ")),
            };
            return Err(Problem::bad("unknown_key", format!("`{shown}` of {kind} cannot be changed{help}")));
        }
    }
    let (key, _) = find(&call, kind).await?;
    let changed = call.app.engine.patch(key.clone(), fields, reason, call.caller.actor()).await;
    let accepted = changed.map_err(|error| refusal(&error))?;
    let (key, object) = find(&call, kind).await?;
    json(StatusCode::OK, &changed_shape(&accepted, shape(&key, &object)))
}

/// Takes out why a case is opened again; it belongs to a change of the stage.
fn reopen_reason(fields: &mut Record, kind: Kind) -> Result<Option<String>, Problem> {
    let Some(given) = fields.remove("reopen_reason") else { return Ok(None) };
    match given {
        Value::String(text) if text.chars().count() <= COMMENT_CHARS_MAX => {
            if kind == Kind::Case && fields.contains_key("stage") {
                return Ok(Some(text));
            }
            Err(Problem::bad("invalid_value", "`reopen_reason` goes with the `stage` that a case is opened again in"))
        }
        _ => Err(Problem::bad(
            "invalid_value",
            format!("`reopen_reason` is text of at most {COMMENT_CHARS_MAX} characters"),
        )),
    }
}

fn changed_shape(accepted: &Accepted, object: Record) -> Changed<'_> {
    Changed {
        event_id: accepted.event_id.to_string(),
        decisions: accepted.decisions.iter().map(Decided::of).collect(),
        changes: accepted.transitions.iter().map(Change::of).collect(),
        warnings: &accepted.warnings,
        object,
    }
}

/// A comment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Comment {
    text: String,
}

/// The event that records something.
#[derive(Serialize)]
struct Recorded {
    event_id: String,
}

async fn comment(mut call: Call, kind: Kind) -> Answer {
    let Comment { text } = call.json().await?;
    let length = text.chars().count();
    if text.trim().is_empty() || length > COMMENT_CHARS_MAX {
        return Err(Problem::bad("invalid_body", format!("`text` has 1 to {COMMENT_CHARS_MAX} characters")));
    }
    let (key, _) = find(&call, kind).await?;
    let accepted = call.app.engine.comment(key, text, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    json(StatusCode::CREATED, &Recorded { event_id: accepted.event_id.to_string() })
}

/// Where to send by hand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Send {
    to: Vec<String>,
}

async fn send(mut call: Call, kind: Kind) -> Answer {
    let Send { to } = call.json().await?;
    let (key, _) = find(&call, kind).await?;
    let run = call.app.engine.send(key, to, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    json(StatusCode::ACCEPTED, &Made { run_id: run.to_string() })
}

macro_rules! handlers {
    ($($kind:ident: $list:ident $show:ident $history:ident $patch:ident $comment:ident $send:ident;)*) => {$(
        #[doc = concat!("Lists objects of kind ", stringify!($kind))]
        pub(in crate::http) async fn $list(call: Call) -> Answer { list(call, Kind::$kind).await }
        #[doc = concat!("Shows an object of kind ", stringify!($kind))]
        pub(in crate::http) async fn $show(call: Call) -> Answer { show(call, Kind::$kind).await }
        #[doc = concat!("Shows the history of an object of kind ", stringify!($kind))]
        pub(in crate::http) async fn $history(call: Call) -> Answer { history(call, Kind::$kind).await }
        #[doc = concat!("Changes an object of kind ", stringify!($kind))]
        pub(in crate::http) async fn $patch(call: Call) -> Answer { patch(call, Kind::$kind).await }
        #[doc = concat!("Comments an object of kind ", stringify!($kind))]
        pub(in crate::http) async fn $comment(call: Call) -> Answer { comment(call, Kind::$kind).await }
        #[doc = concat!("Sends an object of kind ", stringify!($kind))]
        pub(in crate::http) async fn $send(call: Call) -> Answer { send(call, Kind::$kind).await }
    )*};
}
handlers! {
    Alert: alerts alert alert_history patch_alert comment_alert send_alert;
    Case: cases case case_history patch_case comment_case send_case;
}
