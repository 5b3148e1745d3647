//! Durable timers: a case that stays in a stage, a source that falls silent, a playbook that runs too rarely.
//!
//! A timer is a mark in the store, written in the commit of what starts it, moves it or ends it; the order in which timers
//! are due is kept in memory, follows each commit, and is rebuilt when the engine starts. What a timer means when it is due
//! is decided by the writer, against the state of that moment: one that was cancelled meanwhile does nothing.
//!
//! Without playbooks that need timers there are no marks, and an event costs nothing more.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{Digest, Event, Kind, Object, ObjectKey, Time};
use playbook::{On, Playbook};
use serde::{Deserialize, Serialize};
use store::{Mark, Store};
use tokio::sync::{Notify, oneshot, watch};

use crate::set::Set;
use crate::shared::Shared;
use crate::writer::{Order, Orders, Tick};

/// The marks under which timers are kept.
pub(crate) const PREFIX: &str = "timer/";
/// Most timers that are handed to the writer before it is looked again what is due.
const AT_ONCE: usize = 256;
/// The longest sleep: a wake-up that was lost costs no more than this.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// What a timer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Waits {
    /// A case stays in a stage.
    Stage,
    /// A source says nothing.
    Silence,
    /// A playbook runs too rarely.
    Runs,
}

/// A timer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timer {
    /// What it waits for.
    pub(crate) waits: Waits,
    /// The playbook that it is for.
    pub(crate) playbook: String,
    /// What tells the trigger from the others of the playbook, and from what it was before it was edited.
    pub(crate) trigger: String,
    /// Since when.
    pub(crate) since: Time,
    /// When it is due; nothing when it has been, and waits to be started anew.
    pub(crate) due: Option<Time>,
    /// The case that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) case: Option<(String, String)>,
}

impl Timer {
    fn mark(&self, name: String) -> Mark {
        (name, serde_json::to_vec(self).ok())
    }

    /// The case that it is about.
    pub(crate) fn case_key(&self) -> Option<ObjectKey> {
        let (tenant, id) = self.case.clone()?;
        Some(ObjectKey { tenant, kind: Kind::Case, id })
    }

    /// The timer in a mark.
    pub(crate) fn read(mark: &[u8]) -> Option<Timer> {
        serde_json::from_slice(mark).ok()
    }

    /// The same timer, started anew.
    pub(crate) fn again(&self, since: Time, due: Option<Time>) -> Option<Vec<u8>> {
        serde_json::to_vec(&Timer { since, due, ..self.clone() }).ok()
    }
}

/// When timers are due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: Mutex<Due>,
    /// Woken when another timer is the first.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Due {
    ordered: BTreeSet<(Time, String)>,
    named: HashMap<String, Time>,
}

impl Timers {
    /// Follows marks that are durable: those of timers among them.
    pub(crate) fn follow<'m>(&self, marks: impl Iterator<Item = (&'m str, Option<&'m [u8]>)>) {
        for (name, value) in marks.filter(|(name, _)| name.starts_with(PREFIX)) {
            self.set(name, value.and_then(Timer::read).and_then(|timer| timer.due));
        }
    }

    fn set(&self, name: &str, due: Option<Time>) {
        let mut all = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = all.named.remove(name) {
            all.ordered.remove(&(before, name.to_owned()));
        }
        if let Some(due) = due {
            all.named.insert(name.to_owned(), due);
            all.ordered.insert((due, name.to_owned()));
            if all.ordered.first().is_some_and(|(_, first)| first == name) {
                self.changed.notify_one();
            }
        }
    }

    /// Those that are due, the one due first in front.
    fn ready(&self, now: Time) -> Vec<String> {
        let all = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        all.ordered.iter().take_while(|(due, _)| *due <= now).take(AT_ONCE).map(|(_, name)| name.clone()).collect()
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).ordered.first().map(|(due, _)| *due)
    }
}

/// Reads all timers from the store.
pub(crate) fn load(store: &dyn Store, timers: &Timers) -> Result<(), store::Error> {
    let marks = store.marks(PREFIX)?;
    timers.follow(marks.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice()))));
    Ok(())
}

