//! Detections that arrive on their own become alerts, by rules.

use serde_json::{Value, json};

use crate::support::{Folder, Server, within};
use std::time::Duration;

fn detection(id: &str, fields: Value) -> Value {
    let mut all = json!({"id": id, "severity": "medium", "src_ips": ["203.0.113.9"], "src_users": ["alice"]});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"type": "detection.created", "id": format!("evt-{id}"), "detection": all})
}

fn grouped(server: &Server, event: &Value) -> String {
    let answer = server.accepted(event);
    answer["alert_id"].as_str().unwrap_or_else(|| panic!("not grouped: {answer}")).to_owned()
}

fn alert(server: &Server, id: &str) -> Value {
    server.client().get(&format!("/v1/alerts/{id}")).ok(200)
}

#[test]
fn three_detections_of_one_source_within_the_window_are_one_alert_with_the_summed_score() {
    let folder = Folder::and(
        "grouping: [{ name: by-source, by: src_ips, window: 1h }]\npriority_bands: { medium: 60, high: 80, critical: 90 }\n",
    );
    folder.playbook(
        "heard",
        "triggers: [alert.created]\nsteps:\n  - id: tag\n    action: alert.add_tags\n    with: { tags: [heard] }\n",
    );
    let server = Server::start(&folder);
    let first = server.accepted(&detection("D-1", json!({"use_case": "Brute Force", "rules": ["r1"]})));
    let run = crate::support::sample::run_id(&first, "heard");
    assert_eq!(server.ended_run(&run)["status"], "succeeded", "the alert's playbooks run");
    let id = first["alert_id"].as_str().unwrap().to_owned();
    assert_eq!(grouped(&server, &detection("D-2", json!({"score": 10, "src_users": ["bob"]}))), id);
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(grouped(&server, &detection("D-3", json!({"severity": "low"}))), id, "a restart forgets nothing");
    let shown = alert(&server, &id);
    assert_eq!(shown["detections"].as_array().unwrap().len(), 3);
    assert_eq!((&shown["risk_score"], &shown["priority"]), (&json!(85), &json!("high")));
    assert_eq!(shown["users"], json!(["alice", "bob"]));
    assert_eq!(shown["grouped_by"], json!({"key": "src_ips", "value": "203.0.113.9"}));
    assert_eq!(shown["tags"], json!(["heard"]));
    let other = grouped(&server, &detection("D-4", json!({"src_ips": ["198.51.100.7"]})));
    assert_ne!(other, id, "another address is another alert");
    assert_eq!(server.all_items("/v1/alerts?limit=50").len(), 2);
}

#[test]
fn outside_of_the_window_a_detection_begins_another_alert() {
    let folder = Folder::and("grouping: [{ name: by-source, by: src_ips, window: 1s }]\n");
    let server = Server::start(&folder);
    let first = grouped(&server, &detection("D-1", json!({})));
    let mut n = 1;
    let second = within(Duration::from_secs(10), || {
        n += 1;
        let id = grouped(&server, &detection(&format!("D-{n}"), json!({})));
        (id != first).then_some(id)
    });
    let second = second.expect("the window ends");
    let of = |id: &str| alert(&server, id)["detections"].as_array().unwrap().len();
    assert_eq!(of(&first) + of(&second), n, "each detection is in one alert");
    assert_eq!(of(&second), 1);
}

#[test]
fn a_repeated_detection_counts_once_and_one_without_an_id_for_itself() {
    let folder = Folder::and("grouping: [{ name: by-user, by: users, window: 1h }]\n");
    let server = Server::start(&folder);
    let event = detection("D-1", json!({"severity": "critical"}));
    let id = grouped(&server, &event);
    assert_eq!(server.event(&event).ok(200)["duplicate"], true);
    for _ in 0..2 {
        server
            .accepted(&json!({"type": "detection.created", "detection": {"src_users": ["alice"], "severity": "high"}}));
    }
    let shown = alert(&server, &id);
    assert_eq!((shown["detections"].as_array().unwrap().len(), &shown["risk_score"]), (3, &json!(250)));
}

#[test]
fn rules_are_asked_in_order_and_what_none_wants_is_kept_as_an_event() {
    let folder = Folder::and(
        "grouping:\n  - { name: severe, by: users, window: 1h, when: 'detection.severity == \"critical\"' }\n  - { name: hosts, by: endpoints, window: 1h }\n",
    );
    let server = Server::start(&folder);
    let severe = grouped(&server, &detection("D-1", json!({"severity": "critical", "src_hosts": ["ws-1"]})));
    assert_eq!(alert(&server, &severe)["name"], "severe: alice");
    let host = grouped(&server, &detection("D-2", json!({"src_hosts": ["ws-1"]})));
    assert_eq!(alert(&server, &host)["name"], "hosts: ws-1");
    let none = server.accepted(&detection("D-3", json!({})));
    assert_eq!(none["alert_id"], Value::Null);
    let event = server.client().get(&format!("/v1/events/{}", none["event_id"].as_str().unwrap())).ok(200);
    assert_eq!(event["data"]["detection"]["id"], "D-3");
}

#[test]
fn tenants_never_share_an_alert() {
    let folder = Folder::and("tenants: [acme, globex]\ngrouping: [{ name: by-source, by: src_ips, window: 1h }]\n");
    let server = Server::start(&folder);
    let of = |tenant: &str, id: &str| {
        let mut event = detection(id, json!({}));
        event["tenant"] = json!(tenant);
        grouped(&server, &event)
    };
    let (acme, globex) = (of("acme", "D-1"), of("globex", "D-2"));
    assert_ne!(acme, globex);
    assert_eq!(of("acme", "D-3"), acme);
}

#[test]
fn a_detection_that_cannot_be_is_refused_with_its_path() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let answer = server.event(&json!({"type": "detection.created", "detection": {"id": "D", "src_ips": "x"}}));
    answer.problem(400);
    assert!(answer.text().contains("detection.src_ips"), "{}", answer.text());
    server.event(&json!({"type": "detection.created"})).problem(400);
}
