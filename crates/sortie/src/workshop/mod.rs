//! Trying playbooks out in a running server: their tests ([`tests`]), and what they would have decided about the events
//! that the store holds ([`past`]); and what is wrong with their files.
//!
//! Invariants: nothing leaves the machine and nothing is stored. One trial goes on at a time, bounded in time, in events
//! and in tests, so that it holds up nobody else for long.

pub(crate) mod past;
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use engine::outbound::Egress;
use model::{Digest, Time};
use playbook::{Catalog, Diagnostic, Severity};
use tokio::sync::Semaphore;

use self::tests::Tested;
use crate::config::Config;

/// Playbooks whose last tests are remembered.
const TESTED_MAX: usize = 1_000;
/// Mistakes in files that are remembered.
const WRONG_MAX: usize = 200;

/// What is needed to try playbooks out, and what came of it.
#[derive(Default)]
pub(crate) struct Workshop {
    /// The folder of playbooks; nothing for a command that only asks.
    playbooks: Option<PathBuf>,
    /// By which addresses are judged.
    egress: Egress,
    /// What playbooks may name, without their destinations.
    catalog: Catalog,
    /// What is wrong with the files.
    wrong: Notes,
    /// The last tests of each playbook.
    tested: Mutex<BTreeMap<String, Arc<Tested>>>,
    turn: Turn,
}

/// One trial at a time.
struct Turn(Arc<Semaphore>);

impl Default for Turn {
    fn default() -> Turn {
        Turn(Arc::new(Semaphore::new(1)))
    }
}

/// A mistake in a file of playbooks.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Wrong {
    /// The file, as messages name it.
    pub(crate) file: String,
    /// The line, from 1.
    pub(crate) line: u32,
    /// The column, from 1.
    pub(crate) column: u32,
    /// Which mistake it is.
    pub(crate) code: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
    /// The playbook whose last good text stays loaded; nothing where there is none.
    pub(crate) kept: Option<String>,
}

/// What is wrong with the files now; shared with what reads them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<Wrong>>>);

impl Notes {
    /// Takes down what is wrong; `kept` are the playbooks whose last good text stays, with their files.
    pub(crate) fn set(&self, diagnostics: &[Diagnostic], kept: &[(String, Arc<str>)]) {
        let errors = diagnostics.iter().filter(|found| found.severity == Severity::Error).take(WRONG_MAX);
        let wrong = errors.map(|found| Wrong {
            file: found.file.to_string(),
            line: found.span.line,
            column: found.span.column,
            code: found.code.to_owned(),
            message: found.message.clone(),
            help: found.help.clone(),
            kept: kept.iter().find(|(_, file)| *file == found.file).map(|(id, _)| id.clone()),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = wrong.collect();
    }

    /// What is wrong, the first mistakes.
    pub(crate) fn all(&self) -> Vec<Wrong> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Workshop {
    /// For a server of this configuration.
    pub(crate) fn new(config: &Config, wrong: Notes) -> Workshop {
        Workshop {
            playbooks: Some(config.playbooks.clone()),
            egress: config.egress.clone(),
            catalog: crate::setup::catalog(config, None),
            wrong,
            ..Workshop::default()
        }
    }

    /// What a text that is tried may name; destinations that are not known are taken to exist.
    pub(crate) fn catalog(&self, event_sets: &BTreeMap<String, Vec<String>>) -> Catalog {
        Catalog { event_sets: event_sets.clone(), destinations: None, ..self.catalog.clone() }
    }

    /// What is wrong with the files.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        self.wrong.all()
    }

    /// The turn of one trial; nothing while another goes on.
    pub(crate) fn turn(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        Arc::clone(&self.turn.0).try_acquire_owned().ok()
    }

    /// The last tests of a playbook.
    pub(crate) fn tested(&self, playbook: &str) -> Option<Arc<Tested>> {
        self.tested.lock().unwrap_or_else(PoisonError::into_inner).get(playbook).cloned()
    }

    /// Remembers tests.
    pub(crate) fn remember(&self, playbook: &str, tested: Arc<Tested>) {
        let mut all = self.tested.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= TESTED_MAX && !all.contains_key(playbook) {
            all.pop_first();
        }
        all.insert(playbook.to_owned(), tested);
    }
}

/// Which text was tried, when, by whom.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// The text.
    pub(crate) digest: Digest,
    /// When.
    pub(crate) at: Time,
    /// Who asked.
    pub(crate) by: String,
}

impl std::fmt::Debug for Workshop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workshop").field("playbooks", &self.playbooks).finish_non_exhaustive()
    }
}
