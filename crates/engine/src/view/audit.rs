//! The audit trail: who did, changed or was refused what. Every entry of the history is part of it.

use model::event::Actor;
use model::history::EntryKind;
use model::{Seq, Time};
use serde::Deserialize;
use serde_json::Value;
use store::{Page, Store, StoredEntry};

use super::{Error, Range, brief, parse_object as object_of_text, scan};
use crate::record;

/// Which entries a listing asks for. Everything given must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// By this actor: `token:alice`, or just `alice`; `user:*` is every actor of that kind.
    pub actor: Option<String>,
    /// With this action, or of this kind of entry.
    pub action: Option<String>,
    /// About this object, such as `case:C-1` or `run:run-…`.
    pub object: Option<String>,
    /// About this tenant; entries that belong to no tenant are then left out.
    pub tenant: Option<String>,
}

/// One entry as an auditor sees it.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its position in the history.
    pub seq: Seq,
    /// When.
    pub time: Time,
    /// Who.
    pub actor: Actor,
    /// The kind of entry.
    pub kind: EntryKind,
    /// What was done: the event's type, the setting's action, `refused`; the kind of entry where nothing finer is known.
    pub action: String,
    /// What it is about.
    pub object: String,
    /// What was recorded, for settings and refusals.
    pub detail: Option<Value>,
}

/// What settings and refusals say of themselves.
#[derive(Deserialize)]
struct Doing {
    action: Option<String>,
    what: Option<String>,
}

/// A page of the audit trail, newest first.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn page(store: &dyn Store, filter: &Filter, range: Range) -> Result<Page<Item>, Error> {
    scan::entries(store, range, |stored| {
        let header = &stored.header;
        let by = |wanted: &str| {
            let actor = header.actor.to_string();
            let of_kind = wanted.strip_suffix('*').is_some_and(|kind| kind.ends_with(':') && actor.starts_with(kind));
            of_kind || actor == wanted || actor.split_once(':').is_some_and(|(_, name)| name == wanted)
        };
        let fits = filter.actor.as_deref().is_none_or(by)
            && filter.object.as_deref().is_none_or(|object| header.object == object);
        if !fits || !of_tenant(store, &stored, filter.tenant.as_deref())? {
            return Ok(None);
        }
        let item = item(stored)?;
        let wanted = |action: &str| item.action == action || item.kind.name() == action;
        Ok(filter.action.as_deref().is_none_or(wanted).then_some(item))
    })
}

pub(crate) fn of_tenant(store: &dyn Store, stored: &StoredEntry, tenant: Option<&str>) -> Result<bool, Error> {
    let Some(tenant) = tenant else { return Ok(true) };
    let Some(entry) = &stored.entry else { return Ok(false) };
    let seq = entry.header.seq;
    match entry.header.kind {
        EntryKind::EventAccepted => Ok(brief(seq, &entry.payload)?.tenant == tenant),
        EntryKind::RunProgressed => {
            let progressed = record::read_progressed(&entry.payload).map_err(|error| Error::Record { seq, error })?;
            Ok(store.run(progressed.run)?.is_some_and(|run| run.tenant == tenant))
        }
        EntryKind::ObjectRead => Ok(object_of_text(&entry.header.object).is_some_and(|key| key.tenant == tenant)),
        _ => Ok(false),
    }
}

fn item(stored: StoredEntry) -> Result<Item, Error> {
    let header = stored.header;
    let payload = stored.entry.map(|entry| entry.payload);
    let (action, detail) = match (header.kind, &payload) {
        (_, None) => (None, None),
        (EntryKind::EventAccepted, Some(payload)) => (Some(brief(header.seq, payload)?.kind), None),
        (EntryKind::RunProgressed, Some(_)) => (None, None),
        (_, Some(payload)) => {
            let action = serde_json::from_slice::<Doing>(payload).ok().and_then(|doing| doing.action.or(doing.what));
            (action, serde_json::from_slice(payload).ok())
        }
    };
    let action = action.unwrap_or_else(|| header.kind.name().to_owned());
    Ok(Item {
        seq: header.seq,
        time: header.time,
        actor: header.actor,
        kind: header.kind,
        action,
        object: header.object,
        detail,
    })
}
