//! Playbooks that fight over one field: the same thing starts both, and each sets the field to something else, so that what
//! stays is a matter of who comes last.
//!
//! Only what is certain is said: both start at once, nothing in their conditions excludes the other, and both values are
//! constants. What comes after a wait or a question, and what hangs on what the run has learned on its way, comes later on
//! purpose, and is not looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::reader::Reader;
use crate::script::Needs;
use crate::syntax::{Body, On, Playbook, Step, Trigger};
use crate::template::Template;

/// Most playbooks that are compared with each other for one field and one kind of trigger.
const COMPARED_MAX: usize = 200;

/// What a playbook makes of a field, soon after it has started.
struct Claim<'a> {
    playbook: &'a Arc<Playbook>,
    value: String,
    at: Span,
    needs: Needs,
}

/// One warning for each two that fight, at the later one.
pub(super) fn warnings(playbooks: &[Arc<Playbook>]) -> Vec<Diagnostic> {
    let mut by_field: BTreeMap<&'static str, Vec<Claim<'_>>> = BTreeMap::new();
    for playbook in playbooks.iter().filter(|one| one.enabled && !one.control.observe) {
        for (field, claim) in claims(playbook) {
            by_field.entry(field).or_default().push(claim);
        }
    }
    let mut found = Vec::new();
    for (field, claims) in by_field {
        for (at, later) in claims.iter().enumerate().take(COMPARED_MAX) {
            let earlier = claims.iter().take(at).find_map(|earlier| Some((earlier, meet(earlier, later)?)));
            if let Some((earlier, trigger)) = earlier {
                found.push(warning(field, earlier, later, trigger));
            }
        }
    }
    found
}

fn warning(field: &str, earlier: &Claim<'_>, later: &Claim<'_>, trigger: &Trigger) -> Diagnostic {
    let reader = Reader::new(later.playbook.file.clone(), &later.playbook.text);
    let message = format!(
        "`{}` and `{}` fight over `{field}` when `{}` starts both: this one makes it {}, the other ({}:{}) {}",
        earlier.playbook.id,
        later.playbook.id,
        trigger.on.kind(),
        later.value,
        earlier.playbook.file,
        earlier.at.line,
        earlier.value
    );
    let help = "which one stays depends on which comes last; let their `when` exclude each other, or do both in one playbook with `switch`";
    let mut warning = reader.diagnostic("PB133", later.at, message, Some(help.to_owned()));
    warning.severity = Severity::Warning;
    warning
}

/// The trigger of the later one by which the same thing starts both; nothing when they do not fight.
fn meet<'a>(earlier: &Claim<'_>, later: &Claim<'a>) -> Option<&'a Trigger> {
    let (one, other) = (earlier.playbook, later.playbook);
    if one.id == other.id || earlier.value == later.value || !tenants_meet(one, other) {
        return None;
    }
    other.triggers.iter().find(|theirs| {
        one.triggers.iter().any(|ours| {
            let with = |claim: &Claim<'_>, trigger: &Trigger| {
                let mut needs = claim.needs.clone();
                trigger.when.iter().for_each(|when| needs.add(when));
                needs
            };
            same_start(&ours.on, &theirs.on) && with(earlier, ours).can_hold_with(&with(later, theirs))
        })
    })
}

fn tenants_meet(one: &Playbook, other: &Playbook) -> bool {
    match (&one.tenants, &other.tenants) {
        (Some(one), Some(other)) => one.iter().any(|tenant| other.contains(tenant)),
        _ => true,
    }
}

