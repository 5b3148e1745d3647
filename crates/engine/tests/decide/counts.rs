//! `event.count`: so many events within a time, once, in whatever order they arrive.

use model::{Event, Kind};
use serde_json::{Value, json};

use crate::scene::{Scene, event, minutes};

fn counting(rest: &str) -> Scene {
    Scene::new(&[&format!(
        "playbook: p\ntriggers:\n  - event.count: {{ type: login.failed, by: event.data.user, at_least: 5, within: 10m{rest} }}\nsteps:\n  - action: log\n    with: {{ message: x }}\n"
    )])
}

fn failure(data: Value, happened: u64, arrived: u64) -> Event {
    let mut event = event("login.failed", Kind::Alert, "x", json!({}));
    event.subject = None;
    event.data = data;
    (event.time, event.received) = (minutes(happened), minutes(arrived));
    event
}

/// The verdicts about failures of one user, by when they happened and when they arrived.
fn verdicts(scene: &mut Scene, times: &[(u64, u64)]) -> String {
    let one = |(happened, arrived): &(u64, u64)| {
        let (said, _) = scene.decided_as_is(failure(json!({ "user": "alice" }), *happened, *arrived));
        match said[0].as_str() {
            "p matched" => 'M',
            "p not_matched" => '.',
            "p deduplicated" => 'd',
            other => panic!("{other}"),
        }
    };
    times.iter().map(one).collect()
}

#[test]
fn the_fifth_within_ten_minutes_fires_and_the_next_ones_are_silent() {
    let mut scene = counting("");
    let each_minute: Vec<(u64, u64)> = (0..14).map(|minute| (minute, minute)).collect();
    // What the alarm counted is used up; five more are enough again, but within ten minutes it was raised before.
    assert_eq!(verdicts(&mut scene, &each_minute), "....M....ddddd");
    assert_eq!(verdicts(&mut scene, &[(14, 14)]), "M", "the silence of ten minutes is over");
}

#[test]
fn in_whatever_order_and_however_late_they_arrive_they_fire_once() {
    for order in [[0, 2, 4, 6, 8], [8, 6, 4, 2, 0], [4, 0, 8, 2, 6]] {
        let times: Vec<(u64, u64)> = order.iter().map(|happened| (*happened, 30)).collect();
        assert_eq!(verdicts(&mut counting(""), &times), "....M", "{order:?}");
    }
    // Four of one time, two of another, and the fifth of the first one late.
    let times = [(0, 0), (1, 1), (2, 2), (3, 3), (40, 40), (41, 41), (4, 42), (5, 43)];
    assert_eq!(verdicts(&mut counting(""), &times), "......M.");
}

#[test]
fn what_is_spread_over_a_longer_time_does_not_fire_even_if_it_arrives_at_once() {
    let times: Vec<(u64, u64)> = (0..20).map(|n| (3 * n, 100)).collect();
    assert_eq!(verdicts(&mut counting(""), &times), ".".repeat(20));
}

#[test]
fn a_time_in_the_future_counts_as_now() {
    assert_eq!(verdicts(&mut counting(""), &[(900, 0), (500, 1), (2, 2), (700, 3), (4, 4)]), "....M");
}

#[test]
fn the_silence_after_an_alarm_can_be_longer() {
    let mut scene = counting(", dedupe: 1h");
    let each_minute: Vec<(u64, u64)> = (0..64).map(|minute| (minute, minute)).collect();
    assert_eq!(verdicts(&mut scene, &each_minute).matches('M').count(), 1);
    assert_eq!(verdicts(&mut scene, &[(64, 64)]), "M");
}

#[test]
fn each_key_counts_for_itself_and_what_has_none_does_not_count() {
    let mut scene = counting("");
    for n in 0..4 {
        for user in ["alice", "bob"] {
            let (said, reasons) = scene.decided_as_is(failure(json!({ "user": user }), n, n));
            assert_eq!(said, ["p not_matched"]);
            assert!(reasons[0].contains(&format!("{} of 5", n + 1)) && reasons[0].contains(user), "{}", reasons[0]);
        }
    }
    let (said, _) = scene.decided_as_is(failure(json!({ "user": null }), 5, 5));
    assert_eq!(said, ["p not_matched"]);
    let (said, reasons) = scene.decided_as_is(failure(json!({}), 5, 5));
    assert_eq!(said, ["p failed"], "{reasons:?}");
    let (said, _) = scene.decided_as_is(failure(json!({ "user": "bob" }), 5, 5));
    assert_eq!(said, ["p matched"]);
}

#[test]
fn the_triggers_condition_says_what_counts_and_the_playbooks_whether_it_starts() {
    let mut scene = Scene::new(&[
        "playbook: p\ntriggers:\n  - event.count: { type: login.failed, at_least: 3, within: 10m, when: event.data.user != \"test\" }\nwhen: trigger.count >= 4\nsteps:\n  - action: log\n    with: { message: x }\n",
    ]);
    let mut said = Vec::new();
    for user in ["test", "a", "test", "b", "test", "c", "d"] {
        said.extend(scene.decided_as_is(failure(json!({ "user": user }), 1, 1)).0);
    }
    assert_eq!(said.join(" ").replace("p ", "").replace("not_matched", "."), ". . . . . . matched");
}
