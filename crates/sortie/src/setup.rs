//! What commands and the server are set up with: the catalogue of what playbooks may name, the evaluator, the
//! destinations.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use engine::outbound::secret::FromMachine;
use engine::outbound::{Destinations, Egress, Secrets, destination};
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
        tenants: (!config.tenants.is_empty()).then(|| config.tenants.iter().cloned().collect::<BTreeSet<_>>()),
    }
}

/// The secrets of this machine.
pub(crate) fn secrets(config: &Config) -> Secrets {
    Secrets::new(Arc::new(FromMachine { dir: config.secrets_dir.clone() }))
}

/// Reads a file of destinations; nothing when there is none.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn destinations(path: &Path, egress: &Egress) -> Result<Option<Destinations>, Vec<Diagnostic>> {
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
    destination::read(&name, &text, egress).map(Some)
}
