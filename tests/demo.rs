//! The first command of a newcomer: it shows everything, and ends by itself.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Folder;
use crate::support::command::sortie;
use crate::support::sample::keys;

#[test]
fn the_demo_ends_by_itself_and_shows_the_delivered_json_and_how_to_go_on() {
    let folder = Folder::new();
    let began = Instant::now();
    let ended = sortie(&folder, &["demo"]).expect(0);
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    let text = format!("{}\n{}", ended.stdout, ended.stderr);
    for part in ["matched", "not_matched", "serve", "webhook-id"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // The delivered message stands in it as JSON that can be read.
    let delivered = text.match_indices('{').find_map(|(at, _)| {
        let value = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>().next()?.ok()?;
        (value.get("threat_summary").is_some()).then_some(value)
    });
    let delivered = delivered.unwrap_or_else(|| panic!("no delivered JSON in {text}"));
    assert!(keys(&delivered).contains(&"detections"), "{delivered}");
    assert!(!folder.data().exists(), "the working folder stays as it was");
}
