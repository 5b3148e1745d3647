//! Runs that begin and end at one instant and touch nothing but what leaves: most of a back-test.
//!
//! They are walked with [`crate::next`], [`crate::flow`] and the actions themselves, as the runner does, but nothing is
//! written down. Whatever is not like that (a wait, a question, a call, a change of an alert or case, a limit on how many
//! runs are open, anything that fails) is left to the whole engine; nothing has happened then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use model::run::{Fact, RunStart, RunState, RunStatus};
use model::{Event, ObjectKey, Time, limits};
use playbook::{Body, Playbook, Scope, Step};
use store::{Memory, Store as _, Window};

use super::told::{Ended, WouldRequest, WouldSend, would_send};
use crate::action::{self, Call, Context, Windows, claimed_by};
use crate::flow::{self, Follows, Means, Seen, Sight};
use crate::next::{self, Next, Todo};
use crate::outbound::Takes;
use crate::refusal::Refusal;
use crate::runner::facts_of;

/// What one of them does.
pub(super) struct Ran {
    pub(super) would_send: Vec<WouldSend>,
    pub(super) would_request: Vec<WouldRequest>,
    pub(super) ended: Ended,
}

/// Windows that are claimed for as long as it is not certain that the run is one of these.
struct Buffered {
    memory: Arc<Memory>,
    taken: Mutex<Vec<Window>>,
}

impl Buffered {
    fn is_silent(&self, taken: &[Window], name: &str) -> Result<bool, Refusal> {
        let now = self.memory.now();
        let here = taken.iter().any(|window| window.key == name && window.until.is_some_and(|until| now < until));
        Ok(here || self.memory.window(name, now).map_err(|error| Refusal::from(&error))?.is_some())
    }
}

#[async_trait::async_trait]
impl Windows for Buffered {
    async fn claim(&self, window: &str, by: &str, until: Time) -> Result<bool, Refusal> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = claimed_by(window, by);
        if self.is_silent(&taken, window)? {
            return self.is_silent(&taken, &own);
        }
        taken.extend([window.to_owned(), own].map(|key| Window { key, until: Some(until) }));
        Ok(true)
    }
}

/// Walks runs.
pub(super) struct Quick {
    memory: Arc<Memory>,
    context: Context,
    windows: Arc<Buffered>,
    /// Which playbooks can be walked so, by their id.
    takes: HashMap<Arc<str>, bool>,
}

impl Quick {
    pub(super) fn new(context: &Context, memory: Arc<Memory>) -> Quick {
        let windows = Arc::new(Buffered { memory: Arc::clone(&memory), taken: Mutex::default() });
        let context = context.rehearsing(Box::new(Takes), Arc::clone(&windows) as Arc<dyn Windows>);
        Quick { memory, context, windows, takes: HashMap::new() }
    }

    /// Whether the runs of a playbook may be walked so.
    pub(super) fn takes(&mut self, playbook: &Playbook) -> bool {
        if let Some(known) = self.takes.get(&playbook.id) {
            return *known;
        }
        let takes = playbook.control.concurrency.is_none() && playbook.all_steps().into_iter().all(at_once);
        self.takes.insert(Arc::clone(&playbook.id), takes);
        takes
    }

    /// Walks a run to its end; nothing when it is none of these after all.
    pub(super) fn run(&self, playbook: &Playbook, start: &RunStart, event: &Event, now: Time) -> Option<Ran> {
        let mut walk = Walk {
            quick: self,
            playbook,
            event,
            state: RunState::new(start.clone()).ok()?,
            seen: Seen::default(),
            sends: Vec::new(),
            now,
        };
        let status = walk.whole()?;
        let Walk { sends: would_send, .. } = walk;
        let requests = self.context.effects.take_planned().into_iter().filter(|one| one.origin.destination.is_none());
        let would_request = requests.map(|one| WouldRequest {
            method: one.method,
            url: one.url,
            playbook: start.playbook.clone(),
            step: one.origin.step,
        });
        let ended = Ended { playbook: start.playbook.clone(), status };
        Some(Ran { would_send, would_request: would_request.collect(), ended })
    }

