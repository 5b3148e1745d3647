//! The file behind a configured source: a shipped one, or a team's own.

use std::path::Path;
use std::sync::Arc;

use engine::source::file::{self, SourceFile};
use playbook::{Diagnostic, Evaluator, Severity, Span};

use crate::config::{Source, codes};

/// Largest file of a source, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// The file of a configured source. `whole` is the configuration as it is named in messages.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn load(
    source: &Source,
    whole: &Arc<str>,
    evaluator: &Evaluator,
) -> Result<Arc<SourceFile>, Vec<Diagnostic>> {
    let wrong = |code, message: String, help: &str| {
        let (file, excerpt, help) = (whole.clone(), String::new(), Some(help.to_owned()));
        vec![Diagnostic { code, severity: Severity::Error, message, file, span: source.span, excerpt, help }]
    };
    if let Some(path) = &source.file {
        let read = read(path, evaluator)?;
        if read.name != source.name {
            let message = format!("the file says `source: {}`, the configuration `{}`", read.name, source.name);
            return Err(wrong(file::NAME, message, "let both say the same name"));
        }
        return Ok(read);
    }
    let name = source.uses.as_deref().unwrap_or(&source.name);
    file::shipped(name, evaluator).ok_or_else(|| {
        let help = format!(
            "the shipped sources are {}; `file:` names one of your own, `uses:` a shipped one under another name",
            known()
        );
        wrong(codes::UNKNOWN_SOURCE, format!("there is no source `{name}`"), &help)
    })
}

/// Reads a file of a source.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read(path: &Path, evaluator: &Evaluator) -> Result<Arc<SourceFile>, Vec<Diagnostic>> {
    let name: Arc<str> = path.display().to_string().into();
    let unreadable = |message: String| {
        let span = Span { line: 1, column: 1, len: 1 };
        let help = Some("the path is relative to the configuration".to_owned());
        let (file, excerpt) = (name.clone(), String::new());
        vec![Diagnostic { code: file::UNREADABLE, severity: Severity::Error, message, file, span, excerpt, help }]
    };
    let about = std::fs::metadata(path).map_err(|error| unreadable(format!("{name} cannot be read: {error}")))?;
    if !about.is_file() || about.len() > BYTES_MAX {
        return Err(unreadable(format!("{name} is not a regular file of at most {BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(format!("{name} cannot be read: {error}")))?;
    file::read(&name, &text, evaluator).map(Arc::new)
}

/// What is wrong with the samples of a file.
pub(crate) fn samples(source: &Arc<SourceFile>, path: &Arc<str>, evaluator: &Evaluator) -> Vec<Diagnostic> {
    file::run_samples(source, evaluator).iter().filter_map(|ran| ran.diagnostic(path)).collect()
}

/// The names of the shipped sources, for people.
pub(crate) fn known() -> String {
    file::names().collect::<Vec<_>>().join(", ")
}
