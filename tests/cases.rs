//! Alerts and cases as people work on them: reading, changing, commenting, listing.

use serde_json::json;

use crate::support::sample::{alert, case, verdict};
use crate::support::{Folder, Server};

fn opened(lines: &str) -> (Folder, Server) {
    let folder = Folder::and(lines);
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New", "priority": "high", "tags": ["a"]})));
    (folder, server)
}

#[test]
fn a_person_changes_fields_and_the_history_says_who_and_what() {
    let (_folder, server) = opened("");
    let changed =
        server.client().patch("/v1/cases/C-1", &json!({"stage": "investigation", "tags": ["a", "b"]})).ok(200);
    assert_eq!((&changed["stage"], &changed["tags"]), (&json!("Investigation"), &json!(["a", "b"])));
    let history = server.client().get("/v1/cases/C-1/history").ok(200);
    let newest = &history["items"][0];
    assert!(newest["actor"].as_str().unwrap().contains("admin"), "{history:#}");
    let text = newest.to_string();
    assert!(text.contains("New") && text.contains("Investigation"), "from and to stand in it: {text}");
}

#[test]
fn a_change_by_a_person_is_a_transition_that_playbooks_hear() {
    let folder = Folder::new();
    folder.playbook("moved", "triggers:\n  - case.stage_changed: { from: New, to: Investigation }\nsteps:\n  - id: tag\n    action: case.add_tags\n    with: { tags: [moved] }\n");
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    server.client().patch("/v1/cases/C-1", &json!({"stage": "Investigation"})).ok(200);
    crate::support::eventually("the playbook has run", || {
        (server.client().get("/v1/cases/C-1").ok(200)["tags"] == json!(["moved"])).then_some(())
    });
}

#[test]
fn what_cannot_be_is_refused_by_name_and_changes_nothing() {
    let (_folder, server) = opened("");
    let patch = |body: serde_json::Value| server.client().patch("/v1/cases/C-1", &body);
    for (body, named) in [
        (json!({"stage": "Somewhere"}), "Somewhere"),
        (json!({"priority": 7}), "priority"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let answer = patch(body);
        answer.problem(400);
        assert!(answer.text().contains(named), "{named}: {}", answer.text());
    }
    server.client().request("PATCH", "/v1/cases/C-1", &[], b"[1]").problem(400);
    assert_eq!(server.client().get("/v1/cases/C-1").ok(200)["stage"], "New");
    server.client().patch("/v1/cases/C-404", &json!({"stage": "New"})).problem(404);
}

#[test]
fn a_field_that_a_person_changed_is_not_undone_by_the_same_snapshot() {
    let (_folder, server) = opened("");
    server.client().patch("/v1/cases/C-1", &json!({"priority": "low"})).ok(200);
    server.accepted(&case("case.updated", json!({"id": "C-1", "stage": "New", "priority": "high", "name": "n"})));
    let kept = server.client().get("/v1/cases/C-1").ok(200);
    assert_eq!((&kept["priority"], &kept["name"]), (&json!("low"), &json!("n")));
    server.accepted(&case("case.updated", json!({"id": "C-1", "priority": "critical"})));
    assert_eq!(
        server.client().get("/v1/cases/C-1").ok(200)["priority"],
        "critical",
        "a new value of the source counts"
    );
}

#[test]
fn a_comment_stands_in_the_history_and_not_in_the_fields() {
    let (_folder, server) = opened("");
    let answer = server.client().post("/v1/cases/C-1/comments", &json!({"text": "looked at it"}));
    assert!([200, 201].contains(&answer.status), "{}", answer.text());
    server.client().post("/v1/cases/C-1/comments", &json!({"text": ""})).problem(400);
    server.client().post("/v1/cases/C-404/comments", &json!({"text": "x"})).problem(404);
    let history = server.client().get("/v1/cases/C-1/history").ok(200);
    assert!(history["items"][0].to_string().contains("looked at it"), "{history:#}");
}

#[test]
fn a_closed_case_keeps_its_reason_until_it_is_opened_again() {
    let (_folder, server) = opened("");
    let close = json!({"stage": "Closed", "closed_reason": "Other", "close_supporting_reason": "a test"});
    let closed = server.client().patch("/v1/cases/C-1", &close).ok(200);
    assert_eq!((&closed["closed_reason"], &closed["close_supporting_reason"]), (&json!("Other"), &json!("a test")));
    assert!(closed["closed_time"].is_string());
}

#[test]
fn listings_are_paged_newest_first_and_filtered() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for n in 0..25 {
        server.accepted(&alert(&format!("A-{n}"), n));
    }
    let mut seen = Vec::new();
    let mut path = "/v1/alerts?limit=10".to_owned();
    loop {
        let page = server.client().get(&path).ok(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 10);
        seen.extend(items.iter().map(|item| item["alert_id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/alerts?limit=10&cursor={cursor}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).rev().map(|n| format!("A-{n}")).collect();
    assert_eq!(seen, expected);
    server.client().get("/v1/alerts?limit=1001").problem(400);
    server.client().get("/v1/alerts?limit=0").problem(400);
    server.client().get("/v1/alerts?cursor=nonsense").problem(400);
    server.client().get("/v1/alerts?colour=red").problem(400);
}

#[test]
fn a_key_of_a_query_that_stands_twice_or_is_hidden_is_refused() {
    let (_folder, server) = opened("");
    for path in ["/v1/runs?limit=1&limit=2", "/v1/runs?token_hash__gt=a", "/v1/events?order_by=raw", "/v1/audit?%00=1"]
    {
        server.client().get(path).problem(400);
    }
}

#[test]
fn a_playbook_is_switched_off_and_on_over_restarts_and_reloads() {
    let folder = Folder::new();
    folder.playbook(
        "note",
        "triggers:\n  - alert.created\nsteps:\n  - id: note\n    action: log\n    with: { message: hi }\n",
    );
    let server = Server::start(&folder);
    server.client().post("/v1/playbooks/note/disable", &json!({})).expect(200);
    assert_eq!(verdict(&server.accepted(&alert("A-1", 1)), "note"), "disabled");
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(verdict(&server.accepted(&alert("A-2", 1)), "note"), "disabled");
    server.client().post("/v1/playbooks/note/enable", &json!({})).expect(200);
    assert_eq!(verdict(&server.accepted(&alert("A-3", 1)), "note"), "matched");
    server.client().post("/v1/playbooks/nobody/enable", &json!({})).problem(404);
}
