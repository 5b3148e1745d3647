//! Starting the server, keeping it going, and stopping it.
//!
//! The walk: [`start`] opens the store, reads destinations and playbooks ([`folder`], [`set`]) and starts the engine →
//! [`run`] hands the listener to [`crate::http`], watches the playbook folder ([`watch`]) and listens to signals
//! ([`signals`]) → at the word to stop, intake ends, steps in flight finish, the engine stops.
//!
//! Invariants: what cannot be right refuses the start, all of it at once; a start never opens a door that the
//! configuration does not name. Once started, a broken file changes nothing that is loaded.

pub(crate) mod authorship;
mod doors;
pub(crate) mod folder;
mod library;
mod provenance;
mod set;
mod signals;
mod watch;

use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use engine::ledger;
use engine::outbound::commitment::{self, Commitments};
use engine::outbound::{self, Effects, Outbound, Redactor, Secrets, SystemResolver};
use playbook::{Diagnostic, Severity, Span};
use store::{Sled, Store};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::config::{Config, codes};
use crate::http;
use crate::setup;
use crate::workshop::{Notes, Workshop};
use library::Library;
use signals::{Signals, Word};

/// How long steps in flight, and requests that are being answered, may take after the word to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// Longest name of this server in the history, in bytes.
const NODE_BYTES_MAX: usize = 64;

