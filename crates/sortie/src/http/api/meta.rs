//! Health, status and metrics.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use engine::Set;
use model::Time;
use store::Store;

use super::super::ingest::json;
use super::super::problem::Problem;
use super::super::route::{Answer, Call};
use super::brakes::Paused;
use crate::workshop::Wrong;

/// `GET /healthz`: the process lives.
pub(in crate::http) async fn healthz(_call: Call) -> Answer {
    json(StatusCode::OK, &serde_json::json!({ "status": "alive" }))
}

/// `GET /readyz`: events are accepted, or why not.
pub(in crate::http) async fn readyz(call: Call) -> Answer {
    match call.app.engine.ready() {
        Ok(()) => json(StatusCode::OK, &serde_json::json!({ "status": "ready" })),
        Err(reason) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", reason)),
    }
}

/// How the server stands.
#[derive(serde::Serialize)]
struct Status {
    version: &'static str,
    ready: bool,
    reason: Option<String>,
    playbooks_digest: String,
    time: String,
    auth: &'static str,
    sources: Vec<String>,
    /// The widest pause.
    paused: Option<Paused>,
    pauses: Vec<Paused>,
    /// Only for those who see all tenants.
    #[serde(flatten)]
    totals: Option<Totals>,
}

/// Counts over all tenants.
#[derive(serde::Serialize)]
struct Totals {
    playbooks: usize,
    destinations: usize,
    runs_at_work: usize,
    runs_open: u64,
    runs_ended: u64,
    history_first_seq: u64,
    history_next_seq: u64,
    history_bytes: u64,
    disk_bytes: u64,
    suspended: Vec<Suspended>,
    fuses_blown: Vec<FuseBlown>,
    muted: usize,
    /// What is wrong with the files of playbooks, the first mistakes.
    broken_files: Vec<Wrong>,
    /// Destinations that rest after too many failures.
    resting: Vec<Resting>,
    heard: Vec<Heard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoints: Option<Checkpoints>,
}

/// A destination whose breaker is not closed.
#[derive(serde::Serialize)]
struct Resting {
    destination: String,
    state: &'static str,
    failures: u32,
    until: Option<String>,
}

/// When a source was heard last, since the start.
#[derive(serde::Serialize)]
struct Heard {
    source: String,
    last_at: Option<String>,
    unreadable: u64,
}

/// How signed checkpoints get to the destination that keeps them.
#[derive(serde::Serialize)]
struct Checkpoints {
    destination: String,
    arrived_size: Option<u64>,
    arrived_at: Option<String>,
    failing_since: Option<String>,
    reason: Option<String>,
}

impl Checkpoints {
    fn of(carried: engine::ledger::Carried) -> Checkpoints {
        let (since, reason) = carried.failing.unzip();
        Checkpoints {
            destination: carried.destination,
            arrived_size: carried.arrived.map(|(size, _)| size),
            arrived_at: carried.arrived.map(|(_, at)| at.to_string()),
            failing_since: since.map(|since| since.to_string()),
            reason,
        }
    }
}

/// A suspended playbook.
#[derive(serde::Serialize)]
struct Suspended {
    playbook: String,
    since: String,
    reason: String,
}

/// A playbook whose fuse has blown.
#[derive(serde::Serialize)]
struct FuseBlown {
    playbook: String,
    until: String,
}

/// `GET /v1/status`
pub(in crate::http) async fn status(call: Call) -> Answer {
    let (app, engine) = (&call.app, &call.app.engine);
    let (stats, time) = app.look(|store| Ok((store.stats(), store.now()))).await?;
    let set = engine.playbooks();
    let ready = engine.ready();
    let brakes = engine.brakes();
    let (fused, at) = (std::sync::Arc::clone(&set), time);
    let fuses_blown = app.look(move |store| fuses_blown(store, &fused, at)).await?;
    let suspended = brakes.suspended.iter().map(|(id, suspension)| Suspended {
        playbook: id.clone(),
        since: suspension.since.to_string(),
        reason: suspension.reason.clone(),
    });
    let totals = Totals {
        playbooks: set.playbooks().len(),
        destinations: engine.context().destinations().map.len(),
        runs_at_work: engine.load_now().0,
        runs_open: stats.open_runs,
        runs_ended: stats.ended_runs,
        history_first_seq: stats.first_seq.0,
        history_next_seq: stats.next_seq.0,
        history_bytes: stats.history_bytes,
        disk_bytes: stats.disk_bytes,
        suspended: suspended.collect(),
        fuses_blown,
        muted: brakes.mutes.values().filter(|mute| time < mute.until).count(),
        broken_files: app.settings.workshop.wrong(),
        resting: resting(engine, time),
        heard: heard(&call),
        checkpoints: engine.carried_checkpoints().map(Checkpoints::of),
    };
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        ready: ready.is_ok(),
        reason: ready.err(),
        playbooks_digest: set.digest().to_string(),
        time: time.to_string(),
        auth: if app.settings.auth_required { "required" } else { "none" },
        sources: app.settings.doors.keys().cloned().collect(),
        paused: brakes.pauses.iter().next().map(Paused::of),
        pauses: brakes.pauses.iter().map(Paused::of).collect(),
        totals: call.caller.tenant.is_none().then_some(totals),
    };
    json(StatusCode::OK, &status)
}

