//! What bounds the runs of a playbook: windows, rates, runs at once, fuses.

use model::{Event, Kind};
use serde_json::{Value, json};

use crate::scene::{Scene, case, event};

fn playbook(rest: &str) -> String {
    format!("playbook: p\n{rest}\nsteps:\n  - action: log\n    with: {{ message: x }}\n")
}

fn on_case(rest: &str) -> Scene {
    Scene::new(&[&playbook(&format!("triggers: [case.created, case.updated]\n{rest}"))])
}

/// Another update of a case with each call.
fn update(id: &str, n: u64) -> Event {
    let mut event = case("case.updated", json!({ "id": id, "name": format!("update {n}") }));
    event.subject.as_mut().unwrap().id = id.to_owned();
    event
}

#[test]
fn after_a_run_there_is_none_for_the_same_key_until_the_window_ends() {
    let mut scene = on_case("dedupe: { key: case.id, window: 6h }");
    assert_eq!(scene.at(0, update("C-1", 0)), ["p matched"]);
    assert_eq!(scene.at(1, update("C-1", 1)), ["p deduplicated"]);
    assert_eq!(scene.at(1, update("C-2", 2)), ["p matched"], "another key is another window");
    assert_eq!(scene.at(359, update("C-1", 3)), ["p deduplicated"], "it is not extended");
    assert_eq!(scene.at(360, update("C-1", 4)), ["p matched"], "the window is half open");
}

#[test]
fn one_tenants_key_is_not_anothers() {
    let mut scene = on_case("dedupe: { key: case.id, window: 6h }");
    assert_eq!(scene.at(0, update("C-1", 0)), ["p matched"]);
    let mut other = update("C-1", 1);
    other.tenant = "acme".to_owned();
    assert_eq!(scene.at(1, other), ["p matched"]);
}

#[test]
fn a_condition_that_says_no_begins_no_window() {
    let mut scene = on_case("when: case.name == \"update 1\"\ndedupe: { window: 6h }");
    assert_eq!(scene.at(0, update("C-1", 0)), ["p not_matched"]);
    assert_eq!(scene.at(1, update("C-1", 1)), ["p matched"]);
    assert_eq!(scene.at(2, update("C-2", 1)), ["p deduplicated"], "without a key all runs are one");
}

#[test]
fn a_key_that_is_absent_or_cannot_be_computed_is_failed_and_says_where() {
    for (key, expected) in [("case.assignee", "absent"), ("case.extra.ticket", "extra")] {
        let mut scene = on_case(&format!("dedupe: {{ key: {key}, window: 1h }}"));
        let (said, reasons) = scene.decided(0, update("C-1", 0));
        assert_eq!(said, ["p failed"]);
        assert!(reasons[0].contains(expected) && reasons[0].contains("dedupe"), "{}", reasons[0]);
    }
}

#[test]
fn keys_of_any_kind_and_length_are_told_apart() {
    let mut scene =
        Scene::new(&[&playbook("triggers:\n  - event: { type: t }\ndedupe: { key: event.data.k, window: 1h }")]);
    let mut plain = |k: Value| {
        let mut plain = event("t", Kind::Alert, "x", json!({}));
        plain.subject = None;
        plain.data = json!({ "k": k });
        scene.at(0, plain)
    };
    let long = "x".repeat(10_000);
    let keys = [
        json!("a"),
        json!(["a"]),
        json!(1),
        json!(1.5),
        json!(true),
        json!(""),
        json!(long),
        json!(format!("{long}y")),
    ];
    for key in &keys {
        assert_eq!(plain(key.clone()), ["p matched"], "{key}");
    }
    for key in &keys {
        assert_eq!(plain(key.clone()), ["p deduplicated"], "{key}");
    }
}

