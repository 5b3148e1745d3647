//! Deliveries: the message, who is told what, retries, and what stays the same over them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::sample::{TELL, alert, case, desk, keys, run_id, step};
use crate::support::{Folder, Receiver, Reply, Server, eventually};

#[test]
fn the_message_about_an_alert_has_exactly_the_documented_keys() {
    let receiver = Receiver::start();
    let server = Server::start(&desk(&receiver));
    server.accepted(&alert("A-1", 92));
    let body = receiver.next().json();
    assert_eq!(
        keys(&body),
        [
            "alert_created_time",
            "alert_id",
            "alert_name",
            "detections",
            "endpoints",
            "last_update_time",
            "mitres",
            "priority",
            "tags",
            "threat_summary",
            "use_cases",
            "users",
        ]
    );
    assert_eq!(
        keys(&body["detections"][0]),
        [
            "approx_log_time",
            "description",
            "dest_hosts",
            "dest_ips",
            "dest_users",
            "detection_id",
            "rules",
            "src_hosts",
            "src_ips",
            "src_users",
            "type",
            "use_case",
        ]
    );
    assert_eq!(body["alert_created_time"], "2026-11-22T07:59:58.000Z", "RFC 3339 with milliseconds");
    let summary = body["threat_summary"].as_str().expect("text");
    for part in ["1 ", "Geo velocity", "T1078", "alice", "ws-17", "92", "User"] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
}

#[test]
fn the_message_about_a_case_has_its_closing_keys_once_it_is_closed() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "time_format: epoch_micros");
    folder.playbook("tell", &TELL.replace("alert.created: { when: alert.risk_score >= 90 }", "case.stage_changed"));
    let server = Server::start(&folder);
    server.accepted(&case(
        "case.created",
        json!({"id": "C-1", "number": 17, "stage": "New", "queue": "Tier 1 Analyst",
        "assignee": "alice", "name": "Odd logon", "created_time": "2025-04-04T01:09:48.934673Z"}),
    ));
    server.accepted(&case("case.updated", json!({"id": "C-1", "stage": "Investigation"})));
    let open = receiver.next().json();
    assert_eq!((&open["case_id"], &open["stage"]), (&json!("C-1"), &json!("Investigation")));
    assert_eq!((&open["queue"], &open["assignee"]), (&json!("Tier 1 Analyst"), &json!("alice")));
    assert_eq!(
        open["case_created_time"], 1_743_728_988_934_673_u64,
        "epoch microseconds where the destination says so"
    );
    assert_eq!((&open["tags"], &open["detections"]), (&json!([]), &json!([])), "empty lists are sent empty");
    for absent in ["alert_id", "case_closed_reason", "case_close_supporting_reason", "case_closed_time"] {
        assert!(open.get(absent).is_none(), "{absent} in {open}");
    }
    server.accepted(&case(
        "case.updated",
        json!({"id": "C-1", "stage": "Closed", "closed_reason": "Other",
        "close_supporting_reason": "a test"}),
    ));
    let closed = receiver.next().json();
    assert_eq!(
        (&closed["case_closed_reason"], &closed["case_close_supporting_reason"]),
        (&json!("Other"), &json!("a test"))
    );
    assert!(closed["case_closed_time"].is_u64(), "{closed}");
}

#[test]
fn a_server_error_is_tried_again_with_the_same_id_and_bytes_until_it_is_taken() {
    let receiver = Receiver::scripted(&[Reply::Status(500), Reply::Reset, Reply::Status(503)]);
    let server = Server::start(&desk(&receiver));
    let id = run_id(&server.accepted(&alert("A-1", 92)), "tell");
    let all: Vec<_> = (0..4).map(|_| receiver.next()).collect();
    assert!(all.iter().all(|one| one.id() == all[0].id()), "one webhook-id");
    assert!(all.iter().all(|one| one.body == all[0].body), "one body");
    let run = server.ended_run(&id);
    assert_eq!(run["status"], "succeeded");
    let statuses: Vec<&Value> =
        step(&run, "send")["attempts"].as_array().unwrap().iter().map(|a| &a["http_status"]).collect();
    assert_eq!(statuses, [&json!(500), &Value::Null, &json!(503), &json!(200)]);
    let delivery = &server.items("/v1/deliveries")[0];
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("delivered"), &json!(4)));
    assert_eq!(delivery["webhook_id"], all[0].id().as_str());
}

