//! The outcome of tests in the form that build servers read.

use std::fmt::Write as _;

use super::Tried;
use super::samples::{self, Sampled};

/// A JUnit file: one suite for each playbook, and one for the samples of sources.
pub(super) fn report(tried: &[Tried], samples: &[Sampled]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let failures = |all: &[&Tried]| all.iter().filter(|one| !one.outcome.differences.is_empty()).count();
    let seconds = |all: &[&Tried]| all.iter().map(|one| one.seconds).sum::<f64>() + 0.0; // the sum of nothing is -0.0
    let all: Vec<&Tried> = tried.iter().collect();
    let (tests, failed, time) = (all.len() + samples.len(), failures(&all), seconds(&all));
    let failed = failed + samples.iter().filter(|one| !one.is_good()).count();
    let _ = writeln!(out, "<testsuites name=\"sortie\" tests=\"{tests}\" failures=\"{failed}\" time=\"{time:.3}\">");
    let mut ids: Vec<&str> = Vec::new();
    for one in tried {
        if !ids.contains(&&*one.playbook.id) {
            ids.push(&one.playbook.id);
        }
    }
    for id in ids {
        let suite: Vec<&Tried> = tried.iter().filter(|one| &*one.playbook.id == id).collect();
        let (tests, failed, time) = (suite.len(), failures(&suite), seconds(&suite));
        let file = suite.first().map_or_else(String::new, |one| escape(&one.playbook.file));
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" file=\"{file}\" tests=\"{tests}\" failures=\"{failed}\" time=\"{time:.3}\">",
            escape(id)
        );
        suite.iter().for_each(|one| case(&mut out, one));
        out.push_str("  </testsuite>\n");
    }
    out.push_str(&samples::junit(samples));
    out.push_str("</testsuites>\n");
    out
}

fn case(out: &mut String, one: &Tried) {
    let _ = write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\" time=\"{:.3}\"",
        escape(&one.playbook.id),
        escape(&one.test.name),
        escape(&one.test.file),
        one.test.span.line,
        one.seconds
    );
    if one.outcome.differences.is_empty() {
        out.push_str("/>\n");
        return;
    }
    out.push_str(">\n");
    for found in &one.outcome.differences {
        let wanted = found.wanted.as_ref().map(|wanted| format!("expected {wanted}\n")).unwrap_or_default();
        let text = format!("{}:{}:{}\n{wanted}got {}", one.test.file, found.span.line, found.span.column, found.got);
        let _ = writeln!(out, "      <failure message=\"{}\">{}</failure>", escape(&found.what), escape(&text));
    }
    out.push_str("    </testcase>\n");
}

/// Text as it may stand in XML 1.0: marks escaped, characters that XML cannot hold replaced.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
