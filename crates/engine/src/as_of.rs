//! Alerts, cases and entities as they stood at a place of the history: their events are applied again, from the first that is
//! kept on.
//!
//! It only explains; what is decided looks at the state as it is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use model::history::EntryKind;
use model::triage::Rules;
use model::{Change, Object, ObjectKey, Record, Seq, Time, Transition, object};
use serde_json::Value;
use store::Store;

use crate::decide::View;
use crate::record;

/// Most events of one object that are applied again; of more, the last ones.
const EVENTS_MAX: usize = 2_000;

/// The state as it stood behind an entry.
pub(crate) struct AsOf<'a> {
    store: &'a dyn Store,
    /// The entry: what it changed is part of the state.
    at: Seq,
    closed_stage: &'a str,
    rules: &'a Rules,
    known: RefCell<HashMap<ObjectKey, Option<Arc<Object>>>>,
}

impl<'a> AsOf<'a> {
    pub(crate) fn new(store: &'a dyn Store, at: Seq, closed_stage: &'a str, rules: &'a Rules) -> AsOf<'a> {
        AsOf { store, at, closed_stage, rules, known: RefCell::default() }
    }

    fn fold(&self, key: &ObjectKey) -> Result<Option<Object>, store::Error> {
        let Some(now) = self.store.object(key)? else { return Ok(None) };
        let mut entries = now.meta.entries.clone();
        for first in now.meta.blocks.iter().rev() {
            if entries.len() >= EVENTS_MAX {
                break;
            }
            entries.extend(self.store.object_block(key, *first)?);
        }
        entries.sort_unstable();
        entries.dedup();
        entries.retain(|seq| *seq <= self.at);
        let skipped = entries.len().saturating_sub(EVENTS_MAX);
        let mut state: Option<Object> = None;
        for seq in entries.into_iter().skip(skipped) {
            let Some(entry) = self.store.entry(seq)?.and_then(|stored| stored.entry) else { continue };
            if entry.header.kind != EntryKind::EventAccepted {
                continue;
            }
            let Ok(accepted) = record::read_accepted(&entry.payload) else { continue };
            let event = accepted.event();
            if event.object().as_ref() != Some(key) {
                continue;
            }
            if state.is_none() {
                let record = before(&accepted.transitions, key);
                state = record.map(|record| Object { record: Arc::new(record), meta: object::Meta::default() });
            }
            let applied = object::apply(state.as_ref(), &event, seq, self.closed_stage, self.rules);
            state = applied.object.or(state);
        }
        // What is kept of it says nothing any more: better as it is now than not at all.
        Ok(state.or(Some(now)))
    }
}

impl View for AsOf<'_> {
    fn object(&self, key: &ObjectKey) -> Result<Option<Arc<Object>>, store::Error> {
        if let Some(known) = self.known.borrow().get(key) {
            return Ok(known.clone());
        }
        let found = self.fold(key)?.map(Arc::new);
        self.known.borrow_mut().insert(key.clone(), found.clone());
        Ok(found)
    }

    fn window(&self, _key: &str, _now: Time) -> Result<Option<Time>, store::Error> {
        Ok(None)
    }
}

/// The fields that transitions say an object had before; nothing when it was created.
pub(crate) fn before(transitions: &[Transition], key: &ObjectKey) -> Option<Record> {
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
