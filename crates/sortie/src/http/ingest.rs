//! `POST /v1/in/{source}`: events in.
//!
//! The walk: is there such a source → is this its sender → the body, counted while it streams → its signature → events
//! ([`engine::source::read`]) → the engine, which answers when they are durable → the answer.
//!
//! Invariants: this is the hot path: nothing is copied, parsed or written twice. Of one event nothing is half-accepted;
//! in a batch each element stands for itself.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use engine::Accepted;
use engine::outbound::deliver::CHAIN_HEADER;
use engine::source::{self, InputError};
use model::{ChainLink, Decision, RunId, Seq, limits};
use serde::Serialize;

use super::api::refusal;
use super::arriving::{Arriving, Elements};
use super::body::{self, Held, Limit};
use super::problem::{About, Problem};
use super::route::{Answer, Call};
use super::{App, Door, dispatch, handshake};
use crate::auth::brake::Verdict;
use crate::auth::sender::Denied;

/// What stands for a playbook of another server: no playbook has this id.
const ELSEWHERE: &str = "(elsewhere)";

/// What is answered for one event.
#[derive(Serialize)]
struct Taken<'a> {
    event_id: String,
    duplicate: bool,
    decisions: Vec<Decided<'a>>,
    decisions_total: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transitions: Vec<String>,
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_id: Option<&'a str>,
}

/// One decision in an answer or on a page.
#[derive(Serialize)]
pub(super) struct Decided<'a> {
    playbook: &'a str,
    /// The text that decided, where it is shown together with what it decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) playbook_digest: Option<String>,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<At<'a>>,
}

/// A place in a playbook.
#[derive(Serialize)]
pub(super) struct At<'a> {
    file: &'a str,
    line: u32,
    column: u32,
}

impl<'a> Decided<'a> {
    /// A decision as it is shown.
    pub(super) fn of(decision: &'a Decision) -> Decided<'a> {
        Decided {
            playbook: &decision.playbook,
            playbook_digest: None,
            verdict: decision.verdict.name(),
            run_id: decision.run_id.map(|id| id.to_string()),
            reason: &decision.reason,
            at: decision.at.as_ref().map(|at| At { file: &at.file, line: at.line, column: at.column }),
        }
    }
}

/// What would be kept of an event, for `?dry_run=true`.
#[derive(Serialize)]
struct Mapping<'a> {
    dry_run: bool,
    event: Mapped<'a>,
    #[serde(flatten)]
    taken: Taken<'a>,
}

/// An event as its source's mapping made it.
#[derive(Serialize)]
struct Mapped<'a> {
    source: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    time: String,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Subject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    data: &'a serde_json::Value,
}

#[derive(Serialize)]
struct Subject<'a> {
    kind: &'static str,
    id: &'a str,
    fields: &'a model::Record,
}

