//! How long a page of runs takes at a million runs, and opening at a hundred thousand.
//!
//! `cargo bench -p store --bench listing -- [RUNS]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

use std::time::Instant;

use model::run::RunStatus;
use model::{Kind, Seq};
use store::conformance::build::{self, Draft};
use store::{Durability, Expect, Options, RunFilter, Sled, Store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PER_COMMIT: u64 = 512;
const PLAYBOOKS: u64 = 50;
const ALERTS: u64 = 5_000;

fn fill(store: &Sled, runs: u64) {
    let mut done = store.stats().ended_runs;
    while done < runs {
        let mut draft = Draft::on(store);
        for _ in 0..PER_COMMIT {
            let seq = draft.entry(b"{\"event\":{\"kind\":\"alert.created\",\"fields\":{\"id\":\"A-1\"}}}");
            let mut run = build::run(seq, 0, &format!("playbook-{}", done * 7919 % PLAYBOOKS), draft.time);
            run.alert = Some(format!("A-{}", done % ALERTS));
            let status = if done % 1000 == 3 { RunStatus::Failed } else { RunStatus::Succeeded };
            draft.write(build::moved(&run, status, seq, run.created_at), Expect::New);
            done += 1;
        }
        draft.commit(store).unwrap();
    }
}

fn alert(store: &Sled) {
    let mut object = build::object("A-7", 10, store.now());
    object.meta.entries = (0..32).map(|i| Seq(8 + i * ALERTS)).collect();
    let mut draft = Draft::on(store);
    draft.commit.objects.push((build::key(Kind::Alert, "A-7"), object));
    draft.commit(store).unwrap();
}

fn pages(store: &Sled, runs: u64) {
    let all = RunFilter::default;
    let filters = [
        ("all", all()),
        ("of a playbook", RunFilter { playbook: Some("playbook-7".into()), ..all() }),
        ("failed", RunFilter { statuses: vec![RunStatus::Failed], ..all() }),
        ("succeeded", RunFilter { statuses: vec![RunStatus::Succeeded], ..all() }),
        ("cancelled (there are none)", RunFilter { statuses: vec![RunStatus::Cancelled], ..all() }),
        ("of an alert", RunFilter { alert: Some("A-7".into()), ..all() }),
        ("of an event", RunFilter { event: Some(Seq(runs / 2)), ..all() }),
    ];
    for (name, filter) in filters {
        let started = Instant::now();
        let page = store.runs(&filter, None, 50).unwrap();
        let cold = started.elapsed();
        let started = Instant::now();
        store.runs(&filter, None, 50).unwrap();
        println!(
            "{name}: {} items, more: {}, first time {cold:?}, again {:?}",
            page.items.len(),
            page.next.is_some(),
            started.elapsed()
        );
    }
}

fn main() {
    let runs: u64 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::tempdir_in(std::env::var_os("SORTIE_BENCH_DIR").unwrap_or(".".into())).unwrap();
    let options = Options { durability: Durability::Process, ..Options::default() };
    for count in [runs.min(100_000), runs] {
        let store = Sled::open(dir.path(), options).unwrap();
        fill(&store, count);
        alert(&store);
        drop(store);
        let started = Instant::now();
        let store = Sled::open(dir.path(), options).unwrap();
        let stats = store.stats();
        println!("{} runs, {} MB: open {:?}", stats.ended_runs, stats.disk_bytes >> 20, started.elapsed());
        pages(&store, count);
    }
}
