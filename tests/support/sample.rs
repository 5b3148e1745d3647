//! Events and playbooks that many scenarios use.

use serde_json::{Value, json};

use super::{Folder, Receiver, Server, eventually};

/// Sends an alert of score 90 and more to `desk`, quickly tried again.
pub(crate) const TELL: &str = "\
triggers:
  - alert.created: { when: alert.risk_score >= 90 }
steps:
  - id: send
    action: webhook.send_threat_details
    with: { to: [desk] }
    retry: { max: 3, backoff: exponential, first: 100ms, cap: 1s }
";

/// A folder with the playbook `tell` ([`TELL`]) and the destination `desk` at this receiver.
pub(crate) fn desk(receiver: &Receiver) -> Folder {
    let folder = Folder::new();
    folder.destinations(receiver, &["desk"], "timeout: 5s");
    folder.playbook("tell", TELL);
    folder
}

/// The whole alert of the surface's example, with another id and score.
pub(crate) fn alert(id: &str, score: u64) -> Value {
    json!({"type": "alert.created", "alert": {
        "id": id, "name": "Impossible travel", "risk_score": score, "priority": "critical", "tags": ["vip"],
        "mitres": ["T1078"], "use_cases": ["Compromised Credentials"], "users": ["alice"], "endpoints": ["ws-17"],
        "created_time": "2026-11-22T07:59:58Z", "grouped_by": {"key": "User", "value": "alice"},
        "detections": [{
            "id": "D-1", "type": "analytics", "use_case": "Compromised Credentials", "rules": ["Geo velocity"],
            "approx_log_time": "2026-11-22T07:58:00Z", "description": "two countries in 5 minutes",
            "src_users": ["alice"], "dest_users": [], "src_ips": ["203.0.113.9"], "dest_ips": [],
            "src_hosts": ["ws-17"], "dest_hosts": []}]}})
}

/// An event about a case: its type, and the case's fields.
pub(crate) fn case(kind: &str, fields: Value) -> Value {
    json!({"type": kind, "case": fields})
}

/// The urgency of a host.
pub(crate) fn urgency(host: &str, score: f64) -> Value {
    json!({"type": "entity.score", "entity": {"kind": "host", "id": host, "name": host, "scores": {"urgency": score}}})
}

/// What was decided about a playbook in the answer to an event.
#[track_caller]
pub(crate) fn decision<'a>(answer: &'a Value, playbook: &str) -> &'a Value {
    let decisions = answer["decisions"].as_array().expect("decisions");
    let found = decisions.iter().find(|decision| decision["playbook"] == playbook);
    found.unwrap_or_else(|| panic!("no decision about {playbook}: {answer}"))
}

/// The verdict about a playbook in the answer to an event.
#[track_caller]
pub(crate) fn verdict<'a>(answer: &'a Value, playbook: &str) -> &'a str {
    decision(answer, playbook)["verdict"].as_str().expect("a verdict")
}

/// The run of a playbook that an event has started.
#[track_caller]
pub(crate) fn run_id(answer: &Value, playbook: &str) -> String {
    let decision = decision(answer, playbook);
    decision["run_id"].as_str().unwrap_or_else(|| panic!("no run: {decision}")).to_owned()
}

/// A step of a run.
#[track_caller]
pub(crate) fn step<'a>(run: &'a Value, path: &str) -> &'a Value {
    let steps = run["steps"].as_array().expect("steps");
    steps.iter().find(|step| step["path"] == path).unwrap_or_else(|| panic!("no step {path}: {run:#}"))
}

/// The names of an object's keys, in order.
#[track_caller]
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// A playbook that runs for each alert and sends nothing.
pub(crate) const NOTE: &str =
    "triggers: [alert.created]\nsteps:\n  - { id: note, action: log, with: { message: hi } }\n";

/// A folder with a server on which so many alerts were told in batches.
#[track_caller]
pub(crate) fn busy(folder: &Folder, alerts: usize) -> Server {
    folder.playbook("note", NOTE);
    let server = Server::start(folder);
    let all: Vec<usize> = (0..alerts).collect();
    for part in all.chunks(500) {
        let lines: String = part.iter().map(|n| format!("{}\n", alert(&format!("A-{n}"), 10))).collect();
        let headers = [("Content-Type", "application/x-ndjson")];
        server.client().anonymous().request("POST", "/v1/in/generic", &headers, lines.as_bytes()).expect(202);
    }
    eventually("all runs have ended", || {
        let status = server.client().get("/v1/status").ok(200);
        (status["runs_open"] == 0 && status["runs_ended"].as_u64() >= Some(alerts as u64)).then_some(())
    });
    server
}
