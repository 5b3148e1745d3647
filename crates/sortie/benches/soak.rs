//! An hour of ordinary work: does the server need more and more of anything?
//!
//! `cargo bench -p sortie --bench soak -- --minutes 60 --rate 300`; `docs/how-to/prove-durability.md` says more. The real
//! server, with retention so tight that it sweeps all the time, gets a mixed load: alerts, cases, scores, loops, waits,
//! failures, retries, and somebody who reads lists and pages. Every half minute its memory, descriptors, data folder and
//! latencies are noted; the table and the slopes after the warm-up are what is asked for. The exit code is 0 when every
//! bound holds.

#[path = "soak/judge.rs"]
mod judge;
#[path = "soak/load.rs"]
mod load;
#[path = "soak/sample.rs"]
mod sample;
#[path = "soak/scene.rs"]
mod scene;
#[expect(dead_code, reason = "each bench program uses its own part of what they share")]
#[path = "support/mod.rs"]
mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use support::api::Api;
use support::args::Args;
use support::receiver::{self, Receiver};
use support::server::Site;
use support::{Result, report};

/// How long open runs may take to end after the load.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// What is kept, in runs and bytes for each event in a second: little enough that the first minutes fill it.
const KEEP_RUNS: f64 = 200.0;
const KEEP_BYTES: f64 = 330_000.0;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::note(format!("failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// How it is played.
struct Plan {
    minutes: f64,
    warm_minutes: f64,
    rate: f64,
    every: Duration,
    binary: String,
}

fn run() -> Result<bool> {
    let args = Args::of_process();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.role() == Some(receiver::ROLE) {
        let path = |name: &str| args.get(name, "", String::new()).map(PathBuf::from);
        runtime.block_on(receiver::run(&path("--log")?, &path("--place")?))?;
        return Ok(true);
    }
    let folder: String =
        args.get("--folder", "SORTIE_BENCH_FOLDER", format!("{}/soak", env!("CARGO_TARGET_TMPDIR")))?;
    let minutes: f64 = args.get("--minutes", "SORTIE_BENCH_MINUTES", 60.0)?;
    let plan = Plan {
        minutes,
        warm_minutes: args.get("--warm-up", "", minutes / 3.0)?,
        rate: args.get("--rate", "", 300.0)?,
        every: Duration::from_secs(args.get("--every", "", 30)?),
        binary: args.get("--server", "SORTIE_BENCH_SERVER", env!("CARGO_BIN_EXE_sortie").to_owned())?,
    };
    let folder = PathBuf::from(folder);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let good = runtime.block_on(soak(&folder, &plan))?;
    if good {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(good)
}

/// The line of the configuration.
fn retention(rate: f64) -> String {
    format!("retention: {{ days: 1, runs: {:.0}, bytes: {:.0} }}\n", rate * KEEP_RUNS, rate * KEEP_BYTES)
}

async fn soak(folder: &Path, plan: &Plan) -> Result<bool> {
    let receiver = Receiver::start(folder)?;
    let data = folder.join("data");
    let (destinations, playbooks) = scene::files(receiver.address);
    let site = Site::make(&plan.binary, folder, (&data, "power"), &destinations, &playbooks)?;
    std::fs::File::options()
        .append(true)
        .open(folder.join("sortie.yaml"))?
        .write_all(retention(plan.rate).as_bytes())?;
    let server = site.start()?;
    Api::open(site.address).await?.expect_playbooks(playbooks.len()).await?;

    let seen = Arc::new(load::Seen::default());
    let seconds = plan.minutes * 60.0;
    let senders = load::begin(site.address, (plan.rate, seconds), &seen);
    let reader = tokio::spawn(load::reader(site.address, Arc::clone(&seen)));
    let mut sampler = sample::Sampler::new(server.pid(), data.clone(), receiver.log().to_owned(), Arc::clone(&seen));
    let mut samples = Vec::new();
    let mut ticks = tokio::time::interval(plan.every);
    ticks.tick().await;
    while samples.len() < (seconds / plan.every.as_secs_f64()) as usize {
        ticks.tick().await;
        let sample = sampler.take(&mut Api::open(site.address).await?).await?;
        report::note(sample.line());
        samples.push(sample);
    }
    senders.finish().await?;
    reader.abort();
    let idle = Api::open(site.address).await?.idle(DRAIN_MAX).await?;
    let (clean, _) = server.stop()?;
    let whole = verify(&plan.binary, folder)?;
    let bounds = judge::judge(&samples, plan.warm_minutes);
    for line in &bounds.lines {
        report::line(line);
    }
    for (met, what) in [
        (idle, "all runs have ended after the load"),
        (clean, "the server stopped cleanly"),
        (whole, "`audit verify` finds the record whole, from the first entry that retention has left"),
    ] {
        report::line(format!("{} {what}", judge::mark(met)));
    }
    Ok(bounds.good && idle && clean && whole)
}

/// Whether the ledger of the stopped server verifies.
fn verify(binary: &str, folder: &Path) -> Result<bool> {
    let mut command = Command::new(binary);
    command.args(["audit", "verify", "--config", "sortie.yaml"]).current_dir(folder);
    let output = command.output()?;
    report::note(String::from_utf8_lossy(&output.stdout).trim_end());
    Ok(output.status.success())
}