#[test]
fn three_retries_are_at_most_four_calls_and_then_it_has_failed_and_can_be_sent_again() {
    let receiver = Receiver::scripted(&vec![Reply::Status(500); 4]);
    let server = Server::start(&desk(&receiver));
    let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
    assert_eq!(run["status"], "failed");
    let calls = receiver.waiting();
    assert_eq!(calls.len(), 4);
    let failed = server.items("/v1/deliveries?status=failed");
    assert_eq!(failed.len(), 1);
    let id = failed[0]["delivery_id"].as_str().unwrap();
    let answer = server.client().post(&format!("/v1/deliveries/{id}/redeliver"), &json!({}));
    assert!([200, 202].contains(&answer.status), "{}", answer.text());
    assert_eq!(receiver.next().id(), calls[0].id(), "by hand it is the same webhook-id");
    eventually("it counts as delivered", || {
        (!server.items("/v1/deliveries?status=delivered").is_empty()).then_some(())
    });
}

#[test]
fn a_client_error_is_final() {
    for status in [400, 401, 404, 410, 422] {
        let receiver = Receiver::scripted(&[Reply::Status(status)]);
        let server = Server::start(&desk(&receiver));
        let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
        assert_eq!(run["status"], "failed", "{status}");
        assert_eq!(receiver.waiting().len(), 1, "{status}");
    }
}

#[test]
fn what_a_receiver_asks_for_with_retry_after_is_honoured() {
    let receiver = Receiver::scripted(&[Reply::With(429, vec![("Retry-After", "2".to_owned())])]);
    let server = Server::start(&desk(&receiver));
    server.accepted(&alert("A-1", 92));
    let (first, second) = (receiver.next(), receiver.next());
    assert!(second.at - first.at >= Duration::from_millis(1_900), "{:?}", second.at - first.at);
}

#[test]
fn a_hostile_retry_after_is_clamped() {
    let receiver = Receiver::scripted(&[Reply::With(503, vec![("Retry-After", "1000000000000".to_owned())])]);
    let server = Server::start(&desk(&receiver));
    server.accepted(&alert("A-1", 92));
    receiver.next();
    let delivery = eventually("the delivery waits", || server.items("/v1/deliveries?status=retrying").first().cloned());
    let wait = |name: &str| delivery[name].as_str().unwrap_or_else(|| panic!("{name} in {delivery}")).to_owned();
    // An hour at most: the date is at most the next one.
    let (last, next) = (wait("last_at"), wait("next_at"));
    assert_eq!(last.get(..8), next.get(..8), "{delivery}");
}

#[test]
fn a_receiver_that_hangs_costs_one_timeout_and_the_answer_that_was_not_read_is_unknown() {
    let receiver = Receiver::scripted(&[Reply::Hang]);
    let folder = desk(&receiver);
    folder.destinations(&receiver, &["desk"], "timeout: 1s");
    let server = Server::start(&folder);
    let id = run_id(&server.accepted(&alert("A-1", 92)), "tell");
    let (first, second) = (receiver.next(), receiver.next());
    assert_eq!(first.id(), second.id());
    assert!(second.at - first.at >= Duration::from_millis(900));
    assert_eq!(server.ended_run(&id)["status"], "succeeded");
}

#[test]
fn a_body_that_drips_or_floods_is_cut_at_the_deadline_or_the_cap() {
    for reply in [Reply::Drip, Reply::Flood] {
        let receiver = Receiver::scripted(std::slice::from_ref(&reply));
        let folder = desk(&receiver);
        folder.destinations(&receiver, &["desk"], "timeout: 1s, retry: { max: 0 }");
        folder.playbook("tell", &TELL.replace("max: 3", "max: 0"));
        let server = Server::start(&folder);
        let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
        // The status was read: whether the rest counts is the sender's choice; that it ends does not depend on it.
        let attempt = &step(&run, "send")["attempts"][0];
        assert_eq!(attempt["n"], 1, "{reply:?} {run:#}");
        assert!(server.resident_bytes() < 400_000_000, "{reply:?}");
    }
}

