//! The whole reading, from bytes to events.

mod bodies;
mod exabeam;
mod generic;
mod hostile;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::*;

/// A request around a body.
#[derive(Clone)]
struct Request {
    source: &'static str,
    words: Vocabulary,
    tenants: Option<BTreeSet<String>>,
    tenant: Option<&'static str>,
    key: Option<&'static str>,
    content_type: Option<&'static str>,
    zone: &'static str,
    limits: Limits,
}

const NOW: Time = Time::from_millis(1_790_000_000_000);

fn to(source: &'static str) -> Request {
    Request {
        source,
        words: Vocabulary::default(),
        tenants: None,
        tenant: None,
        key: None,
        content_type: Some("application/json"),
        zone: "UTC",
        limits: Limits::default(),
    }
}

impl Request {
    fn ndjson(self) -> Request {
        Request { content_type: Some("application/x-ndjson; charset=utf-8"), ..self }
    }

    fn read(&self, body: impl AsRef<[u8]>) -> Result<Reading, BodyError> {
        let source = Source {
            name: self.source.to_owned(),
            timezone: self.zone.to_owned(),
            shape: shape(self.source, &playbook::Evaluator::uncounted()).expect("a source of that name"),
            tenants: None,
        };
        let ctx = Context {
            words: &self.words,
            tenants: self.tenants.as_ref(),
            tenant: self.tenant,
            now: NOW,
            header_key: self.key,
            signed_key: None,
            content_type: self.content_type,
            headers: None,
            limits: self.limits,
        };
        read(&source, Bytes::copy_from_slice(body.as_ref()), &ctx)
    }

    /// The one element of a body that is no batch.
    fn one(&self, body: impl AsRef<[u8]>) -> Result<Incoming, InputError> {
        let mut reading = self.read(body).expect("a body");
        assert!(!reading.batch);
        assert_eq!(reading.elements.len(), 1);
        reading.elements.remove(0)
    }

    fn event(&self, body: impl AsRef<[u8]>) -> Event {
        Arc::unwrap_or_clone(self.one(body).expect("an event").event)
    }

    /// The paths of what is wrong.
    fn paths(&self, body: impl AsRef<[u8]>) -> Vec<String> {
        let error = self.one(body).expect_err("a refusal");
        assert_eq!(error.code(), "invalid_event");
        error.problems().iter().map(|p| p.path.clone()).collect()
    }
}

fn fields(event: &Event) -> Value {
    Value::Object(event.subject.as_ref().expect("a subject").fields.as_ref().clone())
}

#[test]
fn every_source_has_its_page_and_the_bodies_on_it_are_read_without_a_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/sources");
    for name in file::names() {
        let page = std::fs::read_to_string(folder.join(format!("{name}.md"))).expect("the source's page");
        let bodies: Vec<&str> = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!bodies.is_empty(), "{name} has no example");
        for body in bodies {
            for element in to(name).read(body).expect("a body").elements {
                let event = element.expect("an event").event;
                assert_eq!(event.warnings, [""; 0], "{body}");
                assert!(!event.kind.ends_with(".unreadable"), "{body}");
            }
        }
    }
}

#[test]
fn an_id_that_could_collide_gets_the_sources_name_in_front() {
    let mut subject = Subject { kind: Kind::Alert, id: "4711".to_owned(), fields: Arc::default() };
    Arc::make_mut(&mut subject.fields).insert("id".to_owned(), "4711".into());
    id::prefix("holm", &mut subject);
    assert_eq!((subject.id.as_str(), &subject.fields["id"]), ("holm-4711", &Value::from("holm-4711")));
    let mut host = Subject { kind: Kind::Entity, id: "host/17".to_owned(), fields: Arc::default() };
    id::prefix("vectra", &mut host);
    assert_eq!(host.id, "host/vectra-17");
}
