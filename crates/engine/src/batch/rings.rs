//! What comes due by itself: instants of schedules, and timers.
//!
//! What is due is looked at against the state of this moment: a schedule whose text was replaced, a case that has left the
//! stage and a timer that was moved do nothing.

use std::sync::Arc;
use std::time::Instant;

use model::record::{Kind, Record};
use model::{Event, Subject, Time, period};
use playbook::{On, Playbook};
use serde_json::{Value, json};

use super::Batch;
use crate::change::own_event;
use crate::decide::{self, Decided, Raised, View};
use crate::refusal::Refusal;
use crate::source::Raw;
use crate::timer::{self, Timer, Waits};
use crate::trigger::{Fit, PLAYBOOK_SILENT};
use crate::writer::{Fire, Tick};

fn failed(error: store::Error) -> Refusal {
    Refusal::from(&error)
}

impl Batch<'_> {
    /// An instant of a schedule, for each of its tenants.
    pub(super) fn fire(&mut self, fire: &Fire) -> Result<(), Refusal> {
        let (cursor, instant) = &fire.cursor;
        // A text that was replaced or taken away meanwhile has no say any more.
        if self.set.find(&fire.playbook.id).is_none_or(|loaded| loaded.digest != fire.playbook.digest) {
            return Ok(());
        }
        let text = self.mark(cursor)?;
        let passed = text.and_then(|text| Time::parse(std::str::from_utf8(&text).ok()?).ok());
        if passed.is_some_and(|passed| passed >= *instant) {
            return Ok(());
        }
        self.marks.insert(cursor.clone(), Some(instant.to_string().into_bytes()));
        let last = fire.tenants.len().saturating_sub(1);
        for (n, tenant) in fire.tenants.iter().enumerate() {
            let mut event = Event { tenant: tenant.clone(), ..fire.event.clone() };
            if last > 0 {
                event.own_id = event.own_id.map(|id| format!("{id}/{n}"));
            }
            if fire.starts {
                self.ring(event, &fire.playbook, &fire.fit)?;
            } else {
                let why = "the instant was missed and the schedule says `missed: skip`";
                let at = self.position();
                let raw = Raw::Bytes(bytes::Bytes::new());
                self.accept(&Arc::new(event), &raw, at, Decided::skipped(&fire.playbook, why))?;
            }
        }
        Ok(())
    }

    /// Decides for one playbook whose trigger is known to fit, and takes over what follows.
    fn ring(&mut self, event: Event, playbook: &Arc<Playbook>, fit: &Fit) -> Result<(), Refusal> {
        let at = self.position();
        let began = Instant::now();
        let spent = || self.shared.spent(began);
        let decided = decide::decide_one(&event, at.0, (playbook, fit), self, self.means(&spent)).map_err(failed)?;
        self.accept(&Arc::new(event), &Raw::Bytes(bytes::Bytes::new()), at, decided).map(drop)
    }

    /// A timer that is due.
    pub(super) fn tick(&mut self, tick: &Tick) -> Result<(), Refusal> {
        let timer = self.mark(&tick.timer)?.as_deref().and_then(Timer::read);
        let after = match timer {
            Some(timer) if timer.due.is_some_and(|due| due > self.now) => timer.again(timer.since, timer.due),
            Some(timer) => match timer.waits {
                Waits::Stage => {
                    self.stayed(&timer)?;
                    None
                }
                Waits::Silence => {
                    self.fell_silent(&timer)?;
                    timer.again(timer.since, None)
                }
                Waits::Runs => self.period_ended(&timer)?,
            },
            None => None,
        };
        self.marks.insert(tick.timer.clone(), after);
        Ok(())
    }

    /// The playbook of a timer and its trigger, if both are still there.
    fn trigger(&self, timer: &Timer, is: impl Fn(&On) -> bool) -> Option<(Arc<Playbook>, usize)> {
        let playbook = self.set.find(&timer.playbook)?;
        let index = playbook.triggers.iter().position(|trigger| is(&trigger.on))?;
        Some((Arc::clone(playbook), index))
    }

    /// A case has been in a stage for as long as a trigger waits.
    fn stayed(&mut self, timer: &Timer) -> Result<(), Refusal> {
        let is = |on: &On| matches!(on, On::InStage { digest, .. } if *digest == timer.trigger);
        let (Some((playbook, index)), Some(key)) = (self.trigger(timer, is), timer.case_key()) else { return Ok(()) };
        let On::InStage { stages, period: waited, .. } = &playbook.triggers[index].on else { return Ok(()) };
        let Some(case) = self.object(&key).map_err(failed)? else { return Ok(()) };
        let Some(stage) = case.text("stage").filter(|stage| stages.iter().any(|one| one == stage)) else {
            return Ok(());
        };
        let waited = period::format(*waited);
        let data = json!({ "stage": stage, "since": timer.since, "for": waited });
        let subject = Subject { kind: Kind::Case, id: key.id.clone(), fields: Arc::new(Record::new()) };
        let event = own_event("case.in_stage", key.tenant.clone(), data, (self.now, &[]));
        let event = Event { subject: Some(subject), ..event };
        let mut fit = fit(index, "case.in_stage", format!("{key} has been in {stage} for {waited}"), timer);
        fit.facts.insert("to".to_owned(), Value::from(stage));
        self.ring(event, &playbook, &fit)
    }

    /// A source has said nothing for as long as a trigger waits.
    fn fell_silent(&mut self, timer: &Timer) -> Result<(), Refusal> {
        let is = |on: &On| matches!(on, On::SourceSilent { digest, .. } if *digest == timer.trigger);
        let Some((playbook, index)) = self.trigger(timer, is) else { return Ok(()) };
        let On::SourceSilent { source, period: waited, .. } = &playbook.triggers[index].on else { return Ok(()) };
        let waited = period::format(*waited);
        let fit = fit(index, "source.silent", format!("{source} has sent nothing for {waited}"), timer);
        let data = json!({ "source": source, "since": timer.since, "for": waited });
        for tenant in self.shared.tenants_of(&playbook) {
            let event = own_event("source.silent", tenant, data.clone(), (self.now, &[]));
            self.ring(event, &playbook, &fit)?;
        }
        Ok(())
    }

    /// The period of a playbook that says how many runs it expects has ended; answers the timer of the next.
    fn period_ended(&mut self, timer: &Timer) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(playbook) = self.set.find(&timer.playbook).map(Arc::clone) else { return Ok(None) };
        let Some(expect) = playbook.control.expect else { return Ok(None) };
        if timer.trigger != timer::expect_digest(expect.runs, expect.per) {
            return Ok(None);
        }
        let end = timer.due.unwrap_or(self.now);
        let times = self.tally(&timer::runs_tally(&playbook.id), self.now).map_err(failed)?;
        let runs = times.iter().filter(|time| timer.since <= **time && **time < end).count();
        let meant = self.set.is_on(&playbook) && playbook.expires.is_none_or(|expires| self.now < expires);
        if meant && runs < expect.runs as usize {
            let tenant = self.shared.tenants_of(&playbook).into_iter().next().unwrap_or_default();
            let data = json!({
                "playbook": playbook.id, "runs": runs, "expected": expect.runs, "per": period::format(expect.per),
                "since": timer.since,
            });
            self.raise(&Raised { kind: PLAYBOOK_SILENT, tenant, data }, &[])?;
        }
        // What passed while nobody was there is one period, not many.
        let since = if self.now < end.plus(expect.per) { end } else { self.now };
        Ok(timer.again(since, Some(since.plus(expect.per))))
    }
}

fn fit(index: usize, kind: &str, reason: String, timer: &Timer) -> Fit {
    let mut facts = Record::new();
    facts.insert("kind".to_owned(), Value::from(kind));
    facts.insert("since".to_owned(), Value::from(timer.since.to_string()));
    Fit { index, facts, reason, silence: None, uses_up: None }
}
