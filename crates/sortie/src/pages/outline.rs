//! The outline of a playbook: its steps in the order of the file, nested as they are, with the path by which a run names
//! each. Read from the text as it ran, so that a run shows the version that it was pinned to, whatever stands in the
//! folder today.
//!
//! The text is read as YAML and not compiled: an outline needs no scripts, and a text that an older version wrote is
//! still shown.

use std::collections::BTreeSet;

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
    for (key, words) in [("on_failure", "when a step failed"), ("finally", "in any case")] {
        lines.extend(part(&root, key, words, &format!("{key}/"), 0));
    }
    lines
}

/// A list of steps under a key that says when they are done; nothing when there is none.
fn part(node: &Node, key: &str, words: &str, prefix: &str, depth: usize) -> Option<Line> {
    let place = node.get(key)?;
    let inside = list(Some(place), prefix, depth);
    (!inside.is_empty()).then(|| group(words, key, place, inside))
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
    inside.extend(part(node, "on_error", "when it failed", &format!("{path}/on_error/"), depth + 1));
    let name = if id.is_empty() { format!("step {}", at + 1) } else { id.to_owned() };
    let condition = node.get("if").map(shown);
    Line { path, name, what, condition, line: node.span.line, inside }
}

fn shown(node: &Node) -> String {
    node.as_text().map_or_else(|| node.to_json().to_string(), str::to_owned)
}

/// What stands inside a block. The number of an item or a turn is written as `*`.
fn within(block: Option<&Node>, name: &str, path: &str, depth: usize) -> Vec<Line> {
    let Some(block) = block else { return Vec::new() };
    match name {
        "parallel" => items(block.get("branches")).iter().map(|one| branch(one, path, depth)).collect(),
        "switch" => items(Some(block)).iter().enumerate().map(|(n, arm)| case(arm, path, n, depth)).collect(),
        "try" => {
            let mut lines = list(block.get("steps"), &format!("{path}/try/"), depth);
            for (key, words) in [("catch", "when one of them failed"), ("finally", "in any case")] {
                lines.extend(part(block, key, words, &format!("{path}/{key}/"), depth));
            }
            lines
        }
        _ => list(block.get("steps"), &format!("{path}/*/"), depth),
    }
}

fn branch(node: &Node, path: &str, depth: usize) -> Line {
    let id = node.get("id").and_then(Node::as_text).unwrap_or_default();
    let inside = list(node.get("steps"), &format!("{path}/{id}/"), depth + 1);
    group(id, "branch", node, inside)
}

fn case(node: &Node, path: &str, at: usize, depth: usize) -> Line {
    let inside = list(node.get("steps"), &format!("{path}/{at}/"), depth + 1);
    let condition = node.get("when").map(shown);
    let name = if condition.is_some() { "when" } else { "else" };
    Line { condition, ..group(name, "case", node, inside) }
}

/// Which line of the outline each path of a run belongs to.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// Every path of the outline, and every beginning of one.
    known: BTreeSet<String>,
}

impl Paths {
    /// Of an outline.
    pub(super) fn of(lines: &[Line]) -> Paths {
        let mut paths = Paths::default();
        paths.add(lines);
        paths
    }

    fn add(&mut self, lines: &[Line]) {
        for line in lines {
            let ends = line.path.match_indices('/').map(|(end, _)| end).chain([line.path.len()]);
            self.known.extend(ends.map(|end| line.path[..end].to_owned()));
            self.add(&line.inside);
        }
    }

    /// The path in the outline: the number of an item or a turn becomes `*`. Any other path stays as it is.
    pub(super) fn plain(&self, path: &str) -> String {
        let mut out = String::with_capacity(path.len());
        for segment in path.split('/') {
            let slash = if out.is_empty() { "" } else { "/" };
            let (exact, any) = (format!("{out}{slash}{segment}"), format!("{out}{slash}*"));
            if !self.known.contains(&exact) && segment.parse::<usize>().is_ok() && self.known.contains(&any) {
                out = any;
            } else {
                out = exact;
            }
        }
        out
    }
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
        assert_eq!(lines[0].inside[0].inside[0].path, "send/on_error/tell");
        assert_eq!(lines[2].inside[0].path, "on_failure/#1");
        assert_eq!((lines[0].line, lines[2].line), (5, 13));
    }

    #[test]
    fn paths_of_items_turns_and_cases_lead_to_the_step_of_the_text() {
        let lines = of(
            "steps:\n  - id: each\n    for_each: { in: x, as: y, steps: [ { id: send, action: log } ] }\n  - id: route\n    \
            switch: [ { when: a, steps: [ { id: tell, action: log } ] }, { else: true, steps: [ { action: log } ] } ]\n  - id: both\n    \
            parallel: { branches: [ { id: left, steps: [ { id: ask, action: log } ] } ] }\n  - id: guard\n    \
            try: { steps: [ { id: go, action: log } ], catch: [ { action: log } ] }\n",
        );
        let paths = Paths::of(&lines);
        for (run, text) in [
            ("each/17/send", "each/*/send"),
            ("route/0/tell", "route/0/tell"),
            ("route/1/#1", "route/1/#1"),
            ("both/left/ask", "both/left/ask"),
            ("guard/catch/#1", "guard/catch/#1"),
            ("gone/3/x", "gone/3/x"),
        ] {
            assert_eq!(paths.plain(run), text);
        }
        let all: Vec<&str> = lines[3].inside.iter().map(|line| line.path.as_str()).collect();
        assert_eq!(all, ["guard/try/go", ""]);
    }

    #[test]
    fn what_is_no_playbook_has_no_outline() {
        assert!(of("steps: [").is_empty());
        assert!(of("").is_empty());
    }
}
