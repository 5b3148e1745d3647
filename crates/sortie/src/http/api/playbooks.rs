//! `/v1/playbooks`: listed, shown, switched, run by hand.

use axum::http::StatusCode;
use engine::command::What;
use engine::simulate;
use engine::view;
use model::id::is_name;
use model::{EventId, Record, Seq};
use playbook::Playbook;
use serde::{Deserialize, Serialize};
use store::{Cursor, Page, RunFilter};

use crate::serve::authorship;

use super::super::ingest::json;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::runs::{Empty, Made};
use super::{listing, range, refusal, shape, tenant, workshop};

/// How many of its last runs a playbook is shown with.
const LAST_RUNS: usize = 10;

/// A playbook in a listing.
#[derive(Serialize)]
struct Item {
    playbook: String,
    name: String,
    description: String,
    enabled: bool,
    enabled_in_file: bool,
    mode: &'static str,
    suspended: Option<Suspended>,
    /// Whether this text waits until a second person switches it on.
    waits_for_second_person: bool,
    fuse_blown_until: Option<String>,
    order: i64,
    tenants: Option<Vec<String>>,
    expires: Option<String>,
    triggers: Vec<&'static str>,
    steps: usize,
    digest: String,
    file: String,
}

/// Why a playbook starts nothing until a person switches it on again.
#[derive(Serialize)]
struct Suspended {
    since: String,
    reason: String,
}

/// One playbook.
#[derive(Serialize)]
struct Detail {
    #[serde(flatten)]
    item: Item,
    text: String,
    inputs: Vec<Input>,
    tests: usize,
    /// What became of its tests, when they were carried out since the start.
    tested: Option<workshop::Report>,
    last_runs: Vec<shape::Run>,
}

/// What it is given by whoever starts it.
#[derive(Serialize)]
struct Input {
    name: String,
    r#type: &'static str,
    required: bool,
    default: Option<serde_json::Value>,
    description: String,
}

impl Input {
    fn of(input: &playbook::Input) -> Input {
        Input {
            name: input.name.clone(),
            r#type: input.ty.name(),
            required: input.required,
            default: input.default.clone(),
            description: input.description.clone(),
        }
    }
}

impl Item {
    fn of(playbook: &Playbook, call: &Call) -> Item {
        let engine = &call.app.engine;
        let set = engine.playbooks();
        let brakes = engine.brakes();
        let suspended = brakes.suspended.get(&*playbook.id);
        let blown = playbook.control.fuse.and_then(|_| {
            let store = engine.store();
            engine::decide::fuse_blown(store.as_ref(), &playbook.id, store.now()).ok().flatten()
        });
        Item {
            playbook: playbook.id.to_string(),
            name: playbook.name.clone(),
            description: playbook.description.clone(),
            enabled: set.is_on(playbook) && suspended.is_none(),
            enabled_in_file: playbook.enabled,
            mode: if playbook.control.observe { "observe" } else { "act" },
            waits_for_second_person: set.waiting().contains(&*playbook.id),
            suspended: suspended.map(|one| Suspended { since: one.since.to_string(), reason: one.reason.clone() }),
            fuse_blown_until: blown.map(|until| until.to_string()),
            order: playbook.order,
            tenants: playbook.tenants.clone(),
            expires: playbook.expires.map(|t| t.to_string()),
            triggers: playbook.triggers.iter().map(|trigger| trigger.on.kind()).collect(),
            steps: playbook.steps.len(),
            digest: playbook.digest.to_string(),
            file: playbook.file.to_string(),
        }
    }
}

fn sees(call: &Call, playbook: &Playbook) -> bool {
    playbook.tenants.as_ref().is_none_or(|tenants| tenants.iter().any(|tenant| call.caller.sees(tenant)))
}

/// `GET /v1/playbooks`, in the order in which they are decided.
pub(in crate::http) async fn list(call: Call) -> Answer {
    let (after, limit) = (call.query.cursor()?, call.query.limit()?);
    let set = call.app.engine.playbooks();
    let first = after.map_or(0, |cursor| usize::try_from(cursor.seq.0).unwrap_or(usize::MAX));
    let mut items = Vec::new();
    let mut next = None;
    for (place, playbook) in set.playbooks().iter().enumerate().skip(first).filter(|(_, p)| sees(&call, p)) {
        if items.len() == limit {
            next = Some(Cursor { seq: Seq(place as u64), n: 0 });
            break;
        }
        items.push(Item::of(playbook, &call));
    }
    listing(Page { items, next }, |item| item)
}

/// The playbook in the path. Its id is checked first: what cannot be one is a mistake, not a miss.
///
/// # Errors
/// 400, 404.
pub(super) fn find(call: &Call) -> Result<std::sync::Arc<Playbook>, Problem> {
    let id = call.segment(0);
    if !is_name(id) {
        return Err(Problem::bad("invalid_id", "the id of a playbook has 1 to 64 of a-z, 0-9 and `-`"));
    }
    let set = call.app.engine.playbooks();
    let found = set.find(id).filter(|playbook| sees(call, playbook)).cloned();
    found.ok_or_else(|| Problem::not_found("playbook", id))
}

