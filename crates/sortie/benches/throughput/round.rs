//! One round: a server on a fresh folder, a fresh receiver, load, and the figures of it.
//!
//! Invariants: everything sent is waited for before a figure is taken, so that work that was put off is counted. Each
//! subject is measured in exactly the same way.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::api::Api;
use crate::support::load::{self, Load, Outcome};
use crate::support::process;
use crate::support::quantile::Latencies;
use crate::support::receiver::Receiver;
use crate::support::server::{self, Server, Site};
use crate::support::{Result, clock, report};

use super::pipeline::Volume;
use super::playbooks;

/// How long the load runs before anything is measured.
const WARM_SECONDS: f64 = 1.0;
/// How long what is left may take after the load.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Who is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    /// Sortie, with this many playbooks that listen to other things.
    Sortie {
        /// How many.
        idle_playbooks: usize,
    },
    /// The bare pipeline.
    Bare(Volume),
    /// HTTP and nothing else.
    Empty,
}

/// How the load is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Connections.
    pub(super) connections: usize,
    /// Seconds that are measured.
    pub(super) seconds: f64,
    /// Events in a second; nothing means as many as are answered.
    pub(super) rate: Option<f64>,
}

/// What was measured.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    /// Events in a second, from the first request until the last webhook had arrived.
    pub(super) rate: f64,
    /// From request to answer.
    pub(super) accept: Latencies,
    /// From request to the receiver.
    pub(super) delivery: Latencies,
    /// Processor time of the server for an event, in milliseconds.
    pub(super) cpu: f64,
    /// Memory of the server at most, in megabytes.
    pub(super) memory: f64,
    /// Bytes on the disk for an event.
    pub(super) disk: f64,
    /// Requests that were refused because the server was full.
    pub(super) refused: u64,
    /// What Sortie's store says it wrote.
    pub(super) volume: Option<Volume>,
    /// Events in a commit, on average; outcomes count as well.
    pub(super) group: Option<f64>,
}

/// Measures one round in `folder`, which is removed afterwards.
///
/// # Errors
/// When something cannot be started, or what was accepted did not arrive.
pub(super) async fn measure(binary: &str, folder: &Path, subject: Subject, plan: Plan) -> Result<Figures> {
    std::fs::create_dir_all(folder)?;
    let receiver = Receiver::start(folder)?;
    let data = folder.join("data");
    let (server, address) = start(binary, folder, &data, subject, &receiver)?;
    let round = Round { subject, receiver, server, address, data };
    if let Subject::Sortie { idle_playbooks } = subject {
        Api::open(address).await?.expect_playbooks(idle_playbooks + 1).await?;
    }
    let warm = round.load(0, Plan { seconds: WARM_SECONDS, ..plan }).await?;
    let warm_sends = round.drained(0, &warm).await?;
    let before = round.state().await?;
    let outcome = round.load(warm.next, plan).await?;
    round.drained(warm_sends, &outcome).await?;
    let took = before.at.elapsed();
    let after = round.state().await?;
    let figures = round.figures(&outcome, took, (&before, &after))?;
    round.check(warm.sent.iter().chain(&outcome.sent).filter(|sent| load::matches(sent.n)).count()).await?;
    drop(round);
    std::fs::remove_dir_all(folder)?;
    Ok(figures)
}

fn start(
    binary: &str,
    folder: &Path,
    data: &PathBuf,
    subject: Subject,
    receiver: &Receiver,
) -> Result<(Server, SocketAddr)> {
    let hook = format!("http://{}/hook", receiver.address);
    if let Subject::Sortie { idle_playbooks } = subject {
        let texts = playbooks::all(idle_playbooks);
        let site = Site::make(binary, folder, (data, "power"), &[("receiver", hook, "")], &texts)?;
        return Ok((site.start()?, site.address));
    }
    let address = server::free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(if matches!(subject, Subject::Bare(_)) { "bare" } else { "empty" });
    command.arg("--listen").arg(address.to_string()).arg("--data").arg(data).arg("--to").arg(hook);
    if let Subject::Bare(volume) = subject {
        command.arg("--keys").arg(volume.keys.to_string()).arg("--bytes").arg(volume.bytes.to_string());
    }
    let mut server = Server::of(command.stdin(Stdio::null()).spawn()?, address);
    server.ready()?;
    Ok((server, address))
}

struct Round {
    subject: Subject,
    receiver: Receiver,
    server: Server,
    address: SocketAddr,
    data: PathBuf,
}

/// What a server has used up to a moment.
struct State {
    at: Instant,
    cpu: f64,
    disk: u64,
    keys: f64,
    bytes: f64,
    commits: f64,
    orders: f64,
}

