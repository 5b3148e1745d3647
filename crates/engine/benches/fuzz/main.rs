//! Fuzzing on the stable toolchain: playbooks, conditions, templates, sources and the bodies that products send.
//!
//! `cargo bench -p engine --bench fuzz -- --seconds 1200 --seed 7`; with debug assertions and overflow checks
//! `cargo test -p engine --bench fuzz -- --seconds 1200`. Inputs are mutations of the shipped and of the broken files and
//! texts grown from a grammar; the same seed makes the same inputs. What must hold is said in `judge`; what does not is
//! printed with the file in which the input is kept, and the exit code is 1.

mod corpus;
mod count;
mod grow;
mod judge;
mod mutate;
mod random;
mod round;

use std::io::Write as _;
use std::time::Duration;

/// How long it goes on when nobody says.
const SECONDS: u64 = 1;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let (seed, seconds) = (after("--seed").unwrap_or(1), after("--seconds").unwrap_or(SECONDS));
    std::panic::set_hook(Box::new(|_| {}));
    let mut out = std::io::stdout();
    let long = round::Long { inputs: u64::MAX, time: Duration::from_secs(seconds) };
    let told = round::run(seed, long, (count::held, count::peak), |report| {
        let _ = writeln!(std::io::stderr(), "{} inputs, {} findings", report.inputs(), report.findings.len());
    });
    let report = told.map_err(std::io::Error::other)?;
    for (target, [accepted, refused]) in round::TARGETS.iter().zip(report.counts) {
        writeln!(out, "{target}: {accepted} accepted, {refused} refused")?;
    }
    report.findings.iter().try_for_each(|finding| writeln!(out, "{finding}"))?;
    writeln!(out, "{} inputs in {seconds} s from seed {seed}; {} findings", report.inputs(), report.findings.len())?;
    if report.findings.is_empty() { Ok(()) } else { Err(std::io::Error::other("something that must hold does not")) }
}
