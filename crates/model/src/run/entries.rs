//! How the entries of a run's history are written down: by the steps between them, so that a run with thousands of entries,
//! which is written with each of them, stays small. `"501,1x312,3"` is 501, then 312 times the next, then the third after.
//!
//! Invariant: what was written as a list of numbers by an earlier version is read as well.

use std::fmt::{self, Write as _};

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserializer, Serializer};

use crate::id::Seq;

/// Entries of fewer than this many are written as numbers.
const PLAIN_MAX: usize = 8;

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<Seq>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the entries of a run")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Vec<Seq>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = all.next_element()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<Seq>, E> {
        read(text).ok_or_else(|| E::custom("the entries of a run cannot be read"))
    }
}

pub(super) fn serialize<S: Serializer>(entries: &[Seq], serializer: S) -> Result<S::Ok, S::Error> {
    match steps(entries).filter(|_| entries.len() >= PLAIN_MAX) {
        Some(text) => serializer.serialize_str(&text),
        None => serializer.collect_seq(entries),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Seq>, D::Error> {
    deserializer.deserialize_any(Entries)
}

/// The steps as text; nothing when the entries do not ascend.
fn steps(entries: &[Seq]) -> Option<String> {
    let mut text = entries.first()?.0.to_string();
    let mut last: Option<(u64, u32)> = None;
    let mut note = |step: Option<(u64, u32)>| match step {
        Some((step, 1)) => drop(write!(text, ",{step}")),
        Some((step, times)) => drop(write!(text, ",{step}x{times}")),
        None => {}
    };
    for pair in entries.windows(2) {
        let step = pair.get(1)?.0.checked_sub(pair.first()?.0)?;
        last = match last {
            Some((same, times)) if same == step => Some((same, times + 1)),
            other => {
                note(other);
                Some((step, 1))
            }
        };
    }
    note(last);
    Some(text)
}

fn read(text: &str) -> Option<Vec<Seq>> {
    let mut parts = text.split(',');
    let mut at: u64 = parts.next()?.parse().ok()?;
    let mut entries = vec![Seq(at)];
    for part in parts {
        let (step, times) = part.split_once('x').unwrap_or((part, "1"));
        let (step, times): (u64, u32) = (step.parse().ok()?, times.parse().ok()?);
        for _ in 0..times {
            at = at.checked_add(step)?;
            entries.push(Seq(at));
        }
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
    struct Held {
        #[serde(with = "super")]
        entries: Vec<Seq>,
    }

    #[test]
    fn entries_one_after_the_other_take_no_room_and_lists_of_numbers_are_read() {
        let held = Held { entries: (501..=10_500).map(Seq).collect() };
        let text = serde_json::to_string(&held).unwrap();
        assert_eq!(text, r#"{"entries":"501,1x9999"}"#);
        assert_eq!(serde_json::from_str::<Held>(&text).unwrap(), held);
        let few = r#"{"entries":[3,4,9]}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Held>(few).unwrap()).unwrap(), few);
        for broken in ["", "x", "1,2x", "1,x2", "18446744073709551615,1"] {
            let text = serde_json::json!({ "entries": broken }).to_string();
            assert!(serde_json::from_str::<Held>(&text).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(entries in prop::collection::vec(0_u64..5_000, 0..60)) {
            let held = Held { entries: entries.into_iter().map(Seq).collect() };
            let text = serde_json::to_string(&held).unwrap();
            prop_assert_eq!(serde_json::from_str::<Held>(&text).unwrap(), held);
        }

        #[test]
        fn and_what_ascends_too(steps in prop::collection::vec(0_u64..4, 0..60)) {
            let entries = steps.into_iter().scan(7, |at, step| { *at += step; Some(Seq(*at)) }).collect();
            let held = Held { entries };
            let text = serde_json::to_string(&held).unwrap();
            prop_assert_eq!(serde_json::from_str::<Held>(&text).unwrap(), held);
        }
    }
}
