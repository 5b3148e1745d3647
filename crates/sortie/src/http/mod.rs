//! HTTP: events in, history out.
//!
//! The walk of a request: [`server`] takes the connection, [`wire`] watches its bytes → the router made from [`table`]
//! finds the route → [`dispatch`] asks who it is, what the role may, which query keys stand there → a handler
//! ([`ingest`], or one in [`api`]) asks the engine or looks into the store → a shape that is written as JSON, or a
//! [`problem`].
//!
//! Invariants: the structs that are written stand here and are filled by hand, a noun of the model never leaves as it
//! is; every body, header, wait and number of connections is bounded; a route exists only by its line in [`table`].

mod activity;
pub(crate) mod api;
mod arriving;
pub(crate) mod body;
pub(crate) mod dispatch;
mod handshake;
mod ingest;
mod openapi;
mod pieces;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod route;
mod server;
pub(crate) mod table;
pub(crate) mod tls;
mod validity;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use engine::Engine;
use engine::outbound::Network;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::auth::brake::Brake;
use crate::auth::sender::Sender;
use crate::auth::session::{SECRET_BYTES, Sessions};
use crate::auth::user::Users;
use crate::auth::{Tokens, first, first_user, oidc};
use crate::workshop::Workshop;
use problem::Problem;
pub(crate) use route::Call;

/// Looks into the store that may go on at once; more wait for their turn.
const LOOKS_MAX: usize = 16;
/// How long a look may wait for its turn.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);

/// A source and how its sender is known.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// How its bodies are read.
    pub(crate) source: engine::source::Source,
    /// How its sender is known.
    pub(crate) sender: Sender,
    /// The networks that its requests may come from; from anywhere when there are none.
    pub(crate) allow: Vec<Network>,
    /// The tenant that everything it sends belongs to, when the configuration binds it.
    pub(crate) tenant: Option<String>,
    /// Bodies that could not be read, or that nothing in the source's file fitted.
    pub(crate) unreadable: Arc<std::sync::atomic::AtomicU64>,
    /// When it was heard last, in milliseconds since 1970; zero before the first time since the start.
    pub(crate) heard: Arc<std::sync::atomic::AtomicI64>,
}

/// What the server is told by the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Whether API and pages ask for a token. Off is accepted on a loopback address only.
    pub(crate) auth_required: bool,
    /// The sources, by the name under `/v1/in/`.
    pub(crate) doors: BTreeMap<String, Door>,
    /// The tenants; nothing when there are none, and everything is tenant `default`.
    pub(crate) tenants: Option<BTreeSet<String>>,
    /// How much of a body is read.
    pub(crate) limits: engine::source::Limits,
    /// The data folder, for the first token.
    pub(crate) data: PathBuf,
    /// The certificate that the listener shows; nothing means plain HTTP.
    pub(crate) tls: Option<Arc<tls::Doorway>>,
    /// The folder of playbooks, where who wrote a text may not be the one who switches it on.
    pub(crate) four_eyes: Option<PathBuf>,
    /// Where people reach the server, when the configuration says so.
    pub(crate) public_url: Option<String>,
    /// The identity provider through which people sign in, when there is one.
    pub(crate) oidc: Option<oidc::Provider>,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<Network>,
    /// How long requests may go on after the word to stop.
    pub(crate) grace: Duration,
    /// Where playbooks are tried out.
    pub(crate) workshop: Arc<Workshop>,
}

impl Settings {
    /// For a command that asks the routes in its own process: its caller owns the data folder, so nobody is asked for a
    /// token, and no source has a door.
    pub(crate) fn for_command(data: &std::path::Path, four_eyes: Option<PathBuf>) -> Settings {
        Settings {
            auth_required: false,
            doors: BTreeMap::new(),
            tenants: None,
            limits: engine::source::Limits::default(),
            data: data.to_owned(),
            tls: None,
            four_eyes,
            public_url: None,
            oidc: None,
            trusted_proxies: Vec::new(),
            grace: Duration::ZERO,
            workshop: Arc::default(),
        }
    }

