//! From texts to playbooks: everything that is wrong with every file, at once.
//!
//! `head` reads the keys of a playbook, `triggers` what starts it, `control` what bounds it, `inputs` what it is given, `steps`,
//! `blocks` and `params` what it does; `calls` and `cycles` look at all of them together, `fuses` at those that should have one,
//! `named` at those that listen to others, `dead` at branches that are never taken, `fights` at those that set the same field
//! to different values.

mod blocks;
mod calls;
mod control;
mod cycles;
mod dead;
mod fights;
mod fuses;
mod head;
mod inputs;
mod kinds;
mod named;
mod params;
mod steps;
mod triggers;
mod watching;

pub(crate) use kinds::BLOCKS;
pub use kinds::block_names;
pub(crate) use triggers::TRIGGERS;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Severity};
use crate::reader::Reader;
use crate::script::Evaluator;
use crate::syntax::Playbook;
use crate::testing::{self, TestFile};
use crate::yaml;

/// The text of one file.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file, as it is named in messages.
    pub file: Arc<str>,
    /// Its text.
    pub text: String,
}

/// The outcome for a set of files.
#[derive(Debug, Default)]
pub struct Checked {
    /// Those without errors, by order and id.
    pub playbooks: Vec<Arc<Playbook>>,
    /// The files of tests without errors.
    pub tests: Vec<TestFile>,
    /// What is wrong, by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    /// Whether there is an error.
    pub fn failed(&self) -> bool {
        self.diagnostics.iter().any(|found| found.severity == Severity::Error)
    }
}

/// One file being checked.
struct Checker<'a> {
    reader: Reader,
    catalog: &'a Catalog,
    evaluator: &'a Evaluator,
}

/// Checks a set of files, those of tests (`NAME.test.yaml`) among them. Two files with one id are both reported, and
/// neither is among the playbooks.
pub fn check(sources: &[Source], catalog: &Catalog, evaluator: &Evaluator) -> Checked {
    let is_test = |source: &&Source| source.file.ends_with(testing::FILE_ENDING);
    let playbooks: Vec<&Source> = sources.iter().filter(|source| !is_test(source)).collect();
    let mut checked = check_playbooks(&playbooks, catalog, evaluator);
    for source in sources.iter().filter(is_test) {
        let stem = source.file.trim_end_matches(testing::FILE_ENDING);
        let beside = |file: &str| file.strip_prefix(stem).is_some_and(|end| end == ".yaml" || end == ".yml");
        let id = checked.playbooks.iter().find(|playbook| beside(&playbook.file)).map(|playbook| playbook.id.clone());
        // What is wrong with the playbook itself is said there.
        if id.is_none() && playbooks.iter().any(|source| beside(&source.file)) {
            continue;
        }
        match testing::read_file(source, &checked.playbooks, id.as_deref(), catalog) {
            Ok(file) => checked.tests.push(file),
            Err(found) => checked.diagnostics.extend(found),
        }
    }
    foreign(sources, &mut checked);
    checked.diagnostics.sort_by(|a, b| (&a.file, a.span, a.code).cmp(&(&b.file, b.span, b.code)));
    checked
}

/// Steps of other playbooks that tests name.
fn foreign(sources: &[Source], checked: &mut Checked) {
    let by_id: BTreeMap<&str, &Arc<Playbook>> = checked.playbooks.iter().map(|one| (&*one.id, one)).collect();
    let mut found = Vec::new();
    for playbook in &checked.playbooks {
        found.extend(testing::check_foreign(playbook, &playbook.tests, &playbook.text, &by_id));
    }
    for file in &checked.tests {
        let Some(playbook) = by_id.get(file.playbook.as_str()) else { continue };
        let named = file.tests.first().map(|test| &test.file);
        let source = sources.iter().find(|source| Some(&source.file) == named);
        let text = source.map_or("", |source| source.text.as_str());
        found.extend(testing::check_foreign(playbook, &file.tests, text, &by_id));
    }
    let broken: Vec<Arc<str>> = found.iter().map(|one| Arc::clone(&one.file)).collect();
    checked.tests.retain(|file| file.tests.first().is_none_or(|test| !broken.contains(&test.file)));
    checked.diagnostics.extend(found);
}

fn check_playbooks(sources: &[&Source], catalog: &Catalog, evaluator: &Evaluator) -> Checked {
    let mut checked = Checked::default();
    let mut ids: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
    let mut found = Vec::with_capacity(sources.len());
    for (at, source) in sources.iter().enumerate() {
        let (playbook, id, diagnostics) = read(source, catalog, evaluator);
        checked.diagnostics.extend(diagnostics);
        if let Some((id, span)) = id {
            ids.entry(id).or_default().push(at);
            found.push((playbook, span));
        } else {
            found.push((None, crate::diagnostic::Span { line: 1, column: 1, len: 1 }));
        }
    }
    for (id, files) in ids.iter().filter(|(_, files)| files.len() > 1) {
        for &at in files {
            let (Some(source), Some((playbook, span))) = (sources.get(at), found.get_mut(at)) else { continue };
            *playbook = None;
            let others = files.iter().filter(|other| **other != at).filter_map(|other| sources.get(*other));
            let others: Vec<&str> = others.map(|other| &*other.file).take(3).collect();
            let reader = Reader::new(source.file.clone(), &source.text);
            let message = format!("the id `{id}` is also used in {}", others.join(", "));
            let help = Some("each playbook needs an id of its own".to_owned());
            checked.diagnostics.push(reader.diagnostic("PB107", *span, message, help));
        }
    }
    checked.playbooks = found.into_iter().filter_map(|(playbook, _)| playbook).map(Arc::new).collect();
    checked.playbooks.sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
    let known: Vec<&str> = ids.keys().map(|id| &**id).collect();
    calls::check(&mut checked, &known);
    checked.diagnostics.extend(cycles::warnings(&checked.playbooks));
    checked.diagnostics.extend(dead::warnings(&checked.playbooks));
    checked.diagnostics.extend(fights::warnings(&checked.playbooks));
    checked.diagnostics.extend(fuses::warnings(&checked.playbooks));
    checked.diagnostics.extend(named::warnings(&checked.playbooks));
    checked
}

/// Checks one file. Warnings are not told; use [`check()`] for them.
///
/// # Errors
/// Everything that is wrong with it.
pub fn compile(source: &Source, catalog: &Catalog, evaluator: &Evaluator) -> Result<Playbook, Vec<Diagnostic>> {
    let (playbook, _, found) = read(source, catalog, evaluator);
    playbook.ok_or(found)
}

/// What is known of one file: the playbook when nothing is wrong, its id where it can be read, and what was found.
type Read = (Option<Playbook>, Option<(Arc<str>, crate::diagnostic::Span)>, Vec<Diagnostic>);

fn read(source: &Source, catalog: &Catalog, evaluator: &Evaluator) -> Read {
    let (node, warnings) = match yaml::parse_and_warn(&source.file, &source.text) {
        Ok(read) => read,
        Err(found) => return (None, None, found),
    };
    let mut checker = Checker { reader: Reader::new(source.file.clone(), &source.text), catalog, evaluator };
    checker.reader.extend(warnings);
    let playbook = checker.playbook(&node);
    let id = node.get("playbook").and_then(|id| Some((id.as_text()?.into(), id.span)));
    let playbook = playbook.filter(|_| !checker.reader.failed());
    (playbook, id, checker.reader.finish())
}
