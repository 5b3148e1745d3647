//! `sortie tokens`: who may use the API. Works through the running server, and on a stopped one, even before its first
//! start.

use engine::outbound::Method;
use serde_json::json;

use super::World;
use super::api::{Api, Ask, block_on};
use super::args::TokensCommand;
use super::console::Tone;
use super::exit::Error;
use super::records::{self, TOKENS};

/// Makes, lists, revokes.
pub(super) fn run(world: &World, command: TokensCommand) -> Result<(), Error> {
    match command {
        TokensCommand::Create { name, role, tenant } => create(world, &name, &role, tenant.as_deref()),
        TokensCommand::List(output) => records::list(world, "tokens", Vec::new(), TOKENS, output),
        TokensCommand::Revoke { name } => {
            records::ask(world, Ask { method: Method::DELETE, ..Ask::get(&["v1", "tokens", &name]) })?;
            world.console.talk_in(Tone::Good, &format!("the token {name} opens nothing any more"));
            Ok(())
        }
    }
}

fn create(world: &World, name: &str, role: &str, tenant: Option<&str>) -> Result<(), Error> {
    let body = json!({ "name": name, "role": role, "tenant": tenant });
    let named = world.common.server.is_some() || super::variable("SORTIE_SERVER").is_some();
    let answer = block_on(async {
        let api = if named { Api::find(world).await? } else { Api::of_folder(&world.config()?.config).await? };
        api.ask(Ask::post(&["v1", "tokens"], body)).await
    })?;
    let secret =
        answer["token"].as_str().ok_or_else(|| Error::Failed { message: "the answer holds no token".to_owned() })?;
    world.console.talk_in(Tone::Good, &format!("the token {name} ({role}); it is shown this once only:"));
    Ok(world.console.data(secret)?)
}
