//! What commands and the server are set up with: the catalogue of what playbooks may name, the evaluator, the
//! destinations.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::outbound::destination::Rules;
use engine::outbound::secret::{FromMachine, InOrder, Lookup};
use engine::outbound::vault::{CHECK_MARK, KEY_FILE, MasterKey, SECRETS_PREFIX, Vault, VaultError};
use engine::outbound::{Destinations, Secrets, destination};
use engine::registry::DestinationRules;
use playbook::{ActionSpec, Catalog, Diagnostic, Evaluator, ProbeError, Severity, Span};

use crate::config::Config;

/// Largest file of destinations, in bytes.
const DESTINATIONS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The one evaluator of this process.
///
/// # Errors
/// [`ProbeError`] when memory is not counted: then scripts would have no memory budget, and nothing may start.
pub(crate) fn evaluator() -> Result<Evaluator, ProbeError> {
    Evaluator::new(crate::memory::allocated)
}

/// All actions.
pub(crate) fn actions() -> Vec<&'static ActionSpec> {
    engine::action::actions().iter().map(|action| action.spec()).collect()
}

/// What playbooks may name. Destinations are not checked where they are not known.
pub(crate) fn catalog(config: &Config, destinations: Option<&Destinations>) -> Catalog {
    Catalog {
        actions: actions(),
        destinations: destinations.map(|all| all.map.keys().cloned().collect()),
        event_sets: destinations.map(|all| all.event_sets.clone()).unwrap_or_default(),
        words: config.words.clone(),
        queues: {
            let queues = &config.triage.rules.queues;
            (!queues.is_empty()).then(|| queues.keys().cloned().collect())
        },
        tenants: tenants(config),
    }
}

/// The variable that holds the master key itself.
pub(crate) const KEY_VARIABLE: &str = "SORTIE_SECRETS_KEY";

/// The secrets: those of this machine, then `others`.
pub(crate) fn secrets(config: &Config, others: Arc<dyn Lookup>) -> Secrets {
    let machine: Arc<dyn Lookup> = Arc::new(FromMachine { dir: config.secrets_dir.clone() });
    Secrets::new(Arc::new(InOrder(vec![machine, others])))
}

/// What a store keeps secret, with the master key of the environment, of the configuration, or of the data folder.
///
/// # Errors
/// [`VaultError`] when the key is missing, wrong or cannot be read; the store's own error.
pub(crate) fn vault(config: &Config, store: &dyn store::Store) -> Result<Result<Vault, VaultError>, store::Error> {
    let check = store.mark(CHECK_MARK)?;
    let secrets = store.marks(SECRETS_PREFIX)?;
    Ok(key(config).and_then(|(key, make)| Vault::open(key, make, check.as_deref(), secrets)))
}

/// The master key, and where one is made when it is needed and there is none.
fn key(config: &Config) -> Result<(Option<MasterKey>, Option<PathBuf>), VaultError> {
    if let Some(text) = std::env::var(KEY_VARIABLE).ok().filter(|text| !text.is_empty()) {
        return Ok((Some(MasterKey::parse(&text, KEY_VARIABLE)?), None));
    }
    if let Some(path) = &config.secrets_key {
        let missing = || VaultError::File { path: path.display().to_string(), why: "there is no such file".to_owned() };
        return Ok((Some(MasterKey::read(path)?.ok_or_else(missing)?), None));
    }
    let path = config.data.join(KEY_FILE);
    Ok((MasterKey::read(&path)?, Some(path)))
}

/// What destinations are checked against.
pub(crate) fn destination_rules(config: &Config) -> DestinationRules {
    DestinationRules { max: config.limits.destinations, tenants: tenants(config) }
}

fn tenants(config: &Config) -> Option<BTreeSet<String>> {
    (!config.tenants.is_empty()).then(|| config.tenants.iter().cloned().collect())
}

/// Reads a file of destinations; nothing when there is none.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn destinations(path: &Path, config: &Config) -> Result<Option<Destinations>, Vec<Diagnostic>> {
    let name: Arc<str> = path.display().to_string().into();
    let unreadable = |message: String| {
        vec![Diagnostic {
            code: crate::config::codes::UNREADABLE,
            severity: Severity::Error,
            message,
            file: name.clone(),
            span: Span { line: 1, column: 1, len: 1 },
            excerpt: String::new(),
            help: Some("correct the file, or let `destinations:` of the configuration name another one".to_owned()),
        }]
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(format!("the destinations cannot be read: {error}"))),
        Ok(data) if data.len() > DESTINATIONS_BYTES_MAX => {
            return Err(unreadable(format!("the file is larger than {DESTINATIONS_BYTES_MAX} bytes")));
        }
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| unreadable(format!("the destinations cannot be read: {error}")))?;
    let known = destination_rules(config);
    let rules = Rules { egress: &config.egress, max: known.max, tenants: known.tenants.as_ref() };
    destination::read(&name, &text, rules).map(Some)
}
