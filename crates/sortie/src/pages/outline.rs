//! The outline of a playbook: its steps in the order of the file, nested as they are, with the path by which a run names
//! each. Read from the text as it ran, so that a run shows the version that it was pinned to, whatever stands in the
//! folder today.
//!
//! The text is read as YAML and not compiled: an outline needs no scripts, and a text that an older version wrote is
//! still shown.

use playbook::yaml::{self, Node, Value};

/// Keys of a step that say what it does as a block, in the order in which they are looked for.
const BLOCKS: [&str; 10] =
    ["for_each", "parallel", "switch", "repeat", "try", "call", "wait", "approve", "set", "stop"];
/// Deepest nesting that is shown.
const DEPTH_MAX: usize = 32;

/// One line of the outline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The path by which a run names the step; empty for a line that only groups others.
    pub(super) path: String,
    /// What it is called.
    pub(super) name: String,
    /// The action's id, or the kind of block.
    pub(super) what: String,
    /// Its `if`, or what a block depends on.
    pub(super) condition: Option<String>,
    /// The line of the text, from 1.
    pub(super) line: u32,
    /// What stands inside it.
    pub(super) inside: Vec<Line>,
}

/// The outline of a text; empty when it cannot be read.
pub(super) fn of(text: &str) -> Vec<Line> {
    let Ok(root) = yaml::parse(&std::sync::Arc::from("as-it-ran.yaml"), text) else { return Vec::new() };
    let mut lines = list(root.get("steps"), "", 0);
    let failing = list(root.get("on_failure"), "on_failure.", 0);
    if let (Some(node), false) = (root.get("on_failure"), failing.is_empty()) {
        lines.push(group("when a step failed", "on_failure", node, failing));
    }
    lines
}

fn group(name: &str, what: &str, node: &Node, inside: Vec<Line>) -> Line {
    let line = node.span.line;
    Line { path: String::new(), name: name.to_owned(), what: what.to_owned(), condition: None, line, inside }
}

fn items(node: Option<&Node>) -> &[Node] {
    match node.map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn list(node: Option<&Node>, prefix: &str, depth: usize) -> Vec<Line> {
    if depth >= DEPTH_MAX {
        return Vec::new();
    }
    items(node).iter().enumerate().map(|(at, node)| step(node, prefix, at, depth)).collect()
}

fn step(node: &Node, prefix: &str, at: usize, depth: usize) -> Line {
    let text = |name: &str| node.get(name).and_then(Node::as_text);
    let id = text("id").unwrap_or_default();
    let path = if id.is_empty() { format!("{prefix}#{}", at + 1) } else { format!("{prefix}{id}") };
    let block = BLOCKS.into_iter().find(|name| node.get(name).is_some());
    let what = text("action").or(block).unwrap_or_default().to_owned();
    let mut inside = block.map_or_else(Vec::new, |name| within(node.get(name), name, &path, depth + 1));
    let fallback = list(node.get("on_error"), &format!("{path}.on_error."), depth + 1);
    if let (Some(node), false) = (node.get("on_error"), fallback.is_empty()) {
        inside.push(group("when it failed", "on_error", node, fallback));
    }
    let name = if id.is_empty() { format!("step {}", at + 1) } else { id.to_owned() };
    let condition = node.get("if").map(shown);
    Line { path, name, what, condition, line: node.span.line, inside }
}

fn shown(node: &Node) -> String {
    node.as_text().map_or_else(|| node.to_json().to_string(), str::to_owned)
}

/// What stands inside a block.
fn within(block: Option<&Node>, name: &str, path: &str, depth: usize) -> Vec<Line> {
    let Some(block) = block else { return Vec::new() };
    let inner = format!("{path}.");
    match name {
        "parallel" => {
            items(block.get("branches")).iter().enumerate().map(|(n, b)| branch(b, &inner, n, depth)).collect()
        }
        "switch" => items(Some(block)).iter().enumerate().map(|(n, arm)| case(arm, &inner, n, depth)).collect(),
        "try" => {
            let mut lines = list(block.get("steps"), &inner, depth);
            for (key, words) in [("catch", "when it failed"), ("finally", "in any case")] {
                let part = list(block.get(key), &format!("{inner}{key}."), depth);
                if let (Some(node), false) = (block.get(key), part.is_empty()) {
                    lines.push(group(words, key, node, part));
                }
            }
            lines
        }
        _ => list(block.get("steps"), &inner, depth),
    }
}

fn branch(node: &Node, prefix: &str, at: usize, depth: usize) -> Line {
    let id = node.get("id").and_then(Node::as_text).map_or_else(|| format!("#{}", at + 1), str::to_owned);
    let inside = list(node.get("steps"), &format!("{prefix}{id}."), depth + 1);
    group(&id, "branch", node, inside)
}

fn case(node: &Node, prefix: &str, at: usize, depth: usize) -> Line {
    let inside = list(node.get("steps"), &format!("{prefix}#{}.", at + 1), depth + 1);
    let condition = node.get("when").map(shown);
    let name = if condition.is_some() { "when" } else { "else" };
    Line { condition, ..group(name, "case", node, inside) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "playbook: p\nname: P\ntriggers: [manual]\nsteps:\n  - id: send\n    action: webhook.send\n    if: true\n    \
        on_error:\n      - id: tell\n        action: log\n  - action: log\non_failure:\n  - action: case.comment\n";

    #[test]
    fn steps_have_the_paths_by_which_runs_name_them() {
        let lines = of(TEXT);
        let names: Vec<&str> = lines.iter().map(|line| line.path.as_str()).collect();
        assert_eq!(names, ["send", "#2", ""]);
        assert_eq!(lines[0].condition.as_deref(), Some("true"));
        assert_eq!(lines[0].inside[0].inside[0].path, "send.on_error.tell");
        assert_eq!(lines[2].inside[0].path, "on_failure.#1");
        assert_eq!((lines[0].line, lines[2].line), (5, 13));
    }

    #[test]
    fn what_is_no_playbook_has_no_outline() {
        assert!(of("steps: [").is_empty());
        assert!(of("").is_empty());
    }
}
