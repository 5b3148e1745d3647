//! Brakes: pause, resume, mute, unmute, and how the server stands.

use engine::outbound::Method;
use model::Time;
use serde_json::{Value, json};

use super::World;
use super::api::Ask;
use super::args::{EntityArguments, MuteArguments, Output, PauseArguments};
use super::console::{Tone, one_line};
use super::exit::Error;
use super::records;

/// `sortie pause`.
pub(super) fn pause(world: &World, arguments: &PauseArguments) -> Result<(), Error> {
    let scope = if arguments.outbound { "outbound" } else { "all" };
    let body = json!({ "scope": scope, "reason": arguments.reason });
    records::ask(world, Ask::post(&["v1", "pause"], body))?;
    let what = if arguments.outbound {
        "all that leaves is paused: deliveries wait as queued"
    } else {
        "all automation is paused: events are accepted and decided, runs wait as queued"
    };
    world.console.talk_in(Tone::Warn, &format!("{what}; `sortie resume` lifts it"));
    Ok(())
}

/// `sortie resume`.
pub(super) fn resume(world: &World) -> Result<(), Error> {
    records::ask(world, Ask::post(&["v1", "resume"], json!({})))?;
    world.console.talk_in(Tone::Good, "nothing is paused any more");
    Ok(())
}

/// `sortie mute`.
pub(super) fn mute(world: &World, arguments: &MuteArguments) -> Result<(), Error> {
    let until = match (&arguments.until, &arguments.period) {
        (Some(until), _) => until.clone(),
        (None, Some(period)) => {
            let period = model::period::parse(period)
                .map_err(|error| Error::Usage { message: error.to_string(), help: "such as `--for 4h`".to_owned() })?;
            let now: Time = engine::clock::wall();
            now.plus(period).to_string()
        }
        (None, None) => {
            let help = "such as `--for 4h` or `--until 2026-12-01T08:00:00Z`".to_owned();
            return Err(Error::Usage { message: "say how long: `--for` or `--until`".to_owned(), help });
        }
    };
    let body = json!({ "until": until, "reason": arguments.reason });
    let answer = entity(world, &arguments.entity, "mute", body)?;
    let (kind, id) = (&arguments.entity.kind, &arguments.entity.id);
    let until = answer["until"].as_str().unwrap_or(&until);
    world.console.talk_in(Tone::Warn, &one_line(&format!("{kind} {id} is muted until {until}")));
    Ok(())
}

/// `sortie unmute`.
pub(super) fn unmute(world: &World, arguments: &EntityArguments) -> Result<(), Error> {
    let answer = entity(world, arguments, "unmute", json!({}))?;
    let was = if answer["was_muted"] == Value::Bool(true) { "is muted no longer" } else { "was not muted" };
    world.console.talk_in(Tone::Good, &one_line(&format!("{} {} {was}", arguments.kind, arguments.id)));
    Ok(())
}

fn entity(world: &World, which: &EntityArguments, what: &str, body: Value) -> Result<Value, Error> {
    let query = [("tenant", which.tenant.clone())];
    let path = ["v1", "entities", &which.kind, &which.id, what];
    records::ask(world, Ask { method: Method::POST, path: &path, query: &query, body: Some(body) })
}

/// `sortie status`.
pub(super) fn status(world: &World, output: Output) -> Result<(), Error> {
    let status = records::ask(world, Ask::get(&["v1", "status"]))?;
    if output.json {
        return records::present(world, &status, output);
    }
    for (text, tone) in sentences(&status) {
        world.console.data(&world.console.paint(tone, &one_line(&text)))?;
    }
    Ok(())
}

/// How a server stands, in sentences: what is held up comes last, where it is seen.
fn sentences(status: &Value) -> Vec<(String, Tone)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    match status["reason"].as_str() {
        None => all.push((format!("version {} accepts events", text(&status["version"])), Tone::Good)),
        Some(reason) => all.push((format!("version {}: {reason}", text(&status["version"])), Tone::Bad)),
    }
    if let (Some(at_work), Some(open)) = (status["runs_at_work"].as_u64(), status["runs_open"].as_u64()) {
        all.push((format!("{open} runs are open, {at_work} of them at work"), Tone::Good));
    }
    all.extend(held(status).into_iter().map(|text| (text, Tone::Warn)));
    all
}

/// What is held up, in sentences.
pub(super) fn held(status: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for pause in status["pauses"].as_array().into_iter().flatten() {
        let what = if pause["scope"] == "all" { "all automation" } else { "all that leaves" };
        let (since, by, why) = (text(&pause["since"]), text(&pause["by"]), text(&pause["reason"]));
        all.push(format!("{what} is paused since {since} by {by}: {why}; `sortie resume` lifts it"));
    }
    for one in status["suspended"].as_array().into_iter().flatten() {
        let (id, since, why) = (text(&one["playbook"]), text(&one["since"]), text(&one["reason"]));
        all.push(format!(
            "the playbook {id} is suspended since {since}: {why}; `sortie playbooks enable {id}` lifts it"
        ));
    }
    for one in status["fuses_blown"].as_array().into_iter().flatten() {
        let (id, until) = (text(&one["playbook"]), text(&one["until"]));
        all.push(format!("the fuse of the playbook {id} has blown; it holds again from {until}"));
    }
    if let Some(count) = status["muted"].as_u64().filter(|count| *count > 0) {
        all.push(format!("{count} entities are muted; `GET /v1/mutes` lists them"));
    }
    all
}
