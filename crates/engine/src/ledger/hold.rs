//! Legal holds: what is about a case, an alert or a run stays, whatever retention says, until the hold is lifted.
//!
//! A hold is a mark; which entries it means is found out anew before each sweep, so that what is recorded later about the
//! same thing is held too.

use std::collections::BTreeSet;

use model::event::Actor;
use model::{Kind, ObjectKey, RunId, Seq, Time};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Error, Store};

use super::bundle::{BundleError, of_object};
use crate::engine::Engine;
use crate::refusal::Refusal;

/// The marks under which holds are kept.
const PREFIX: &str = "hold/";
/// Holds at the same time.
pub const HOLDS_MAX: usize = 1_000;
/// Longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 2_000;

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// An alert or a case, with its runs.
    Object(ObjectKey),
    /// A run.
    Run(RunId),
}

impl Held {
    /// Its name: `case:C-1`, `alert:A-1`, `run:run-…`.
    pub fn name(&self) -> String {
        match self {
            Held::Object(key) => format!("{}:{}", key.kind, key.id),
            Held::Run(id) => format!("run:{id}"),
        }
    }

    /// What a name means; `tenant` is whose an alert or a case is.
    pub fn parse(name: &str, tenant: &str) -> Option<Held> {
        let (kind, id) = name.split_once(':').filter(|(_, id)| !id.is_empty())?;
        let kind = match kind {
            "case" => Kind::Case,
            "alert" => Kind::Alert,
            "run" => return id.parse().ok().map(Held::Run),
            _ => return None,
        };
        Some(Held::Object(ObjectKey { tenant: tenant.to_owned(), kind, id: id.to_owned() }))
    }

    fn mark(&self) -> String {
        match self {
            Held::Object(key) => format!("{PREFIX}{}/{}", key.tenant, self.name()),
            Held::Run(_) => format!("{PREFIX}/{}", self.name()),
        }
    }
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What is held.
    pub held: Held,
    /// Why.
    pub reason: String,
    /// Who placed it.
    pub by: String,
    /// When.
    pub since: Time,
}

/// All holds.
///
/// # Errors
/// [`Error`] when the store fails.
pub fn all(store: &dyn Store) -> Result<Vec<Hold>, Error> {
    let marks = store.marks(PREFIX)?;
    Ok(marks.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect())
}

/// Tells the store which entries are held now.
///
/// # Errors
/// [`BundleError`] when they cannot be found out; nothing is dropped then.
pub(crate) fn apply(store: &dyn Store) -> Result<(), BundleError> {
    let mut entries = BTreeSet::new();
    for hold in all(store)? {
        match &hold.held {
            Held::Object(key) => of_object(store, key, &mut entries)?,
            Held::Run(id) => {
                if let Some(run) = store.run(*id)? {
                    entries.extend(run.entries.iter().chain([&id.seq]).map(|seq| seq.0));
                }
            }
        }
    }
    store.hold(entries.into_iter().map(Seq).collect());
    Ok(())
}

impl Engine {
    /// Places a hold, or changes its reason.
    ///
    /// # Errors
    /// [`Refusal`] when there is no such thing, the reason is missing or too long, or there are too many.
    pub async fn hold(&self, held: Held, reason: String, actor: Actor) -> Result<Hold, Refusal> {
        if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
            let message = format!("`reason` says why, in at most {REASON_BYTES_MAX} bytes");
            return Err(Refusal::Invalid { code: "invalid_reason", message });
        }
        let store = self.store();
        let failed = |error: Error| Refusal::from(&error);
        let there = match &held {
            Held::Object(key) => store.object(key).map_err(failed)?.is_some(),
            Held::Run(id) => store.run(*id).map_err(failed)?.is_some(),
        };
        if !there {
            return Err(Refusal::NotFound { what: format!("`{}`", held.name()) });
        }
        if store.marks(PREFIX).map_err(failed)?.len() >= HOLDS_MAX {
            return Err(Refusal::Conflict(format!("there are {HOLDS_MAX} holds; lift one first")));
        }
        let hold = Hold { held, reason, by: actor.to_string(), since: store.now() };
        let value = serde_json::to_vec(&hold).unwrap_or_default();
        let what = json!({ "what": "hold placed", "reason": hold.reason });
        self.set_marks(vec![(hold.held.mark(), Some(value))], hold.held.name(), what, actor).await?;
        Ok(hold)
    }

    /// Lifts a hold.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is none.
    pub async fn lift_hold(&self, held: &Held, actor: Actor) -> Result<(), Refusal> {
        if self.store().mark(&held.mark()).map_err(|error| Refusal::from(&error))?.is_none() {
            return Err(Refusal::NotFound { what: format!("hold on `{}`", held.name()) });
        }
        let what = json!({ "what": "hold lifted" });
        self.set_marks(vec![(held.mark(), None)], held.name(), what, actor).await.map(drop)
    }
}
