//! `sortie demo`: everything once, on a terminal, in a few seconds.
//!
//! A real engine on a real store in a folder of its own, the shipped playbooks, a receiver on loopback. Events go in
//! over HTTP, as a product would send them; everything that is shown was asked of the API. It ends by itself and leaves
//! nothing behind.

mod events;
mod files;
mod tell;

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::outbound::Secret;
use engine::outbound::admin::Admin;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::World;
use super::api::{self, Api, Ask};
use super::args::DemoArguments;
use super::exit::Error;
use super::receiver::{self, Answers, Arrived};
use crate::auth::first;
use crate::config::{Config, SenderAuth, Source};
use crate::http;
use crate::serve::{self, Purpose};
use crate::telemetry::{self, Format};
use files::Workplace;
use tell::Teller;

/// How long the runs may take altogether.
const RUNS_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked whether they are done.
const PERIOD: Duration = Duration::from_millis(50);
/// The path whose first message is refused.
const SLOW: &str = "/siem";
/// The statuses of runs that are not done.
const OPEN: &str = "queued,running,waiting";

/// Shows everything once.
pub(super) fn run(world: &World, arguments: &DemoArguments) -> Result<(), Error> {
    let began = Instant::now();
    let workplace = Workplace::make(arguments.keep).map_err(|e| io("make a folder", &e))?;
    // What the engine says would stand between what the demo shows; what is wrong is still said.
    telemetry::start(Format::Text, &tracing_subscriber::filter::Targets::new().with_default(tracing::Level::ERROR));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| io("start threads", &e))?;
    let outcome = runtime.block_on(show(world, &workplace, arguments.keep, began));
    runtime.shutdown_background();
    outcome
}

async fn show(world: &World, workplace: &Workplace, keep: bool, began: Instant) -> Result<(), Error> {
    let teller = Teller::new(world.console);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|e| io("listen", &e))?;
    let receiver = listener.local_addr().map_err(|e| io("listen", &e))?;
    let mut inbox = receiver::start(listener, Answers { status: StatusCode::OK, refuse_first_to: Some(SLOW) });
    let config = prepare(workplace, receiver).map_err(|e| io("prepare the folder", &e))?;
    let started = serve::start(&config, serve::open(&config)?, Purpose::Serve).await?;
    let engine = started.engine;
    let listener = serve::listen(&config).await?;
    let address = listener.local_addr().map_err(|e| io("listen", &e))?;
    let app = http::app(engine.clone(), serve::settings(&config, &engine.context().secrets)?, Some(address)).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(http::serve(listener, app, async {
        let _ = stopped.await;
    }));
    let url = format!("http://{address}");
    let token = std::fs::read_to_string(config.data.join(first::FILE)).map_err(|e| io("read the token", &e))?;
    let admin = Admin::new(&url, Some(&Secret::new(token.trim())), None).map_err(|e| api::unreachable(&url, &e))?;
    let api = Api::Server { admin, url: url.clone() };

    teller.opening(&url, receiver, engine.playbooks().playbooks().len())?;
    let mut run = None;
    for (number, scene) in (1..).zip(events::scenes()) {
        let answer = api.ask(Ask::post(&["v1", "in", scene.source], scene.body)).await?;
        let id = answer["event_id"].as_str().unwrap_or_default();
        let told = api.ask(Ask::get(&["v1", "explain", id])).await?;
        teller.event(number, (scene.title, scene.source), &answer, &told)?;
        settle(&api).await?;
        run = run.or_else(|| run_of(&answer, events::STAR));
    }
    let arrived = drain(&mut inbox);
    teller.deliveries(&arrived)?;
    let runs = api.ask(Ask { query: &[("limit", Some("100".to_owned()))], ..Ask::get(&["v1", "runs"]) }).await?;
    teller.runs(&runs)?;
    if let Some(id) = run {
        teller.history(&api.ask(Ask::get(&["v1", "runs", &id])).await?)?;
    }
    drop(stop);
    let _ = server.await;
    engine.stop(serve::GRACE).await;
    teller.closing(began.elapsed(), keep.then(|| workplace.path()))
}

