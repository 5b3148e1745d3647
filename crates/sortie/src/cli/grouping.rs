//! `sortie grouping`: the rules by which detections become alerts.

use engine::outbound::Method;
use serde_json::json;

use super::World;
use super::api::Ask;
use super::args::GroupingCommand;
use super::console::{Tone, one_line};
use super::exit::Error;
use super::records::{self, Column};

/// The columns of the rules.
const RULES: &[Column] = &[
    ("NAME", &["name"]),
    ("BY", &["by"]),
    ("WINDOW", &["window"]),
    ("WHEN", &["when"]),
    ("TENANT", &["tenant"]),
    ("FROM", &["from"]),
    ("BY", &["made_by"]),
];

/// Lists, adds, removes.
pub(super) fn run(world: &World, command: GroupingCommand) -> Result<(), Error> {
    match command {
        GroupingCommand::List(output) => records::list(world, "grouping", Vec::new(), RULES, output),
        GroupingCommand::Add { name, by, window, when, tenant, order } => {
            let body =
                json!({ "name": name, "by": by, "window": window, "when": when, "tenant": tenant, "order": order });
            records::ask(world, Ask::post(&["v1", "grouping"], body))?;
            world.console.talk_in(Tone::Good, &one_line(&format!("detections are grouped by {by} now ({name})")));
            Ok(())
        }
        GroupingCommand::Remove { name } => {
            let path = ["v1", "grouping", &name];
            records::ask(world, Ask { method: Method::DELETE, ..Ask::get(&path) })?;
            world.console.talk_in(Tone::Good, &one_line(&format!("the rule {name} is gone; its alerts stay")));
            Ok(())
        }
    }
}
