//! Destinations in force: those of the file, those that people made, and the switches.
//!
//! What people make is kept in the store as the file's own keys, sealed whole, since a URL may be a credential too. It is
//! read by the file's own reader, so that there is one set of rules. A change holds as soon as it is recorded.
//!
//! Invariants: a destination of the file is changed in the file; here it is only switched. An id is used once; where the
//! file and a person use the same, the file wins, loudly. Nothing of what was given as a secret comes out again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Record;
use serde_json::json;
use store::Store;
use tokio::sync::{Mutex, watch};

use crate::outbound::destination::{self, Home, Rules};
use crate::outbound::vault::Vault;
use crate::outbound::{Destination, Destinations};
use crate::refusal::Refusal;

/// What the marks of destinations that people made begin with; the id follows.
pub const MADE_PREFIX: &str = "destination/";
/// What the marks of destinations of the file that people switched off begin with; the id follows.
pub const OFF_PREFIX: &str = "destination-off/";
/// Ids that are words of the API.
pub(crate) const RESERVED: [&str; 2] = ["test", "validate"];

/// A destination that somebody made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    /// The keys that were given, secrets among them: not for showing.
    pub(crate) body: Record,
    /// What they mean; nothing when the rules have changed since and refuse them.
    pub(crate) read: Option<Arc<Destination>>,
}

/// All destinations.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) file: Destinations,
    pub(crate) made: BTreeMap<String, Made>,
    pub(crate) off: BTreeSet<String>,
}

/// What destinations are checked against besides the policy of the client.
#[derive(Debug, Clone)]
pub struct DestinationRules {
    /// Most destinations, those of the file included.
    pub max: usize,
    /// The tenants; nothing when there are none.
    pub tenants: Option<BTreeSet<String>>,
}

impl Default for DestinationRules {
    fn default() -> DestinationRules {
        DestinationRules { max: model::limits::DESTINATIONS_MAX, tenants: None }
    }
}

/// What an engine holds of destinations and secrets.
/// Shared by all handles of it.
pub(crate) struct Kept {
    /// The destinations; held while one of them, or a secret, is changed.
    pub(crate) registry: Mutex<Registry>,
    pub(crate) rules: DestinationRules,
    pub(crate) vault: Arc<Vault>,
    /// Rises when a destination was made: a playbook that was refused for want of it may be good now.
    pub(crate) made: watch::Sender<u64>,
}

impl Kept {
    pub(crate) fn new(registry: Registry, rules: DestinationRules, vault: Arc<Vault>) -> Kept {
        Kept { registry: Mutex::new(registry), rules, vault, made: watch::Sender::new(0) }
    }
}

/// Why a destination is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// It cannot be so, or not now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The caller may not.
    #[error("{0}")]
    Forbidden(&'static str),
}

/// Decides whether a caller may make `after` of `before`.
pub type Permit<'a> = &'a (dyn Fn(Option<&Destination>, &Destination) -> Result<(), &'static str> + Send + Sync);

impl Registry {
    /// These alone.
    pub(crate) fn of(file: Destinations) -> Registry {
        Registry { file, ..Registry::default() }
    }

    /// Reads what people made and switched.
    pub(crate) fn open(
        store: &dyn Store,
        vault: &Vault,
        file: Destinations,
        egress: &crate::outbound::Egress,
        rules: &DestinationRules,
    ) -> Result<Registry, store::Error> {
        let mut registry = Registry::of(file);
        for (mark, sealed) in store.marks(MADE_PREFIX)? {
            let id = mark.strip_prefix(MADE_PREFIX).unwrap_or(&mark).to_owned();
            let opened = vault.unseal(&mark, &sealed).map_err(|error| error.to_string());
            let body = opened.and_then(|plain| serde_json::from_slice(&plain).map_err(|error| error.to_string()));
            let made = match body {
                Err(why) => {
                    tracing::error!(destination = %id, why, "a destination cannot be opened; it is not in force");
                    Made { body: Record::new(), read: None }
                }
                Ok(body) => {
                    let read = read(&id, &body, egress, rules);
                    if let Err(why) = &read {
                        tracing::error!(destination = %id, %why, "a destination is refused by the rules of today; it is not in force");
                    }
                    Made { body, read: read.ok() }
                }
            };
            registry.made.insert(id, made);
        }
        for (mark, _) in store.marks(OFF_PREFIX)? {
            registry.off.extend(mark.strip_prefix(OFF_PREFIX).map(str::to_owned));
        }
        Ok(registry)
    }

    /// All of them as they hold now.
    pub(crate) fn in_force(&self) -> Destinations {
        let mut all = self.file.clone();
        for (id, destination) in &mut all.map {
            if self.off.contains(id) {
                *destination = Arc::new(Destination { enabled: false, ..(**destination).clone() });
            }
        }
        for (id, made) in &self.made {
            if all.map.contains_key(id) {
                tracing::error!(destination = %id, "this id stands in the file and was made by a person, too; the file wins");
            } else if let Some(read) = &made.read {
                all.map.insert(id.clone(), Arc::clone(read));
            }
        }
        all
    }

    pub(crate) fn known(&self, id: &str) -> bool {
        self.file.map.contains_key(id) || self.made.contains_key(id)
    }
}

/// Reads the keys of one destination.
///
/// # Errors
/// [`Refusal::Invalid`] with everything that is wrong.
pub(crate) fn read(
    id: &str,
    body: &Record,
    egress: &crate::outbound::Egress,
    rules: &DestinationRules,
) -> Result<Arc<Destination>, Refusal> {
    let invalid = |message: String| Refusal::Invalid { code: "invalid_destination", message };
    // JSON is YAML: the file's own reader says what is wrong.
    let text = json!({ "destinations": { id: body } }).to_string();
    let rules = Rules { egress, max: 1, tenants: rules.tenants.as_ref() };
    let all = destination::read(&Arc::from("request"), &text, rules).map_err(|found| {
        let all: Vec<String> = found
            .iter()
            .map(|d| {
                let help = d.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
                format!("{}: {}{help}", d.code, d.message)
            })
            .collect();
        invalid(all.join("; "))
    })?;
    let found = all.map.get(id).ok_or_else(|| invalid("nothing was read".to_owned()))?;
    Ok(Arc::new(Destination { home: Home::Made, ..(**found).clone() }))
}

/// The ids of the destinations that people made, for checking playbooks.
///
/// # Errors
/// [`store::Error`] when the store fails.
pub fn made_ids(store: &dyn Store) -> Result<Vec<String>, store::Error> {
    let marks = store.marks(MADE_PREFIX)?;
    Ok(marks.into_iter().filter_map(|(mark, _)| mark.strip_prefix(MADE_PREFIX).map(str::to_owned)).collect())
}
