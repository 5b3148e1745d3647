//! Playbooks that listen to others by name: those should be there.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity};
use crate::reader::{Reader, did_you_mean};
use crate::syntax::{On, Playbook};

/// One warning for each name that no playbook has.
pub(super) fn warnings(playbooks: &[Arc<Playbook>]) -> Vec<Diagnostic> {
    let known: BTreeSet<&str> = playbooks.iter().map(|playbook| &*playbook.id).collect();
    let mut found = Vec::new();
    for playbook in playbooks {
        for trigger in &playbook.triggers {
            let names = match &trigger.on {
                On::RunFailed { playbooks }
                | On::RunNeedsAttention { playbooks }
                | On::PlaybookSilent { playbooks } => playbooks,
                _ => continue,
            };
            for name in names.iter().filter(|name| !known.contains(name.as_str())) {
                let reader = Reader::new(playbook.file.clone(), &playbook.text);
                let message = format!("no playbook here is called `{name}`");
                let help = did_you_mean(name, known.iter().copied());
                let mut warning = reader.diagnostic("PB132", trigger.span, message, help);
                warning.severity = Severity::Warning;
                found.push(warning);
            }
        }
    }
    found
}
