//! Sending one message to several destinations: who gets it now, who got it already, who does not want it, when again.
//!
//! Invariants: each destination has its own tries, and only those that failed are tried again. A destination's window is
//! claimed durably before the first try and released when the delivery finally fails. A try is only counted when
//! something was, or may have been, sent.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{HeaderName, RETRY_AFTER};
use model::run::{Attempt, AttemptOutcome, DeliveryStatus, RunStart, RunState, StepError};
use model::{ObjectKey, Time};
use playbook::Retry;
use store::Window;

use super::render::error;
use super::subject::{kind_name, subject, window_name};
use super::summary::sum_up;
use super::{Call, StepResult, claimed_by, idempotency_key};
use crate::outbound::deliver::{Message, deliver};
use crate::outbound::destination::{Destination, Manner, TimeFormat};
use crate::outbound::gate::{Entry, News};
use crate::outbound::secret::Placed;
use crate::outbound::{HELD_LOOK, SendError, Sent, retry};

/// How long a delivery waits when its destination has too many requests in flight, at least; up to twice that.
const BUSY_WAIT: Duration = Duration::from_millis(250);
/// How long a delivery to an ordered destination waits for each delivery before it, at least; up to one and a half times that.
const ORDERED_WAIT: Duration = Duration::from_millis(20);
/// The most that this adds up to.
const ORDERED_WAIT_MAX: Duration = Duration::from_secs(5);

/// A body in the forms that destinations want.
pub(super) struct Body {
    /// With times as text.
    pub(super) plain: Bytes,
    /// With times as numbers; the same when it holds none.
    pub(super) micros: Option<Bytes>,
    /// For Microsoft Teams, when one of the destinations is there.
    pub(super) teams: Option<Bytes>,
    /// For Slack, when one of the destinations is there.
    pub(super) slack: Option<Bytes>,
    /// What it is.
    pub(super) content_type: &'static str,
}

impl Body {
    /// The form that a destination wants, and what it is.
    fn form(&self, destination: &Destination) -> (&Bytes, &'static str) {
        let chat = match destination.manner {
            Manner::Teams => self.teams.as_ref(),
            Manner::Slack => self.slack.as_ref(),
            Manner::Webhook => None,
        };
        match (chat, destination.time_format) {
            (Some(body), _) => (body, "application/json"),
            (None, TimeFormat::EpochMicros) => (self.micros.as_ref().unwrap_or(&self.plain), self.content_type),
            (None, TimeFormat::Rfc3339) => (&self.plain, self.content_type),
        }
    }
}

/// One message for several destinations.
pub(super) struct Parcel {
    /// Where to.
    pub(super) to: Vec<String>,
    /// The step's own window, which wins over that of a destination.
    pub(super) dedupe: Option<Duration>,
    /// What it is about.
    pub(super) about: Option<ObjectKey>,
    /// The priority of that.
    pub(super) priority: Option<String>,
    /// What is sent.
    pub(super) body: Body,
    /// Further headers.
    pub(super) headers: Vec<(HeaderName, Placed)>,
}

/// What sending did.
pub(super) struct Posted {
    pub(super) attempts: Vec<Attempt>,
    pub(super) result: StepResult,
    pub(super) windows: Vec<Window>,
}

/// How a destination stands after this call.
enum Stand {
    /// It had ended before.
    Ended,
    /// A try was made, or it was found that none is wanted.
    Now(Box<Attempt>),
    /// Its time has not come, or it has no room for another request.
    Wait(Time),
}

/// Sends to everybody whose turn it is.
pub(super) async fn send(call: &Call<'_>, parcel: &Parcel) -> Posted {
    let stands = join_all(parcel.to.iter().map(|id| turn(call, parcel, id))).await;
    let mut attempts = Vec::new();
    let mut windows = Vec::new();
    let mut wait = None;
    let mut sooner = |at: Time| wait = Some(wait.map_or(at, |other: Time| other.min(at)));
    for (id, stand) in parcel.to.iter().zip(stands) {
        match stand {
            Stand::Ended => {}
            Stand::Wait(at) => sooner(at),
            Stand::Now(attempt) => {
                match &attempt.outcome {
                    AttemptOutcome::Retry { at } => sooner(*at),
                    AttemptOutcome::Held => sooner(call.now.plus(HELD_LOOK)),
                    AttemptOutcome::Failed => windows.extend(release(call, parcel, id)),
                    AttemptOutcome::Succeeded | AttemptOutcome::Suppressed { .. } => {}
                }
                attempts.push(*attempt);
            }
        }
    }
    let result = match wait {
        Some(at) if attempts.is_empty() => StepResult::Busy { at },
        Some(at) => StepResult::Retry { at },
        None => sum_up(call, parcel, &attempts),
    };
    Posted { attempts, result, windows }
}

