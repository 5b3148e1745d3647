//! `http.request`: asks any HTTP service, under the egress policy.
//!
//! What a repeat would do follows from the method. A request that must not be repeated goes over a connection of its
//! own, and when it broke off after it may have arrived, its outcome is unknown: a person must look.

use std::collections::BTreeMap;

use http::header::{CONTENT_TYPE, HeaderMap};
use http::{HeaderName, HeaderValue, Method};
use model::limits::RESPONSE_CAPTURE_BYTES_MAX;
use model::run::{Attempt, AttemptOutcome, StepError};
use playbook::{ActionSpec, Effect, Param, ParamType, Retry, Template};
use serde_json::{Map, Value, json};

use super::parts::{auth, headers};
use super::render::{Params, error};
use super::send::{mix, outcome, problem, soon, unit};
use super::webhook_send::bytes;
use super::{Action, Call, Outcome, StepResult, idempotency_key};
use crate::outbound::deliver::{CHAIN_HEADER, PrepareError, authenticate, header};
use crate::outbound::{Redactor, Request, SendError, Sent, TOTAL_TIMEOUT, Target, UrlProblem, percent_encode};

/// The verb.
pub(super) struct HttpRequest;

/// Most bytes of an answer's body that a step answers.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// The headers of an answer that a step answers.
const SHOWN_HEADERS: [&str; 8] = [
    "content-type",
    "etag",
    "last-modified",
    "link",
    "location",
    "retry-after",
    "x-ratelimit-remaining",
    "x-request-id",
];
/// Makes a repeat recognisable to the receiver.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The methods.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

static SPEC: ActionSpec = ActionSpec {
    id: "http.request",
    title: "Send an HTTP request",
    doc: "Asks an HTTP service. The host must be constant, or an address in a network of `egress.allow`; values in the path \
          and the query are percent-encoded. Redirects are not followed. What happens when it is done twice follows from the \
          method: GET, HEAD and OPTIONS read, PUT and DELETE may be repeated, POST and PATCH must not: when such a request \
          broke off and may have arrived, the run stops in `needs_attention`. An `Idempotency-Key` goes along with \
          everything that does not only read.",
    effect: Effect::Once,
    about: None,
    network: true,
    params: &[
        Param {
            name: "method",
            ty: ParamType::OneOf(&METHODS),
            required: false,
            doc: "the method; GET when it is not given",
        },
        Param { name: "url", ty: ParamType::Url, required: true, doc: "where to; `https://`" },
        Param {
            name: "headers",
            ty: ParamType::Headers,
            required: false,
            doc: "headers; `${secret:NAME}` may stand as a value or at the end of one",
        },
        Param {
            name: "auth",
            ty: ParamType::Auth,
            required: false,
            doc: "`{bearer: …}`, `{header: NAME, value: …}` or `{basic: {user: …, password: …}}`, with secrets",
        },
        Param {
            name: "query",
            ty: ParamType::Query,
            required: false,
            doc: "names and values that are added to the URL; a list repeats the name",
        },
        Param {
            name: "body",
            ty: ParamType::Any,
            required: false,
            doc: "the body; a text is sent as it is, anything else as JSON",
        },
        Param {
            name: "expect",
            ty: ParamType::Any,
            required: false,
            doc: "the statuses that are a success, such as `[200, 404]` or `2xx`; any of 200 to 299 when it is not given",
        },
    ],
    output: "`status`: the HTTP status. `headers`: some headers of the answer, names in lower case. `body`: the answer, read as \
             JSON where it is JSON, else as text. `bytes`: how long it was. `truncated`: whether there was more than 256 KB, \
             which is left out.",
    example: "- id: ask\n  action: http.request\n  with:\n    url: \"https://reputation.example.com/ip/${{ alert.src_ips[0] }}\"\n    auth: { bearer: \"${secret:REPUTATION}\" }\n    expect: [200, 404]\n",
};

