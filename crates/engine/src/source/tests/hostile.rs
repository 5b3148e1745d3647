//! What attackers, and proptest, send.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn code(body: impl AsRef<[u8]>) -> &'static str {
    to("generic").one(body).expect_err("a refusal").code()
}

#[test]
fn sixty_four_levels_are_read_and_no_more() {
    // The event and `data` are two of them.
    let nested =
        |levels: usize| format!(r#"{{"type": "x", "data": {{"n": {}{}}}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(to("generic").one(nested(62)).is_ok());
    assert_eq!(code(nested(63)), "too_deep");
    let objects = format!(r#"{{"type": "x", "data": {}1{}}}"#, r#"{"n":"#.repeat(64), "}".repeat(64));
    assert_eq!(code(objects), "too_deep");
}

#[test]
fn a_million_brackets_are_refused() {
    let brackets = "[".repeat(1_000_000);
    assert_eq!(to("generic").read(&brackets).unwrap_err().code(), "invalid_json");
    let closed = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
    let reading = to("generic").read(&closed).unwrap();
    assert_eq!(reading.elements[0].as_ref().unwrap_err().code(), "too_deep");
    let inside = format!(r#"{{"type": "x", "data": {}"#, "[".repeat(900_000));
    assert_eq!(code(&inside), "too_deep");
    assert_eq!(to("exabeam").event(&inside).kind, "exabeam.unreadable");
}

#[test]
fn a_key_that_stands_twice_is_refused_wherever_it_is() {
    for (body, path) in [
        (r#"{"type": "x", "type": "y"}"#, "type"),
        (r#"{"type": "x", "data": {"severity": 1, "severity": 1}}"#, "data.severity"),
        (r#"{"type": "x", "data": {"l": [0, {"a": {"b": 1, "\u0062": 2}}]}}"#, "data.l[1].a.b"),
    ] {
        let error = to("generic").one(body).unwrap_err();
        assert_eq!((error.code(), error.path()), ("duplicate_key", Some(path)));
    }
    assert!(to("generic").one(r#"{"type": "x", "data": {"a": {"b": 1}, "b": {"b": 1, "B": 2}}}"#).is_ok());
}

#[test]
fn a_key_that_the_json_reader_takes_as_its_own_is_refused() {
    let body = r#"{"type": "x", "data": {"d": {"$serde_json::private::RawValue": "{\"a\": 1}"}}}"#;
    // What would happen otherwise: text becomes structure when the stored event is read again.
    let reread: Value = serde_json::from_str(body).unwrap();
    assert_eq!(reread["data"]["d"], json!({"a": 1}));
    let error = to("generic").one(body).unwrap_err();
    assert_eq!((error.code(), error.path()), ("reserved_key", Some("data.d.$serde_json::private::RawValue")));
}

#[test]
fn extreme_numbers_and_texts_are_errors_or_kept() {
    let body = |value: &str| format!(r#"{{"type": "x", "data": {{"v": {value}}}}}"#);
    for bad in [
        "1e999999999",
        "-1e400",
        "01",
        "+1",
        "NaN",
        "Infinity",
        "0x10",
        ".5",
        r#""\ud800""#,
        r#""\udc00x""#,
        r#""\x""#,
        "\"\n\"",
    ] {
        assert_eq!(code(body(bad)), "invalid_json", "{bad}");
    }
    assert_eq!(code(body(&"9".repeat(900_000))), "invalid_json");
    assert_eq!(to("generic").event(body("1e-999999999")).data["v"], 0.0);
    assert_eq!(to("generic").event(body("18446744073709551615")).data["v"], u64::MAX);
    assert_eq!(to("generic").event(body(r#""a\u0000\ud83d\ude00""#)).data["v"], "a\0😀");
}

#[test]
fn text_of_an_event_stays_text() {
    let odd = "{{secrets.api_key}} ${secret:X} \"\r\n\u{0} <!channel>";
    let body = json!({"type": "alert.created", "alert": {"id": "A", "name": odd}}).to_string();
    assert_eq!(fields(&to("generic").event(body))["name"], odd);
}

#[test]
fn many_small_values_do_not_take_many_times_the_room_of_their_text() {
    let event = format!(r#"{{"type": "x", "data": {{"l": [{}[]]}}}}"#, "[],".repeat(300_000));
    assert_eq!(code(&event), "too_many_values");
    let objects =
        format!(r#"{{"type": "x", "data": {{"l": [{}0]}}}}"#, r#"{"a":1},"#.repeat(limits::EVENT_VALUES_MAX / 11));
    assert_eq!(code(&objects), "too_many_values");
    // The event and `data` count as ten each, `type` and `l` as one.
    let part = format!(r#"{{"type": "x", "data": {{"l": [{}0]}}}}"#, "0,".repeat(limits::EVENT_VALUES_MAX - 23));
    let good = limits::BATCH_VALUES_MAX / limits::EVENT_VALUES_MAX;
    let reading = to("generic").read(format!("[{}{part}]", format!("{part},").repeat(good))).unwrap();
    assert_eq!(reading.elements.iter().filter(|e| e.is_ok()).count(), good);
    assert_eq!(reading.elements[good].as_ref().unwrap_err().code(), "too_many_values");
}

#[test]
fn what_is_said_about_a_body_is_short_and_has_no_control_characters() {
    let key = format!("\\u001b]0;{}", "k".repeat(10_000));
    let mut keys: Vec<String> = (0..500).map(|n| format!(r#""{key}{n}": 0"#)).collect();
    keys.push(r#""type": "alert.created""#.to_owned());
    keys.push(format!(r#""alert": {{"id": "A", "priority": "{}"}}"#, "\\n".repeat(1_000)));
    keys.truncate(502);
    let body = format!("{{{}}}", keys.split_off(410).join(","));
    let error = to("generic").one(&body).unwrap_err();
    let said = error.to_string();
    assert!(said.len() < 2_000 && !said.chars().any(char::is_control), "{said}");
    let event = to("generic").event(body.replace("priority", "name"));
    assert!(
        event.warnings.len() <= 51
            && event.warnings.iter().all(|w| w.len() < 1_000 && !w.chars().any(char::is_control))
    );
}

#[test]
fn real_bodies_of_other_products_are_told_apart_and_kept() {
    let Some(corpus) = std::env::var_os("SORTIE_CORPUS") else {
        eprintln!("skipped: SORTIE_CORPUS is not set");
        return;
    };
    let mut seen = 0;
    for file in std::fs::read_dir(Path::new(&corpus).join("inbound")).unwrap() {
        let body = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let plain = to("generic").event(format!(r#"{{"type": "vendor.body", "data": {{"body": {body}}}}}"#));
        assert_eq!(plain.data["body"], serde_json::from_str::<Value>(&body).unwrap());
        let reading = to("exabeam").read(&body).unwrap();
        for element in reading.elements {
            let event = element.unwrap().event;
            // A few have an `alert_id` too, which is all that the message must have.
            assert_eq!(event.kind == "exabeam.unreadable", event.subject.is_none());
        }
        seen += 1;
    }
    assert!(seen > 10, "{seen} bodies");
}

/// JSON as written, so that keys may repeat and be escaped.
#[derive(Debug, Clone)]
enum Text {
    Leaf(&'static str),
    List(Vec<Text>),
    Map(Vec<(&'static str, Text)>),
}

impl Text {
    fn write(&self) -> String {
        match self {
            Text::Leaf(leaf) => (*leaf).to_owned(),
            Text::List(items) => format!("[{}]", items.iter().map(Text::write).collect::<Vec<_>>().join(",")),
            Text::Map(pairs) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|(key, value)| format!("\"{key}\" : {}", value.write())).collect();
                format!("{{{}}}", pairs.join(" , "))
            }
        }
    }

    /// The slow reference: every key compared with every other.
    fn has_duplicates(&self) -> bool {
        let plain = |key: &str| serde_json::from_str::<String>(&format!("\"{key}\"")).unwrap();
        match self {
            Text::Leaf(_) => false,
            Text::List(items) => items.iter().any(Text::has_duplicates),
            Text::Map(pairs) => {
                pairs.iter().enumerate().any(|(i, (a, _))| pairs[..i].iter().any(|(b, _)| plain(a) == plain(b)))
                    || pairs.iter().any(|(_, value)| value.has_duplicates())
            }
        }
    }
}

fn texts() -> impl Strategy<Value = Text> {
    let leaf = prop::sample::select(vec![
        "0",
        "-1.5e3",
        "true",
        "null",
        "\"a\"",
        "\"\\u00e4\\n\"",
        "\"\"",
        "12345678901234567890",
    ]);
    let keys = prop::sample::select(vec!["a", "\\u0061", "b", "c", "ä", "\\u00e4", "", "d", "e", "a\\n", "f", "g"]);
    leaf.prop_map(Text::Leaf).prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Text::List),
            prop::collection::vec((keys.clone(), inner), 0..5).prop_map(Text::Map),
        ]
    })
}

const BOUNDS: json::Bounds = json::Bounds { depth: 64, values: 1_000 };

proptest! {
    #[test]
    fn arbitrary_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200), lines: bool, exabeam: bool) {
        let request = to(if exabeam { "exabeam" } else { "generic" });
        let request = if lines { request.ndjson() } else { request };
        if let Ok(reading) = request.read(&body) {
            prop_assert!(!reading.elements.is_empty());
            prop_assert!(!exabeam || reading.elements.iter().all(Result::is_ok));
        }
    }

    #[test]
    fn damaged_events_are_answered_and_their_place_is_in_the_body(place in 0_usize..200, byte: u8, exabeam: bool) {
        let mut body = br#"{"type": "case.updated", "id": 1, "case_id": "C", "time": "2026-11-22T08:00:00Z", "case": {"id": "C", "stage": "New", "tags": ["a", "b"], "detections": [{"id": 1, "approx_log_time": null}]}, "to": "New"}"#.to_vec();
        let place = place % body.len();
        body[place] = byte;
        let request = to(if exabeam { "exabeam" } else { "generic" });
        match request.one(&body) {
            Ok(incoming) => {
                let (Raw::Json(raw) | Raw::Bytes(raw)) = incoming.raw;
                // What cannot be read is kept to the byte, what can without the blanks around it.
                prop_assert_eq!(raw.trim_ascii(), body.trim_ascii());
            }
            Err(error) => {
                prop_assert!(!exabeam);
                prop_assert!(error.position().is_none_or(|at| at.byte <= body.len() && at.line >= 1 && at.column >= 1));
            }
        }
    }

    #[test]
    fn duplicate_keys_are_found_exactly_where_a_slow_reference_finds_them(text in texts()) {
        let written = text.write();
        match json::parse(&written, BOUNDS) {
            Ok((value, _)) => {
                prop_assert!(!text.has_duplicates(), "{}", written);
                prop_assert_eq!(value, serde_json::from_str::<Value>(&written).unwrap());
            }
            Err((fault, _)) => {
                prop_assert!(matches!(fault, json::Fault::DuplicateKey(_)));
                prop_assert!(text.has_duplicates(), "{}", written);
            }
        }
    }
}
