//! `sortie secrets`: what Sortie keeps secret. Works through the running server, and on a stopped one.

use std::io::Read as _;

use engine::outbound::Method;
use engine::outbound::vault::SECRET_BYTES_MAX;
use serde_json::json;

use super::World;
use super::api::{Api, Ask, block_on};
use super::args::SecretsCommand;
use super::console::Tone;
use super::exit::Error;
use super::records::{self, SECRETS};

/// Keeps, lists, deletes.
pub(super) fn run(world: &World, command: SecretsCommand) -> Result<(), Error> {
    match command {
        SecretsCommand::Set { name } => set(world, &name),
        SecretsCommand::List(output) => records::list(world, "secrets", Vec::new(), SECRETS, output),
        SecretsCommand::Delete { name } => {
            records::ask(world, Ask { method: Method::DELETE, ..Ask::get(&["v1", "secrets", &name]) })?;
            world.console.talk_in(Tone::Good, &format!("the secret {name} is deleted"));
            Ok(())
        }
    }
}

fn set(world: &World, name: &str) -> Result<(), Error> {
    let mut text = String::new();
    let max = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX);
    std::io::stdin().take(max + 2).read_to_string(&mut text).map_err(|error| Error::Usage {
        message: format!("the value of the secret cannot be read from standard input: {error}"),
        help: format!("such as `printf %s VALUE | sortie secrets set {name}`"),
    })?;
    let value = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    let body = json!({ "name": name, "value": value });
    let named = world.common.server.is_some() || super::variable("SORTIE_SERVER").is_some();
    block_on(async {
        // A stopped server's data folder is made where there is none, so that secrets can be set before the first start.
        let api = if named { Api::find(world).await? } else { Api::of_folder(&world.config()?.config).await? };
        api.ask(Ask::post(&["v1", "secrets"], body)).await
    })?;
    world.console.talk_in(Tone::Good, &format!("the secret {name} is kept, encrypted"));
    Ok(())
}
