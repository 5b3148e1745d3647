//! `sortie check`: everything that is wrong with playbooks, sources, a configuration, or destinations, without a server.

use std::path::Path;
use std::sync::Arc;

use engine::source::file as mapping;
use playbook::{Diagnostic, Evaluator, Severity, Source};
use serde_json::json;

use super::World;
use super::api::Ask;
use super::args::CheckArguments;
use super::console::counted;
use super::exit::Error;
use crate::config::{self, Config, Flags};
use crate::serve::folder;
use crate::{setup, source_file};

/// Checks files and folders.
pub(super) fn run(world: &World, arguments: &CheckArguments) -> Result<(), Error> {
    let config = world.config()?.config;
    let file = arguments.destinations.as_deref().unwrap_or(&config.destinations);
    let mut found = Vec::new();
    let destinations = match setup::destinations(file, &config) {
        Ok(destinations) => destinations,
        Err(diagnostics) => {
            found.extend(diagnostics);
            None
        }
    };
    let evaluator = super::evaluator()?;
    let mut taken = Taken { config: &config, evaluator: &evaluator, playbooks: Vec::new(), mappings: 0, found };
    let configured = [config.playbooks.clone()];
    let paths = if arguments.paths.is_empty() { &configured[..] } else { &arguments.paths };
    for path in paths {
        taken.path(path)?;
    }
    let Taken { playbooks: sources, mappings, mut found, .. } = taken;
    let mut catalog = setup::catalog(&config, destinations.as_ref());
    if world.common.server.is_some() {
        let made = destinations_of_server(world)?;
        catalog.destinations.get_or_insert_default().extend(made);
    }
    let checked = playbook::check(&sources, &catalog, &evaluator);
    found.extend(checked.diagnostics);
    if arguments.sarif {
        world.console.data(&format!("{:#}", super::sarif::of(&found)))?;
    } else {
        show(world, &found, arguments.output.json)?;
    }
    let errors = found.iter().filter(|d| d.severity == Severity::Error).count();
    if errors > 0 {
        return Err(Error::Checked { errors });
    }
    if !arguments.output.json && !arguments.sarif {
        let mappings = if mappings > 0 { format!(", and {mappings} sources") } else { String::new() };
        world.console.talk(&format!("{} good{mappings}", counted(checked.playbooks.len() as u64, "playbook")));
    }
    Ok(())
}

/// The destinations of the server that was asked for: those of its file, and those that were made through its API.
fn destinations_of_server(world: &World) -> Result<Vec<String>, Error> {
    let query = [("limit", Some(model::limits::PAGE_ITEMS_MAX.to_string()))];
    let listed = super::records::ask(world, Ask { query: &query, ..Ask::get(&["v1", "destinations"]) })?;
    let ids = listed["items"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

/// What the paths hold.
struct Taken<'a> {
    config: &'a Config,
    evaluator: &'a Evaluator,
    playbooks: Vec<Source>,
    /// How many files of sources are good.
    mappings: usize,
    found: Vec<Diagnostic>,
}

impl Taken<'_> {
    /// Takes one path: a folder or file of playbooks, a `sortie.yaml`, a `destinations.yaml`, the file of a source.
    fn path(&mut self, path: &Path) -> Result<(), Error> {
        let read = folder::read(path, path)
            .map_err(|e| Error::File { path: path.display().to_string(), message: e.to_string() })?;
        self.found.extend(read.diagnostics);
        for source in read.sources {
            let file = Path::new(&*source.file);
            match file.file_name().and_then(|name| name.to_str()) {
                Some(config::FILE) => self.configuration(file)?,
                Some("destinations.yaml") => {
                    if let Err(diagnostics) = setup::destinations(file, self.config) {
                        self.found.extend(diagnostics);
                    }
                }
                _ if mapping::looks_like_one(&source.text) => self.mapping(&source),
                _ => self.playbooks.push(source),
            }
        }
        Ok(())
    }

    /// The file of a source, and its samples.
    fn mapping(&mut self, source: &Source) {
        match mapping::read(&source.file, &source.text, self.evaluator) {
            Ok(read) => {
                let wrong = source_file::samples(&Arc::new(read), &source.file, self.evaluator);
                self.mappings += usize::from(wrong.is_empty());
                self.found.extend(wrong);
            }
            Err(diagnostics) => self.found.extend(diagnostics),
        }
    }

    /// A configuration, and the files of sources that it names.
    fn configuration(&mut self, file: &Path) -> Result<(), Error> {
        let flags = Flags { config: Some(file.to_owned()), ..Flags::default() };
        match config::load(&flags, &super::working_folder()?, &|_| None) {
            Ok(loaded) => {
                self.found.extend(loaded.warnings);
                let name: Arc<str> = file.display().to_string().into();
                for source in &loaded.config.sources {
                    if let Err(diagnostics) = source_file::load(source, &name, self.evaluator) {
                        self.found.extend(diagnostics);
                    }
                }
            }
            Err(diagnostics) => self.found.extend(diagnostics),
        }
        Ok(())
    }
}

fn show(world: &World, found: &[Diagnostic], json: bool) -> Result<(), Error> {
    if json {
        let all: Vec<_> = found.iter().map(as_json).collect();
        world.console.data(&format!("{:#}", serde_json::Value::Array(all)))?;
    } else {
        for diagnostic in found {
            world.console.data(&diagnostic.render(world.console.colors_data()))?;
        }
    }
    Ok(())
}

/// A diagnostic in the shape that tools read.
pub(super) fn as_json(diagnostic: &Diagnostic) -> serde_json::Value {
    json!({
        "code": diagnostic.code,
        "severity": diagnostic.severity.name(),
        "message": diagnostic.message,
        "file": diagnostic.file,
        "line": diagnostic.span.line,
        "column": diagnostic.span.column,
        "help": diagnostic.help,
    })
}
