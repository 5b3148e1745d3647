//! The tests of one playbook, carried out by the server: those of the loaded text, and those of the file beside it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::Engine;
use engine::simulate::trial::{Bench, Coverage};
use playbook::Playbook;
use playbook::testing::{FILE_ENDING, Test};

use super::{Trial, Workshop};
use crate::serve::folder;

/// Most tests of one playbook that are carried out at once.
const TESTS_MAX: usize = 500;
/// How long the tests of one playbook may take; those that are left are told as not carried out.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why nothing was carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The folder cannot be read, or there is no thread of its own.
    #[error("the tests cannot be carried out: {0}")]
    System(#[from] std::io::Error),
}

/// What became of a test.
#[derive(Debug)]
pub(crate) struct One {
    /// Its name.
    pub(crate) name: String,
    /// Its file.
    pub(crate) file: String,
    /// Its line, from 1.
    pub(crate) line: u32,
    /// What did not come as expected; empty when it passed.
    pub(crate) differences: Vec<Difference>,
}

/// Something that did not come as expected.
#[derive(Debug)]
pub(crate) struct Difference {
    /// What was looked at.
    pub(crate) what: String,
    /// What was expected.
    pub(crate) wanted: Option<String>,
    /// What came.
    pub(crate) got: String,
    /// The line of the expectation.
    pub(crate) line: u32,
}

/// What became of the tests of a playbook.
#[derive(Debug)]
pub(crate) struct Tested {
    /// Which text was tested.
    pub(crate) trial: Trial,
    /// Each test, in the order of the files.
    pub(crate) all: Vec<One>,
    /// Tests that were not carried out, for want of time.
    pub(crate) left_out: usize,
    /// Mistakes in the file of tests.
    pub(crate) wrong: Vec<String>,
    /// Steps, and how many of them some test reached.
    pub(crate) steps: (usize, usize),
    /// What no test reached, with the line.
    pub(crate) missed: Vec<(String, u32)>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Carries out the tests of a loaded playbook. Blocks.
///
/// # Errors
/// [`Error`] when the system refuses.
pub(crate) fn run(
    workshop: &Workshop,
    engine: &Engine,
    playbook: &Arc<Playbook>,
    trial: Trial,
) -> Result<Tested, Error> {
    let began = Instant::now();
    let bench = bench(workshop, engine);
    let (mut tests, mut wrong) = (playbook.tests.clone(), Vec::new());
    beside(workshop, &bench, playbook, (&mut tests, &mut wrong))?;
    // Without a network: a driver for time is all that the engine's waiting needs.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut tested =
        Tested { trial, all: Vec::new(), left_out: 0, wrong, steps: (0, 0), missed: Vec::new(), took: Duration::ZERO };
    let mut coverage = Coverage::of(playbook);
    for test in &tests {
        if tested.all.len() >= TESTS_MAX || began.elapsed() > PATIENCE {
            tested.left_out += 1;
            continue;
        }
        let outcome = runtime.block_on(bench.run(playbook, test));
        coverage.merge(&outcome.coverage);
        tested.all.push(One {
            name: test.name.clone(),
            file: test.file.to_string(),
            line: test.span.line,
            differences: outcome.differences.into_iter().map(Difference::of).collect(),
        });
    }
    tested.steps = (coverage.steps.len(), coverage.reached.len());
    let steps = coverage.missed_steps().into_iter().map(|(path, span)| (format!("step {path}"), span.line));
    let branches = coverage.missed_branches().into_iter().map(|(branch, span)| (branch.to_string(), span.line));
    tested.missed = steps.chain(branches).collect();
    tested.took = began.elapsed();
    Ok(tested)
}

impl Difference {
    fn of(found: engine::simulate::trial::Difference) -> Difference {
        Difference { what: found.what, wanted: found.wanted, got: found.got, line: found.span.line }
    }
}

fn bench(workshop: &Workshop, engine: &Engine) -> Bench {
    let context = engine.context();
    let destinations = context.destinations();
    Bench {
        evaluator: engine.evaluator().clone(),
        words: context.words.clone(),
        triage: engine.triage().as_ref().clone(),
        destinations: (*destinations).clone(),
        egress: workshop.egress.clone(),
        tenants: workshop.catalog.tenants.clone().unwrap_or_default(),
        catalog: workshop.catalog(&destinations.event_sets),
        playbooks: engine.playbooks().playbooks().to_vec(),
    }
}

/// The tests of `NAME.test.yaml` files that name this playbook.
fn beside(
    workshop: &Workshop,
    bench: &Bench,
    playbook: &Arc<Playbook>,
    (tests, wrong): (&mut Vec<Test>, &mut Vec<String>),
) -> Result<(), Error> {
    let Some(root) = &workshop.playbooks else { return Ok(()) };
    let read = match folder::read(root, root.file_name().map_or(root, std::path::Path::new)) {
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // Of the folder only what this is about: its own text, which the tests are checked against, and files of tests.
    let mut sources: Vec<playbook::Source> =
        read.sources.into_iter().filter(|source| source.file.ends_with(FILE_ENDING)).collect();
    if sources.is_empty() {
        return Ok(());
    }
    sources.push(playbook::Source { file: playbook.file.clone(), text: playbook.text.to_string() });
    let checked = playbook::check(&sources, &bench.catalog, &bench.evaluator);
    let files = checked.tests.into_iter().filter(|file| *file.playbook == *playbook.id);
    tests.extend(files.flat_map(|file| file.tests));
    let stem = playbook.file.trim_end_matches(".yaml").trim_end_matches(".yml");
    let own = format!("{stem}{FILE_ENDING}");
    let mistakes = checked.diagnostics.iter().filter(|found| *found.file == *own);
    wrong.extend(mistakes.map(|found| format!("{}:{}: {}", found.file, found.span.line, found.message)));
    Ok(())
}
