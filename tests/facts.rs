//! Every kind of fact is one entry of the history, and is found in the audit trail by whoever looks for it.

use serde_json::{Value, json};

use crate::support::command::{sortie, sortie_with_input};
use crate::support::sample::{TELL, alert, case, run_id};
use crate::support::{Folder, Receiver, Reply, Server, eventually};

/// The whole trail, as the command line lists it.
fn trail(folder: &Folder) -> Vec<Value> {
    let listed = sortie(folder, &["audit", "list", "--limit", "1000", "--json"]).expect(0).json();
    listed["items"].as_array().expect("items").clone()
}

#[track_caller]
fn expect(trail: &[Value], action: &str, object: &str) -> Value {
    let found = trail
        .iter()
        .find(|item| item["action"] == action && item["object"].as_str().is_some_and(|text| text.starts_with(object)));
    let all: Vec<String> = trail.iter().map(|item| format!("{} {}", item["action"], item["object"])).collect();
    let found = found.unwrap_or_else(|| panic!("no `{action}` about `{object}` in {all:#?}")).clone();
    for key in ["seq", "time", "actor", "kind"] {
        assert!(!found[key].is_null(), "{key}: {found}");
    }
    found
}

fn sign_in(server: &Server, password: &str) -> u16 {
    let body = format!("name=admin&password={}", password.trim());
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    server.client().anonymous().request("POST", "/sign-in", &headers, body.as_bytes()).status
}

#[test]
fn what_happens_to_events_runs_and_records_is_in_the_trail() {
    let receiver = Receiver::scripted(&[Reply::Status(500)]);
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "timeout: 5s");
    folder.playbook("tell", TELL);
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", 92));
    let run = run_id(&answer, "tell");
    server.ended_run(&run);
    server.accepted(&case("case.created", json!({ "id": "C-1", "stage": "New" })));
    server.client().patch("/v1/cases/C-1", &json!({ "priority": "high" })).expect(200);
    let commented = server.client().post("/v1/cases/C-1/comments", &json!({ "text": "seen" }));
    assert!([200, 201].contains(&commented.status), "{}", commented.text());
    server.client().get("/v1/cases/C-1").expect(200);
    server.client().get("/v1/alerts/A-1").expect(200);
    // Reads are written together, a little later.
    let reads = || trail(&folder).iter().filter(|item| item["kind"] == "object.read").count();
    eventually("the reads are recorded", || (reads() >= 2).then_some(()));
    let trail = trail(&folder);
    let accepted = expect(&trail, "alert.created", "alert:A-1");
    assert_eq!(accepted["actor"], "source:generic");
    let event = server.client().get(&format!("/v1/events/{}", answer["event_id"].as_str().unwrap())).ok(200);
    assert_eq!(event["decisions"][0]["playbook"], "tell", "the decision stands in the entry of its event");
    expect(&trail, "run.progressed", &run);
    let shown = server.client().get(&format!("/v1/runs/{run}")).ok(200);
    let attempts = shown["steps"][0]["attempts"].as_array().unwrap().len();
    assert_eq!(attempts, 2, "each try is recorded: {shown:#}");
    assert_eq!(expect(&trail, "case.updated", "case:C-1")["actor"], "token:admin");
    expect(&trail, "case.commented", "case:C-1");
    expect(&trail, "read", "case:C-1");
    expect(&trail, "read", "alert:A-1");
}

