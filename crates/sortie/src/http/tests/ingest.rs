//! Events in, as a sender sees it.

use super::Server;

const ALERT: &str = r#"{"type":"alert.created","id":"evt-1","alert":{"id":"A-1","name":"one"}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_accepted_once_and_a_repeat_gets_the_first_ones_id() {
    let server = Server::start().await;
    let first = server.event(ALERT).await;
    assert_eq!((first.status, &first.json()["duplicate"]), (202, &false.into()));
    let again = server.event(ALERT).await;
    assert_eq!((again.status, &again.json()["duplicate"]), (200, &true.into()));
    assert_eq!(again.json()["event_id"], first.json()["event_id"]);
    let other = server.event(r#"{"type":"alert.created","id":"evt-1","alert":{"id":"A-1","name":"two"}}"#).await;
    assert_eq!(other.code(), (409, "key_reused".to_owned()));
    let trail = server.get("/v1/audit?action=refused", &server.admin).await.json();
    assert_eq!(trail["items"][0]["detail"]["code"], "key_reused");
    let shown = server.get(&format!("/v1/events/{}", first.json()["event_id"].as_str().unwrap()), &server.admin).await;
    assert_eq!(shown.json()["raw"], serde_json::from_str::<serde_json::Value>(ALERT).unwrap());
    assert_eq!(server.get("/v1/alerts/A-1", &server.admin).await.json()["name"], "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_batch_each_element_stands_for_itself() {
    let server = Server::start().await;
    let mixed = server.event(&format!(r#"[{ALERT}, {{"type":"alert.created"}}, 7]"#)).await;
    assert_eq!(mixed.status, 202);
    let answers = mixed.json();
    assert_eq!(answers[0]["duplicate"], false);
    assert_eq!(answers[1]["error"]["code"], "invalid_event");
    assert_eq!(answers[2]["error"]["status"], 400);
    assert_eq!(server.event(&format!("[{ALERT}]")).await.status, 200, "all are repeats");
    assert_eq!(server.event(r#"[{"type":"alert.created"}]"#).await.status, 400, "none is accepted");
    assert_eq!(server.event("[1").await.code(), (400, "invalid_json".to_owned()));
    let lines = format!("{ALERT}\n{{\"type\":\"a.b\"}}\n{{\n");
    let reply =
        server.ask("POST", "/v1/in/generic", &[("content-type", "application/x-ndjson")], lines.as_bytes()).await;
    assert_eq!(reply.status, 202);
    let answers = reply.json();
    assert_eq!((&answers[0]["duplicate"], &answers[1]["duplicate"]), (&true.into(), &false.into()));
    assert_eq!(answers[2]["error"]["code"], "invalid_json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_the_mapping_and_keeps_nothing() {
    let server = Server::start().await;
    let json = [("content-type", "application/json")];
    let reply = server.ask("POST", "/v1/in/generic?dry_run=true", &json, ALERT.as_bytes()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["event"]["subject"]["id"], "A-1");
    assert_eq!(server.get("/v1/alerts/A-1", &server.admin).await.status, 404);
    assert_eq!(server.get("/v1/events", &server.admin).await.json()["items"], serde_json::json!([]));
    let unknown = server.ask("POST", "/v1/in/generic?dryrun=true", &json, ALERT.as_bytes()).await;
    assert!(unknown.json()["detail"].as_str().unwrap().contains("did you mean `dry_run`"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_sender_of_a_guarded_source_comes_in() {
    let server = Server::start().await;
    let post = async |token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        server.ask("POST", "/v1/in/guarded", &headers, ALERT.as_bytes()).await.status
    };
    assert_eq!(post(None).await, 401);
    assert_eq!(post(Some("wrong")).await, 401);
    assert_eq!(post(Some("open sesame")).await, 202);
    assert_eq!(post(Some(&server.admin)).await, 401, "a token of the API is no key to a source");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_event_is_accepted_with_its_own_signature_only() {
    let server = Server::start().await;
    let seconds = server.app.engine.store().now().millis() / 1000;
    let secret = [engine::outbound::Secret::new("whsec_c2VjcmV0")];
    let signature = engine::outbound::sign::standard(&secret, "msg-1", seconds, ALERT.as_bytes()).unwrap();
    let seconds = seconds.to_string();
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", "msg-1"),
        ("webhook-timestamp", seconds.as_str()),
        ("webhook-signature", signature.as_str()),
    ];
    assert_eq!(server.ask("POST", "/v1/in/signed", &headers[..1], ALERT.as_bytes()).await.status, 401);
    let changed = ALERT.replace("one", "two");
    assert_eq!(server.ask("POST", "/v1/in/signed", &headers, changed.as_bytes()).await.status, 401);
    assert_eq!(server.get("/v1/alerts/A-1", &server.admin).await.status, 404, "nothing of it was kept");
    assert_eq!(server.ask("POST", "/v1/in/signed", &headers, ALERT.as_bytes()).await.status, 202);
    assert_eq!(
        server.ask("POST", "/v1/in/signed", &headers, ALERT.as_bytes()).await.status,
        200,
        "a replay is a repeat"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_is_changed_commented_and_its_history_says_by_whom() {
    let server = Server::start().await;
    server.event(r#"{"type":"case.created","case":{"id":"C/1","stage":"new"}}"#).await;
    let bearer = format!("Bearer {}", server.admin);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let patch = async |body: &str| server.ask("PATCH", "/v1/cases/C%2F1", &headers, body.as_bytes()).await;
    let changed = patch(r#"{"stage":"INVESTIGATION","assignee":"alice"}"#).await;
    assert_eq!((changed.status, &changed.json()["stage"]), (200, &"Investigation".into()));
    let unknown = patch(r#"{"asignee":"bob"}"#).await;
    assert_eq!(unknown.code(), (400, "unknown_key".to_owned()));
    assert!(unknown.json()["detail"].as_str().unwrap().contains("did you mean `assignee`"));
    assert_eq!(patch(r#"{"stage":"nowhere"}"#).await.status, 400);
    let comment = server.post("/v1/cases/C%2F1/comments", &server.admin, r#"{"text":"seen"}"#).await;
    assert_eq!(comment.status, 201);
    let extra = server.post("/v1/cases/C%2F1/comments", &server.admin, r#"{"text":"x","by":"root"}"#).await;
    assert_eq!(extra.code(), (400, "invalid_body".to_owned()));
    assert!(extra.json()["detail"].as_str().unwrap().contains("`by`"));
    let first = server.get("/v1/cases/C%2F1/history?limit=1", &server.admin).await.json();
    assert_eq!((&first["items"][0]["comment"], &first["items"][0]["actor"]), (&"seen".into(), &"token:admin".into()));
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("/v1/cases/C%2F1/history?cursor={cursor}"), &server.admin).await.json();
    let types: Vec<_> = rest["items"].as_array().unwrap().iter().map(|i| i["type"].clone()).collect();
    assert_eq!(types, ["case.updated", "case.created"]);
    let listed = server.get("/v1/cases?stage=investigation", &server.admin).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/v1/cases?stage=new", &server.admin).await.json()["items"], serde_json::json!([]));
}