/// The last try of an earlier call.
pub(super) fn last<'a>(call: &Call<'a>, id: &str) -> Option<&'a Attempt> {
    call.state?.attempts.iter().rfind(|attempt| attempt.destination.as_deref() == Some(id))
}

async fn turn(call: &Call<'_>, parcel: &Parcel, id: &str) -> Stand {
    let tried = match last(call, id) {
        None => 0,
        Some(attempt) => match &attempt.outcome {
            AttemptOutcome::Retry { at } if *at > call.now => return Stand::Wait(*at),
            AttemptOutcome::Retry { .. } => attempt.n,
            AttemptOutcome::Held if call.ctx.effects.is_paused() => return Stand::Wait(call.now.plus(HELD_LOOK)),
            AttemptOutcome::Held => attempt.n.saturating_sub(1),
            AttemptOutcome::Succeeded | AttemptOutcome::Failed | AttemptOutcome::Suppressed { .. } => {
                return Stand::Ended;
            }
        },
    };
    let destinations = call.ctx.destinations();
    let Some(destination) = destinations.map.get(id) else {
        let missing = error("no_destination", format!("there is no destination `{id}`"));
        return Stand::Now(Box::new(attempt(call, id, tried + 1, AttemptOutcome::Failed, Some(missing))));
    };
    if let Some(reason) = unwanted(call, parcel, destination, tried == 0) {
        let outcome = AttemptOutcome::Suppressed { reason: reason.to_owned() };
        return Stand::Now(Box::new(attempt(call, id, tried + 1, outcome, None)));
    }
    if call.ctx.effects.is_paused() {
        return Stand::Now(Box::new(attempt(call, id, tried + 1, AttemptOutcome::Held, None)));
    }
    if tried == 0
        && let Some(period) = parcel.dedupe.or(destination.dedupe)
    {
        let window = window_key(call, parcel, id);
        let by = idempotency_key(call.start.id, call.path, id);
        match call.ctx.windows.claim(&window, &by, call.now.plus(period)).await {
            Ok(true) => {}
            Ok(false) => {
                let outcome = AttemptOutcome::Suppressed { reason: "deduplicated".to_owned() };
                return Stand::Now(Box::new(attempt(call, id, tried + 1, outcome, None)));
            }
            Err(_) => return Stand::Wait(soon(call, id)),
        }
    }
    tryout(call, parcel, destination, tried).await
}

/// Why a destination does not want the message, if it does not.
fn unwanted(call: &Call<'_>, parcel: &Parcel, destination: &Destination, first: bool) -> Option<&'static str> {
    if first {
        return refuses(destination, &call.start.tenant, parcel.about.as_ref(), parcel.priority.as_deref());
    }
    (!destination.enabled).then_some("disabled")
}

/// Why a destination does not want to hear of an object, if it does not.
fn refuses(
    destination: &Destination,
    tenant: &str,
    about: Option<&ObjectKey>,
    priority: Option<&str>,
) -> Option<&'static str> {
    if !destination.enabled {
        return Some("disabled");
    }
    if destination.tenants.as_ref().is_some_and(|tenants| !tenants.iter().any(|known| known == tenant)) {
        return Some("tenant");
    }
    let kind = kind_name(about);
    if destination.kinds.as_ref().is_some_and(|kinds| !kinds.iter().any(|wanted| wanted == kind)) {
        return Some("kind");
    }
    match (destination.min_severity, priority.and_then(model::record::priority_rank)) {
        (Some(least), Some(rank)) if rank < least => Some("below_severity"),
        _ => None,
    }
}

