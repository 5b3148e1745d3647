//! What a playbook's own bounds say to one more run: `dedupe`, `throttle`, `fuse`, `concurrency`, in this order.
//!
//! Nothing is used up by a run that is not started. Keys are told apart by tenant; a fuse is one for the whole playbook.

use std::time::Duration;

use model::run::Gate;
use model::{Digest, Time, Verdict, period};
use playbook::{Budget, Concurrency, Dedupe, Expression, Playbook, Rate, Scope, Span, Throttle, WhenFull};
use serde_json::{Value, json};
use store::{Tally, Window};

use super::{Means, Raised, View};
use crate::timer;

/// The longest key that stands in a name as it is, in bytes; a longer one stands as its digest.
const PLAIN_KEY_BYTES_MAX: usize = 120;
/// The type of the event that says that a fuse has blown.
pub const FUSE_BLOWN: &str = "playbook.fuse_blown";

/// Until when a playbook's fuse has blown, if it has at `now`.
///
/// # Errors
/// [`store::Error`] when the store fails.
pub fn fuse_blown(store: &dyn store::Store, playbook: &str, now: Time) -> Result<Option<Time>, store::Error> {
    store.window(&alarm_window(playbook), now)
}

/// The window in which a blown fuse raises no second alarm: as long as it stays blown.
fn alarm_window(playbook: &str) -> String {
    format!("fuse-blown/{playbook}")
}

/// What a run takes up when it is started.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) windows: Vec<Window>,
    pub(super) tallies: Vec<Tally>,
    pub(super) gate: Option<Gate>,
    /// Why it waits, when it does.
    pub(super) waits: Option<String>,
}

/// Why there is no run, and what is raised because of that.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) at: Span,
    pub(super) windows: Vec<Window>,
    pub(super) raised: Option<Raised>,
}

impl Held {
    fn new(verdict: Verdict, reason: String, at: Span) -> Held {
        Held { verdict, reason, at, windows: Vec::new(), raised: None }
    }
}

/// One more run of a playbook, and what there is to be asked.
pub(super) struct Bounds<'a> {
    pub(super) playbook: &'a Playbook,
    pub(super) tenant: &'a str,
    pub(super) now: Time,
    pub(super) view: &'a dyn View,
    pub(super) means: Means<'a>,
    pub(super) scope: &'a Scope,
}

/// A bound says yes, no, or cannot be asked.
type Asked = Result<Result<(), Box<Held>>, store::Error>;

macro_rules! pass {
    ($asked:expr) => {
        if let Err(held) = $asked? {
            return Ok(Err(held));
        }
    };
}

