//! What an event is about: the objects that belong together, and the names that conditions see.

use std::sync::Arc;

use model::record::{self, Kind};
use model::{Event, Object, ObjectKey, Time};
use playbook::{Root, Scope};

use super::View;
use crate::brakes::Mute;

/// The objects that a run is about, and the scope that conditions share.
pub(super) struct About {
    pub(super) alert: Option<String>,
    pub(super) case: Option<String>,
    pub(super) entity: Option<String>,
    pub(super) scope: Scope,
}

/// Reads what belongs to an event: an alert's case, a case's alert.
pub(super) fn about(event: &Event, object: Option<&Object>, view: &dyn View, now: Time) -> Result<About, store::Error> {
    let key = event.object();
    let kind = key.as_ref().map(|key| key.kind);
    let id = key.map(|key| key.id);
    let other = |kind: Kind, field: &str| -> Result<Option<(String, Arc<Object>)>, store::Error> {
        let Some(id) = object.and_then(|object| object.text(field)) else { return Ok(None) };
        let key = ObjectKey { tenant: event.tenant.clone(), kind, id: id.to_owned() };
        Ok(view.object(&key)?.map(|object| (key.id, object)))
    };
    let own = object.map(|object| Arc::clone(&object.record));
    let mut scope = Scope::new(now).known(Root::Event, Some(Arc::new(event_record(event))));
    let mut all = About { alert: None, case: None, entity: None, scope: Scope::new(now) };
    match kind {
        Some(Kind::Alert) => {
            let case = other(Kind::Case, "case_id")?;
            scope = scope.known(Root::Alert, own).known(Root::Case, case.as_ref().map(|(_, c)| Arc::clone(&c.record)));
            (all.alert, all.case) = (id, case.map(|(id, _)| id));
        }
        Some(Kind::Case) => {
            let alert = other(Kind::Alert, "alert_id")?;
            scope = scope.known(Root::Case, own).known(Root::Alert, alert.as_ref().map(|(_, a)| Arc::clone(&a.record)));
            (all.case, all.alert) = (id, alert.map(|(id, _)| id));
        }
        Some(Kind::Entity) => {
            scope = scope.known(Root::Entity, own);
            all.entity = id;
        }
        None => {}
    }
    all.scope = scope;
    Ok(all)
}

/// Why an event is left alone: the entity that it is about is muted, or all those that its alert or case names.
pub(super) fn muted(event: &Event, object: Option<&Object>, view: &dyn View, now: Time) -> Option<String> {
    let said = |mute: &Mute| format!("{} is muted until {}: {}", mute.entity, mute.until, mute.reason);
    let mute = |kind: &str, id: &str| {
        let key = ObjectKey { tenant: event.tenant.clone(), kind: Kind::Entity, id: format!("{kind}/{id}") };
        view.muted(&key, now)
    };
    let key = event.object()?;
    if key.kind == Kind::Entity {
        return view.muted(&key, now).as_ref().map(said);
    }
    let named = |field: &str| {
        let list = object.and_then(|object| object.record.get(field)).and_then(|list| list.as_array());
        list.into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect::<Vec<String>>()
    };
    let users = named("users").into_iter().map(|id| mute("user", &id).or_else(|| mute("account", &id)));
    let hosts = named("endpoints").into_iter().map(|id| mute("host", &id));
    let mutes: Option<Vec<Mute>> = users.chain(hosts).collect();
    let mutes = mutes.filter(|mutes| !mutes.is_empty())?;
    Some(mutes.iter().map(said).collect::<Vec<String>>().join("; "))
}

/// An event as conditions see it.
pub fn event_record(event: &Event) -> record::Record {
    use serde_json::Value;
    let mut fields = record::Record::new();
    let mut set = |name: &str, value: String| fields.insert(name.to_owned(), Value::String(value));
    set("type", event.kind.clone());
    set("source", event.source.clone());
    set("time", event.time.to_string());
    set("received", event.received.to_string());
    set("tenant", event.tenant.clone());
    if let Some(id) = &event.own_id {
        set("id", id.clone());
    }
    if !event.data.is_null() {
        fields.insert("data".to_owned(), event.data.clone());
    }
    fields
}
