//! Calls between playbooks: to one that is there, with what it takes, and not in a circle.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Checked;
use super::blocks::near;
use crate::diagnostic::{Diagnostic, Span};
use crate::reader::Reader;
use crate::syntax::{Body, Call, Playbook, Step};

/// Checks the calls of all playbooks. Those with a call that cannot be made are taken out. `known` are the ids of all files,
/// those with mistakes of their own included.
pub(super) fn check(checked: &mut Checked, known: &[&str]) {
    let by_id: BTreeMap<&str, &Arc<Playbook>> =
        checked.playbooks.iter().map(|playbook| (&*playbook.id, playbook)).collect();
    let mut found: Vec<(Arc<str>, Diagnostic)> = Vec::new();
    for playbook in &checked.playbooks {
        let calls = calls_of(playbook);
        if calls.is_empty() {
            continue;
        }
        let reader = Reader::new(playbook.file.clone(), &playbook.text);
        let mut note = |code, span, message: String, help| {
            found.push((Arc::clone(&playbook.id), reader.diagnostic(code, span, message, help)));
        };
        for call in calls {
            match by_id.get(call.playbook.as_str()) {
                None if known.contains(&call.playbook.as_str()) => {}
                None => {
                    let others = known.iter().copied().filter(|id| *id != &*playbook.id);
                    let help = crate::reader::did_you_mean(&call.playbook, others);
                    note("PB216", call.at, format!("there is no playbook `{}`", call.playbook), help);
                }
                Some(callee) if reaches(callee, &playbook.id, &by_id) => {
                    let message = format!("`{}` and `{}` call each other without end", playbook.id, callee.id);
                    note("PB218", call.at, message, Some("use `repeat` for what is done again".to_owned()));
                }
                Some(callee) => inputs(call, callee, &mut note),
            }
        }
    }
    checked.playbooks.retain(|playbook| found.iter().all(|(id, _)| *id != playbook.id));
    checked.diagnostics.extend(found.into_iter().map(|(_, diagnostic)| diagnostic));
}

/// What is given against what is declared.
fn inputs(call: &Call, callee: &Playbook, note: &mut impl FnMut(&'static str, Span, String, Option<String>)) {
    let known: Vec<&str> = callee.inputs.iter().map(|input| input.name.as_str()).collect();
    for (name, template) in &call.inputs {
        let Some(input) = callee.inputs.iter().find(|input| input.name == *name) else {
            note("PB217", template.span(), format!("`{}` takes no input `{name}`", callee.id), near(name, &known));
            continue;
        };
        if let Some(value) = template.constant().filter(|value| !value.is_null() && !input.ty.takes(value)) {
            let is = if value.is_string() { "text".to_owned() } else { value.to_string() };
            let message = format!("the input `{name}` of `{}` is of type {}; this is {is}", callee.id, input.ty.name());
            note("PB217", template.span(), message, None);
        }
    }
    let missing = |input: &&crate::inputs::Input| {
        input.required && input.default.is_none() && !call.inputs.contains_key(&input.name)
    };
    for input in callee.inputs.iter().filter(missing) {
        let help = (!input.description.is_empty()).then(|| format!("`{}`: {}", input.name, input.description));
        note("PB217", call.at, format!("`{}` needs the input `{}`", callee.id, input.name), help);
    }
}

/// Whether one playbook calls another, directly or through others.
fn reaches(from: &Arc<Playbook>, to: &str, by_id: &BTreeMap<&str, &Arc<Playbook>>) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    let mut open: Vec<&Arc<Playbook>> = vec![from];
    while let Some(next) = open.pop() {
        if &*next.id == to {
            return true;
        }
        if seen.contains(&&*next.id) {
            continue;
        }
        seen.push(&next.id);
        open.extend(calls_of(next).iter().filter_map(|call| by_id.get(call.playbook.as_str())).copied());
    }
    false
}

fn calls_of(playbook: &Playbook) -> Vec<&Call> {
    let mut found = Vec::new();
    for list in [&playbook.steps, &playbook.on_failure, &playbook.finally] {
        collect(list, &mut found);
    }
    found
}

fn collect<'a>(steps: &'a [Step], found: &mut Vec<&'a Call>) {
    for step in steps {
        if let Body::Call(call) = &step.body {
            found.push(call);
        }
        for (_, steps) in step.lists() {
            collect(steps, found);
        }
    }
}
