//! `sortie users`: who may sign in to the pages with a password. Works through the running server, and on a stopped one.

use clap::Subcommand;
use engine::outbound::Method;
use serde_json::{Value, json};

use super::World;
use super::api::{Api, Ask, block_on};
use super::args::Output;
use super::console::Tone;
use super::exit::Error;
use super::records::{self, Column};

/// The columns of users.
const USERS: &[Column] = &[
    ("USER", &["name"]),
    ("ROLE", &["role"]),
    ("TENANT", &["tenant"]),
    ("MUST CHANGE", &["must_change"]),
    ("MADE", &["created_at"]),
    ("BY", &["created_by"]),
];

/// `sortie users`.
#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Makes a user and prints a one-time password, on stdout; another is chosen at the first sign-in
    Create {
        /// The name to sign in with, as the history will show it
        #[arg(long)]
        name: String,
        /// What the user may do
        #[arg(long, value_parser = ["admin", "author", "analyst", "approver", "auditor", "viewer"])]
        role: String,
        /// The user sees this tenant only
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Lists the users
    List(Output),
    /// Deletes a user; all sessions of that user end
    Delete {
        /// The user's name
        name: String,
    },
    /// Prints a new one-time password for a user, on stdout; the old password opens nothing any more
    Password {
        /// The user's name
        name: String,
    },
}

/// Makes, lists, deletes.
pub(super) fn run(world: &World, command: UsersCommand) -> Result<(), Error> {
    match command {
        UsersCommand::Create { name, role, tenant } => {
            let body = json!({ "name": name, "role": role, "tenant": tenant });
            let answer = ask(world, Ask::post(&["v1", "users"], body))?;
            tell(world, &answer, &format!("the user {name} ({role}) signs in once with this password:"))
        }
        UsersCommand::List(output) => records::list(world, "users", Vec::new(), USERS, output),
        UsersCommand::Delete { name } => {
            ask(world, Ask { method: Method::DELETE, ..Ask::get(&["v1", "users", &name]) })?;
            world.console.talk_in(Tone::Good, &format!("the user {name} can sign in no more"));
            Ok(())
        }
        UsersCommand::Password { name } => {
            let answer = ask(world, Ask::post(&["v1", "users", &name, "password"], json!({})))?;
            tell(world, &answer, &format!("the user {name} signs in once with this password:"))
        }
    }
}

/// Asks the named server, else the folder's: also one that was never started.
fn ask(world: &World, ask: Ask<'_>) -> Result<Value, Error> {
    let named = world.common.server.is_some() || super::variable("SORTIE_SERVER").is_some();
    block_on(async {
        let api = if named { Api::find(world).await? } else { Api::of_folder(&world.config()?.config).await? };
        api.ask(ask).await
    })
}

fn tell(world: &World, answer: &Value, words: &str) -> Result<(), Error> {
    let password = answer["password"]
        .as_str()
        .ok_or_else(|| Error::Failed { message: "the answer holds no password".to_owned() })?;
    world.console.talk_in(Tone::Good, words);
    Ok(world.console.data(password)?)
}
