//! Vectra's external app alerts, over days: two destinations with thresholds of their own, each silent for six hours after
//! a message, and what a restart in between changes (nothing).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use engine::Engine;
use engine::source::{self, Limits};
use model::Time;
use model::record::Vocabulary;
use playbook::Evaluator;
use serde_json::json;
use store::{Sled, Store};

use crate::world::{World, gone, quiet};

/// The clock of the store, in milliseconds since 1970. Only the one test here moves it.
static CLOCK: AtomicI64 = AtomicI64::new(1_790_000_000_000);

fn clock() -> Time {
    Time::from_millis(CLOCK.load(Ordering::SeqCst))
}

fn later(minutes: i64) {
    CLOCK.fetch_add(minutes * 60_000, Ordering::SeqCst);
}

fn playbook(above: u32, to: &str) -> String {
    format!(
        "playbook: above-{above}\ntriggers:\n  - score.threshold: {{ of: host, score: urgency, above: {above} }}\nsteps:\n  - {{ id: tell, action: webhook.send, with: {{ to: [{to}], body: {{ n: \"${{{{ trigger.to }}}}\" }} }} }}\n"
    )
}

/// Posts what Vectra posts about a host, and answers which destinations have heard of it.
async fn score(world: &World, engine: &Engine, store: &Arc<Sled>, host: u32, urgency: u32) -> Vec<String> {
    let before = world.receiver.received().len();
    let shape = source::shape("vectra", &Evaluator::uncounted()).unwrap();
    let from = source::Source { name: "vectra".to_owned(), timezone: "UTC".to_owned(), shape, tenants: None };
    let words = Vocabulary::default();
    let ctx = source::Context {
        words: &words,
        tenants: None,
        tenant: None,
        now: store.now(),
        header_key: None,
        signed_key: None,
        content_type: None,
        headers: None,
        limits: Limits::default(),
    };
    let body = json!({"entity_type": "host", "entity_id": host, "entity_name": "ws", "urgency_score": urgency});
    let reading = source::read(&from, body.to_string().into(), &ctx).unwrap();
    let incoming = reading.elements.into_iter().map(Result::unwrap).collect();
    for answer in engine.ingest(incoming).await {
        answer.unwrap();
    }
    quiet(store.as_ref()).await;
    let mut heard: Vec<String> = world.receiver.paths().split_off(before);
    heard.sort();
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_destinations_with_50_and_80_each_hear_once_in_six_hours_over_days_and_a_restart() {
    let mut world = World::new(&[&playbook(50, "desk"), &playbook(80, "siem")]).await;
    world.destination = |destination| destination.dedupe = Some(Duration::from_secs(6 * 3600));
    let none: [&str; 0] = [];
    let store = world.open_at(clock).await;
    let engine = world.start(store.clone()).await;
    assert_eq!(score(&world, &engine, &store, 1, 40).await, none);
    assert_eq!(score(&world, &engine, &store, 1, 60).await, ["/desk"], "the lower threshold");
    later(60);
    assert_eq!(
        score(&world, &engine, &store, 1, 85).await,
        ["/siem"],
        "the higher one, an hour later: both get their own"
    );
    assert_eq!(score(&world, &engine, &store, 1, 99).await, none, "rising further is no alert");
    assert_eq!(score(&world, &engine, &store, 1, 10).await, none, "nor is falling");
    later(60);
    assert_eq!(score(&world, &engine, &store, 1, 90).await, none, "prioritised again within six hours");
    assert_eq!(score(&world, &engine, &store, 2, 90).await, ["/desk", "/siem"], "another host is another matter");
    assert_eq!(score(&world, &engine, &store, 1, 10).await, none);
    gone(engine, store).await;

    // 2:00 so far; at 5:59 after the first message the restarted server still knows.
    later(3 * 60 + 59);
    let store = world.open_at(clock).await;
    let engine = world.start(store.clone()).await;
    assert_eq!(score(&world, &engine, &store, 1, 60).await, none, "a minute before the window of the first ends");
    assert_eq!(score(&world, &engine, &store, 1, 10).await, none);
    later(1);
    assert_eq!(
        score(&world, &engine, &store, 1, 85).await,
        ["/desk"],
        "at six hours the first may again, the second has an hour to go"
    );
    assert_eq!(score(&world, &engine, &store, 1, 10).await, none);
    later(60);
    assert_eq!(score(&world, &engine, &store, 1, 85).await, ["/siem"]);
    later(3 * 24 * 60);
    assert_eq!(
        score(&world, &engine, &store, 1, 95).await,
        none,
        "three days above the threshold: no crossing, no alert"
    );
    assert_eq!(score(&world, &engine, &store, 1, 20).await, none);
    assert_eq!(score(&world, &engine, &store, 1, 81).await, ["/desk", "/siem"]);
    gone(engine, store).await;
}
