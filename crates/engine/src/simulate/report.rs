//! What a simulation did, as it is shown: the runs with their steps, what would have been sent, what would have changed.

use model::history::EntryKind;
use model::run::{RunState, RunStatus, StepState};
use model::{Input, Seq, Time};
use serde::Serialize;
use serde_json::Value;

use super::{Error, Simulation};
use crate::outbound::Planned;
use crate::record;

/// What a simulation did.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The runs, oldest first.
    pub runs: Vec<RunReport>,
    /// What would have been sent, in order.
    pub would_send: Vec<Planned>,
    /// What runs would have changed, in order.
    pub would_change: Vec<Change>,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// The playbook.
    pub playbook: String,
    /// How it stands or ended.
    pub status: RunStatus,
    /// Why, where the status alone does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it left the queue.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// The steps in the order in which they started.
    pub steps: Vec<StepReport>,
}

/// One step of a run.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// Its path.
    pub path: String,
    /// Its action.
    pub action: String,
    /// How it stands or ended.
    pub status: &'static str,
    /// How often it was tried.
    pub attempts: usize,
    /// The rendered parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// What it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What went wrong, or why it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StepProblem>,
}

/// What went wrong with a step, or why it was left out.
#[derive(Debug, Clone, Serialize)]
pub struct StepProblem {
    /// The kind of problem.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A change that a run makes to an alert, a case or an entity.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// The playbook that makes it.
    pub playbook: String,
    /// The object.
    pub object: String,
    /// What changes.
    pub change: String,
}

impl RunReport {
    /// Of a run as its history tells it.
    pub fn of(state: &RunState) -> RunReport {
        let steps = state.order.iter().filter_map(|path| Some((path, state.steps.get(path)?)));
        RunReport {
            playbook: state.start.playbook.clone(),
            status: state.status,
            reason: state.reason.clone(),
            started_at: state.started_at,
            ended_at: state.ended_at,
            steps: steps.map(|(path, step)| StepReport::of(path, step)).collect(),
        }
    }
}

impl StepReport {
    fn of(path: &str, step: &StepState) -> StepReport {
        StepReport {
            path: path.to_owned(),
            action: step.action.clone(),
            status: step.status.name(),
            attempts: step.attempts.len(),
            input: step.input.as_ref().map(Input::value).filter(|input| !input.is_null()).cloned(),
            output: step.output.clone(),
            error: step.error.as_ref().map(|e| StepProblem { code: e.code.clone(), message: e.message.clone() }),
        }
    }
}

impl Simulation {
    /// What it did so far.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Load`].
    pub async fn report(&self) -> Result<Report, Error> {
        let runs = self.runs().await?.iter().map(|run| RunReport::of(&run.state)).collect();
        Ok(Report { runs, would_send: self.planned(), would_change: self.changes()? })
    }

    /// All decisions about a playbook so far, in order.
    pub(super) fn decisions_about(&self, playbook: &str) -> Result<Vec<model::Decision>, Error> {
        let mut all = Vec::new();
        self.engine.store().entries_forward(self.first(), &mut |stored| {
            let entry = stored.entry.filter(|entry| entry.header.kind == EntryKind::EventAccepted);
            if let Some(accepted) = entry.and_then(|entry| record::read_accepted(&entry.payload).ok()) {
                all.extend(accepted.decisions.into_iter().filter(|decision| &*decision.playbook == playbook));
            }
            true
        })?;
        Ok(all)
    }

    /// What runs changed so far, in order.
    fn changes(&self) -> Result<Vec<Change>, Error> {
        let mut all = Vec::new();
        let mut broken = None;
        self.engine.store().entries_forward(self.first(), &mut |stored| {
            let Some(entry) = stored.entry.filter(|entry| entry.header.kind == EntryKind::EventAccepted) else {
                return true;
            };
            let model::event::Actor::Run { playbook, .. } = &entry.header.actor else { return true };
            match record::read_accepted(&entry.payload) {
                Ok(accepted) => all.extend(accepted.transitions.iter().map(|transition| Change {
                    playbook: playbook.clone(),
                    object: transition.object.to_string(),
                    change: transition.change.describe(),
                })),
                Err(error) => broken = Some(error),
            }
            broken.is_none()
        })?;
        match broken {
            Some(error) => Err(Error::Load(error.into())),
            None => Ok(all),
        }
    }

    /// The first entry of its own.
    fn first(&self) -> Seq {
        self.engine.store().stats().first_seq
    }
}
