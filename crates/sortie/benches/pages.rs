//! A million runs: how long the first page of every list and every page for people takes, and what the export of a hundred
//! thousand entries needs.
//!
//! `cargo bench -p sortie --bench pages -- --runs 1000000`; `docs/benchmarks.md` says what can be set. The store is filled
//! past the server with what real events leave: entries with bodies and decisions, alerts, cases, runs, deliveries.

#[path = "pages/fill.rs"]
mod fill;
#[expect(dead_code, reason = "each bench program uses its own part of what they share")]
#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use support::api::Api;
use support::args::Args;
use support::quantile::Latencies;
use support::report::{self, Table, figure};
use support::server::Site;
use support::{Result, process};

/// How long the first page of a list, and a page for people, may take, in milliseconds.
const LIST_GOAL_MILLIS: f64 = 10.0;
const PAGE_GOAL_MILLIS: f64 = 50.0;
/// How much more memory the server may hold after an export, in megabytes.
const EXPORT_GOAL_MEGABYTES: f64 = 64.0;
/// How often each is asked for.
const TIMES: usize = 50;
/// Entries that are exported: two for each run.
const EXPORTED_RUNS: u64 = 50_000;

const LISTS: &[&str] = &[
    "/v1/runs",
    "/v1/runs?playbook=bench-fill",
    "/v1/runs?status=failed",
    "/v1/events",
    "/v1/alerts",
    "/v1/cases",
    "/v1/deliveries",
    "/v1/deliveries?status=failed",
    "/v1/audit",
    "/v1/playbooks",
    "/v1/destinations",
    "/v1/approvals",
    "/v1/watchlist",
    "/v1/notifications",
    "/v1/searches",
    "/v1/tokens",
    "/v1/users",
    "/v1/holds",
];

const PAGES: &[&str] = &[
    "/",
    "/runs",
    "/runs?status=failed",
    "/runs/{run}",
    "/events",
    "/events/{event}",
    "/alerts",
    "/alerts/{alert}",
    "/cases",
    "/cases/{case}",
    "/deliveries",
    "/deliveries/{delivery}",
    "/playbooks",
    "/playbooks/bench-fill",
    "/destinations",
    "/destinations/desk",
    "/approvals",
    "/audit",
];

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
        args.get("--folder", "SORTIE_BENCH_FOLDER", format!("{}/pages", env!("CARGO_TARGET_TMPDIR")))?;
    let binary = args.get("--server", "SORTIE_BENCH_SERVER", env!("CARGO_BIN_EXE_sortie").to_owned())?;
    let runs: u64 = args.get("--runs", "SORTIE_BENCH_RUNS", 1_000_000)?;
    let folder = PathBuf::from(folder);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let data = folder.join("data");
    let destinations = [("desk", "http://127.0.0.1:9/hook".to_owned(), "")];
    let site = Site::make(&binary, &folder, (&data, "power"), &destinations, &[fill::TEXT.to_owned()])?;
    fill::up_to(&data, EXPORTED_RUNS.min(runs))?;
    let mut good = export(&site, &binary, &folder)?;
    let began = Instant::now();
    fill::up_to(&data, runs)?;
    report::note(format!("{runs} runs are there after {:.0} s", began.elapsed().as_secs_f64()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = site.start()?;
    good &= runtime.block_on(all(&site, runs))?;
    report::line(format!(
        "     the server holds {:.0} MB with {} MB on the disk",
        process::resident_megabytes(server.pid())?.0,
        process::disk_bytes(&data) / 1_000_000
    ));
    server.stop()?;
    if good {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(good)
}

/// Asks for everything; answers whether all is quick enough.
async fn all(site: &Site, runs: u64) -> Result<bool> {
    let mut api = Api::open(site.address).await?;
    let first = |page: &serde_json::Value, key: &str| page["items"][0][key].as_str().unwrap_or_default().to_owned();
    let mut newest = Vec::new();
    for (name, path, key) in [
        ("{run}", "/v1/runs?limit=1", "run_id"),
        ("{event}", "/v1/events?limit=1", "event_id"),
        ("{alert}", "/v1/alerts?limit=1", "alert_id"),
        ("{case}", "/v1/cases?limit=1", "case_id"),
        ("{delivery}", "/v1/deliveries?limit=1", "delivery_id"),
    ] {
        let page: serde_json::Value = serde_json::from_slice(&api.get(path).await?)?;
        newest.push((name, first(&page, key)));
    }
    let mut table = Table::new(&["", "first ms", "p50 ms", "p99 ms", "goal ms"]);
    let mut good = true;
    for (paths, goal) in [(LISTS, LIST_GOAL_MILLIS), (PAGES, PAGE_GOAL_MILLIS)] {
        for path in paths {
            let asked = newest.iter().fold((*path).to_owned(), |path, (name, id)| path.replace(name, id));
            let (first, others) = ask(&mut api, &asked).await?;
            let met = others.millis(0.5).is_some_and(|middle| middle < goal);
            good &= met;
            let mark = if met { "ok  " } else { "MISS" };
            table.row(vec![
                format!("{mark} {path}"),
                figure(Some(first), 1),
                figure(others.millis(0.5), 2),
                figure(others.millis(0.99), 2),
                figure(Some(goal), 0),
            ]);
        }
    }
    report::line(format!("at {runs} runs, {TIMES} times each over loopback:"));
    table.print();
    Ok(good)
}

/// How long a request takes the first time, in milliseconds, and the other times.
async fn ask(api: &mut Api, path: &str) -> Result<(f64, Latencies)> {
    let began = Instant::now();
    api.get(path).await?;
    let first = began.elapsed().as_secs_f64() * 1_000.0;
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        api.get(path).await?;
        took.push(u64::try_from(began.elapsed().as_micros())?);
    }
    Ok((first, Latencies::new(took)))
}

/// Exports everything, from a running server and to a file, and verifies it where there is no store.
fn export(site: &Site, binary: &str, folder: &Path) -> Result<bool> {
    let server = site.start()?;
    let (before, _) = process::resident_megabytes(server.pid())?;
    let out = folder.join("evidence.zip");
    let began = Instant::now();
    let mut command = Command::new(binary);
    command.args(["audit", "export", "--config", "sortie.yaml", "--out"]).arg(&out).current_dir(folder);
    let exported = command.stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    let took = began.elapsed();
    let (_, most) = process::resident_megabytes(server.pid())?;
    server.stop()?;
    let began = Instant::now();
    let elsewhere = folder.join("elsewhere");
    std::fs::create_dir_all(&elsewhere)?;
    let verified = Command::new(binary).args(["audit", "verify"]).arg(&out).current_dir(&elsewhere).output()?;
    let checked = began.elapsed();
    let grown = most - before;
    let good = exported.status.success() && verified.status.success() && grown <= EXPORT_GOAL_MEGABYTES;
    report::line(format!(
        "{} audit export of {} entries: {:.1} s, {} MB; the server held {before:.0} MB before and {most:.0} MB at most (goal at most {EXPORT_GOAL_MEGABYTES:.0} MB more); verified elsewhere in {:.1} s",
        if good { "ok  " } else { "MISS" },
        2 * EXPORTED_RUNS,
        took.as_secs_f64(),
        std::fs::metadata(&out).map_or(0, |data| data.len() / 1_000_000),
        checked.as_secs_f64(),
    ));
    if !exported.status.success() || !verified.status.success() {
        report::note(String::from_utf8_lossy(&exported.stderr));
        report::note(String::from_utf8_lossy(&verified.stderr));
    }
    Ok(good)
}
