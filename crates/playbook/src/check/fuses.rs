//! Playbooks that do what must not be repeated, and have no fuse: one bad condition, and it is done to everybody.

use std::sync::Arc;

use crate::catalog::{ActionSpec, Effect};
use crate::diagnostic::{Diagnostic, Severity};
use crate::reader::Reader;
use crate::syntax::{Body, Playbook, Step};
use crate::template::Template;

/// Methods of HTTP that may be repeated: the requests of the action that takes one need no fuse.
const REPEATABLE: [&str; 5] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"];

/// One warning for each playbook that should have a fuse.
pub(super) fn warnings(playbooks: &[Arc<Playbook>]) -> Vec<Diagnostic> {
    let without = playbooks.iter().filter(|playbook| playbook.control.fuse.is_none());
    let warning = |playbook: &Arc<Playbook>| {
        let step = first_once(playbook)?;
        let reader = Reader::new(playbook.file.clone(), &playbook.text);
        let message = "this must not be repeated, and nothing bounds how often the playbook does it";
        let help = "add a fuse to the playbook, such as `fuse: { runs: 100, per: 1h }`".to_owned();
        let mut warning = reader.diagnostic("PB131", step.span, message, Some(help));
        warning.severity = Severity::Warning;
        Some(warning)
    };
    without.filter_map(warning).collect()
}

/// The first step whose action must not be repeated, however deep.
fn first_once(playbook: &Playbook) -> Option<&Step> {
    let is_once = |step: &&Step| match &step.body {
        Body::Action { spec, with } => is_once(spec, with.get("method")),
        _ => false,
    };
    playbook.all_steps().into_iter().find(is_once)
}

fn is_once(spec: &ActionSpec, method: Option<&Template>) -> bool {
    if spec.effect != Effect::Once {
        return false;
    }
    let takes_method = spec.params.iter().any(|param| param.name == "method");
    let repeatable = |template: &Template| {
        let method = template.constant().and_then(serde_json::Value::as_str);
        method.is_some_and(|method| REPEATABLE.iter().any(|word| word.eq_ignore_ascii_case(method)))
    };
    !takes_method || method.is_some_and(|method| !repeatable(method))
}
