//! The playbooks of a server over time: what is read from the folder, what was good before, what is said about it.

use std::sync::Arc;

use engine::engine::PLAYBOOK_PREFIX;
use engine::outbound::Destinations;
use engine::registry;
use model::Digest;
use playbook::{Diagnostic, Evaluator, Playbook, Severity, Source};
use store::Store;

use super::Error;
use super::folder::{self, Folder, Look};
use super::set::{self, Good, Set};
use crate::config::{Config, Reload};
use crate::setup;
use crate::workshop::Notes;

/// Reads playbooks, again and again.
#[derive(Clone)]
pub(super) struct Library {
    config: Config,
    evaluator: Evaluator,
    good: Vec<Good>,
    /// The ids of the destinations of the file, as they were when it was good last.
    file: Vec<String>,
    /// The ids of the destinations that people made.
    made: Vec<String>,
    seen: Looks,
    /// What is wrong with the files, for those who look at the pages.
    notes: Notes,
}

/// How the folder and the file of destinations looked.
pub(super) type Looks = (Look, Look);

/// What is to be loaded.
pub(super) struct Fresh {
    /// The playbooks.
    pub(super) playbooks: Vec<Arc<Playbook>>,
    /// The destinations; nothing when their file is broken and those that are loaded stay.
    pub(super) destinations: Option<Destinations>,
}

impl Library {
    /// For a configuration.
    pub(super) fn new(config: Config, evaluator: Evaluator) -> Library {
        let (good, file, made, seen) = (Vec::new(), Vec::new(), Vec::new(), Looks::default());
        let mut library = Library { config, evaluator, good, file, made, seen, notes: Notes::default() };
        library.seen = library.looker()();
        library
    }

    /// The configuration.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// What is wrong with the files, as it is after each look at them.
    pub(super) fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// How changes are noticed.
    pub(super) fn reload(&self) -> Reload {
        self.config.reload
    }

    /// What looks at the folder of playbooks and the file of destinations, on whatever thread.
    pub(super) fn looker(&self) -> impl FnOnce() -> Looks + use<> {
        let (playbooks, destinations) = (self.config.playbooks.clone(), self.config.destinations.clone());
        move || (folder::look(&playbooks), folder::look_at_file(&destinations))
    }

    /// How everything looked just before it was read at the start: what changes after that is a change.
    pub(super) fn seen(&self) -> Looks {
        self.seen
    }

    /// The playbooks at a start: those of the folder, with the last good texts from the store for broken files.
    ///
    /// # Errors
    /// [`Error`] when the folder or the store cannot be read.
    pub(super) fn at_start(
        &mut self,
        store: &dyn Store,
        destinations: &Destinations,
    ) -> Result<Vec<Arc<Playbook>>, Error> {
        self.good = good(store)?;
        self.file = destinations.map.keys().cloned().collect();
        self.made = registry::made_ids(store)?;
        Ok(self.assemble(destinations)?.playbooks)
    }

    /// The playbooks as a server loaded them last, from the store alone; what no longer passes the check is left out.
    ///
    /// # Errors
    /// [`Error`] when the store cannot be read.
    pub(super) fn as_loaded(
        &self,
        store: &dyn Store,
        destinations: &Destinations,
    ) -> Result<Vec<Arc<Playbook>>, Error> {
        let mut catalog = setup::catalog(&self.config, Some(destinations));
        let ids = registry::made_ids(store)?;
        catalog.destinations.get_or_insert_default().extend(ids);
        let compile = |good: Good| {
            let source = Source { file: good.file, text: good.text };
            playbook::compile(&source, &catalog, &self.evaluator).ok().map(Arc::new)
        };
        Ok(good(store)?.into_iter().filter_map(compile).collect())
    }

    /// Reads everything again.
    ///
    /// # Errors
    /// [`Error`] when the folder or the store cannot be read.
    pub(super) fn again(&mut self, store: &dyn Store) -> Result<Fresh, Error> {
        self.good = good(store)?;
        self.made = registry::made_ids(store)?;
        let (destinations, known) = match setup::destinations(&self.config.destinations, &self.config) {
            Ok(destinations) => {
                let destinations = destinations.unwrap_or_default();
                (Some(destinations.clone()), destinations)
            }
            Err(diagnostics) => {
                tell(&diagnostics);
                tracing::error!("the destinations are broken; those that are loaded stay");
                (None, Destinations::default())
            }
        };
        if destinations.is_some() {
            self.file = known.map.keys().cloned().collect();
        }
        let set = self.assemble(&known)?;
        Ok(Fresh { playbooks: set.playbooks, destinations })
    }

    fn assemble(&self, known: &Destinations) -> Result<Set, Error> {
        let path = &self.config.playbooks;
        let folder = match folder::read_configured(path) {
            Ok(folder) => folder,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::warn!(folder = %path.display(), "there is no playbook folder; nothing is loaded from it");
                Folder::default()
            }
            Err(source) => return Err(Error::Playbooks { folder: path.display().to_string(), source }),
        };
        let mut catalog = setup::catalog(&self.config, Some(known));
        catalog.destinations = Some(self.file.iter().chain(&self.made).cloned().collect());
        let set = set::assemble(folder, &self.good, &catalog, &self.evaluator);
        tell(&set.diagnostics);
        self.notes.set(&set.diagnostics, &set.kept);
        for (id, file) in &set.kept {
            tracing::error!(playbook = %id, file = %file, "the file is broken: the text that was good before stays loaded");
        }
        for file in &set.lost {
            tracing::error!(file = %file, "the file is broken, and no text of it was good before: it is not loaded");
        }
        Ok(set)
    }
}

/// Says what is wrong with files, each as one line of the log.
fn tell(diagnostics: &[Diagnostic]) {
    for found in diagnostics {
        let place = format!("{}:{}:{}", found.file, found.span.line, found.span.column);
        let help = found.help.as_deref().unwrap_or_default();
        if found.severity == Severity::Error {
            tracing::error!(code = found.code, place, help, "{}", found.message);
        } else {
            tracing::warn!(code = found.code, place, help, "{}", found.message);
        }
    }
}

/// The texts that were loaded last.
fn good(store: &dyn Store) -> Result<Vec<Good>, store::Error> {
    let mut all = Vec::new();
    for (name, value) in store.marks(PLAYBOOK_PREFIX)? {
        let value = String::from_utf8_lossy(&value);
        let (digest, file) = value.split_once(' ').unwrap_or((&value, ""));
        let Ok(digest) = digest.parse::<Digest>() else { continue };
        if let Some(text) = store.text(&digest)?
            && let Ok(text) = String::from_utf8(text)
        {
            let id = name.strip_prefix(PLAYBOOK_PREFIX).unwrap_or(&name).to_owned();
            all.push(Good { id, file: file.into(), text });
        }
    }
    Ok(all)
}
