//! Events in: what is accepted, what is refused and how, and what a repeat is.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::sample::{alert, case, decision, desk, run_id, step, verdict};
use crate::support::{Folder, Receiver, Server};

#[test]
fn an_accepted_event_that_matches_is_delivered_and_the_history_shows_why() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let mut event = alert("A-1", 92);
    event["id"] = json!("evt-1");

    let answer = server.accepted(&event);
    assert_eq!(answer["duplicate"], false);
    assert_eq!(answer["decisions_total"], 1);
    assert_eq!(answer["warnings"], json!([]));
    assert_eq!(verdict(&answer, "tell"), "matched");
    assert!(decision(&answer, "tell")["reason"].as_str().is_some_and(|reason| !reason.is_empty()));

    let request = receiver.next();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/desk"));
    assert_eq!(request.json()["alert_id"], "A-1");

    let run = server.ended_run(&run_id(&answer, "tell"));
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["alert_id"], "A-1");
    assert_eq!(run["event_id"], answer["event_id"]);
    assert_eq!(step(&run, "send")["attempts"][0]["http_status"], 200);
    assert_eq!(run["playbook_text"], folder.read("playbooks/tell.yaml"));

    let id = answer["event_id"].as_str().unwrap();
    let kept = server.client().get(&format!("/v1/events/{id}")).ok(200);
    assert_eq!(verdict(&kept, "tell"), "matched");
    assert_eq!(kept["raw"], event, "the body as it came");
}

#[test]
fn an_event_that_does_not_match_says_which_part_said_no() {
    let receiver = Receiver::start();
    let server = Server::start(&desk(&receiver));
    let answer = server.accepted(&alert("A-1", 10));
    let decision = decision(&answer, "tell");
    assert_eq!(decision["verdict"], "not_matched");
    assert!(decision["reason"].as_str().unwrap().contains("risk_score"), "{decision}");
    assert_eq!(decision["at"]["line"], 3, "{decision}");
    assert!(decision["at"]["file"].as_str().unwrap().ends_with("tell.yaml"), "{decision}");
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn a_repeated_event_starts_no_second_run_and_gets_the_first_ones_id() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let mut event = alert("A-1", 92);
    event["id"] = json!("evt-1");
    let first = server.accepted(&event);
    receiver.next();
    let again = server.event(&event).ok(200);
    assert_eq!(again["duplicate"], true);
    assert_eq!(again["event_id"], first["event_id"]);

    // The memory of it is durable.
    server.kill();
    let server = Server::start(&folder);
    let again = server.event(&event).ok(200);
    assert_eq!(again["event_id"], first["event_id"]);
    assert_eq!(server.items("/v1/runs").len(), 1);
}