/// `GET /v1/playbooks/{id}`
pub(in crate::http) async fn show(call: Call) -> Answer {
    let playbook = find(&call)?;
    let filter = RunFilter {
        playbook: Some(playbook.id.to_string()),
        tenant: call.caller.tenant.clone(),
        ..RunFilter::default()
    };
    let page = call.app.look(move |store| view::runs::page(store, &filter, None, LAST_RUNS)).await?;
    let tested = call.app.settings.workshop.tested(&playbook.id);
    let detail = Detail {
        item: Item::of(&playbook, &call),
        text: playbook.text.to_string(),
        inputs: playbook.inputs.iter().map(Input::of).collect(),
        tests: playbook.tests.len(),
        tested: tested.map(|tested| workshop::Report::of(&tested)),
        last_runs: page.items.iter().map(shape::Run::of).collect(),
    };
    json(StatusCode::OK, &detail)
}

/// A text that was in force.
#[derive(Serialize)]
struct Version {
    digest: Option<String>,
    since: String,
    actor: String,
    /// The commit that the folder stood at, where it is a git checkout.
    commit: Option<String>,
    author: Option<String>,
    uncommitted: Vec<String>,
}

/// `GET /v1/playbooks/{id}/versions`, newest first.
pub(in crate::http) async fn versions(call: Call) -> Answer {
    let id = find(&call)?.id.to_string();
    let range = range(&call)?;
    let page = call.app.look(move |store| view::playbooks::versions(store, &id, range)).await?;
    listing(page, |version| {
        let (commit, author, uncommitted) = match version.commit {
            Some(one) => (Some(one.commit), Some(one.author), one.uncommitted.unwrap_or_default()),
            None => (None, None, Vec::new()),
        };
        Version {
            digest: version.digest.map(|digest| digest.to_string()),
            since: version.since.to_string(),
            actor: version.actor.to_string(),
            commit,
            author,
            uncommitted,
        }
    })
}

/// One text.
#[derive(Serialize)]
struct Text {
    playbook: String,
    digest: String,
    text: String,
}

/// `GET /v1/playbooks/{id}/versions/{digest}`: a text that this playbook had, also when its file is gone. Texts are kept by
/// digest alone, so that the text itself must say whose it is, and for which tenants.
pub(in crate::http) async fn version(call: Call) -> Answer {
    let loaded = match find(&call) {
        Ok(playbook) => Some(playbook),
        Err(problem) if problem.status == StatusCode::NOT_FOUND => None,
        Err(problem) => return Err(problem),
    };
    let id = call.segment(0).to_owned();
    let missing = || Problem::not_found("version", call.segment(1));
    let digest: model::Digest = call.segment(1).parse().map_err(|_| missing())?;
    let bytes = call.app.look(move |store| Ok(store.text(&digest)?)).await?;
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(missing)?;
    let root = playbook::yaml::parse(&std::sync::Arc::from("version.yaml"), &text).map_err(|_| missing())?;
    let whose = root.get("playbook").and_then(playbook::yaml::Node::as_text);
    // Whoever sees the playbook of today sees its past; of one that is gone, its own tenants do.
    if whose != Some(id.as_str()) || (loaded.is_none() && !is_for(&call, &root)) {
        return Err(missing());
    }
    json(StatusCode::OK, &Text { playbook: id, digest: digest.to_string(), text })
}

/// Whether a text is for a tenant that the caller sees.
fn is_for(call: &Call, root: &playbook::yaml::Node) -> bool {
    match root.get("tenants").map(playbook::yaml::Node::to_json) {
        Some(serde_json::Value::Array(all)) => {
            all.iter().filter_map(serde_json::Value::as_str).any(|tenant| call.caller.sees(tenant))
        }
        Some(serde_json::Value::String(one)) => call.caller.sees(&one),
        // Where another is loaded under this id that the caller does not see, its past is not for the caller either.
        _ => call.app.engine.playbooks().find(call.segment(0)).is_none(),
    }
}

/// `POST /v1/playbooks/{id}/enable`
pub(in crate::http) async fn enable(call: Call) -> Answer {
    toggle(call, true).await
}

/// `POST /v1/playbooks/{id}/disable`
pub(in crate::http) async fn disable(call: Call) -> Answer {
    toggle(call, false).await
}

