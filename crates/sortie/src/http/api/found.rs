//! Alerts and cases by query and order; saved and recent searches; figures.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::source::Position;
use engine::view::found::{self, Asked};
use engine::view::search::sort::{Place, Sort};
use engine::view::search::{self, QueryError};
use engine::view::stats::{self, Counts, Spans};
use model::Kind;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::ingest::json;
use super::super::problem::{About, Problem};
use super::super::route::{Answer, Call};
use super::objects::{brief_shape, range_of};
use super::{refusal, tenant};

/// The mark under which saved searches are kept.
const SAVED_PREFIX: &str = "search/saved/";
/// Most saved searches.
const SAVED_MAX: usize = 1_000;
/// Longest name of a saved search, in characters.
const NAME_CHARS_MAX: usize = 64;

/// What a query or an order has wrong, as a client sees it.
fn unreadable(what: &str, error: &QueryError) -> Problem {
    let problem = Problem::bad("invalid_query", format!("`{what}`, {error}"));
    let column = error.at;
    Problem { about: About::at(Some(Position { line: 1, column, byte: column - 1 }), &[]), ..problem }
}

/// A page of what was found.
#[derive(Serialize)]
struct Listing {
    items: Vec<model::Record>,
    next_cursor: Option<String>,
    /// Whether everything was looked at.
    complete: bool,
}

/// The query and the order of a request: its own, or those of the saved search that it names.
async fn asked(call: &Call, about: &str) -> Result<(Option<String>, Option<String>), Problem> {
    let (mut q, mut sort) = (call.query.text("q"), call.query.text("sort"));
    if let Some(name) = call.query.text("search") {
        let saved = find(call, &name).await?;
        if saved.about != about {
            return Err(Problem::bad("invalid_query", format!("the search `{name}` is about {}", saved.about)));
        }
        q = q.or(saved.q);
        sort = sort.or(saved.sort);
    }
    Ok((q, sort))
}

/// Answers a listing that asks for a query or an order; nothing when it asks for neither.
pub(super) async fn list(call: &Call, kind: Kind) -> Result<Option<Answer>, Problem> {
    let about = format!("{kind}s");
    let (q, sort) = asked(call, &about).await?;
    if q.is_none() && sort.is_none() {
        return Ok(None);
    }
    let now = call.app.engine.store().now();
    let words = call.app.engine.context().words.clone();
    let query = q.as_deref().map(|text| search::parse(kind, text, now)).transpose();
    let order = sort.as_deref().map(|text| Sort::read(kind, text, &words)).transpose();
    let (query, order) = (query.map_err(|e| unreadable("q", &e))?, order.map_err(|e| unreadable("sort", &e))?);
    let (filter, since, until) = range_of(call)?;
    let wanted = Asked {
        filter,
        query,
        sort: order.unwrap_or_else(|| Sort::last_changed(kind)),
        since,
        until,
        after: place(call)?,
        limit: call.query.limit()?,
    };
    if call.query.get("cursor").is_none() {
        call.app.engine.searched_by(&call.caller.name, &about, q, sort);
    }
    let found = call.app.look(move |store| found::page(store, kind, &wanted)).await?;
    let next_cursor = found.next.as_ref().and_then(|place| serde_json::to_vec(place).ok());
    let listing = Listing {
        items: found.items.iter().map(|(key, object)| brief_shape(key, object)).collect(),
        next_cursor: next_cursor.map(|json| URL_SAFE_NO_PAD.encode(json)),
        complete: found.complete,
    };
    Ok(Some(json(StatusCode::OK, &listing)))
}

/// Where a page starts.
fn place(call: &Call) -> Result<Option<Place>, Problem> {
    let Some(text) = call.query.get("cursor") else { return Ok(None) };
    let read = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    read.map(Some).ok_or_else(|| Problem::bad("invalid_query", "`cursor` is not one that this listing gave"))
}

/// A saved search.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Saved {
    name: String,
    about: String,
    q: Option<String>,
    sort: Option<String>,
    tenant: Option<String>,
    by: String,
    at: String,
}

/// A search as it is to be saved.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: String,
    about: String,
    #[serde(default)]
    q: Option<String>,
    #[serde(default)]
    sort: Option<String>,
}

/// Saved searches, and what the caller searched for lately.
#[derive(Serialize)]
struct Searches {
    items: Vec<Saved>,
    recent: Vec<engine::Search>,
    next_cursor: Option<String>,
}

async fn saved(call: &Call) -> Result<Vec<Saved>, Problem> {
    let marks = call.app.look(|store| Ok(store.marks(SAVED_PREFIX)?)).await?;
    let all = marks.into_iter().filter_map(|(_, json)| serde_json::from_slice::<Saved>(&json).ok());
    let own = call.caller.tenant.clone();
    Ok(all.filter(|one| own.is_none() || one.tenant.is_none() || one.tenant == own).collect())
}

async fn find(call: &Call, name: &str) -> Result<Saved, Problem> {
    let found = saved(call).await?.into_iter().find(|one| one.name == name);
    found.ok_or_else(|| Problem::not_found("search", name))
}

/// `GET /v1/searches`
pub(in crate::http) async fn searches(call: Call) -> Answer {
    let items = saved(&call).await?;
    let (engine, who) = (call.app.engine.clone(), call.caller.name.clone());
    let recent = call.app.look(move |_| Ok(engine.recent_searches(&who)?)).await?;
    json(StatusCode::OK, &Searches { items, recent, next_cursor: None })
}