impl Round {
    async fn load(&self, first: u64, plan: Plan) -> Result<Outcome> {
        let Plan { connections, seconds, rate } = plan;
        load::run(&Load { address: self.address, connections, seconds, first, rate, tenant: None }).await
    }

    /// Waits until everything that was accepted has arrived and is recorded; answers how many webhooks that were in all.
    async fn drained(&self, before: u64, outcome: &Outcome) -> Result<u64> {
        if matches!(self.subject, Subject::Empty) {
            return Ok(0);
        }
        let wanted = before + outcome.sent.iter().filter(|sent| load::matches(sent.n)).count() as u64;
        let came = self.receiver.wait_for(wanted, DRAIN_MAX).await?;
        if came < wanted {
            return Err(format!("{came} of {wanted} webhooks arrived").into());
        }
        if matches!(self.subject, Subject::Sortie { .. }) && !Api::open(self.address).await?.idle(DRAIN_MAX).await? {
            return Err("runs are still open".into());
        }
        Ok(came)
    }

    async fn state(&self) -> Result<State> {
        let mut state = State {
            at: Instant::now(),
            cpu: process::cpu_millis(self.server.pid())?,
            disk: process::disk_bytes(&self.data),
            keys: 0.0,
            bytes: 0.0,
            commits: 0.0,
            orders: 0.0,
        };
        if matches!(self.subject, Subject::Sortie { .. }) {
            let mut api = Api::open(self.address).await?;
            let text = String::from_utf8(api.get("/metrics").await?)?;
            let figure = |name| crate::support::api::read_figure(&text, name).ok_or(format!("no figure `{name}`"));
            state.keys = figure("sortie_store_keys_written_total")?;
            state.bytes = figure("sortie_store_bytes_written_total")?;
            state.commits = figure("sortie_store_commits_total")?;
            state.orders = figure("sortie_history_next_seq")?;
            state.at = Instant::now();
        }
        Ok(state)
    }

    fn figures(&self, outcome: &Outcome, took: Duration, states: (&State, &State)) -> Result<Figures> {
        let (before, after) = states;
        let events = outcome.sent.len() as f64;
        let arrivals: HashMap<u64, u64> = self
            .receiver
            .arrivals()?
            .into_iter()
            .rev()
            .filter_map(|arrival| Some((arrival.event?, arrival.at)))
            .collect();
        let delays = outcome.sent.iter().filter_map(|sent| Some(arrivals.get(&sent.n)?.saturating_sub(sent.at)));
        let each = |later: f64, earlier: f64| (later - earlier) / events;
        let sortie = matches!(self.subject, Subject::Sortie { .. });
        Ok(Figures {
            rate: events / took.as_secs_f64(),
            accept: Latencies::new(outcome.sent.iter().map(|sent| sent.took).collect()),
            delivery: Latencies::new(delays.collect()),
            cpu: each(after.cpu, before.cpu),
            memory: process::resident_megabytes(self.server.pid())?.1,
            disk: each(after.disk as f64, before.disk as f64),
            refused: outcome.refused,
            volume: sortie
                .then(|| Volume { keys: each(after.keys, before.keys), bytes: each(after.bytes, before.bytes) }),
            group: sortie.then(|| (after.orders - before.orders) / (after.commits - before.commits)),
        })
    }

    /// Compares what was accepted with what Sortie can tell about it.
    async fn check(&self, matched: usize) -> Result<()> {
        if !matches!(self.subject, Subject::Sortie { .. }) {
            return Ok(());
        }
        let runs = Api::open(self.address).await?.all("/v1/runs?playbook=bench-send&status=succeeded").await?;
        let mut events: Vec<&str> = runs.iter().filter_map(|run| run["event_id"].as_str()).collect();
        events.sort_unstable();
        events.dedup();
        if runs.len() != matched || events.len() != matched {
            return Err(format!(
                "{matched} events matched, and there are {} runs of {} events",
                runs.len(),
                events.len()
            )
            .into());
        }
        Ok(())
    }
}

/// A line about a round, with the time, for whoever waits.
pub(super) fn progress(name: &str, plan: Plan, figures: &Figures) {
    let ms = |latencies: &Latencies, q| report::figure(latencies.millis(q), 1);
    report::note(format!(
        "{:>9} {name:<24} {:>3} connections  {:>6.0} events/s  accept {}/{} ms  delivery {}/{} ms  {:.3} ms CPU  {} events",
        clock::wall_micros() / 1_000_000 % 100_000,
        plan.connections,
        figures.rate,
        ms(&figures.accept, 0.5),
        ms(&figures.accept, 0.99),
        ms(&figures.delivery, 0.5),
        ms(&figures.delivery, 0.99),
        figures.cpu,
        figures.accept.len(),
    ));
}
