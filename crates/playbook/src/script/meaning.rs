//! Functions that read a meaning out of what somebody else wrote: patterns, numbers, times, priorities, ATT&CK ids.
//!
//! What says nothing gives nothing, never an error. Patterns are matched in time that is linear in the text, and are
//! compiled once for each thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use jiff::tz::Offset;
use model::{Time, limits, record};
use regex_lite::{Regex, RegexBuilder};
use rhai::{Array, Dynamic, ImmutableString, Module};
use serde_json::{Number, Value};

use super::lookup::{given, is_blank, map_of, scalar_text, with_json};
use super::scope::Fault;
use super::view::{Given, raise};

/// Largest compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// Most patterns that a thread keeps compiled.
const PATTERNS_KEPT_MAX: usize = 256;
/// Most characters of what [`snake`] makes.
const SNAKE_CHARS_MAX: usize = 80;
/// Characters of what [`digest`] makes.
const DIGEST_CHARS: usize = 20;

/// Registers them.
pub(super) fn register(module: &mut Module) {
    module.set_native_fn("capture", |text: Dynamic, pattern: ImmutableString| capture(&text, &pattern).map_err(raise));
    module.set_native_fn("capture_all", |text: Dynamic, pattern: ImmutableString| {
        capture_all(&text, &pattern).map_err(raise)
    });
    module.set_native_fn("number", |value: Dynamic| with_json(&value, number).map_err(raise));
    module.set_native_fn("to_time", |value: Dynamic| with_json(&value, to_time).map_err(raise));
    module.set_native_fn("to_priority", |value: Dynamic| with_json(&value, priority_of).map_err(raise));
    module.set_native_fn("to_priority", |value: Dynamic, bands: Array| band(&value, &bands).map_err(raise));
    module.set_native_fn("snake", |value: Dynamic| with_json(&value, snake).map_err(raise));
    module.set_native_fn("from_json", |value: Dynamic| from_json(&value));
    module.set_native_fn("attack_ids", |value: Dynamic| with_json(&value, attack_ids).map_err(raise));
    module.set_native_fn("ips", |value: Dynamic| with_json(&value, ips).map_err(raise));
    module.set_native_fn("digest", |value: Dynamic| with_json(&value, digest).map_err(raise));
    module.set_native_fn("pairs", |value: Dynamic, key: ImmutableString, of: ImmutableString| {
        with_json(&value, |value| pairs(value, &key, &of)).map_err(raise)
    });
}

thread_local! {
    static PATTERNS: RefCell<HashMap<String, Rc<Regex>>> = RefCell::new(HashMap::new());
}

/// A compiled pattern.
fn pattern(text: &str) -> Result<Rc<Regex>, Fault> {
    PATTERNS.with_borrow_mut(|kept| {
        if let Some(regex) = kept.get(text) {
            return Ok(Rc::clone(regex));
        }
        let regex = RegexBuilder::new(text)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| Fault::new("pattern", format!("the pattern cannot be used: {error}")))?;
        if kept.len() >= PATTERNS_KEPT_MAX {
            kept.clear();
        }
        let regex = Rc::new(regex);
        kept.insert(text.to_owned(), Rc::clone(&regex));
        Ok(regex)
    })
}

/// What the first group of a match that took part holds, or the whole match; nothing when it is blank.
fn group(found: &regex_lite::Captures<'_>) -> Option<ImmutableString> {
    let part = found.iter().skip(1).flatten().next().or_else(|| found.get(0))?;
    let text = part.as_str().trim();
    (!text.is_empty()).then(|| text.into())
}

fn capture(text: &Dynamic, with: &str) -> Result<Dynamic, Fault> {
    let regex = pattern(with)?;
    let found = with_json(text, |value| scalar_text(value).and_then(|text| group(&regex.captures(&text)?)))?;
    Ok(found.map_or(Dynamic::UNIT, Dynamic::from))
}

fn capture_all(text: &Dynamic, with: &str) -> Result<Array, Fault> {
    let regex = pattern(with)?;
    with_json(text, |value| {
        let mut list: Vec<ImmutableString> = Vec::new();
        for text in texts(value) {
            for found in regex.captures_iter(&text).filter_map(|found| group(&found)) {
                if list.len() < limits::SCRIPT_MAP_ENTRIES_MAX && !list.contains(&found) {
                    list.push(found);
                }
            }
        }
        list.into_iter().map(Dynamic::from).collect()
    })
}

/// The texts of a text, or of a list.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(scalar_text).collect(),
        value => scalar_text(value).into_iter().collect(),
    }
}

