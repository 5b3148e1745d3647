//! Names of steps of other playbooks in tests: `look-up-user/ask` is the step `ask` of the playbook `look-up-user`, which is
//! called. Whether they are there can only be said once all playbooks are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Test;
use crate::diagnostic::{Diagnostic, Span};
use crate::reader::{Reader, did_you_mean};
use crate::syntax::Playbook;

/// The playbook and the step that a name means, when it means one of another playbook.
pub(super) fn split(name: &str, own: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
    let (playbook, step) = name.split_once('/')?;
    (!own(playbook)
        && !playbook.starts_with('#')
        && !["on_failure", "finally"].contains(&playbook)
        && model::id::is_name(playbook))
    .then_some((playbook, step))
}

/// Everything that tests of a playbook name and no other playbook has.
pub(crate) fn check(
    playbook: &Playbook,
    tests: &[Test],
    text: &str,
    playbooks: &BTreeMap<&str, &Arc<Playbook>>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let own = |id: &str| playbook.step_ids.iter().any(|known| known == id);
    for test in tests {
        let mut reader = Reader::new(test.file.clone(), text);
        for (name, span) in names(test) {
            let Some((id, step)) = split(name, own) else { continue };
            let Some(other) = playbooks.get(id) else {
                let help = did_you_mean(id, playbooks.keys().copied());
                reader.error("PB216", span, format!("there is no playbook `{id}`, and no step `{name}`"), help);
                continue;
            };
            let last = step.rsplit('/').next().unwrap_or(step);
            if !last.starts_with('#') && !other.step_ids.iter().any(|known| known == last) {
                let help = did_you_mean(last, other.step_ids.iter().map(String::as_str));
                reader.error("PB212", span, format!("the playbook `{id}` has no step `{last}`"), help);
            }
        }
        found.extend(reader.finish());
    }
    found
}

/// The names of steps in a test, with their places.
fn names(test: &Test) -> Vec<(&str, Span)> {
    let responses = test.responses.iter().map(|script| (script.name.as_str(), script.span));
    let people = test.approvals.iter().map(|people| (people.step.as_str(), people.span));
    let requests = test.expect.requests.iter().flat_map(|wanted| &wanted.value);
    let requests = requests.filter_map(|request| Some((request.step.as_deref()?, request.span)));
    responses.chain(people).chain(requests).collect()
}
