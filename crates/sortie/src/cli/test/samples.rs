//! The samples of sources, carried out beside the tests of playbooks: a body goes the whole way that a request's body goes.

use std::fmt::Write as _;
use std::sync::Arc;

use engine::source::file::{self as mapping, Ran};
use playbook::{Diagnostic, Evaluator, Source};
use serde_json::{Value, json};

use super::junit::escape;
use crate::cli::console::{Console, Tone, one_line};

/// A sample with what became of it.
pub(super) struct Sampled {
    source: String,
    file: Arc<str>,
    ran: Ran,
}

impl Sampled {
    /// Whether it came out as it should.
    pub(super) fn is_good(&self) -> bool {
        self.ran.differences.is_empty()
    }
}

/// Carries the samples of these files out.
///
/// # Errors
/// Everything that is wrong with the files themselves.
pub(super) fn run(files: &[Source], evaluator: &Evaluator) -> Result<Vec<Sampled>, Vec<Diagnostic>> {
    let (mut all, mut found) = (Vec::new(), Vec::new());
    for file in files {
        match mapping::read(&file.file, &file.text, evaluator) {
            Err(diagnostics) => found.extend(diagnostics),
            Ok(read) => {
                let read = Arc::new(read);
                let ran = mapping::run_samples(&read, evaluator);
                all.extend(ran.into_iter().map(|ran| Sampled {
                    source: read.name.clone(),
                    file: Arc::clone(&file.file),
                    ran,
                }));
            }
        }
    }
    if found.is_empty() { Ok(all) } else { Err(found) }
}

/// Shows each file with its samples, and what is not as expected.
pub(super) fn show(console: &Console, all: &[Sampled]) -> std::io::Result<()> {
    let mut last = None;
    for one in all {
        if last != Some(&one.file) {
            console.data(&console.paint(Tone::Bold, &one_line(&one.file)))?;
            last = Some(&one.file);
        }
        let (tone, word) = if one.is_good() { (Tone::Good, "ok  ") } else { (Tone::Bad, "FAIL") };
        console.data(&format!("  {}  {}", console.paint(tone, word), one_line(&one.ran.sample)))?;
        for difference in &one.ran.differences {
            let at = format!("{}:{}:{}", one.file, one.ran.span.line, one.ran.span.column);
            let at = console.paint(Tone::Dim, &one_line(&at));
            console.data(&format!("        {}  {at}", one_line(difference)))?;
        }
    }
    Ok(())
}

/// All of them for programs.
pub(super) fn as_json(all: &[Sampled]) -> Vec<Value> {
    let one = |one: &Sampled| {
        json!({
            "source": one.source,
            "file": one.file,
            "line": one.ran.span.line,
            "name": one.ran.sample,
            "ok": one.is_good(),
            "differences": one.ran.differences,
            "events": one.ran.events,
        })
    };
    all.iter().map(one).collect()
}

/// All of them as a suite of a JUnit file; nothing when there are none.
pub(super) fn junit(all: &[Sampled]) -> String {
    let mut out = String::new();
    if all.is_empty() {
        return out;
    }
    let failed = all.iter().filter(|one| !one.is_good()).count();
    // Writing into a text cannot fail.
    let _ =
        writeln!(out, "  <testsuite name=\"sources\" tests=\"{}\" failures=\"{failed}\" time=\"0.000\">", all.len());
    for one in all {
        let (class, name, file) = (escape(&one.source), escape(&one.ran.sample), escape(&one.file));
        let line = one.ran.span.line;
        let _ = write!(out, "    <testcase classname=\"{class}\" name=\"{name}\" file=\"{file}\" line=\"{line}\"");
        if one.is_good() {
            out.push_str("/>\n");
            continue;
        }
        out.push_str(">\n");
        for difference in &one.ran.differences {
            let _ = writeln!(out, "      <failure message=\"{}\"/>", escape(difference));
        }
        out.push_str("    </testcase>\n");
    }
    out.push_str("  </testsuite>\n");
    out
}
