//! Secrets that people give Sortie to keep: set, named, deleted. They hold at once for everything that is sent; what senders
//! are asked for is read when the server starts.

use model::event::Actor;
use serde_json::json;

use crate::engine::Engine;
use crate::outbound::secret::is_secret_name;
use crate::outbound::vault::{SECRET_BYTES_MAX, SECRETS_MAX, SECRETS_PREFIX};
use crate::refusal::Refusal;

impl Engine {
    /// The names of the secrets that are kept, in order.
    pub fn secret_names(&self) -> Vec<String> {
        self.vault().names()
    }

    /// Keeps a secret; it is found when this returns.
    ///
    /// # Errors
    /// [`Refusal`] when the name or the value cannot be right, or there is no master key.
    pub async fn set_secret(&self, name: &str, value: &str, actor: Actor) -> Result<(), Refusal> {
        let invalid = |message: String| Refusal::Invalid { code: "invalid_secret", message };
        if !is_secret_name(name) {
            return Err(invalid("the name of a secret has 1 to 64 letters, digits, `_` and `-`".to_owned()));
        }
        if value.trim().is_empty() || value.len() > SECRET_BYTES_MAX {
            return Err(invalid(format!("a secret has 1 to {SECRET_BYTES_MAX} bytes, and is not blank")));
        }
        let _one_at_a_time = self.registry().lock().await;
        let known = self.vault().names();
        if known.len() >= SECRETS_MAX && !known.iter().any(|other| other == name) {
            return Err(Refusal::Conflict(format!("there are {SECRETS_MAX} secrets; delete one first")));
        }
        let marks = self
            .vault()
            .seal(&format!("{SECRETS_PREFIX}{name}"), value.as_bytes())
            .map_err(|error| Refusal::Conflict(error.to_string()))?;
        let what = json!({ "action": "secret.set", "secret": name });
        self.set_marks(marks.clone(), format!("secret:{name}"), what, actor).await?;
        self.vault().stored(&marks);
        Ok(())
    }

    /// Deletes a secret.
    ///
    /// # Errors
    /// [`Refusal`] when there is none, or it cannot be recorded.
    pub async fn delete_secret(&self, name: &str, actor: Actor) -> Result<(), Refusal> {
        let _one_at_a_time = self.registry().lock().await;
        if !self.vault().names().iter().any(|known| known == name) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            return Err(Refusal::NotFound { what: format!("secret `{shown}` in the store") });
        }
        let marks = vec![(format!("{SECRETS_PREFIX}{name}"), None)];
        let what = json!({ "action": "secret.deleted", "secret": name });
        self.set_marks(marks.clone(), format!("secret:{name}"), what, actor).await?;
        self.vault().stored(&marks);
        Ok(())
    }
}
