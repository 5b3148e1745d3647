//! Where a command finds the data: the running server, or the data folder of a stopped one.
//!
//! Both answer the same requests in the same way: over a stopped server's data the requests go through the same routes,
//! without a network between. So there is one code path for each command, and one shape of every answer.
//!
//! Invariant: the admin token of this machine's data folder is sent to a loopback address only.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use engine::outbound::admin::{Admin, AdminError, Reply};
use engine::outbound::{Method, Secret};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::World;
use super::exit::Error;
use crate::auth::first;
use crate::config::Config;
use crate::{http, serve};

/// The file in the data folder that says where its server listens.
pub(super) const ADDRESS_FILE: &str = "server.address";

/// Where requests go.
pub(super) enum Api {
    /// To a running server.
    Server {
        /// The client.
        admin: Admin,
        /// Its address, for people.
        url: String,
    },
    /// To the data folder.
    Folder {
        /// The routes.
        router: Router,
    },
}

/// A request.
pub(super) struct Ask<'a> {
    /// The method.
    pub(super) method: Method,
    /// The parts of the path, not encoded.
    pub(super) path: &'a [&'a str],
    /// The query; what is `None` is left out.
    pub(super) query: &'a [(&'a str, Option<String>)],
    /// The body.
    pub(super) body: Option<Value>,
}

impl<'a> Ask<'a> {
    /// Reads something.
    pub(super) fn get(path: &'a [&'a str]) -> Ask<'a> {
        Ask { method: Method::GET, path, query: &[], body: None }
    }

    /// Does something.
    pub(super) fn post(path: &'a [&'a str], body: Value) -> Ask<'a> {
        Ask { method: Method::POST, path, query: &[], body: Some(body) }
    }
}

impl Api {
    /// Finds the server, or opens the data folder.
    ///
    /// # Errors
    /// [`Error`] when there is neither, or the folder cannot be opened.
    pub(super) async fn find(world: &World) -> Result<Api, Error> {
        let asked = world.common.server.clone().or_else(|| super::variable("SORTIE_SERVER"));
        let config = world.config()?.config;
        if let Some(url) = asked {
            return server(&config, url);
        }
        if !config.data.exists() {
            // Nothing here: only a server elsewhere can be meant, and there is none to be found.
            return Err(Error::NoData { folder: config.data.display().to_string() });
        }
        Api::of_folder(&config).await
    }

    /// Opens the data folder of a configuration, made where there is none; talks to its server when one runs on it.
    ///
    /// # Errors
    /// [`Error`] when the folder cannot be opened.
    pub(super) async fn of_folder(config: &Config) -> Result<Api, Error> {
        match serve::open(config) {
            Ok(store) => {
                let started = serve::start(config, store, serve::Purpose::Look).await?;
                let four_eyes = config.four_eyes.then(|| config.playbooks.clone());
                let app = http::app(started.engine, http::Settings::for_command(&config.data, four_eyes), None).await?;
                Ok(Api::Folder { router: http::router(app) })
            }
            Err(store::Error::InUse { .. }) => server(config, running_at(config)),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks, and reads the answer as JSON.
    ///
    /// # Errors
    /// [`Error::Refused`] with what was said; [`Error::Unreachable`].
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<Value, Error> {
        let Reply { status, body } = self.reply(ask).await?;
        let value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or(Value::Null) };
        if (200..300).contains(&status) { Ok(value) } else { Err(self.refused(status, &value)) }
    }

    /// Asks, and writes the answer into `out` as it comes.
    ///
    /// # Errors
    /// [`Error::Refused`] with what was said; [`Error::Unreachable`]; what `out` fails with.
    pub(super) async fn download(
        &self,
        path: &[&str],
        query: &[(&str, Option<String>)],
        out: &mut (dyn std::io::Write + Send),
    ) -> Result<(), Error> {
        let query: Vec<(&str, &str)> =
            query.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))).collect();
        let refusal = match self {
            Api::Server { admin, url } => {
                let outcome = admin.download(Method::GET, path, &query, out).await;
                outcome.map_err(|e| unreachable(url, &e))?.err()
            }
            Api::Folder { router } => {
                let answer = asked_inside(router, Method::GET, path, &query, None).await?;
                let status = answer.status().as_u16();
                let mut body = answer.into_body();
                if (200..300).contains(&status) {
                    while let Some(frame) = body.frame().await {
                        let frame = frame.map_err(|e| Error::Failed { message: format!("it broke off: {e}") })?;
                        out.write_all(frame.data_ref().map_or(&[][..], |data| data))?;
                    }
                    None
                } else {
                    let body = body.collect().await.map(|whole| whole.to_bytes().to_vec()).unwrap_or_default();
                    Some(Reply { status, body })
                }
            }
        };
        match refusal {
            None => Ok(()),
            Some(reply) => Err(self.refused(reply.status, &serde_json::from_slice(&reply.body).unwrap_or(Value::Null))),
        }
    }

    async fn reply(&self, ask: Ask<'_>) -> Result<Reply, Error> {
        let query: Vec<(&str, &str)> =
            ask.query.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))).collect();
        match self {
            Api::Server { admin, url } => {
                admin.ask(ask.method, ask.path, &query, ask.body.as_ref()).await.map_err(|e| unreachable(url, &e))
            }
            Api::Folder { router } => inside(router, ask.method, ask.path, &query, ask.body).await,
        }
    }

    /// The error for an answer that is a refusal.
    pub(super) fn refused(&self, status: u16, problem: &Value) -> Error {
        let said = problem["detail"].as_str().or_else(|| problem["title"].as_str()).unwrap_or("no reason was given");
        let detail = format!("{} ({status})", super::console::one_line(said));
        match self {
            Api::Server { url, .. } => Error::Refused { server: format!("the server at {url}"), status, detail },
            Api::Folder { .. } => Error::Refused { server: "the engine".to_owned(), status, detail },
        }
    }
}