    /// Whether browsers reach the pages over TLS, so that their cookie must never go without it.
    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some() || self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }

    /// The address that a request comes from: the peer, or what trusted proxies say about it, from the nearest on.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted = |address: IpAddr| self.trusted_proxies.iter().any(|network| network.contains(address));
        if self.trusted_proxies.is_empty() || !trusted(peer) {
            return peer;
        }
        let said = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut hops = said.rsplit(',').map_while(|hop| hop.trim().parse::<IpAddr>().ok());
        hops.find(|hop| !trusted(*hop)).unwrap_or(peer)
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Everyone would be an administrator, from anywhere.
    #[error("`auth: none` is accepted on a loopback address only, and the server listens on {address}")]
    Open {
        /// Where it listens.
        address: std::net::SocketAddr,
    },
    /// The tokens cannot be read or the first one cannot be made.
    #[error(transparent)]
    Tokens(#[from] first::Error),
    /// The system has no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// What all requests share.
pub(crate) struct App {
    /// The engine.
    pub(crate) engine: Engine,
    /// The configuration.
    pub(crate) settings: Settings,
    /// Who may ask.
    pub(crate) tokens: Tokens,
    /// Who may sign in with a password.
    pub(crate) users: Users,
    /// Who has signed in with a browser.
    pub(crate) sessions: Sessions,
    /// Sign-ins through the identity provider that are under way.
    pub(crate) flows: oidc::Flows,
    /// What is known of the identity provider.
    pub(crate) provider: oidc::provider::Kept,
    /// The brake on guessing.
    pub(crate) brake: Brake,
    /// What bodies hold together.
    pub(crate) budget: body::Budget,
    /// Turns for reading large bodies.
    reading: Semaphore,
    /// What was done lately.
    pub(crate) activity: activity::Activity,
    /// The bound on recorded refusals.
    pub(crate) refusals: dispatch::Refusals,
    /// Counts for `/metrics`.
    pub(crate) counters: dispatch::Counters,
    /// Changes of tokens, one at a time.
    pub(crate) token_changes: tokio::sync::Mutex<()>,
    /// Backups, one at a time.
    pub(crate) backups: Arc<Semaphore>,
    looks: Semaphore,
}

impl App {
    /// Asks the store, on a thread where that may block.
    ///
    /// # Errors
    /// 503 when too many ask; 500 when the store fails.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn store::Store) -> Result<T, engine::view::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = tokio::time::timeout(LOOK_PATIENCE, self.looks.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            let problem =
                Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "busy", "too many listings are asked for");
            return Err(problem.retry_after(LOOK_PATIENCE));
        };
        let store = Arc::clone(self.engine.store());
        match tokio::task::spawn_blocking(move || look(&*store)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(Problem::inside(error.to_string())),
            Err(error) => Err(Problem::inside(format!("a look into the store ended early: {error}"))),
        }
    }
}

/// What requests are answered with. The first start makes a token for the administrator. `address` is where the server
/// listens; nothing for a command that asks the routes in its own process.
///
/// # Errors
/// [`StartError`] when it must not or cannot start.
pub(crate) async fn app(
    engine: Engine,
    settings: Settings,
    address: Option<std::net::SocketAddr>,
) -> Result<Arc<App>, StartError> {
    if let Some(address) = address
        && !settings.auth_required
        && !address.ip().to_canonical().is_loopback()
    {
        return Err(StartError::Open { address });
    }
    let tokens = Tokens::default();
    first::start(&engine, &tokens, &settings.data).await?;
    let users = Users::default();
    first_user::start(&engine, &users, &settings.data, settings.auth_required).await?;
    let mut key = [0; SECRET_BYTES];
    getrandom::fill(&mut key)?;
    Ok(Arc::new(App {
        engine,
        settings,
        tokens,
        users,
        sessions: Sessions::new(key),
        flows: oidc::Flows::default(),
        provider: oidc::provider::Kept::default(),
        brake: Brake::default(),
        budget: body::Budget::default(),
        reading: Semaphore::new(arriving::READING_MAX),
        activity: activity::Activity::default(),
        refusals: dispatch::Refusals::default(),
        counters: dispatch::Counters::default(),
        token_changes: tokio::sync::Mutex::default(),
        backups: Arc::new(Semaphore::new(1)),
        looks: Semaphore::new(LOOKS_MAX),
    }))
}

/// The routes, for requests that come from this process itself.
pub(crate) fn router(app: Arc<App>) -> axum::Router {
    table::router(app)
}

/// Serves until `shutdown` is done, then for at most the grace of the settings.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, shutdown: impl Future<Output = ()>) {
    server::serve(listener, app, shutdown).await;
}
