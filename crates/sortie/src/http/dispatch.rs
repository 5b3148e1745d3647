//! From a request that was routed to its answer: who asks, what may be asked, what is logged and recorded.
//!
//! Invariants: nothing of a request reaches a handler before its caller, its role and the keys of its query are checked;
//! every refusal of a caller is recorded, a flood of them in bounded number; what a client sends reaches the log only
//! escaped and cut.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use model::event::Actor;
use model::history::EntryKind;
use serde::Serialize;

use super::App;
use super::problem::Problem;
use super::query::Query;
use super::route::{Access, Call, Caller, Route, Unread};
use crate::auth::Permission;
use crate::auth::brake::Verdict;
use crate::auth::sender::bearer;
use crate::auth::session::{self, Who};
use crate::pages::problem as pages;

/// Headers of which a request may have one only: two of them mean two things to two readers.
const ONCE: [header::HeaderName; 6] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::AUTHORIZATION,
];
/// The same, by names that are not predefined.
const ONCE_NAMED: [&str; 5] =
    ["idempotency-key", "webhook-id", "webhook-timestamp", "webhook-signature", "x-forwarded-for"];
/// How much of a path is logged or recorded.
const PATH_CHARS_SHOWN: usize = 200;
/// What a browser may do with an answer: show it as what it is.
/// No script and no style but our own files, and nothing that stands inside a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
/// What a page asks by itself to stay fresh carries this header: nobody has clicked.
const LIVE: &str = "x-sortie-live";
/// What somebody may reach who has signed in with a password for one use.
const OPEN_TO_ONE_TIME: [&str; 3] = ["/account", "/account/password", "/sign-out"];

/// The address a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What is recorded of a refusal.
#[derive(Debug, Serialize)]
struct Refused<'a> {
    action: &'static str,
    code: &'a str,
    status: u16,
    method: &'a str,
    path: &'a str,
    peer: IpAddr,
    detail: &'a str,
    /// Refusals before this one that were not recorded, so that a flood cannot fill the history.
    #[serde(skip_serializing_if = "is_zero")]
    left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Answers a request that was routed.
pub(crate) async fn run(
    app: Arc<App>,
    route: &'static Route,
    params: Option<RawPathParams>,
    request: Request,
) -> Response<Body> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0);
    let peer = app.settings.client(peer, &parts.headers);
    let Some(params) = params else {
        return Problem::bad("invalid_path", "the path cannot be decoded").answer();
    };
    let path: Vec<String> = params.iter().map(|(_, value)| value.to_owned()).collect();
    let browser = (route.is_page() && pages::is_for_browser(&parts.headers)).then(|| parts.headers.clone());
    let live = parts.headers.contains_key(LIVE);
    let mut who = None;
    let outcome = async {
        once(&parts.headers)?;
        let caller = admit(&app, route, peer, &parts.headers)?;
        who = Some(caller.clone());
        permit(&caller, route)?;
        let query = Query::read(&parts.uri, route.query)?;
        let call =
            Call { app: Arc::clone(&app), peer, caller, path, query, headers: parts.headers, body: Unread::new(body) };
        (route.handler)(call).await
    }
    .await;
    let (answer, problem) = match outcome {
        Ok(answer) => (answer, None),
        Err(problem) => {
            let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
            let page = browser.map(|headers| pages::answer(&app, &problem, who.as_ref(), &headers, target));
            (page.unwrap_or_else(|| problem.answer()), Some(problem))
        }
    };
    if let Some(problem) = &problem {
        let request = (route.verb.name(), parts.uri.path());
        if is_recorded(problem, route.access) {
            record(&app, problem, request, peer, actor(route, who.as_ref(), parts.uri.path())).await;
        }
    }
    app.counters.answered(answer.status());
    if !live || problem.is_some() {
        log(route, &parts.uri, peer, who.as_ref(), problem.as_ref(), answer.status(), began.elapsed());
    }
    answer
}

/// Who asks.
fn admit(app: &App, route: &Route, peer: IpAddr, headers: &HeaderMap) -> Result<Caller, Problem> {
    let Access::Roles(_) = route.access else { return Ok(Caller::local()) };
    if !app.settings.auth_required {
        return open_to(headers).map(|()| Caller::local());
    }
    if route.is_page()
        && let Some(who) = session(app, headers)
        && let Some(caller) = caller_of(app, &who)
    {
        return must_not_choose(app, route, &who).map(|()| caller);
    }
    let given = bearer(headers);
    // A right token passes whatever its address has tried before: with 256 random bits there is nothing to guess, and
    // one bad client must not lock its neighbours out.
    if let Some(token) = given.and_then(|secret| app.tokens.find(secret)) {
        return Ok(Caller::holder(&token));
    }
    let detail = match given {
        None => "present a token: `Authorization: Bearer TOKEN`",
        Some(_) => "this token is not known",
    };
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
    let problem = Problem { challenge: Some("Bearer realm=\"sortie\""), ..problem };
    match given.map(|_| app.brake.failed(peer, "", Instant::now())) {
        Some(Verdict::TooMany(wait)) => Err(too_many(wait)),
        Some(Verdict::Refuse) | None => Err(problem),
    }
}