/// Sends once, when the destination's gate lets it go.
async fn tryout(call: &Call<'_>, parcel: &Parcel, destination: &Destination, tried: u32) -> Stand {
    if let Some(at) = behind(call, destination) {
        return Stand::Wait(at);
    }
    let started_at = (call.ctx.clock)();
    let spread = unit(mix(call.random, &destination.id, 0));
    let pass = match call.ctx.gates.enter(destination, started_at, spread) {
        Entry::Go(pass) => pass,
        Entry::Wait(at) => return Stand::Wait(at),
    };
    let (body, content_type) = parcel.body.form(destination);
    let message = Message {
        tenant: call.start.tenant.clone(),
        id: idempotency_key(call.start.id, call.path, &destination.id),
        body: body.clone(),
        content_type,
        headers: parcel.headers.clone(),
        chain: call.start.chain.len() + 1,
        timeout: call.timeout,
        now: started_at,
        origin: call.origin(),
    };
    let sent = match deliver(&call.ctx.effects, &call.ctx.secrets, destination, message).await {
        Ok(sent) => sent,
        Err(refused) => {
            let why = error(refused.code(), refused.to_string());
            let failed = attempt(call, &destination.id, tried + 1, AttemptOutcome::Failed, Some(why));
            return Stand::Now(Box::new(failed));
        }
    };
    match sent.error {
        Some(SendError::Busy) => return Stand::Wait(soon(call, &destination.id)),
        Some(SendError::Paused) => return Stand::Wait(call.now.plus(HELD_LOOK)),
        _ => {}
    }
    let ended_at = (call.ctx.clock)();
    let probe = pass.is_probe();
    pass.report(news(&sent), ended_at);
    let policy = policy(call, destination.retry.as_ref());
    let random = unit(mix(call.random, &destination.id, tried + 1));
    // What a probe finds out is of use to all that wait: it costs its own delivery nothing but the first of its tries.
    let lost = probe && !sent.accepted() && retry::retryable(sent.status, sent.error.as_ref());
    let (n, outcome) = if lost {
        let until = call.ctx.gates.standing(&destination.id, ended_at).until.unwrap_or(ended_at);
        (tried.max(1), AttemptOutcome::Retry { at: until.plus(retry::delay(policy, 1, None, random)) })
    } else {
        let again = destination.retry_any && sent.status.is_some();
        (tried + 1, ended(&sent, policy, tried + 1, (ended_at, random), again))
    };
    Stand::Now(Box::new(Attempt {
        n,
        destination: Some(destination.id.clone()),
        started_at,
        ended_at,
        outcome,
        http_status: sent.status,
        answer: sent.answer(),
        error: problem(&sent),
        redacted: call.committed(Some(&destination.id), n, &sent.placed),
    }))
}

/// What an answer, or none, shows about the destination.
fn news(sent: &Sent) -> News {
    match (sent.status, &sent.error) {
        (Some(429), _) => News::Nothing,
        (Some(408 | 500..=599), _) => News::Failing,
        (Some(_), _) => News::Alive,
        (None, Some(error)) if error.is_transient() => News::Failing,
        (None, _) => News::Nothing,
    }
}

/// When to ask again, while deliveries of earlier runs must go first.
fn behind(call: &Call<'_>, destination: &Destination) -> Option<Time> {
    if !destination.ordered || !call.ctx.effects.is_live() {
        return None;
    }
    let ahead = match call.ctx.objects.ahead(&destination.id, call.start.id) {
        Ok(0) => return None,
        Ok(ahead) => u32::try_from(ahead).unwrap_or(u32::MAX),
        Err(error) => {
            tracing::error!(%error, destination = destination.id, "whether an earlier delivery is open cannot be read");
            return Some(soon(call, &destination.id));
        }
    };
    let wait = ORDERED_WAIT.saturating_mul(ahead).min(ORDERED_WAIT_MAX);
    Some((call.ctx.clock)().plus(wait + wait.mul_f64(unit(mix(call.random, &destination.id, 1)) / 2.0)))
}

/// How often something is tried again: as the step says, else as its receiver is known to want it, else as usual.
pub(super) fn policy<'a>(call: &Call<'a>, receiver: Option<&'a Retry>) -> &'a Retry {
    call.retry.or(receiver).unwrap_or(&Retry::NETWORK)
}

