//! `sortie check`: everything that is wrong with playbooks, a configuration, or destinations, without a server.

use std::path::Path;

use playbook::{Diagnostic, Severity, Source};
use serde_json::json;

use super::World;
use super::args::CheckArguments;
use super::exit::Error;
use crate::config::{self, Config, Flags};
use crate::serve::folder;
use crate::setup;

/// Checks files and folders.
pub(super) fn run(world: &World, arguments: &CheckArguments) -> Result<(), Error> {
    let config = world.config()?.config;
    let file = arguments.destinations.as_deref().unwrap_or(&config.destinations);
    let mut found = Vec::new();
    let destinations = match setup::destinations(file, &config.egress) {
        Ok(destinations) => destinations,
        Err(diagnostics) => {
            found.extend(diagnostics);
            None
        }
    };
    let mut sources = Vec::new();
    for path in &arguments.paths {
        take(path, &config, &mut sources, &mut found)?;
    }
    let catalog = setup::catalog(&config, destinations.as_ref());
    let evaluator = super::evaluator()?;
    let checked = playbook::check(&sources, &catalog, &evaluator);
    found.extend(checked.diagnostics);
    show(world, &found, arguments.output.json)?;
    let errors = found.iter().filter(|d| d.severity == Severity::Error).count();
    if errors > 0 {
        return Err(Error::Checked { errors });
    }
    if !arguments.output.json {
        world.console.talk(&format!("{} playbooks are good", checked.playbooks.len()));
    }
    Ok(())
}

/// Takes one path: a folder or file of playbooks, a `sortie.yaml`, a `destinations.yaml`.
fn take(path: &Path, config: &Config, sources: &mut Vec<Source>, found: &mut Vec<Diagnostic>) -> Result<(), Error> {
    let read = folder::read(path, path)
        .map_err(|e| Error::File { path: path.display().to_string(), message: e.to_string() })?;
    found.extend(read.diagnostics);
    for source in read.sources {
        let file = Path::new(&*source.file);
        match file.file_name().and_then(|name| name.to_str()) {
            Some(config::FILE) => {
                let flags = Flags { config: Some(file.to_owned()), ..Flags::default() };
                match config::load(&flags, &super::working_folder()?, &|_| None) {
                    Ok(loaded) => found.extend(loaded.warnings),
                    Err(diagnostics) => found.extend(diagnostics),
                }
            }
            Some("destinations.yaml") => {
                if let Err(diagnostics) = setup::destinations(file, &config.egress) {
                    found.extend(diagnostics);
                }
            }
            _ => sources.push(source),
        }
    }
    Ok(())
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
