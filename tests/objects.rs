//! What belongs to an alert or a case beside its fields: who read it, what was put to it, who was told.

use serde_json::{Value, json};

use crate::support::sample::{alert, case};
use crate::support::{Folder, Receiver, Server};

fn opened(lines: &str) -> (Folder, Server) {
    let folder = Folder::and(lines);
    let server = Server::start(&folder);
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New", "name": "Impossible travel"})));
    (folder, server)
}

fn history(server: &Server, path: &str) -> Vec<Value> {
    server.client().get(&format!("{path}/history")).ok(200)["items"].as_array().unwrap().clone()
}

#[test]
fn a_history_shows_people_automation_sources_and_who_read() {
    let folder = Folder::new();
    folder.playbook(
        "tagger",
        "triggers: [case.created]\nsteps:\n  - id: tag\n    action: case.add_tags\n    with: { tags: [seen] }\n",
    );
    let server = Server::start(&folder);
    let made = server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New"})));
    server.ended_run(&crate::support::sample::run_id(&made, "tagger"));
    server.client().patch("/v1/cases/C-1", &json!({"priority": "high"})).ok(200);
    let made = server.client().post("/v1/tokens", &json!({"name": "eve", "role": "viewer"})).ok(201);
    let eve = server.client().with_token(made["token"].as_str().unwrap());
    for _ in 0..5 {
        eve.get("/v1/cases/C-1").ok(200);
    }
    let items = history(&server, "/v1/cases/C-1");
    let of = |actor: &str| {
        items.iter().filter(|item| item["actor"].as_str().unwrap().starts_with(actor)).collect::<Vec<_>>()
    };
    assert_eq!(of("source:generic").len(), 1);
    assert_eq!(of("automation:tagger").len(), 1);
    assert_eq!(of("token:admin").iter().filter(|item| item["type"] == "case.updated").count(), 1);
    let reads = of("token:eve");
    assert!((1..=2).contains(&reads.len()), "once for each minute: {items:#?}");
    assert_eq!(reads[0]["type"], "read");
    let trail = server.client().get("/v1/audit?actor=eve&action=read&object=case:C-1").ok(200);
    assert_eq!(trail["items"][0]["kind"], "object.read", "{trail:#}");
    assert_eq!(server.all_items("/v1/cases?limit=50").len(), 1);
}

#[test]
fn what_was_read_before_a_clean_stop_is_recorded() {
    let (folder, server) = opened("");
    server.client().get("/v1/cases/C-1").ok(200);
    server.stop();
    let shown =
        crate::support::command::sortie(&folder, &["cases", "show", "C-1", "--history", "--json"]).expect(0).json();
    let reads = shown["history"].as_array().unwrap().iter().filter(|item| item["type"] == "read").count();
    assert!(reads >= 1, "{shown:#}");
}

#[test]
fn a_file_is_put_to_a_case_kept_over_a_crash_given_back_whole_and_taken_off() {
    let (folder, server) = opened("");
    let content: Vec<u8> = (0..1_234_567_u32).map(|n| (n % 251) as u8).collect();
    let put = |server: &Server, name: &str, content: &[u8]| {
        server.client().request(
            "POST",
            &format!("/v1/cases/C-1/attachments?name={name}"),
            &[("Content-Type", "text/html")],
            content,
        )
    };
    let made = put(&server, "mail%20of%20alice.html", &content).ok(201);
    assert_eq!((&made["name"], &made["bytes"]), (&json!("mail of alice.html"), &json!(1_234_567)));
    server.kill();
    let server = Server::start(&folder);
    let path = format!("/v1/cases/C-1/attachments/{}", made["attachment_id"].as_str().unwrap());
    let got = server.client().get(&path).expect(200);
    assert_eq!(got.body, content);
    assert_eq!(got.header("content-type"), Some("application/octet-stream"), "never as what it says it is");
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    assert!(got.header("content-disposition").unwrap().starts_with("attachment; filename*=UTF-8''mail%20of"));
    let items = history(&server, "/v1/cases/C-1");
    assert!(
        items
            .iter()
            .any(|item| item["type"] == "case.attached" && item["data"]["attachment"]["sha256"] == made["sha256"]),
        "{items:#?}"
    );
    assert_eq!(server.client().get("/v1/cases/C-1").ok(200)["attachments_count"], 1);
    server.client().request("DELETE", &path, &[], b"").expect(200);
    server.client().get(&path).problem(404);
    assert_eq!(server.client().get("/v1/cases/C-1/attachments").ok(200)["items"], json!([]));
    assert_eq!(history(&server, "/v1/cases/C-1").iter().filter(|item| item["type"] == "case.detached").count(), 1);
}

