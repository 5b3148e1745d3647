//! `sortie sources`: what comes with Sortie, without a server.

use engine::source::file;
use serde_json::json;

use super::World;
use super::args::SourcesCommand;
use super::exit::Error;
use crate::source_file;

/// Does what is asked.
pub(super) fn run(world: &World, command: SourcesCommand) -> Result<(), Error> {
    let evaluator = super::evaluator()?;
    let all = || file::names().filter_map(|name| file::shipped(name, &evaluator));
    match command {
        SourcesCommand::List(output) if output.json => {
            let all: Vec<_> =
                all().map(|file| json!({"name": file.name, "title": file.title, "about": file.about})).collect();
            Ok(world.console.data(&format!("{:#}", serde_json::Value::Array(all)))?)
        }
        SourcesCommand::List(_) => {
            let mut rows = vec![vec!["NAME".to_owned(), "PRODUCT".to_owned(), "SAMPLES".to_owned()]];
            rows.extend(all().map(|file| vec![file.name.clone(), file.title.clone(), file.samples.len().to_string()]));
            Ok(world.console.table(&rows)?)
        }
        SourcesCommand::Show { name } => match file::text(&name) {
            Some(text) => Ok(world.console.data(text.trim_end())?),
            None => Err(Error::Usage {
                message: format!("there is no source `{name}`"),
                help: format!("the shipped sources are {}", source_file::known()),
            }),
        },
        SourcesCommand::Table => {
            let all: Vec<_> = all().collect();
            Ok(world.console.data(file::table(&all, &evaluator).trim_end())?)
        }
    }
}