/// One element of a batch's answer.
#[derive(Serialize)]
#[serde(untagged)]
enum Element<'a> {
    Taken(Taken<'a>),
    Refused { error: super::problem::Shape<'a> },
}

/// One element of a batch that was only tried.
#[derive(Serialize)]
#[serde(untagged)]
enum Tried<'a> {
    Mapped(Box<Mapping<'a>>),
    Refused { error: super::problem::Shape<'a> },
}

/// Takes events in.
pub(super) async fn take(mut call: Call) -> Answer {
    let app = Arc::clone(&call.app);
    let Some(door) = app.settings.doors.get(call.segment(0)) else {
        let problem = Problem::not_found("source", call.segment(0));
        return Err(Problem { code: "unknown_source", ..problem }.and_close());
    };
    admit(&app, door, &call)?;
    let asked = door.source.shape.file().and_then(|file| file.handshake);
    if let Some(answer) = handshake::in_query(asked, &call) {
        return answer;
    }
    let dry_run = call.query.flag("dry_run")?;
    let headers = std::mem::take(&mut call.headers);
    let held = read(&app, &headers, call.body.take()).await?;
    let now = app.engine.store().now();
    if let Err(denied) = door.sender.check_body(&headers, &held.bytes, now) {
        return Err(turned_away(&app, door, &call, denied));
    }
    if let Some(answer) = handshake::in_body(&app, asked, &held.bytes).await {
        return answer;
    }
    let behind = chain_behind(&headers);
    let mut arriving =
        Arriving { app: Arc::clone(&app), source: call.segment(0).to_owned(), headers, now, pieces: None };
    arriving.begin(held.bytes.clone()).await?;
    if dry_run {
        let elements = arriving.next(usize::MAX).await?.unwrap_or_default();
        return try_out(&app, elements, arriving.is_batch()).await;
    }
    door.heard.store(now.millis(), std::sync::atomic::Ordering::Relaxed);
    let mut answers = Vec::new();
    // What is read takes many times the room of the body: it is taken piece by piece.
    while let Some(mut elements) = arriving.next(PIECE_BYTES).await? {
        if !behind.is_empty() {
            for incoming in elements.iter_mut().flatten() {
                Arc::make_mut(&mut incoming.event).chain.clone_from(&behind);
            }
        }
        let unreadable = elements.iter().flatten().filter(|one| one.event.kind.ends_with(".unreadable")).count();
        door.unreadable.fetch_add(unreadable as u64, std::sync::atomic::Ordering::Relaxed);
        answers.extend(accept(&app, elements).await);
    }
    if arriving.is_batch() || answers.len() > 1 { batch(&answers) } else { single(answers) }
}

/// Of a body, so much is read and accepted at once, in bytes.
const PIECE_BYTES: usize = 128 * 1024;

async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Held, Problem> {
    let lines = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.to_ascii_lowercase().contains("ndjson"));
    let most = &app.settings.limits;
    let limit = if lines {
        Limit::Fixed(most.batch_bytes)
    } else {
        Limit::ByForm { one: most.event_bytes, batch: most.batch_bytes }
    };
    body::read(headers, body, limit, &app.budget).await
}

/// Whether the sender is the one that the source expects, as far as the header tells.
fn admit(app: &App, door: &Door, call: &Call) -> Result<(), Problem> {
    if !door.allow.is_empty() && !door.allow.iter().any(|network| network.contains(call.peer)) {
        let detail = "this address may not send to this source";
        return Err(Problem::new(StatusCode::FORBIDDEN, "address_not_allowed", detail).and_close());
    }
    // A person may have chosen the secret: here an address that guesses must wait even when it is right at last.
    if let Some(wait) = app.brake.wait(call.peer, &door.source.name, Instant::now()) {
        return Err(dispatch::too_many(wait).and_close());
    }
    let token = Some(call.segment(1)).filter(|token| !token.is_empty());
    if token.is_some() && !door.sender.in_path() {
        return Err(Problem::not_found("source", call.segment(0)).and_close());
    }
    door.sender.check(&call.headers, token).map_err(|denied| turned_away(app, door, call, denied))
}

fn turned_away(app: &App, door: &Door, call: &Call, denied: Denied) -> Problem {
    if denied == Denied::Wrong
        && let Verdict::TooMany(wait) = app.brake.failed(call.peer, &door.source.name, Instant::now())
    {
        return dispatch::too_many(wait).and_close();
    }
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", denied.to_string());
    Problem { challenge: Some(door.sender.challenge()), ..problem }.and_close()
}

/// The runs of another server that are behind a request, as it says itself: as many as a chain may hold, so that a loop
/// through two servers ends like one through a single one. Every sender is believed: all that he can do by it is to have
/// less follow from what he sends himself.
fn chain_behind(headers: &HeaderMap) -> Vec<ChainLink> {
    let said = headers.get(CHAIN_HEADER).and_then(|value| value.to_str().ok()?.trim().parse::<usize>().ok());
    let elsewhere = RunId { seq: Seq::default(), n: 0, tag: 0 };
    let link = ChainLink { playbook: ELSEWHERE.to_owned(), run: elsewhere, requester: None };
    vec![link; said.unwrap_or(0).min(limits::CHAIN_DEPTH_MAX)]
}

/// Hands what could be read to the engine; the answers stand in the order of the elements.
async fn accept(app: &App, elements: Elements) -> Vec<Result<Accepted, Problem>> {
    let mut incoming = Vec::with_capacity(elements.len());
    let mut answers = Vec::with_capacity(elements.len());
    for element in elements {
        match element {
            Ok(event) => {
                incoming.push(event);
                answers.push(None);
            }
            Err(error) => answers.push(Some(input_problem(error))),
        }
    }
    let mut decided = if incoming.is_empty() { Vec::new() } else { app.engine.ingest(incoming).await }.into_iter();
    answers
        .into_iter()
        .map(|refused| match refused {
            Some(problem) => Err(problem),
            None => match decided.next() {
                // What changed is not told, and kept for nobody while the rest of a batch is worked on.
                Some(answer) => answer
                    .map(|accepted| Accepted { transitions: Vec::new(), ..accepted })
                    .map_err(|error| refusal(&error)),
                None => Err(Problem::inside("the engine answered for fewer events than it was given")),
            },
        })
        .collect()
}

fn taken(accepted: &Accepted) -> Taken<'_> {
    Taken {
        event_id: accepted.event_id.to_string(),
        duplicate: accepted.duplicate,
        decisions: accepted.decisions.iter().take(limits::ANSWER_DECISIONS_MAX).map(Decided::of).collect(),
        decisions_total: accepted.decisions_total,
        transitions: Vec::new(),
        warnings: &accepted.warnings,
        alert_id: accepted.alert.as_deref(),
    }
}