/// Rings what is due until `stop` says otherwise.
pub(crate) async fn run(shared: Arc<Shared>, orders: Orders, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let next = turn(&shared, &orders).await;
        let sleep = next.map_or(SLEEP_MAX, |next| next.since(shared.store.now()).min(SLEEP_MAX));
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = shared.timers.changed.notified() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Rings what is due now; answers when the next is.
pub(crate) async fn turn(shared: &Arc<Shared>, orders: &Orders) -> Option<Time> {
    loop {
        let ready = shared.timers.ready(shared.store.now());
        if ready.is_empty() {
            return shared.timers.next();
        }
        // All of them are asked for before the first is answered, so that they share commits.
        let mut answers = Vec::with_capacity(ready.len());
        for name in ready {
            let (reply, answer) = oneshot::channel();
            if orders.send(Order::Tick(Box::new(Tick { timer: name.clone(), reply }))).await.is_err() {
                return None;
            }
            answers.push((name, answer));
        }
        let mut refused = false;
        for (name, answer) in answers {
            match answer.await {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => {
                    tracing::warn!(timer = name, %refusal, "a timer that is due could not be dealt with; it is tried again");
                    refused = true;
                }
                Err(_) => return None,
            }
        }
        if refused {
            return Some(shared.store.now().plus(SLEEP_MAX));
        }
    }
}

/// The timers that change when a case changes: those of the stage that it has left end, those of the one that it has
/// entered begin.
pub(crate) fn of_case(
    set: &Set,
    key: &ObjectKey,
    (before, after): (Option<&Object>, Option<&Object>),
    now: Time,
) -> Vec<Mark> {
    if !set.times_stages() || key.kind != Kind::Case {
        return Vec::new();
    }
    let stage = |object: Option<&Object>| object.and_then(|object| object.text("stage")).map(str::to_owned);
    let (before, after) = (stage(before), stage(after));
    if before == after {
        return Vec::new();
    }
    let name = |playbook: &Playbook, digest: &str| {
        let case = Digest::of(format!("{}\0{}", key.tenant, key.id).as_bytes()).to_string();
        format!("{PREFIX}stage/{}/{digest}/{}", playbook.id, case.get(..32).unwrap_or_default())
    };
    let mut marks = Vec::new();
    for (playbook, _, digest) in before.iter().flat_map(|stage| set.stage_timers(stage)) {
        marks.push((name(playbook, digest), None));
    }
    for (playbook, period, digest) in after.iter().flat_map(|stage| set.stage_timers(stage)) {
        if playbook.tenants.as_ref().is_some_and(|tenants| !tenants.contains(&key.tenant)) {
            continue;
        }
        let timer = Timer {
            waits: Waits::Stage,
            playbook: playbook.id.to_string(),
            trigger: digest.to_owned(),
            since: now,
            due: Some(now.plus(period)),
            case: Some((key.tenant.clone(), key.id.clone())),
        };
        marks.push(timer.mark(name(playbook, digest)));
    }
    marks
}

/// The timers that begin anew because a source has spoken.
pub(crate) fn of_source(set: &Set, event: &Event, now: Time) -> Vec<Mark> {
    let all = set.silence_timers(&event.source);
    all.map(|(playbook, period, digest)| silence(playbook, period, digest, now)).collect()
}

fn silence(playbook: &Playbook, period: Duration, digest: &str, now: Time) -> Mark {
    let timer = Timer {
        waits: Waits::Silence,
        playbook: playbook.id.to_string(),
        trigger: digest.to_owned(),
        since: now,
        due: Some(now.plus(period)),
        case: None,
    };
    timer.mark(format!("{PREFIX}silent/{}/{digest}", playbook.id))
}

/// What tells an `expect` from what it was before it was edited.
pub(crate) fn expect_digest(runs: u32, per: Duration) -> String {
    format!("{runs}-{}", per.as_millis())
}

/// The tally of the runs of a playbook that says how many it expects.
pub(crate) fn runs_tally(playbook: &str) -> String {
    format!("expect/{playbook}")
}

/// The timers that change when a set is put in force: silence and rarity are counted from then on; those that nobody
/// wants any more end.
pub(crate) fn begin(store: &dyn Store, set: &Set) -> Result<Vec<Mark>, store::Error> {
    let now = store.now();
    let mut wanted: HashMap<String, Mark> = HashMap::new();
    for playbook in set.playbooks() {
        for trigger in &playbook.triggers {
            if let On::SourceSilent { period, digest, .. } = &trigger.on {
                let mark = silence(playbook, *period, digest, now);
                wanted.insert(mark.0.clone(), mark);
            }
        }
        if let Some(expect) = &playbook.control.expect {
            let digest = expect_digest(expect.runs, expect.per);
            let timer = Timer {
                waits: Waits::Runs,
                playbook: playbook.id.to_string(),
                trigger: digest.clone(),
                since: now,
                due: Some(now.plus(expect.per)),
                case: None,
            };
            let mark = timer.mark(format!("{PREFIX}runs/{}/{digest}", playbook.id));
            wanted.insert(mark.0.clone(), mark);
        }
    }
    let mut marks = Vec::new();
    for prefix in ["silent/", "runs/"] {
        for (name, _) in store.marks(&format!("{PREFIX}{prefix}"))? {
            if wanted.remove(&name).is_none() {
                marks.push((name, None));
            }
        }
    }
    marks.extend(wanted.into_values());
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time::from_millis(second * 1000)
    }

    #[test]
    fn timers_are_due_in_their_order_and_a_moved_one_once() {
        let timers = Timers::default();
        timers.set("timer/b", Some(at(2)));
        timers.set("timer/a", Some(at(5)));
        timers.set("timer/c", Some(at(9)));
        assert_eq!(timers.next(), Some(at(2)));
        timers.set("timer/b", Some(at(6)));
        assert_eq!(timers.ready(at(6)), ["timer/a", "timer/b"]);
        timers.set("timer/a", None);
        timers.set("timer/b", None);
        assert_eq!((timers.ready(at(8)), timers.next()), (Vec::new(), Some(at(9))));
    }

    #[test]
    fn only_marks_of_timers_are_followed_and_one_that_has_rung_is_not_due() {
        let timer = Timer {
            waits: Waits::Silence,
            playbook: "p".into(),
            trigger: "t".into(),
            since: at(0),
            due: Some(at(7)),
            case: None,
        };
        let (rung, armed) = (timer.again(at(1), None).unwrap(), timer.again(at(1), Some(at(8))).unwrap());
        let timers = Timers::default();
        let marks = [("timer/x", Some(&armed[..])), ("timer/y", Some(&rung[..])), ("cursor/z", Some(&armed[..]))];
        timers.follow(marks.into_iter());
        assert_eq!((timers.next(), timers.ready(at(8)).len()), (Some(at(8)), 1));
        timers.follow([("timer/x", None)].into_iter());
        assert_eq!(timers.next(), None);
    }
}
