//! What people do to destinations: make, change, switch, delete. Each is recorded with the person behind it, and in force when
//! it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Record;
use model::event::Actor;
use playbook::{Catalog, Source};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use crate::engine::Engine;
use crate::outbound::vault::Vault;
use crate::outbound::{Destination, Destinations};
use crate::refusal::Refusal;
use crate::registry::{
    DestinationError, DestinationRules, MADE_PREFIX, Made, OFF_PREFIX, Permit, RESERVED, Registry, read,
};

impl Engine {
    pub(crate) fn registry(&self) -> &Mutex<Registry> {
        &self.kept().registry
    }

    fn destination_rules(&self) -> &DestinationRules {
        &self.kept().rules
    }

    /// What is kept secret.
    pub(crate) fn vault(&self) -> &Arc<Vault> {
        &self.kept().vault
    }

    /// Tells when a destination was made or changed: a playbook that was refused for want of it may be good now.
    pub fn watch_destinations(&self) -> watch::Receiver<u64> {
        self.kept().made.subscribe()
    }

    /// Puts other destinations of the file in force.
    pub async fn set_file_destinations(&self, file: Destinations) {
        let mut registry = self.registry().lock().await;
        registry.file = file;
        self.put_destinations(&registry);
    }

    fn put_destinations(&self, registry: &Registry) {
        self.context().set_destinations(registry.in_force());
    }

    /// What the keys of a destination mean, without keeping it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with everything that is wrong.
    pub fn read_destination(&self, id: &str, body: &Record) -> Result<Arc<Destination>, Refusal> {
        read(id, body, self.context().effects.egress(), self.destination_rules())
    }

    /// Makes a destination; it is in force when this returns.
    ///
    /// # Errors
    /// [`DestinationError`] when the id is taken, there are too many, a key is wrong, or `permit` says no.
    pub async fn make_destination(
        &self,
        id: &str,
        body: Record,
        permit: Permit<'_>,
        actor: Actor,
    ) -> Result<Arc<Destination>, DestinationError> {
        let mut registry = self.registry().lock().await;
        if RESERVED.contains(&id) {
            return Err(Refusal::Conflict(format!(
                "`{id}` is a word of the API and cannot be the id of a destination"
            ))
            .into());
        }
        if registry.known(id) {
            return Err(Refusal::Conflict(format!("there is a destination `{id}` already")).into());
        }
        let max = self.destination_rules().max;
        if registry.file.map.len() + registry.made.len() >= max {
            let message =
                format!("there are {max} destinations; delete one, or allow more with `limits: {{ destinations: N }}`");
            return Err(Refusal::Conflict(message).into());
        }
        let read = self.read_destination(id, &body)?;
        permit(None, &read).map_err(DestinationError::Forbidden)?;
        self.keep_destination(&mut registry, body, &read, "destination.created", actor).await?;
        Ok(read)
    }

    /// Changes a destination that somebody made: the keys of `change` replace those that it has, `null` takes one away. It
    /// is in force when this returns.
    ///
    /// # Errors
    /// [`DestinationError`] when there is none, it stands in the file, a key is wrong, or `permit` says no.
    pub async fn change_destination(
        &self,
        id: &str,
        change: Record,
        permit: Permit<'_>,
        actor: Actor,
    ) -> Result<Arc<Destination>, DestinationError> {
        let mut registry = self.registry().lock().await;
        let made = changeable(&registry, id)?;
        let before = made.read.clone();
        let mut body = made.body.clone();
        for (key, value) in change {
            if value.is_null() {
                body.remove(&key);
            } else {
                body.insert(key, value);
            }
        }
        let read = self.read_destination(id, &body)?;
        permit(before.as_deref(), &read).map_err(DestinationError::Forbidden)?;
        self.keep_destination(&mut registry, body, &read, "destination.updated", actor).await?;
        Ok(read)
    }

