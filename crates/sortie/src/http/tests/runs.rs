//! Runs as they are found and steered, over sled.

use serde_json::Value;

use super::Server;

const PLAYBOOK: &str = "\
playbook: look
triggers: [alert.created, manual]
steps:
  - id: say
    action: log
    with: { message: hello }
";

fn ids(listing: &Value) -> Vec<String> {
    let items = listing["items"].as_array().unwrap();
    items.iter().map(|item| item["run_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_every_beginning_are_found_from_what_they_are_about() {
    let server = Server::with_playbook(PLAYBOOK).await;
    server.event(r#"{"type":"case.created","case":{"id":"C-1","stage":"New"}}"#).await;
    let event = server.event(r#"{"type":"alert.created","alert":{"id":"A-1","case_id":"C-1"}}"#).await;
    let first = event.json()["decisions"][0]["run_id"].as_str().unwrap().to_owned();
    let by_hand = server.post("/v1/playbooks/look/run", &server.admin, r#"{"alert":"A-1"}"#).await;
    assert_eq!(by_hand.status, 202, "{by_hand:?}");
    let second = by_hand.json()["run_id"].as_str().unwrap().to_owned();
    let of_case = server.post("/v1/playbooks/look/run", &server.admin, r#"{"case":"C-1"}"#).await;
    let third = of_case.json()["run_id"].as_str().unwrap().to_owned();
    let about_alert = server.get("/v1/runs?alert=A-1", &server.admin).await.json();
    assert_eq!(ids(&about_alert), [second.clone(), first.clone()]);
    let about_case = ids(&server.get("/v1/runs?case=C-1", &server.admin).await.json());
    assert!(about_case.contains(&third) && about_case.contains(&first), "{about_case:?}");
    let history = server.get("/v1/alerts/A-1/history", &server.admin).await.json();
    assert_eq!(history["items"][0]["runs"], serde_json::json!([second]), "{history}");
    assert_eq!(history["items"][0]["actor"], "token:admin");
}
