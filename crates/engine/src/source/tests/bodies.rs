//! One object, an array, NDJSON; repeats; limits.

use model::Digest;

use super::*;

fn codes(reading: &Reading) -> Vec<String> {
    let code = |element: &'_ Result<Incoming, InputError>| match element {
        Ok(incoming) => incoming.event.kind.clone(),
        Err(error) => error.code().to_owned(),
    };
    reading.elements.iter().map(code).collect()
}

#[test]
fn each_element_of_an_array_stands_for_itself() {
    let body = r#"[{"type": "a"}, {"type": 5}, 7, {"type": "b", "type": "c"}, {"type": "d", "data": {"t": "\ud800"}}, {"type": "e"} ]"#;
    let reading = to("generic").read(body).unwrap();
    assert!(reading.batch);
    assert_eq!(codes(&reading), ["a", "invalid_event", "not_an_object", "duplicate_key", "invalid_json", "e"]);
    assert_eq!(reading.elements[5].as_ref().unwrap().raw, Raw::Json(Bytes::from(r#"{"type": "e"}"#)));
}

#[test]
fn a_place_in_an_element_is_a_place_in_the_body() {
    let body = "[{\"type\": \"a\"},\n  {\"type\": \"ä\", \"x\": 1, \"x\": 2}]";
    let reading = to("generic").read(body).unwrap();
    let error = reading.elements[1].as_ref().unwrap_err();
    let at = error.position().unwrap();
    assert_eq!((at.line, error.path()), (2, Some("x")));
    assert_eq!(&body[at.byte - 2..=at.byte], "\"x\"");
    assert_eq!(at.column, 27);
}

#[test]
fn an_array_that_is_not_json_is_refused_as_a_whole() {
    for body in [
        "[",
        "[{\"type\": \"a\"},",
        "[{\"type\": \"a\"}] x",
        "[{\"type\": \"a\"}, {\"type\": tru}]",
        "[{\"type\": \"a\"},]",
    ] {
        let error = to("generic").read(body).unwrap_err();
        assert_eq!(error.code(), "invalid_json", "{body}");
        assert!(error.position().is_some());
    }
    let error = to("generic").read(b"\n [\"\xff\"]").unwrap_err();
    assert_eq!(error.position().unwrap(), Position { line: 2, column: 4, byte: 4 });
}

#[test]
fn a_bad_line_of_ndjson_is_named_by_its_number_and_blank_lines_do_not_count() {
    let body = "{\"type\": \"a\"}\r\n\n   \n{\"type\": \"b\"\n{\"type\": \"c\"}";
    let reading = to("generic").ndjson().read(body).unwrap();
    assert!(reading.batch);
    assert_eq!(codes(&reading), ["a", "invalid_json", "c"]);
    assert_eq!(reading.elements[1].as_ref().unwrap_err().position().unwrap().line, 4);
    assert_eq!(reading.elements[0].as_ref().unwrap().raw, Raw::Json(Bytes::from(r#"{"type": "a"}"#)));
}

#[test]
fn a_line_of_ndjson_that_is_not_utf8_leaves_the_others_standing() {
    let reading = to("generic").ndjson().read(b"{\"type\": \"a\"}\n\"\xff\"\n{\"type\": \"b\"}\n").unwrap();
    assert_eq!(codes(&reading), ["a", "invalid_json", "b"]);
}

#[test]
fn a_body_without_events_is_refused() {
    for body in ["", "  \n", "\u{feff}", "[]", "[ ]"] {
        assert_eq!(to("generic").read(body).unwrap_err(), BodyError::Empty, "{body:?}");
    }
    assert_eq!(to("generic").ndjson().read("\n\n").unwrap_err(), BodyError::Empty);
}

#[test]
fn a_byte_order_mark_and_white_space_around_are_not_part_of_the_event() {
    let incoming = to("generic").one("\u{feff} {\"type\": \"a\"}\r\n").unwrap();
    assert_eq!(incoming.raw, Raw::Json(Bytes::from(r#"{"type": "a"}"#)));
}

#[test]
fn only_json_is_read_whatever_a_body_claims_to_be() {
    let body = r#"{"type": "a"}"#;
    for declared in
        [Some("application/json"), Some("Application/JSON; charset=utf-8"), Some("application/cloudevents+json"), None]
    {
        assert!(Request { content_type: declared, ..to("generic") }.read(body).is_ok(), "{declared:?}");
    }
    for declared in [
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/xml",
        "image/png",
    ] {
        for source in ["generic", "exabeam"] {
            let error = Request { content_type: Some(declared), ..to(source) }.read(body).unwrap_err();
            assert_eq!(error.code(), "unsupported_media_type", "{declared}");
        }
    }
}

#[test]
fn the_key_of_a_repeat_is_the_headers_and_else_the_events_own_id() {
    let body = r#"{"type": "a", "id": "evt-1"}"#;
    let own = to("generic").event(body).replay.unwrap();
    assert_eq!((own.key.as_str(), own.body), ("evt-1", Digest::of(body.as_bytes())));
    let with_header = Request { key: Some("K"), ..to("generic") };
    assert_eq!(with_header.event(body).replay.unwrap().key, "K");
    assert_eq!(to("generic").event(r#"{"type": "a"}"#).replay, None);
}

#[test]
fn with_a_header_key_each_element_of_a_batch_has_its_own() {
    let with_header = Request { key: Some("K"), ..to("generic") };
    let keys = |reading: Reading| -> Vec<_> {
        reading.elements.into_iter().map(|e| e.ok().map(|i| i.event.replay.clone().unwrap().key)).collect()
    };
    let of = |key: &str| Some(key.to_owned());
    let array = with_header.read(r#"[{"type": "a"}, 5, {"type": "b", "id": "own"}]"#).unwrap();
    assert_eq!(keys(array), [of("K/0"), None, of("K/2")]);
    let lines = with_header.ndjson().read("{\"type\": \"a\"}\n\n{\"type\": \"b\"}\n").unwrap();
    assert_eq!(keys(lines), [of("K/0"), of("K/1")]);
}

#[test]
fn the_same_event_alone_and_in_a_batch_is_the_same_body() {
    let element = r#"{"type": "a", "id": "evt-1"}"#;
    let alone = to("generic").event(format!("{element}\n"));
    let batch = to("generic").read(format!("[ {element} ,{{}}]")).unwrap();
    assert_eq!(batch.elements[0].as_ref().unwrap().event.replay, alone.replay);
}

#[test]
fn a_key_that_cannot_be_stored_is_refused() {
    for key in ["", "a\u{7}b", &*"k".repeat(limits::ID_BYTES_MAX + 1).leak()] {
        let error = Request { key: Some(key), ..to("generic") }.read(r#"{"type": "a"}"#).unwrap_err();
        assert_eq!(error.code(), "invalid_key");
    }
}

#[test]
fn sizes_and_numbers_are_bounded() {
    let event = format!(r#"{{"type": "a", "data": {{"t": "{}"}}}}"#, "x".repeat(limits::EVENT_BODY_BYTES_MAX));
    let error = to("generic").read(&event).unwrap_err();
    assert_eq!(error, BodyError::TooLarge { bytes: event.len(), limit: limits::EVENT_BODY_BYTES_MAX });
    let reading = to("generic").read(format!(r#"[{{"type": "a"}}, {event}]"#)).unwrap();
    assert_eq!(codes(&reading), ["a", "too_large"]);
    let reading = to("generic").ndjson().read(format!("{event}\n{{\"type\": \"a\"}}")).unwrap();
    assert_eq!(codes(&reading), ["too_large", "a"]);

    let many = format!("[{}{{}}]", "{},".repeat(limits::BATCH_EVENTS_MAX));
    assert_eq!(to("generic").read(&many).unwrap_err().code(), "too_many_events");
    let lines = "{}\n".repeat(limits::BATCH_EVENTS_MAX + 1);
    assert_eq!(to("generic").ndjson().read(&lines).unwrap_err().code(), "too_many_events");
    let exactly = "{}\n".repeat(limits::BATCH_EVENTS_MAX);
    assert_eq!(to("generic").ndjson().read(&exactly).unwrap().elements.len(), limits::BATCH_EVENTS_MAX);

    let huge = " ".repeat(limits::BATCH_BODY_BYTES_MAX + 1);
    assert_eq!(to("generic").read(&huge).unwrap_err().code(), "too_large");
}

#[test]
fn a_vendors_body_that_cannot_be_read_is_kept_as_it_was_sent() {
    for body in [&b"{\"case_id\": \"C\", "[..], b" hello\n", b"[1, 2 ", b"\"\xff\"", b"5", b"{\"a\": 1, \"a\": 2}"] {
        let incoming = to("exabeam").one(body).unwrap();
        assert_eq!(incoming.raw, Raw::Bytes(Bytes::copy_from_slice(body)));
        let event = incoming.event;
        assert_eq!((event.kind.as_str(), event.subject.is_none()), ("exabeam.unreadable", true));
        assert!(event.data["reason"].is_string() && event.data["line"].is_u64(), "{}", event.data);
        assert_eq!(event.warnings.len(), 1);
    }
    let lines = to("exabeam").ndjson().read("{\"case_id\": \"C\"}\noops\n").unwrap();
    assert_eq!(codes(&lines), ["case.updated", "exabeam.unreadable"]);
    assert_eq!(lines.elements[1].as_ref().unwrap().event.data["line"], 2);
}

#[test]
fn a_vendors_unreadable_body_still_needs_a_tenant() {
    let tenants = Some(BTreeSet::from(["acme".to_owned()]));
    let unbound = Request { tenants, ..to("exabeam") };
    assert_eq!(unbound.paths("oops"), ["tenant"]);
    let bound = Request { tenant: Some("acme"), ..unbound };
    assert_eq!(bound.event("oops").tenant, "acme");
}
