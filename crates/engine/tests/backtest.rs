//! A back-test tells the same whether runs that end at once are walked beside the engine or go all the way through it.

#![expect(clippy::unwrap_used, reason = "helpers of tests, outside of a `#[test]` function")]

use std::sync::Arc;

use engine::outbound::{Egress, destination};
use engine::simulate::backtest::{Backtest, Setup, Told};
use engine::source;
use model::Time;
use model::record::Vocabulary;
use playbook::{Catalog, Evaluator, Source};
use serde_json::{Value, json};

const DESTINATIONS: &str = "destinations: { desk: { kind: webhook, url: 'https://desk.example.com/', dedupe: 2h, min_severity: high }, \
    siem: { kind: webhook, url: 'https://siem.example.com/' }, off: { kind: webhook, url: 'https://off.example.com/', enabled: false } }";

const PLAYBOOKS: [&str; 12] = [
    "triggers: [alert.created]\nwhen: alert.risk_score >= 50\nsteps: [{ id: a, action: webhook.send_threat_details, with: { to: [desk, siem, off] } }]\n",
    "triggers: [alert.updated]\nsteps:\n  - switch: [{ when: alert.risk_score > 70, steps: [{ id: a, action: webhook.send, with: { to: [siem], body: x } }] }, { else: true, steps: [{ id: b, action: log, with: { message: low } }] }]\n",
    "triggers: [{ score.threshold: { of: alert, score: risk, above: 60, dedupe: 3h } }]\nsteps: [{ id: a, action: webhook.send, with: { to: [siem], body: '${{ now }}', dedupe: 1h } }]\n",
    "triggers: [{ event: { type: 'log.*' } }]\nthrottle: { count: 3, per: 1h }\nsteps:\n  - { id: each, for_each: { in: 'event.data.users', as: user, steps: [{ id: tell, action: webhook.send, with: { to: [siem], body: '${{ user }}' } }] } }\n",
    "triggers: [{ event.count: { type: log.failed, at_least: 3, within: 30m } }]\nsteps: [{ id: a, action: http.request, with: { method: GET, url: 'https://x.example.com/' } }]\n",
    "triggers: [alert.created]\nsteps: [{ id: a, action: alert.add_tags, with: { tags: ['${{ alert.id }}'] } }]\n",
    "triggers: [{ alert.updated: { changed: [tags] } }]\nsteps: [{ id: a, action: webhook.send, with: { to: [siem], body: tagged } }]\n",
    "triggers: [alert.created]\ndedupe: { key: alert.id, window: 1h }\nsteps: [{ id: w, wait: { for: 20m } }, { id: a, action: webhook.send, with: { to: [siem], body: later } }]\n",
    "triggers: [{ event: { type: log.failed } }]\nfuse: { runs: 5, per: 1h }\nsteps: [{ id: a, action: log, with: { message: '${{ event.data.users[5] }}' } }]\n",
    "triggers: [{ run.failed: {} }]\nsteps: [{ id: a, action: webhook.send, with: { to: [siem], body: '${{ event.data.playbook }}' } }]\n",
    "triggers: [{ schedule: { cron: '*/30 * * * *' } }]\nsteps: [{ id: a, action: webhook.send, with: { to: [siem], body: tick } }]\n",
    "triggers: [alert.created]\nmode: observe\nsteps: [{ id: a, action: webhook.send, with: { to: [siem], body: seen } }]\n",
];

fn setup(thorough: bool) -> Setup {
    let egress = Egress::default();
    let rules = destination::Rules::new(&egress);
    let destinations = destination::read(&Arc::from("destinations.yaml"), DESTINATIONS, rules).unwrap();
    let catalog = engine::catalog(Some(&destinations), Vocabulary::default(), None, None);
    let sources: Vec<Source> = PLAYBOOKS
        .iter()
        .enumerate()
        .map(|(n, text)| Source { file: format!("{n}.yaml").into(), text: format!("playbook: p{n}\n{text}") })
        .collect();
    let evaluator = Evaluator::uncounted();
    let checked = playbook::check(&sources, &catalog, &evaluator);
    let errors: String = checked.diagnostics.iter().map(|found| found.render(false)).collect();
    assert!(!checked.failed(), "{errors}");
    Setup {
        playbooks: checked.playbooks,
        evaluator,
        words: Vocabulary::default(),
        triage: engine::triage::Triage::default(),
        destinations,
        egress,
        catalog: Catalog { destinations: None, ..catalog },
        apart: false,
        thorough,
    }
}