#[test]
fn attachments_are_bounded_named_and_of_their_tenant() {
    let folder = Folder::and("tenants: [acme, globex]\n");
    let server = Server::start(&folder);
    let mut event = case("case.created", json!({"id": "C-1"}));
    event["tenant"] = json!("acme");
    server.accepted(&event);
    let post = |query: &str, body: &[u8]| {
        server.client().request("POST", &format!("/v1/cases/C-1/attachments{query}"), &[], body)
    };
    for wrong in ["", "?name=", "?name=..%2Fpasswd", "?name=a%0Ab"] {
        post(wrong, b"x").problem(400);
    }
    post("?name=empty", b"").problem(400);
    post("?name=large", &vec![0; 10_000_001]).problem(413);
    let made = post("?name=a", b"secret of acme").ok(201);
    let token =
        server.client().post("/v1/tokens", &json!({"name": "eve", "role": "analyst", "tenant": "globex"})).ok(201);
    let eve = server.client().with_token(token["token"].as_str().unwrap());
    let path = format!("/v1/cases/C-1/attachments/{}", made["attachment_id"].as_str().unwrap());
    eve.get(&path).problem(404);
    eve.request("DELETE", &path, &[], b"").problem(404);
    let viewer = server.client().post("/v1/tokens", &json!({"name": "vic", "role": "viewer"})).ok(201);
    let viewer = server.client().with_token(viewer["token"].as_str().unwrap());
    assert_eq!(viewer.get(&path).expect(200).body, b"secret of acme");
    viewer.request("DELETE", &path, &[], b"").problem(403);
}

#[test]
fn people_are_told_when_a_case_is_created_assigned_queued_closed_and_reopened() {
    let receiver = Receiver::start();
    let folder = Folder::and(
        "notifications:\n  - { name: alices, on: [assigned], person: alice, to: desk }\n  - { name: life, on: [closed, reopened, created], when: 'case.priority == \"critical\"', to: [desk] }\n",
    );
    folder.destinations(&receiver, &["desk"], "");
    let server = Server::start(&folder);
    let made = json!({"name": "tier1", "on": ["queued"], "queue": "Tier 1", "to": ["desk"]});
    assert_eq!(server.client().post("/v1/notifications", &made).ok(201)["made_by"], "admin");
    server
        .client()
        .post("/v1/notifications", &json!({"name": "no", "on": ["created"], "to": ["nowhere"]}))
        .problem(400);
    let told = |by: &str| {
        let body = receiver.next().json();
        assert_eq!(body["notification"], by, "{body:#}");
        body
    };
    server.accepted(&case("case.created", json!({"id": "C-1", "stage": "New", "priority": "critical", "name": "Odd"})));
    assert_eq!(told("life")["case_id"], "C-1");
    let patch = |server: &Server, body: Value| server.client().patch("/v1/cases/C-1", &body).ok(200);
    patch(&server, json!({"assignee": "bob"}));
    patch(&server, json!({"assignee": "alice"}));
    assert_eq!(told("alices")["assignee"], "alice");
    patch(&server, json!({"queue": "Tier 1"}));
    told("tier1");
    patch(&server, json!({"stage": "Closed"}));
    assert_eq!(told("life")["stage"], "Closed");
    patch(&server, json!({"stage": "New"}));
    assert_eq!(told("life")["trigger"], "case.stage_changed");
    server.stop();
    let server = Server::start(&folder);
    let all = server.client().get("/v1/notifications").ok(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 3, "they outlive a restart: {all:#}");
    server.client().request("DELETE", "/v1/notifications/tier1", &[], b"").expect(200);
    server.client().request("DELETE", "/v1/notifications/life", &[], b"").problem(409);
    patch(&server, json!({"queue": "Tier 2"}));
    patch(&server, json!({"queue": "Tier 1"}));
    patch(&server, json!({"stage": "Closed"}));
    told("life");
    server.accepted(&alert("A-1", 1));
    assert!(receiver.waiting().is_empty(), "what was ended, and what was not asked for, tells nobody");
    let deliveries = server.client().get("/v1/deliveries?playbook=notify-life").ok(200);
    assert_eq!(deliveries["items"].as_array().unwrap().len(), 4, "each is a delivery like any other: {deliveries:#}");
}

#[test]
fn a_notification_for_a_tenant_that_is_not_there_is_refused() {
    let receiver = Receiver::start();
    let folder = Folder::and("tenants: [acme, globex]\n");
    folder.destinations(&receiver, &["desk"], "");
    let server = Server::start(&folder);
    let wish = |tenant: &str| json!({"name": "new-ones", "on": ["created"], "to": ["desk"], "tenant": tenant});
    assert_eq!(server.client().post("/v1/notifications", &wish("acmee")).problem(400), "unknown_tenant");
    assert_eq!(server.client().post("/v1/notifications", &wish("acme")).ok(201)["tenant"], "acme");
}
