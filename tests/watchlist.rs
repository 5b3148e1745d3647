//! The watchlist: an event of a watched entity raises the priority, and shows why.

use serde_json::{Value, json};

use crate::support::{Answer, Folder, Server};

fn alert(id: &str, user: &str, priority: &str) -> Value {
    json!({"type": "alert.updated", "alert": {"id": id, "users": [user], "endpoints": ["ws-1"], "priority": priority}})
}

fn delete(server: &Server, entry: &str) -> Answer {
    server.client().request("DELETE", &format!("/v1/watchlist/{entry}"), &[], b"")
}

fn show(server: &Server, id: &str) -> Value {
    server.client().get(&format!("/v1/alerts/{id}")).ok(200)
}

#[test]
fn an_alert_of_a_watched_user_is_raised_and_says_why_and_a_person_has_the_last_word() {
    let folder = Folder::and("watchlist: [{ kind: user, id: Alice, reason: leaves the company }]\n");
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", "alice", "medium"));
    assert!(answer["warnings"].to_string().contains("leaves the company"), "{answer}");
    let shown = show(&server, "A-1");
    assert_eq!((&shown["priority"], &shown["watched"]), (&json!("high"), &json!(["user Alice (leaves the company)"])));
    let history = server.client().get("/v1/alerts/A-1/history").ok(200);
    assert!(history.to_string().contains("raised from medium to high"), "{history:#}");
    server.accepted(&alert("A-1", "alice", "medium"));
    assert_eq!(show(&server, "A-1")["priority"], "high", "the same said again raises nothing");
    server.accepted(&alert("A-1", "alice", "low"));
    assert_eq!(show(&server, "A-1")["priority"], "medium", "another value is raised anew");
    server.client().patch("/v1/alerts/A-1", &json!({"priority": "low"})).ok(200);
    server.accepted(&alert("A-1", "alice", "low"));
    assert_eq!(show(&server, "A-1")["priority"], "low");
    server.accepted(&alert("A-2", "bob", "medium"));
    assert_eq!((&show(&server, "A-2")["priority"], &show(&server, "A-2")["watched"]), (&json!("medium"), &Value::Null));
}

#[test]
fn entries_come_and_go_through_the_api_and_outlive_a_restart() {
    let folder = Folder::and("watchlist: [{ kind: user, id: root, reason: r }]\n");
    let server = Server::start(&folder);
    let wish = json!({"kind": "host", "id": "WS-1", "reason": "crown jewels", "priority": "critical"});
    assert_eq!(server.client().post("/v1/watchlist", &wish).ok(201)["added_by"], "admin");
    server.kill();
    let server = Server::start(&folder);
    let list = server.client().get("/v1/watchlist").ok(200);
    let from: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|item| &item["from"]).collect();
    assert_eq!(from, ["file", "api"], "{list:#}");
    server.accepted(&alert("A-1", "bob", "low"));
    assert_eq!(show(&server, "A-1")["priority"], "critical", "the entry asks for that one");
    delete(&server, "host/ws-1").expect(200);
    delete(&server, "host/ws-1").problem(404);
    delete(&server, "user/root").problem(409);
    server.accepted(&alert("A-2", "bob", "low"));
    assert_eq!(show(&server, "A-2")["priority"], "low");
    for wrong in
        [json!({"kind": "planet", "id": "x"}), json!({"kind": "user", "id": ""}), json!({"kind": "user", "idd": "x"})]
    {
        server.client().post("/v1/watchlist", &wrong).problem(400);
    }
    let trail = server.client().get("/v1/audit?actor=admin").ok(200);
    assert!(trail.to_string().contains("watchlist:host WS-1"), "{trail:#}");
}

#[test]
fn the_command_line_lists_adds_and_removes() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let run = |arguments: &[&str]| crate::support::command::sortie(&folder, arguments);
    run(&["watchlist", "add", "ip", "203.0.113.9", "--reason", "scanner"]).expect(0);
    let listed = run(&["watchlist", "list", "--json"]).expect(0);
    assert!(listed.stdout.contains("203.0.113.9"), "{}", listed.stdout);
    run(&["watchlist", "remove", "ip", "203.0.113.9"]).expect(0);
    assert_eq!(server.client().get("/v1/watchlist").ok(200)["items"], json!([]));
}