/// Writes what the server reads, and answers its configuration.
fn prepare(workplace: &Workplace, receiver: SocketAddr) -> std::io::Result<Config> {
    for (name, text) in files::PLAYBOOKS {
        workplace.write(&format!("playbooks/{name}"), text)?;
    }
    let destinations = format!(
        "destinations:\n  soc-desk:\n    kind: webhook\n    url: http://{receiver}/soc-desk\n    sign: {{ standard_webhooks: \"${{secret:DESK_SIGNING}}\" }}\n  siem:\n    kind: webhook\n    url: http://{receiver}/siem\n"
    );
    workplace.write("destinations.yaml", &destinations)?;
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(std::io::Error::other)?;
    workplace.write("secrets/DESK_SIGNING", &format!("whsec_{}", STANDARD.encode(key)))?;
    let mut config = Config::defaults(workplace.path());
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.secrets_dir = Some(workplace.path().join("secrets"));
    config.egress.allow = "127.0.0.1".parse().into_iter().collect();
    config.egress.allow_http = true;
    config.sources = ["generic", "exabeam"].map(open_source).to_vec();
    Ok(config)
}

/// A source without authentication: the demo listens on loopback, on a port that nobody knows.
fn open_source(name: &str) -> Source {
    let span = playbook::Span::default();
    Source {
        name: name.to_owned(),
        span,
        file: None,
        uses: None,
        auth: SenderAuth::None,
        timezone: None,
        allow: Vec::new(),
        tenant: None,
        tenants: None,
    }
}

/// Waits until no run is open.
async fn settle(api: &Api) -> Result<(), Error> {
    let deadline = Instant::now() + RUNS_PATIENCE;
    let query = [("status", Some(OPEN.to_owned())), ("limit", Some("1".to_owned()))];
    while Instant::now() < deadline {
        let open = api.ask(Ask { query: &query, ..Ask::get(&["v1", "runs"]) }).await?;
        if open["items"].as_array().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        tokio::time::sleep(PERIOD).await;
    }
    Err(Error::Failed { message: "the runs of the demo did not end in time; please report it".to_owned() })
}

fn drain(inbox: &mut mpsc::Receiver<Arrived>) -> Vec<Arrived> {
    std::iter::from_fn(|| inbox.try_recv().ok()).collect()
}

/// The run that an answer says a playbook has started.
fn run_of(answer: &Value, playbook: &str) -> Option<String> {
    let decisions = answer["decisions"].as_array()?;
    let matched =
        decisions.iter().find(|decision| decision["playbook"] == playbook && !decision["run_id"].is_null())?;
    matched["run_id"].as_str().map(str::to_owned)
}

fn io(doing: &str, error: &std::io::Error) -> Error {
    Error::Start {
        message: format!("cannot {doing}: {error}"),
        help: "look at the room and the rights in the folder for temporary files".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup;

    #[test]
    fn the_playbooks_of_the_demo_fit_its_destinations() {
        let workplace = Workplace::make(false).unwrap();
        let config = prepare(&workplace, SocketAddr::from(([127, 0, 0, 1], 9))).unwrap();
        let destinations = setup::destinations(&config.destinations, &config).unwrap().unwrap();
        let catalog = setup::catalog(&config, Some(&destinations));
        let read = serve::folder::read(&config.playbooks, &config.playbooks).unwrap();
        let checked = playbook::check(&read.sources, &catalog, &setup::evaluator().unwrap());
        let errors: Vec<_> =
            checked.diagnostics.iter().filter(|found| found.severity == playbook::Severity::Error).collect();
        assert_eq!(errors, Vec::<&playbook::Diagnostic>::new());
        assert_eq!(checked.playbooks.len(), files::PLAYBOOKS.len());
    }
}