/// Where authentication is off, whoever can name the server rules it. A page of another site can make a name of its own
/// lead to this machine, so only names that cannot be pointed elsewhere are answered.
fn open_to(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(host) = headers.get(header::HOST).and_then(|value| value.to_str().ok()) else { return Ok(()) };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let own = name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost");
    if own {
        return Ok(());
    }
    let detail = "with `auth: none` the server answers to `localhost` and to addresses, not to other names";
    Err(Problem::new(StatusCode::FORBIDDEN, "foreign_host", detail))
}

/// Whose session the browser that asks has.
pub(crate) fn session(app: &App, headers: &HeaderMap) -> Option<Who> {
    let by_person = !headers.contains_key(LIVE);
    app.sessions.find(session::cookie(headers)?, by_person, Instant::now())
}

/// What the holder of a session may do now; nothing when the token or the user is gone.
pub(crate) fn caller_of(app: &App, who: &Who) -> Option<Caller> {
    match who {
        Who::Token(digest) => app.tokens.of(digest).map(|token| Caller::holder(&token)),
        Who::User(name) => app.users.find(name).map(|user| Caller::user(&user)),
        Who::Person(identity) => Some(Caller::person(identity)),
    }
}

/// Who has signed in with a password for one use gets no further than choosing another.
fn must_not_choose(app: &App, route: &Route, who: &Who) -> Result<(), Problem> {
    let Who::User(name) = who else { return Ok(()) };
    let chosen = app.users.find(name).is_none_or(|user| !user.password.is_one_time());
    if chosen || OPEN_TO_ONE_TIME.contains(&route.path) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, pages::CHOOSE_PASSWORD, "choose a password of your own first"))
}

/// The answer where there is nothing: a page for browsers.
pub(crate) fn nowhere(app: &App, request: &Request, problem: &Problem) -> Response<Body> {
    let headers = request.headers();
    if !pages::is_for_browser(headers) {
        return problem.answer();
    }
    let local = (!app.settings.auth_required).then(Caller::local);
    let caller = session(app, headers).and_then(|who| caller_of(app, &who)).or(local);
    pages::answer(app, problem, caller.as_ref(), headers, request.uri().path())
}

/// What is said to an address that has guessed too often.
pub(crate) fn too_many(wait: Duration) -> Problem {
    let detail = "too many wrong credentials came from this address";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail).retry_after(wait)
}

/// Whether the caller's role may use this route: the one place where that is decided.
///
/// # Errors
/// 403 with the roles that may.
pub(crate) fn permit(caller: &Caller, route: &Route) -> Result<(), Problem> {
    let Access::Roles(roles) = route.access else { return Ok(()) };
    let needed = Permission::of(route.verb, route.path);
    if roles.contains(caller.role) && needed.is_none_or(|needed| needed.is_held_by(caller.role)) {
        return Ok(());
    }
    let needed = needed.map_or("another permission", Permission::name);
    let detail =
        format!("this needs `{needed}`, which {} hold; the role {} does not", roles.names(), caller.role.name());
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

fn once(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.len() == headers.keys_len() {
        return Ok(()); // no header stands twice
    }
    let twice = |name: &str| headers.get_all(name).iter().nth(1).is_some();
    let found = ONCE.iter().map(header::HeaderName::as_str).chain(ONCE_NAMED).find(|name| twice(name));
    match found {
        None => Ok(()),
        Some(name) => Err(Problem::bad("duplicate_header", format!("the header `{name}` stands twice")).and_close()),
    }
}

/// Which refusals an auditor wants to see.
fn is_recorded(problem: &Problem, access: Access) -> bool {
    match problem.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PAYLOAD_TOO_LARGE => true,
        StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::BAD_REQUEST | StatusCode::CONFLICT => access == Access::Sender,
        StatusCode::TOO_MANY_REQUESTS => problem.code == "too_many_attempts",
        _ => false,
    }
}

fn actor(route: &Route, caller: Option<&Caller>, path: &str) -> Actor {
    match (route.access, caller) {
        (Access::Sender, _) => Actor::Source(path.split('/').nth(3).unwrap_or_default().chars().take(80).collect()),
        (Access::Roles(_), Some(caller)) => caller.actor(),
        _ => Actor::System,
    }
}

/// Records a refusal, unless there were too many lately.
pub(crate) async fn record(app: &App, problem: &Problem, request: (&str, &str), peer: IpAddr, actor: Actor) {
    let Some(left_out) = app.refusals.admit(Instant::now()) else { return };
    let (method, path) = (request.0, shown(request.1));
    let refused = Refused {
        action: "refused",
        code: problem.code,
        status: problem.status.as_u16(),
        method,
        path: &path,
        peer,
        detail: &problem.detail,
        left_out,
    };
    let payload = serde_json::to_value(&refused).unwrap_or_default();
    let object = format!("request:{method} {path}");
    if let Err(error) = app.engine.record(EntryKind::Refused, object, payload, actor).await {
        tracing::warn!(%error, code = problem.code, "a refusal could not be recorded");
    }
}