/// Whether one and the same thing can start both.
fn same_start(one: &On, other: &On) -> bool {
    let meet = |one: &[String], other: &[String]| {
        one.is_empty() || other.is_empty() || one.iter().any(|name| other.iter().any(|o| o.eq_ignore_ascii_case(name)))
    };
    let staged = |changed: &[String]| changed.is_empty() || changed.iter().any(|field| field == "stage");
    match (one, other) {
        (On::AlertCreated, On::AlertCreated) | (On::CaseCreated, On::CaseCreated) => true,
        (On::AlertUpdated { changed: one }, On::AlertUpdated { changed: other })
        | (On::CaseUpdated { changed: one }, On::CaseUpdated { changed: other }) => meet(one, other),
        (On::StageChanged { from: a, to: b }, On::StageChanged { from: c, to: d }) => meet(a, c) && meet(b, d),
        (On::StageChanged { .. }, On::CaseUpdated { changed })
        | (On::CaseUpdated { changed }, On::StageChanged { .. }) => staged(changed),
        (On::Score { of: a, levels: one, .. }, On::Score { of: b, levels: other, .. }) => {
            a == b && one.iter().any(|(name, _)| other.iter().any(|(o, _)| o == name))
        }
        (On::InStage { stages: a, period: one, .. }, On::InStage { stages: b, period: other, .. }) => {
            one == other && meet(a, b)
        }
        (On::Event { types: one }, On::Event { types: other }) => {
            one.iter().any(|one| other.iter().any(|other| covers(one, other) || covers(other, one)))
        }
        _ => false,
    }
}

/// Whether a type, or a prefix such as `holm.*`, takes in another.
fn covers(pattern: &str, other: &str) -> bool {
    pattern == other || pattern.strip_suffix('*').is_some_and(|prefix| other.starts_with(prefix))
}

/// What a playbook makes of fields of its own alert or case.
fn claims(playbook: &Arc<Playbook>) -> Vec<(&'static str, Claim<'_>)> {
    let mut needs = Needs::default();
    playbook.when.iter().for_each(|when| needs.add(when));
    let mut claiming = Claiming { playbook, claims: Vec::new() };
    claiming.list(&playbook.steps, &needs, true);
    claiming.claims
}

/// The claims of one playbook being collected.
struct Claiming<'a> {
    playbook: &'a Arc<Playbook>,
    claims: Vec<(&'static str, Claim<'a>)>,
}

impl<'a> Claiming<'a> {
    /// Walks a list as far as it is done at once; `false` when something in it takes its time or ends the run. `always`
    /// says that the list is done in every run.
    fn list(&mut self, steps: &'a [Step], around: &Needs, always: bool) -> bool {
        for step in steps {
            let mut needs = around.clone();
            step.condition.iter().for_each(|condition| needs.add(condition));
            let always = always && step.condition.is_none();
            let goes_on = match &step.body {
                Body::Action { spec, with } => {
                    self.action(spec.id, with, step, (&needs, always));
                    true
                }
                Body::Try(guard) => self.list(&guard.steps, &needs, always),
                Body::Parallel { branches } => branches.iter().all(|branch| self.list(&branch.steps, &needs, always)),
                Body::Switch { cases } => {
                    for case in cases {
                        let mut inner = needs.clone();
                        case.when.iter().for_each(|when| inner.add(when));
                        self.list(&case.steps, &inner, false);
                        case.when.iter().for_each(|when| needs.add_not(when));
                    }
                    true
                }
                Body::Wait(_) | Body::Approve(_) | Body::Stop { .. } => step.condition.is_some(),
                _ => true,
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    fn action(&mut self, id: &str, with: &BTreeMap<String, Template>, step: &Step, (needs, always): (&Needs, bool)) {
        // What names another object than the run's own is not compared.
        if with.contains_key("case") || with.contains_key("alert") {
            return;
        }
        let Some((field, value, at)) = claim(id, with, step).filter(|_| !needs.learns()) else { return };
        if always {
            // The last one stays.
            self.claims.retain(|(known, _)| *known != field);
        }
        self.claims.push((field, Claim { playbook: self.playbook, value, at, needs: needs.clone() }));
    }
}

/// The field that an action sets, and the constant value that it gives it.
fn claim(action: &str, with: &BTreeMap<String, Template>, step: &Step) -> Option<(&'static str, String, Span)> {
    let (field, param) = match action {
        "case.set_stage" | "case.reopen" => ("case.stage", "stage"),
        "case.close" => return Some(("case.stage", "`Closed`".to_owned(), step.span)),
        "case.set_priority" => ("case.priority", "priority"),
        "case.set_queue" => ("case.queue", "queue"),
        "case.assign" => ("case.assignee", "assignee"),
        "alert.set_priority" => ("alert.priority", "priority"),
        _ => return None,
    };
    let template = with.get(param)?;
    let value = template.constant()?;
    let shown = match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    };
    Some((field, shown, template.span()))
}
