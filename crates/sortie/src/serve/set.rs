//! Which texts hold: the files as they are, and for each broken one the last text that was good.
//!
//! Invariants: a file that does not pass the check never replaces the one that is loaded, in a running server and over a
//! restart alike. A file that is gone takes its playbook with it. Of two files with one id neither replaces the loaded
//! one. What was kept is said, loudly.

use std::collections::BTreeSet;
use std::sync::Arc;

use playbook::{Catalog, Checked, Diagnostic, Evaluator, Playbook, Severity, Source};

use super::folder::Folder;

/// A text that was good once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Good {
    /// The playbook's id.
    pub(crate) id: String,
    /// The file that it came from.
    pub(crate) file: Arc<str>,
    /// The text.
    pub(crate) text: String,
}

/// The set that is to be loaded.
#[derive(Debug, Default)]
pub(crate) struct Set {
    /// The playbooks, in their order.
    pub(crate) playbooks: Vec<Arc<Playbook>>,
    /// Everything that is wrong with the files.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The playbooks whose last good text is used because their file is broken: id and file.
    pub(crate) kept: Vec<(String, Arc<str>)>,
    /// Broken files for which there is no good text.
    pub(crate) lost: Vec<Arc<str>>,
}

/// Puts the set together.
pub(crate) fn assemble(folder: Folder, good: &[Good], catalog: &Catalog, evaluator: &Evaluator) -> Set {
    let Checked { playbooks, mut diagnostics, .. } = playbook::check(&folder.sources, catalog, evaluator);
    diagnostics.extend(folder.diagnostics);
    let mut set = Set { playbooks, diagnostics, ..Set::default() };
    let broken: BTreeSet<Arc<str>> =
        set.diagnostics.iter().filter(|d| d.severity == Severity::Error).map(|d| d.file.clone()).collect();
    let loaded: BTreeSet<Arc<str>> = set.playbooks.iter().map(|playbook| playbook.file.clone()).collect();
    for file in broken.into_iter().filter(|file| !loaded.contains(file)) {
        match last_good(&set, good, &file, catalog, evaluator) {
            Some(playbook) => {
                set.kept.push((playbook.id.to_string(), file));
                set.playbooks.push(playbook);
            }
            None => set.lost.push(file),
        }
    }
    set.playbooks.sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
    set
}

/// The last good text of a file, if its id is not loaded from elsewhere meanwhile and it still passes the check.
fn last_good(
    set: &Set,
    good: &[Good],
    file: &Arc<str>,
    catalog: &Catalog,
    evaluator: &Evaluator,
) -> Option<Arc<Playbook>> {
    let last = good.iter().find(|good| good.file == *file)?;
    if set.playbooks.iter().any(|playbook| *playbook.id == *last.id) {
        return None;
    }
    let source = Source { file: last.file.clone(), text: last.text.clone() };
    playbook::compile(&source, catalog, evaluator).ok().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "playbook: a\ntriggers: [manual]\nsteps:\n  - { id: one, action: log, with: { message: hello } }\n";

    fn source(file: &str, text: &str) -> Source {
        Source { file: file.into(), text: text.to_owned() }
    }

    fn made(files: &[(&str, &str)], good: &[Good]) -> Set {
        let folder = Folder { sources: files.iter().map(|(f, t)| source(f, t)).collect(), diagnostics: Vec::new() };
        let catalog = Catalog { actions: crate::setup::actions(), ..Catalog::default() };
        assemble(folder, good, &catalog, &Evaluator::new(crate::memory::allocated).unwrap())
    }

    fn good(id: &str, file: &str, text: &str) -> Good {
        Good { id: id.to_owned(), file: file.into(), text: text.to_owned() }
    }

    fn ids(set: &Set) -> Vec<&str> {
        set.playbooks.iter().map(|playbook| &*playbook.id).collect()
    }

    #[test]
    fn a_broken_file_keeps_its_last_good_text_and_says_so() {
        let set = made(&[("a.yaml", "playbook: a\nsteps: oops\n")], &[good("a", "a.yaml", GOOD)]);
        assert_eq!(ids(&set), ["a"]);
        assert_eq!(&*set.playbooks[0].text, GOOD);
        assert_eq!(set.kept, [("a".to_owned(), "a.yaml".into())]);
        assert!(!set.diagnostics.is_empty());
    }

    #[test]
    fn a_broken_file_that_was_never_good_is_lost_and_the_others_load() {
        let set = made(&[("a.yaml", GOOD), ("b.yaml", "playbook: b\n")], &[]);
        assert_eq!(ids(&set), ["a"]);
        assert_eq!(set.lost, ["b.yaml".into()]);
    }

    #[test]
    fn a_file_that_is_gone_takes_its_playbook_with_it() {
        let set = made(&[], &[good("a", "a.yaml", GOOD)]);
        assert!(set.playbooks.is_empty());
        assert!(set.kept.is_empty());
    }

    #[test]
    fn of_two_files_with_one_id_the_loaded_one_stays() {
        let other = GOOD.replace("hello", "other");
        let set = made(&[("a.yaml", GOOD), ("b.yaml", &other)], &[good("a", "a.yaml", GOOD)]);
        assert_eq!(ids(&set), ["a"]);
        assert_eq!(&*set.playbooks[0].text, GOOD);
        assert_eq!(set.lost, ["b.yaml".into()]);
        let set = made(&[("a.yaml", GOOD), ("b.yaml", &other)], &[]);
        assert!(set.playbooks.is_empty(), "without a loaded one nobody can know which is meant");
    }
}
