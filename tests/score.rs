//! Thresholds: a score that crosses, the silence after it, on a playbook and on a destination.

use serde_json::{Value, json};

use crate::support::sample::{alert, case, decision, run_id, step, urgency, verdict};
use crate::support::{Folder, Receiver, Server};

fn warning(folder: &Folder, trigger: &str) {
    folder.playbook(
        "warn",
        &format!("triggers:\n  - score.threshold: {trigger}\nsteps:\n  - id: note\n    action: log\n    with: {{ message: \"${{{{ trigger.from }}}} to ${{{{ trigger.to }}}}\" }}\n"),
    );
}

fn verdicts(server: &Server, host: &str, scores: &[f64]) -> Vec<String> {
    let send = |score: &f64| verdict(&server.accepted(&urgency(host, *score)), "warn").to_owned();
    scores.iter().map(send).collect()
}

#[test]
fn a_score_fires_when_it_crosses_upward_and_only_then() {
    let folder = Folder::new();
    warning(&folder, "{ of: host, score: urgency, above: 80 }");
    let server = Server::start(&folder);
    let told = verdicts(&server, "ws-1", &[79.0, 80.0, 95.0, 80.0, 79.9, 12.0, 80.5]);
    assert_eq!(told[0], "not_matched");
    assert_eq!(told[1], "matched", "to the value itself is across");
    assert_eq!(told[2], "not_matched", "rising further is no crossing");
    assert_eq!(&told[3..6], ["not_matched"; 3], "neither is falling");
    assert_eq!(told[6], "matched", "from below again is");
    assert_eq!(verdicts(&server, "ws-2", &[83.0]), ["matched"], "from nothing to above is a crossing");
}

#[test]
fn a_score_that_is_repeated_moves_nothing() {
    let folder = Folder::new();
    warning(&folder, "{ of: host, score: urgency, above: 80 }");
    let server = Server::start(&folder);
    server.accepted(&urgency("ws-1", 90.0));
    let again = server.accepted(&urgency("ws-1", 90.0));
    let matched = again["decisions"].as_array().unwrap().iter().any(|one| one["verdict"] == "matched");
    assert!(!matched, "{again}");
}

#[test]
fn within_the_window_a_new_crossing_is_silent_and_says_so_for_each_host_apart() {
    let folder = Folder::new();
    warning(&folder, "{ of: host, score: urgency, above: 80, dedupe: 6h }");
    let server = Server::start(&folder);
    assert_eq!(verdicts(&server, "ws-1", &[83.0, 10.0, 99.0]), ["matched", "not_matched", "deduplicated"]);
    assert_eq!(verdicts(&server, "ws-2", &[83.0]), ["matched"]);
    let decision = server.accepted(&urgency("ws-1", 10.0));
    assert_eq!(verdict(&decision, "warn"), "not_matched");

    // The window is part of what is durable.
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(verdicts(&server, "ws-1", &[99.0]), ["deduplicated"]);
}

#[test]
fn after_the_window_a_new_crossing_fires_and_a_high_score_does_not() {
    let folder = Folder::new();
    warning(&folder, "{ of: host, score: urgency, above: 80, dedupe: 1s }");
    let server = Server::start(&folder);
    assert_eq!(verdicts(&server, "ws-1", &[83.0]), ["matched"]);
    // Two hosts that start together: the one that stays above, and the one that drops, are asked until the window is over.
    assert_eq!(verdicts(&server, "ws-2", &[83.0, 10.0]), ["matched", "not_matched"]);
    let fired = crate::support::eventually("the window ends", || {
        let crossing = verdicts(&server, "ws-2", &[85.0, 10.0]);
        (crossing[0] == "matched").then_some(crossing)
    });
    assert_eq!(fired[1], "not_matched");
    assert_eq!(verdicts(&server, "ws-1", &[84.0]), ["not_matched"], "it stayed high");
}

#[test]
fn other_scores_and_other_kinds_of_entity_are_not_meant() {
    let folder = Folder::new();
    warning(&folder, "{ of: host, score: urgency, above: 80 }");
    let server = Server::start(&folder);
    let send = |kind: &str, score: &str| {
        let entity = json!({"kind": kind, "id": "x", "scores": {score: 99}});
        server.accepted(&json!({"type": "entity.score", "entity": entity}))
    };
    let fired = |answer: &Value| answer["decisions"].to_string().contains("\"matched\"");
    assert!(!fired(&send("account", "urgency")));
    assert!(!fired(&send("host", "threat")));
    assert!(fired(&send("host", "urgency")));
}

