//! Exabeam Threat Center's message.

use serde_json::json;

use crate::outbound::destination::TimeFormat;
use crate::payload::threat_details;

use super::*;

#[test]
fn a_cases_message_becomes_a_snapshot_of_the_case() {
    let body = json!({
        "last_update_time": 1_743_728_988_934_673_i64, "case_id": "c-77", "case_number": 1042, "alert_name": "Impossible travel",
        "threat_summary": "2 detections", "tags": ["vip"], "mitres": ["T1078"], "use_cases": ["Compromised Credentials"],
        "users": ["alice"], "endpoints": ["ws-17"], "priority": "CRITICAL", "stage": "CLOSED", "queue": "Tier 1 Analyst",
        "assignee": "bob", "detections": [{"detection_id": 9, "approx_log_time": "1743728988934673", "triggered_rules": "a, b"}],
        "case_closed_reason": "Low Risk", "case_close_supporting_reason": "known test",
        "alert_created_time": "2026-11-22T07:00:00Z", "case_created_time": "2026-11-22T08:00:00+01:00",
        "case_closed_time": "2026-11-22 10:00:00", "risk_score": "92",
    });
    let event = Request { zone: "Europe/Stockholm", ..to("exabeam") }.event(body.to_string());
    assert_eq!(event.warnings, [""; 0]);
    assert_eq!(
        (event.kind.as_str(), event.first_sight_creates, &event.own_id, &event.replay),
        ("case.updated", true, &None, &None)
    );
    assert_eq!(event.time.to_string(), "2025-04-04T01:09:48.934673Z");
    assert_eq!(event.subject.as_ref().unwrap().id, "c-77");
    assert_eq!(
        fields(&event),
        json!({
            "last_update_time": "2025-04-04T01:09:48.934673Z", "id": "c-77", "number": "1042", "name": "Impossible travel",
            "threat_summary": "2 detections", "tags": ["vip"], "mitres": ["T1078"], "use_cases": ["Compromised Credentials"],
            "users": ["alice"], "endpoints": ["ws-17"], "priority": "critical", "stage": "Closed", "queue": "Tier 1 Analyst",
            "assignee": "bob", "detections": [{"id": "9", "approx_log_time": "2025-04-04T01:09:48.934673Z", "rules": ["a", "b"]}],
            "closed_reason": "Low Risk", "close_supporting_reason": "known test",
            "alert_created_time": "2026-11-22T07:00:00.000Z", "created_time": "2026-11-22T07:00:00.000Z",
            "closed_time": "2026-11-22T09:00:00.000Z", "risk_score": 92,
        })
    );
}

#[test]
fn an_alerts_message_becomes_a_snapshot_of_the_alert() {
    let body = json!({"alert_id": 5, "case_id": "", "alert_name": "x", "alert_created_time": "2026-11-22T07:00:00Z", "stage": "", "queue": null});
    let event = to("exabeam").event(body.to_string());
    assert_eq!((event.kind.as_str(), event.time), ("alert.updated", NOW));
    assert_eq!(fields(&event), json!({"id": "5", "name": "x", "created_time": "2026-11-22T07:00:00.000Z"}));
    assert_eq!(event.warnings, [""; 0]);
}