/// A path as it is logged and recorded: a secret that is its last part is left out.
fn shown(path: &str) -> String {
    if let Some((source, _)) = path.strip_prefix("/v1/in/").and_then(|rest| rest.split_once('/')) {
        return format!("/v1/in/{}/…", shown(source));
    }
    path.chars().filter(|c| !c.is_control()).take(PATH_CHARS_SHOWN).collect()
}

fn log(
    route: &Route,
    uri: &axum::http::Uri,
    peer: IpAddr,
    caller: Option<&Caller>,
    problem: Option<&Problem>,
    status: StatusCode,
    took: Duration,
) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let who = caller.map_or("-", |caller| caller.name.as_str());
    let (method, status) = (route.verb.name(), status.as_u16());
    match problem {
        Some(problem) if status >= 500 => {
            let inside = problem.inside.as_deref().unwrap_or_default();
            tracing::error!(method, path = %shown(uri.path()), status, code = problem.code, ?inside, %peer, who, micros, "request failed");
        }
        Some(problem) => {
            tracing::info!(method, path = %shown(uri.path()), status, code = problem.code, %peer, who, micros, "request refused");
        }
        // One line for each event would cost more than the event.
        None if route.access == Access::Sender => {
            tracing::debug!(method, route = route.path, status, micros, "request")
        }
        None => tracing::info!(method, path = %shown(uri.path()), status, %peer, who, micros, "request"),
    }
}

/// The answer to a request that says two things about where it ends.
pub(crate) async fn contradiction(app: &App, peer: IpAddr, method: &str, path: &str) -> Response<Body> {
    let detail = "a request has `Transfer-Encoding` or `Content-Length`, not both";
    let problem = Problem::bad("ambiguous_length", detail).and_close();
    record(app, &problem, (method, path), peer, Actor::System).await;
    app.counters.answered(problem.status);
    problem.answer()
}

/// What every answer carries.
pub(crate) fn finish(mut answer: Response<Body>, close: bool) -> Response<Body> {
    let headers = answer.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A file that somebody has attached comes with a stricter one of its own.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    if close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The bound on recorded refusals: [`Refusals::MAX`] a minute, the others are counted into the next one.
#[derive(Debug, Default)]
pub(crate) struct Refusals(std::sync::Mutex<Minute>);

#[derive(Debug, Default)]
struct Minute {
    since: Option<Instant>,
    recorded: u32,
    left_out: u64,
}

impl Refusals {
    /// Most refusals that are recorded in a minute.
    pub(crate) const MAX: u32 = 60;

    /// Whether another refusal is recorded, and how many before it were not.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut minute = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if minute.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(60)) {
            minute.since = Some(now);
            minute.recorded = 0;
        }
        if minute.recorded >= Refusals::MAX {
            minute.left_out += 1;
            return None;
        }
        minute.recorded += 1;
        Some(std::mem::take(&mut minute.left_out))
    }
}

/// Counts for `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Answers by the first digit of their status, from 2.
    pub(crate) by_class: [std::sync::atomic::AtomicU64; 4],
    /// Connections that were turned away.
    pub(crate) turned_away: std::sync::atomic::AtomicU64,
}

impl Counters {
    /// Counts an answer.
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(2);
        if let Some(counter) = self.by_class.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_recorded_in_bounded_number_and_counted() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let recorded = (0..1_000).filter(|_| refusals.admit(now).is_some()).count();
        assert_eq!(recorded, Refusals::MAX as usize);
        assert_eq!(refusals.admit(now + Duration::from_secs(60)), Some(1_000 - u64::from(Refusals::MAX)));
    }

    #[test]
    fn without_authentication_only_names_that_cannot_be_pointed_elsewhere_are_answered() {
        let asked = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            open_to(&headers).is_ok()
        };
        for own in ["localhost:7300", "127.0.0.1:7300", "127.0.0.1", "[::1]:7300", "LOCALHOST"] {
            assert!(asked(own), "{own}");
        }
        for foreign in ["evil.example:7300", "localhost.evil.example", "127.0.0.1.nip.io", "", "[evil]"] {
            assert!(!asked(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_header_that_may_stand_once_is_refused_twice() {
        let mut headers = HeaderMap::new();
        headers.append("accept", HeaderValue::from_static("a"));
        headers.append("accept", HeaderValue::from_static("b"));
        assert_eq!(once(&headers), Ok(()));
        headers.append("idempotency-key", HeaderValue::from_static("a"));
        headers.append("idempotency-key", HeaderValue::from_static("a"));
        let problem = once(&headers).unwrap_err();
        assert_eq!((problem.code, problem.close), ("duplicate_header", true));
    }
}