/// A number, or the number that a text begins with, such as `7.5`, `85%` or `8 (High)`.
pub fn number_of(value: &Value) -> Option<Number> {
    let text = match value {
        Value::Number(number) => return Some(number.clone()),
        Value::String(text) => text.trim(),
        _ => return None,
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+' | 'e' | 'E'));
    let digits = text.get(..end.unwrap_or(text.len())).unwrap_or_default().trim_end_matches(['.', 'e', 'E', '-', '+']);
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    match digits.parse::<i64>() {
        Ok(int) => Some(int.into()),
        Err(_) => digits.parse::<f64>().ok().and_then(Number::from_f64),
    }
}

fn number(value: &Value) -> Dynamic {
    let found = number_of(value);
    let int = found.as_ref().and_then(Number::as_i64).map(Dynamic::from);
    int.or_else(|| found?.as_f64().map(Dynamic::from)).unwrap_or(Dynamic::UNIT)
}

/// Epoch seconds, milliseconds, microseconds or nanoseconds, told apart by their size, or a text that names an instant
/// or a time of day, as RFC 3339 in UTC; a text without an offset is left to the source's time zone.
pub fn time_of(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => epoch(number.as_f64()),
        Value::String(text) => time_text(text.trim()),
        _ => None,
    }
}

fn to_time(value: &Value) -> Dynamic {
    time_of(value).map_or(Dynamic::UNIT, Dynamic::from)
}

fn epoch(number: Option<f64>) -> Option<String> {
    let number = number.filter(|number| number.is_finite() && *number > 0.0)?;
    let micros = match number {
        seconds if seconds < 1e11 => seconds * 1e6,
        millis if millis < 1e14 => millis * 1e3,
        micros if micros < 1e17 => micros,
        nanos => nanos / 1e3,
    };
    // Beyond the year 9999 it is no time; a fraction of a microsecond says nothing.
    (micros < 2.5e17).then(|| Time::from_micros(micros.round() as i64).to_string())
}

fn time_text(text: &str) -> Option<String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        // A day written as digits, such as 20240619, is no epoch: those have ten digits at least.
        return if text.len() >= 10 { epoch(text.parse().ok()) } else { None };
    }
    // The time that programs write for "never".
    if text.is_empty() || text.starts_with("0001-01-01") {
        return None;
    }
    if let Ok(time) = Time::parse(text) {
        return Some(time.to_string());
    }
    if let Ok(zoned) = jiff::fmt::rfc2822::parse(text) {
        return Some(Time::from_micros(zoned.timestamp().as_microsecond()).to_string());
    }
    let utc = ["(UTC)", "UTC", "GMT", "Z"].iter().find_map(|end| text.strip_suffix(end)).map(str::trim_end);
    if let Some(Ok(civil)) = utc.map(str::parse::<jiff::civil::DateTime>)
        && let Ok(stamp) = Offset::UTC.to_timestamp(civil)
    {
        return Some(Time::from_micros(stamp.as_microsecond()).to_string());
    }
    offset_by_dots(text).or_else(|| Some(text.replace('/', "-")))
}

/// `2025-02-03T21:41:42+01.00`, which is seen in the field.
fn offset_by_dots(text: &str) -> Option<String> {
    let (at, sign) = text.char_indices().rev().find(|(_, c)| matches!(c, '+' | '-'))?;
    let (day, offset) = (text.get(..at)?, text.get(at + 1..)?);
    let offset = offset.split_once('.').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
    let time = Time::parse(&format!("{day}{sign}{}:{}", offset.0, offset.1)).ok()?;
    Some(time.to_string())
}

/// The words that products use, and the priority that they mean.
const WORDS: [(&str, &[&str]); 4] = [
    (
        "critical",
        &[
            "critical",
            "crit",
            "fatal",
            "emergency",
            "emerg",
            "severe",
            "very high",
            "p1",
            "p0",
            "sev1",
            "sev0",
            "blocker",
            "disaster",
            "immediate",
        ],
    ),
    (
        "high",
        &[
            "high",
            "error",
            "err",
            "major",
            "alert",
            "urgent",
            "p2",
            "sev2",
            "hazardous",
            "imminent compromise",
            "malicious",
        ],
    ),
    ("medium", &["medium", "med", "moderate", "warning", "warn", "average", "p3", "sev3", "suspicious", "normal"]),
    (
        "low",
        &[
            "low",
            "minor",
            "info",
            "information",
            "informational",
            "informative",
            "notice",
            "none",
            "p4",
            "p5",
            "sev4",
            "sev5",
            "debug",
            "untriaged",
            "unknown",
            "ok",
        ],
    ),
];

