//! Dry runs: what would happen is told, and nothing happens.

use serde_json::json;

use crate::support::sample::{alert, desk};
use crate::support::{Receiver, Server};

#[test]
fn a_dry_run_by_hand_says_what_would_be_sent_and_changed_and_leaves_no_trace() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.playbook(
        "by-hand",
        "triggers: [manual, alert.created: { when: alert.risk_score > 99 }]\nsteps:\n\
         \x20 - id: send\n    action: webhook.send_threat_details\n    with: { to: [desk] }\n\
         \x20 - id: tag\n    action: alert.add_tags\n    with: { tags: [sent] }\n",
    );
    let server = Server::start(&folder);
    server.accepted(&alert("A-1", 10));
    let client = server.client();
    let told = client.post("/v1/playbooks/by-hand/run", &json!({"alert": "A-1", "dry_run": true})).ok(200);
    assert_eq!(told["dry_run"], true);
    assert_eq!(told["runs"][0]["status"], "succeeded", "{told}");
    assert_eq!(told["would_send"][0]["destination"], "desk");
    assert_eq!(told["would_send"][0]["body"]["alert_id"], "A-1");
    assert_eq!(told["would_change"][0]["change"], "updated tags");
    assert_eq!(receiver.connections(), 0, "something was sent");
    assert_eq!(client.get("/v1/runs").ok(200)["items"], json!([]));
    assert_eq!(client.get("/v1/alerts/A-1").ok(200)["tags"], json!(["vip"]));
    let missing = client.post("/v1/playbooks/by-hand/run", &json!({"alert": "A-2", "dry_run": true}));
    assert_eq!(missing.status, 404);
}
