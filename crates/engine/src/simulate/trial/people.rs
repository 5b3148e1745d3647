//! What people answer in a test.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use playbook::Playbook;
use playbook::testing::{People as Scripted, Said, Test};

use super::{Difference, means};
use crate::approval::{Decision, Question};
use crate::refusal::Refusal;
use crate::simulate::{Answered, People};

/// The people of one test. Clones share what was answered.
#[derive(Clone)]
pub(super) struct Desk(Arc<Inner>);

struct Inner {
    playbook: Arc<str>,
    scripts: Vec<Scripted>,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    /// How many answers were given, by the script's place.
    given: HashMap<usize, usize>,
    /// What was refused and should not have been, or the other way round.
    wrong: Vec<Difference>,
}

impl Desk {
    pub(super) fn new(playbook: &Playbook, test: &Test) -> Desk {
        let (playbook, scripts) = (Arc::clone(&playbook.id), test.approvals.clone());
        Desk(Arc::new(Inner { playbook, scripts, done: Mutex::default() }))
    }

    fn script(&self, question: &Question) -> Option<(usize, &Scripted)> {
        let asked = (question.run.playbook.as_str(), question.path.as_str());
        self.0.scripts.iter().enumerate().find(|(_, script)| means(&script.step, &self.0.playbook, asked))
    }

    /// What went otherwise than the test says, and the answers that nobody asked for.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let done = self.0.done.lock().unwrap_or_else(PoisonError::into_inner);
        let never = self.0.scripts.iter().enumerate().filter(|(at, _)| !done.given.contains_key(at));
        let never = never.map(|(_, script)| Difference {
            what: format!("nobody was asked by step `{}`, and the test says an answer", script.step),
            wanted: None,
            got: "leave the answer out, or see why the step is not reached".to_owned(),
            span: script.span,
        });
        done.wrong.iter().cloned().chain(never).collect()
    }
}

impl People for Desk {
    fn answer(&self, question: &Question) -> Option<Answered> {
        let (at, script) = self.script(question)?;
        let mut done = self.0.done.lock().unwrap_or_else(PoisonError::into_inner);
        let given = done.given.entry(at).or_default();
        let last = script.answers.last().filter(|last| !last.refused);
        let said = script.answers.get(*given).or(last)?;
        *given += 1;
        Some(answered(said))
    }

    fn heard(&self, question: &Question, answered: &Answered, outcome: Result<(), Refusal>) {
        let Some((at, script)) = self.script(question) else { return };
        let mut done = self.0.done.lock().unwrap_or_else(PoisonError::into_inner);
        let given = done.given.get(&at).copied().unwrap_or_default();
        let said = given.checked_sub(1).and_then(|n| script.answers.get(n)).or(script.answers.last());
        let Some(said) = said else { return };
        let what = format!("the answer of {} to step `{}`", answered.by, script.step);
        match outcome {
            Err(refusal) if !said.refused => done.wrong.push(Difference {
                what,
                wanted: Some("taken".to_owned()),
                got: format!("refused: {refusal}"),
                span: said.span,
            }),
            Ok(()) if said.refused => done.wrong.push(Difference {
                what,
                wanted: Some("refused".to_owned()),
                got: "taken".to_owned(),
                span: said.span,
            }),
            _ => {}
        }
    }
}

fn answered(said: &Said) -> Answered {
    let decision = if said.approves { Decision::Approve } else { Decision::Deny };
    let Said { by, comment, fields, after, .. } = said.clone();
    Answered { decision, by, comment, fields, after }
}
