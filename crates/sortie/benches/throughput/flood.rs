//! One tenant floods: what the others feel of it.
//!
//! A quiet tenant sends at a low, steady rate of its own. Beside it another sends first as much as the quiet one does, and
//! then as fast as it is answered, over many connections. All of it has the same playbook and the same receiver.
//!
//! Invariant: at a given rate a latency counts from the moment at which its request was due.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::support::load::{self, Load, Outcome};
use crate::support::quantile::Latencies;
use crate::support::receiver::Receiver;
use crate::support::server::Site;
use crate::support::{Result, report};

use super::playbooks;

/// Events in a second of a tenant that behaves.
const RATE: f64 = 100.0;
/// Its connections.
const CONNECTIONS: usize = 8;
/// Connections of the one that floods.
const FLOOD_CONNECTIONS: usize = 64;
/// The number of the first event of the other tenant, and how far the rounds lie apart.
const OTHERS: u64 = 1_000_000_000;
const ROUND: u64 = 10_000_000;
/// How long what is left may take after the load.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// What the quiet tenant felt.
pub(super) struct Felt {
    /// From request to answer.
    pub(super) accept: Latencies,
    /// From request to the receiver.
    pub(super) delivery: Latencies,
    /// How many of its events were refused.
    pub(super) refused: u64,
    /// Events in a second of the other.
    pub(super) other_rate: f64,
}

struct Scene<'s> {
    site: &'s Site,
    receiver: &'s Receiver,
    seconds: f64,
    /// Webhooks of all rounds so far.
    wanted: u64,
}

/// Measures both in `folder`, which is removed afterwards: beside one that behaves, and beside one that floods.
///
/// # Errors
/// When something cannot be started, or what was accepted did not arrive.
pub(super) async fn measure(binary: &str, folder: &Path, seconds: f64) -> Result<(Felt, Felt)> {
    std::fs::create_dir_all(folder)?;
    let receiver = Receiver::start(folder)?;
    let hook = format!("http://{}/hook", receiver.address);
    let data = folder.join("data");
    let site = Site::make(binary, folder, (&data, "power"), &[("receiver", hook, "")], &playbooks::all(0))?;
    let mut configuration = std::fs::File::options().append(true).open(folder.join("sortie.yaml"))?;
    configuration.write_all(b"tenants: [quiet, other]\n")?;
    let server = site.start()?;
    let mut scene = Scene { site: &site, receiver: &receiver, seconds, wanted: 0 };
    // The first round warms up.
    scene.round(0, Some(RATE)).await?;
    let calm = scene.round(1, Some(RATE)).await?;
    let flooded = scene.round(2, None).await?;
    drop((server, receiver));
    std::fs::remove_dir_all(folder)?;
    Ok((calm, flooded))
}

impl Scene<'_> {
    /// The quiet tenant beside another of this rate.
    async fn round(&mut self, round: u64, rate: Option<f64>) -> Result<Felt> {
        let load = |tenant, connections, first, rate| Load {
            address: self.site.address,
            connections,
            seconds: self.seconds,
            first,
            rate,
            tenant: Some(tenant),
        };
        let connections = if rate.is_some() { CONNECTIONS } else { FLOOD_CONNECTIONS };
        let quiet = load("quiet", CONNECTIONS, round * ROUND, Some(RATE));
        let other = load("other", connections, OTHERS + round * ROUND, rate);
        // On a thread of its own, so that the quiet one's requests do not wait for those of the other in this process.
        let other = std::thread::spawn(move || -> Result<Outcome> { crate::one_thread()?.block_on(load::run(&other)) });
        let quiet = load::run(&quiet).await?;
        let other = other.join().map_err(|_| "the other sender panicked")??;
        let both = quiet.sent.iter().chain(&other.sent);
        self.wanted += both.filter(|sent| load::matches(sent.n)).count() as u64;
        let came = self.receiver.wait_for(self.wanted, DRAIN_MAX).await?;
        if came < self.wanted {
            return Err(format!("{came} of {} webhooks arrived", self.wanted).into());
        }
        let arrivals = self.receiver.arrivals()?.into_iter().rev();
        let arrivals: HashMap<u64, u64> = arrivals.filter_map(|one| Some((one.event?, one.at))).collect();
        let delays = quiet.sent.iter().filter_map(|sent| Some(arrivals.get(&sent.n)?.saturating_sub(sent.at)));
        Ok(Felt {
            delivery: Latencies::new(delays.collect()),
            accept: Latencies::new(quiet.sent.iter().map(|sent| sent.took).collect()),
            refused: quiet.refused,
            other_rate: other.sent.len() as f64 / other.took.as_secs_f64(),
        })
    }
}

/// A line about a round, for whoever waits.
pub(super) fn progress(name: &str, felt: &Felt) {
    let ms = |latencies: &Latencies, q| report::figure(latencies.millis(q), 1);
    report::note(format!(
        "a quiet tenant beside one {name:<8} ({:>6.0} events/s)  accept {}/{} ms  delivery {}/{} ms  refused {}",
        felt.other_rate,
        ms(&felt.accept, 0.5),
        ms(&felt.accept, 0.99),
        ms(&felt.delivery, 0.5),
        ms(&felt.delivery, 0.99),
        felt.refused,
    ));
}