/// Events that follow from a seed, in the order of their times.
fn events(seed: u64) -> Vec<Value> {
    let mut state = seed;
    let mut next = |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    let mut at = Time::parse("2026-03-01T06:00:00Z").unwrap();
    (0..150)
        .map(|_| {
            at = at.plus(std::time::Duration::from_secs(next(900)));
            let id = format!("A-{}", next(12));
            match next(4) {
                0 => json!({ "type": "log.failed", "time": at, "data": { "users": (0..next(3)).collect::<Vec<_>>() } }),
                1 => json!({ "type": "log.other", "time": at, "data": { "users": ["x"] } }),
                n => {
                    let kind = if n == 2 { "alert.created" } else { "alert.updated" };
                    let priority = ["low", "high", "critical"][usize::try_from(next(3)).unwrap()];
                    json!({ "type": kind, "time": at, "alert": { "id": id, "risk_score": next(100), "priority": priority } })
                }
            }
        })
        .collect()
}

async fn told(setup: Setup, events: &[Value]) -> Vec<Told> {
    let (words, evaluator) = (Vocabulary::default(), setup.evaluator.clone());
    let mut test = Backtest::new(setup);
    let shape = source::shape("generic", &evaluator).unwrap();
    let generic = source::Source { name: "generic".to_owned(), timezone: "UTC".to_owned(), shape, tenants: None };
    let ctx = source::Context {
        words: &words,
        tenants: None,
        tenant: None,
        now: Time::EPOCH,
        header_key: None,
        signed_key: None,
        content_type: None,
        headers: None,
        limits: source::Limits::default(),
    };
    let mut all = Vec::new();
    for (n, event) in events.iter().enumerate() {
        let read = source::read(&generic, event.to_string().into(), &ctx).unwrap().elements.pop().unwrap().unwrap();
        all.extend(test.event(&format!("line-{n}"), &read.event, read.event.time).await.unwrap());
    }
    all.extend(test.end().await.unwrap());
    all
}

/// Without what names the place of an entry: what is not written down has none.
fn plain(told: Vec<Told>) -> Vec<Told> {
    let plain = |mut told: Told| {
        for decision in &mut told.decisions {
            decision.run_id = None;
        }
        if let Some((kind, _)) = told.event_id.rsplit_once('/').filter(|_| told.caused_by.is_some()) {
            told.event_id = kind.to_owned();
        }
        told.event_id = told.event_id.split("run-").next().unwrap_or_default().to_owned();
        told
    };
    told.into_iter().map(plain).collect()
}

#[tokio::test]
async fn runs_that_are_walked_beside_the_engine_come_out_as_those_that_go_through_it() {
    for seed in 1..6 {
        let events = events(seed);
        let quick = plain(told(setup(false), &events).await);
        let thorough = plain(told(setup(true), &events).await);
        assert!(quick.iter().any(|one| !one.would_send.is_empty()) && quick.iter().any(|one| one.later));
        for (a, b) in quick.iter().zip(&thorough) {
            assert_eq!(a, b, "seed {seed}");
        }
        assert_eq!(quick.len(), thorough.len(), "seed {seed}");
    }
}

#[tokio::test]
async fn the_same_event_twice_is_told_as_a_repeat_and_another_body_as_refused() {
    let event = |score: u64| json!({ "type": "alert.created", "id": "one", "time": "2026-03-01T06:00:00Z", "alert": { "id": "A-1", "risk_score": score, "priority": "high" } });
    let told = told(setup(false), &[event(80), event(80), event(81)]).await;
    let given: Vec<&Told> = told.iter().filter(|one| one.event_id.starts_with("line-") && !one.later).collect();
    assert_eq!(given.iter().map(|one| one.duplicate).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(given[2].refused, Some("key_reused"));
    assert!(given[1].decisions.is_empty() && given[1].would_send.is_empty());
}