#[test]
fn the_risk_of_alerts_and_cases_is_a_score() {
    let folder = Folder::new();
    warning(&folder, "{ of: alert, score: risk, above: 90 }");
    folder.playbook("case-risk", "triggers:\n  - score.threshold: { of: case, score: risk, above: 90 }\nsteps:\n  - id: note\n    action: log\n    with: { message: x }\n");
    let server = Server::start(&folder);
    assert_eq!(verdict(&server.accepted(&alert("A-1", 60)), "warn"), "not_matched");
    let crossing = server.accepted(&alert("A-1", 95));
    assert_eq!(verdict(&crossing, "warn"), "matched");
    assert!(decision(&crossing, "warn")["reason"].as_str().unwrap().contains("95"), "{crossing}");
    let first = server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New", "risk_score": 91})));
    assert_eq!(verdict(&first, "case-risk"), "matched");
}

/// Two playbooks that send about hosts to `a`, which is silent for six hours after a message, and to `b`, which is not.
fn two_destinations(a: &Receiver, b: &Receiver) -> Folder {
    let folder = Folder::new();
    let first = crate::support::folder::destination("a", &a.url("/a"), "dedupe: 6h, retry: { max: 0 }");
    let second = crate::support::folder::destination("b", &b.url("/b"), "retry: { max: 0 }");
    folder.write("destinations.yaml", &format!("destinations:\n{first}{second}"));
    let steps = "steps:\n  - id: send\n    action: webhook.send_threat_details\n    with: { to: [a, b] }\n    retry: { max: 0 }\n";
    folder.playbook(
        "warn",
        &format!("triggers:\n  - score.threshold: {{ of: host, score: urgency, above: 80 }}\n{steps}"),
    );
    folder
}

#[test]
fn the_window_of_a_destination_holds_for_it_alone() {
    let (a, b) = (Receiver::start(), Receiver::start());
    let folder = two_destinations(&a, &b);
    let server = Server::start(&folder);
    let first = server.accepted(&urgency("ws-1", 90.0));
    server.ended_run(&run_id(&first, "warn"));
    server.accepted(&urgency("ws-1", 10.0));
    // X29: also over a kill.
    server.kill();
    let server = Server::start(&folder);
    let second = server.accepted(&urgency("ws-1", 95.0));
    let run = server.ended_run(&run_id(&second, "warn"));
    assert_eq!(run["status"], "succeeded", "some suppressed: the step succeeded");
    assert_eq!((a.waiting().len(), b.waiting().len()), (1, 2));
    let held = server.items("/v1/deliveries?status=suppressed");
    assert_eq!(held.len(), 1);
    assert_eq!((&held[0]["destination"], &held[0]["reason"]), (&json!("a"), &json!("deduplicated")));
}

#[test]
fn a_window_is_released_when_its_delivery_finally_fails() {
    let (a, b) = (Receiver::scripted(&[crate::support::Reply::Status(400)]), Receiver::start());
    let server = Server::start(&two_destinations(&a, &b));
    let first = server.accepted(&urgency("ws-1", 90.0));
    let run = server.ended_run(&run_id(&first, "warn"));
    assert_eq!(run["status"], "failed", "some failed: the step failed");
    server.accepted(&urgency("ws-1", 10.0));
    let second = server.accepted(&urgency("ws-1", 95.0));
    assert_eq!(server.ended_run(&run_id(&second, "warn"))["status"], "succeeded");
    assert_eq!(a.waiting().len(), 2, "a dead receiver silences nothing");
}

#[test]
fn when_all_destinations_are_suppressed_the_step_is_skipped_and_the_run_succeeded() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "min_severity: high");
    folder.playbook(
        "tell",
        "triggers:\n  - alert.created\nsteps:\n  - id: send\n    action: webhook.send_threat_details\n    with: { to: [desk] }\n",
    );
    let server = Server::start(&folder);
    let low = json!({"type": "alert.created", "alert": {"id": "A-1", "priority": "medium"}});
    let run = server.ended_run(&run_id(&server.accepted(&low), "tell"));
    assert_eq!(run["status"], "succeeded");
    assert_eq!(step(&run, "send")["status"], "skipped");
    assert_eq!(server.items("/v1/deliveries")[0]["reason"], "below_severity");
    let none = json!({"type": "alert.created", "alert": {"id": "A-2"}});
    server.ended_run(&run_id(&server.accepted(&none), "tell"));
    assert_eq!(receiver.next().json()["alert_id"], "A-2", "an object without a priority is sent");
    assert!(receiver.waiting().is_empty());
}
