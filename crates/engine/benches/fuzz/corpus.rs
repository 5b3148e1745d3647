//! What mutations begin with: the shipped playbooks, the broken ones of the golden messages, the shipped sources and what
//! their products send.

use std::path::{Path, PathBuf};

use engine::source::file;
use playbook::Evaluator;

/// Good and broken texts.
pub(crate) struct Corpus {
    pub(crate) playbooks: Vec<String>,
    pub(crate) sources: Vec<(&'static str, &'static str)>,
    /// The source and the body.
    pub(crate) bodies: Vec<(&'static str, String)>,
}

impl Corpus {
    pub(crate) fn read() -> Corpus {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut playbooks = Vec::new();
        for folder in ["playbooks", "crates/playbook/tests/diagnostics"] {
            texts(&root.join(folder), &mut playbooks);
        }
        let sources: Vec<_> = file::names().filter_map(|name| Some((name, file::text(name)?))).collect();
        let mut bodies = Vec::new();
        for name in file::names() {
            let shipped = file::shipped(name, &Evaluator::uncounted());
            let samples = shipped.map(|file| file.samples.clone()).unwrap_or_default();
            bodies.extend(samples.into_iter().map(|sample| (name, sample.body)));
        }
        Corpus { playbooks, sources, bodies }
    }
}

fn texts(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            texts(&path, found);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.extend(std::fs::read(&path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}
