//! A destination that fails for an hour, in simulated time: it is left in peace, tried now and then, and everything arrives
//! afterwards.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::outbound::destination::Rules;
use engine::outbound::{Answers, Destinations, Egress, Planned, Reply};
use engine::simulate::{Simulation, Start};
use engine::source::{self, Incoming};
use model::Time;
use model::record::Vocabulary;
use model::run::RunStatus;
use playbook::{Evaluator, Source};
use serde_json::json;

/// Down while the switch says so.
struct Outage(Arc<AtomicBool>);

impl Answers for Outage {
    fn answer(&self, _asked: &Planned) -> Reply {
        Reply::answer(if self.0.load(Ordering::Relaxed) { 500 } else { 200 }, "")
    }
}

const PLAYBOOK: &str = "
playbook: tell
triggers: [alert.created]
steps:
  - id: send
    action: webhook.send_threat_details
    with: { to: desk }
";
const ALERTS: usize = 60;
const STEP: Duration = Duration::from_secs(10);

fn destinations(breaker: &str) -> Destinations {
    let text = format!(
        "destinations: {{ desk: {{ url: 'https://desk.example.com/', retry: {{ max: 20, first: 10s, cap: 10m }}, breaker: {breaker} }} }}"
    );
    let egress = Egress::default();
    engine::outbound::destination::read(&Arc::from("destinations.yaml"), &text, Rules::new(&egress)).unwrap()
}

fn simulation(breaker: &str, down: &Arc<AtomicBool>) -> Simulation {
    let all = destinations(breaker);
    Simulation::new(Start {
        evaluator: Evaluator::uncounted(),
        words: Vocabulary::default(),
        triage: engine::triage::Triage::default(),
        catalog: engine::catalog(Some(&all), Vocabulary::default(), None, None),
        destinations: all,
        egress: Egress::default(),
        public_url: None,
        answers: Box::new(Outage(Arc::clone(down))),
        now: Time::parse("2026-11-22T08:00:00Z").unwrap(),
        seed: 11,
        base: None,
    })
    .unwrap()
}

fn alert(simulation: &Simulation, n: usize) -> Incoming {
    let words = Vocabulary::default();
    let source = source::Source {
        name: "generic".to_owned(),
        timezone: "UTC".to_owned(),
        shape: source::shape("generic", &Evaluator::uncounted()).unwrap(),
        tenants: None,
    };
    let ctx = source::Context {
        words: &words,
        tenants: None,
        tenant: None,
        now: simulation.now(),
        header_key: None,
        signed_key: None,
        content_type: None,
        headers: None,
        limits: source::Limits::default(),
    };
    let body = json!({ "type": "alert.created", "alert": { "id": format!("A-{n}"), "name": "x" } });
    source::read(&source, body.to_string().into(), &ctx).unwrap().elements.pop().unwrap().unwrap()
}

/// How many requests were made in each step of an hour of outage and two hours after it.
async fn outage(breaker: &str) -> (Vec<usize>, Simulation) {
    let down = Arc::new(AtomicBool::new(true));
    let simulation = simulation(breaker, &down);
    let catalog = engine::catalog(Some(&destinations(breaker)), Vocabulary::default(), None, None);
    let source = Source { file: "tell.yaml".into(), text: PLAYBOOK.to_owned() };
    let playbook = playbook::compile(&source, &catalog, &Evaluator::uncounted()).unwrap();
    simulation.load(vec![Arc::new(playbook)]).await.unwrap();
    let (mut counts, mut before) = (Vec::new(), 0);
    for step in 0..3 * 360 {
        if step < ALERTS {
            simulation.event(alert(&simulation, step)).await.unwrap();
        }
        down.store(step < 360, Ordering::Relaxed);
        simulation.pass(simulation.now().plus(STEP)).await.unwrap();
        let made = simulation.planned().len();
        counts.push(made - before);
        before = made;
    }
    (counts, simulation)
}

#[tokio::test]
async fn a_destination_that_fails_for_an_hour_is_left_in_peace_and_everything_arrives_afterwards() {
    let (counts, simulation) = outage("{ failures: 20, pause: 30s }").await;
    let runs = simulation.runs().await.unwrap();
    assert_eq!(runs.len(), ALERTS);
    for run in &runs {
        assert_eq!(run.state.status, RunStatus::Succeeded, "{:?}", run.state.deliveries());
    }
    let during: usize = counts[..360].iter().sum();
    // Twenty failures open it; then pauses of 30, 60, 120, 240 and 300 seconds lie between the probes.
    assert!((20..=20 + 18).contains(&during), "{during} requests during the outage");
    let after = &counts[360..];
    assert_eq!(after.iter().sum::<usize>(), ALERTS, "each arrives once");
    let busy = after.iter().filter(|count| **count > 0).count();
    assert!(busy > 2, "they do not all come in one moment: {:?}", &after[..60]);
    let (plain, _) = outage("none").await;
    let without: usize = plain[..360].iter().sum();
    assert!(without > 5 * during, "without a breaker there are {without} requests, with it {during}");
}
