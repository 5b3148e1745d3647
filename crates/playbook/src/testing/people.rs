//! What people answer in a test.

use std::time::Duration;

use super::read::{Known, word};
use super::{APPROVES_BY, People, Said};
use crate::fields::Fields;
use crate::reader::Reader;
use crate::yaml::{Node, Value};

/// The two answers.
const DECISIONS: [&str; 2] = ["approve", "deny"];

/// Reads `approvals`: steps with an answer each, or a list of them.
pub(super) fn read(reader: &mut Reader, fields: &mut Fields<'_>, known: &Known) -> Vec<People> {
    let Some(mut entries) = fields.fields(reader, "approvals") else { return Vec::new() };
    let mut all = Vec::new();
    for (key, node) in entries.free() {
        known.step(reader, &key.text, key.span);
        let answers: Vec<Said> = match &node.value {
            Value::List(items) => items.iter().filter_map(|item| said(reader, item)).collect(),
            _ => said(reader, node).into_iter().collect(),
        };
        if !answers.is_empty() {
            all.push(People { step: key.text.clone(), answers, span: key.span });
        }
    }
    all
}

/// `approve`, or a map that says more.
fn said(reader: &mut Reader, node: &Node) -> Option<Said> {
    let plain = |approves: bool| Said {
        approves,
        by: APPROVES_BY.to_owned(),
        comment: None,
        fields: model::Record::new(),
        after: Duration::ZERO,
        refused: false,
        span: node.span,
    };
    if let Some(text) = node.as_text() {
        return decision(reader, node, text).map(plain);
    }
    let mut fields = reader.map(node, "the answer of a person")?;
    let asked =
        fields.node(reader, "decision").and_then(|node| decision(reader, node, node.as_text().unwrap_or_default()));
    let by = fields.opt_text(reader, "by");
    let comment = fields.opt_text(reader, "comment");
    let given = fields.opt_node("fields").map(Node::to_json);
    let after = fields.duration(reader, "after").unwrap_or_default();
    let refused = fields.bool(reader, "refused").unwrap_or(false);
    fields.finish(reader);
    let said = plain(asked?);
    let fields = given.and_then(|all| all.as_object().cloned()).unwrap_or_default();
    Some(Said { by: by.unwrap_or(said.by), comment, fields, after, refused, ..said })
}

fn decision(reader: &mut Reader, node: &Node, text: &str) -> Option<bool> {
    match text {
        "approve" => Some(true),
        "deny" => Some(false),
        other => {
            word(reader, node.span, "decision", other, &DECISIONS);
            None
        }
    }
}
