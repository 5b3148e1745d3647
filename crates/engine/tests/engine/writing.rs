//! The one writer: repeats, batches in which one event is bad, order, tails of histories.

use std::sync::Arc;
use std::time::Duration;

use engine::Refusal;
use model::{Kind, limits};
use serde_json::{Value, json};
use store::Store;

use crate::world::{World, eva, key, keyed, plain, quiet, snapshot, until, verified};

const HEAR: &str = r#"
playbook: hear
triggers:
  - event: { type: go }
steps:
  - { id: note, action: log, with: { message: x } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_answered_with_the_first_even_within_one_batch() {
    let world = World::new(&[HEAR]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let event = || keyed(plain("go", json!({ "n": 1 })), "k");
    let other = keyed(plain("go", json!({ "n": 2 })), "k");
    let mut elsewhere = event();
    Arc::make_mut(&mut elsewhere.event).tenant = "acme".to_owned();
    let answers = engine.ingest(vec![event(), event(), other.clone(), elsewhere]).await;
    let first = answers[0].as_ref().unwrap();
    let repeat = answers[1].as_ref().unwrap();
    assert_eq!((repeat.duplicate, repeat.event_id), (true, first.event_id));
    assert_eq!((repeat.decisions.len(), repeat.decisions_total), (1, 1));
    assert_eq!(repeat.decisions[0].run_id, first.decisions[0].run_id);
    assert_eq!(answers[2].as_ref().unwrap_err(), &Refusal::KeyReused { first: first.event_id });
    assert!(!answers[3].as_ref().unwrap().duplicate, "another tenant has keys of its own");
    let later = engine.ingest(vec![event(), other]).await;
    assert!(later[0].as_ref().unwrap().duplicate);
    assert_eq!(later[1].as_ref().unwrap_err(), &Refusal::KeyReused { first: first.event_id });
    quiet(store.as_ref()).await;
    assert_eq!(store.stats().ended_runs, 2);
    verified(store.as_ref());
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_the_event_that_cannot_be_kept_is_refused_alone() {
    let world = World::new(&[HEAR]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    // The object grows by parts over what the store takes.
    let part = |n: usize| {
        let id = format!("D-{n}");
        snapshot(
            "alert.updated",
            &json!({ "id": "A-1", "detections": [{ "id": id, "description": "x".repeat(900_000) }] }),
        )
    };
    let mut answers = Vec::new();
    for n in 0..6 {
        let small = |id: &str| keyed(plain("go", json!({ "id": id, "n": n })), &format!("{id}-{n}"));
        answers.extend(engine.ingest(vec![small("before"), part(n), small("after")]).await);
    }
    let refused: Vec<usize> = (0..18).filter(|n| answers[*n].is_err()).collect();
    assert_eq!(refused, [13, 16], "four parts fit, the fifth does not");
    assert!(matches!(answers[13], Err(Refusal::Invalid { code: "too_large", .. })), "{:?}", answers[13]);
    let alert = store.object(&key(Kind::Alert, "A-1")).unwrap().unwrap();
    assert_eq!((alert.record["detections"].as_array().unwrap().len(), alert.meta.entries.len()), (4, 4));
    quiet(store.as_ref()).await;
    assert_eq!(store.stats().ended_runs, 12);
    verified(store.as_ref());
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_an_object_has_every_event_about_it_in_order() {
    let world = World::new(&[]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let mut events = Vec::new();
    for n in 0..100 {
        // Every second one says nothing new.
        events.push(snapshot("case.updated", &json!({ "id": "C-1", "risk_score": n / 2 })));
    }
    let answers = engine.ingest(events).await;
    let expected: Vec<u64> = answers.iter().map(|answer| answer.as_ref().unwrap().event_id.seq.0).collect();
    let case = store.object(&key(Kind::Case, "C-1")).unwrap().unwrap();
    let mut seen = Vec::new();
    for block in &case.meta.blocks {
        let entries = store.object_block(&key(Kind::Case, "C-1"), *block).unwrap();
        assert_eq!(entries.len(), limits::OBJECT_TAIL_ENTRIES_MAX);
        seen.extend(entries.iter().map(|seq| seq.0));
    }
    seen.extend(case.meta.entries.iter().map(|seq| seq.0));
    assert_eq!(seen, expected);
    assert_eq!(case.meta.version, 50, "what changes nothing is no change");
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_many_senders_leave_no_gap_and_every_run_ends() {
    let world = World::new(&[HEAR]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..8 {
        let engine = engine.clone();
        senders.spawn(async move {
            for n in 0..25 {
                let key = format!("{sender}-{n}");
                let accepted =
                    engine.ingest(vec![keyed(plain("go", json!({ "n": n })), &key)]).await.remove(0).unwrap();
                assert_eq!(accepted.decisions.len(), 1);
            }
        });
    }
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    quiet(store.as_ref()).await;
    assert_eq!(store.stats().ended_runs, 200);
    let succeeded = &engine.figures().runs_succeeded;
    until("all are counted", || succeeded.load(std::sync::atomic::Ordering::Relaxed) == 200).await;
    verified(store.as_ref());
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_shows_two_hundred_decisions_and_every_run_among_them() {
    let texts: Vec<String> = (0..250)
        .map(|n| {
            let never = if n < 220 { "when: \"event.data.n > 5\"\n" } else { "" };
            format!("playbook: p{n:03}\ntriggers:\n  - event: {{ type: go }}\n{never}steps:\n  - {{ id: note, action: log, with: {{ message: x }} }}\n")
        })
        .collect();
    let world = World::new(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let accepted = engine.ingest(vec![plain("go", json!({ "n": 1 }))]).await.remove(0).unwrap();
    assert_eq!((accepted.decisions.len(), accepted.decisions_total), (limits::ANSWER_DECISIONS_MAX, 250));
    assert_eq!(accepted.decisions.iter().filter(|decision| decision.run_id.is_some()).count(), 30);
    let names: Vec<&str> = accepted.decisions.iter().map(|decision| &*decision.playbook).collect();
    assert!(names.is_sorted(), "in the order of the playbooks");
    quiet(store.as_ref()).await;
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_a_person_and_a_repeated_snapshot_do_not_fight() {
    let world = World::new(&[]).await;
    let store = world.open().await;
    let engine = world.start(store.clone()).await;
    let said = || snapshot("case.updated", &json!({ "id": "C-1", "stage": "New", "priority": "low" }));
    engine.ingest(vec![said()]).await.remove(0).unwrap();
    let Value::Object(fields) = json!({ "stage": "investigation" }) else { panic!("an object") };
    let changed = engine.patch(key(Kind::Case, "C-1"), fields, None, eva()).await.unwrap();
    assert!(changed.transitions.iter().any(|t| t.change.describe() == "stage changed New → Investigation"));
    let repeated = engine.ingest(vec![said()]).await.remove(0).unwrap();
    assert!(repeated.transitions.is_empty());
    assert_eq!(store.object(&key(Kind::Case, "C-1")).unwrap().unwrap().record["stage"], "Investigation");
    engine.stop(Duration::from_secs(1)).await;
}
