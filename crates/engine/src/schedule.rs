//! Schedules: which instants are due, and what is done about those that were missed.
//!
//! Each schedule has a cursor in the store, the last instant that it has dealt with. The cursor moves in the same commit
//! that records the instant's event and run, so that a crash neither doubles nor forgets one. The cursor's name holds a
//! digest of expression and zone: a new or edited schedule starts at the present and has no past.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::event::Actor;
use model::object::OURS;
use model::record::Record;
use model::{Digest, Event, Time, limits};
use playbook::{Missed, On, Playbook, Schedule};
use serde_json::{Value, json};
use store::Store;
use tokio::sync::{oneshot, watch};

use crate::set::Set;
use crate::shared::Shared;
use crate::trigger::Fit;
use crate::writer::{Fire, Order, Orders};

/// How late an instant may be and still be on time: longer than any commit, shorter than any restart.
const LATE_MAX: Duration = Duration::from_secs(30);
/// How far the first look back for missed instants goes: a hundred instants of a schedule that is due each second.
const FIRST_LOOK: Duration = Duration::from_secs(limits::SCHEDULE_CATCH_UP_MAX as u64);
/// The mark under which the cursors of schedules are kept.
pub(crate) const CURSOR_PREFIX: &str = "cursor/";
/// The longest sleep: a changed set or clock is noticed after this.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// One schedule of one playbook.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    playbook: Arc<Playbook>,
    index: usize,
    schedule: Schedule,
    /// The name of its cursor.
    pub cursor: String,
}

/// All schedules of a set.
pub(crate) fn entries(set: &Set) -> Vec<Entry> {
    let mut all = Vec::new();
    for playbook in set.playbooks() {
        for (index, trigger) in playbook.triggers.iter().enumerate() {
            if let On::Schedule(schedule) = &trigger.on {
                let digest = Digest::of(format!("{}\0{}", schedule.cron, schedule.timezone).as_bytes()).to_string();
                let cursor = format!("{CURSOR_PREFIX}{}/{}", playbook.id, &digest[..16]);
                all.push(Entry { playbook: Arc::clone(playbook), index, schedule: schedule.clone(), cursor });
            }
        }
    }
    all
}

/// The cursors that change when a set is put in force: schedules that are new start now, those that are gone leave
/// nothing, so that they are new when they come back.
pub(crate) fn cursors(store: &dyn Store, set: &Set) -> Result<Vec<store::Mark>, store::Error> {
    let now = store.now();
    let wanted: BTreeSet<String> = entries(set).into_iter().map(|entry| entry.cursor).collect();
    let known: BTreeSet<String> = store.marks(CURSOR_PREFIX)?.into_iter().map(|(name, _)| name).collect();
    let begin = wanted.difference(&known).map(|name| (name.clone(), Some(now.to_string().into_bytes())));
    let end = known.difference(&wanted).map(|name| (name.clone(), None));
    Ok(begin.chain(end).collect())
}

/// The instants after `cursor` up to `now`, the last [`limits::SCHEDULE_CATCH_UP_MAX`] of them. It looks back further and
/// further, so that a year away costs no more than a day.
fn instants(schedule: &Schedule, cursor: Time, now: Time) -> Vec<Time> {
    let mut window = FIRST_LOOK;
    loop {
        let from = cursor.max(now.minus(window));
        let mut found = VecDeque::new();
        let mut at = from;
        while let Some(next) = schedule.next_after(at).filter(|next| *next <= now) {
            found.push_back(next);
            at = next;
            if found.len() > limits::SCHEDULE_CATCH_UP_MAX {
                found.pop_front();
            }
        }
        if from == cursor || found.len() == limits::SCHEDULE_CATCH_UP_MAX {
            return found.into();
        }
        window = window.saturating_mul(4);
    }
}

/// What is due for one schedule: instants with whether they start a run. Pure.
pub(crate) fn due(schedule: &Schedule, cursor: Time, now: Time) -> Vec<(Time, bool)> {
    let instants = instants(schedule, cursor, now);
    let Some(last) = instants.last().copied() else { return Vec::new() };
    let on_time = |instant: Time| now.since(instant) <= LATE_MAX;
    match schedule.missed {
        Missed::All => instants.into_iter().map(|instant| (instant, true)).collect(),
        Missed::Latest => vec![(last, true)],
        Missed::Skip => {
            let timely: Vec<(Time, bool)> = instants.into_iter().filter(|i| on_time(*i)).map(|i| (i, true)).collect();
            if timely.is_empty() { vec![(last, false)] } else { timely }
        }
    }
}

