//! What became of tests, for people and for programs.

use std::sync::Arc;

use engine::simulate::trial::{Coverage, Difference};
use playbook::Playbook;
use serde_json::{Value, json};

use super::Tried;
use super::samples::{self, Sampled};
use crate::cli::console::{Console, Tone, one_line};

/// Shows each playbook with its tests, what failed and why, and what no test reached.
pub(super) fn show(console: &Console, tried: &[Tried], coverage: &[(Arc<Playbook>, Coverage)]) -> std::io::Result<()> {
    for (playbook, coverage) in coverage {
        console.data(&console.paint(Tone::Bold, &one_line(&playbook.file)))?;
        for one in tried.iter().filter(|one| one.playbook.id == playbook.id) {
            let name = one_line(&one.test.name);
            if one.outcome.differences.is_empty() {
                console.data(&format!("  {}  {name}", console.paint(Tone::Good, "ok  ")))?;
                continue;
            }
            console.data(&format!("  {}  {name}", console.paint(Tone::Bad, "FAIL")))?;
            for difference in &one.outcome.differences {
                console.data(&render(console, one, difference))?;
            }
        }
        console.data(&format!("  {}", console.paint(Tone::Dim, &summary(coverage))))?;
        for line in missed(coverage) {
            console.data(&format!("    {}", console.paint(Tone::Dim, &line)))?;
        }
    }
    Ok(())
}

/// How many passed, and how many did not.
pub(super) fn total(console: &Console, passed: usize, failed: usize) -> std::io::Result<()> {
    let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
    console.data(&console.paint(tone, &format!("{passed} passed, {failed} failed")))
}

/// One difference: what, where, and both sides below each other.
fn render(console: &Console, one: &Tried, difference: &Difference) -> String {
    let at = format!("{}:{}:{}", one.test.file, difference.span.line, difference.span.column);
    let mut lines =
        vec![format!("        {}  {}", one_line(&difference.what), console.paint(Tone::Dim, &one_line(&at)))];
    match &difference.wanted {
        Some(wanted) => {
            lines.push(format!("          {} {}", console.paint(Tone::Good, "expected"), one_line(wanted)));
            lines.push(format!("          {} {}", console.paint(Tone::Bad, "     got"), one_line(&difference.got)));
        }
        None => lines.push(format!("          {}", one_line(&difference.got))),
    }
    lines.join("\n")
}

fn summary(coverage: &Coverage) -> String {
    let of = |reached: usize, all: usize, what: &str| format!("{reached} of {all} {what} reached");
    let steps = of(coverage.reached.len(), coverage.steps.len(), "steps");
    if coverage.branches.is_empty() {
        return steps;
    }
    format!("{steps}, {}", of(coverage.taken.len(), coverage.branches.len(), "branches"))
}

/// What no test reached, with places.
fn missed(coverage: &Coverage) -> Vec<String> {
    let steps = coverage.missed_steps();
    let branches = coverage.missed_branches();
    let steps = steps.into_iter().map(|(path, span)| format!("never: step {path} (line {})", span.line));
    let branches = branches.into_iter().map(|(branch, span)| format!("never: {branch} (line {})", span.line));
    steps.chain(branches).collect()
}

/// Everything as JSON.
pub(super) fn as_json(tried: &[Tried], coverage: &[(Arc<Playbook>, Coverage)], samples: &[Sampled]) -> Value {
    let tests: Vec<Value> = tried
        .iter()
        .map(|one| {
            let differences: Vec<Value> = one.outcome.differences.iter().map(|d| difference_json(one, d)).collect();
            json!({
                "playbook": one.playbook.id,
                "file": one.test.file,
                "line": one.test.span.line,
                "name": one.test.name,
                "ok": differences.is_empty(),
                "differences": differences,
                "report": one.outcome.report,
            })
        })
        .collect();
    let coverage: Vec<Value> = coverage
        .iter()
        .map(|(playbook, coverage)| {
            json!({
                "playbook": playbook.id,
                "steps": coverage.steps.len(),
                "steps_reached": coverage.reached.len(),
                "branches": coverage.branches.len(),
                "branches_reached": coverage.taken.len(),
                "missed": missed(coverage),
            })
        })
        .collect();
    json!({ "tests": tests, "coverage": coverage, "samples": samples::as_json(samples) })
}

fn difference_json(one: &Tried, difference: &Difference) -> Value {
    json!({
        "what": difference.what,
        "expected": difference.wanted,
        "got": difference.got,
        "file": one.test.file,
        "line": difference.span.line,
        "column": difference.span.column,
    })
}
