//! Writes JSON, byte for byte as `serde_json` does, faster.
//!
//! The fields of an object are written with every event, into the history and into the state. `serde_json` looks at each
//! byte of a text by itself; here eight are looked at together, and nothing can fail on the way.

use std::io::Write as _;

use serde_json::{Map, Value};

/// Appends a value. It nests no deeper than what was read ([`crate::limits::JSON_DEPTH_MAX`]).
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            // Writing into memory cannot fail.
            let _ = write!(out, "{number}");
        }
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => write_fields(fields, out),
    }
}

/// Appends an object.
pub fn write_fields(fields: &Map<String, Value>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (n, (name, value)) in fields.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        write(value, out);
    }
    out.push(b'}');
}

/// The text of an object.
pub fn text_of(fields: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    write_fields(fields, &mut out);
    out
}

/// Appends a text, in quotes.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    while let Some(at) = first_special(rest) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, after)) = from.split_first() else { break };
        escape(*special, out);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Where the first byte is that must be escaped.
fn first_special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    // The high bit of each byte says whether the byte is below `n`; bytes after the first such one may be said to be, too.
    let below = |word: u64, n: u8| word.wrapping_sub(ONES.wrapping_mul(u64::from(n))) & !word & HIGHS;
    let equal = |word: u64, byte: u8| below(word ^ ONES.wrapping_mul(u64::from(byte)), 1);
    let (eights, _) = bytes.as_chunks::<8>();
    let free = eights.iter().take_while(|eight| {
        let word = u64::from_le_bytes(**eight);
        below(word, 0x20) | equal(word, b'"') | equal(word, b'\\') == 0
    });
    let start = free.count() * 8;
    bytes.get(start..)?.iter().position(|byte| is_special(*byte)).map(|at| start + at)
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            let hex = |half: u8| HEX[usize::from(half & 0xf)];
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte)]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn same(value: &Value) {
        let mut out = Vec::new();
        write(value, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
    }

    #[test]
    fn every_character_is_written_as_serde_json_does_wherever_it_stands() {
        for c in (0..0x180_u32).chain([0x2028, 0xfffd, 0x1f600]).filter_map(char::from_u32) {
            for before in 0..20 {
                same(&Value::String(format!("{}{c}{}", "é".repeat(before / 3), "x".repeat(before))));
                same(&Value::String(format!("{}{c}\u{7f}{c}", "x".repeat(before))));
            }
        }
    }

    #[test]
    fn every_kind_of_value_is_written_as_serde_json_does() {
        same(&json!({"": null, "a\n": [true, false, [], {}, 0, -1, u64::MAX, i64::MIN, 1.5, -0.0, 1e300, 1e-7, 1e16]}));
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_does(text in ".*", bytes in proptest::collection::vec(any::<char>(), 0..64)) {
            same(&json!({ text: bytes.into_iter().collect::<String>() }));
        }
    }
}