    /// The windows that were claimed since the last call.
    pub(super) fn take_windows(&self) -> Vec<Window> {
        std::mem::take(&mut *self.windows.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nothing has happened.
    pub(super) fn forget(&self) {
        drop(self.take_windows());
        drop(self.context.effects.take_planned());
    }
}

/// Whether a step begins and ends at one instant and touches nothing but what leaves.
fn at_once(step: &Step) -> bool {
    match &step.body {
        Body::Action { spec, .. } => spec.network || spec.id == "log",
        Body::ForEach(_) | Body::Parallel { .. } | Body::Switch { .. } | Body::Try(_) => true,
        Body::Set { .. } | Body::Stop { .. } => true,
        _ => false,
    }
}

struct Walk<'a> {
    quick: &'a Quick,
    playbook: &'a Playbook,
    event: &'a Event,
    state: RunState,
    seen: Seen,
    sends: Vec<WouldSend>,
    now: Time,
}

impl Walk<'_> {
    fn whole(&mut self) -> Option<RunStatus> {
        let playbook = self.playbook;
        for _ in 0..2 * limits::RUN_STEPS_MAX {
            match next::next(&self.state, playbook, self.now, &|_| false) {
                Next::Start => self.state.apply(&Fact::Started { at: self.now }).ok()?,
                Next::Work { todo, .. } => self.work(todo)?,
                Next::End { status: status @ (RunStatus::Succeeded | RunStatus::SucceededWithWarnings), .. } => {
                    return Some(status);
                }
                Next::End { .. } | Next::CutOff { .. } => return None,
            }
        }
        None
    }

    /// What the run decides by itself, else the first thing that is to be done.
    fn work(&mut self, todo: Vec<Todo<'_>>) -> Option<()> {
        let mut decided = false;
        let mut act = None;
        for todo in todo {
            let scope = self.scope(&todo)?;
            let means = Means {
                state: &self.state,
                playbook: self.playbook,
                evaluator: &self.quick.context.evaluator,
                scope: &scope,
                now: self.now,
            };
            match flow::decide(&todo, &means) {
                Follows::Facts(facts) => {
                    decided = true;
                    facts.iter().try_for_each(|fact| self.state.apply(fact)).ok()?;
                }
                Follows::Act => {
                    act.get_or_insert((todo, scope));
                }
                Follows::Call { .. } => return None,
            }
        }
        if decided {
            return Some(());
        }
        let (todo, scope) = act?;
        self.act(&todo, &scope)
    }

    fn scope(&mut self, todo: &Todo<'_>) -> Option<Scope> {
        let memory = &self.quick.memory;
        let look = |key: &ObjectKey| Ok(memory.object(key)?.map(|object| object.record));
        let sight = Sight { playbook: self.playbook, event: self.event, look: &look };
        flow::scope(&self.state, &todo.frame, sight, &mut self.seen, self.now).ok()
    }

    fn act(&mut self, todo: &Todo<'_>, scope: &Scope) -> Option<()> {
        let Body::Action { with, spec } = &todo.step.body else { return None };
        let start = self.state.start.clone();
        let call = Call {
            start: &start,
            path: &todo.path,
            with,
            scope,
            state: self.state.steps.get(&todo.path),
            retry: todo.step.retry.as_ref(),
            timeout: todo.step.timeout,
            secrets: &self.playbook.secrets,
            now: self.now,
            random: 0,
            ctx: &self.quick.context,
        };
        let outcome = action::find(spec.id)?.run(call).now_or_never()?;
        if !outcome.changes.is_empty() || !outcome.windows.is_empty() {
            return None;
        }
        self.sends.extend(outcome.attempts.iter().filter_map(|one| would_send(one, &start.playbook, start.observed)));
        let (path, action) = (todo.path.clone(), spec.id.to_owned());
        let begun = Fact::StepStarted { path, action, at: self.now, input: Some(outcome.input), once: false };
        self.state.apply(&begun).ok()?;
        let facts = facts_of(todo.step, &todo.path, (0, self.now, self.now), outcome.attempts, outcome.result);
        if !matches!(facts.last(), Some(Fact::StepEnded { status, .. }) if !status.is_failure()) {
            return None;
        }
        facts.iter().try_for_each(|fact| self.state.apply(fact)).ok()
    }
}
