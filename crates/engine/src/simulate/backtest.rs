//! Playbooks over past events: what would have been decided and sent, with the events' own times as the clock.
//!
//! Deciding is [`decide::decide`] itself, over a state that is rebuilt on the way and kept in plain maps: nothing is stored,
//! so that a hundred thousand events are a matter of seconds. What a would-run sends is followed by `simulate::sends`;
//! would-runs change nothing.
//!
//! Invariants: the clock never goes back; the same events come out the same to the byte.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::record::Vocabulary;
use model::{Change, Decision, Event, Object, ObjectKey, Record, Seq, Time, Transition, object};
use playbook::Evaluator;
use serde_json::Value;

use super::sends::{self, WouldSend};
use crate::decide::{self, Decided, Means, Position, View};
use crate::outbound::Destinations;
use crate::set::Set;
use crate::triage::Triage;

/// What playbooks are tried with.
pub struct Setup {
    /// The playbooks.
    pub set: Set,
    /// What answers conditions.
    pub evaluator: Evaluator,
    /// Stages and close reasons.
    pub words: Vocabulary,
    /// What the team has said about its alerts and cases.
    pub triage: Triage,
    /// The destinations.
    pub destinations: Destinations,
}

/// What would have followed from one event.
#[derive(Debug)]
pub struct Told {
    /// When it was.
    pub time: Time,
    /// The decisions, one for each playbook that listens.
    pub decisions: Vec<Decision>,
    /// What would have been sent.
    pub would_send: Vec<WouldSend>,
}

/// A back-test.
pub struct Backtest {
    setup: Setup,
    state: State,
    seq: Seq,
    now: Time,
}

/// The state that is rebuilt on the way.
#[derive(Default)]
pub(super) struct State {
    objects: HashMap<ObjectKey, Arc<Object>>,
    windows: RefCell<HashMap<String, Time>>,
    tallies: HashMap<String, (Vec<Time>, Time)>,
    marks: HashMap<String, Vec<u8>>,
}

impl View for State {
    fn object(&self, key: &ObjectKey) -> Result<Option<Arc<Object>>, store::Error> {
        Ok(self.objects.get(key).cloned())
    }

    fn window(&self, key: &str, now: Time) -> Result<Option<Time>, store::Error> {
        Ok(self.windows.borrow().get(key).copied().filter(|until| now < *until))
    }

    fn tally(&self, key: &str, now: Time) -> Result<Vec<Time>, store::Error> {
        let known = self.tallies.get(key).filter(|(_, until)| now < *until);
        Ok(known.map(|(times, _)| times.clone()).unwrap_or_default())
    }

    fn mark(&self, name: &str) -> Result<Option<Vec<u8>>, store::Error> {
        Ok(self.marks.get(name).cloned())
    }
}

impl State {
    /// Claims a window; `false` when it is silent.
    pub(super) fn claim(&self, key: String, now: Time, until: Time) -> bool {
        let mut windows = self.windows.borrow_mut();
        if windows.get(&key).is_some_and(|known| now < *known) {
            return false;
        }
        windows.insert(key, until);
        true
    }

    /// Takes over what follows from an event.
    fn take(&mut self, decided: &mut Decided) {
        if let Some((key, object)) = decided.object.take() {
            self.objects.insert(key, Arc::new(object));
        }
        let windows = self.windows.get_mut();
        for window in decided.windows.drain(..) {
            match window.until {
                Some(until) => windows.insert(window.key, until),
                None => windows.remove(&window.key),
            };
        }
        for tally in decided.tallies.drain(..) {
            self.tallies.insert(tally.key, (tally.times, tally.until));
        }
        for (name, value) in decided.marks.drain(..) {
            match value {
                Some(value) => self.marks.insert(name, value),
                None => self.marks.remove(&name),
            };
        }
    }
}

impl Backtest {
    /// Nothing has happened yet.
    pub fn new(setup: Setup) -> Backtest {
        let setup = Setup { evaluator: setup.evaluator.untimed(), ..setup };
        Backtest { setup, state: State::default(), seq: Seq(1), now: Time::from_millis(0) }
    }

    /// The playbooks.
    pub fn set(&self) -> &Set {
        &self.setup.set
    }

    /// What was known of an object before the first event about it, as the history tells it: a change needs something that
    /// it changes. What is known already stays.
    pub fn seed(&mut self, event: &Event, transitions: &[Transition]) {
        let Some(key) = event.object().filter(|key| !self.state.objects.contains_key(key)) else { return };
        if let Some(record) = before(transitions, &key) {
            let object = Object { record: Arc::new(record), meta: object::Meta::default() };
            self.state.objects.insert(key, Arc::new(object));
        }
    }

    /// The next event. `time` is when it was; a time before that of the one before counts as that one's.
    ///
    /// # Errors
    /// Never in practice: a state in memory can always be read.
    pub fn event(&mut self, event: &Event, time: Time) -> Result<Told, store::Error> {
        self.now = self.now.max(time);
        let at = Position { seq: self.seq, tag: 0, now: self.now };
        let spent = || Duration::ZERO;
        let Setup { set, evaluator, words, triage, destinations } = &self.setup;
        let means = Means { set, evaluator, closed_stage: words.closed(), triage, spent: &spent };
        let mut decided = decide::decide(event, at, &self.state, means)?;
        let runs = std::mem::take(&mut decided.runs);
        let mut decisions = std::mem::take(&mut decided.decisions);
        let object = decided.object.as_ref().map(|(_, object)| object);
        decide::fill(&mut decisions, &decided.listening, set, event, &decided.transitions, object);
        self.state.take(&mut decided);
        let mut would_send = Vec::new();
        for start in &runs {
            if let Some(playbook) = set.find(&start.playbook) {
                let sends = sends::Sends { state: &self.state, evaluator, destinations, now: self.now };
                sends.of(playbook, start, event, &mut would_send)?;
            }
        }
        self.seq = self.seq.next();
        Ok(Told { time: self.now, decisions, would_send })
    }
}

/// The fields that transitions say an object had before; nothing when it was created.
fn before(transitions: &[Transition], key: &ObjectKey) -> Option<Record> {
    let mut record = Record::new();
    for transition in transitions.iter().filter(|transition| transition.object == *key) {
        match &transition.change {
            Change::Created => return None,
            Change::Updated { previous, .. } => record.extend(previous.clone()),
            Change::StageChanged { from, .. } => {
                record.insert("stage".to_owned(), Value::from(from.as_str()));
            }
            Change::PriorityChanged { from: Some(from), .. } => {
                record.insert("priority".to_owned(), Value::from(from.as_str()));
            }
            Change::ScoreMoved { score, from: Some(from), .. } if score == "risk" => {
                record.insert("risk_score".to_owned(), Value::from(*from));
            }
            Change::ScoreMoved { score, from: Some(from), .. } => {
                let scores = record.entry("scores").or_insert_with(|| Value::Object(Record::new()));
                if let Some(scores) = scores.as_object_mut() {
                    scores.insert(score.clone(), Value::from(*from));
                }
            }
            Change::PriorityChanged { from: None, .. } | Change::ScoreMoved { from: None, .. } => {}
        }
    }
    if record.is_empty() {
        return None;
    }
    record.insert("id".to_owned(), Value::from(key.id.as_str()));
    Some(record)
}
