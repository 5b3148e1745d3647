//! The whole reading, from bytes to events.

use super::*;
use model::record::Vocabulary;

fn source(name: &str) -> Source {
    Source { name: name.to_owned(), timezone: "UTC".to_owned(), shape: shape(name).unwrap() }
}

#[test]
fn the_example_of_the_reference_is_an_alert() {
    let words = Vocabulary::default();
    let ctx = Context {
        words: &words,
        tenants: None,
        tenant: None,
        now: Time::from_millis(1_000),
        header_key: None,
        content_type: Some("application/json"),
        limits: Limits::default(),
    };
    let body = r#"{"type": "alert.created", "id": "evt-1", "alert": {"id": "A-1", "priority": "CRITICAL"}}"#;
    let reading = read(&source("generic"), Bytes::from(body), &ctx).unwrap();
    let event = &reading.elements[0].as_ref().unwrap().event;
    let subject = event.subject.as_ref().unwrap();
    assert_eq!((subject.kind, subject.id.as_str()), (Kind::Alert, "A-1"));
    assert_eq!(subject.fields["priority"], "critical");
}