/// The destinations that rest.
fn resting(engine: &engine::Engine, now: Time) -> Vec<Resting> {
    let context = engine.context();
    let destinations = context.destinations();
    let standings = destinations.map.keys().map(|id| (id.clone(), context.gates.standing(id, now)));
    let resting = standings.filter(|(_, standing)| standing.breaker.name() != "closed");
    resting
        .map(|(destination, standing)| Resting {
            destination,
            state: standing.breaker.name(),
            failures: standing.failures,
            until: standing.until.map(|until| until.to_string()),
        })
        .collect()
}

fn heard(call: &Call) -> Vec<Heard> {
    let doors = call.app.settings.doors.iter();
    doors
        .map(|(name, door)| {
            let last = Some(door.heard.load(Ordering::Relaxed)).filter(|millis| *millis > 0);
            Heard {
                source: name.clone(),
                last_at: last.map(|millis| Time::from_millis(millis).to_string()),
                unreadable: door.unreadable.load(Ordering::Relaxed),
            }
        })
        .collect()
}

/// The playbooks whose fuses have blown, with when they hold again.
fn fuses_blown(store: &dyn Store, set: &Set, now: Time) -> Result<Vec<FuseBlown>, engine::view::Error> {
    let mut all = Vec::new();
    for playbook in set.playbooks().iter().filter(|playbook| playbook.control.fuse.is_some()) {
        if let Some(until) = engine::decide::fuse_blown(store, &playbook.id, now)? {
            all.push(FuseBlown { playbook: playbook.id.to_string(), until: until.to_string() });
        }
    }
    Ok(all)
}

/// `GET /v1/activity`: what was done in the last day, ten minutes each, since the start at most.
pub(in crate::http) async fn activity(call: Call) -> Answer {
    if call.caller.tenant.is_some() {
        let detail = "figures are about all tenants together; a token of one tenant does not see them";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let engine = &call.app.engine;
    let items = call.app.activity.slices(engine.figures(), engine.store().now());
    json(StatusCode::OK, &serde_json::json!({ "items": items }))
}

/// `GET /openapi.json`
pub(in crate::http) async fn openapi(_call: Call) -> Answer {
    json(StatusCode::OK, &super::super::openapi::document())
}

/// An answer of text.
fn text(kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Body::from(text));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(answer)
}