/// `GET /v1/searches/{name}`
pub(in crate::http) async fn one_search(call: Call) -> Answer {
    json(StatusCode::OK, &find(&call, call.segment(0)).await?)
}

/// `POST /v1/searches`
pub(in crate::http) async fn save(mut call: Call) -> Answer {
    let Wish { name, about, q, sort } = call.json().await?;
    let kind = match about.as_str() {
        "alerts" => Kind::Alert,
        "cases" => Kind::Case,
        _ => return Err(Problem::bad("invalid_value", "`about` is `alerts` or `cases`")),
    };
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.');
    if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(plain) {
        let message = format!("`name` has 1 to {NAME_CHARS_MAX} letters, digits, blanks and `-_.`");
        return Err(Problem::bad("invalid_value", message));
    }
    if q.is_none() && sort.is_none() {
        return Err(Problem::bad("invalid_value", "name a query in `q`, an order in `sort`, or both"));
    }
    let now = call.app.engine.store().now();
    if let Some(text) = &q {
        search::parse(kind, text, now).map_err(|error| unreadable("q", &error))?;
    }
    if let Some(text) = &sort {
        Sort::read(kind, text, &call.app.engine.context().words).map_err(|error| unreadable("sort", &error))?;
    }
    let known = saved(&call).await?;
    match known.iter().find(|one| one.name == name) {
        Some(one) if one.by != call.caller.name => {
            return Err(Problem::conflict("name_taken", format!("`{}` saved a search `{name}`", one.by)));
        }
        None if known.len() >= SAVED_MAX => {
            return Err(Problem::conflict("too_many_searches", format!("there are {SAVED_MAX} saved searches")));
        }
        _ => {}
    }
    let tenant = call.caller.tenant.clone();
    let by = call.caller.name.clone();
    let saved = Saved { name, about, q, sort, tenant, by, at: now.to_string() };
    keep(&call, &saved.name, serde_json::to_vec(&saved).ok(), "search.saved").await?;
    json(StatusCode::CREATED, &saved)
}

async fn keep(call: &Call, name: &str, value: Option<Vec<u8>>, action: &str) -> Result<(), Problem> {
    let owner = call.caller.tenant.as_deref().unwrap_or_default();
    let marks = vec![(format!("{SAVED_PREFIX}{owner}/{name}"), value)];
    let what = json!({ "action": action });
    let kept = call.app.engine.set_marks(marks, format!("search:{name}"), what, call.caller.actor()).await;
    kept.map(drop).map_err(|error| refusal(&error))
}

/// `DELETE /v1/searches/{name}`: by who saved it, or an administrator.
pub(in crate::http) async fn forget(call: Call) -> Answer {
    let saved = find(&call, call.segment(0)).await?;
    if saved.by != call.caller.name && call.caller.role != crate::auth::Role::Admin {
        let detail = format!("`{}` saved this search", saved.by);
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    if saved.tenant != call.caller.tenant {
        let detail = "a search is deleted by a token of the tenant that saved it";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    keep(&call, &saved.name, None, "search.deleted").await?;
    json(StatusCode::OK, &saved)
}

/// Lengths of time as they are written.
#[derive(Serialize)]
struct Lengths {
    count: u64,
    mean: u64,
    p50: u64,
    p90: u64,
    max: u64,
}

impl Lengths {
    fn of(spans: Spans) -> Lengths {
        let Spans { count, mean, p50, p90, max } = spans;
        Lengths { count, mean, p50, p90, max }
    }
}

/// Figures about cases.
#[derive(Serialize)]
struct Cases {
    total: u64,
    open: u64,
    closed: u64,
    by_stage: Counts,
    open_by_priority: Counts,
    open_by_queue: Counts,
    open_by_assignee: Counts,
    closed_by_reason: Counts,
    age_seconds: Lengths,
    time_to_close_seconds: Lengths,
}

/// Figures about alerts.
#[derive(Serialize)]
struct Alerts {
    total: u64,
    by_priority: Counts,
    without_case: u64,
}

/// Figures about alerts and cases.
#[derive(Serialize)]
struct Figures {
    as_of: String,
    tenant: Option<String>,
    complete: bool,
    cases: Cases,
    alerts: Alerts,
}

/// `GET /v1/stats`
pub(in crate::http) async fn figures(call: Call) -> Answer {
    let tenant = tenant(&call)?;
    let words = call.app.engine.context().words.clone();
    let of = tenant.clone();
    let all = call.app.look(move |store| stats::figures(store, of.as_deref(), words.closed())).await?;
    let mut by_stage = all.by_stage;
    // A stage without cases is an answer, too.
    for stage in &call.app.engine.context().words.stages {
        by_stage.entry(stage.clone()).or_default();
    }
    let cases = Cases {
        total: all.cases,
        open: all.open,
        closed: all.cases - all.open,
        by_stage,
        open_by_priority: all.open_by_priority,
        open_by_queue: all.open_by_queue,
        open_by_assignee: all.open_by_assignee,
        closed_by_reason: all.closed_by_reason,
        age_seconds: Lengths::of(all.age),
        time_to_close_seconds: Lengths::of(all.time_to_close),
    };
    let alerts =
        Alerts { total: all.alerts, by_priority: all.alerts_by_priority, without_case: all.alerts_without_case };
    let as_of = call.app.engine.store().now().to_string();
    json(StatusCode::OK, &Figures { as_of, tenant, complete: all.complete, cases, alerts })
}