#[async_trait::async_trait]
impl Action for HttpRequest {
    fn spec(&self) -> &'static ActionSpec {
        &SPEC
    }

    fn effect(&self, with: &BTreeMap<String, Template>) -> Effect {
        match with.get("method") {
            None => Effect::Read,
            Some(template) => template.constant().and_then(Value::as_str).map_or(Effect::Once, effect_of),
        }
    }

    async fn run(&self, call: Call<'_>) -> Outcome {
        let mut params = Params::of(&call);
        let prepared = prepare(&call, &mut params);
        let input = Value::Object(params.recorded);
        match prepared {
            Err(why) => Outcome::plain(input, StepResult::Failed(why)),
            Ok(ready) => ask(&call, ready, input).await,
        }
    }
}

fn effect_of(method: &str) -> Effect {
    match method.to_ascii_uppercase().as_str() {
        "GET" | "HEAD" | "OPTIONS" => Effect::Read,
        "PUT" | "DELETE" => Effect::Idempotent,
        _ => Effect::Once,
    }
}

/// A request that is ready, and what its answer must be.
struct Ready {
    request: Request,
    expect: Expect,
    effect: Effect,
}

fn prepare(call: &Call<'_>, params: &mut Params<'_>) -> Result<Ready, StepError> {
    let method = params.text("method")?.unwrap_or_else(|| "GET".to_owned()).to_ascii_uppercase();
    if !METHODS.contains(&method.as_str()) {
        return Err(params.wrong("method", &format!("one of {}", METHODS.join(", "))));
    }
    let effect = effect_of(&method);
    let target = target(call, params)?;
    let expect = Expect::of(params)?;
    let body = params.value("body")?.unwrap_or(Value::Null);
    let (body, content_type) = bytes(&body);
    let mut redactor = Redactor::default();
    let mut sent = HeaderMap::new();
    if !body.is_empty() {
        sent.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let refused = |why: PrepareError| error(why.code(), why.to_string());
    for (name, placed) in headers(call, params)? {
        let value = placed.resolve(&call.ctx.secrets, &mut redactor).map_err(|why| refused(why.into()))?;
        sent.append(name.clone(), header(&name, &value).map_err(refused)?);
    }
    let auth = auth(call, params)?;
    authenticate(&auth, &call.ctx.secrets, &mut sent, &mut redactor).map_err(refused)?;
    if effect != Effect::Read {
        let key = idempotency_key(call.start.id, call.path, "");
        sent.insert(
            IDEMPOTENCY_KEY,
            HeaderValue::from_str(&key).map_err(|_| error("bad_header", "the step's path cannot be a header"))?,
        );
    }
    sent.insert(CHAIN_HEADER, HeaderValue::from(call.start.chain.len() + 1));
    let request = Request {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| params.wrong("method", "a method"))?,
        key: target.host().to_owned(),
        target,
        headers: sent,
        body,
        timeout: call.timeout.unwrap_or(TOTAL_TIMEOUT),
        keep_bytes: BODY_BYTES_MAX.max(RESPONSE_CAPTURE_BYTES_MAX),
        tenant: call.start.tenant.clone(),
        places: None,
        fresh: effect == Effect::Once,
        redactor,
        origin: call.origin(),
    };
    Ok(Ready { request, expect, effect })
}