fn single(mut answers: Vec<Result<Accepted, Problem>>) -> Answer {
    let accepted = match answers.pop() {
        Some(answer) => answer?,
        None => return Err(Problem::bad("empty_body", "the body holds no event")),
    };
    let status = if accepted.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    json(status, &taken(&accepted))
}

fn batch(answers: &[Result<Accepted, Problem>]) -> Answer {
    let elements: Vec<Element<'_>> = answers
        .iter()
        .map(|answer| match answer {
            Ok(accepted) => Element::Taken(taken(accepted)),
            Err(problem) => Element::Refused { error: problem.shape() },
        })
        .collect();
    let accepted = || answers.iter().filter_map(|answer| answer.as_ref().ok());
    if accepted().any(|accepted| !accepted.duplicate) {
        return json(StatusCode::ACCEPTED, &elements);
    }
    if accepted().next().is_some() {
        return json(StatusCode::OK, &elements);
    }
    // None was accepted. When that was for want of room, the same batch may be sent again.
    let later = answers.iter().filter_map(|answer| answer.as_ref().err()).find(|problem| problem.retry_after.is_some());
    let status = later.map_or(StatusCode::BAD_REQUEST, |problem| problem.status);
    let mut answer = json(status, &elements)?;
    if let Some(wait) = later.and_then(Problem::retry_after_header) {
        answer.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    Ok(answer)
}

/// Shows the mapping and the decisions and keeps nothing.
async fn try_out(app: &App, elements: Elements, batch: bool) -> Answer {
    let engine = app.engine.clone();
    let batch = batch || elements.len() > 1;
    // Every element asks the store.
    let tried = tokio::task::spawn_blocking(move || {
        let one = |element: Result<source::Incoming, InputError>| {
            let incoming = element.map_err(input_problem)?;
            let accepted = engine.dry_run(&incoming).map_err(|error| refusal(&error))?;
            Ok((incoming.event, accepted))
        };
        elements.into_iter().map(one).collect::<Vec<Result<(Arc<model::Event>, Accepted), Problem>>>()
    });
    let mut tried = tried.await.map_err(|error| Problem::inside(error.to_string()))?;
    if !batch {
        let (event, accepted) = match tried.pop() {
            Some(outcome) => outcome?,
            None => return Err(Problem::bad("empty_body", "the body holds no event")),
        };
        return json(StatusCode::OK, &mapping(&event, &accepted));
    }
    let elements: Vec<Tried<'_>> = tried
        .iter()
        .map(|outcome| match outcome {
            Ok((event, accepted)) => Tried::Mapped(Box::new(mapping(event, accepted))),
            Err(problem) => Tried::Refused { error: problem.shape() },
        })
        .collect();
    json(if tried.iter().any(Result::is_ok) { StatusCode::OK } else { StatusCode::BAD_REQUEST }, &elements)
}

fn mapping<'a>(event: &'a model::Event, accepted: &'a Accepted) -> Mapping<'a> {
    let subject = event.subject.as_ref();
    Mapping {
        dry_run: true,
        event: Mapped {
            source: &event.source,
            r#type: &event.kind,
            id: event.own_id.as_deref(),
            time: event.time.to_string(),
            tenant: &event.tenant,
            subject: subject.map(|s| Subject { kind: s.kind.name(), id: &s.id, fields: &s.fields }),
            from: event.from.as_deref(),
            data: &event.data,
        },
        taken: Taken {
            transitions: accepted.transitions.iter().map(|t| format!("{} {}", t.object, t.change.describe())).collect(),
            ..taken(accepted)
        },
    }
}

fn input_problem(error: InputError) -> Problem {
    let status = match error {
        InputError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    let problem = Problem::new(status, error.code(), error.to_string());
    Problem { about: About::at(error.position(), error.problems()), ..problem }
}

/// Writes an answer as JSON, once, with its length.
pub(super) fn json(status: StatusCode, what: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(what).map_err(|error| Problem::inside(error.to_string()))?;
    let mut answer = Response::new(Body::from(Bytes::from(bytes)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}
