//! Nothing accepted is lost: a real server under load is killed with SIGKILL again and again, and what it accepted is
//! compared with its history and with what an independent receiver has logged.
//!
//! `cargo bench -p sortie --bench kill -- --kills 200 --events 20000`; `docs/how-to/prove-durability.md` says more.
//! The exit code is 0 only when nothing was lost and nothing was torn.

#[expect(dead_code, reason = "each bench program uses its own part of what they share")]
#[path = "support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use support::args::Args;
use support::{Result, clock, kill, receiver, report};

/// Connections that send.
const CONNECTIONS: usize = 16;
/// Events in a second: enough that every kill hits requests and runs under way.
const RATE: f64 = 600.0;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::line(format!("NOT WELL: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let args = Args::of_process();
    if args.role() == Some(receiver::ROLE) {
        let path = |name: &str| args.get(name, "", String::new()).map(PathBuf::from);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(receiver::run(&path("--log")?, &path("--place")?))?;
        return Ok(true);
    }
    let folder: String =
        args.get("--folder", "SORTIE_BENCH_FOLDER", format!("{}/kill", env!("CARGO_TARGET_TMPDIR")))?;
    let options = kill::Options {
        binary: args.get("--server", "SORTIE_BENCH_SERVER", env!("CARGO_BIN_EXE_sortie").to_owned())?,
        folder: PathBuf::from(folder),
        kills: args.get("--kills", "SORTIE_BENCH_KILLS", 200)?,
        events: args.get("--events", "SORTIE_BENCH_EVENTS", 20_000)?,
        connections: args.get("--connections", "", CONNECTIONS)?,
        rate: args.get("--rate", "", RATE)?,
        seed: args.get("--seed", "", clock::wall_micros())?,
        durability: args.get("--durability", "", "power".to_owned())?,
        receiver_process: true,
    };
    report::note(format!(
        "seed {}, durability {}, data in {}",
        options.seed,
        options.durability,
        options.folder.display()
    ));
    let outcome = kill::run(&options)?;
    outcome.print();
    Ok(outcome.is_good())
}