#[test]
fn a_throttle_counts_the_runs_of_the_period_that_slides() {
    let mut scene = on_case("throttle: { key: case.id, count: 2, per: 10m }");
    assert_eq!(scene.at(0, update("C-1", 0)), ["p matched"]);
    assert_eq!(scene.at(6, update("C-1", 1)), ["p matched"]);
    let (said, reasons) = scene.decided(7, update("C-1", 2));
    assert_eq!(said, ["p throttled"]);
    assert!(reasons[0].contains("2 runs") && reasons[0].contains("00:10:00"), "{}", reasons[0]);
    assert_eq!(scene.at(7, update("C-2", 3)), ["p matched"]);
    assert_eq!(scene.at(10, update("C-1", 4)), ["p matched"], "the first is ten minutes old");
    assert_eq!(scene.at(15, update("C-1", 5)), ["p throttled"], "what was held back counts for nothing, what ran does");
    assert_eq!(scene.at(16, update("C-1", 6)), ["p matched"]);
}

#[test]
fn a_fuse_counts_all_runs_whatever_they_are_for_and_raises_one_alarm_each_time_it_blows() {
    let mut scene = on_case("fuse: { runs: 3, per: 1h }");
    for n in 0..3 {
        assert_eq!(scene.at(n, update(&format!("C-{n}"), n)), ["p matched"]);
    }
    for n in 3..9 {
        let mut other = update(&format!("C-{n}"), n);
        other.tenant = format!("t{n}");
        assert_eq!(scene.at(n, other), ["p throttled"]);
    }
    assert_eq!(scene.state.raised.borrow().len(), 1, "one alarm");
    assert_eq!(scene.state.raised.borrow()[0].kind, engine::decide::FUSE_BLOWN);
    assert_eq!(scene.state.raised.borrow()[0].data["playbook"], "p");
    assert_eq!(scene.at(60, update("C-9", 60)), ["p matched"], "the first run is an hour old");
    assert_eq!(scene.at(60, update("C-8", 61)), ["p throttled"]);
    assert_eq!(scene.state.raised.borrow().len(), 2, "it blew again");
}

#[test]
fn what_is_deduplicated_is_not_counted_by_throttle_and_fuse() {
    let mut scene =
        on_case("dedupe: { key: case.id, window: 1h }\nthrottle: { count: 2, per: 1h }\nfuse: { runs: 2, per: 1h }");
    assert_eq!(scene.at(0, update("C-1", 0)), ["p matched"]);
    for n in 1..5 {
        assert_eq!(scene.at(n, update("C-1", n)), ["p deduplicated"]);
    }
    assert_eq!(scene.at(6, update("C-2", 6)), ["p matched"]);
    assert_eq!(scene.at(7, update("C-3", 7)), ["p throttled"]);
    assert_eq!(scene.at(60, update("C-3", 8)), ["p matched"], "what was throttled has begun no window");
}

#[test]
fn at_most_so_many_runs_are_open_for_the_same_key() {
    for (when_full, verdict, runs) in [("queue", "queued", 2), ("skip", "skipped", 1), ("cancel_oldest", "matched", 2)]
    {
        let mut scene = on_case(&format!("concurrency: {{ key: case.id, max: 1, when_full: {when_full} }}"));
        assert_eq!(scene.at(0, update("C-1", 0)), ["p matched"]);
        assert_eq!(scene.at(1, update("C-1", 1)), [format!("p {verdict}")]);
        assert_eq!(scene.at(2, update("C-2", 2)), ["p matched"]);
        assert_eq!(scene.state.groups.borrow()["concurrency/p/default/C-1"].len(), runs);
        scene.state.groups.borrow_mut().clear();
        assert_eq!(scene.at(3, update("C-1", 3)), ["p matched"], "only what is open counts");
    }
}

#[test]
fn a_run_that_is_skipped_begins_no_window_and_counts_for_nothing() {
    let mut scene = on_case("dedupe: { key: case.name, window: 1h }\nconcurrency: { max: 1, when_full: skip }");
    assert_eq!(scene.at(0, update("C-1", 0)), ["p matched"]);
    assert_eq!(scene.at(1, update("C-2", 1)), ["p skipped"]);
    scene.state.groups.borrow_mut().clear();
    assert_eq!(scene.at(2, update("C-3", 1)), ["p matched"]);
}
