//! Playbooks that start each other: the loop guard stops them, and a person should know.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::reader::Reader;
use crate::syntax::{Body, On, Playbook, Step};

/// One warning for each ring of playbooks that start each other.
pub(super) fn warnings(playbooks: &[Arc<Playbook>]) -> Vec<Diagnostic> {
    let listening = Listening::of(playbooks);
    let next: Vec<Vec<usize>> = playbooks.iter().map(|playbook| listening.started_by(playbook)).collect();
    let mut found = Vec::new();
    for (at, playbook) in playbooks.iter().enumerate() {
        let partner = next
            .get(at)
            .into_iter()
            .flatten()
            .copied()
            .find(|other| *other > at && next.get(*other).is_some_and(|back| back.contains(&at)));
        let Some(partner) = partner.and_then(|other| playbooks.get(other)) else { continue };
        let reader = Reader::new(playbook.file.clone(), &playbook.text);
        let span = playbook.triggers.first().map(|trigger| trigger.span).unwrap_or_default();
        let message = format!("`{}` and `{}` can start each other", playbook.id, partner.id);
        let help =
            "the loop guard stops such a chain; narrow a trigger with `when`, `from`, `to` or `changed`".to_owned();
        let mut warning = reader.diagnostic("PB130", span, message, Some(help));
        warning.severity = crate::diagnostic::Severity::Warning;
        found.push(warning);
    }
    found
}

/// Which playbooks listen to the changes that actions make. Those that ask a condition are left out: it may well say no.
#[derive(Default)]
struct Listening {
    by_kind: BTreeMap<&'static str, Vec<Listener>>,
    /// By the stage that is entered; the empty one means any.
    by_stage: BTreeMap<String, Vec<usize>>,
}

/// A playbook that listens to updates, and the fields that count; empty means all.
struct Listener {
    at: usize,
    changed: Vec<String>,
}

impl Listening {
    fn of(playbooks: &[Arc<Playbook>]) -> Listening {
        let mut listening = Listening::default();
        for (at, playbook) in playbooks.iter().enumerate().filter(|(_, playbook)| playbook.when.is_none()) {
            for trigger in playbook.triggers.iter().filter(|trigger| trigger.when.is_none()) {
                match &trigger.on {
                    On::StageChanged { to, .. } if to.is_empty() => {
                        listening.by_stage.entry(String::new()).or_default().push(at);
                    }
                    On::StageChanged { to, .. } => {
                        for stage in to {
                            listening.by_stage.entry(stage.clone()).or_default().push(at);
                        }
                    }
                    on => {
                        let changed = match on {
                            On::AlertUpdated { changed } | On::CaseUpdated { changed } => changed.clone(),
                            _ => Vec::new(),
                        };
                        listening.by_kind.entry(on.kind()).or_default().push(Listener { at, changed });
                    }
                }
            }
        }
        listening
    }

    /// The playbooks that the steps of one can start.
    fn started_by(&self, playbook: &Playbook) -> Vec<usize> {
        let mut found = Vec::new();
        for step in playbook.steps.iter().chain(&playbook.on_failure).chain(&playbook.finally) {
            self.of_step(step, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn of_step(&self, step: &Step, found: &mut Vec<usize>) {
        for (_, steps) in step.lists() {
            steps.iter().for_each(|step| self.of_step(step, found));
        }
        let Body::Action { spec, with } = &step.body else { return };
        let (family, verb) = spec.id.split_once('.').unwrap_or((spec.id, ""));
        match (family, verb) {
            ("case" | "alert", "create_from_alert") => self.listeners("case.created", None, found),
            ("case" | "alert", verb) => {
                let field = changes(verb);
                let kind = if family == "case" { "case.updated" } else { "alert.updated" };
                if let Some(field) = field {
                    self.listeners(kind, Some(field), found);
                }
                if (family, field) == ("case", Some("stage")) {
                    let stage = with.get("stage").and_then(|stage| stage.constant()?.as_str().map(str::to_owned));
                    self.stages(stage.as_deref(), found);
                }
            }
            _ => {}
        }
    }

    fn listeners(&self, kind: &str, field: Option<&str>, found: &mut Vec<usize>) {
        let listeners = self.by_kind.get(kind).into_iter().flatten();
        let fits = |listener: &&Listener| {
            listener.changed.is_empty() || field.is_some_and(|field| listener.changed.iter().any(|name| name == field))
        };
        found.extend(listeners.filter(fits).map(|listener| listener.at));
    }

    /// Those that listen to a stage; to any when it is not known which.
    fn stages(&self, stage: Option<&str>, found: &mut Vec<usize>) {
        match stage {
            Some(stage) => {
                found.extend(self.by_stage.get("").into_iter().flatten());
                let same = |(name, _): &(&String, &Vec<usize>)| name.eq_ignore_ascii_case(stage);
                found.extend(self.by_stage.iter().filter(same).flat_map(|(_, listeners)| listeners));
            }
            None => found.extend(self.by_stage.values().flatten()),
        }
    }
}

/// The field that an action of cases and alerts changes; a comment changes none.
fn changes(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "set_stage" | "close" | "reopen" => "stage",
        "set_priority" => "priority",
        "set_queue" => "queue",
        "assign" => "assignee",
        "add_tags" | "remove_tags" => "tags",
        "add_use_cases" | "remove_use_cases" => "use_cases",
        _ => return None,
    })
}
