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

/// The file of a product that sends detections, several in one message, under names of its own.
const SENSOR: &str = r#"source: sensor
title: A sensor
vendor: Acme
product: Sensor
each: [events]
events:
  - when: has(item, "rule")
    type: detection.created
    id: pick(item, "uid")
    time: pick(item, "seen")
    detection:
      id: pick(item, "uid")
      severity: pick(item, ["level", "severity"])
      rules: gather(item, ["rule.name", "rule"])
      src_ips: gather(item, ["src.ip", "src_ip"])
      src_users: gather(item, ["actor"])
      approx_log_time: pick(item, "seen")
    data: { sensor: 'pick(body, "sensor")' }
samples:
  - name: two at once
    body: { sensor: s-1, events: [{ uid: 1, rule: { name: Scan }, level: HIGH, src: { ip: 203.0.113.9 } }, { uid: 2, rule: Scan, src_ip: [203.0.113.9], level: low }] }
    expect:
      - { type: detection.created, data: { sensor: s-1, detection: { id: sensor-1, severity: HIGH, rules: [Scan], src_ips: [203.0.113.9], type: sensor } } }
      - { type: detection.created, data: { detection: { id: sensor-2, src_ips: [203.0.113.9] } } }
"#;

#[test]
fn detections_that_a_products_own_message_brings_are_mapped_and_grouped() {
    let folder = Folder::with(
        "sources: { generic: { auth: none }, sensor: { file: ./sensor.yaml, auth: none } }\n\
         grouping: [{ name: by-source, by: src_ips, window: 1h, when: '(event.data?.sensor ?? \"\") != \"lab\"' }]\n",
    );
    folder.write("sensor.yaml", SENSOR);
    crate::support::command::sortie(&folder, &["check", "sensor.yaml"]).expect(0);
    let tested = crate::support::command::sortie(&folder, &["test", "sensor.yaml"]).expect(0);
    assert!(tested.stdout.contains("two at once") && tested.stdout.contains("1 passed"), "{tested:?}");
    folder.write("wrong.yaml", &SENSOR.replace("severity: HIGH", "severity: LOW"));
    let failed = crate::support::command::sortie(&folder, &["test", "wrong.yaml", "--junit", "out.xml"]).expect(5);
    assert!(failed.stdout.contains("1 failed") && failed.stdout.contains("detection.severity"), "{failed:?}");
    assert!(folder.read("out.xml").contains("failures=\"1\""));
    let server = Server::start(&folder);
    let client = server.client().anonymous();
    let body = json!({ "sensor": "s-7", "events": [
        { "uid": 41, "rule": { "name": "Port scan" }, "level": "Critical", "src": { "ip": "203.0.113.9" }, "actor": "alice", "seen": "2026-03-01 08:00:00" },
        { "uid": 42, "rule": ["Brute force", "Spray"], "level": "medium", "src_ip": "203.0.113.9", "seen": 1772352000 },
        { "uid": 43, "rule": { "name": 7 }, "level": { "odd": [] }, "src_ip": ["198.51.100.7", "198.51.100.7"] },
        { "uid": 44, "rule": "no address" },
    ] });
    let answers = client.post("/v1/in/sensor", &body).ok(202);
    let answers = answers.as_array().expect("an answer for each").clone();
    let of = |n: usize| answers[n]["alert_id"].as_str();
    let first = of(0).unwrap_or_else(|| panic!("{answers:?}")).to_owned();
    assert_eq!((of(1), of(3)), (Some(&*first), None));
    assert!(of(2).is_some_and(|other| other != first), "{answers:?}");
    // Another product with the same numbers, into the same alert.
    let same = detection("sensor-41", json!({ "severity": "low" }));
    assert_eq!(grouped(&server, &same), first);
    let shown = alert(&server, &first);
    let ids: Vec<&str> = shown["detections"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["sensor-41", "sensor-42"], "an id that is the same replaces");
    assert_eq!(shown["rules"], json!(["Port scan", "Brute force", "Spray"]));
    assert_eq!(client.post("/v1/in/sensor", &body).status, 200, "the product's ids make a repeat recognisable");
    let lab = json!({ "sensor": "lab", "events": [{ "uid": 50, "rule": "x", "src_ip": "203.0.113.9" }] });
    assert!(client.post("/v1/in/sensor", &lab).ok(202).to_string().contains("\"event_id\""));
    assert_eq!(alert(&server, &first)["detections"].as_array().unwrap().len(), 2);
}

#[test]
fn a_mapping_of_detections_that_cannot_be_right_is_refused_with_its_place() {
    let folder = Folder::new();
    for (old, new, part) in [
        ("      severity:", "      severty:", "did you mean `severity`?"),
        ("    detection:\n", "    alert:\n", "is a plain one"),
        ("    type: detection.created", "    type: sensor.detection", "belongs to events of type"),
    ] {
        folder.write("sensor.yaml", &SENSOR.replacen(old, new, 1));
        let out = crate::support::command::sortie(&folder, &["check", "sensor.yaml"]).expect(3);
        assert!(out.stderr.contains(part) || out.stdout.contains(part), "{part}: {out:?}");
    }
}

