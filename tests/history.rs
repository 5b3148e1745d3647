//! The history: one gap-free sequence, listings over it, figures.

use serde_json::json;

use crate::support::sample::{alert, desk, run_id};
use crate::support::{Folder, Receiver, Server};

#[test]
fn the_audit_trail_is_one_sequence_without_gaps_over_kills() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    for round in 0..3 {
        let server = Server::start(&folder);
        let answer = server.accepted(&alert(&format!("A-{round}"), 92));
        server.ended_run(&run_id(&answer, "tell"));
        server.kill();
    }
    let server = Server::start(&folder);
    let items = server.items("/v1/audit?limit=1000");
    let sequence: Vec<u64> = items.iter().map(|item| item["seq"].as_u64().unwrap()).collect();
    assert!(sequence.len() > 9, "{sequence:?}");
    for pair in sequence.windows(2) {
        assert_eq!(pair[0], pair[1] + 1, "newest first, without a gap: {sequence:?}");
    }
    assert_eq!(sequence.last(), Some(&1));
}

#[test]
fn the_history_of_a_run_tells_its_whole_course_in_order() {
    let receiver = Receiver::start();
    let server = Server::start(&desk(&receiver));
    let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
    let facts: Vec<&str> =
        run["history"].as_array().unwrap().iter().map(|fact| fact["fact"].as_str().unwrap()).collect();
    assert_eq!(facts, ["created", "started", "step_started", "attempted", "step_ended", "ended"]);
    let times: Vec<&str> =
        run["history"].as_array().unwrap().iter().map(|fact| fact["time"].as_str().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{times:?}");
    for key in ["started_at", "ended_at"] {
        let text = run[key].as_str().unwrap();
        assert!(text.len() == 24 && text.ends_with('Z'), "RFC 3339 in UTC with milliseconds: {text}");
    }
}

#[test]
fn runs_are_found_by_what_they_are_about() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.playbook(
        "note",
        "triggers:\n  - alert.created\nsteps:\n  - id: note\n    action: log\n    with: { message: hi }\n",
    );
    let server = Server::start(&folder);
    let one = server.accepted(&alert("A-1", 92));
    let two = server.accepted(&alert("A-2", 10));
    for (answer, playbook) in [(&one, "tell"), (&one, "note"), (&two, "note")] {
        server.ended_run(&run_id(answer, playbook));
    }
    let count = |query: &str| server.items(&format!("/v1/runs?{query}")).len();
    assert_eq!(count("playbook=tell"), 1);
    assert_eq!(count("playbook=note"), 2);
    assert_eq!(count("alert=A-1"), 2);
    assert_eq!(count(&format!("event={}", two["event_id"].as_str().unwrap())), 1);
    assert_eq!(count("destination=desk"), 1);
    assert_eq!(count("status=succeeded"), 3);
    assert_eq!(count("status=failed,running"), 0);
    assert_eq!(count("since=2099-01-01T00:00:00Z"), 0);
    assert_eq!(count("until=2099-01-01T00:00:00Z"), 3);
    assert_eq!(count("case=C-1"), 0);
    server.client().get("/v1/runs?status=green").problem(400);
    server.client().get("/v1/runs?since=yesterday").problem(400);
    server.client().get("/v1/runs/nonsense").problem(404);
    server.client().get("/v1/runs/run-99999999-0-abcdef").problem(404);
}

#[test]
fn metrics_count_what_happened_and_no_name_of_an_event_is_a_label() {
    let receiver = Receiver::start();
    let server = Server::start(&desk(&receiver));
    for n in 0..20 {
        server.accepted(&json!({"type": format!("kind.number_{n}"), "data": {}}));
    }
    server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
    let text = server.client().get("/metrics").expect(200).text();
    assert!(text.lines().any(|line| line.starts_with("sortie_") && !line.starts_with('#')), "{text}");
    assert!(!text.contains("number_7"), "the number of labels must not depend on what comes in");
}

#[test]
fn the_documented_routes_are_the_real_ones() {
    let server = Server::start(&Folder::new());
    let document = server.client().get("/openapi.json").ok(200);
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 25, "{:?}", paths.keys());
    for (path, methods) in paths {
        let real = path.replace("{source}", "generic").replace(['{', '}'], "");
        for method in ["GET", "POST", "PATCH", "DELETE", "PUT"] {
            let answer = server.client().request(method, &real, &[], b"");
            let documented = methods.get(method.to_lowercase()).is_some();
            // What is documented is something else than an unknown method, and the other way round. (A path that does not
            // know a method at all says 405.)
            assert_eq!(documented, answer.status != 405, "{method} {path}: {}", answer.text());
            if documented && answer.status == 404 {
                let code = answer.json()["code"].clone();
                assert_ne!(answer.json()["detail"], "no page and no route has this address", "{method} {path} {code}");
            }
        }
    }
    for known in ["/v1/in/{source}", "/v1/runs/{id}/retry", "/v1/cases/{id}/history", "/v1/audit", "/metrics"] {
        assert!(paths.contains_key(known), "{known}");
    }
}

#[test]
fn health_needs_no_token_and_says_nothing_else() {
    let server = Server::start(&Folder::new());
    for path in ["/healthz", "/readyz"] {
        server.client().anonymous().get(path).expect(200);
    }
}