#[test]
fn sixty_four_repeats_at_once_start_one_run() {
    let receiver = Receiver::start();
    let server = Server::start(&desk(&receiver));
    let mut event = alert("A-1", 92);
    event["id"] = json!("evt-1");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..64).map(|_| scope.spawn(|| server.event(&event))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 63);
    let ids: std::collections::BTreeSet<String> = answers.iter().map(|a| a.json()["event_id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(server.items("/v1/runs").len(), 1);
}

#[test]
fn a_key_that_comes_back_with_another_body_is_a_conflict_and_recorded() {
    let server = Server::start(&Folder::new());
    let send = |key: &str, name: &str| {
        let body = json!({"type": "alert.created", "alert": {"id": "A-1", "name": name}}).to_string();
        server.client().anonymous().request("POST", "/v1/in/generic", &[(key, "k-1")], body.as_bytes())
    };
    let first = send("Idempotency-Key", "one").ok(202);
    assert_eq!(send("Idempotency-Key", "one").ok(200)["event_id"], first["event_id"]);
    assert_eq!(send("Idempotency-Key", "other").problem(409), "key_reused");
    assert_eq!(send("webhook-id", "one").ok(200)["event_id"], first["event_id"], "both headers are one key");
    let audit = server.items("/v1/audit");
    assert!(audit.iter().any(|entry| entry.to_string().contains("key_reused")), "{audit:?}");
    assert_eq!(server.client().get("/v1/alerts/A-1").ok(200)["name"], "one");
}

#[test]
fn without_a_key_the_same_body_twice_is_two_events() {
    let server = Server::start(&Folder::new());
    let event = json!({"type": "thing.happened", "data": {"n": 1}});
    let (one, two) = (server.accepted(&event), server.accepted(&event));
    assert_ne!(one["event_id"], two["event_id"]);
}

#[test]
fn an_array_is_answered_in_its_order_and_a_refused_element_stops_no_other() {
    let receiver = Receiver::start();
    let server = Server::start(&desk(&receiver));
    let refused = json!({"type": "alert.created", "alert": {"id": "A-2", "risk_score": "high"}});
    let answers = server.event(&json!([alert("A-1", 92), refused, alert("A-3", 95)])).ok(202);
    let answers = answers.as_array().expect("an array");
    assert_eq!(answers.len(), 3);
    assert_eq!(verdict(&answers[0], "tell"), "matched");
    assert_eq!(answers[1]["error"]["status"], 400);
    assert!(answers[1]["error"].to_string().contains("alert.risk_score"), "{}", answers[1]);
    assert_eq!(verdict(&answers[2], "tell"), "matched");
    let mut sent = [receiver.next().json()["alert_id"].clone(), receiver.next().json()["alert_id"].clone()];
    sent.sort_by_key(Value::to_string);
    assert_eq!(sent, [json!("A-1"), json!("A-3")]);
}

#[test]
fn a_batch_is_202_for_any_new_200_for_only_repeats_and_400_for_none() {
    let server = Server::start(&Folder::new());
    let event = |id: &str| json!({"id": id, "type": "thing.happened"});
    server.event(&json!([event("1"), event("2")])).ok(202);
    server.event(&json!([event("1"), event("2")])).ok(200);
    server.event(&json!([event("1"), event("3")])).ok(202);
    let none = server.event(&json!([{"type": 7}, {}])).ok(400);
    assert!(none.as_array().is_some_and(|all| all.iter().all(|one| one["error"]["code"].is_string())), "{none}");
}

#[test]
fn ndjson_is_answered_line_by_line_and_a_header_key_names_each_line() {
    let server = Server::start(&Folder::new());
    let lines = "{\"type\":\"a.b\"}\nnot json\n\n{\"type\":\"a.c\"}\n";
    let headers = [("Content-Type", "application/x-ndjson"), ("Idempotency-Key", "batch-7")];
    let send = || server.client().request("POST", "/v1/in/generic", &headers, lines.as_bytes());
    let first = send().ok(202);
    let first = first.as_array().expect("an array");
    assert_eq!(first.len(), 3);
    assert_eq!(first[1]["error"]["status"], 400);
    let again = send().ok(200);
    assert_eq!(again[0]["event_id"], first[0]["event_id"]);
    assert_eq!(again[2]["event_id"], first[2]["event_id"]);
}

#[test]
fn a_dry_run_shows_mapping_and_decisions_and_keeps_nothing() {
    let receiver = Receiver::start();
    let server = Server::start(&desk(&receiver));
    let answer = server.client().post("/v1/in/generic?dry_run=true", &alert("A-1", 92)).ok(200);
    assert_eq!(verdict(&answer, "tell"), "matched");
    assert!(answer.to_string().contains("A-1"));
    server.client().get("/v1/alerts/A-1").problem(404);
    assert!(server.items("/v1/events").is_empty());
    assert!(server.items("/v1/runs").is_empty());
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn an_unknown_stage_or_priority_is_refused_in_generic_with_its_path() {
    let server = Server::start(&Folder::new());
    for (field, value) in [("stage", "Somewhere"), ("priority", "urgent")] {
        let answer = server.event(&case("case.created", json!({"id": "C-1", field: value})));
        answer.problem(400);
        assert!(answer.text().contains(&format!("case.{field}")), "{}", answer.text());
    }
    server.client().get("/v1/cases/C-1").problem(404);
}

#[test]
fn names_of_stages_and_priorities_take_their_canonical_form() {
    let server = Server::start(&Folder::new());
    server.accepted(&case("case.created", json!({"id": 4711, "stage": "investigation", "priority": "CRITICAL"})));
    let kept = server.client().get("/v1/cases/4711").ok(200);
    assert_eq!((&kept["stage"], &kept["priority"]), (&json!("Investigation"), &json!("critical")));
    assert_eq!(kept["case_id"], "4711", "a number as an id becomes a string");
}

#[test]
fn an_unknown_key_is_kept_and_named_with_the_near_miss() {
    let server = Server::start(&Folder::new());
    let event = json!({"type": "alert.created", "alert": {"id": "A-1", "risk_scor": 92}});
    let answer = server.accepted(&event);
    let warnings = answer["warnings"].to_string();
    assert!(warnings.contains("risk_scor") && warnings.contains("risk_score"), "{warnings}");
}

#[test]
fn an_absent_field_keeps_null_clears_lists_replace_and_detections_merge() {
    let server = Server::start(&Folder::new());
    server.accepted(&alert("A-1", 92));
    server.accepted(&json!({"type": "alert.updated", "alert": {"id": "A-1", "priority": null, "tags": ["seen"],
        "detections": [{"id": "D-2", "type": "rule", "rules": ["Second"]}]}}));
    let kept = server.client().get("/v1/alerts/A-1").ok(200);
    assert_eq!(kept["name"], "Impossible travel");
    assert!(kept["priority"].is_null(), "{kept}");
    assert_eq!(kept["tags"], json!(["seen"]));
    let ids: Vec<_> = kept["detections"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, ["D-1", "D-2"]);
}

#[test]
fn a_snapshot_older_than_what_is_stored_is_kept_and_changes_nothing() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.playbook(
        "any",
        "triggers:\n  - alert.updated\nsteps:\n  - id: note\n    action: log\n    with: { message: hello }\n",
    );
    folder.destinations(&receiver, &["desk"], "");
    let server = Server::start(&folder);
    let snapshot = |name: &str, time: &str| json!({"type": "alert.updated", "alert": {"id": "A-1", "name": name, "last_update_time": time}});
    server.accepted(&snapshot("new", "2026-11-22T08:00:00Z"));
    let late = server.accepted(&snapshot("old", "2026-11-22T07:00:00Z"));
    assert_eq!(server.client().get("/v1/alerts/A-1").ok(200)["name"], "new");
    assert!(late["decisions"].as_array().unwrap().iter().all(|one| one["verdict"] != "matched"), "{late}");
    assert_eq!(server.items("/v1/events").len(), 2);
}

#[test]
fn a_time_without_an_offset_is_refused_in_generic() {
    let server = Server::start(&Folder::new());
    let answer = server.event(&json!({"type": "a.b", "time": "2026-11-22T08:00:00"}));
    answer.problem(400);
    assert!(answer.text().contains("time"), "{}", answer.text());
}

#[test]
fn a_message_of_exabeam_becomes_the_alert_or_case_that_it_is_about() {
    let server = Server::start(&Folder::new());
    let message = json!({"alert_id": "A-7", "alert_name": "Odd logon", "priority": "HIGH", "tags": [], "mitres": ["T1078"],
        "use_cases": [], "users": ["bob"], "endpoints": [], "detections": [], "threat_summary": "1 detection",
        "last_update_time": 1_743_728_988_934_673_u64, "alert_created_time": "2025-04-04T01:09:48Z"});
    let first = server.client().anonymous().post("/v1/in/exabeam", &message).ok(202);
    let kept = server.client().get("/v1/alerts/A-7").ok(200);
    assert_eq!((&kept["name"], &kept["priority"]), (&json!("Odd logon"), &json!("high")));
    assert!(kept["last_update_time"].as_str().unwrap().starts_with("2025-04-04T01:09:48"), "{kept}");
    let event = server.client().get(&format!("/v1/events/{}", first["event_id"].as_str().unwrap())).ok(200);
    assert!(event["transitions"].to_string().contains("created"), "{event}");
}

#[test]
fn a_vendors_body_that_cannot_be_read_is_kept() {
    let server = Server::start(&Folder::new());
    let sent = b"{\"alert_id\": \"A-1\", ";
    let answer = server.client().anonymous().request("POST", "/v1/in/exabeam", &[], sent).ok(202);
    let id = answer["event_id"].as_str().unwrap();
    let kept = server.client().get(&format!("/v1/events/{id}")).ok(200);
    assert_eq!(kept["type"], "exabeam.unreadable");
    let raw = base64::engine::general_purpose::STANDARD.decode(kept["raw_base64"].as_str().unwrap()).unwrap();
    assert_eq!(raw, sent);
    server.client().anonymous().request("POST", "/v1/in/generic", &[], sent).problem(400);
}

#[test]
fn a_source_that_is_not_named_is_not_there() {
    let server = Server::start(&Folder::new());
    for path in ["/v1/in/vectra", "/v1/in/", "/v1/in/../in/generic", "/v1/in/generic%2f"] {
        server.client().post(path, &json!({"type": "a.b"})).problem(404);
    }
}

#[test]
fn with_tenants_a_missing_or_unknown_one_is_refused_and_each_sees_its_own() {
    let folder = Folder::and("tenants: [acme, globex]\n");
    let server = Server::start(&folder);
    server.event(&alert("A-1", 92)).problem(400);
    for (tenant, status) in [("acme", 202), ("globex", 202), ("initech", 400)] {
        let mut event = alert("A-1", 92);
        event["tenant"] = json!(tenant);
        assert_eq!(server.event(&event).status, status, "{tenant}");
    }
    // The same id in two tenants: which one must be said.
    server.client().get("/v1/alerts/A-1").problem(409);
    assert_eq!(server.client().get("/v1/alerts/A-1?tenant=acme").ok(200)["tenant"], "acme");
}
