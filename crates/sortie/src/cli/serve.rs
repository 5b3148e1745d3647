//! `sortie serve`: the server, in the foreground.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::api::ADDRESS_FILE;
use super::args::ServeArguments;
use super::console::{Tone, counted};
use super::exit::Error;
use crate::auth::first;
use crate::config::{Config, Flags};
use crate::serve::{self, Purpose};
use crate::telemetry::{self, Format};

/// How long the end of the process waits for the store to be closed.
const CLOSING: Duration = Duration::from_secs(2);

/// Serves until it is told to stop.
pub(super) fn run(world: &World, arguments: &ServeArguments) -> Result<(), Error> {
    let flags = Flags { listen: arguments.listen, playbooks: arguments.playbooks.clone(), ..Flags::default() };
    let loaded = world.config_with(flags)?;
    let config = loaded.config;
    telemetry::start(config.log.format, &config.log.level);
    for warning in &loaded.warnings {
        world.console.talk(&warning.render(world.console.colors_talk()));
    }
    // What is wrong with the sources is said before a data folder is made.
    if !config.data.exists() {
        serve::settings(&config, &crate::setup::secrets(&config, Arc::new(BTreeMap::new())))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| Error::Start {
        message: format!("the system gives no threads: {e}"),
        help: "look at the limits of this user".to_owned(),
    })?;
    let outcome = runtime.block_on(serving(world, &config));
    // What still holds the store lets go of it, so that it is closed whole; a long look into it ends with the process.
    runtime.shutdown_timeout(CLOSING);
    outcome
}

async fn serving(world: &World, config: &Config) -> Result<(), Error> {
    let store = serve::open(config).map_err(|error| super::api::in_use(config, error))?;
    let listener = serve::listen(config).await?;
    let started = serve::start(config, store, Purpose::Serve).await?;
    let noted = config.data.join(ADDRESS_FILE);
    // On the heap: it is as large as everything that the server does at the same time.
    let outcome = Box::pin(serve::run(config, started, listener, |engine, address| {
        if let Err(error) = note(&noted, address) {
            tracing::warn!(%error, "the address could not be noted in the data folder");
        }
        greet(world, config, engine.playbooks().playbooks().len(), address);
    }))
    .await;
    // A file that stays behind after a crash is harmless: the lock of the store says whether a server runs.
    let _ = std::fs::remove_file(&noted);
    Ok(outcome?)
}

fn note(path: &Path, address: SocketAddr) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    writeln!(file, "{address}")
}

/// One line for the person who started it.
fn greet(world: &World, config: &Config, playbooks: usize, address: SocketAddr) {
    let url = Config { listen: address, ..config.clone() }.local_url();
    let token = config.data.join(first::FILE).display().to_string();
    if config.log.format == Format::Json {
        tracing::info!(url, playbooks, token, "listening");
        return;
    }
    let access = if config.auth_required { format!("admin token in {token}") } else { "no authentication".to_owned() };
    let playbooks = counted(playbooks as u64, "playbook");
    let line = format!("sortie listens on {url} · {playbooks} · {access} · Ctrl-C stops it");
    world.console.talk_in(Tone::Good, &line);
}
