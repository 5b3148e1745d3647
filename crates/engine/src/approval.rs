//! Questions to people: which are open, and what they answer.
//!
//! An answer is given once, before the deadline, by somebody else than the person behind the run. The writer checks that
//! in the order in which answers and runs come to it; the run takes the answer over when it looks.

use model::event::Actor;
use model::run::{Ask, RunState, RunSummary, WaitOn};
use model::{ApprovalId, Record, Time};
use playbook::{Body, Input};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::refusal::Refusal;
use crate::writer::{Answer, Order};

/// Longest comment of an answer, in characters.
const COMMENT_CHARS_MAX: usize = 4_000;

/// An open question.
#[derive(Debug, Clone)]
pub struct Question {
    /// Its id.
    pub id: ApprovalId,
    /// The path of the step that asks.
    pub path: String,
    /// What is asked.
    pub ask: Ask,
    /// Until when.
    pub deadline: Option<Time>,
    /// The run that asks.
    pub run: RunSummary,
}

/// What a person answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

impl Decision {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Decision::Approve => "approve",
            Decision::Deny => "deny",
        }
    }
}

/// An answer as it is kept until its run takes it over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// Yes or no.
    pub decision: Decision,
    /// Who answered.
    pub by: String,
    /// What was said besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The fields of the answer.
    #[serde(default)]
    pub fields: Record,
    /// When.
    pub at: Time,
}

impl Engine {
    /// The open questions, those of the newest run in front.
    pub fn questions(&self) -> Vec<Question> {
        let runs = self.shared().waits.asking();
        runs.iter().flat_map(|run| questions_of(run)).collect()
    }

    /// One open question.
    ///
    /// # Errors
    /// [`Refusal`] when there is none of this id, or it is open no more.
    pub async fn question(&self, id: ApprovalId) -> Result<Question, Refusal> {
        let missing = || Refusal::NotFound { what: format!("approval `{id}`") };
        let loaded = self.loaded(id.run).await.map_err(|refusal| match refusal {
            Refusal::NotFound { .. } => missing(),
            other => other,
        })?;
        let open = questions_of(&loaded.summary).into_iter().find(|question| question.id == id);
        match open {
            Some(question) => Ok(question),
            None if was_asked(&loaded.state, id) => {
                Err(Refusal::Conflict(format!("approval `{id}` is not open any more")))
            }
            None => Err(missing()),
        }
    }

    /// Answers a question, once. Who may answer by his role is for the caller to check; that nobody answers his own
    /// question is checked here.
    ///
    /// # Errors
    /// [`Refusal`] when it is not open, the person is behind the run, or the fields do not fit.
    pub async fn answer(
        &self,
        id: ApprovalId,
        decision: Decision,
        (comment, fields): (Option<String>, Record),
        actor: Actor,
    ) -> Result<Question, Refusal> {
        let question = self.question(id).await?;
        let by = match &actor {
            Actor::Token(name) | Actor::User(name) => name.clone(),
            other => other.to_string(),
        };
        if question.ask.requester.as_deref() == Some(by.as_str()) {
            let message = "who started the run, or caused its event, cannot answer its question".to_owned();
            return Err(Refusal::Invalid { code: "own_request", message });
        }
        if comment.as_ref().is_some_and(|comment| comment.chars().count() > COMMENT_CHARS_MAX) {
            let message = format!("a comment has at most {COMMENT_CHARS_MAX} characters");
            return Err(Refusal::Invalid { code: "too_large", message });
        }
        let fields = self.fit(&question, decision, fields)?;
        let answered = Reply { decision, by, comment, fields, at: self.store().now() };
        let (reply, answer) = oneshot::channel();
        let order = Answer { run: question.run.id, path: question.path.clone(), answered, actor, reply };
        self.order(Order::Answer(Box::new(order)), answer).await?;
        Ok(question)
    }

    /// The fields of an answer against what the playbook declares. A no needs none.
    fn fit(&self, question: &Question, decision: Decision, fields: Record) -> Result<Record, Refusal> {
        let run = &question.run;
        let playbook = self.runner().playbook(&run.playbook, run.digest);
        let playbook = playbook.map_err(|error| Refusal::Store(error.to_string()))?;
        let declared = playbook.step_at(&question.path).map(|step| &step.body);
        let Some(Body::Approve(approve)) = declared else { return Ok(fields) };
        let relaxed: Vec<Input> = match decision {
            Decision::Approve => approve.fields.clone(),
            Decision::Deny => approve.fields.iter().map(|field| Input { required: false, ..field.clone() }).collect(),
        };
        Input::fit(&relaxed, fields).map_err(|error| Refusal::Invalid { code: "fields", message: error.to_string() })
    }
}

fn questions_of(run: &RunSummary) -> Vec<Question> {
    let question = |wait: &model::run::Awaited| match &wait.wait.on {
        WaitOn::Approval(ask) => Some(Question {
            id: ApprovalId { run: run.id, index: wait.index },
            path: wait.path.clone(),
            ask: (**ask).clone(),
            deadline: wait.wait.until,
            run: run.clone(),
        }),
        _ => None,
    };
    run.waits.iter().filter_map(question).collect()
}

/// Whether the step of this number has asked once.
fn was_asked(state: &RunState, id: ApprovalId) -> bool {
    let path = usize::try_from(id.index).ok().and_then(|at| state.order.get(at));
    path.and_then(|path| state.steps.get(path)).is_some_and(|step| step.action == "approve")
}