/// Where to: the URL and the query, checked.
fn target(call: &Call<'_>, params: &mut Params<'_>) -> Result<Target, StepError> {
    let text = params.needed("url")?;
    let query = params.value("query")?;
    let mut whole = text.split('#').next().unwrap_or_default().to_owned();
    for (name, value) in pairs(query.as_ref()).ok_or_else(|| params.wrong("query", "names and values"))? {
        whole.push(if whole.contains('?') { '&' } else { '?' });
        whole.push_str(&percent_encode(&name));
        whole.push('=');
        whole.push_str(&percent_encode(&value));
    }
    let at = params.template("url").map(|template| (template.span().line, template.span().column));
    if has_dot_segment(&whole) {
        let message = "the path of `url` must not hold `.` or `..`: they lead elsewhere".to_owned();
        return Err(StepError { code: "bad_url".to_owned(), message, at });
    }
    let egress = call.ctx.effects.egress();
    let target = Target::parse(&whole, egress).map_err(|problem| {
        let code = if problem == UrlProblem::Blocked { "blocked_address" } else { "bad_url" };
        StepError { code: code.to_owned(), message: problem.to_string(), at }
    })?;
    let constant = params.template("url").is_some_and(has_constant_host);
    let listed = target.literal().is_some_and(|address| egress.allow.iter().any(|network| network.contains(address)));
    if !constant && !listed {
        let message = "the host of `url` must be constant, or an address in a network of `egress.allow`".to_owned();
        return Err(StepError { code: "dynamic_host".to_owned(), message, at });
    }
    Ok(target)
}

/// Whether a value could lead to another path than the one that is written: readers of URLs resolve such segments.
fn has_dot_segment(url: &str) -> bool {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest).split('?').next().unwrap_or_default();
    path.split('/').skip(1).any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

/// Whether the scheme and the host of a URL stand in the template itself.
fn has_constant_host(template: &Template) -> bool {
    if template.constant().is_some() {
        return true;
    }
    let Some((_, rest)) = template.constant_prefix().and_then(|prefix| prefix.split_once("://")) else { return false };
    rest.find(['/', '?', '#']).is_some_and(|end| end > 0)
}

/// The pairs of a query; nothing when it is none.
fn pairs(query: Option<&Value>) -> Option<Vec<(String, String)>> {
    let map = match query {
        None | Some(Value::Null) => return Some(Vec::new()),
        Some(Value::Object(map)) => map,
        Some(_) => return None,
    };
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    let mut all = Vec::new();
    for (name, value) in map {
        match value {
            Value::Null => {}
            Value::Array(items) => {
                for item in items {
                    all.push((name.clone(), text(item)?));
                }
            }
            other => all.push((name.clone(), text(other)?)),
        }
    }
    Some(all)
}

/// The statuses that are a success.
struct Expect(Vec<std::ops::RangeInclusive<u16>>);

impl Expect {
    fn of(params: &mut Params<'_>) -> Result<Expect, StepError> {
        let wanted = match params.value("expect")? {
            None | Some(Value::Null) => return Ok(Expect(vec![200..=299])),
            Some(Value::Array(items)) => items,
            Some(one) => vec![one],
        };
        let ranges: Option<Vec<_>> = wanted.iter().map(Expect::range).collect();
        let ranges = ranges.filter(|ranges| !ranges.is_empty());
        ranges
            .map(Expect)
            .ok_or_else(|| params.wrong("expect", "a status such as 200, a class such as `2xx`, or a list of them"))
    }