/// Why the server does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Files that people wrote are wrong.
    #[error("the configuration is wrong")]
    Invalid(Vec<Diagnostic>),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] engine::StartError),
    /// The history cannot be signed.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// The API did not start.
    #[error(transparent)]
    Http(#[from] http::StartError),
    /// What is kept secret cannot be opened.
    #[error(transparent)]
    Vault(#[from] outbound::vault::VaultError),
    /// The key of commitments.
    #[error(transparent)]
    Commitments(#[from] commitment::KeyFileError),
    /// The outbound client cannot be built.
    #[error(transparent)]
    Outbound(#[from] outbound::BuildError),
    /// Memory is not counted.
    #[error(transparent)]
    Evaluator(#[from] playbook::ProbeError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The playbook folder cannot be read.
    #[error("the playbook folder {folder} cannot be read: {source}")]
    Playbooks {
        /// The folder.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gives no signals or no threads.
    #[error("the system refused {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
    /// The store failed while the server was running.
    #[error("the server ended, because the store failed: {0}")]
    Failed(String),
    /// A second Ctrl-C.
    #[error("stopped at once")]
    AtOnce,
}

/// A started engine, and what reloads its playbooks.
pub(crate) struct Started {
    /// The engine.
    pub(crate) engine: Engine,
    library: Library,
}

/// How an engine is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To serve: runs are worked on, schedules fire, old history is dropped.
    Serve,
    /// For one command on a stopped server's data: nothing happens by itself.
    Look,
}

/// Opens the store of a configuration.
///
/// # Errors
/// [`store::Error`], typed: in use, damaged, newer, no room.
pub(crate) fn open(config: &Config) -> Result<Arc<dyn Store>, store::Error> {
    // What is in it is for this user alone.
    if let Err(source) = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data) {
        return Err(store::Error::Io { doing: "making the data folder", source });
    }
    let options = store::Options { durability: config.durability, ..store::Options::default() };
    Ok(Arc::new(Sled::open(&config.data, options)?))
}

/// Starts an engine over an open store.
///
/// # Errors
/// [`Error`].
pub(crate) async fn start(config: &Config, store: Arc<dyn Store>, purpose: Purpose) -> Result<Started, Error> {
    let evaluator = setup::evaluator()?;
    // Before anything is read, so that what changes meanwhile is seen.
    let mut library = Library::new(config.clone(), evaluator.clone());
    let vault = Arc::new(setup::vault(config, store.as_ref())??);
    let (commitments, commitments_made) = commitments(config, purpose)?;
    let secrets = setup::secrets(config, Arc::clone(&vault) as _).committing(commitments);
    if purpose == Purpose::Serve {
        // What is wrong with the sources is said before anything begins.
        settings(config, &secrets)?;
        mail_password(config, &secrets)?;
    }
    let destinations = setup::destinations(&config.destinations, config).map_err(Error::Invalid)?;
    let destinations = destinations.unwrap_or_default();
    let client = Outbound::new(config.egress.clone(), outbound::Limits::default(), Arc::new(SystemResolver))?;
    let playbooks = match purpose {
        Purpose::Serve => library.at_start(store.as_ref(), &destinations)?,
        Purpose::Look => library.as_loaded(store.as_ref(), &destinations)?,
    };
    let setup = engine::Setup {
        store,
        evaluator,
        words: config.words.clone(),
        node: node(),
        effects: Effects::live(client).with_mail(config.smtp.clone()),
        secrets,
        vault,
        destination_rules: setup::destination_rules(config),
        catalog: setup::catalog(config, Some(&destinations)),
        destinations,
        triage: config.triage.clone(),
        public_url: config.public_url.clone(),
        playbooks,
        runs_max: config.limits.runs_at_once,
        retention: config.retention,
        four_eyes: config.four_eyes,
    };
    let engine = match purpose {
        Purpose::Serve => Engine::start(setup).await?,
        Purpose::Look => Engine::open(setup)?,
    };
    sign(config, &engine, purpose).await?;
    if purpose == Purpose::Serve {
        engine.know_commitments(commitments_made).await.map_err(ledger::LedgerError::from)?;
    }
    if purpose == Purpose::Serve {
        record_provenance(config, &engine).await;
    }
    Ok(Started { engine, library })
}

/// Whether the password of the mail server is there: one that is missing is said at the start, not with the first message.
///
/// # Errors
/// [`Error::Invalid`] when it is not.
pub(crate) fn mail_password(config: &Config, secrets: &Secrets) -> Result<(), Error> {
    let Some((_, password)) = config.smtp.as_ref().and_then(|smtp| smtp.login.as_ref()) else { return Ok(()) };
    let Err(error) = password.resolve(secrets, &mut Redactor::default()) else { return Ok(()) };
    Err(Error::Invalid(vec![outside(config, codes::NO_SECRET, &format!("`smtp.auth.password`: {error}"))]))
}

/// What makes the commitments of redacted values, and whether its key was made now. A command makes none.
fn commitments(config: &Config, purpose: Purpose) -> Result<(Commitments, bool), Error> {
    let path = config.data.join(commitment::KEY_FILE);
    match Commitments::read(&path)? {
        Some(known) => Ok((known, false)),
        None if purpose == Purpose::Serve => Ok((Commitments::make(&path)?, true)),
        None => Ok((Commitments::default(), false)),
    }
}

/// Records where what is in force comes from.
pub(crate) async fn record_provenance(config: &Config, engine: &Engine) {
    let config = config.clone();
    let Ok(from) = tokio::task::spawn_blocking(move || provenance::of(&config)).await else { return };
    let (kind, actor) = (model::history::EntryKind::Server, model::Actor::System);
    if let Err(error) = engine.record(kind, "server".to_owned(), from, actor).await {
        tracing::warn!(%error, "the digests of the files that are in force could not be recorded");
    }
}

/// Begins to sign the history; a command that only looks signs where there is a key already.
async fn sign(config: &Config, engine: &Engine, purpose: Purpose) -> Result<(), Error> {
    let path = config.ledger_key.clone().unwrap_or_else(|| config.data.join(ledger::KEY_FILE));
    if purpose == Purpose::Look && !path.exists() {
        return Ok(());
    }
    let keys = ledger::Keys { path, name: format!("sortie/{}", node().replace('+', "-")) };
    let settings =
        ledger::Settings { keys, copies: config.ledger_copies.clone(), destination: config.ledger_destination.clone() };
    Ok(engine.sign_with(settings).await?)
}

/// The settings of the API.
///
/// # Errors
/// [`Error::Invalid`] when a secret is missing or a source is not known.
pub(crate) fn settings(config: &Config, secrets: &Secrets) -> Result<http::Settings, Error> {
    Ok(http::Settings {
        auth_required: config.auth_required,
        doors: doors::open(config, secrets, &setup::evaluator()?).map_err(Error::Invalid)?,
        tenants: (!config.tenants.is_empty()).then(|| config.tenants.iter().cloned().collect()),
        limits: engine::source::Limits {
            event_bytes: config.limits.event_body_bytes,
            batch_bytes: config.limits.batch_body_bytes,
            batch_events: config.limits.batch_events,
            ..engine::source::Limits::default()
        },
        data: config.data.clone(),
        tls: config.tls.as_ref().map(|files| doorway(config, files)).transpose()?,
        four_eyes: config.four_eyes.then(|| config.playbooks.clone()),
        public_url: config.public_url.clone(),
        oidc: config.oidc.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
        grace: GRACE,
        workshop: Arc::new(Workshop::new(config, Notes::default())),
    })
}

/// Certificate and key of the listener.
fn doorway(config: &Config, files: &http::tls::Files) -> Result<Arc<http::tls::Doorway>, Error> {
    // By the time of the machine: certificates are dated by the world's clock, not by the store's.
    let opened = http::tls::Doorway::open(files.clone(), engine::clock::wall());
    let wrong = |error| Error::Invalid(vec![outside(config, codes::UNREADABLE_VALUE, &format!("`tls`: {error}"))]);
    opened.map(Arc::new).map_err(wrong)
}

/// A mistake of the configuration that shows only when what it names is looked at.
fn outside(config: &Config, code: &'static str, message: &str) -> Diagnostic {
    let file = config.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
    Diagnostic {
        code,
        severity: Severity::Error,
        message: message.to_owned(),
        file: file.into(),
        span: Span { line: 1, column: 1, len: 1 },
        excerpt: String::new(),
        help: None,
    }
}

/// Binds the listener.
///
/// # Errors
/// [`Error::Listen`].
pub(crate) async fn listen(config: &Config) -> Result<TcpListener, Error> {
    let address = config.listen;
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// Serves until a signal says stop. `ready` is called when requests are answered.
///
/// # Errors
/// [`Error`] when it cannot start, when the store fails, or at a second Ctrl-C.
pub(crate) async fn run(
    config: &Config,
    started: Started,
    listener: TcpListener,
    ready: impl FnOnce(&Engine, std::net::SocketAddr),
) -> Result<(), Error> {
    let system = |what| move |source| Error::System { what, source };
    let mut signals = Signals::new().map_err(system("a handler of signals"))?;
    let address = listener.local_addr().map_err(system("the address of the listener"))?;
    let settings = settings(config, &started.engine.context().secrets)?;
    let workshop = Arc::new(Workshop::new(config, started.library.notes()));
    let app = http::app(started.engine.clone(), http::Settings { workshop, ..settings }, Some(address)).await?;
    ready(&started.engine, address);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        // A sender that is gone means stop, too.
        let _ = stopped.await;
    };
    let doorway = app.settings.tls.clone();
    let mut fresh = std::pin::pin!(async {
        match &doorway {
            Some(doorway) => doorway.keep_fresh().await,
            None => std::future::pending().await,
        }
    });
    let mut server = std::pin::pin!(http::serve(listener, app, shutdown));
    let reload = tokio::sync::Notify::new();
    let mut watch = std::pin::pin!(watch::run(started.library, started.engine.clone(), &reload));
    let failed = loop {
        tokio::select! {
            () = &mut server => break None,
            () = &mut watch => {}
            () = &mut fresh => {}
            reason = started.engine.failed() => break Some(reason),
            word = signals.next() => match word {
                Word::Reload => {
                    reload.notify_one();
                    doorway.iter().for_each(|doorway| doorway.again());
                }
                Word::Stop => break None,
            },
        }
    };
    let deadline = Instant::now() + GRACE;
    tracing::info!("stopping: what is in flight may finish; Ctrl-C again stops at once");
    drop(stop);
    let end = async {
        server.await;
        started.engine.stop(deadline.saturating_duration_since(Instant::now())).await;
    };
    tokio::select! {
        () = end => {}
        () = signals.at_once() => return Err(Error::AtOnce),
    }
    match failed {
        Some(reason) => Err(Error::Failed(reason)),
        None => Ok(()),
    }
}

/// The name of this server in the history.
fn node() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_graphic()).take(NODE_BYTES_MAX).collect();
    if name.is_empty() { "sortie".to_owned() } else { name }
}

#[cfg(test)]
mod tests;
