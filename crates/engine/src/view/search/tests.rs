//! What queries and orders say, and what they refuse.

use std::sync::Arc;

use model::Kind;

use model::record::Vocabulary;
use serde_json::json;

use super::sort::Sort;
use super::*;

const NOW: Time = Time::from_millis(1_795_600_000_000);

fn case(id: &str, fields: Value) -> (ObjectKey, Object) {
    let Value::Object(record) = fields else { panic!("an object") };
    let key = ObjectKey { tenant: "default".to_owned(), kind: Kind::Case, id: id.to_owned() };
    (key, Object { record: Arc::new(record), meta: model::object::Meta { updated_at: NOW, ..Default::default() } })
}

fn sample() -> (ObjectKey, Object) {
    case(
        "C-1",
        json!({"name": "Impossible travel", "stage": "Investigation", "priority": "high", "risk_score": 92,
            "tags": ["vip", "emea"], "queue": "Tier 1 Analyst", "assignee": "alice", "created_time": "2026-11-22T08:00:00.000Z",
            "detections": [{"rules": ["Geo velocity"], "src_ips": ["203.0.113.9"]}], "extra": {"ticket": {"number": 7}}}),
    )
}

fn fits(text: &str) -> bool {
    let (key, object) = sample();
    parse(Kind::Case, text, NOW).unwrap_or_else(|error| panic!("{text}: {error}")).fits(&key, &object)
}

#[test]
fn fields_words_phrases_and_their_connections() {
    for yes in [
        "priority:high",
        "PRIORITY:HIGH AND NOT stage:closed",
        "stage:Closed OR assignee:alice",
        "(stage:closed OR stage:investigation) tags:vip",
        "queue:\"tier 1 analyst\"",
        "travel",
        "\"impossible travel\"",
        "geo",
        "name:travel",
        "tags:e*a",
        "-tags:gone",
        "assignee!=bob",
        "risk_score>=92 risk_score<93 score:92",
        "priority>=medium priority<critical",
        "created_time>2026-11-22 created_time<now",
        "created_time:2026-11-22",
        "updated_at>now-1h",
        "extra.ticket.number:7",
        "detections.src_ips:203.0.113.9",
        "closed_time:* OR case_id:c-1",
        "NOT closed_time:*",
        "NOT NOT vip",
    ] {
        assert!(fits(yes), "{yes}");
    }
    for no in [
        "priority:critical",
        "stage:closed",
        "tags:vi",
        "travel AND nowhere",
        "NOT travel",
        "risk_score>92",
        "priority>high",
        "queue:tier",
        "name:\"travel impossible\"",
        "nowhere",
        "tags:e*x",
        "(travel OR vip) AND stage:New",
        "created_time:2026-11-23",
    ] {
        assert!(!fits(no), "{no}");
    }
}

#[test]
fn and_binds_closer_than_or() {
    assert!(fits("travel OR stage:closed AND stage:new"));
    assert!(!fits("(travel OR stage:closed) AND stage:new"));
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    for (text, at, part) in [
        ("", 1, "missing"),
        ("prioritty:high", 1, "did you mean `priority`"),
        ("tags:vip AND colour:red", 14, "colour"),
        ("(travel", 1, "not closed"),
        ("travel)", 7, "closes nothing"),
        ("\"travel", 1, "quote"),
        ("travel AND", 11, "follow"),
        ("OR travel", 1, "OR"),
        ("risk_score>high", 12, "not a number"),
        ("risk_score:", 12, "missing"),
        ("name>a", 6, "no order"),
        ("priority>=urgent", 11, "low, medium, high, critical"),
        ("created_time>soon", 14, "now-24h"),
        ("()", 2, "missing"),
    ] {
        let error = parse(Kind::Case, text, NOW).unwrap_err();
        assert_eq!((error.at, error.message.contains(part)), (at, true), "{text}: {error}");
    }
}

#[test]
fn a_query_is_bounded_in_every_direction() {
    let deep = format!("{}a{}", "(".repeat(40), ")".repeat(40));
    for text in ["a ".repeat(60), "x".repeat(QUERY_CHARS_MAX + 1), deep, "NOT ".repeat(40) + "a"] {
        assert!(parse(Kind::Case, &text, NOW).is_err(), "{} characters", text.len());
    }
}

#[test]
fn orders_know_priorities_stages_and_numbers_and_put_the_absent_last() {
    let all = [
        case("a", json!({"priority": "low", "risk_score": 9, "stage": "Closed"})),
        case("b", json!({"priority": "critical", "risk_score": 10, "stage": "New"})),
        case("c", json!({})),
        case("d", json!({"priority": "high", "risk_score": 9, "stage": "Investigation"})),
    ];
    let order = |text: &str| {
        let sort = Sort::read(Kind::Case, text, &Vocabulary::default()).unwrap();
        let mut places: Vec<_> = all.iter().map(|(key, object)| (sort.place(key, object), key.id.as_str())).collect();
        places.sort_by(|a, b| sort.compare(&a.0, &b.0));
        places.into_iter().map(|(_, id)| id).collect::<String>()
    };
    assert_eq!(order("-priority"), "bdac");
    assert_eq!(order("risk_score,-id"), "dabc");
    assert_eq!(order("-risk_score"), "badc");
    assert_eq!(order("stage"), "bdac");
    let error = Sort::read(Kind::Case, "stage,-colour", &Vocabulary::default()).unwrap_err();
    assert_eq!(error.at, 7);
    assert!(Sort::read(Kind::Alert, "stage", &Vocabulary::default()).is_err(), "an alert has no stage");
}

#[test]
fn a_place_is_read_back_as_it_was() {
    let sort = Sort::read(Kind::Case, "-risk_score,name,closed_time", &Vocabulary::default()).unwrap();
    let (key, object) = sample();
    let place = sort.place(&key, &object);
    let read: sort::Place = serde_json::from_str(&serde_json::to_string(&place).unwrap()).unwrap();
    assert_eq!(read, place);
}
