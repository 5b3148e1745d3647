//! Whether the data folder stops growing: ten windows of retention, and its size at the end of each.
//!
//! `cargo bench -p store --bench retention -- [EVENTS PER WINDOW]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

use std::time::{Duration, Instant};

use model::run::RunStatus;
use model::{Kind, Time};
use store::conformance::build::{self, Draft};
use store::{Claim, Durability, Expect, Options, Retention, Sled, Store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GROUP: u64 = 64;
const WINDOW: Duration = Duration::from_secs(86_400);

/// Answers a payload of about 2 KB that does not compress to nothing.
fn payload(random: &mut u64) -> Vec<u8> {
    let mut text = String::from("{");
    while text.len() < 2000 {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        text.push_str(&format!("\"field\":\"value {:x} of a product\",", *random % 0xffff_ffff));
    }
    text.into_bytes()
}

fn group(store: &Sled, time: Time, random: &mut u64) {
    let mut draft = Draft::on(store).at(time);
    for i in 0..GROUP {
        let seq = draft.entry(&payload(random));
        let id = format!("A-{seq}");
        draft.commit.objects.push((build::key(Kind::Alert, &id), build::object(&id, 300, time)));
        let mut key = [0; 16];
        key[..8].copy_from_slice(&random.rotate_left(i as u32).to_be_bytes());
        draft.commit.claims.push(Claim { key, by: seq, tag: 1, body: [0; 16], until: time.plus(WINDOW) });
        if i % 2 == 0 {
            let run = build::run(seq, 0, "p", time);
            draft.write(build::moved(&run, RunStatus::Succeeded, seq, time), Expect::New);
        }
    }
    draft.commit(store).unwrap();
}

fn main() {
    let events: u64 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(50_000);
    let dir = tempfile::tempdir_in(std::env::var_os("SORTIE_BENCH_DIR").unwrap_or(".".into())).unwrap();
    let store = Sled::open(dir.path(), Options { durability: Durability::Process, ..Options::default() }).unwrap();
    let keep = Retention { age: WINDOW, runs: u64::MAX, bytes: u64::MAX };
    let start = store.now();
    let mut random = 0x9e37_79b9_7f4a_7c15;
    let groups = events / GROUP;
    let mut longest = Duration::ZERO;
    for window in 0..10_u32 {
        for i in 0..groups {
            let time = start.plus(WINDOW * window + WINDOW * i as u32 / groups as u32);
            group(&store, time, &mut random);
            let mut more = i % 4 == 0;
            while more {
                let started = Instant::now();
                more = store.sweep(time, &keep).unwrap().more;
                longest = longest.max(started.elapsed());
            }
        }
        let stats = store.stats();
        println!(
            "window {window}: {} MB on disk, {} MB of history, {} ended runs, longest sweep step {longest:?}",
            stats.disk_bytes >> 20,
            stats.history_bytes >> 20,
            stats.ended_runs
        );
    }
}