async fn toggle(mut call: Call, on: bool) -> Answer {
    let Empty {} = call.json().await?;
    let playbook = find(&call)?;
    // A playbook for several tenants is not one tenant's to switch.
    if let Some(own) = &call.caller.tenant
        && playbook.tenants.as_deref() != Some(std::slice::from_ref(own))
    {
        let detail = "this playbook is not for your tenant alone; who sees all tenants may switch it";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    if on {
        second_person(&call, &playbook).await?;
    }
    call.app.engine.toggle(&playbook.id, on, call.caller.actor()).await.map_err(|error| refusal(&error))?;
    let playbook = find(&call)?;
    json(StatusCode::OK, &Item::of(&playbook, &call))
}

/// With four eyes on enabling: whoever switches a playbook on is not who wrote its text.
///
/// # Errors
/// 403 for its author, where nobody asks who anybody is, and where nobody is known to have written it.
async fn second_person(call: &Call, playbook: &Playbook) -> Result<(), Problem> {
    let Some(folder) = call.app.settings.four_eyes.clone() else { return Ok(()) };
    let refused = |code: &'static str, detail: String| Err(Problem::new(StatusCode::FORBIDDEN, code, detail));
    if !call.app.settings.auth_required {
        let detail = "`four_eyes: enabling` needs to know who asks: switch `auth` on and use a server that runs";
        return refused("needs_auth", detail.to_owned());
    }
    let (file, digest) = (playbook.file.to_string(), playbook.digest);
    let authors = tokio::task::spawn_blocking(move || authorship::of(&folder, &file, digest)).await;
    let authors = authors.map_err(|error| Problem::inside(error.to_string()))?;
    let id = &playbook.id;
    match authors {
        Ok(authors) if authors.include(&call.caller.name) => {
            refused("four_eyes", format!("you wrote this text of `{id}`: somebody else must switch it on"))
        }
        Ok(_) => Ok(()),
        Err(unknown) => {
            let detail = format!("who wrote this text of `{id}` is not known: {unknown}; commit it first");
            refused("author_unknown", detail)
        }
    }
}

/// A run by hand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    event: Option<String>,
    alert: Option<String>,
    case: Option<String>,
    #[serde(default)]
    inputs: Record,
    #[serde(default)]
    dry_run: bool,
    tenant: Option<String>,
}

/// `POST /v1/playbooks/{id}/run`
pub(in crate::http) async fn run(mut call: Call) -> Answer {
    let asked: Run = call.json().await?;
    let playbook = find(&call)?;
    let what = match (asked.event, asked.alert, asked.case) {
        (Some(event), None, None) => {
            let id: EventId = event.parse().map_err(|_| Problem::not_found("event", &event))?;
            What::Event(id)
        }
        (None, Some(alert), None) => What::Alert(alert),
        (None, None, Some(case)) => What::Case(case),
        (None, None, None) => What::Nothing,
        _ => return Err(Problem::bad("invalid_body", "name one of `event`, `alert` and `case`")),
    };
    let tenant = match (tenant(&call)?, asked.tenant) {
        (Some(own), Some(asked)) if own != asked => return Err(Problem::not_found("tenant", &asked)),
        (Some(tenant), _) | (None, Some(tenant)) => tenant,
        (None, None) => the_tenant(&call, &what).await?,
    };
    let known = call.app.settings.tenants.as_ref().map_or(tenant == "default", |all| all.contains(&tenant));
    if !known || playbook.tenants.as_ref().is_some_and(|tenants| !tenants.contains(&tenant)) {
        return Err(Problem::bad("unknown_tenant", format!("this playbook is not for tenant `{tenant}`")));
    }
    let set = call.app.engine.playbooks();
    if set.waiting().contains(&*playbook.id) && !asked.dry_run {
        let detail = "this text waits until a second person switches it on; a dry run is possible";
        return Err(Problem::new(StatusCode::FORBIDDEN, "four_eyes", detail));
    }
    if asked.dry_run {
        return rehearse(&call, &playbook.id, what, asked.inputs, &tenant).await;
    }
    let made = call.app.engine.run_by_hand(&playbook.id, what, asked.inputs, &tenant, call.caller.actor()).await;
    let run = made.map_err(|error| refusal(&error))?;
    json(StatusCode::ACCEPTED, &Made { run_id: run.to_string() })
}

/// A run by hand that is only rehearsed: nothing of it is sent or kept.
async fn rehearse(call: &Call, playbook: &str, what: What, inputs: Record, tenant: &str) -> Answer {
    let rehearsed = call.app.engine.rehearse(playbook, what, inputs, tenant, call.caller.actor()).await;
    let report = rehearsed.map_err(|error| match error {
        simulate::Error::Refused(error) => refusal(&error),
        error => Problem::inside(error.to_string()),
    })?;
    json(StatusCode::OK, &Rehearsed { dry_run: true, report })
}

/// What a run by hand would do.
#[derive(Serialize)]
struct Rehearsed {
    dry_run: bool,
    #[serde(flatten)]
    report: simulate::Report,
}

/// The tenant that is meant where none is said.
async fn the_tenant(call: &Call, what: &What) -> Result<String, Problem> {
    let Some(tenants) = &call.app.settings.tenants else { return Ok("default".to_owned()) };
    if let What::Event(id) = *what {
        let found = call.app.look(move |store| view::events::find(store, id)).await?;
        return match found {
            Some(view::events::Found::Kept(event)) => Ok(event.accepted.tenant),
            _ => Err(Problem::not_found("event", &id.to_string())),
        };
    }
    let mut all = tenants.iter();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => Err(Problem::bad("ambiguous_tenant", "say with `tenant` for whom")),
    }
}
