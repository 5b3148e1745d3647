//! `sortie alerts list`, `sortie cases list`, `sortie searches`, `sortie stats`: finding and counting alerts and cases.

use engine::outbound::Method;
use serde_json::json;

use super::World;
use super::api::Ask;
use super::args::{ObjectsList, SearchesCommand, StatsArguments};
use super::console::{Tone, one_line};
use super::exit::Error;
use super::records::{self, Column};

/// The columns of saved searches.
const SEARCHES: &[Column] = &[
    ("SEARCH", &["name"]),
    ("ABOUT", &["about"]),
    ("QUERY", &["q"]),
    ("SORT", &["sort"]),
    ("BY", &["by"]),
    ("SAVED", &["at"]),
];

/// Lists alerts or cases.
pub(super) fn objects(world: &World, what: &'static str, asked: ObjectsList, columns: &[Column]) -> Result<(), Error> {
    let mut filters = records::paging(&asked.list.paging);
    filters.extend([("q", asked.q), ("sort", asked.sort), ("search", asked.search)]);
    records::list(world, what, filters, columns, asked.list.output)
}

/// Lists, saves, deletes.
pub(super) fn run(world: &World, command: SearchesCommand) -> Result<(), Error> {
    match command {
        SearchesCommand::List(output) => records::list(world, "searches", Vec::new(), SEARCHES, output),
        SearchesCommand::Save { name, about, q, sort } => {
            let body = json!({ "name": name, "about": about, "q": q, "sort": sort });
            records::ask(world, Ask::post(&["v1", "searches"], body))?;
            let told = format!("saved; `sortie {about} list --search {name:?}` asks it again");
            world.console.talk_in(Tone::Good, &one_line(&told));
            Ok(())
        }
        SearchesCommand::Delete { name } => {
            records::ask(world, Ask { method: Method::DELETE, ..Ask::get(&["v1", "searches", &name]) })?;
            world.console.talk_in(Tone::Good, &one_line(&format!("the search {name} is deleted")));
            Ok(())
        }
    }
}

/// Shows figures.
pub(super) fn stats(world: &World, arguments: &StatsArguments) -> Result<(), Error> {
    let query = [("tenant", arguments.tenant.clone())];
    let answer = records::ask(world, Ask { query: &query, ..Ask::get(&["v1", "stats"]) })?;
    records::present(world, &answer, arguments.output)
}
