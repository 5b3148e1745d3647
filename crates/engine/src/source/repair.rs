//! Bodies that are nearly JSON: what some products send, made readable without guessing at its meaning.
//!
//! Repaired are a backslash that escapes nothing (`C:\temp`, `Corporation\ Product`), a raw control character inside a
//! text, half of a surrogate pair, and bytes that are not UTF-8. Nothing is added, closed, or left out, so a body that
//! ends early stays unreadable.
//!
//! Invariant: the result is at most six times as long as the body, and the bytes as sent are kept beside it.

use std::borrow::Cow;

/// The repaired text and what was repaired, in words; nothing when there was nothing to repair.
pub(super) fn repair(body: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let mut done = Done { bytes: matches!(text, Cow::Owned(_)), ..Done::default() };
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.char_indices().peekable();
    let mut inside = false;
    while let Some((at, c)) = rest.next() {
        match c {
            '"' => {
                inside = !inside;
                out.push(c);
            }
            '\\' if inside => {
                let kept = escape(text.get(at + 1..).unwrap_or_default(), &mut out, &mut done);
                for _ in 0..kept {
                    rest.next();
                }
            }
            c if inside && u32::from(c) < 0x20 => {
                done.controls = true;
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    done.words().map(|words| (out, words))
}

/// What was repaired.
#[derive(Debug, Default)]
struct Done {
    bytes: bool,
    escapes: bool,
    controls: bool,
    surrogates: bool,
}

impl Done {
    fn words(&self) -> Option<String> {
        let all = [
            (self.escapes, "a backslash that escapes nothing"),
            (self.controls, "a control character inside a text"),
            (self.surrogates, "half of a surrogate pair"),
            (self.bytes, "bytes that are not UTF-8"),
        ];
        let words: Vec<&str> = all.iter().filter(|(done, _)| *done).map(|(_, words)| *words).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// Writes what a backslash and the text after it become; how many characters after it are used up.
fn escape(after: &str, out: &mut String, done: &mut Done) -> usize {
    match after.chars().next() {
        Some(c @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't')) => {
            out.push('\\');
            out.push(c);
            1
        }
        Some('u') => match unit(after) {
            Some(0xDC00..=0xDFFF) => lone(out, done),
            Some(0xD800..=0xDBFF) => match after.get(5..).and_then(|rest| rest.strip_prefix('\\')).and_then(unit) {
                Some(0xDC00..=0xDFFF) => {
                    out.push('\\');
                    out.push_str(after.get(..11).unwrap_or_default());
                    11
                }
                _ => lone(out, done),
            },
            Some(_) => {
                out.push('\\');
                out.push_str(after.get(..5).unwrap_or_default());
                5
            }
            None => wild(out, done),
        },
        _ => wild(out, done),
    }
}

/// The code unit of `uXXXX`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix('u')?.get(..4)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

fn lone(out: &mut String, done: &mut Done) -> usize {
    done.surrogates = true;
    out.push(char::REPLACEMENT_CHARACTER);
    5
}

fn wild(out: &mut String, done: &mut Done) -> usize {
    done.escapes = true;
    out.push_str("\\\\");
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn repaired(body: &[u8]) -> (Value, String) {
        let (text, words) = repair(body).expect("a repair");
        (serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}")), words)
    }

    #[test]
    fn what_escapes_nothing_stays_as_it_was_written() {
        let (value, words) = repaired(br#"{"a": "Acme Corporation\ Product", "p": "C:\temp\x", "ok": "\"\\\u00e9\n"}"#);
        assert_eq!(value["a"], "Acme Corporation\\ Product");
        assert_eq!(value["p"], "C:\temp\\x", "a valid escape keeps its meaning");
        assert_eq!(value["ok"], "\"\\é\n");
        assert_eq!(words, "a backslash that escapes nothing");
    }

    #[test]
    fn control_characters_surrogates_and_bytes_are_repaired_and_named() {
        let (value, words) =
            repaired(b"{\"a\": \"x\ny\", \"b\": \"\\ud83d!\", \"c\": \"\\ud83d\\ude00\", \"d\": \"\xff\"}");
        assert_eq!(
            (&value["a"], &value["b"], &value["c"], &value["d"]),
            (&"x\ny".into(), &"\u{fffd}!".into(), &"😀".into(), &"\u{fffd}".into())
        );
        assert!(words.contains("control") && words.contains("surrogate") && words.contains("UTF-8"), "{words}");
    }

    #[test]
    fn what_is_broken_otherwise_is_left_alone() {
        for body in [&b"{\"a\": "[..], b"{\"a\": 1,}", b"", b"{\"a\": \"\\u00e9\"}", b"not json"] {
            assert_eq!(repair(body), None);
        }
    }

    #[test]
    fn a_text_that_ends_in_a_backslash_does_not_swallow_its_quote() {
        assert_eq!(repair(br#"{"a": "x\"}"#), None, "this may be an escaped quote: nothing is guessed");
        assert_eq!(repaired(br#"{"a": "\u12", "b": 1}"#).0["a"], "\\u12");
    }
}
