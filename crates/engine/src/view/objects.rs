//! Alerts and cases: a page of them, and the history of one.
//!
//! There is no index of objects by time. The history is walked newest first, and an object is listed where its last
//! change stands ([`model::object::Meta::last`]), so that each comes once.

use std::collections::HashSet;

use model::event::Actor;
use model::history::{Entry, EntryKind};
use model::{EventId, Kind, Object, ObjectKey, RunId, Seq, Time, Transition};
use serde_json::Value;
use store::{Cursor, Page, Store};

use super::{Error, Range, object_of, scan};
use crate::record;

/// Which objects a listing asks for. Everything given must hold; names compare without case.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// In one of these stages; empty means any.
    pub stages: Vec<String>,
    /// Of one of these priorities; empty means any.
    pub priorities: Vec<String>,
    /// In this queue.
    pub queue: Option<String>,
    /// Of this person.
    pub assignee: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
}

impl Filter {
    pub(super) fn fits(&self, object: &Object) -> bool {
        let one_of = |name: &str, wanted: &[String]| {
            wanted.is_empty()
                || object.text(name).is_some_and(|text| wanted.iter().any(|w| w.eq_ignore_ascii_case(text)))
        };
        let is = |name: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|w| object.text(name).is_some_and(|text| text.eq_ignore_ascii_case(w)))
        };
        let tagged = self.tag.as_ref().is_none_or(|tag| {
            let tags = object.record.get("tags").and_then(Value::as_array);
            tags.is_some_and(|tags| tags.iter().any(|t| t.as_str() == Some(tag)))
        });
        one_of("stage", &self.stages)
            && one_of("priority", &self.priorities)
            && is("queue", &self.queue)
            && is("assignee", &self.assignee)
            && tagged
    }
}

/// A page of objects of one kind, the one changed last in front.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn page(store: &dyn Store, kind: Kind, filter: &Filter, range: Range) -> Result<Page<(ObjectKey, Object)>, Error> {
    let mut seen: HashSet<ObjectKey> = HashSet::new();
    let top = store.next_seq();
    // What is changed while the page is made has no entry in it yet: it is listed at its last one before.
    let listed_before = |object: &Object| {
        range.after.is_some_and(|after| object.meta.entries.iter().any(|seq| *seq >= after.seq && *seq < top))
    };
    scan::entries(store, range, |stored| {
        let Some(key) = object_of(&stored.header) else { return Ok(None) };
        let fits = key.kind == kind && filter.tenant.as_ref().is_none_or(|tenant| *tenant == key.tenant);
        if !fits || seen.contains(&key) {
            return Ok(None);
        }
        let Some(object) = store.object(&key)? else { return Ok(None) };
        let changed_meanwhile = object.meta.last >= top && !listed_before(&object);
        if object.meta.last != stored.header.seq && !changed_meanwhile {
            return Ok(None);
        }
        seen.insert(key.clone());
        Ok(filter.fits(&object).then_some((key, object)))
    })
}

/// One event in the history of an object.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The event.
    pub event: EventId,
    /// When it was committed.
    pub time: Time,
    /// Who is behind it; known even when the rest is gone.
    pub actor: Actor,
    /// What happened; nothing once retention has dropped it.
    pub what: Option<Happened>,
}

/// What happened when somebody read an object.
pub const READ: &str = "read";

/// What happened to an object.
#[derive(Debug, Clone, Default)]
pub struct Happened {
    /// The event's type, such as `case.updated` or `case.commented`.
    pub kind: String,
    /// The product that sent the event; `sortie` for what people and runs change.
    pub source: String,
    /// What changed.
    pub transitions: Vec<Transition>,
    /// The fields that were given.
    pub fields: model::Record,
    /// What goes along, such as the text of a comment.
    pub data: Value,
    /// The runs that it started.
    pub runs: Vec<RunId>,
    /// What was noticed.
    pub warnings: Vec<String>,
}

/// A page of an object's history, newest first. Nothing when there is no such object.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn history(
    store: &dyn Store,
    key: &ObjectKey,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Option<Page<Moment>>, Error> {
    let Some(object) = store.object(key)? else { return Ok(None) };
    let mut items = Vec::new();
    let mut last = None;
    let before = |seq: Seq| after.is_none_or(|cursor| seq < cursor.seq);
    let mut blocks = object.meta.blocks.iter().rev();
    let mut entries = object.meta.entries.clone();
    loop {
        for seq in entries.iter().rev().copied().filter(|seq| before(*seq)) {
            if items.len() >= limit {
                return Ok(Some(Page { items, next: last.map(|seq| Cursor { seq, n: 0 }) }));
            }
            last = Some(seq);
            items.extend(moment(store, seq)?);
        }
        let Some(first) = blocks.next() else { return Ok(Some(Page { items, next: None })) };
        entries = if before(*first) { store.object_block(key, *first)? } else { Vec::new() };
    }
}

fn moment(store: &dyn Store, seq: Seq) -> Result<Option<Moment>, Error> {
    let Some(stored) = store.entry(seq)? else { return Ok(None) };
    let (time, actor) = (stored.header.time, stored.header.actor);
    let Some(entry) = stored.entry else {
        return Ok(Some(Moment { event: EventId { seq, tag: 0 }, time, actor, what: None }));
    };
    if entry.header.kind == EntryKind::ObjectRead {
        let what = Happened { kind: READ.to_owned(), ..Happened::default() };
        return Ok(Some(Moment {
            event: EventId { seq, tag: Entry::tag(&entry.salt) },
            time,
            actor,
            what: Some(what),
        }));
    }
    let accepted = record::read_accepted(&entry.payload).map_err(|error| Error::Record { seq, error })?;
    let what = Happened {
        kind: accepted.kind,
        source: accepted.source,
        transitions: accepted.transitions,
        fields: accepted.subject.map(|about| about.fields).unwrap_or_default(),
        data: accepted.data,
        runs: accepted.runs.iter().map(|start| start.id).collect(),
        warnings: accepted.warnings,
    };
    Ok(Some(Moment { event: EventId { seq, tag: Entry::tag(&entry.salt) }, time, actor, what: Some(what) }))
}
