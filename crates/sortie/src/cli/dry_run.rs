//! `sortie dry-run`: what a playbook would do with an event: what would be sent where with which body, and what would
//! change. Nothing is sent and nothing is kept; the engine cannot do otherwise, for it has no way out.

use std::path::Path;
use std::sync::Arc;

use engine::outbound::Takes;
use engine::simulate::{FOLLOWED, Report, Simulation, Start};
use model::Decision;
use playbook::{Playbook, Severity};
use serde_json::{Value, json};

use super::World;
use super::args::DryRunArguments;
use super::console::{Console, one_line};
use super::exit::Error;
use super::messages::Messages;
use crate::config::Config;
use crate::serve::folder;
use crate::setup;

/// Rehearses a playbook.
pub(super) fn run(world: &World, arguments: &DryRunArguments) -> Result<(), Error> {
    let config = world.config()?.config;
    let evaluator = super::evaluator()?;
    let destinations = setup::destinations(&config.destinations, &config);
    let destinations = destinations.map_err(|diagnostics| Error::Invalid { diagnostics })?;
    let mut catalog = setup::catalog(&config, destinations.as_ref());
    catalog.destinations = None;
    let (playbook, others) = read(&config, arguments, &catalog, &evaluator)?;
    let now = engine::clock::wall();
    let events = Messages::of(&config, &arguments.source)?.file(&arguments.event, now)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut destinations = destinations.unwrap_or_default();
    let missing = engine::simulate::stand_ins(others.iter().chain([&playbook]).map(Arc::as_ref), &destinations);
    destinations.map.extend(missing);
    let simulation = Simulation::new(Start {
        evaluator,
        words: config.words.clone(),
        triage: config.triage.clone(),
        destinations,
        egress: config.egress.clone(),
        public_url: config.public_url.clone(),
        catalog,
        answers: Box::new(Takes),
        now,
        seed: 0,
        base: None,
    });
    let broken = |error: engine::simulate::Error| Error::Failed { message: error.to_string() };
    let simulation = simulation.map_err(broken)?;
    let (decisions, report) = runtime.block_on(async {
        let id = Arc::clone(&playbook.id);
        simulation.load([playbook].into_iter().chain(others).collect()).await.map_err(broken)?;
        let mut decisions: Vec<Option<Decision>> = Vec::new();
        for event in events {
            let refused = |error: engine::Refusal| Error::Failed { message: error.to_string() };
            let accepted = simulation.event(event).await.map_err(refused)?;
            decisions.push(accepted.decisions.into_iter().find(|decision| decision.playbook == id));
        }
        simulation.finish(simulation.now().plus(FOLLOWED)).await.map_err(broken)?;
        Ok::<_, Error>((decisions, simulation.report().await.map_err(broken)?))
    })?;
    if arguments.output.json {
        let decisions: Vec<Value> = decisions.iter().map(decision_json).collect();
        let mut all = json!({ "dry_run": true, "decisions": decisions });
        if let (Value::Object(all), Ok(Value::Object(report))) = (&mut all, serde_json::to_value(&report)) {
            all.extend(report);
        }
        return Ok(world.console.data(&format!("{all:#}"))?);
    }
    show(&world.console, &decisions, &report)
}

/// The playbook in a file, or of this id in the configured folder; and the others beside it, which it may call.
fn read(
    config: &Config,
    arguments: &DryRunArguments,
    catalog: &playbook::Catalog,
    evaluator: &playbook::Evaluator,
) -> Result<(Arc<Playbook>, Vec<Arc<Playbook>>), Error> {
    let named = Path::new(&arguments.playbook);
    let is_file = named.is_file();
    let root = if is_file { named } else { config.playbooks.as_path() };
    let read = if is_file { folder::read(root, root) } else { folder::read_configured(root) };
    let read = read.map_err(|e| Error::File { path: root.display().to_string(), message: e.to_string() })?;
    let checked = playbook::check(&read.sources, catalog, evaluator);
    let found = checked.playbooks.iter().find(|one| is_file || *one.id == *arguments.playbook).cloned();
    let Some(playbook) = found else {
        let wrong = checked.diagnostics.iter().any(|d| d.severity == Severity::Error);
        if wrong && is_file {
            return Err(Error::Invalid { diagnostics: checked.diagnostics });
        }
        let message = format!("there is no playbook `{}`", arguments.playbook);
        let help = "name a file, or the id of a playbook in the configured folder".to_owned();
        return Err(Error::Usage { message, help });
    };
    let others = checked.playbooks.iter().filter(|other| other.id != playbook.id).map(|other| {
        let mut quiet = Playbook::clone(other);
        quiet.triggers.retain(|trigger| matches!(trigger.on, playbook::On::Manual));
        Arc::new(quiet)
    });
    let others = others.collect();
    Ok((playbook, others))
}

fn decision_json(decision: &Option<Decision>) -> Value {
    decision.as_ref().map_or(Value::Null, |decision| {
        json!({ "playbook": decision.playbook, "verdict": decision.verdict.name(), "reason": decision.reason })
    })
}

fn show(console: &Console, decisions: &[Option<Decision>], report: &Report) -> Result<(), Error> {
    for decision in decisions {
        let line = match decision {
            Some(one) => format!("{}: {}", one.verdict.name(), one_line(&one.reason)),
            None => "it does not listen to this kind of event".to_owned(),
        };
        console.data(&line)?;
    }
    for run in &report.runs {
        console.data(&format!("run of {}: {}", run.playbook, run.status.name()))?;
        for step in &run.steps {
            let why = step.error.as_ref().map(|error| format!(" ({})", one_line(&error.message))).unwrap_or_default();
            console.data(&format!("  {} {}: {}{why}", step.path, step.action, step.status))?;
        }
    }
    for planned in &report.would_send {
        let to = planned.origin.destination.as_deref().unwrap_or("the service");
        console.data(&format!("would send to {to}: {} {}", planned.method, one_line(&planned.url)))?;
        for (name, value) in &planned.headers {
            console.data(&format!("  {name}: {}", one_line(value)))?;
        }
        console.data(&format!("  {}", one_line(&planned.body.to_string())))?;
    }
    for change in &report.would_change {
        console.data(&format!("would change {}: {}", one_line(&change.object), one_line(&change.change)))?;
    }
    if report.would_send.is_empty() && report.would_change.is_empty() {
        console.data("nothing would be sent or changed")?;
    }
    Ok(())
}
