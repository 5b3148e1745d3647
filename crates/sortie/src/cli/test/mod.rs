//! `sortie test`: carries out the tests of playbooks and the samples of sources, without a server and without a network.
//!
//! Invariants: nothing leaves the machine. What is printed on stdout depends on the files alone, not on the machine.

mod junit;
mod samples;
mod tell;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use engine::simulate::trial::{Bench, Coverage, Outcome};
use playbook::testing::Test;
use playbook::{Playbook, Severity};

use super::World;
use super::args::TestArguments;
use super::exit::Error;
use crate::serve::folder;
use crate::setup;

/// A test with its playbook.
type Task = (Arc<Playbook>, Test);

/// A test with its playbook, and what became of it.
pub(super) struct Tried {
    playbook: Arc<Playbook>,
    test: Test,
    outcome: Outcome,
    /// How long it took, in seconds.
    seconds: f64,
}

/// Carries out tests.
pub(super) fn run(world: &World, arguments: &TestArguments) -> Result<(), Error> {
    let began = Instant::now();
    let Found { bench, tests, samples } = read(world, &arguments.paths)?;
    if tests.is_empty() && samples.is_empty() {
        let message = "there are no tests in these files".to_owned();
        let help =
            "write them under `tests:` of a playbook, in NAME.test.yaml beside it, or under `samples:` of a source"
                .to_owned();
        return Err(Error::Usage { message, help });
    }
    let tried = carry_out(&bench, tests)?;
    if let Some(path) = &arguments.junit {
        let wrong = |e: std::io::Error| Error::File { path: path.display().to_string(), message: e.to_string() };
        std::fs::write(path, junit::report(&tried, &samples)).map_err(wrong)?;
    }
    let all = tried.len() + samples.len();
    let failed = tried.iter().filter(|one| !one.outcome.differences.is_empty()).count()
        + samples.iter().filter(|one| !one.is_good()).count();
    if arguments.output.json {
        world.console.data(&format!("{:#}", tell::as_json(&tried, &coverage(&tried), &samples)))?;
    } else {
        tell::show(&world.console, &tried, &coverage(&tried))?;
        samples::show(&world.console, &samples)?;
        tell::total(&world.console, all - failed, failed)?;
    }
    world.console.talk(&format!("{all} tests in {:.1} s", began.elapsed().as_secs_f64()));
    if failed == 0 { Ok(()) } else { Err(Error::TestsFailed { failed, of: all }) }
}

/// What the paths hold.
struct Found {
    bench: Bench,
    tests: Vec<Task>,
    /// Those of the files of sources, which need nothing else and were carried out at once.
    samples: Vec<samples::Sampled>,
}

/// Reads the playbooks and their tests.
fn read(world: &World, paths: &[std::path::PathBuf]) -> Result<Found, Error> {
    let config = world.config()?.config;
    let destinations = setup::destinations(&config.destinations, &config);
    let destinations = destinations.map_err(|diagnostics| Error::Invalid { diagnostics })?;
    let (mut sources, mut found) = (Vec::new(), Vec::new());
    let configured = [config.playbooks.clone()];
    for path in if paths.is_empty() { &configured[..] } else { paths } {
        let read = folder::read(path, path)
            .map_err(|e| Error::File { path: path.display().to_string(), message: e.to_string() })?;
        sources.extend(read.sources.into_iter().filter(|source| !is_setting(&source.file)));
        found.extend(read.diagnostics);
        beside(path, &mut sources);
    }
    let mut catalog = setup::catalog(&config, destinations.as_ref());
    // A laptop rarely has all the destinations of the server: those that are not known are taken to exist.
    catalog.destinations = None;
    let evaluator = super::evaluator()?;
    let (mappings, sources): (Vec<_>, Vec<_>) =
        sources.into_iter().partition(|source| engine::source::file::looks_like_one(&source.text));
    let samples = samples::run(&mappings, &evaluator).unwrap_or_else(|wrong| {
        found.extend(wrong);
        Vec::new()
    });
    let checked = playbook::check(&sources, &catalog, &evaluator);
    found.extend(checked.diagnostics);
    if found.iter().any(|d| d.severity == Severity::Error) {
        return Err(Error::Invalid { diagnostics: found });
    }
    let mut tests = Vec::new();
    for playbook in &checked.playbooks {
        tests.extend(playbook.tests.iter().map(|test| (Arc::clone(playbook), test.clone())));
        for file in checked.tests.iter().filter(|file| *file.playbook == *playbook.id) {
            tests.extend(file.tests.iter().map(|test| (Arc::clone(playbook), test.clone())));
        }
    }
    let bench = Bench {
        evaluator,
        words: config.words.clone(),
        triage: config.triage.clone(),
        destinations: destinations.unwrap_or_default(),
        egress: config.egress.clone(),
        tenants: config.tenants.iter().cloned().collect(),
        catalog,
        playbooks: checked.playbooks,
    };
    Ok(Found { bench, tests, samples })
}

/// A file of settings, not of playbooks.
fn is_setting(file: &str) -> bool {
    let name = Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    [crate::config::FILE, "destinations.yaml"].contains(&name)
}

/// With a single playbook its file of tests is meant too, and the other way round.
fn beside(path: &Path, sources: &mut Vec<playbook::Source>) {
    let Some(text) = path.to_str().filter(|_| path.is_file()) else { return };
    let other = match text.strip_suffix(playbook::testing::FILE_ENDING) {
        Some(stem) => format!("{stem}.yaml"),
        None => {
            format!("{}{}", text.trim_end_matches(".yaml").trim_end_matches(".yml"), playbook::testing::FILE_ENDING)
        }
    };
    let other = Path::new(&other);
    if other.is_file() && !sources.iter().any(|source| Path::new(&*source.file) == other) {
        sources.extend(folder::read(other, other).into_iter().flat_map(|read| read.sources));
    }
}

/// Carries them out on all processors; the outcomes are in the order of the tests.
fn carry_out(bench: &Bench, tests: Vec<Task>) -> Result<Vec<Tried>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(tests.len());
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, (Outcome, f64)>> = Mutex::default();
    let work = || -> std::io::Result<()> {
        // Without a network: a driver for time is all that the engine's waiting needs.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        while let Some((at, (playbook, test))) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            tests.get(at).map(|test| (at, test))
        } {
            let began = Instant::now();
            let outcome = runtime.block_on(bench.run(playbook, test));
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.insert(at, (outcome, began.elapsed().as_secs_f64()));
        }
        Ok(())
    };
    let ended: Vec<std::io::Result<()>> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let broken = || Err(std::io::Error::other("a test panicked; this is a bug"));
        all.into_iter().map(|thread| thread.join().unwrap_or_else(|_| broken())).collect()
    });
    ended.into_iter().collect::<std::io::Result<()>>()?;
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let tried = tests.into_iter().zip(done.into_values());
    Ok(tried.map(|((playbook, test), (outcome, seconds))| Tried { playbook, test, outcome, seconds }).collect())
}

/// What the tests of each playbook reached together, in the order of the playbooks.
fn coverage(tried: &[Tried]) -> Vec<(Arc<Playbook>, Coverage)> {
    let mut all: Vec<(Arc<Playbook>, Coverage)> = Vec::new();
    for one in tried {
        match all.iter_mut().find(|(playbook, _)| playbook.id == one.playbook.id) {
            Some((_, coverage)) => coverage.merge(&one.outcome.coverage),
            None => all.push((Arc::clone(&one.playbook), one.outcome.coverage.clone())),
        }
    }
    all
}
