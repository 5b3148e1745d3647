//! The people of a simulation: who answers questions, and when.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::event::Actor;
use model::{ApprovalId, Record, Time};

use crate::approval::{Decision, Question};
use crate::engine::Engine;
use crate::refusal::Refusal;

/// An answer that is going to be given.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// Yes or no.
    pub decision: Decision,
    /// Who.
    pub by: String,
    /// What is said besides.
    pub comment: Option<String>,
    /// The fields of the answer.
    pub fields: Record,
    /// How long after the question.
    pub after: Duration,
}

/// Who answers.
pub trait People: Send + Sync {
    /// The answer to a question that has just been asked, or whose last answer was refused; nothing when nobody answers.
    fn answer(&self, question: &Question) -> Option<Answered>;

    /// What became of an answer.
    fn heard(&self, question: &Question, answered: &Answered, outcome: Result<(), Refusal>);
}

/// Nobody answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl People for Nobody {
    fn answer(&self, _question: &Question) -> Option<Answered> {
        None
    }

    fn heard(&self, _question: &Question, _answered: &Answered, _outcome: Result<(), Refusal>) {}
}

/// What is known of a question.
struct Asked {
    question: Question,
    since: Time,
    /// The answer, and when it is given; nothing when there is none.
    answer: Option<(Time, Answered)>,
}

/// The questions that are open, with the answers that will come.
pub(super) struct Office {
    people: Box<dyn People>,
    asked: Mutex<BTreeMap<ApprovalId, Asked>>,
}

impl Default for Office {
    fn default() -> Office {
        Office::new(Box::new(Nobody))
    }
}

impl Office {
    pub(super) fn new(people: Box<dyn People>) -> Office {
        Office { people, asked: Mutex::default() }
    }

    /// Gives the answers that are due; `false` when there is none.
    pub(super) async fn answer(&self, engine: &Engine) -> bool {
        let now = engine.store().now();
        let due: Vec<(Question, Answered)> = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let open = engine.questions();
            asked.retain(|id, _| open.iter().any(|question| question.id == *id));
            for question in open {
                asked.entry(question.id).or_insert_with(|| {
                    let answer = self.people.answer(&question).map(|answer| (now.plus(answer.after), answer));
                    Asked { question, since: now, answer }
                });
            }
            let due = asked.values_mut().filter(|asked| asked.answer.as_ref().is_some_and(|(at, _)| *at <= now));
            due.filter_map(|asked| Some((asked.question.clone(), asked.answer.take()?.1))).collect()
        };
        let any = !due.is_empty();
        for (question, answered) in due {
            let Answered { decision, by, comment, fields, .. } = answered.clone();
            let given = engine.answer(question.id, decision, (comment, fields), Actor::User(by)).await.map(drop);
            let refused = given.is_err();
            self.people.heard(&question, &answered, given);
            if refused {
                self.again(&question);
            }
        }
        any
    }

    /// An answer was refused: perhaps another one comes, counted from the question.
    fn again(&self, question: &Question) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = asked.get_mut(&question.id) {
            asked.answer = self.people.answer(question).map(|answer| (asked.since.plus(answer.after), answer));
        }
    }

    /// When the next answer is given.
    pub(super) fn next(&self) -> Option<Time> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.values().filter_map(|asked| asked.answer.as_ref().map(|(at, _)| *at)).min()
    }
}
