//! A power cut under load: everything that was acknowledged before it is on the disk.
//!
//! `cargo bench -p sortie --bench power_cut -- --rounds 20`, as root; `docs/how-to/prove-durability.md` says more.
//! The data folder lies on a small ext4 filesystem in a file. At a random moment the file is copied: what the server has
//! written and not synced is in memory and not in the copy, which is what a power cut leaves behind. With
//! `--durability process` the sync is left out, and the program must fail.

#[path = "power_cut/disk.rs"]
mod disk;
#[path = "power_cut/round.rs"]
mod round;
#[expect(dead_code, reason = "each bench program uses its own part of what they share")]
#[path = "support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use support::args::Args;
use support::kill::random::Random;
use support::report::{self, Table};
use support::{Result, clock};

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
    let folder: String =
        args.get("--folder", "SORTIE_BENCH_FOLDER", format!("{}/power-cut", env!("CARGO_TARGET_TMPDIR")))?;
    let folder = PathBuf::from(folder);
    if let Err(why) = disk::possible() {
        report::line(format!("skipped: {why}"));
        return Ok(true);
    }
    let rounds: u32 = args.get("--rounds", "SORTIE_BENCH_ROUNDS", 20)?;
    let seed: u64 = args.get("--seed", "", clock::wall_micros())?;
    let durability: String = args.get("--durability", "", "power".to_owned())?;
    let binary = args.get("--server", "SORTIE_BENCH_SERVER", env!("CARGO_BIN_EXE_sortie").to_owned())?;
    let mut random = Random::new(seed);
    let mut table = Table::new(&["cut", "after ms", "acknowledged", "in the copy", "lost", "entries", "runs", ""]);
    let (mut acknowledged, mut bad) = (0, 0);
    for n in 1..=rounds {
        let load_millis = random.between(100, 2_000);
        let found = round::play(&binary, &folder.join(n.to_string()), &durability, load_millis)?;
        acknowledged += found.acknowledged;
        bad += u32::from(!found.is_good());
        report::note(format!("cut {n} of {rounds}: {} acknowledged, {}", found.acknowledged, found.verdict()));
        table.row(vec![
            n.to_string(),
            load_millis.to_string(),
            found.acknowledged.to_string(),
            found.there.to_string(),
            found.lost.to_string(),
            found.entries.to_string(),
            found.runs.to_string(),
            found.verdict(),
        ]);
    }
    table.print();
    report::line(format!(
        "\ndurability {durability}, seed {seed}: {acknowledged} events acknowledged before {rounds} cuts"
    ));
    // A round without events would prove nothing.
    let enough = acknowledged >= u64::from(rounds) * 20;
    report::line(match (bad, enough) {
        (0, true) => "nothing acknowledged was lost".to_owned(),
        (0, false) => "NOT WELL: too little was acknowledged to prove anything".to_owned(),
        _ => format!("NOT WELL: {bad} of {rounds} cuts lost something"),
    });
    Ok(bad == 0 && enough)
}
