//! Schedules over restarts, edits and switches.

use std::time::Duration;

use serde_json::json;
use store::Store;

use crate::world::{World, all_runs, eva, gone, until};

const TICK: &str = r#"
playbook: tick
triggers:
  - schedule: { cron: "* * * * * *", missed: all }
steps:
  - { id: note, action: log, with: { message: x } }
"#;

fn instants(store: &dyn Store) -> Vec<String> {
    let runs = all_runs(store);
    let start = |run: &model::run::RunSummary| engine::load::start_of(store, run.id).unwrap().0;
    runs.iter().map(|run| start(run).trigger["scheduled"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_neither_doubles_nor_forgets_an_instant() {
    let world = World::new(&[TICK]).await;
    for life in 1..=3 {
        let store = world.open().await;
        let engine = world.start(store.clone()).await;
        let known = all_runs(store.as_ref()).len();
        until("it ticks", || all_runs(store.as_ref()).len() > known).await;
        let all = instants(store.as_ref());
        let times: Vec<i64> = all.iter().map(|text| model::Time::parse(text).unwrap().millis() / 1000).collect();
        let gapless: Vec<i64> = (times[0]..times[0] + times.len() as i64).collect();
        assert_eq!(times, gapless, "life {life}");
        gone(engine, store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_was_taken_away_and_comes_back_has_no_past() {
    let world = World::new(&[TICK]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    until("it ticks", || !all_runs(store.as_ref()).is_empty()).await;
    engine.load(Vec::new(), eva()).await.unwrap();
    assert_eq!(store.marks("cursor/").unwrap(), []);
    let before = all_runs(store.as_ref()).len();
    until("two seconds have passed", {
        let from = store.now();
        let store = store.clone();
        move || store.now().since(from) > Duration::from_millis(2100)
    })
    .await;
    assert_eq!(all_runs(store.as_ref()).len(), before, "it does not fire while it is away");
    let back = store.now();
    engine.load(vec![world.compile(TICK)], eva()).await.unwrap();
    until("it ticks again", || all_runs(store.as_ref()).len() > before).await;
    let all = instants(store.as_ref());
    assert!(model::Time::parse(&all[before]).unwrap() > back, "{all:?}");
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_is_switched_off_is_decided_and_starts_nothing() {
    let world = World::new(&[TICK]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    engine.toggle("tick", false, eva()).await.unwrap();
    let runs = all_runs(store.as_ref()).len();
    let from = store.next_seq();
    until("instants are recorded", || store.next_seq().0 >= from.0 + 2).await;
    assert_eq!(all_runs(store.as_ref()).len(), runs);
    let entry = store.entry(from).unwrap().unwrap().entry.unwrap();
    let payload: serde_json::Value = serde_json::from_slice(&entry.payload).unwrap();
    assert_eq!(payload["decisions"][0]["verdict"], json!("disabled"));
    engine.stop(Duration::from_secs(1)).await;
}
