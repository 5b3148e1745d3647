//! Notifications: who is told of what, made into playbooks.
//!
//! A notification is nothing of its own: it becomes a playbook `notify-NAME` with triggers, one condition and one sending
//! step. So it is decided, delivered, tried again, listed and explained like any other, and costs nothing where there is
//! none.

use std::sync::Arc;

use model::Kind;
use playbook::{Catalog, Diagnostic, Evaluator, Playbook, Source};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Store;

use crate::outbound::mail::Mailbox;

/// The mark under which notifications that people made are kept.
const PREFIX: &str = "notify/";
/// What the ids of their playbooks begin with.
pub const PLAYBOOK_PREFIX: &str = "notify-";
/// Most notifications.
pub const NOTIFICATIONS_MAX: usize = 500;
/// What somebody can be told of.
pub const KINDS: [&str; 5] = ["created", "assigned", "queued", "closed", "reopened"];

/// Who is told of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Its name.
    pub name: String,
    /// Of what: some of [`KINDS`].
    pub on: Vec<String>,
    /// `case` or `alert`.
    pub of: String,
    /// Only when this person is the assignee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Only when it is in this queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Only of this tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only when this condition holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The destinations that are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// The e-mail addresses that are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub email: Vec<String>,
    /// Who made it; nobody when it stands in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Why a notification cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

impl Notification {
    /// The id of its playbook.
    pub fn playbook_id(&self) -> String {
        format!("{PLAYBOOK_PREFIX}{}", self.name)
    }

    /// The mark that keeps it.
    pub(crate) fn mark(&self) -> store::Mark {
        (mark_of(&self.name), serde_json::to_vec(self).ok())
    }

    fn kind(&self) -> Kind {
        if self.of == Kind::Alert.name() { Kind::Alert } else { Kind::Case }
    }

    /// Looks at it as far as that does not need the rest of the configuration.
    ///
    /// # Errors
    /// [`Unfit`] with what is wrong.
    pub fn check(&self) -> Result<(), Unfit> {
        let refuse = |message: String| Err(Unfit(message));
        if !model::id::is_name(&self.name) || self.name.len() + PLAYBOOK_PREFIX.len() > 64 {
            return refuse("`name` has 1 to 57 lower-case letters, digits and `-`".to_owned());
        }
        if ![Kind::Alert.name(), Kind::Case.name()].contains(&self.of.as_str()) {
            return refuse("`of` is `case` or `alert`".to_owned());
        }
        if self.on.is_empty() {
            return refuse(format!("`on` names at least one of {}", KINDS.join(", ")));
        }
        if let Some(wrong) = self.on.iter().find(|on| !KINDS.contains(&on.as_str())) {
            return refuse(format!("`on`: `{wrong}` is none; use one of {}", KINDS.join(", ")));
        }
        if self.kind() == Kind::Alert && (self.on != ["created"] || self.person.is_some() || self.queue.is_some()) {
            return refuse("an alert has no stage, queue and assignee: `on` is `created` alone".to_owned());
        }
        for address in &self.email {
            if let Err(error) = address.parse::<Mailbox>() {
                return refuse(format!("`email`: {error}"));
            }
        }
        if self.to.is_empty() && self.email.is_empty() {
            return refuse("name a destination in `to` or an address in `email`".to_owned());
        }
        Ok(())
    }

