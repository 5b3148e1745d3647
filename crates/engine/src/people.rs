//! What people do to alerts and cases, and to the list of those who are watched.
//!
//! Each of them is recorded with the person behind it, and goes through the one writer like everything else.

use std::sync::Arc;

use model::event::Actor;
use model::record::Record;
use model::{ObjectKey, triage::WATCHLIST_MAX};
use playbook::{Catalog, Playbook};
use serde_json::{Value, json};

use crate::change::{If, LocalChange};
use crate::engine::{Engine, with_kept};
use crate::refusal::Refusal;
use crate::triage::{self, Notification, grouping, notify};
use crate::writer::Accepted;

impl Engine {
    /// Changes fields of an alert or a case; `reason` is why a case is opened again. A case that is closed cannot be
    /// closed again.
    ///
    /// # Errors
    /// [`Refusal`] when it does not exist or a value cannot be right.
    pub async fn patch(
        &self,
        object: ObjectKey,
        fields: Record,
        reason: Option<String>,
        actor: Actor,
    ) -> Result<Accepted, Refusal> {
        let kind = format!("{}.updated", object.kind);
        let closed = self.context().words.closed();
        let closes =
            fields.get("stage").and_then(Value::as_str).is_some_and(|stage| stage.eq_ignore_ascii_case(closed));
        let if_object = if closes { If::Open } else { If::Exists };
        let data = reason.map_or(Value::Null, |reason| json!({ "reopen_reason": reason }));
        let change = LocalChange { fields, data, if_object, ..LocalChange::of(object, kind) };
        self.change(change, actor).await
    }

    /// Adds a comment to the history of an alert or a case.
    ///
    /// # Errors
    /// [`Refusal`] when it does not exist.
    pub async fn comment(&self, object: ObjectKey, text: String, actor: Actor) -> Result<Accepted, Refusal> {
        let kind = format!("{}.commented", object.kind);
        let change = LocalChange { data: json!({ "text": text }), ..LocalChange::of(object, kind) };
        self.change(change, actor).await
    }

    /// The watchlist: the entries of the configuration, then those that people added.
    ///
    /// # Errors
    /// [`store::Error`] when it cannot be read.
    pub fn watchlist(&self) -> Result<Vec<triage::Entry>, store::Error> {
        triage::entries(&self.triage().watched, self.store().as_ref())
    }

    /// Puts an entry on the watchlist; it is in force when this returns. One for the same entity is replaced.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be recorded or the list is full.
    pub async fn watch(&self, entry: triage::Entry, actor: Actor) -> Result<(), Refusal> {
        let _changing = self.changing().await;
        let known = self.watchlist().map_err(|error| Refusal::from(&error))?;
        if known.len() >= WATCHLIST_MAX {
            return Err(Refusal::Conflict(format!(
                "the watchlist holds {} entries, the most there can be",
                known.len()
            )));
        }
        let object = format!("watchlist:{}", entry.watched);
        let what = json!({ "what": "watched", "reason": entry.watched.reason, "priority": entry.watched.priority });
        self.set_marks(vec![entry.mark()], object, what, actor).await?;
        self.reload_triage()
    }

    /// Takes an entry off the watchlist.
    ///
    /// # Errors
    /// [`Refusal`] when it stands in the configuration or nowhere.
    pub async fn unwatch(&self, kind: &str, id: &str, tenant: Option<&str>, actor: Actor) -> Result<(), Refusal> {
        let _changing = self.changing().await;
        let same = |entry: &&triage::Entry| {
            let watched = &entry.watched;
            watched.kind == kind && watched.id.eq_ignore_ascii_case(id) && watched.tenant.as_deref() == tenant
        };
        let known = self.watchlist().map_err(|error| Refusal::from(&error))?;
        let found: Vec<&triage::Entry> = known.iter().filter(same).collect();
        if found.is_empty() {
            return Err(Refusal::NotFound { what: format!("entry `{kind} {id}` of the watchlist") });
        }
        if found.iter().all(|entry| entry.origin == triage::Origin::File) {
            return Err(Refusal::Conflict(format!("`{kind} {id}` stands in the configuration; take it out there")));
        }
        let mark = (triage::mark_of(kind, id, tenant), None);
        let what = json!({ "what": "no longer watched" });
        self.set_marks(vec![mark], format!("watchlist:{kind} {id}"), what, actor).await?;
        self.reload_triage()
    }

    /// The rules that group detections: those of the configuration, then those that people made.
    ///
    /// # Errors
    /// [`store::Error`] when they cannot be read.
    pub fn groupings(&self) -> Result<Vec<grouping::Written>, store::Error> {
        grouping::all(&self.triage().grouping_file, self.store().as_ref())
    }

    /// Makes a grouping rule; it is in force when this returns.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be, or there is one of this name.
    pub async fn group_by(&self, rule: grouping::Written, actor: Actor) -> Result<(), Refusal> {
        rule.compiled(&self.context().words, self.evaluator())
            .map_err(|unfit| Refusal::Invalid { code: "invalid_value", message: unfit.0 })?;
        let _changing = self.changing().await;
        let known = self.groupings().map_err(|error| Refusal::from(&error))?;
        if known.iter().any(|one| one.name == rule.name) {
            return Err(Refusal::Conflict(format!("there is a grouping rule `{}` already", rule.name)));
        }
        if known.len() >= grouping::GROUPINGS_MAX {
            return Err(Refusal::Conflict(format!("there are {} grouping rules, the most there can be", known.len())));
        }
        let what = json!({ "what": "grouping rule made", "rule": rule });
        self.set_marks(vec![rule.mark()], format!("grouping:{}", rule.name), what, actor).await?;
        self.reload_triage()
    }