#[test]
fn what_people_change_read_take_away_and_are_refused_is_in_the_trail() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "");
    folder.playbook("tell", TELL);
    let server = Server::start(&folder);
    server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
    let made = json!({ "id": "siem", "kind": "webhook", "url": receiver.url("/siem") });
    server.client().post("/v1/destinations", &made).expect(201);
    sortie(&folder, &["destinations", "disable", "siem"]).expect(0);
    sortie(&folder, &["tokens", "create", "--name", "bob", "--role", "viewer"]).expect(0);
    sortie_with_input(&folder, &["secrets", "set", "DESK"], b"s3cret-value").expect(0);
    sortie(&folder, &["users", "create", "--name", "vera", "--role", "viewer"]).expect(0);
    sortie(&folder, &["playbooks", "disable", "tell"]).expect(0);
    sortie(&folder, &["pause", "--reason", "a drill"]).expect(0);
    sortie(&folder, &["resume"]).expect(0);
    sortie(&folder, &["audit", "hold", "place", "alert:A-1", "--reason", "claim 114"]).expect(0);
    sortie(&folder, &["audit", "key", "rotate"]).expect(0);
    assert_eq!(sign_in(&server, "wrong wrong wrong"), 401);
    assert_eq!(sign_in(&server, &std::fs::read_to_string(folder.data().join("admin.password")).unwrap()), 303);
    server.client().with_token("wrong").get("/v1/runs").problem(401);
    let out = folder.path().join("evidence.zip");
    sortie(&folder, &["audit", "export", "--out", out.to_str().unwrap()]).expect(0);
    sortie(&folder, &["runs", "list", "--csv"]).expect(0);
    let before = trail(&folder).iter().filter(|item| item["action"] == "files read").count();
    folder.playbook("more", "triggers: [manual]\nsteps:\n  - { id: say, action: log, with: { message: hi } }\n");
    eventually("the reload", || {
        (trail(&folder).iter().filter(|item| item["action"] == "files read").count() > before).then_some(())
    });
    let trail = trail(&folder);
    for (action, object) in [
        ("started", "server"),
        ("files read", "server"),
        ("playbooks.loaded", "playbooks"),
        ("signing key made", "ledger"),
        ("key of commitments made", "commitments"),
        ("playbook disabled", "playbook:tell"),
        ("hold placed", "alert:A-1"),
        ("signing key rotated", "ledger"),
        ("signed_in", "user:admin"),
        ("refused", "request:POST /sign-in"),
        ("refused", "request:GET /v1/runs"),
        ("evidence exported", "audit"),
        ("list exported", "list:runs"),
    ] {
        expect(&trail, action, object);
    }
    // Settings: whatever they are called, who changed what is there.
    for object in ["destination:siem", "token:bob", "secret:DESK", "user:vera"] {
        let found = trail.iter().find(|item| item["object"] == object);
        let found = found.unwrap_or_else(|| panic!("nothing about {object}"));
        assert_eq!((&found["kind"], &found["actor"]), (&json!("setting.changed"), &json!("token:admin")), "{found}");
    }
    assert!(trail.iter().any(|item| item["detail"]["reason"] == "a drill"), "the pause and why");
    assert!(!json!(trail).to_string().contains("s3cret-value"), "no secret in it");
}

#[test]
fn what_retention_drops_is_recorded_before_it_goes_and_the_rest_verifies() {
    let folder = Folder::and("retention: { days: 30, runs: 3, bytes: 1GB }\n");
    folder.playbook("log", "triggers: [alert.created]\nsteps:\n  - { id: say, action: log, with: { message: hi } }\n");
    let server = Server::start(&folder);
    let mut last = String::new();
    for n in 0..20 {
        last = run_id(&server.accepted(&alert(&format!("A-{n}"), 10)), "log");
        server.ended_run(&last);
    }
    server.stop();
    let server = Server::start(&folder);
    let first =
        |server: &Server| server.client().get("/v1/status").ok(200)["history_first_seq"].as_u64().unwrap_or_default();
    eventually("something is dropped", || (first(&server) > 1).then_some(()));
    let swept = eventually("the sweep is recorded", || {
        let items = server.items("/v1/audit?action=retention.swept");
        items.into_iter().find(|item| item["detail"]["runs"].as_u64().is_some_and(|runs| runs > 0))
    });
    let begun = server.items("/v1/audit?action=dropping%20begins");
    let begun = begun.iter().find(|item| item["seq"].as_u64() < swept["seq"].as_u64()).expect("recorded before");
    let (announced, dropped) = (&begun["detail"]["range"], &swept["detail"]["range"]);
    assert!(announced[0].as_u64() <= dropped[0].as_u64() && announced[1].as_u64() >= dropped[1].as_u64());
    server.client().get(&format!("/v1/runs/{last}")).expect(200);
    // Killed right now, nothing is missing that is not accounted for.
    server.kill();
    let report = sortie(&folder, &["audit", "verify", "--json"]).expect(0).json();
    assert!(report["dropped"].as_u64().unwrap() > 0, "{report:#}");
}