/// One figure for Prometheus.
struct Figure {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// Labels, already in braces, and values. The labels are fixed words, or names of the configuration: nothing that an
    /// event holds becomes one.
    values: Vec<(Cow<'static, str>, u64)>,
}

/// `GET /metrics`
pub(in crate::http) async fn metrics(call: Call) -> Answer {
    if call.caller.tenant.is_some() {
        let detail = "figures are about all tenants together; a token of one tenant does not see them";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let mut all = counted(&call);
    let stats = call.app.look(|store| Ok(store.stats())).await?;
    let (at_work, waiting) = call.app.engine.load_now();
    let gauge = |name, help, value| Figure { name, kind: "gauge", help, values: vec![("".into(), value)] };
    all.extend([
        gauge("sortie_runs_at_work", "Runs at work at this moment.", at_work as u64),
        gauge("sortie_writer_waiting", "Orders that wait for the writer.", waiting as u64),
        gauge("sortie_runs_open", "Runs that have not ended.", stats.open_runs),
        gauge("sortie_runs_ended", "Ended runs that are kept.", stats.ended_runs),
        gauge("sortie_history_next_seq", "The next entry of the history.", stats.next_seq.0),
        gauge("sortie_history_first_seq", "The oldest entry that is kept.", stats.first_seq.0),
        gauge("sortie_store_disk_bytes", "Bytes of the data folder.", stats.disk_bytes),
        gauge("sortie_store_history_bytes", "Bytes of history as stored.", stats.history_bytes),
        gauge(
            "sortie_store_commit_micros_max",
            "The longest commit since the start, in microseconds.",
            stats.commit_micros_max,
        ),
        gauge("sortie_playbooks_loaded", "Playbooks in force.", call.app.engine.playbooks().playbooks().len() as u64),
        gauge("sortie_ready", "Whether events are accepted.", u64::from(call.app.engine.ready().is_ok())),
    ]);
    if let Some(carried) = call.app.engine.carried_checkpoints() {
        let help = "Whether signed checkpoints do not arrive where they are kept.";
        all.push(gauge("sortie_checkpoints_failing", help, u64::from(carried.failing.is_some())));
    }
    let counter = |name, help, value| Figure { name, kind: "counter", help, values: vec![("".into(), value)] };
    all.push(counter("sortie_store_commits_total", "Commits since the start.", stats.commits));
    all.push(counter("sortie_store_keys_written_total", "Keys written since the start.", stats.keys_written));
    let about = "Bytes of keys and values written since the start.";
    all.push(counter("sortie_store_bytes_written_total", about, stats.bytes_written));
    text("text/plain; version=0.0.4; charset=utf-8", written(&all))
}

fn counted(call: &Call) -> Vec<Figure> {
    let figures = call.app.engine.figures();
    let counters = &call.app.counters;
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counter = |name, help, values: Vec<(&'static str, u64)>| {
        let values = values.into_iter().map(|(labels, value)| (labels.into(), value)).collect();
        Figure { name, kind: "counter", help, values }
    };
    let class = |n: usize| counters.by_class.get(n).map_or(0, of);
    vec![
        counter(
            "sortie_events_total",
            "Events by what became of them.",
            vec![
                ("{outcome=\"accepted\"}", of(&figures.events_accepted)),
                ("{outcome=\"repeated\"}", of(&figures.events_repeated)),
                ("{outcome=\"refused\"}", of(&figures.events_refused)),
            ],
        ),
        counter(
            "sortie_decisions_total",
            "Decisions that started a run or could not be made.",
            vec![
                ("{verdict=\"matched\"}", of(&figures.decisions_matched)),
                ("{verdict=\"failed\"}", of(&figures.decisions_failed)),
            ],
        ),
        counter(
            "sortie_runs_total",
            "Runs that ended.",
            vec![
                ("{status=\"succeeded\"}", of(&figures.runs_succeeded)),
                ("{status=\"failed\"}", of(&figures.runs_failed)),
                ("{status=\"needs_attention\"}", of(&figures.runs_need_attention)),
            ],
        ),
        counter(
            "sortie_deliveries_total",
            "Deliveries that ended.",
            vec![
                ("{status=\"delivered\"}", of(&figures.deliveries_delivered)),
                ("{status=\"failed\"}", of(&figures.deliveries_failed)),
            ],
        ),
        counter(
            "sortie_http_answers_total",
            "Answers by the class of their status.",
            vec![
                ("{class=\"2xx\"}", class(0)),
                ("{class=\"3xx\"}", class(1)),
                ("{class=\"4xx\"}", class(2)),
                ("{class=\"5xx\"}", class(3)),
            ],
        ),
        counter(
            "sortie_http_connections_turned_away_total",
            "Connections over the limit.",
            vec![("", of(&counters.turned_away))],
        ),
        unreadable(call),
    ]
}

/// Bodies that were kept unread, by source.
fn unreadable(call: &Call) -> Figure {
    let doors = call.app.settings.doors.iter();
    let values =
        doors.map(|(name, door)| (format!("{{source=\"{name}\"}}").into(), door.unreadable.load(Ordering::Relaxed)));
    Figure {
        name: "sortie_events_unreadable_total",
        kind: "counter",
        help: "Bodies of sources that could not be read or fitted no mapping, and were kept.",
        values: values.collect(),
    }
}

fn written(all: &[Figure]) -> String {
    let mut text = String::new();
    for Figure { name, kind, help, values } in all {
        // Writing into a String cannot fail.
        let _: std::fmt::Result = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _: std::fmt::Result = writeln!(text, "{name}{labels} {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_prometheus_reads_them() {
        let figure = Figure {
            name: "a_total",
            kind: "counter",
            help: "A.",
            values: vec![("{x=\"y\"}".into(), 3), ("".into(), 4)],
        };
        assert_eq!(written(&[figure]), "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"y\"} 3\na_total 4\n");
    }
}
