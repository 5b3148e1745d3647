//! How fast the main job is: an alert of 2 KB in, a condition of three clauses, a webhook out for every other event, the
//! history durable. Next to it, in the same run, two ceilings: HTTP without work, and a bare pipeline.
//!
//! `cargo bench -p sortie --bench throughput`; `docs/benchmarks.md` says what the figures mean and what can be set.
//! The process is the load generator; started again with a word it is the receiver or one of the ceilings.

#[path = "throughput/flood.rs"]
mod flood;
#[path = "throughput/pipeline.rs"]
mod pipeline;
#[path = "throughput/playbooks.rs"]
mod playbooks;
#[path = "throughput/round.rs"]
mod round;
#[path = "throughput/series.rs"]
mod series;
#[expect(dead_code, reason = "each bench program uses its own part of what they share")]
#[path = "support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use support::args::Args;
use support::{Result, receiver, report};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let needed = |name: &str| args.get(name, "", String::new());
    match args.role() {
        // One thread each: what generates and receives must not take what the server could use.
        Some(receiver::ROLE) => {
            let (log, place) = (PathBuf::from(needed("--log")?), PathBuf::from(needed("--place")?));
            one_thread()?.block_on(receiver::run(&log, &place)).map(|()| true)
        }
        Some("empty") => runtime()?.block_on(pipeline::empty(needed("--listen")?.parse()?)).map(|()| true),
        Some("bare") => {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let volume = pipeline::Volume { keys: args.get("--keys", "", 0.0)?, bytes: args.get("--bytes", "", 0.0)? };
            let data = PathBuf::from(needed("--data")?);
            let serving = pipeline::bare(needed("--listen")?.parse()?, &data, needed("--to")?, volume);
            runtime()?.block_on(serving).map(|()| true)
        }
        Some(other) => Err(format!("`{other}` is nothing that this program can be").into()),
        None => one_thread()?.block_on(series::run(&args, env!("CARGO_BIN_EXE_sortie"))),
    }
}

fn one_thread() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