/// The error for a server that does not answer.
pub(super) fn unreachable(url: &str, error: &AdminError) -> Error {
    match error {
        AdminError::Address(_) | AdminError::Token => Error::Usage {
            message: error.to_string(),
            help: "say where the server is with --server URL, and give its token in SORTIE_TOKEN".to_owned(),
        },
        _ => Error::Unreachable { server: url.to_owned(), why: error.to_string() },
    }
}

fn server(config: &Config, url: String) -> Result<Api, Error> {
    let token = super::variable("SORTIE_TOKEN").or_else(|| own_token(config, &url));
    // A file that is not there is the server's problem; then its certificate is judged as any other.
    let own = config.tls.as_ref().and_then(|files| std::fs::read(&files.cert).ok());
    let admin = Admin::new(&url, token.map(Secret::new).as_ref(), own.as_deref()).map_err(|e| unreachable(&url, &e))?;
    Ok(Api::Server { admin, url })
}

/// The admin token of the data folder, for a server on this machine.
fn own_token(config: &Config, url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if !loopback {
        return None;
    }
    Some(std::fs::read_to_string(config.data.join(first::FILE)).ok()?.trim().to_owned())
}

/// The error for a data folder that cannot be opened; one that is in use leads to the server that uses it.
pub(super) fn in_use(config: &Config, error: store::Error) -> Error {
    match error {
        store::Error::InUse { path } => Error::Running { folder: path.display().to_string(), url: running_at(config) },
        error => Error::Store(error),
    }
}

/// Where the server of this data folder listens: as it has noted itself, else as configured.
pub(super) fn running_at(config: &Config) -> String {
    let noted = std::fs::read_to_string(config.data.join(ADDRESS_FILE)).ok();
    let noted = noted.and_then(|text| text.trim().parse().ok());
    noted.map_or_else(|| config.local_url(), |listen| Config { listen, ..config.clone() }.local_url())
}

/// Asks the routes in this process, and reads all of the answer.
async fn inside(
    router: &Router,
    method: Method,
    path: &[&str],
    query: &[(&str, &str)],
    body: Option<Value>,
) -> Result<Reply, Error> {
    let broken = |what: &str| Error::Refused { server: "the engine".to_owned(), status: 500, detail: what.to_owned() };
    let answer = asked_inside(router, method, path, query, body).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.map_err(|_| broken("the answer broke off"))?.to_bytes().to_vec();
    Ok(Reply { status, body })
}

/// Asks the routes in this process.
async fn asked_inside(
    router: &Router,
    method: Method,
    path: &[&str],
    query: &[(&str, &str)],
    body: Option<Value>,
) -> Result<axum::response::Response, Error> {
    use engine::outbound::percent_encode;
    let mut uri: String = path.iter().flat_map(|part| ["/".to_owned(), percent_encode(part)]).collect();
    for (at, (key, value)) in query.iter().enumerate() {
        uri.push(if at == 0 { '?' } else { '&' });
        uri.push_str(&format!("{}={}", percent_encode(key), percent_encode(value)));
    }
    let broken = |what: &str| Error::Refused { server: "the engine".to_owned(), status: 500, detail: what.to_owned() };
    let mut request = Request::builder().method(method).uri(uri);
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let request = request.body(body).map_err(|_| broken("this cannot be asked for"))?;
    match router.clone().oneshot(request).await {
        Ok(answer) => Ok(answer),
        Err(never) => match never {},
    }
}

/// Runs a future of a command to its end.
///
/// # Errors
/// The future's own; [`Error::Start`] when the system gives no threads.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| Error::Start {
        message: format!("the system gives no threads: {e}"),
        help: "look at the limits of this user".to_owned(),
    })?;
    let outcome = runtime.block_on(work);
    // A look into the store that hangs must not hold the command up.
    runtime.shutdown_background();
    outcome
}