#[test]
fn a_message_with_both_ids_is_about_the_case() {
    let event = to("exabeam").event(r#"{"alert_id": "A", "case_id": "C"}"#);
    assert_eq!(event.kind, "case.updated");
    assert_eq!(fields(&event), json!({"id": "C", "alert_id": "A"}));
}

#[test]
fn a_message_with_neither_id_is_kept_as_unreadable() {
    for body in [
        r#"{"alert_name": "x"}"#,
        r#"{"case_id": null, "alert_id": " "}"#,
        r#"{"case_id": {"a": 1}}"#,
        r#"{"case_id": 1.5}"#,
    ] {
        let incoming = to("exabeam").one(body).unwrap();
        assert_eq!((incoming.event.kind.as_str(), &incoming.event.subject), ("exabeam.unreadable", &None), "{body}");
        assert_eq!(incoming.raw, Raw::Json(Bytes::from(body)));
    }
    let event = to("exabeam").event("{}");
    assert_eq!(event.data, json!({"code": "invalid_event", "reason": "neither `case_id` nor `alert_id` is given"}));
}

#[test]
fn lists_may_be_text_with_commas_or_objects() {
    let body = json!({
        "case_id": "C", "tags": "vip, , night", "users": "", "use_cases": [{"name": "Malware"}, null], "endpoints": null,
        "mitres": [{"tactic": "Initial Access", "tacticKey": "TA0001", "technique": "Valid Accounts", "techniqueKey": "T1078"}, "T1110"],
    });
    let event = to("exabeam").event(body.to_string());
    assert_eq!(
        fields(&event),
        json!({"id": "C", "tags": ["vip", "night"], "users": [], "use_cases": ["Malware"], "endpoints": null, "mitres": ["TA0001", "T1078", "T1110"]})
    );
    assert!(event.warnings.is_empty());
}

#[test]
fn empty_text_means_nothing_but_in_a_list_means_none() {
    let body =
        json!({"case_id": "C", "assignee": "", "priority": "", "case_closed_time": "", "detections": "", "tags": " "});
    let event = to("exabeam").event(body.to_string());
    assert_eq!(
        fields(&event),
        json!({"id": "C", "assignee": null, "priority": null, "closed_time": null, "detections": [], "tags": []})
    );
    assert!(event.warnings.is_empty());
}

#[test]
fn what_is_odd_is_a_warning_and_never_a_refusal() {
    let body = json!({
        "case_id": "C", "stage": "Triage", "priority": "URGENT", "last_update_time": "soon", "tags": 5, "name": "n", "alert_name": "a",
        "id": 9, "region": "eu", "extra": {"a": 1},
    });
    let event = to("exabeam").event(body.to_string());
    assert_eq!(
        fields(&event),
        json!({"id": "C", "stage": "Triage", "priority": "URGENT", "name": "a", "extra": {"a": 1, "region": "eu"}})
    );
    assert_eq!(event.time, NOW);
    assert_eq!(event.warnings.len(), 7, "{:#?}", event.warnings);
    assert!(event.warnings.contains(&"unknown key `region` is kept as `case.extra.region`".to_owned()));
}

#[test]
fn what_sortie_sends_about_a_case_is_read_back_as_the_same_case() {
    let sent = json!({
        "id": "C-1", "number": "1042", "name": "Impossible travel", "priority": "critical", "stage": "Closed", "queue": "Tier 1",
        "assignee": "bob", "tags": ["vip"], "mitres": ["T1078"], "use_cases": ["Malware"], "users": ["alice"], "endpoints": ["ws-17"],
        "closed_reason": "Low Risk", "close_supporting_reason": "a test", "alert_created_time": "2026-11-22T07:00:00.000Z",
        "created_time": "2026-11-22T08:00:00.000Z", "closed_time": "2026-11-22T09:00:00.000Z", "last_update_time": "2026-11-22T09:00:00.000Z",
        "detections": [{"id": "D-1", "type": "analytics", "use_case": "Malware", "rules": ["a"], "approx_log_time": "2026-11-22T06:00:00.000001Z",
                        "description": "d", "src_users": ["alice"], "dest_users": [], "src_ips": [], "dest_ips": [], "src_hosts": [], "dest_hosts": []}],
    });
    let Value::Object(record) = sent.clone() else { unreachable!() };
    let object = model::Object { record: record.into(), meta: model::object::Meta::default() };
    for format in [TimeFormat::Rfc3339, TimeFormat::EpochMicros] {
        let message = threat_details(Kind::Case, &object, "Closed", format);
        let event = to("exabeam").event(message.to_string());
        let mut read = fields(&event);
        assert_eq!(event.warnings, [""; 0]);
        // The summary is written anew for each message.
        read.as_object_mut().unwrap().remove("threat_summary");
        assert_eq!(read, sent);
    }
}

#[test]
fn the_score_is_read_out_of_the_summary_when_the_message_says_none_itself() {
    let score = |summary: &str| {
        let event = to("exabeam").event(json!({ "alert_id": "A-1", "threat_summary": summary }).to_string());
        fields(&event).get("risk_score").cloned()
    };
    for (summary, told) in [
        (
            "3 related detections; triggered rules: Geo velocity; users: alice; risk score: 92; grouped by User: alice",
            Some(92.0),
        ),
        ("Detections: 2\nTriggered rules: risk score 7 rule\nRisk Score: 130.5\nGrouped by: Src Ip", Some(130.5)),
        ("The risk score is 85. Grouped by the source address.", Some(85.0)),
        ("- risk_score = 40", Some(40.0)),
        ("users: risk score; risk score: 12", Some(12.0)),
        ("2 detections, Score: 55", Some(55.0)),
        ("2 detections", None),
        ("risk score: unknown", None),
        ("risk score: 99999999999999999999", None),
        ("", None),
    ] {
        assert_eq!(score(summary).and_then(|score| score.as_f64()), told, "{summary}");
    }
    let both = to("exabeam").event(r#"{"alert_id": "A", "risk_score": 5, "threat_summary": "risk score: 9"}"#);
    assert_eq!(fields(&both)["risk_score"], 5, "what the message says itself counts");
}
