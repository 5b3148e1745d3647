//! Commands that do something: cancel, retry, redeliver, switch, test, send.

use engine::outbound::Method;
use serde_json::{Value, json};

use super::World;
use super::api::Ask;
use super::args::{DeliveriesCommand, PlaybooksCommand, RetryFrom, RetryVersion, RunsCommand, SendArguments};
use super::console::{Tone, one_line};
use super::exit::Error;
use super::records::{self, DELIVERIES, PLAYBOOKS, RUNS};

/// `sortie runs`.
pub(super) fn runs(world: &World, command: RunsCommand) -> Result<(), Error> {
    match command {
        RunsCommand::List(list) => {
            let mut filters = records::paging(&list.paging);
            filters.extend([
                ("playbook", list.playbook),
                ("status", list.status),
                ("alert", list.alert),
                ("case", list.case),
                ("event", list.event),
                ("destination", list.destination),
            ]);
            records::list(world, "runs", filters, RUNS, list.output)
        }
        RunsCommand::Show(show) => {
            let run = records::ask(world, Ask::get(&["v1", "runs", &show.id]))?;
            if show.output.json {
                return records::present(world, &run, show.output);
            }
            Ok(super::show::run(&world.console, &run)?)
        }
        RunsCommand::Cancel { id } => {
            let answer = records::ask(world, Ask::post(&["v1", "runs", &id, "cancel"], json!({})))?;
            done(world, &format!("run {id} is cancelled before its next step"), &answer);
            Ok(())
        }
        RunsCommand::Retry { id, from, version } => {
            let from = match from {
                RetryFrom::Start => "start",
                RetryFrom::Failed => "failed",
            };
            let version = match version {
                RetryVersion::Same => "same",
                RetryVersion::Current => "current",
            };
            let body = json!({ "from": from, "version": version });
            let answer = records::ask(world, Ask::post(&["v1", "runs", &id, "retry"], body))?;
            done(world, "a new run does it again", &answer);
            result(world, &answer["run_id"])
        }
    }
}

/// `sortie deliveries`.
pub(super) fn deliveries(world: &World, command: DeliveriesCommand) -> Result<(), Error> {
    match command {
        DeliveriesCommand::List { destination, status, paging, output } => {
            let mut filters = records::paging(&paging);
            filters.extend([("destination", destination), ("status", status)]);
            records::list(world, "deliveries", filters, DELIVERIES, output)
        }
        DeliveriesCommand::Show(show) => records::one(world, "deliveries", &show),
        DeliveriesCommand::Redeliver { id: None, destination } => redeliver_all(world, destination),
        DeliveriesCommand::Redeliver { id: Some(id), .. } => {
            let answer = records::ask(world, Ask::post(&["v1", "deliveries", &id, "redeliver"], json!({})))?;
            done(world, &format!("delivery {id} was sent again, with the same webhook-id"), &answer);
            Ok(())
        }
    }
}

/// Sends all failed deliveries of a destination again, page by page.
fn redeliver_all(world: &World, destination: Option<String>) -> Result<(), Error> {
    let mut cursor = None;
    let (mut taken, mut refused) = (0, 0);
    loop {
        let query = [("destination", destination.clone()), ("cursor", cursor)];
        let path = ["v1", "deliveries", "redeliver"];
        let answer = records::ask(world, Ask { query: &query, ..Ask::post(&path, json!({})) })?;
        for item in answer["items"].as_array().into_iter().flatten() {
            let id = item["delivery_id"].as_str().unwrap_or_default();
            if item["ok"] == Value::Bool(true) {
                taken += 1;
                world.console.data(&format!("{id} delivered"))?;
            } else {
                refused += 1;
                world
                    .console
                    .data(&format!("{id} failed: {}", one_line(item["message"].as_str().unwrap_or("no reason"))))?;
            }
        }
        cursor = answer["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    world.console.talk(&format!("{taken} delivered, {refused} failed again"));
    if refused == 0 { Ok(()) } else { Err(Error::Failed { message: format!("{refused} deliveries failed again") }) }
}

/// `sortie playbooks`.
pub(super) fn playbooks(world: &World, command: PlaybooksCommand) -> Result<(), Error> {
    match command {
        PlaybooksCommand::List(output) => records::list(world, "playbooks", Vec::new(), PLAYBOOKS, output),
        PlaybooksCommand::Show(show) => records::one(world, "playbooks", &show),
        PlaybooksCommand::Enable { id } => switch(world, &id, "enable"),
        PlaybooksCommand::Disable { id } => switch(world, &id, "disable"),
    }
}

fn switch(world: &World, id: &str, to: &str) -> Result<(), Error> {
    let answer = records::ask(world, Ask::post(&["v1", "playbooks", id, to], json!({})))?;
    done(world, &format!("{id} is {to}d; this survives reloads and restarts"), &answer);
    Ok(())
}

/// `sortie send`.
pub(super) fn send(world: &World, arguments: &SendArguments) -> Result<(), Error> {
    if arguments.to.len() > model::limits::HAND_DESTINATIONS_MAX {
        return Err(Error::Usage {
            message: format!("{} destinations are too many", arguments.to.len()),
            help: format!("name at most {}; send again for the others", model::limits::HAND_DESTINATIONS_MAX),
        });
    }
    let (what, id) = match (&arguments.case, &arguments.alert) {
        (Some(id), _) => ("cases", id.as_str()),
        (None, id) => ("alerts", id.as_deref().unwrap_or_default()),
    };
    let query = [("tenant", arguments.tenant.clone())];
    let ask = Ask {
        method: Method::POST,
        path: &["v1", what, id, "send"],
        query: &query,
        body: Some(json!({ "to": arguments.to })),
    };
    let answer = records::ask(world, ask)?;
    done(world, &format!("all threat details of {id} are on their way to {}", arguments.to.join(", ")), &answer);
    result(world, &answer["run_id"])
}

/// Says what was done, and what the engine noticed.
fn done(world: &World, what: &str, answer: &Value) {
    world.console.talk_in(Tone::Good, &one_line(what));
    for warning in answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        world.console.talk_in(Tone::Warn, &one_line(warning));
    }
}

/// An id as data, for scripts.
fn result(world: &World, id: &Value) -> Result<(), Error> {
    match id.as_str() {
        Some(id) => Ok(world.console.data(id)?),
        None => Ok(()),
    }
}