    /// What must hold beside the trigger.
    fn condition(&self, more: Option<String>) -> Option<String> {
        let quoted = |text: &str| json!(text).to_string();
        let person = self.person.as_deref().map(|person| format!("case.assignee == {}", quoted(person)));
        let queue = self.queue.as_deref().map(|queue| format!("case.queue == {}", quoted(queue)));
        let all: Vec<String> =
            [person, queue, more, self.when.as_ref().map(|when| format!("({when})"))].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(" && "))
    }

    fn triggers(&self) -> Vec<serde_json::Value> {
        let kind = self.kind();
        let with = |mut arguments: serde_json::Value, more: Option<&str>| {
            if let Some(when) = self.condition(more.map(str::to_owned)) {
                arguments["when"] = json!(when);
            }
            arguments
        };
        let mut all = Vec::new();
        for on in &self.on {
            match on.as_str() {
                "created" => all.push(json!({ format!("{kind}.created"): with(json!({}), None) })),
                "assigned" => {
                    let has = Some("case.assignee != ()");
                    all.push(json!({ "case.updated": with(json!({ "changed": ["assignee"] }), has) }));
                    all.push(json!({ "case.created": with(json!({}), has) }));
                }
                "queued" => {
                    let has = Some("case.queue != ()");
                    all.push(json!({ "case.updated": with(json!({ "changed": ["queue"] }), has) }));
                    all.push(json!({ "case.created": with(json!({}), has) }));
                }
                "closed" => all.push(json!({ "case.stage_changed": with(json!({ "to": "Closed" }), None) })),
                _ => all.push(json!({ "case.stage_changed": with(json!({ "from": "Closed" }), None) })),
            }
        }
        all
    }

    /// The text of its playbook. JSON is YAML, too, and nothing in it needs quoting rules of its own.
    fn text(&self) -> String {
        let (kind, id) = (self.kind(), format!("{}_id", self.kind()));
        let get = |field: &str| format!("${{{{ {kind}.{field} }}}}");
        let title = format!("{kind} ${{{{ {kind}.name ?? {kind}.id }}}}: {}", self.on.join(" or "));
        let mut body = json!({
            "notification": self.name, "on": self.on, "trigger": "${{ trigger.kind }}", "text": title, id: get("id"),
            "name": get("name"), "priority": get("priority"), "risk_score": get("risk_score"),
        });
        if kind == Kind::Case {
            for field in ["stage", "queue", "assignee", "closed_reason"] {
                body[field] = json!(get(field));
            }
        }
        let mut steps = Vec::new();
        if !self.to.is_empty() {
            steps.push(json!({ "id": "tell", "action": "webhook.send", "with": { "to": self.to, "body": body } }));
        }
        if !self.email.is_empty() {
            let text = format!("{title}\n\npriority {}, score {}", get("priority"), get("risk_score"));
            // Names hold what vendors send, line breaks too, and a subject with one is refused; ids never do.
            let subject = format!("[Sortie] {kind} {}: {}", get("id"), self.on.join(" or "));
            let with = json!({ "to": self.email, "subject": subject, "text": text });
            steps.push(json!({ "id": "mail", "action": "email.send", "with": with }));
        }
        let mut playbook = json!({
            "playbook": self.playbook_id(), "name": format!("Notification {}", self.name), "order": 100_000,
            "triggers": self.triggers(), "steps": steps,
        });
        if let Some(tenant) = &self.tenant {
            playbook["tenants"] = json!([tenant]);
        }
        format!("{playbook:#}")
    }

    /// Its playbook.
    ///
    /// # Errors
    /// Everything that is wrong with it: a destination that is not there, a condition that cannot be read.
    pub fn playbook(&self, catalog: &Catalog, evaluator: &Evaluator) -> Result<Arc<Playbook>, Vec<Diagnostic>> {
        let source = Source { file: format!("notification {}", self.name).into(), text: self.text() };
        playbook::compile(&source, catalog, evaluator).map(Arc::new)
    }
}

/// The name of a notification's mark.
pub(crate) fn mark_of(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// All notifications: those of the configuration, then those that people made.
///
/// # Errors
/// [`store::Error`] when they cannot be read.
pub fn notifications(file: &[Notification], store: &dyn Store) -> Result<Vec<Notification>, store::Error> {
    let mut all = file.to_vec();
    for (_, value) in store.marks(PREFIX)? {
        let made = serde_json::from_slice::<Notification>(&value).ok();
        all.extend(made.filter(|made| !file.iter().any(|one| one.name == made.name)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(fields: serde_json::Value) -> Notification {
        let mut all = json!({ "name": "n", "on": ["created"], "of": "case", "to": ["desk"] });
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn every_notification_is_a_playbook_that_can_be_loaded() {
        let catalog = crate::catalog(None, model::record::Vocabulary::default(), None, None);
        for on in KINDS {
            for fields in [
                json!({"on": [on]}),
                json!({"on": [on], "person": "al\"ice", "queue": "Tier 1", "when": "case.priority == \"critical\""}),
                json!({"on": KINDS, "tenant": "acme"}),
            ] {
                let notification = one(fields);
                notification.check().unwrap();
                let made = notification.playbook(&catalog, &Evaluator::uncounted());
                let found = made.err().map(|found| found.iter().map(|d| d.render(false)).collect::<String>());
                assert_eq!(found, None, "{}", notification.text());
            }
        }
        let alert = one(json!({"of": "alert", "when": "alert.risk_score > 90"}));
        assert!(alert.playbook(&catalog, &Evaluator::uncounted()).is_ok());
    }

    #[test]
    fn what_cannot_be_told_is_refused_with_the_reason() {
        for (fields, part) in [
            (json!({"on": []}), "at least one"),
            (json!({"on": ["deleted"]}), "deleted"),
            (json!({"of": "alert", "on": ["closed"]}), "alert has no stage"),
            (json!({"to": []}), "destination"),
            (json!({"name": "A b"}), "lower-case"),
            (json!({"of": "host"}), "`case` or `alert`"),
        ] {
            let error = one(fields).check().unwrap_err();
            assert!(error.0.contains(part), "{error}");
        }
    }
}
