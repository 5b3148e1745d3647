//! `sortie explain`: which playbooks would run for an event, which would not, and why.
//!
//! With a file nothing is needed but the playbooks: the one function that decides in the server decides here, over an
//! empty state. With an id it is the recorded truth, from the server or the store.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use engine::decide::{self, Decided, Means, Nothing, Position};
use model::record::Vocabulary;
use model::{Decision, Event, Seq, Time};
use serde_json::{Value, json};

use super::World;
use super::args::ExplainArguments;
use super::console::Console;
use super::exit::Error;
use super::messages::{Messages, is_lines};
use super::operands;
use crate::config::Config;
use crate::serve::folder;
use crate::setup;

/// Explains an event.
pub(super) fn run(world: &World, arguments: &ExplainArguments) -> Result<(), Error> {
    match (&arguments.event, &arguments.event_id) {
        (Some(file), _) => from_file(world, arguments, file),
        (None, id) => super::records::explain(world, id.as_deref().unwrap_or_default(), arguments.output.json),
    }
}

fn from_file(world: &World, arguments: &ExplainArguments, file: &Path) -> Result<(), Error> {
    let config = world.config()?.config;
    let set = playbooks(world, &config, arguments.playbooks.as_deref())?;
    let now = engine::clock::wall();
    let incoming = Messages::of(&config, &arguments.source)?.file(file, now)?;
    let evaluator = super::evaluator()?;
    let explained: Vec<Value> = incoming
        .iter()
        .map(|incoming| explain(&incoming.event, &set, &evaluator, &config.words, now))
        .collect::<Result<_, _>>()?;
    if arguments.output.json {
        let single = explained.len() == 1 && !is_lines(file);
        let all = Value::Array(explained);
        let shown = if single { all.get(0).cloned().unwrap_or_default() } else { all };
        return Ok(world.console.data(&format!("{shown:#}"))?);
    }
    for one in &explained {
        show(&world.console, one)?;
    }
    Ok(())
}

/// The playbooks of a folder, the configured one when none is asked for.
pub(super) fn playbooks(world: &World, config: &Config, asked: Option<&Path>) -> Result<engine::Set, Error> {
    let path = asked.unwrap_or(&config.playbooks);
    let read = if asked.is_some() { folder::read(path, path) } else { folder::read_configured(path) };
    let read = read.map_err(|e| Error::File { path: path.display().to_string(), message: e.to_string() })?;
    // Whether destinations exist does not change a decision.
    let event_sets = setup::destinations(&config.destinations, config).ok().flatten();
    let catalog = playbook::Catalog { destinations: None, ..setup::catalog(config, event_sets.as_ref()) };
    let checked = playbook::check(&read.sources, &catalog, &super::evaluator()?);
    let diagnostics: Vec<_> = checked.diagnostics.into_iter().chain(read.diagnostics).collect();
    if diagnostics.iter().any(|d| d.severity == playbook::Severity::Error) {
        return Err(Error::Invalid { diagnostics });
    }
    for warning in diagnostics {
        world.console.talk(&warning.render(world.console.colors_talk()));
    }
    Ok(engine::Set::new(checked.playbooks, std::collections::BTreeSet::new()))
}

fn explain(
    event: &Event,
    set: &engine::Set,
    evaluator: &playbook::Evaluator,
    words: &Vocabulary,
    now: Time,
) -> Result<Value, Error> {
    let began = Instant::now();
    let spent = || began.elapsed();
    let means =
        Means { set, evaluator, closed_stage: words.closed(), triage: engine::triage::Triage::none(), spent: &spent };
    let at = Position { seq: Seq(1), tag: 0, now };
    let decided = decide::decide(event, at, &Nothing, means)?;
    let mut decisions = Vec::new();
    for decision in all_decisions(event, set, &decided) {
        let mut shown = decision_json(&decision);
        if let Some(playbook) = set.find(&decision.playbook) {
            let looks = decide::look(event, at, &Nothing, means, (playbook, &decided))?;
            shown["triggers"] = engine::view::looks::as_json(&looks, &playbook.file);
        }
        decisions.push(shown);
    }
    let listens = |playbook: &&Arc<playbook::Playbook>| !decisions.iter().any(|one| one["playbook"] == *playbook.id);
    let others: Vec<&str> = set.playbooks().iter().filter(listens).map(|playbook| &*playbook.id).collect();
    let transitions: Vec<String> = decided.transitions.iter().map(|moved| moved.change.describe()).collect();
    Ok(json!({
        "event": { "type": event.kind, "id": event.own_id, "source": event.source, "tenant": event.tenant, "time": event.time.to_string(),
                   "object": event.object().map(|key| key.to_string()) },
        "transitions": transitions,
        "decisions": decisions,
        "not_listening": others,
        "warnings": decided.warnings,
    }))
}

/// One decision for each playbook that listens, in their order: those that were looked at, and those whose trigger's own
/// arguments already said no.
fn all_decisions(event: &Event, set: &engine::Set, decided: &Decided) -> Vec<Decision> {
    let object = decided.object.as_ref().map(|(_, object)| object);
    let listening = decided.listening.iter().filter_map(|place| set.get(*place)).map(Arc::as_ref);
    listening
        .map(|playbook| {
            decided
                .decisions
                .iter()
                .find(|decision| decision.playbook == playbook.id)
                .cloned()
                .unwrap_or_else(|| decide::not_triggered(playbook, event, &decided.transitions, object))
        })
        .collect()
}

fn decision_json(decision: &Decision) -> Value {
    let at = decision.at.as_ref().map(|at| json!({"file": at.file, "line": at.line, "column": at.column}));
    json!({"playbook": decision.playbook, "verdict": decision.verdict.name(), "reason": decision.reason, "at": at})
}

/// An event as it was recorded, for people.
pub(super) fn show_recorded(console: &Console, event: &Value) -> Result<(), Error> {
    show(
        console,
        &json!({
            "event": { "type": event["type"], "object": event["event_id"] },
            "transitions": event["transitions"],
            "decisions": event["decisions"],
            "warnings": event["note"].as_str().into_iter().collect::<Vec<_>>(),
        }),
    )
}

/// One explained event, for people.
fn show(console: &Console, explained: &Value) -> Result<(), Error> {
    let text = |value: &Value| value.as_str().map(super::console::one_line).unwrap_or_default();
    let event = &explained["event"];
    console.data(&format!("event {} {}", text(&event["type"]), text(&event["object"])))?;
    for transition in explained["transitions"].as_array().into_iter().flatten() {
        console.data(&format!("  {}", super::show::change(transition)))?;
    }
    for warning in explained["warnings"].as_array().into_iter().flatten() {
        console.data(&format!("  note: {}", text(warning)))?;
    }
    let decisions = explained["decisions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if decisions.is_empty() {
        return Ok(console.data("no playbook listens to this kind of event")?);
    }
    let mut rows = vec![["PLAYBOOK", "VERDICT", "WHY", "WHERE"].map(str::to_owned).to_vec()];
    for decision in decisions {
        let at = &decision["at"];
        let place = at["file"].as_str().map(|file| format!("{}:{}:{}", file, at["line"], at["column"]));
        rows.push(vec![
            text(&decision["playbook"]),
            text(&decision["verdict"]),
            text(&decision["reason"]),
            place.unwrap_or_default(),
        ]);
    }
    console.table(&rows)?;
    for decision in decisions {
        operands::show(console, decision)?;
    }
    Ok(())
}