/// Fires what is due until `stop` says otherwise.
pub(crate) async fn run(shared: Arc<Shared>, orders: Orders, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let sleep = match turn(&shared, &orders).await {
            Some(next) => next.since(shared.store.now()).min(SLEEP_MAX),
            None => SLEEP_MAX,
        };
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Fires what is due now; answers when the next instant is.
pub(crate) async fn turn(shared: &Arc<Shared>, orders: &Orders) -> Option<Time> {
    let set = shared.set();
    let now = shared.store.now();
    let mut soonest: Option<Time> = None;
    for entry in entries(&set) {
        let cursor = match shared.store.mark(&entry.cursor) {
            Ok(Some(text)) => std::str::from_utf8(&text).ok().and_then(|text| Time::parse(text).ok()),
            Ok(None) => None,
            Err(error) => {
                tracing::error!(%error, "a schedule's cursor cannot be read");
                continue;
            }
        };
        // Loading a set gives every schedule a cursor in the same commit.
        let Some(cursor) = cursor else { continue };
        for (instant, starts) in due(&entry.schedule, cursor, now) {
            if !fire(shared, orders, &entry, instant, starts).await {
                break;
            }
        }
        if let Some(next) = entry.schedule.next_after(now) {
            soonest = Some(soonest.map_or(next, |soonest| soonest.min(next)));
        }
    }
    soonest
}

async fn fire(shared: &Shared, orders: &Orders, entry: &Entry, instant: Time, starts: bool) -> bool {
    let (reply, answer) = oneshot::channel();
    let mut facts = Record::new();
    facts.insert("kind".to_owned(), Value::from("schedule"));
    facts.insert("scheduled".to_owned(), Value::from(instant.to_string()));
    let fit = Fit {
        index: entry.index,
        facts,
        reason: format!("schedule `{}` ({}) at {instant}", entry.schedule.cron, entry.schedule.timezone),
        silence: None,
        uses_up: None,
    };
    let event = Event {
        source: OURS.to_owned(),
        kind: "schedule.fired".to_owned(),
        own_id: Some(format!("schedule/{}/{}/{instant}", entry.playbook.id, entry.index)),
        time: instant,
        received: shared.store.now(),
        tenant: String::new(),
        actor: Actor::System,
        subject: None,
        from: None,
        data: json!({ "playbook": entry.playbook.id, "scheduled": instant }),
        replay: None,
        chain: Vec::new(),
        warnings: Vec::new(),
        first_sight_creates: false,
    };
    let cursor = (entry.cursor.clone(), instant);
    let tenants = shared.tenants_of(&entry.playbook);
    let order = Fire { event, tenants, playbook: Arc::clone(&entry.playbook), fit, cursor, starts, reply };
    if orders.send(Order::Fire(Box::new(order))).await.is_err() {
        return false;
    }
    match answer.await {
        Ok(Ok(())) => true,
        Ok(Err(refusal)) => {
            tracing::warn!(playbook = %entry.playbook.id, %instant, %refusal, "a schedule's instant could not be recorded; it is tried again");
            false
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(missed: Missed) -> Schedule {
        Schedule::new("*/10 * * * *", "UTC", missed).unwrap()
    }

    fn at(text: &str) -> Time {
        Time::parse(text).unwrap()
    }

    #[test]
    fn an_instant_on_time_starts_one_run_whatever_the_policy() {
        for missed in [Missed::Skip, Missed::Latest, Missed::All] {
            let due = due(&schedule(missed), at("2026-01-01T00:00:00Z"), at("2026-01-01T00:10:01Z"));
            assert_eq!(due, [(at("2026-01-01T00:10:00Z"), true)]);
        }
    }

    #[test]
    fn after_an_hour_away_the_policies_differ() {
        let (cursor, now) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T01:05:00Z"));
        let last = at("2026-01-01T01:00:00Z");
        assert_eq!(due(&schedule(Missed::Latest), cursor, now), [(last, true)]);
        assert_eq!(due(&schedule(Missed::Skip), cursor, now), [(last, false)]);
        assert_eq!(due(&schedule(Missed::All), cursor, now).len(), 6);
    }

    #[test]
    fn catching_up_has_a_limit_and_keeps_the_latest() {
        let due = due(&schedule(Missed::All), at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z"));
        assert_eq!(due.len(), limits::SCHEDULE_CATCH_UP_MAX);
        assert_eq!(due.last().unwrap().0, at("2026-02-01T00:00:00Z"));
    }

    #[test]
    fn a_year_away_from_a_schedule_of_each_second_costs_no_more_than_a_day() {
        let schedule = Schedule::new("* * * * * *", "UTC", Missed::All).unwrap();
        let due = due(&schedule, at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
        assert_eq!(due.len(), limits::SCHEDULE_CATCH_UP_MAX);
        assert_eq!(due[0].0, at("2025-12-31T23:58:21Z"));
        assert_eq!(due.last().unwrap().0, at("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn a_rare_schedule_is_found_however_long_ago_it_was_due() {
        let schedule = Schedule::new("0 0 1 1 *", "UTC", Missed::Latest).unwrap();
        let due = due(&schedule, at("2020-06-01T00:00:00Z"), at("2026-06-01T00:00:00Z"));
        assert_eq!(due, [(at("2026-01-01T00:00:00Z"), true)]);
    }

    #[test]
    fn nothing_is_due_twice() {
        let now = at("2026-01-01T00:10:01Z");
        assert!(due(&schedule(Missed::All), at("2026-01-01T00:10:00Z"), now).is_empty());
    }
}