impl Bounds<'_> {
    /// Asks all of them.
    pub(super) fn ask(&self) -> Result<Result<Taken, Box<Held>>, store::Error> {
        let control = &self.playbook.control;
        let mut taken = Taken::default();
        if let Some(dedupe) = &control.dedupe {
            pass!(self.dedupe(dedupe, &mut taken));
        }
        if let Some(throttle) = &control.throttle {
            pass!(self.throttle(throttle, &mut taken));
        }
        if let Some(fuse) = &control.fuse {
            pass!(self.fuse(fuse, &mut taken));
        }
        if let Some(concurrency) = control.concurrency.as_ref().filter(|_| !control.observe) {
            pass!(self.concurrency(concurrency, &mut taken));
        }
        if let Some(expect) = &control.expect {
            taken.tallies.push(self.expected(expect)?);
        }
        Ok(Ok(taken))
    }

    fn dedupe(&self, dedupe: &Dedupe, taken: &mut Taken) -> Asked {
        let key = match self.key("dedupe", dedupe.key.as_ref(), dedupe.span) {
            Ok(key) => key,
            Err(held) => return Ok(Err(held)),
        };
        if let Some(until) = self.view.window(&key.name, self.now)? {
            let reason = format!("a run{} was started before; silent until {until}", key.for_people());
            return Ok(Err(Box::new(Held::new(Verdict::Deduplicated, reason, dedupe.span))));
        }
        taken.windows.push(Window { key: key.name, until: Some(self.now.plus(dedupe.window)) });
        Ok(Ok(()))
    }

    fn throttle(&self, throttle: &Throttle, taken: &mut Taken) -> Asked {
        let key = match self.key("throttle", throttle.key.as_ref(), throttle.span) {
            Ok(key) => key,
            Err(held) => return Ok(Err(held)),
        };
        let times = self.recent(&key.name, throttle.per)?;
        if let Some(again) = next_room(&times, throttle.count, throttle.per) {
            let (count, per) = (runs(times.len()), period::format(throttle.per));
            let reason = format!("{count}{} started within {per}; the next from {again}", key.for_people());
            return Ok(Err(Box::new(Held::new(Verdict::Throttled, reason, throttle.span))));
        }
        taken.tallies.push(self.one_more(key.name, times, throttle.per));
        Ok(Ok(()))
    }

    fn fuse(&self, fuse: &Rate, taken: &mut Taken) -> Asked {
        let name = self.name(format!("fuse/{}", self.playbook.id));
        let times = self.recent(&name, fuse.per)?;
        let Some(again) = next_room(&times, fuse.runs, fuse.per) else {
            taken.tallies.push(self.one_more(name, times, fuse.per));
            return Ok(Ok(()));
        };
        let per = period::format(fuse.per);
        let reason =
            format!("the fuse has blown: {} started within {per}; it holds again from {again}", runs(times.len()));
        let mut held = Held::new(Verdict::Throttled, reason, fuse.span);
        let alarm = alarm_window(&self.playbook.id);
        if !self.playbook.control.observe && self.view.window(&alarm, self.now)?.is_none() {
            held.windows.push(Window { key: alarm, until: Some(again) });
            let data = json!({ "playbook": self.playbook.id, "runs": times.len(), "per": per, "until": again });
            held.raised = Some(Raised { kind: FUSE_BLOWN, tenant: self.tenant.to_owned(), data });
        }
        Ok(Err(Box::new(held)))
    }

    fn concurrency(&self, limit: &Concurrency, taken: &mut Taken) -> Asked {
        let key = match self.key("concurrency", limit.key.as_ref(), limit.span) {
            Ok(key) => key,
            Err(held) => return Ok(Err(held)),
        };
        let open = self.view.group(&key.name)?.len();
        let full = open >= limit.max as usize;
        if full && limit.when_full == WhenFull::Skip {
            let reason = format!("{}, and no more may be at work", not_ended(open, &key));
            return Ok(Err(Box::new(Held::new(Verdict::Skipped, reason, limit.span))));
        }
        if full && limit.when_full == WhenFull::Queue {
            let before = not_ended(open, &key);
            taken.waits = Some(format!("it waits: {before}, and at most {} may be at work", limit.max));
        }
        let evicts = limit.when_full == WhenFull::CancelOldest;
        taken.gate = Some(Gate { group: key.name, max: limit.max, evicts });
        Ok(Ok(()))
    }

    /// One more run of those that are expected. They are looked at after the end of their period, so that they are kept for
    /// another one.
    fn expected(&self, expect: &Rate) -> Result<Tally, store::Error> {
        let name = timer::runs_tally(&self.playbook.id);
        let kept = expect.per.saturating_mul(2);
        let mut tally = self.one_more(name.clone(), self.recent(&name, kept)?, kept);
        let over = tally.times.len().saturating_sub(expect.runs as usize);
        tally.times.drain(..over);
        Ok(tally)
    }

    /// What is observed takes nothing away from what acts: when the playbook is switched to `act` it begins afresh.
    fn name(&self, name: String) -> String {
        observed(self.playbook, name)
    }

    /// The name under which a bound keeps what belongs to the value of its key.
    fn key(&self, bound: &str, key: Option<&Expression>, at: Span) -> Result<Key, Box<Held>> {
        let (id, tenant) = (&self.playbook.id, self.tenant);
        let Some(expression) = key else {
            return Ok(Key { name: self.name(format!("{bound}/{id}/{tenant}/")), value: None });
        };
        let failed = |reason: String, at: Span| Box::new(Held::new(Verdict::Failed, reason, at));
        match value_of(expression, self.means, self.scope) {
            Ok(Some(value)) => {
                Ok(Key { name: self.name(format!("{bound}/{id}/{tenant}/{}", plain(&value))), value: Some(value) })
            }
            Ok(None) => Err(failed(format!("the key of `{bound}`, `{}`, is absent", expression.source()), at)),
            Err((reason, at)) => Err(failed(format!("the key of `{bound}`: {reason}"), at)),
        }
    }

    /// The times of a tally that still count.
    fn recent(&self, name: &str, per: Duration) -> Result<Vec<Time>, store::Error> {
        let mut times = self.view.tally(name, self.now)?;
        times.retain(|time| self.now < time.plus(per));
        Ok(times)
    }

    fn one_more(&self, key: String, mut times: Vec<Time>, per: Duration) -> Tally {
        times.push(self.now);
        Tally { key, times, until: self.now.plus(per) }
    }
}

/// The name under which something is kept for a playbook, in the mode that it is in.
pub(super) fn observed(playbook: &Playbook, name: String) -> String {
    if playbook.control.observe { format!("observe/{name}") } else { name }
}

/// What belongs together, and where it is kept.
struct Key {
    name: String,
    value: Option<String>,
}

impl Key {
    fn for_people(&self) -> String {
        self.value.as_ref().map_or_else(String::new, |value| format!(" for `{value}`"))
    }
}

/// The value of a key as text; nothing when it is absent.
pub(super) fn value_of(
    expression: &Expression,
    means: Means<'_>,
    scope: &Scope,
) -> Result<Option<String>, (String, Span)> {
    match expression.value(means.evaluator, scope, Budget::WHEN) {
        Ok(Value::Null) => Ok(None),
        Ok(Value::String(text)) => Ok(Some(text)),
        Ok(other) => Ok(Some(other.to_string())),
        Err(error) => Err((format!("{} ({})", error.message, error.code), error.at)),
    }
}

/// A key as part of a name.
pub(super) fn plain(value: &str) -> String {
    if value.len() <= PLAIN_KEY_BYTES_MAX { value.to_owned() } else { Digest::of(value.as_bytes()).to_string() }
}

/// When there is room again for one more; nothing when there is room.
fn next_room(times: &[Time], most: u32, per: Duration) -> Option<Time> {
    let over = times.len().checked_sub(most as usize)?;
    times.get(over).map(|time| time.plus(per))
}

fn runs(count: usize) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{count} runs") }
}

fn not_ended(count: usize, key: &Key) -> String {
    format!("{}{} {} not ended", runs(count), key.for_people(), if count == 1 { "has" } else { "have" })
}