    fn range(value: &Value) -> Option<std::ops::RangeInclusive<u16>> {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_ascii_lowercase);
        let (low, high) = match text.strip_suffix("xx") {
            Some(class) => {
                let class: u16 = class.parse().ok()?;
                (class.checked_mul(100)?, class.checked_mul(100)?.checked_add(99)?)
            }
            None => (text.parse().ok()?, text.parse().ok()?),
        };
        (100..=599).contains(&low).then_some(low..=high)
    }

    fn holds(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

async fn ask(call: &Call<'_>, ready: Ready, input: Value) -> Outcome {
    let Ready { request, expect, effect } = ready;
    let host = request.key.clone();
    let redactor = request.redactor.clone();
    let tried = call.state.map_or(&[][..], |state| state.attempts.as_slice());
    let unsent = [SendError::Busy.code(), SendError::Paused.code()];
    let is_try = |attempt: &&Attempt| attempt.error.as_ref().is_none_or(|error| !unsent.contains(&error.code.as_str()));
    let n = u32::try_from(tried.iter().filter(is_try).count()).unwrap_or(u32::MAX).saturating_add(1);
    let started_at = (call.ctx.clock)();
    let sent = call.ctx.effects.send(request).await;
    let ended_at = (call.ctx.clock)();
    let busy = matches!(sent.error, Some(SendError::Busy | SendError::Paused));
    if busy && effect != Effect::Once {
        return Outcome::plain(input, StepResult::Busy { at: soon(call, &host) });
    }
    let policy = call.retry.unwrap_or(&Retry::NETWORK);
    let good = sent.status.is_some_and(|status| expect.holds(status));
    // An answer that broke off is no answer to a question that may be asked again.
    let whole = sent.error.is_none() || effect == Effect::Once;
    let random = unit(mix(call.random, &host, n));
    let ended = match (good, whole) {
        // A step that must not be repeated has recorded that it begins: waiting for a place is recorded too.
        _ if busy => AttemptOutcome::Retry { at: soon(call, &host) },
        (true, true) => AttemptOutcome::Succeeded,
        (true, false) => outcome(&Sent { status: None, ..sent.clone() }, policy, n, ended_at, random),
        (false, _) if sent.accepted() => AttemptOutcome::Failed,
        (false, _) if effect == Effect::Once && arrived_unanswered(&sent) => AttemptOutcome::Failed,
        (false, _) => outcome(&sent, policy, n, ended_at, random),
    };
    let why = if matches!(ended, AttemptOutcome::Succeeded) { None } else { Some(reason(call, &sent, &expect)) };
    let result = match (&ended, &why) {
        (AttemptOutcome::Retry { at }, _) => StepResult::Retry { at: *at },
        (AttemptOutcome::Failed, Some(why)) if effect == Effect::Once && arrived_unanswered(&sent) => {
            StepResult::Unknown(why.clone())
        }
        (AttemptOutcome::Failed, Some(why)) if why.code == SendError::Timeout.code() && call.timeout.is_some() => {
            StepResult::TimedOut(why.clone())
        }
        (AttemptOutcome::Failed, Some(why)) => StepResult::Failed(why.clone()),
        _ => StepResult::Done { output: output(&sent, &redactor) },
    };
    let attempt = Attempt {
        n,
        destination: None,
        started_at,
        ended_at,
        outcome: ended,
        http_status: sent.status,
        answer: sent.answer(),
        error: why,
        redacted: call.committed(None, n, &sent.placed),
    };
    Outcome { attempts: vec![attempt], ..Outcome::plain(input, result) }
}

/// Whether the request may have had its effect, and nobody said so.
fn arrived_unanswered(sent: &Sent) -> bool {
    sent.status.is_none() && sent.error.as_ref().is_some_and(SendError::may_have_arrived)
}

/// Why a try was no success.
fn reason(call: &Call<'_>, sent: &Sent, expect: &Expect) -> StepError {
    let found = match (sent.status, &sent.error) {
        (Some(status), Some(broken)) if expect.holds(status) => error(broken.code(), broken.to_string()),
        (Some(status), _) if sent.accepted() => {
            error("http_status", format!("the service answered HTTP {status}, which is not expected"))
        }
        _ => problem(sent).unwrap_or_else(|| error("http", "there is no answer")),
    };
    let at = call.with.get("url").map(|template| (template.span().line, template.span().column));
    StepError { at, ..found }
}

/// What the step answers.
fn output(sent: &Sent, redactor: &Redactor) -> Value {
    let mut shown = Map::new();
    for name in SHOWN_HEADERS {
        if let Some(value) = sent.headers.get(name).and_then(|value| value.to_str().ok()) {
            shown.insert(name.to_owned(), Value::String(redactor.clean(value, false)));
        }
    }
    let text = &sent.text;
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
    };
    json!({ "status": sent.status, "headers": shown, "body": body, "bytes": sent.bytes, "truncated": sent.truncated })
}