    /// Ends a grouping rule; the alerts that it made stay.
    ///
    /// # Errors
    /// [`Refusal`] when there is none, or it stands in the configuration.
    pub async fn group_no_more(&self, name: &str, actor: Actor) -> Result<(), Refusal> {
        let _changing = self.changing().await;
        let known = self.groupings().map_err(|error| Refusal::from(&error))?;
        match known.iter().find(|one| one.name == name) {
            None => return Err(Refusal::NotFound { what: format!("grouping rule `{name}`") }),
            Some(one) if one.made_by.is_none() => {
                return Err(Refusal::Conflict(format!("`{name}` stands in the configuration; take it out there")));
            }
            Some(_) => {}
        }
        let what = json!({ "what": "grouping rule ended" });
        self.set_marks(vec![(grouping::mark_of(name), None)], format!("grouping:{name}"), what, actor).await?;
        self.reload_triage()
    }

    /// The notifications: those of the configuration, then those that people made.
    ///
    /// # Errors
    /// [`store::Error`] when they cannot be read.
    pub fn notifications(&self) -> Result<Vec<Notification>, store::Error> {
        notify::notifications(&self.triage().notifications, self.store().as_ref())
    }

    /// The playbooks of all notifications. One that cannot be, such as for a destination that has gone, is left out and
    /// told.
    pub(crate) fn notifying(&self) -> Result<Vec<Arc<Playbook>>, store::Error> {
        let mut made = Vec::new();
        for notification in self.notifications()? {
            match notification.playbook(&self.catalog_now(), self.evaluator()) {
                Ok(playbook) => made.push(playbook),
                Err(found) => {
                    let why = found.first().map_or_else(String::new, |one| one.message.clone());
                    tracing::error!(notification = notification.name, why, "nobody is notified by this notification");
                }
            }
        }
        Ok(made)
    }

    /// Makes a notification; it is in force when this returns.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be, or there is one of this name.
    pub async fn notify(&self, notification: Notification, actor: Actor) -> Result<(), Refusal> {
        notification.check().map_err(|unfit| Refusal::Invalid { code: "invalid_value", message: unfit.0 })?;
        if !notification.email.is_empty() && self.context().effects.mail_server().is_none() {
            let message =
                "there is no mail server: name one under `smtp:` of sortie.yaml, or tell a destination".to_owned();
            return Err(Refusal::Invalid { code: "no_smtp", message });
        }
        let changing = self.changing().await;
        let known = self.notifications().map_err(|error| Refusal::from(&error))?;
        if known.iter().any(|one| one.name == notification.name) {
            return Err(Refusal::Conflict(format!("there is a notification `{}` already", notification.name)));
        }
        if known.len() >= notify::NOTIFICATIONS_MAX || self.playbooks().find(&notification.playbook_id()).is_some() {
            let id = notification.playbook_id();
            return Err(Refusal::Conflict(format!("there are too many notifications, or a playbook `{id}`")));
        }
        notification.playbook(&self.catalog_now(), self.evaluator()).map_err(|found| Refusal::Invalid {
            code: "invalid_value",
            message: found.iter().map(|one| one.message.clone()).collect::<Vec<_>>().join("; "),
        })?;
        let what = json!({ "what": "notification made", "notification": notification });
        let object = format!("notification:{}", notification.name);
        self.set_marks(vec![notification.mark()], object, what, actor.clone()).await?;
        drop(changing);
        self.reload_notifications(actor).await
    }

    /// Ends a notification.
    ///
    /// # Errors
    /// [`Refusal`] when there is none, or it stands in the configuration.
    pub async fn end_notification(&self, name: &str, actor: Actor) -> Result<(), Refusal> {
        let changing = self.changing().await;
        let known = self.notifications().map_err(|error| Refusal::from(&error))?;
        match known.iter().find(|one| one.name == name) {
            None => return Err(Refusal::NotFound { what: format!("notification `{name}`") }),
            Some(one) if one.by.is_none() => {
                return Err(Refusal::Conflict(format!("`{name}` stands in the configuration; take it out there")));
            }
            Some(_) => {}
        }
        let what = json!({ "what": "notification ended" });
        let object = format!("notification:{name}");
        self.set_marks(vec![(notify::mark_of(name), None)], object, what, actor.clone()).await?;
        drop(changing);
        self.reload_notifications(actor).await
    }

    /// The same playbooks with the notifications of now.
    async fn reload_notifications(&self, actor: Actor) -> Result<(), Refusal> {
        let others: Vec<Arc<Playbook>> =
            self.playbooks().playbooks().iter().filter(|one| !is_made(one)).cloned().collect();
        self.load(others, actor).await
    }

    /// What playbooks may name now: destinations come and go.
    fn catalog_now(&self) -> Catalog {
        let known = self.context().destinations();
        Catalog { destinations: Some(known.map.keys().cloned().collect()), ..self.runner().catalog.clone() }
    }

    fn reload_triage(&self) -> Result<(), Refusal> {
        let words = &self.context().words;
        let triage = with_kept((*self.triage()).clone(), self.store().as_ref(), words, self.evaluator());
        self.swap_triage(triage.map_err(|error| Refusal::from(&error))?);
        Ok(())
    }
}

/// Whether a playbook was made out of a notification.
pub(crate) fn is_made(playbook: &Playbook) -> bool {
    playbook.id.starts_with(notify::PLAYBOOK_PREFIX) && playbook.file.starts_with("notification ")
}
