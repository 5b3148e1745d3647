//! A state in memory, and events that are decided over it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use engine::Set;
use engine::decide::{Means, Position, Raised, View, decide};
use model::event::Actor;
use model::record::Vocabulary;
use model::{Event, Kind, Object, ObjectKey, RunId, Seq, Subject, Time};
use playbook::{Evaluator, Source};
use serde_json::{Value, json};
use store::Tally;

/// A state in memory that follows the decisions.
#[derive(Default)]
pub(crate) struct State {
    objects: RefCell<HashMap<ObjectKey, Arc<Object>>>,
    windows: RefCell<HashMap<String, Time>>,
    tallies: RefCell<HashMap<String, Tally>>,
    /// The open runs of each group.
    pub(crate) groups: RefCell<HashMap<String, Vec<RunId>>>,
    /// The alarms so far.
    pub(crate) raised: RefCell<Vec<Raised>>,
}

impl View for State {
    fn object(&self, key: &ObjectKey) -> Result<Option<Arc<Object>>, store::Error> {
        Ok(self.objects.borrow().get(key).cloned())
    }

    fn window(&self, key: &str, now: Time) -> Result<Option<Time>, store::Error> {
        Ok(self.windows.borrow().get(key).copied().filter(|until| now < *until))
    }

    fn tally(&self, key: &str, now: Time) -> Result<Vec<Time>, store::Error> {
        let tallies = self.tallies.borrow();
        Ok(tallies.get(key).filter(|tally| now < tally.until).map(|tally| tally.times.clone()).unwrap_or_default())
    }

    fn group(&self, group: &str) -> Result<Vec<RunId>, store::Error> {
        Ok(self.groups.borrow().get(group).cloned().unwrap_or_default())
    }
}

pub(crate) struct Scene {
    pub(crate) set: Set,
    evaluator: Evaluator,
    pub(crate) state: State,
    seq: u64,
}

impl Scene {
    pub(crate) fn new(playbooks: &[&str]) -> Scene {
        let evaluator = Evaluator::uncounted();
        let catalog = engine::catalog(None, Vocabulary::default(), None, None);
        let compiled = playbooks.iter().enumerate().map(|(n, text)| {
            let source = Source { file: format!("p{n}.yaml").into(), text: (*text).to_owned() };
            match playbook::compile(&source, &catalog, &evaluator) {
                Ok(playbook) => Arc::new(playbook),
                Err(found) => panic!("{}", found.iter().map(|d| d.render(false)).collect::<String>()),
            }
        });
        Scene { set: Set::new(compiled.collect(), BTreeSet::new()), evaluator, state: State::default(), seq: 0 }
    }

    /// Decides one event at this minute; answers `playbook verdict` for each decision.
    pub(crate) fn at(&mut self, minute: u64, event: Event) -> Vec<String> {
        self.decided(minute, event).0
    }

    /// The same, and the reasons.
    pub(crate) fn decided(&mut self, minute: u64, mut event: Event) -> (Vec<String>, Vec<String>) {
        (event.time, event.received) = (minutes(minute), minutes(minute));
        self.decided_as_is(event)
    }

    /// The same for an event that says itself when it happened and when it arrived.
    pub(crate) fn decided_as_is(&mut self, event: Event) -> (Vec<String>, Vec<String>) {
        self.seq += 1;
        let now = event.received;
        let means = Means {
            set: &self.set,
            evaluator: &self.evaluator,
            closed_stage: "Closed",
            triage: engine::triage::Triage::none(),
            spent: &|| Duration::ZERO,
        };
        let at = Position { seq: Seq(self.seq), tag: 1, now };
        let decided = decide(&event, at, &self.state, means).unwrap();
        if let Some((key, object)) = decided.object {
            self.state.objects.borrow_mut().insert(key, Arc::new(object));
        }
        for window in decided.windows {
            self.state.windows.borrow_mut().insert(window.key, window.until.unwrap());
        }
        for tally in decided.tallies {
            self.state.tallies.borrow_mut().insert(tally.key.clone(), tally);
        }
        for run in &decided.runs {
            if let Some(gate) = &run.gate {
                self.state.groups.borrow_mut().entry(gate.group.clone()).or_default().push(run.id);
            }
        }
        self.state.raised.borrow_mut().extend(decided.raised);
        let said = decided.decisions.iter().map(|d| format!("{} {}", d.playbook, d.verdict.name())).collect();
        (said, decided.decisions.iter().map(|d| d.reason.to_string()).collect())
    }
}

/// So many minutes after the beginning of time.
pub(crate) fn minutes(minute: u64) -> Time {
    Time::EPOCH.plus(Duration::from_secs(60 * minute))
}

pub(crate) fn event(kind: &str, subject: Kind, id: &str, fields: Value) -> Event {
    let Value::Object(fields) = fields else { panic!("an object") };
    Event {
        source: "generic".to_owned(),
        kind: kind.to_owned(),
        own_id: None,
        time: Time::EPOCH,
        received: Time::EPOCH,
        tenant: "default".to_owned(),
        actor: Actor::Source("generic".to_owned()),
        subject: Some(Subject { kind: subject, id: id.to_owned(), fields: Arc::new(fields) }),
        from: None,
        data: Value::Null,
        replay: None,
        chain: Vec::new(),
        warnings: Vec::new(),
        first_sight_creates: false,
    }
}

pub(crate) fn host(urgency: f64) -> Event {
    let fields = json!({ "kind": "host", "id": "ws-17", "scores": { "urgency": urgency } });
    event("entity.score", Kind::Entity, "host/ws-17", fields)
}

pub(crate) fn case(kind: &str, fields: Value) -> Event {
    event(kind, Kind::Case, "C-1", fields)
}