/// The priority that a word means, such as `SEV-2`, `Warning` or `P3 - Moderate`.
pub fn priority_word(value: &Value) -> Option<&'static str> {
    let Value::String(text) = value else { return None };
    let word = text.trim().to_ascii_lowercase().replace(['_', '-'], " ");
    let known = |word: &str| WORDS.iter().find(|(_, words)| words.contains(&word)).map(|(name, _)| *name);
    known(&word).or_else(|| known(&word.replace(' ', ""))).or_else(|| {
        let parts = word.split(|c: char| !c.is_alphanumeric());
        parts.filter(|part| part.len() > 1).find_map(known)
    })
}

fn priority_of(value: &Value) -> Dynamic {
    priority_word(value).map_or(Dynamic::UNIT, Dynamic::from)
}

/// The priority of a number by the least numbers of `medium`, `high` and `critical`.
fn band(value: &Dynamic, bands: &[Dynamic]) -> Result<Dynamic, Fault> {
    let as_float = |value: &Dynamic| value.as_float().or_else(|_| value.as_int().map(|int| int as f64)).ok();
    let least: Option<Vec<f64>> = bands.iter().map(as_float).collect();
    let Some([medium, high, critical]) = least.as_deref() else {
        let message = "the bands are three numbers: from where on it is medium, high and critical";
        return Err(Fault::new("type_mismatch", message));
    };
    with_json(value, |value| match number_of(value).and_then(|number| number.as_f64()) {
        None => priority_of(value),
        Some(number) => {
            let rank = [medium, high, critical].iter().filter(|least| number >= ***least).count();
            record::PRIORITIES.get(rank).copied().map_or(Dynamic::UNIT, Dynamic::from)
        }
    })
}

/// A text in small letters with `_` between its words, such as `new_assets_added` of `New Asset(s) Added`.
fn snake(value: &Value) -> Dynamic {
    let Some(text) = scalar_text(value) else { return Dynamic::UNIT };
    // A plural in brackets belongs to its word.
    let text = text.replace("(s)", "s").replace("(S)", "s");
    let mut out = String::new();
    let mut before = None;
    for c in text.chars() {
        let upper =
            c.is_ascii_uppercase() && before.is_some_and(|b: char| b.is_ascii_lowercase() || b.is_ascii_digit());
        if (upper || !c.is_ascii_alphanumeric()) && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        }
        before = Some(c);
        if out.len() >= SNAKE_CHARS_MAX {
            break;
        }
    }
    let out = out.trim_end_matches('_');
    if out.is_empty() { Dynamic::UNIT } else { out.into() }
}

/// The value that a text holds as JSON; a value that is no text, or no JSON, as it is.
fn from_json(value: &Dynamic) -> Given<Dynamic> {
    let read = with_json(value, |value| serde_json::from_str::<Value>(value.as_str()?.trim()).ok()).map_err(raise)?;
    match read {
        // A text inside a text is only a text.
        Some(read @ (Value::Array(_) | Value::Object(_))) => given(read),
        _ => Ok(value.clone()),
    }
}

/// The MITRE ATT&CK ids anywhere in a value, such as `T1078`, `T1218.010` or `TA0001`, each once, in their order.
fn attack_ids(value: &Value) -> Array {
    let mut found: Vec<String> = Vec::new();
    collect_ids(value, &mut found);
    found.into_iter().map(Dynamic::from).collect()
}

fn collect_ids(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            for id in ids_in(text) {
                if found.len() < limits::SCRIPT_MAP_ENTRIES_MAX && !found.contains(&id) {
                    found.push(id);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_ids(item, found)),
        Value::Object(object) => {
            for (key, item) in object {
                found.extend(ids_in(key).into_iter().filter(|id| !found.contains(id)).collect::<Vec<_>>());
                collect_ids(item, found);
            }
        }
        _ => {}
    }
}

fn ids_in(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let digits = |from: usize, count: usize| {
        bytes.get(from..from + count).is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let ends = |at: usize| !bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric());
    let mut found = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        if !byte.eq_ignore_ascii_case(&b't') || at.checked_sub(1).is_some_and(|before| !ends(before)) {
            continue;
        }
        let tactic = bytes.get(at + 1).is_some_and(|b| b.eq_ignore_ascii_case(&b'a'));
        let end = at + if tactic { 6 } else { 5 };
        if !digits(end - 4, 4) || !ends(end) {
            continue;
        }
        let sub = !tactic && bytes.get(end) == Some(&b'.') && digits(end + 1, 3) && ends(end + 4);
        let id = text.get(at..if sub { end + 4 } else { end }).unwrap_or_default();
        found.push(id.to_ascii_uppercase());
    }
    found
}

