//! Destinations that playbooks name and no file says: on a laptop there is often none.

use std::collections::BTreeMap;
use std::sync::Arc;

use playbook::{Body, Playbook};
use serde_json::{Value, json};

use super::steps_of;
use crate::outbound::Egress;
use crate::outbound::destination::{self, Destination, Destinations, Rules};

/// Plain webhooks, at addresses that lead nowhere, in the place of the destinations that these playbooks name and `known`
/// does not have.
pub fn stand_ins<'a>(
    playbooks: impl Iterator<Item = &'a Playbook>,
    known: &Destinations,
) -> BTreeMap<String, Arc<Destination>> {
    let mut missing = serde_json::Map::new();
    for playbook in playbooks {
        for step in steps_of(playbook) {
            let Body::Action { with, .. } = &step.body else { continue };
            let names = match with.get("to").and_then(|to| to.constant()) {
                Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
                Some(Value::String(name)) => vec![name.as_str()],
                _ => Vec::new(),
            };
            for name in names.into_iter().filter(|name| !known.map.contains_key(*name)) {
                let plain = json!({ "kind": "webhook", "url": format!("https://{name}.invalid/") });
                missing.insert(name.to_owned(), plain);
            }
        }
    }
    // JSON is YAML: whatever a plain webhook is, the reader of files knows.
    let text = json!({ "destinations": missing }).to_string();
    let egress = Egress::default();
    let rules = Rules { max: usize::MAX, ..Rules::new(&egress) };
    destination::read(&Arc::from("stand-ins"), &text, rules).map(|read| read.map).unwrap_or_default()
}