/// How a try ended: taken, tried again, or failed.
pub(super) fn outcome(sent: &Sent, policy: &Retry, n: u32, now: Time, random: f64) -> AttemptOutcome {
    ended(sent, policy, n, (now, random), false)
}

/// The same; `again` says that what was refused is tried again, too.
fn ended(sent: &Sent, policy: &Retry, n: u32, (now, random): (Time, f64), again: bool) -> AttemptOutcome {
    if sent.accepted() {
        return AttemptOutcome::Succeeded;
    }
    if n > policy.max || !(again || retry::retryable(sent.status, sent.error.as_ref())) {
        return AttemptOutcome::Failed;
    }
    let hint = sent.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let hint = hint.and_then(|text| retry::retry_after(text, now));
    AttemptOutcome::Retry { at: now.plus(retry::delay(policy, n, hint, random)) }
}

/// What went wrong with a try, if something did.
pub(super) fn problem(sent: &Sent) -> Option<StepError> {
    match (sent.status, &sent.error) {
        _ if sent.accepted() => None,
        (Some(status @ 300..=399), _) => {
            Some(error("http_status", format!("the receiver answered HTTP {status}; redirects are not followed")))
        }
        (Some(status), _) => Some(error("http_status", format!("the receiver answered HTTP {status}"))),
        (None, Some(why)) => Some(error(why.code(), why.to_string())),
        (None, None) => None,
    }
}

fn attempt(call: &Call<'_>, id: &str, n: u32, outcome: AttemptOutcome, error: Option<StepError>) -> Attempt {
    let at = (call.ctx.clock)();
    let destination = Some(id.to_owned());
    let redacted = Vec::new();
    Attempt { n, destination, started_at: at, ended_at: at, outcome, http_status: None, answer: None, error, redacted }
}

fn window_key(call: &Call<'_>, parcel: &Parcel, id: &str) -> String {
    window_of(call.start, parcel.about.as_ref(), id)
}

/// The name of the window in which a destination hears nothing more of an object.
fn window_of(start: &RunStart, about: Option<&ObjectKey>, id: &str) -> String {
    format!("dest/{id}/{}", window_name(start, about))
}

/// The windows of deliveries that wait for another try, claimed by themselves: when their run ends before that try, they
/// have failed, and must not silence what comes after.
///
/// # Errors
/// [`store::Error`] when the store fails.
pub(crate) fn held_windows(state: &RunState, store: &dyn store::Store) -> Result<Vec<Window>, store::Error> {
    let mut held = Vec::new();
    for delivery in state.deliveries().iter().filter(|delivery| delivery.status == DeliveryStatus::Retrying) {
        let key = window_of(&state.start, subject(&state.start).as_ref(), &delivery.destination);
        let by = idempotency_key(state.start.id, &delivery.path, &delivery.destination);
        if store.window(&claimed_by(&key, &by), store.now())?.is_some() {
            held.push(Window { key, until: None });
        }
    }
    Ok(held)
}

/// A dead receiver must not silence what comes after: its window ends with the delivery.
fn release(call: &Call<'_>, parcel: &Parcel, id: &str) -> Option<Window> {
    let destinations = call.ctx.destinations();
    let known = destinations.map.get(id)?;
    parcel.dedupe.or(known.dedupe)?;
    Some(Window { key: window_key(call, parcel, id), until: None })
}

/// Soon, and not all at the same moment.
pub(super) fn soon(call: &Call<'_>, id: &str) -> Time {
    let random = unit(mix(call.random, id, 0));
    (call.ctx.clock)().plus(BUSY_WAIT + BUSY_WAIT.mul_f64(random))
}

/// A number from 0 to 1.
pub(super) fn unit(random: u64) -> f64 {
    f64::from(u32::try_from(random >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

/// Another random number for each destination and try, from the one of the call (FNV-1a and the finaliser of SplitMix64).
pub(super) fn mix(random: u64, id: &str, n: u32) -> u64 {
    let mut x = random ^ u64::from(n);
    for byte in id.bytes() {
        x = (x ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