#[test]
fn rules_are_made_and_ended_without_the_file_by_those_who_may_and_the_history_says_who() {
    let folder = Folder::and(
        "grouping: [{ name: by-source, by: src_ips, window: 1h, when: 'detection.severity == \"critical\"' }]\n",
    );
    let server = Server::start(&folder);
    let sortie = |arguments: &[&str]| crate::support::command::sortie(&folder, arguments);
    assert_eq!(server.accepted(&detection("D-1", json!({})))["alert_id"], Value::Null, "no rule wants it");
    let wish = json!({ "name": "by-user", "by": "users", "window": "2h", "when": "detection.severity != \"low\"" });
    let viewer =
        server.client().with_token(&sortie(&["tokens", "create", "--name", "v", "--role", "viewer"]).expect(0).stdout);
    let analyst =
        server.client().with_token(&sortie(&["tokens", "create", "--name", "a", "--role", "analyst"]).expect(0).stdout);
    viewer.post("/v1/grouping", &wish).problem(403);
    viewer.request("DELETE", "/v1/grouping/by-source", &[], b"").problem(403);
    let made = analyst.post("/v1/grouping", &wish).ok(201);
    assert_eq!((&made["from"], &made["made_by"], &made["order"]), (&json!("api"), &json!("a"), &json!(100)));
    analyst.post("/v1/grouping", &wish).problem(409);
    for (key, value) in [("by", "colour"), ("window", "never"), ("when", "detection.colour == 1"), ("name", "")] {
        let mut bad = wish.clone();
        bad[key] = json!(value);
        assert_eq!(analyst.post("/v1/grouping", &bad).problem(400), "invalid_value", "{key}");
    }
    analyst.post("/v1/grouping", &json!({ "name": "x", "by": "users", "window": "1h", "colour": 1 })).problem(400);
    let id = grouped(&server, &detection("D-2", json!({})));
    assert!(sortie(&["grouping", "list"]).expect(0).stdout.contains("by-user"));
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(grouped(&server, &detection("D-3", json!({}))), id, "rule and window are kept");
    assert_eq!(alert(&server, &id)["name"], "by-user: alice");
    let first = grouped(&server, &detection("D-4", json!({ "severity": "critical" })));
    assert_eq!(alert(&server, &first)["name"], "by-source: 203.0.113.9", "those of the file come first");
    let out = crate::support::command::sortie(
        &folder,
        &["grouping", "add", "early", "--by", "dest_ips", "--window", "1h", "--order", "1"],
    );
    out.expect(0);
    let names: Vec<Value> = server.items("/v1/grouping").iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["by-source", "early", "by-user"]);
    let both = detection("D-5", json!({ "dest_ips": ["192.0.2.1"] }));
    let other = grouped(&server, &both);
    assert_eq!(alert(&server, &other)["name"], "early: 192.0.2.1");
    server.client().request("DELETE", "/v1/grouping/by-source", &[], b"").problem(409);
    server.client().request("DELETE", "/v1/grouping/absent", &[], b"").problem(404);
    crate::support::command::sortie(&folder, &["grouping", "remove", "by-user"]).expect(0);
    assert_eq!(server.accepted(&detection("D-6", json!({})))["alert_id"], Value::Null);
    let trail = server.items("/v1/audit?object=grouping:by-user");
    let told: Vec<(&str, &str)> =
        trail.iter().map(|one| (one["actor"].as_str().unwrap(), one["object"].as_str().unwrap())).collect();
    assert_eq!(told, [("token:admin", "grouping:by-user"), ("token:a", "grouping:by-user")]);
}

#[test]
fn a_rule_of_one_tenant_groups_its_detections_alone_and_another_tenants_token_does_not_see_it() {
    let folder = Folder::and("tenants: [acme, globex]\n");
    let server = Server::start(&folder);
    let token = |name: &str, tenant: &str| {
        let out = crate::support::command::sortie(
            &folder,
            &["tokens", "create", "--name", name, "--role", "analyst", "--tenant", tenant],
        );
        server.client().with_token(&out.expect(0).stdout)
    };
    let (acme, globex) = (token("acme", "acme"), token("globex", "globex"));
    let wish = json!({ "name": "users", "by": "users", "window": "1h" });
    assert_eq!(acme.post("/v1/grouping", &wish).ok(201)["tenant"], "acme");
    acme.post("/v1/grouping", &json!({ "name": "o", "by": "users", "window": "1h", "tenant": "globex" })).problem(404);
    assert!(globex.get("/v1/grouping").ok(200)["items"].as_array().unwrap().is_empty());
    globex.request("DELETE", "/v1/grouping/users", &[], b"").problem(404);
    let of = |tenant: &str, id: &str| {
        let mut event = detection(id, json!({}));
        event["tenant"] = json!(tenant);
        server.accepted(&event)["alert_id"].clone()
    };
    assert_eq!(of("globex", "D-1"), Value::Null);
    assert!(of("acme", "D-2").is_string());
}
