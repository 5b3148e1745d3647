//! The normalised shape.

use serde_json::json;

use super::*;
use model::Actor;

const EXAMPLE: &str = r#"{"type": "alert.created", "id": "evt-1", "time": "2026-11-22T08:00:00Z", "tenant": "acme",
 "alert": {"id": "A-1", "name": "Impossible travel", "risk_score": 92, "priority": "critical", "tags": ["vip"], "mitres": ["T1078"],
           "use_cases": ["Compromised Credentials"], "users": ["alice"], "endpoints": ["ws-17"], "created_time": "2026-11-22T07:59:58Z",
           "grouped_by": {"key": "User", "value": "alice"},
           "detections": [{"id": "D-1", "type": "analytics", "use_case": "Compromised Credentials", "rules": ["Geo velocity"], "approx_log_time": "2026-11-22T07:58:00Z",
                           "description": "two countries in 5 minutes", "src_users": ["alice"], "dest_users": [], "src_ips": ["203.0.113.9"], "dest_ips": [],
                           "src_hosts": ["ws-17"], "dest_hosts": []}]}}"#;

fn acme() -> Request {
    Request { tenants: Some(BTreeSet::from(["acme".to_owned(), "beta".to_owned()])), ..to("generic") }
}

#[test]
fn a_full_alert_keeps_everything_and_times_take_one_form() {
    let incoming = acme().one(EXAMPLE).unwrap();
    assert_eq!(incoming.raw, Raw::Json(Bytes::from(EXAMPLE)));
    let event = incoming.event;
    assert_eq!(
        (event.kind.as_str(), event.own_id.as_deref(), event.tenant.as_str()),
        ("alert.created", Some("evt-1"), "acme")
    );
    assert_eq!(event.time.to_string(), "2026-11-22T08:00:00.000Z");
    assert_eq!(event.received, NOW);
    assert_eq!(event.actor, Actor::Source("generic".to_owned()));
    assert!(event.warnings.is_empty() && event.chain.is_empty() && !event.first_sight_creates);
    let mut expected: Value = serde_json::from_str::<Value>(EXAMPLE).unwrap()["alert"].take();
    expected["created_time"] = "2026-11-22T07:59:58.000Z".into();
    expected["detections"][0]["approx_log_time"] = "2026-11-22T07:58:00.000Z".into();
    assert_eq!(fields(&event), expected);
}

#[test]
fn an_event_without_a_time_happened_when_it_arrived() {
    let event = to("generic").event(r#"{"type": "ticket.closed", "data": {"number": 5}}"#);
    assert_eq!((event.time, &event.data, event.subject), (NOW, &json!({"number": 5}), None));
    assert_eq!(event.replay, None);
}

#[test]
fn everything_that_is_wrong_is_named_at_once_with_its_path() {
    let body = r#"{"type": "case.updated", "id": [], "time": "2026-11-22T08:00:00", "from": "Nowhere", "to": 5, "data": [],
                   "case": {"id": "C-1", "risk_score": "92", "stage": "Triage", "priority": "urgent", "tags": "vip",
                            "detections": [5], "created_time": 0, "extra": [], "name": {}}}"#;
    let mut paths = to("generic").paths(body);
    paths.sort();
    assert_eq!(
        paths,
        [
            "case.created_time",
            "case.detections[0]",
            "case.extra",
            "case.name",
            "case.priority",
            "case.risk_score",
            "case.stage",
            "case.tags",
            "data",
            "from",
            "id",
            "time",
            "to",
        ]
    );
}

