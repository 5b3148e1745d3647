//! Alerts and cases by query and order, saved and recent searches, figures.

use serde_json::{Value, json};

use crate::support::command::sortie;
use crate::support::sample::case;
use crate::support::{Folder, Server};

fn filled() -> (Folder, Server) {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for (id, priority, stage, score, name) in [
        ("C-1", "critical", "New", 95, "Impossible travel of alice"),
        ("C-2", "critical", "Closed", 91, "Impossible travel of bob"),
        ("C-3", "low", "Investigation", 20, "Odd port"),
        ("C-4", "high", "New", 85, "Malware on ws-17"),
    ] {
        let fields = json!({"id": id, "priority": priority, "stage": stage, "risk_score": score, "name": name});
        server.accepted(&case("case.created", fields));
    }
    (folder, server)
}

/// The ids that a query finds, in order; `query` is a query string that is encoded already.
fn ids(server: &Server, query: &str) -> Vec<String> {
    let items = server.all_items(&format!("/v1/cases?{query}"));
    items.iter().map(|item| item["case_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn queries_find_by_fields_words_and_their_connections() {
    let (_folder, server) = filled();
    assert_eq!(ids(&server, "q=priority:critical%20AND%20NOT%20stage:Closed"), ["C-1"]);
    assert_eq!(ids(&server, "q=%22impossible%20travel%22%20-bob"), ["C-1"]);
    assert_eq!(
        ids(&server, "q=(stage:new%20OR%20stage:investigation)%20risk_score%3C90&sort=risk_score"),
        ["C-3", "C-4"]
    );
    assert_eq!(ids(&server, "q=priority%3E%3Dhigh&sort=-priority,id"), ["C-1", "C-2", "C-4"]);
    assert_eq!(ids(&server, "q=malware&stage=New"), ["C-4"], "filters hold beside the query");
    assert!(ids(&server, "q=nowhere").is_empty());
    server.client().patch("/v1/cases/C-3", &json!({"priority": "critical"})).ok(200);
    assert_eq!(ids(&server, "q=priority:critical"), ["C-3", "C-2", "C-1"], "what was changed last is in front");
}

#[test]
fn orders_go_on_over_pages_and_what_is_absent_comes_last() {
    let (_folder, server) = filled();
    server.accepted(&case("case.created", json!({"id": "C-5", "stage": "New"})));
    assert_eq!(ids(&server, "sort=-risk_score&limit=2"), ["C-1", "C-2", "C-4", "C-3", "C-5"]);
    assert_eq!(ids(&server, "sort=stage,-risk_score&limit=1"), ["C-1", "C-4", "C-5", "C-3", "C-2"]);
}

#[test]
fn a_query_that_cannot_be_read_is_answered_with_its_place() {
    let (folder, server) = filled();
    let answer = server.client().get("/v1/cases?q=tags:vip%20AND%20colour:red");
    assert_eq!(answer.problem(400), "invalid_query");
    assert_eq!(answer.json()["at"]["column"], 14, "{}", answer.text());
    server.client().get("/v1/alerts?sort=stage").problem(400);
    server.client().get("/v1/cases?sort=risk_score&cursor=AAAA").problem(400);
    let said = sortie(&folder, &["cases", "list", "--q", "(travel"]).expect(6);
    assert!(said.stderr.contains("character 1"), "{}", said.stderr);
}

#[test]
fn searches_are_saved_asked_again_and_remembered_over_a_restart() {
    let (folder, server) = filled();
    let wish = json!({"name": "open critical", "about": "cases", "q": "priority:critical NOT stage:Closed", "sort": "-risk_score"});
    assert_eq!(server.client().post("/v1/searches", &wish).ok(201)["by"], "admin");
    server.client().post("/v1/searches", &json!({"name": "x", "about": "cases", "q": "(("})).problem(400);
    assert_eq!(ids(&server, "q=travel").len(), 2);
    server.stop();
    let server = Server::start(&folder);
    assert_eq!(ids(&server, "search=open%20critical"), ["C-1"]);
    let all = server.client().get("/v1/searches").ok(200);
    assert_eq!(all["items"][0]["name"], "open critical");
    let recent: Vec<&Value> = all["recent"].as_array().unwrap().iter().map(|one| &one["q"]).collect();
    assert_eq!(recent, ["priority:critical NOT stage:Closed", "travel"], "{all:#}");
    server.client().get("/v1/alerts?search=open%20critical").problem(400);
    server.client().get("/v1/cases?search=nothing").problem(404);
    let listed = sortie(&folder, &["cases", "list", "--search", "open critical", "--json"]).expect(0).json();
    assert_eq!(listed["items"][0]["case_id"], "C-1");
    sortie(&folder, &["searches", "save", "low", "--q", "priority:low"]).expect(0);
    sortie(&folder, &["searches", "delete", "open critical"]).expect(0);
    let left = sortie(&folder, &["searches", "list", "--json"]).expect(0).json();
    assert_eq!((left["items"].as_array().unwrap().len(), &left["items"][0]["name"]), (1, &json!("low")));
}

#[test]
fn a_token_of_one_tenant_finds_and_counts_its_own_only() {
    let folder = Folder::and("tenants: [acme, globex]\n");
    let server = Server::start(&folder);
    for (id, tenant) in [("C-1", "acme"), ("C-2", "globex"), ("C-3", "globex")] {
        let mut event = case("case.created", json!({"id": id, "stage": "New", "name": "travel"}));
        event["tenant"] = json!(tenant);
        server.accepted(&event);
    }
    let made = server.client().post("/v1/tokens", &json!({"name": "eve", "role": "viewer", "tenant": "acme"})).ok(201);
    let eve = server.client().with_token(made["token"].as_str().unwrap());
    let found = eve.get("/v1/cases?q=travel").ok(200);
    assert_eq!((found["items"].as_array().unwrap().len(), &found["items"][0]["case_id"]), (1, &json!("C-1")));
    assert_eq!(eve.get("/v1/stats").ok(200)["cases"]["open"], 1);
    assert_eq!(server.client().get("/v1/stats").ok(200)["cases"]["open"], 3);
    eve.get("/v1/stats?tenant=globex").problem(404);
    server.client().post("/v1/searches", &json!({"name": "all", "about": "cases", "q": "travel"})).ok(201);
    eve.post("/v1/searches", &json!({"name": "mine", "about": "cases", "q": "travel"})).ok(201);
    assert_eq!(eve.get("/v1/cases?search=all").ok(200)["items"].as_array().unwrap().len(), 1, "its own cases");
}

#[test]
fn figures_tell_what_is_open_how_old_it_is_and_how_long_closing_takes() {
    let (folder, server) = filled();
    let ten_minutes = json!({"id": "C-9", "stage": "Closed", "created_time": "2026-01-01T00:00:00Z", "closed_time": "2026-01-01T00:10:00Z", "closed_reason": "Low Risk"});
    server.accepted(&case("case.created", ten_minutes));
    server.accepted(&json!({"type": "alert.created", "alert": {"id": "A-1", "priority": "high"}}));
    let stats = server.client().get("/v1/stats").ok(200);
    let cases = &stats["cases"];
    assert_eq!(cases["by_stage"], json!({"New": 2, "Investigation": 1, "Remediation": 0, "Closed": 2}));
    assert_eq!((&cases["open"], &cases["closed"], &cases["total"]), (&json!(3), &json!(2), &json!(5)));
    assert_eq!(cases["open_by_priority"], json!({"critical": 1, "high": 1, "low": 1}));
    assert_eq!(cases["time_to_close_seconds"]["max"], 600);
    assert_eq!(cases["age_seconds"]["count"], 3);
    assert_eq!(cases["closed_by_reason"]["Low Risk"], 1);
    assert_eq!((&stats["alerts"]["by_priority"], &stats["complete"]), (&json!({"high": 1}), &json!(true)));
    let told = sortie(&folder, &["stats", "--json"]).expect(0).json();
    assert_eq!(told["cases"]["by_stage"], cases["by_stage"]);
    drop(server);
    let stopped = sortie(&folder, &["stats", "--json"]).expect(0).json();
    assert_eq!(stopped["cases"]["open"], 3, "a stopped server's data answers the same");
}
