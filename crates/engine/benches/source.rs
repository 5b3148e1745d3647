//! How long the reading of one event takes, in microseconds: `cargo bench -p engine --bench source`.
//!
//! One 2 KB alert of the normalised shape and one of Exabeam's messages, each alone, and a batch of a hundred of them.

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use bytes::Bytes;
use engine::source::{Context, Limits, Source, read, shape};
use model::Time;
use model::record::Vocabulary;

/// Longest time of one event, in microseconds. Beyond it the bench fails.
const MICROS_MAX: f64 = 15.0;
const ROUNDS: u32 = 20_000;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let mut slow = false;
    let lone = alert();
    let batch = format!("[{}{lone}]", format!("{lone},").repeat(99));
    for (name, source, body, events) in [
        ("generic alert", "generic", lone.as_str(), 1),
        ("generic alert in a batch of 100", "generic", batch.as_str(), 100),
        ("exabeam case", "exabeam", case().as_str(), 1),
    ] {
        let micros = micros(source, body) / f64::from(events);
        slow |= micros > MICROS_MAX;
        writeln!(out, "{name}: {} bytes, {micros:.2} µs per event", body.len() / events as usize)?;
    }
    let measured = std::env::args().any(|argument| argument == "--bench");
    if slow && measured { Err(std::io::Error::other("an event took longer than 15 µs")) } else { Ok(()) }
}

/// The best of five rounds: what else runs on the machine only ever adds.
fn micros(name: &str, body: &str) -> f64 {
    let Some(shape) = shape(name, &playbook::Evaluator::uncounted()) else { return f64::INFINITY };
    let source = Source { name: name.to_owned(), timezone: "UTC".to_owned(), shape, tenants: None };
    let words = Vocabulary::default();
    let ctx = Context {
        words: &words,
        tenants: None,
        tenant: None,
        now: Time::from_millis(1_790_000_000_000),
        header_key: None,
        signed_key: None,
        content_type: Some("application/json"),
        headers: None,
        limits: Limits::default(),
    };
    let body = Bytes::copy_from_slice(body.as_bytes());
    let rounds = if body.len() > 10_000 { ROUNDS / 100 } else { ROUNDS };
    let round = |_| {
        let start = Instant::now();
        for _ in 0..rounds {
            let reading = read(&source, black_box(body.clone()), &ctx);
            assert!(reading.is_ok_and(|reading| black_box(reading).elements.iter().all(Result::is_ok)));
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
    };
    (0..5).map(round).fold(f64::INFINITY, f64::min)
}

fn detections(count: usize) -> String {
    let one = |n| {
        format!(
            r#"{{"id": "D-{n}", "type": "analytics", "use_case": "Compromised Credentials", "rules": ["Geo velocity", "First login from country"],
            "approx_log_time": "2026-11-22T07:58:00Z", "description": "two countries in 5 minutes, and a device that was not seen before",
            "src_users": ["alice"], "dest_users": [], "src_ips": ["203.0.113.9"], "dest_ips": ["198.51.100.7"], "src_hosts": ["ws-17"], "dest_hosts": []}}"#
        )
    };
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

fn alert() -> String {
    format!(
        r#"{{"type": "alert.created", "id": "evt-1", "time": "2026-11-22T08:00:00Z",
        "alert": {{"id": "A-1", "name": "Impossible travel", "description": "alice logged in from two countries within five minutes", "risk_score": 92,
        "priority": "critical", "tags": ["vip", "finance"], "mitres": ["T1078", "TA0001"], "use_cases": ["Compromised Credentials"], "users": ["alice"],
        "endpoints": ["ws-17"], "created_time": "2026-11-22T07:59:58Z", "last_update_time": "2026-11-22T07:59:59Z",
        "grouped_by": {{"key": "User", "value": "alice"}}, "detections": [{}]}}}}"#,
        detections(3)
    )
}

fn case() -> String {
    format!(
        r#"{{"last_update_time": 1743728988934673, "case_id": "c-77", "case_number": "1042", "alert_name": "Impossible travel",
        "threat_summary": "3 detections, rule Geo velocity, T1078, risk score 92, grouped by user alice", "tags": "vip, finance", "mitres": ["T1078", "TA0001"],
        "use_cases": ["Compromised Credentials"], "users": ["alice"], "endpoints": ["ws-17"], "priority": "CRITICAL", "stage": "NEW",
        "queue": "Tier 1 Analyst", "assignee": "bob", "alert_created_time": "2026-11-22T07:58:00Z", "case_created_time": "2026-11-22T07:59:00Z",
        "detections": [{}]}}"#,
        detections(3)
    )
}