/// The texts of a list that are IP addresses, without ports and brackets.
fn ips(value: &Value) -> Array {
    let address = |text: String| {
        let bare = text.trim_start_matches('[').split(['/', ']']).next().unwrap_or_default().to_owned();
        let without_port =
            bare.rsplit_once(':').filter(|(host, _)| !host.contains(':')).map(|(host, _)| host.to_owned());
        [Some(bare), without_port].into_iter().flatten().find(|text| text.parse::<std::net::IpAddr>().is_ok())
    };
    let mut found: Vec<String> = texts(value).into_iter().filter_map(address).collect();
    found.dedup();
    found.into_iter().map(Dynamic::from).collect()
}

/// A short digest of a value, for ids that are made of several of its parts.
fn digest(value: &Value) -> Dynamic {
    if is_blank(value) {
        return Dynamic::UNIT;
    }
    let digest = model::Digest::of(value.to_string().as_bytes()).to_string();
    digest.chars().filter(char::is_ascii_hexdigit).take(DIGEST_CHARS).collect::<String>().into()
}

/// A list of objects that name a key and a value, as one object: `[{"name": "a", "value": 1}]` → `{a: 1}`.
fn pairs(value: &Value, key: &str, of: &str) -> Dynamic {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let pair = |item: &Value| Some((scalar_text(item.get(key)?)?, scalar_text(item.get(of)?)?.into()));
    let entries: Vec<(String, Dynamic)> = items.iter().filter_map(pair).take(limits::SCRIPT_MAP_ENTRIES_MAX).collect();
    Dynamic::from_map(map_of(entries))
}

/// Whether a pattern can be used: for the check of a script.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_pattern(text: &str) -> Result<(), String> {
    pattern(text).map(drop).map_err(|fault| fault.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(value: Dynamic) -> String {
        value.to_string()
    }

    #[test]
    fn attack_ids_are_found_in_texts_lists_and_keys_and_nothing_else_is_taken_for_one() {
        let value = json!(["System Binary Proxy Execution (T1218)", {"TA0001 x": "attack.t1218.010"}, "XT1234 T12345 T1000a", "T1218"]);
        let ids: Vec<String> = attack_ids(&value).into_iter().map(text).collect();
        assert_eq!(ids, ["T1218", "TA0001", "T1218.010"]);
    }

    #[test]
    fn times_of_many_forms_are_read() {
        for (given, wanted) in [
            (json!(1_700_000_000), "2023-11-14T22:13:20.000Z"),
            (json!(1_700_000_000_000_i64), "2023-11-14T22:13:20.000Z"),
            (json!("1700000000.5"), "2023-11-14T22:13:20.500Z"),
            (json!("2024-06-19 11:02:03 (UTC)"), "2024-06-19T11:02:03.000Z"),
            (json!("2021-09-18 20:38:52Z"), "2021-09-18T20:38:52.000Z"),
            (json!("2025-02-03T21:41:42.853014+01.00"), "2025-02-03T20:41:42.853014Z"),
            (json!("Wed, 19 Jun 2024 11:02:03 +0200"), "2024-06-19T09:02:03.000Z"),
            (json!("2024/06/19 11:02:03"), "2024-06-19 11:02:03"),
        ] {
            assert_eq!(time_of(&given).as_deref(), Some(wanted), "{given}");
        }
        for nothing in [json!("0001-01-01T00:00:00Z"), json!(0), json!(""), json!({}), json!("20240619")] {
            assert_eq!(time_of(&nothing), None, "{nothing}");
        }
    }

    #[test]
    fn words_and_numbers_become_priorities() {
        for (word, wanted) in [
            ("CRITICAL", "critical"),
            ("SEV-1", "critical"),
            ("P3 - Moderate", "medium"),
            ("Warning", "medium"),
            ("1 - High", "high"),
            ("Info", "low"),
        ] {
            assert_eq!(priority_word(&json!(word)), Some(wanted), "{word}");
        }
        let bands = [4.into(), 7.into(), 9.into()];
        for (number, wanted) in
            [(json!(8.9), "high"), (json!("9"), "critical"), (json!(0), "low"), (json!("High"), "high")]
        {
            assert_eq!(text(band(&given(number.clone()).unwrap(), &bands).unwrap()), wanted, "{number}");
        }
    }

    #[test]
    fn words_become_names() {
        for (words, wanted) in [
            ("New Asset(s) Added", "new_assets_added"),
            ("Asset Ports", "asset_ports"),
            ("impossibleTravel", "impossible_travel"),
            ("--A//b--", "a_b"),
        ] {
            assert_eq!(text(snake(&json!(words))), wanted);
        }
        assert!(snake(&json!("日本")).is_unit());
    }

    #[test]
    fn numbers_are_read_from_texts() {
        assert_eq!(number(&json!("85%")).as_int(), Ok(85));
        assert_eq!(number(&json!("7.5/10")).as_float(), Ok(7.5));
        assert!(number(&json!("high")).is_unit());
        assert!(number(&json!(null)).is_unit());
    }
}
