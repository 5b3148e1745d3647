//! Playbooks that start each other: the loop guard stops them, and a person should know.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Kind;

use crate::diagnostic::Diagnostic;
use crate::reader::Reader;
use crate::syntax::{Body, On, OnError, Playbook, Step};

/// One warning for each ring of playbooks that start each other.
pub(super) fn warnings(playbooks: &[Arc<Playbook>]) -> Vec<Diagnostic> {
    let listening = Listening::of(playbooks);
    let next: Vec<Vec<usize>> = playbooks.iter().map(|playbook| listening.started_by(playbook)).collect();
    let mut found = Vec::new();
    for (at, playbook) in playbooks.iter().enumerate() {
        let partner = next.get(at).into_iter().flatten().copied().find(|other| {
            *other > at && next.get(*other).is_some_and(|back| back.contains(&at))
        });
        let Some(partner) = partner.and_then(|other| playbooks.get(other)) else { continue };
        let reader = Reader::new(playbook.file.clone(), &playbook.text);
        let span = playbook.triggers.first().map(|trigger| trigger.span).unwrap_or_default();
        let message = format!("`{}` and `{}` can start each other", playbook.id, partner.id);
        let help = "the loop guard stops such a chain; narrow a trigger with `when`, `from`, `to` or `changed`".to_owned();
        let mut warning = reader.diagnostic("PB130", span, message, Some(help));
        warning.severity = crate::diagnostic::Severity::Warning;
        found.push(warning);
    }
    found
}

/// Which playbooks listen to the changes that actions make.
#[derive(Default)]
struct Listening {
    by_kind: BTreeMap<&'static str, Vec<usize>>,
    /// By the stage that is entered; the empty one means any.
    by_stage: BTreeMap<String, Vec<usize>>,
}

impl Listening {
    fn of(playbooks: &[Arc<Playbook>]) -> Listening {
        let mut listening = Listening::default();
        for (at, playbook) in playbooks.iter().enumerate() {
            for trigger in &playbook.triggers {
                match &trigger.on {
                    On::StageChanged { to, .. } if to.is_empty() => {
                        listening.by_stage.entry(String::new()).or_default().push(at);
                    }
                    On::StageChanged { to, .. } => {
                        for stage in to {
                            listening.by_stage.entry(stage.clone()).or_default().push(at);
                        }
                    }
                    on => listening.by_kind.entry(on.kind()).or_default().push(at),
                }
            }
        }
        listening
    }

    /// The playbooks that the steps of one can start.
    fn started_by(&self, playbook: &Playbook) -> Vec<usize> {
        let mut found = Vec::new();
        for step in playbook.steps.iter().chain(&playbook.on_failure) {
            self.of_step(step, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn of_step(&self, step: &Step, found: &mut Vec<usize>) {
        let Body::Action { spec, with } = &step.body;
        match (spec.about, spec.id) {
            (Some(Kind::Case), "case.set_stage" | "case.close" | "case.reopen") => {
                let stage = with.get("stage").and_then(|stage| stage.constant()?.as_str().map(str::to_owned));
                let entered = match &stage {
                    Some(stage) => self.by_stage.get(stage).into_iter().flatten().collect::<Vec<_>>(),
                    None => self.by_stage.values().flatten().collect(),
                };
                found.extend(entered);
                found.extend(self.by_stage.get("").into_iter().flatten());
                found.extend(self.by_kind.get("case.updated").into_iter().flatten());
            }
            (_, "case.create_from_alert") => found.extend(self.by_kind.get("case.created").into_iter().flatten()),
            (Some(Kind::Case), _) => found.extend(self.by_kind.get("case.updated").into_iter().flatten()),
            (Some(Kind::Alert), id) if !id.starts_with("webhook.") => {
                found.extend(self.by_kind.get("alert.updated").into_iter().flatten());
            }
            _ => {}
        }
        if let OnError::Steps(steps) = &step.on_error {
            steps.iter().for_each(|step| self.of_step(step, found));
        }
    }
}
