//! What is sent in the demo, in order.

use engine::clock;
use serde_json::{Value, json};

/// The playbook whose run is shown in full.
pub(super) const STAR: &str = "notify-desk-about-critical-cases";

/// One event.
pub(super) struct Scene {
    /// What happens, for people.
    pub(super) title: &'static str,
    /// Which source it comes from.
    pub(super) source: &'static str,
    /// What is sent.
    pub(super) body: Value,
}

/// The events. The third moves a case from New to Investigation; the last two are a repeat and a score that crosses.
pub(super) fn scenes() -> Vec<Scene> {
    let now = clock::wall().to_string();
    let alert = json!({
        "type": "alert.created", "id": "demo-1", "time": now,
        "alert": {
            "id": "A-4711", "name": "Impossible travel", "risk_score": 92, "tags": ["vip"], "mitres": ["T1078"],
            "use_cases": ["Compromised Credentials"], "users": ["alice"], "endpoints": ["ws-17"],
            "grouped_by": {"key": "User", "value": "alice"},
            "detections": [detection()],
        },
    });
    vec![
        Scene { title: "an alert with a risk score of 92", source: "generic", body: alert.clone() },
        Scene { title: "Exabeam sends a critical case", source: "exabeam", body: case("NEW", &now) },
        Scene {
            title: "an analyst starts to investigate it",
            source: "exabeam",
            body: case("INVESTIGATION", &clock::wall().to_string()),
        },
        Scene { title: "a host's urgency rises to 83", source: "generic", body: urgency(&now, "demo-2", 83) },
        Scene { title: "and further, to 91", source: "generic", body: urgency(&now, "demo-3", 91) },
        Scene { title: "the first alert is delivered once more", source: "generic", body: alert },
    ]
}

fn detection() -> Value {
    json!({
        "id": "D-1", "type": "analytics", "use_case": "Compromised Credentials", "rules": ["Geo velocity"],
        "approx_log_time": "2026-11-22T07:58:00Z", "description": "two countries in five minutes",
        "src_users": ["alice"], "dest_users": [], "src_ips": ["203.0.113.9"], "dest_ips": [],
        "src_hosts": ["ws-17"], "dest_hosts": [],
    })
}

fn case(stage: &str, now: &str) -> Value {
    json!({
        "last_update_time": now, "case_id": "C-1042", "case_number": "1042", "alert_name": "Stolen session of alice",
        "threat_summary": "1 detection, rule Geo velocity, T1078, risk score 95",
        "tags": ["vip"], "mitres": ["T1078"], "use_cases": ["Compromised Credentials"], "users": ["alice"],
        "endpoints": ["ws-17"], "priority": "CRITICAL", "stage": stage, "queue": "Tier 1 Analyst", "assignee": "bob",
        "alert_created_time": "2026-11-22T07:58:00Z", "case_created_time": "2026-11-22T07:59:00Z",
        "detections": [detection()],
    })
}

fn urgency(now: &str, id: &str, score: u32) -> Value {
    json!({
        "type": "entity.score", "id": id, "time": now,
        "entity": { "kind": "host", "id": "ws-17", "name": "ws-17.example.com", "scores": { "urgency": score } },
    })
}
