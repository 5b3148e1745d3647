//! Nothing accepted is lost: the kill harness of `cargo bench -p sortie --bench kill`, in small.
//!
//! The server is killed under load again and again, at work and while it recovers. In the end every event that was answered
//! with 2xx is in the history with its runs, nothing is torn, each webhook arrived, and a repeat carries the id and the body
//! of the first (`crates/sortie/benches/support/kill/check.rs` says what exactly must hold).

#[expect(dead_code, reason = "the harness shares its parts with the benches, and each uses its own")]
#[path = "../crates/sortie/benches/support/mod.rs"]
mod harness;

use harness::{clock, kill};

#[test]
fn nothing_accepted_is_lost_or_torn_and_repeats_carry_the_same_id_however_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let options = kill::Options {
        binary: env!("CARGO_BIN_EXE_sortie").to_owned(),
        folder: folder.path().join("kill"),
        kills: 8,
        events: 300,
        connections: 8,
        rate: 300.0,
        seed: clock::wall_micros(),
        durability: "power".to_owned(),
        receiver_process: false,
    };
    let report = kill::run(&options).unwrap();
    assert!(report.is_good(), "seed {}: {:#?}", options.seed, report.violations);
}
