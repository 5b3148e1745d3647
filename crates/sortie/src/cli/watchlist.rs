//! `sortie watchlist`: entities whose events raise the priority.

use engine::outbound::Method;
use serde_json::json;

use super::World;
use super::api::Ask;
use super::args::WatchlistCommand;
use super::console::{Tone, one_line};
use super::exit::Error;
use super::records::{self, Column};

/// The columns of the watchlist.
const WATCHLIST: &[Column] = &[
    ("KIND", &["kind"]),
    ("ID", &["id"]),
    ("PRIORITY", &["priority"]),
    ("REASON", &["reason"]),
    ("TENANT", &["tenant"]),
    ("FROM", &["from"]),
    ("BY", &["added_by"]),
];

/// Lists, adds, removes.
pub(super) fn run(world: &World, command: WatchlistCommand) -> Result<(), Error> {
    match command {
        WatchlistCommand::List(output) => records::list(world, "watchlist", Vec::new(), WATCHLIST, output),
        WatchlistCommand::Add { kind, id, reason, priority, tenant } => {
            let body = json!({ "kind": kind, "id": id, "reason": reason, "priority": priority, "tenant": tenant });
            records::ask(world, Ask::post(&["v1", "watchlist"], body))?;
            world.console.talk_in(Tone::Good, &one_line(&format!("{kind} {id} is watched")));
            Ok(())
        }
        WatchlistCommand::Remove { kind, id, tenant } => {
            let query = [("tenant", tenant)];
            let path = ["v1", "watchlist", &kind, &id];
            records::ask(world, Ask { method: Method::DELETE, query: &query, ..Ask::get(&path) })?;
            world.console.talk_in(Tone::Good, &one_line(&format!("{kind} {id} is not watched any more")));
            Ok(())
        }
    }
}
