//! A full store: how long the server takes to start with 100,000 runs in it, and how long the first page of runs takes
//! when there are 1,000,000.
//!
//! `cargo bench -p sortie --bench start`; `docs/benchmarks.md` says what can be set. The store is filled past the server.

#[path = "start/fill.rs"]
mod fill;
#[expect(dead_code, reason = "each bench program uses its own part of what they share")]
#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use support::api::Api;
use support::args::Args;
use support::quantile::Latencies;
use support::server::Site;
use support::{Result, process, report};

/// How long a start may take, in milliseconds.
const START_GOAL_MILLIS: f64 = 1_000.0;
/// How long the first page of runs may take, in milliseconds.
const PAGE_GOAL_MILLIS: f64 = 10.0;
/// How often the server is started, and a page asked for.
const STARTS: usize = 5;
const PAGES: usize = 200;

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

fn run() -> Result<bool> {
    let args = Args::of_process();
    let folder: String =
        args.get("--folder", "SORTIE_BENCH_FOLDER", format!("{}/start", env!("CARGO_TARGET_TMPDIR")))?;
    let binary = args.get("--server", "SORTIE_BENCH_SERVER", env!("CARGO_BIN_EXE_sortie").to_owned())?;
    let few: u64 = args.get("--runs", "SORTIE_BENCH_RUNS", 100_000)?;
    let many: u64 = args.get("--many", "SORTIE_BENCH_MANY", 1_000_000)?;
    let folder = PathBuf::from(folder);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let data = folder.join("data");
    let site =
        Site::make(&binary, &folder, (&data, "power"), &[("nobody", "http://127.0.0.1:9/hook".to_owned(), "")], &[])?;
    let mut good = true;
    for runs in [few, many] {
        let began = Instant::now();
        fill::up_to(&data, runs)?;
        report::note(format!("{runs} runs are there after {:.0} s", began.elapsed().as_secs_f64()));
        let starts = starts(&site)?;
        let worst = starts.millis(1.0);
        let met = runs > few || worst.is_some_and(|worst| worst < START_GOAL_MILLIS);
        good &= met;
        report::line(format!(
            "{} {runs} runs, {} MB: start to ready {} ms in the middle, {} ms at worst (goal < {START_GOAL_MILLIS} ms at {few})",
            mark(met),
            process::disk_bytes(&data) / 1_000_000,
            report::figure(starts.millis(0.5), 0),
            report::figure(worst, 0),
        ));
        good &= pages(&site, &data, runs)?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(good)
}

fn starts(site: &Site) -> Result<Latencies> {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let mut server = site.spawn()?;
        let ready = server.ready().map_err(|error| format!("{error}\n{}", site.log_end()))?;
        took.push(u64::try_from(ready.as_micros())?);
        server.stop()?;
    }
    Ok(Latencies::new(took))
}

/// The first page, plain and filtered, of a server that has just started and of one that has answered before.
fn pages(site: &Site, data: &Path, runs: u64) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = site.start()?;
    let mut good = true;
    for (name, path) in [
        ("the first page of runs", "/v1/runs?limit=50".to_owned()),
        ("the first page of a playbook", format!("/v1/runs?limit=50&playbook={}", fill::PLAYBOOK)),
        ("the first page of failed runs", "/v1/runs?limit=50&status=failed".to_owned()),
    ] {
        let (first, others) = runtime.block_on(ask(site, &path))?;
        let met = others.millis(0.99).is_some_and(|p99| p99 < PAGE_GOAL_MILLIS);
        good &= met;
        report::line(format!(
            "{} {runs} runs: {name}: p50 {} ms, p99 {} ms, the very first {:.1} ms (goal < {PAGE_GOAL_MILLIS} ms)",
            mark(met),
            report::figure(others.millis(0.5), 2),
            report::figure(others.millis(0.99), 2),
            first.as_secs_f64() * 1_000.0,
        ));
    }
    let memory = process::resident_megabytes(server.pid())?.0;
    report::line(format!(
        "     the server holds {memory:.0} MB with {} MB on the disk",
        process::disk_bytes(data) / 1_000_000
    ));
    server.stop()?;
    Ok(good)
}

async fn ask(site: &Site, path: &str) -> Result<(Duration, Latencies)> {
    let mut api = Api::open(site.address).await?;
    let mut took = Vec::new();
    let began = Instant::now();
    let page: serde_json::Value = serde_json::from_slice(&api.get(path).await?)?;
    let first = began.elapsed();
    if page["items"].as_array().is_none_or(|items| items.len() != 50) {
        return Err(format!("{path} did not answer a full page").into());
    }
    for _ in 0..PAGES {
        let began = Instant::now();
        api.get(path).await?;
        took.push(u64::try_from(began.elapsed().as_micros())?);
    }
    Ok((first, Latencies::new(took)))
}

fn mark(met: bool) -> &'static str {
    if met { "ok  " } else { "MISS" }
}
