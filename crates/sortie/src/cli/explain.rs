//! `sortie explain`: which playbooks would run for an event, which would not, and why.
//!
//! With a file nothing is needed but the playbooks: the one function that decides in the server decides here, over an
//! empty state. With an id it is the recorded truth, from the server or the store.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use engine::decide::{self, Decided, Means, Nothing, Position};
use engine::source::{self, Incoming};
use model::record::Vocabulary;
use model::{Decision, Event, Seq, Time};
use serde_json::{Value, json};

use super::World;
use super::args::ExplainArguments;
use super::console::Console;
use super::exit::Error;
use crate::config::Config;
use crate::serve::folder;
use crate::{setup, source_file};

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
    let body = read(file)?;
    let lines = file.extension().is_some_and(|extension| extension == "ndjson" || extension == "jsonl");
    let incoming = map(&config, &arguments.source, body, lines, now, file)?;
    let evaluator = super::evaluator()?;
    let explained: Vec<Value> = incoming
        .iter()
        .map(|incoming| explain(&incoming.event, &set, &evaluator, &config.words, now))
        .collect::<Result<_, _>>()?;
    if arguments.output.json {
        let single = explained.len() == 1 && !lines;
        let all = Value::Array(explained);
        let shown = if single { all.get(0).cloned().unwrap_or_default() } else { all };
        return Ok(world.console.data(&format!("{shown:#}"))?);
    }
    for one in &explained {
        show(&world.console, one)?;
    }
    Ok(())
}

fn playbooks(world: &World, config: &Config, asked: Option<&Path>) -> Result<engine::Set, Error> {
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

fn read(file: &Path) -> Result<Bytes, Error> {
    let unreadable = |e: std::io::Error| Error::File { path: file.display().to_string(), message: e.to_string() };
    let max = model::limits::BATCH_BODY_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(max).read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        std::fs::File::open(file).map_err(unreadable)?.take(max).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    Ok(bytes.into())
}

fn map(config: &Config, name: &str, body: Bytes, lines: bool, now: Time, file: &Path) -> Result<Vec<Incoming>, Error> {
    let evaluator = super::evaluator()?;
    let configured = config.sources.iter().find(|source| source.name == name);
    let read = match configured {
        Some(source) => {
            let whole = config.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
            Some(
                source_file::load(source, &whole.into(), &evaluator)
                    .map_err(|diagnostics| Error::Invalid { diagnostics })?,
            )
        }
        None => source::file::shipped(name, &evaluator),
    };
    let read = read.ok_or_else(|| Error::Usage {
        message: format!("there is no source `{name}`"),
        help: format!("the sources are {}", source_file::known()),
    })?;
    let timezone = configured.and_then(|source| source.timezone.clone()).or_else(|| read.timezone.clone());
    let source = source::Source {
        name: name.to_owned(),
        timezone: timezone.unwrap_or_else(|| "UTC".to_owned()),
        shape: Arc::new(source::file::Mapped::new(read, evaluator)),
        tenants: configured.and_then(|source| source.tenants.clone()),
    };
    let tenants = config.tenants.iter().cloned().collect();
    let ctx = source::Context {
        words: &config.words,
        tenants: (!config.tenants.is_empty()).then_some(&tenants),
        tenant: configured.and_then(|source| source.tenant.as_deref()),
        now,
        header_key: None,
        content_type: lines.then_some("application/x-ndjson"),
        headers: None,
        limits: source::Limits::default(),
    };
    let wrong = |message: String| Error::File { path: file.display().to_string(), message };
    let reading = source::read(&source, body, &ctx).map_err(|e| wrong(e.to_string()))?;
    reading.elements.into_iter().collect::<Result<_, _>>().map_err(|e| wrong(e.to_string()))
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
    let decisions: Vec<Value> = all_decisions(event, set, &decided).iter().map(decision_json).collect();
    let transitions: Vec<String> = decided.transitions.iter().map(|moved| moved.change.describe()).collect();
    Ok(json!({
        "event": { "type": event.kind, "id": event.own_id, "source": event.source, "tenant": event.tenant, "time": event.time.to_string(),
                   "object": event.object().map(|key| key.to_string()) },
        "transitions": transitions,
        "decisions": decisions,
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
    Ok(console.table(&rows)?)
}