    /// Writes a destination down and puts it in force.
    async fn keep_destination(
        &self,
        registry: &mut Registry,
        body: Record,
        read: &Arc<Destination>,
        action: &str,
        actor: Actor,
    ) -> Result<(), Refusal> {
        let id = read.id.clone();
        let plain = serde_json::to_vec(&body)
            .map_err(|error| Refusal::Invalid { code: "internal", message: error.to_string() })?;
        let marks =
            self.vault().seal(&format!("{MADE_PREFIX}{id}"), &plain).map_err(|e| Refusal::Conflict(e.to_string()))?;
        let keys: Vec<&String> = body.keys().collect();
        let what = json!({
            "action": action, "destination": id, "kind": read.manner.name(), "url": read.target.masked(), "keys": keys,
            "enabled": read.enabled,
        });
        self.set_marks(marks.clone(), format!("destination:{id}"), what, actor).await?;
        self.vault().stored(&marks);
        registry.made.insert(id.clone(), Made { body, read: Some(Arc::clone(read)) });
        self.put_destinations(registry);
        self.context().gates.forget(&id);
        self.kept().made.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Deletes a destination that somebody made. One that a loaded playbook sends to stays.
    ///
    /// # Errors
    /// [`DestinationError`] when there is none, it stands in the file, or a playbook names it.
    pub async fn delete_destination(
        &self,
        id: &str,
        permit: Permit<'_>,
        actor: Actor,
    ) -> Result<Option<Arc<Destination>>, DestinationError> {
        let mut registry = self.registry().lock().await;
        let read = changeable(&registry, id)?.read.clone();
        if let Some(read) = &read {
            permit(Some(read.as_ref()), read).map_err(DestinationError::Forbidden)?;
        }
        let users = self.playbooks_that_need(id, &registry);
        if !users.is_empty() {
            let names = users.join(", ");
            return Err(
                Refusal::Conflict(format!("`{id}` is named by these playbooks: {names}; change them first")).into()
            );
        }
        let what = json!({ "action": "destination.deleted", "destination": id });
        let marks = vec![(format!("{MADE_PREFIX}{id}"), None)];
        self.set_marks(marks, format!("destination:{id}"), what, actor).await?;
        registry.made.remove(id);
        self.put_destinations(&registry);
        self.context().gates.forget(id);
        Ok(read)
    }

    /// The loaded playbooks that would be wrong without this destination.
    fn playbooks_that_need(&self, id: &str, registry: &Registry) -> Vec<String> {
        let mut names: BTreeSet<String> = registry.file.map.keys().chain(registry.made.keys()).cloned().collect();
        names.remove(id);
        let catalog = Catalog {
            destinations: Some(names),
            event_sets: registry.file.event_sets.clone(),
            ..self.runner().catalog.clone()
        };
        let set = self.playbooks();
        let broken = |playbook: &&Arc<playbook::Playbook>| {
            playbook.text.contains(id) && {
                let source = Source { file: Arc::clone(&playbook.file), text: playbook.text.to_string() };
                playbook::compile(&source, &catalog, self.evaluator()).is_err()
            }
        };
        set.playbooks().iter().filter(broken).map(|playbook| playbook.id.to_string()).collect()
    }

    /// Switches a destination on or off; everything else of it stays. Answers the destination as it is then.
    ///
    /// # Errors
    /// [`DestinationError`] when there is none, or `permit` says no.
    pub async fn switch_destination(
        &self,
        id: &str,
        on: bool,
        permit: Permit<'_>,
        actor: Actor,
    ) -> Result<Arc<Destination>, DestinationError> {
        if !self.registry().lock().await.file.map.contains_key(id) {
            let change = Record::from_iter([("enabled".to_owned(), Value::Bool(on))]);
            return self.change_destination(id, change, permit, actor).await;
        }
        let mut registry = self.registry().lock().await;
        let known = registry.file.map.get(id).cloned();
        let known = known.ok_or_else(|| Refusal::NotFound { what: format!("destination `{id}`") })?;
        permit(Some(&known), &known).map_err(DestinationError::Forbidden)?;
        if on && !known.enabled {
            return Err(Refusal::Conflict(format!("`{id}` says `enabled: false` in the file; change it there")).into());
        }
        let action = if on { "destination.enabled" } else { "destination.disabled" };
        let mark = (format!("{OFF_PREFIX}{id}"), (!on).then(|| b"off".to_vec()));
        let what = json!({ "action": action, "destination": id });
        self.set_marks(vec![mark], format!("destination:{id}"), what, actor).await?;
        if on {
            registry.off.remove(id);
        } else {
            registry.off.insert(id.to_owned());
        }
        self.put_destinations(&registry);
        let now = self.context().destinations();
        Ok(now.map.get(id).cloned().unwrap_or(known))
    }
}

fn changeable<'a>(registry: &'a Registry, id: &str) -> Result<&'a Made, Refusal> {
    if registry.file.map.contains_key(id) {
        return Err(Refusal::Conflict(format!("`{id}` stands in the file of destinations; change it there")));
    }
    registry.made.get(id).ok_or_else(|| Refusal::NotFound { what: format!("destination `{id}`") })
}