#[test]
fn the_type_is_required_and_plain() {
    let long = format!(r#"{{"type": "{}"}}"#, "a".repeat(129));
    for body in [
        r#"{}"#,
        r#"{"type": null}"#,
        r#"{"type": 5}"#,
        r#"{"type": ""}"#,
        r#"{"type": "Alert.Created"}"#,
        r#"{"type": "a b"}"#,
        r#"{"type": "ä"}"#,
        &long,
    ] {
        assert_eq!(to("generic").paths(body), ["type"], "{body}");
    }
    assert_eq!(to("generic").event(r#"{"type": "holm.finished_scan-2"}"#).kind, "holm.finished_scan-2");
}

#[test]
fn a_type_that_carries_state_needs_its_object_and_the_object_its_id() {
    assert_eq!(to("generic").paths(r#"{"type": "alert.created"}"#), ["alert"]);
    assert_eq!(to("generic").paths(r#"{"type": "alert.created", "case": {"id": "C"}}"#), ["alert"]);
    assert_eq!(to("generic").paths(r#"{"type": "case.updated", "case": "C-1"}"#), ["case", "case"]);
    assert_eq!(to("generic").paths(r#"{"type": "case.created", "case": {}}"#), ["case.id"]);
    assert_eq!(to("generic").paths(r#"{"type": "entity.score", "entity": {}}"#), ["entity.id", "entity.kind"]);
    assert_eq!(to("generic").paths(r#"{"type": "entity.score", "entity": {"kind": "car", "id": 1}}"#), ["entity.kind"]);
}

#[test]
fn ids_are_text_or_whole_numbers_and_short() {
    let event = to("generic").event(r#"{"type": "alert.created", "id": 17, "alert": {"id": 4711}}"#);
    assert_eq!((event.own_id.as_deref(), event.subject.unwrap().id.as_str()), (Some("17"), "4711"));
    let long = format!(r#""{}""#, "x".repeat(limits::ID_BYTES_MAX + 1));
    for id in [r#""""#, "1.5", "123456789012345678901234567890", r#""a\u0000b""#, r#""a\nb""#, "true", "[]", &long] {
        let body = format!(r#"{{"type": "alert.created", "alert": {{"id": {id}}}}}"#);
        assert_eq!(to("generic").paths(&body), ["alert.id"], "{id}");
    }
}

#[test]
fn an_entity_is_found_by_kind_and_id() {
    let body = r#"{"type": "entity.score", "entity": {"kind": "HOST", "id": "ws-17", "name": "WS 17", "scores": {"urgency": 83}}}"#;
    let event = to("generic").event(body);
    assert_eq!(event.subject.as_ref().unwrap().id, "host/ws-17");
    assert_eq!(fields(&event), json!({"kind": "host", "id": "ws-17", "name": "WS 17", "scores": {"urgency": 83}}));
}

#[test]
fn names_of_stages_take_their_canonical_form_and_a_missing_stage_is_taken_from_to() {
    let body = r#"{"type": "case.stage_changed", "from": "new", "to": "INVESTIGATION", "case": {"id": "C-1"}}"#;
    let event = to("generic").event(body);
    assert_eq!(event.from.as_deref(), Some("New"));
    assert_eq!(fields(&event), json!({"id": "C-1", "stage": "Investigation"}));
    assert!(event.warnings.is_empty());

    let body = r#"{"type": "case.stage_changed", "to": "Closed", "case": {"id": "C-1", "stage": "Remediation"}}"#;
    let event = to("generic").event(body);
    assert_eq!(fields(&event)["stage"], "Remediation");
    assert_eq!(event.warnings, ["`to` is `Closed`, `case.stage` says otherwise and counts"]);
}

#[test]
fn stages_are_the_configured_ones() {
    let words = Vocabulary { stages: vec!["New".into(), "Triage".into(), "Closed".into()], ..Vocabulary::default() };
    let request = Request { words, ..to("generic") };
    let event = request.event(r#"{"type": "case.updated", "case": {"id": "C", "stage": "triage"}}"#);
    assert_eq!(fields(&event)["stage"], "Triage");
    assert_eq!(
        request.paths(r#"{"type": "case.updated", "case": {"id": "C", "stage": "Investigation"}}"#),
        ["case.stage"]
    );
}

#[test]
fn null_clears_a_field_and_is_nothing_beside_it() {
    let body = r#"{"type": "case.updated", "id": null, "time": null, "tenant": null, "from": null, "to": null, "data": null,
                   "alert": null, "case": {"id": "C", "assignee": null, "stage": null}}"#;
    let event = to("generic").event(body);
    assert_eq!(fields(&event), json!({"id": "C", "assignee": null, "stage": null}));
    assert!(event.warnings.is_empty() && event.own_id.is_none() && event.data.is_null());
}

#[test]
fn unknown_keys_are_named_and_never_a_reason_to_refuse() {
    let body = r#"{"type": "alert.created", "tiem": 5, "alert": {"id": "A", "risk_scroe": 92}}"#;
    let event = to("generic").event(body);
    assert_eq!(
        event.warnings,
        [
            "unknown key `tiem` is kept and not used; did you mean `time`?",
            "unknown key `alert.risk_scroe` is kept; did you mean `risk_score`?",
        ]
    );
    assert_eq!(fields(&event)["risk_scroe"], 92);
}

#[test]
fn a_mistyped_type_is_a_plain_event_that_says_so() {
    let event = to("generic").event(r#"{"type": "alert.craeted", "alert": {"id": "A"}}"#);
    assert_eq!(event.subject, None);
    let expected =
        "`alert` is kept and not used: events of type `alert.craeted` do not have it; did you mean `alert.created`?";
    assert_eq!(event.warnings, [expected]);
}

#[test]
fn with_tenants_configured_a_missing_or_unknown_one_is_refused() {
    assert_eq!(acme().paths(r#"{"type": "x"}"#), ["tenant"]);
    assert_eq!(acme().paths(r#"{"type": "x", "tenant": "gamma"}"#), ["tenant"]);
    assert_eq!(acme().paths(r#"{"type": "x", "tenant": "ACME"}"#), ["tenant"]);
    assert_eq!(acme().event(r#"{"type": "x", "tenant": "beta"}"#).tenant, "beta");
}

#[test]
fn a_source_that_is_bound_to_a_tenant_speaks_for_it_alone() {
    let bound = Request { tenant: Some("acme"), ..acme() };
    assert_eq!(bound.event(r#"{"type": "x"}"#).tenant, "acme");
    assert_eq!(bound.event(r#"{"type": "x", "tenant": "acme"}"#).tenant, "acme");
    assert_eq!(bound.paths(r#"{"type": "x", "tenant": "beta"}"#), ["tenant"]);
    let lost = Request { tenant: Some("gone"), ..acme() };
    assert_eq!(lost.paths(r#"{"type": "x"}"#), ["tenant"]);
}

#[test]
fn without_tenants_everything_is_the_default_one_and_a_named_one_is_mentioned() {
    let event = to("generic").event(r#"{"type": "x", "tenant": "acme"}"#);
    assert_eq!(event.tenant, "default");
    assert_eq!(event.warnings, ["`tenant` acme is not used: no tenants are configured"]);
}

#[test]
fn odd_key_names_are_data_only() {
    let body = r#"{"type": "x", "data": {"__proto__": {"admin": true}, "this": 1, "eval": "loop{}", "fn": "f", "tуpe": "cyrillic"}}"#;
    let event = to("generic").event(body);
    assert_eq!(event.kind, "x");
    assert_eq!(event.data["__proto__"]["admin"], true);
    assert_eq!(event.data["tуpe"], "cyrillic");
}

#[test]
fn a_body_cannot_set_what_is_ours_to_say() {
    let body = r#"{"type": "x", "source": "sortie", "actor": {"token": "admin"}, "received": "1999-01-01T00:00:00Z", "chain": [],
                   "first_sight_creates": true, "replay": "k", "files": [{"filepath": "/etc/passwd"}]}"#;
    let event = to("generic").event(body);
    assert_eq!((event.source.as_str(), event.received, event.first_sight_creates), ("generic", NOW, false));
    assert_eq!(event.actor, Actor::Source("generic".to_owned()));
    assert_eq!((event.replay, event.warnings.len()), (None, 7));
}
