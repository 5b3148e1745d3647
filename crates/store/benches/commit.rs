//! How fast commits become durable: groups of events with 2 KB payloads, half of them matched, each matched one with a
//! run that is created, worked on and ended.
//!
//! `cargo bench -p store --bench commit -- [EVENTS] [GROUP] [power|process]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints")]

use std::time::{Duration, Instant};

use model::history::{Entry, EntryKind};
use model::run::{RunStart, RunStatus, RunSummary};
use model::{Actor, Digest, EventId, Kind, Object, ObjectKey, Record, RunId, Seq};
use serde_json::{Value, json};
use store::{Claim, Commit, Durability, Expect, Options, RunWrite, Sled, Store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PLAYBOOKS: u64 = 8;
const OBJECTS: u64 = 20_000;

struct Load {
    random: u64,
    pending: Vec<RunSummary>,
}

impl Load {
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn record(&mut self, id: &str) -> Record {
        let mut record = Record::new();
        record.insert("id".into(), Value::String(id.to_owned()));
        record.insert("name".into(), Value::String(format!("Suspicious sign-in {}", self.random() % 1000)));
        record.insert("risk_score".into(), json!(self.random() % 100));
        record.insert("priority".into(), json!("critical"));
        record.insert("mitres".into(), json!(["T1078", "T1110"]));
        record.insert("users".into(), json!([format!("user-{}", self.random() % 5000)]));
        record.insert("src_ips".into(), json!([format!("10.{}.{}.7", self.random() % 256, self.random() % 256)]));
        record
    }

    fn payload(&mut self) -> Vec<u8> {
        let mut text = String::with_capacity(2100);
        text.push_str("{\"event\":{\"kind\":\"alert.created\",\"fields\":{");
        let mut i = 0;
        while text.len() < 1950 {
            let value = self.random();
            text.push_str(&format!("\"field_{i}\":\"value {:x} of a product\",", value % 0xffff_ffff));
            i += 1;
        }
        text.push_str("\"end\":0}}}");
        text.into_bytes()
    }

    fn group(&mut self, store: &Sled, events: u64) -> Commit {
        let mut commit = Commit::default();
        let now = store.now();
        let mut seq = store.next_seq();
        let mut entry = |kind, commit: &mut Commit, payload: Vec<u8>, object: String, salt: u64| {
            let here = seq;
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&salt.to_be_bytes());
            bytes[8..].copy_from_slice(&salt.rotate_left(17).to_be_bytes());
            commit.entries.push(Entry::new(
                kind,
                (here, now),
                ("node-1".into(), Actor::Source("exabeam".into())),
                object,
                bytes,
                payload,
            ));
            seq = seq.next();
            here
        };
        for mut run in std::mem::take(&mut self.pending) {
            let salt = self.random();
            let text = format!(
                "{{\"run\":\"{}\",\"facts\":[{{\"fact\":\"ended\",\"status\":\"succeeded\",\"salt\":{salt}}}]}}",
                run.id
            );
            let here = entry(EntryKind::RunProgressed, &mut commit, text.into_bytes(), format!("run:{}", run.id), salt);
            run.status = RunStatus::Succeeded;
            run.version += 1;
            run.ended_at = Some(now);
            run.entries.push(here);
            commit.runs.push(RunWrite { summary: run, expect: Expect::Version(0), keep_lease: false });
        }
        for i in 0..events {
            let id = format!("A-{}", self.random() % OBJECTS);
            let (payload, salt) = (self.payload(), self.random());
            let here = entry(EntryKind::EventAccepted, &mut commit, payload, format!("alert:{id}"), salt);
            let meta = model::object::Meta {
                last: here,
                updated_at: now,
                source: "exabeam".into(),
                entries: vec![here],
                ..Default::default()
            };
            let key = ObjectKey { tenant: "default".into(), kind: Kind::Alert, id: id.clone() };
            commit.objects.push((key, Object { record: self.record(&id).into(), meta }));
            let mut claim = [0; 16];
            claim[..8].copy_from_slice(&self.random().to_be_bytes());
            commit.claims.push(Claim {
                key: claim,
                by: here,
                tag: 1,
                body: [1; 16],
                until: now.plus(Duration::from_secs(86_400)),
            });
            if i % 2 == 0 {
                let run = self.run(here, id);
                let summary = RunSummary::new(&run, now);
                self.pending.push(summary.clone());
                commit.runs.push(RunWrite { summary, expect: Expect::New, keep_lease: false });
            }
        }
        commit
    }

    fn run(&mut self, seq: Seq, alert: String) -> RunStart {
        let playbook = format!("playbook-{}", self.random() % PLAYBOOKS);
        RunStart {
            id: RunId { seq, n: 0, tag: 1 },
            digest: Digest::of(playbook.as_bytes()),
            playbook,
            trigger: Record::new(),
            tenant: "default".into(),
            event: EventId { seq, tag: 1 },
            alert: Some(alert),
            case: None,
            entity: None,
            chain: Vec::new(),
            inputs: Record::new(),
            retry_of: None,
            requester: None,
            caller: None,
            carried: Vec::new(),
            gate: None,
            observed: false,
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |at: usize, default: u64| args.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (events, group) = (number(0, 100_000), number(1, 64));
    let durability =
        if args.get(2).is_some_and(|arg| arg == "process") { Durability::Process } else { Durability::Power };
    let dir = tempfile::tempdir_in(std::env::var_os("SORTIE_BENCH_DIR").unwrap_or(".".into())).unwrap();
    let store = Sled::open(dir.path(), Options { durability, ..Options::default() }).unwrap();
    let mut load = Load { random: 0x9e37_79b9_7f4a_7c15, pending: Vec::new() };
    let mut spent = Vec::new();
    let (mut done, mut raw) = (0, 0_usize);
    while done < events {
        let commit = load.group(&store, group);
        raw += commit.entries.iter().map(|entry| entry.payload.len()).sum::<usize>();
        let started = Instant::now();
        store.commit(commit).unwrap();
        spent.push(started.elapsed());
        done += group;
    }
    let total: Duration = spent.iter().sum();
    spent.sort_unstable();
    let stats = store.stats();
    println!("{done} events in groups of {group}, {durability:?}: {:.0} events/s", done as f64 / total.as_secs_f64());
    println!(
        "commit p50 {:?}, p99 {:?}, longest {:?}",
        spent[spent.len() / 2],
        spent[spent.len() * 99 / 100],
        spent[spent.len() - 1]
    );
    println!(
        "{:.2} keys per event, {} per commit",
        stats.keys_written as f64 / done as f64,
        stats.keys_written / stats.commits
    );
    println!(
        "{} MB raw payload, {} MB history as stored, {} MB on disk",
        raw >> 20,
        stats.history_bytes >> 20,
        stats.disk_bytes >> 20
    );
}
