//! `sortie destinations`: the places that receive threat details.

use std::io::Read as _;
use std::path::Path;

use engine::outbound::Method;
use playbook::yaml::{self, Node};
use serde_json::{Map, Value, json};

use super::World;
use super::api::Ask;
use super::args::DestinationsCommand;
use super::console::{Tone, one_line};
use super::exit::Error;
use super::records::{self, DESTINATIONS};

/// Largest file of one destination, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Lists, shows, makes, changes, tries, switches, deletes.
pub(super) fn run(world: &World, command: DestinationsCommand) -> Result<(), Error> {
    match command {
        DestinationsCommand::List(output) => records::list(world, "destinations", Vec::new(), DESTINATIONS, output),
        DestinationsCommand::Show(show) => records::one(world, "destinations", &show),
        DestinationsCommand::Create { id, file } => {
            let mut body = keys(&file)?;
            body.insert("id".to_owned(), Value::String(id.clone()));
            records::ask(world, Ask::post(&["v1", "destinations"], Value::Object(body)))?;
            said(world, &format!("{id} is made and in force"));
            Ok(())
        }
        DestinationsCommand::Update { id, file } => {
            let body = Some(Value::Object(keys(&file)?));
            let path = ["v1", "destinations", &id];
            records::ask(world, Ask { method: Method::PATCH, body, ..Ask::get(&path) })?;
            said(world, &format!("{id} is changed, and in force so"));
            Ok(())
        }
        DestinationsCommand::Test { id } => tried(world, &id, "test"),
        DestinationsCommand::Validate { id } => tried(world, &id, "validate"),
        DestinationsCommand::Enable { id } => switch(world, &id, "enable"),
        DestinationsCommand::Disable { id } => switch(world, &id, "disable"),
        DestinationsCommand::Delete { id } => {
            let path = ["v1", "destinations", &id];
            records::ask(world, Ask { method: Method::DELETE, ..Ask::get(&path) })?;
            said(world, &format!("{id} is deleted"));
            Ok(())
        }
    }
}

fn said(world: &World, what: &str) {
    world.console.talk_in(Tone::Good, &one_line(what));
}

fn switch(world: &World, id: &str, to: &str) -> Result<(), Error> {
    records::ask(world, Ask::post(&["v1", "destinations", id, to], json!({})))?;
    said(world, &format!("{id} is {to}d; this survives reloads and restarts"));
    Ok(())
}

/// A test message, or the credentials alone.
fn tried(world: &World, id: &str, how: &str) -> Result<(), Error> {
    let answer = records::ask(world, Ask::post(&["v1", "destinations", id, how], json!({})))?;
    let message = one_line(answer["message"].as_str().unwrap_or("no answer"));
    if answer["ok"] == Value::Bool(true) {
        return Ok(world.console.data(&format!("{id}: {message}"))?);
    }
    for more in ["detail", "hint"] {
        if let Some(text) = answer[more].as_str() {
            world.console.talk(&format!("{more}: {}", one_line(text)));
        }
    }
    Err(Error::Failed { message: format!("{id}: {message}") })
}

/// The keys in a file.
fn keys(path: &Path) -> Result<Map<String, Value>, Error> {
    let name = path.display().to_string();
    let failed = |message: String| Error::File { path: name.clone(), message };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| failed(error.to_string()))?;
    // JSON first: `null`, which takes a key away, is refused in YAML.
    if let Ok(keys) = serde_json::from_str(&text) {
        return Ok(keys);
    }
    let node = yaml::parse(&name.as_str().into(), &text).map_err(|diagnostics| Error::Invalid { diagnostics })?;
    match json_of(&node) {
        Value::Object(keys) => Ok(keys),
        _ => Err(failed("it must hold the keys of a destination, such as `url: https://…`".to_owned())),
    }
}

fn json_of(node: &Node) -> Value {
    match &node.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Bool(value) => json!(value),
        yaml::Value::Int(value) => json!(value),
        yaml::Value::Float(value) => json!(value),
        yaml::Value::Text(text) => json!(text),
        yaml::Value::List(items) => items.iter().map(json_of).collect(),
        yaml::Value::Map(entries) => {
            Value::Object(entries.iter().map(|(key, node)| (key.text.clone(), json_of(node))).collect())
        }
    }
}