#[test]
fn a_redirect_is_not_followed_and_is_a_failure() {
    let elsewhere = Receiver::start();
    for status in [301, 302, 307, 308] {
        let receiver = Receiver::scripted(&[Reply::With(status, vec![("Location", elsewhere.url("/secret"))])]);
        let server = Server::start(&desk(&receiver));
        let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
        assert_eq!(run["status"], "failed", "{status}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn of_several_destinations_only_those_that_failed_are_tried_again() {
    let (good, bad) = (Receiver::start(), Receiver::scripted(&[Reply::Status(500)]));
    let folder = Folder::new();
    let a = crate::support::folder::destination("good", &good.url("/good"), "");
    let b = crate::support::folder::destination("bad", &bad.url("/bad"), "");
    folder.write("destinations.yaml", &format!("destinations:\n{a}{b}"));
    folder.playbook("tell", &TELL.replace("[desk]", "[good, bad]"));
    let server = Server::start(&folder);
    let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
    assert_eq!(run["status"], "succeeded");
    assert_eq!((good.waiting().len(), bad.waiting().len()), (1, 2));
    let named = step(&run, "send")["attempts"].as_array().unwrap().iter().all(|a| a["destination"].is_string());
    assert!(named, "{run:#}");
}

#[test]
fn a_destination_is_told_with_its_credentials_and_a_signature_that_verifies() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let keys = "auth: { header: X-Auth, value: \"${secret:DESK}\" }, sign: { standard_webhooks: \"${secret:SIGN}\" }";
    folder.destinations(&receiver, &["desk"], keys);
    let secret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";
    let environment = [("SORTIE_SECRET_DESK", "door-key-7"), ("SORTIE_SECRET_SIGN", secret)];
    let server = Server::start_with(&folder, &environment);
    server.accepted(&alert("A-1", 92));
    let request = receiver.next();
    assert_eq!(request.header("x-auth"), Some("door-key-7"));
    let (id, time) = (request.id(), request.header("webhook-timestamp").expect("a timestamp"));
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", &request.body].concat();
    let expected = format!("v1,{}", crate::support::sign::hmac_sha256_base64(b"secret-secret-secret-secret", &signed));
    assert_eq!(request.header("webhook-signature"), Some(expected.as_str()));
}

#[test]
fn a_sending_by_hand_goes_to_three_at_most_and_stands_in_the_history() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["a", "b", "c", "d"], "");
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    let send = |to: &[&str]| server.client().post("/v1/cases/C-1/send", &json!({"to": to}));
    send(&["a", "b", "c", "d"]).problem(400);
    send(&[]).problem(400);
    send(&["nobody"]).problem(404);
    assert_eq!(receiver.connections(), 0);
    let answer = send(&["a", "b", "c"]);
    assert!([200, 202].contains(&answer.status), "{}", answer.text());
    let mut paths: Vec<String> = (0..3).map(|_| receiver.next().path).collect();
    paths.sort();
    assert_eq!(paths, ["/a", "/b", "/c"]);
    let history = server.client().get("/v1/cases/C-1/history").ok(200).to_string();
    assert!(history.contains("\"a\"") && history.contains("admin"), "{history}");
    server.client().post("/v1/cases/C-404/send", &json!({"to": ["a"]})).problem(404);
}

#[test]
fn a_test_of_a_destination_says_what_went_wrong() {
    let receiver = Receiver::scripted(&[Reply::Status(200), Reply::Status(401)]);
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let test = || server.client().post("/v1/destinations/desk/test", &json!({})).ok(200);
    let good = test();
    assert_eq!((&good["ok"], &good["http_status"]), (&json!(true), &json!(200)));
    let bad = test();
    assert_eq!((&bad["ok"], &bad["http_status"]), (&json!(false), &json!(401)));
    assert!(bad["message"].as_str().is_some_and(|message| !message.is_empty()));
    server.client().post("/v1/destinations/nobody/test", &json!({})).problem(404);
}
