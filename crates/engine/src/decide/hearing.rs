//! One event, heard by playbook after playbook: guards, conditions, windows, limits, the run.

use std::sync::Arc;
use std::time::Duration;

use model::event::Actor;
use model::run::{Gate, RunStart};
use model::{ChainLink, Decision, Event, EventId, Object, Place, RunId, Transition, Verdict, limits, record};
use playbook::{Answer, Budget, Condition, On, Playbook, Root, Scope, Span};
use store::{Tally, Window};

use super::about::{self, About, about};
use super::bounds::{Bounds, Taken, observed};
use super::look::{Asked, Look};
use super::{Decided, Means, Position, View};
use crate::brakes::Suspension;
use crate::trigger::{self, Fit, Silence};

/// The codes of conditions that used up what they may use.
const OVER_BUDGET: [&str; 3] = ["too_slow", "too_many_operations", "too_much_memory"];

/// One event being heard by playbook after playbook.
pub(super) struct Hearing<'a> {
    pub(super) event: &'a Event,
    pub(super) at: Position,
    pub(super) view: &'a dyn View,
    pub(super) means: Means<'a>,
    transitions: &'a [Transition],
    object: Option<&'a Object>,
    about: Option<About>,
    /// Time that the conditions have taken so far.
    asked: Duration,
    /// What follows from the playbooks heard so far.
    pub(super) out: Decided,
}

/// How a condition, or the lack of one, turned out.
pub(super) enum Turn {
    Yes,
    Other(Verdict, String, Span),
}

impl<'a> Hearing<'a> {
    /// The hearing of an event, with what it changed and the object that it is about.
    pub(super) fn new(
        (event, at): (&'a Event, Position),
        view: &'a dyn View,
        means: Means<'a>,
        (transitions, object): (&'a [Transition], Option<&'a Object>),
    ) -> Hearing<'a> {
        let out = Decided::default();
        Hearing { event, at, view, means, transitions, object, about: None, asked: Duration::ZERO, out }
    }

    /// Decides for one playbook; no decision when no trigger fits by its own arguments.
    pub(super) fn judge(&mut self, playbook: &Arc<Playbook>) -> Result<(), store::Error> {
        let fits: Vec<Fit> = trigger::fits(playbook, self.event, self.transitions, self.object);
        self.judge_fits(playbook, fits)
    }

    /// Decides for one playbook of which these triggers fit by their own arguments.
    pub(super) fn judge_fits(&mut self, playbook: &Arc<Playbook>, mut fits: Vec<Fit>) -> Result<(), store::Error> {
        let Some(first) = fits.first() else { return Ok(()) };
        let span = playbook.triggers[first.index].span;
        if let Some((verdict, reason)) = self.before_conditions(playbook) {
            self.decided(playbook, verdict, reason, span, Some(first.index));
            return Ok(());
        }
        let mut best: Option<(Verdict, String, Span, usize)> = None;
        for fit in &mut fits {
            match self.ask(playbook, fit)? {
                Turn::Yes => return self.start(playbook, fit),
                Turn::Other(verdict, reason, span) => {
                    let better = best.as_ref().is_none_or(|(known, ..)| rank(verdict) > rank(*known));
                    if better {
                        best = Some((verdict, reason, span, fit.index));
                    }
                }
            }
        }
        if let Some((verdict, reason, span, index)) = best {
            self.decided(playbook, verdict, reason, span, Some(index));
        }
        Ok(())
    }

    /// What speaks against the playbook whatever its conditions say.
    fn before_conditions(&self, playbook: &Playbook) -> Option<(Verdict, String)> {
        if !playbook.enabled {
            return Some((Verdict::Disabled, "the playbook's file says `enabled: false`".to_owned()));
        }
        if self.means.set.waiting().contains(&*playbook.id) {
            let enable = format!("`sortie playbooks enable {}`", playbook.id);
            let reason = format!("this text of the playbook waits for a second person ({enable} by somebody else)");
            return Some((Verdict::Disabled, reason));
        }
        if !self.means.set.is_on(playbook) {
            return Some((Verdict::Disabled, "the playbook is switched off".to_owned()));
        }
        if let Some(suspension) = self.view.suspended(&playbook.id) {
            let Suspension { since, reason } = suspension;
            let lift = format!("`sortie playbooks enable {}` lifts that", playbook.id);
            return Some((Verdict::Disabled, format!("the playbook is suspended since {since}: {reason}; {lift}")));
        }
        if let Some(expires) = playbook.expires.filter(|expires| self.at.now >= *expires) {
            return Some((Verdict::Expired, format!("the playbook expired at {expires}")));
        }
        if let Some(reason) = loop_guard(playbook, &self.event.chain) {
            return Some((Verdict::LoopGuarded, reason));
        }
        if self.view.mutes()
            && let Some(reason) = about::muted(self.event, self.object, self.view, self.at.now)
        {
            return Some((Verdict::Skipped, reason));
        }
        None
    }

    /// Asks the trigger's condition, then the playbook's; what is counted is counted in between.
    fn ask(&mut self, playbook: &Playbook, fit: &mut Fit) -> Result<Turn, store::Error> {
        let trigger = &playbook.triggers[fit.index];
        let no = if let On::Count(count) = &trigger.on {
            let mut no = self.conditions(playbook, fit, trigger.when.iter())?;
            if no.is_none() {
                no = self.count(playbook, fit, count)?;
            }
            if no.is_none() {
                no = self.conditions(playbook, fit, playbook.when.iter())?;
            }
            no
        } else {
            self.conditions(playbook, fit, trigger.when.iter().chain(playbook.when.iter()))?
        };
        Ok(no.unwrap_or(Turn::Yes))
    }

    /// Asks conditions; nothing when all say yes.
    fn conditions<'c>(
        &mut self,
        playbook: &Playbook,
        fit: &Fit,
        conditions: impl Iterator<Item = &'c Condition>,
    ) -> Result<Option<Turn>, store::Error> {
        let mut conditions = conditions.peekable();
        if conditions.peek().is_none() {
            return Ok(None);
        }
        let limit = Duration::from_millis(limits::EVENT_CONDITIONS_MILLIS_MAX);
        if self.asked > limit {
            let reason =
                format!("the conditions of this event took longer than {} together", model::period::format(limit));
            return Ok(Some(Turn::Other(Verdict::Failed, reason, playbook.triggers[fit.index].span)));
        }
        let scope = self.scope(playbook, fit)?;
        for condition in conditions {
            let began = (self.means.spent)();
            let answer = condition.answer(self.means.evaluator, &scope, Budget::WHEN);
            // What a condition took beyond its own budget is the machine's time: a busy machine must not turn a yes into
            // a failure.
            self.asked +=
                (self.means.spent)().saturating_sub(began).min(Duration::from_millis(limits::WHEN_MILLIS_MAX));
            match answer {
                Answer::Yes => {}
                Answer::No { reason, at } => return Ok(Some(Turn::Other(Verdict::NotMatched, reason, at))),
                Answer::Failed { code, message, at } => {
                    if OVER_BUDGET.contains(&code) {
                        self.out.over_budget.push(Arc::clone(&playbook.id));
                    }
                    return Ok(Some(Turn::Other(Verdict::Failed, format!("{message} ({code})"), at)));
                }
            }
        }
        Ok(None)
    }

    /// Looks at one playbook without deciding: each trigger, and each operand of the conditions that would be asked.
    pub(super) fn look(&mut self, playbook: &Playbook) -> Result<Vec<Look>, store::Error> {
        let mut all = Vec::new();
        for (index, trigger) in playbook.triggers.iter().enumerate() {
            let (fit, reason) = trigger::look(playbook, index, self.event, self.transitions, self.object);
            let mut conditions = Vec::new();
            if let Some(fit) = &fit {
                let scope = self.scope(playbook, fit)?;
                for condition in trigger.when.iter().chain(playbook.when.iter()) {
                    let answer = condition.answer(self.means.evaluator, &scope, Budget::WHEN);
                    let operands = condition.trace(self.means.evaluator, &scope);
                    conditions.push(Asked { text: condition.source().to_owned(), answer, operands });
                }
            }
            let (kind, at) = (trigger.on.kind(), trigger.span);
            all.push(Look { kind, at, fits: fit.is_some(), reason, conditions });
        }
        Ok(all)
    }

    /// What the names of conditions and keys mean.
    pub(super) fn scope(&mut self, playbook: &Playbook, fit: &Fit) -> Result<Scope, store::Error> {
        let scope = self.about()?.scope.clone();
        let scope = scope.known(Root::Trigger, Some(Arc::new(fit.facts.clone())));
        Ok(scope.free(Root::Vars, Arc::clone(&playbook.vars)))
    }

    /// Starts a run, unless the trigger's window is silent or a bound of the playbook holds it back.
    fn start(&mut self, playbook: &Arc<Playbook>, fit: &Fit) -> Result<(), store::Error> {
        let span = playbook.triggers[fit.index].span;
        let mut silence = None;
        if let Some(Silence { window, period }) = &fit.silence {
            let window = observed(playbook, window.clone());
            if let Some(until) = self.view.window(&window, self.at.now)? {
                let reason = format!("{}, and it was raised before; silent until {until}", fit.reason);
                self.decided(playbook, Verdict::Deduplicated, reason, span, Some(fit.index));
                return Ok(());
            }
            silence = Some(Window { key: window, until: Some(self.at.now.plus(*period)) });
        }
        let n = u16::try_from(self.out.runs.len()).unwrap_or(u16::MAX);
        if n == u16::MAX {
            let reason = format!("one event starts at most {n} runs");
            self.decided(playbook, Verdict::Throttled, reason, span, Some(fit.index));
            return Ok(());
        }
        let Some(taken) = self.bounds(playbook, fit)? else { return Ok(()) };
        self.out.windows.extend(silence);
        self.out.windows.extend(taken.windows);
        self.out.tallies.extend(taken.tallies);
        if let Some(key) = &fit.uses_up {
            self.out.tallies.push(Tally { key: key.clone(), times: Vec::new(), until: self.at.now });
        }
        let id = RunId { seq: self.at.seq, n, tag: self.at.tag };
        let start = self.run_start(playbook, fit, (id, taken.gate))?;
        self.out.runs.push(start);
        let (verdict, reason) = match taken.waits {
            Some(why) => (Verdict::Queued, why),
            None if playbook.control.observe => {
                (Verdict::Observed, format!("{}; only its plan is recorded", fit.reason))
            }
            None => (Verdict::Matched, fit.reason.clone()),
        };
        self.decided(playbook, verdict, reason, span, Some(fit.index));
        if let Some(decision) = self.out.decisions.last_mut() {
            decision.run_id = Some(id);
        }
        Ok(())
    }

    /// Asks the bounds of the playbook; nothing when one of them says no, which is then decided.
    fn bounds(&mut self, playbook: &Playbook, fit: &Fit) -> Result<Option<Taken>, store::Error> {
        if !playbook.control.bounds_starts() {
            return Ok(Some(Taken::default()));
        }
        let scope = self.scope(playbook, fit)?;
        let (tenant, now) = (self.event.tenant.as_str(), self.at.now);
        let asked = Bounds { playbook, tenant, now, view: self.view, means: self.means, scope: &scope }.ask()?;
        match asked {
            Ok(taken) => Ok(Some(taken)),
            Err(held) => {
                self.out.windows.extend(held.windows);
                self.out.raised.extend(held.raised);
                self.decided(playbook, held.verdict, held.reason, held.at, Some(fit.index));
                Ok(None)
            }
        }
    }

    fn run_start(
        &mut self,
        playbook: &Playbook,
        fit: &Fit,
        (id, gate): (RunId, Option<Gate>),
    ) -> Result<RunStart, store::Error> {
        let (event, tenant, chain) = (self.event_id(), self.event.tenant.clone(), self.event.chain.clone());
        let about = self.about()?;
        Ok(RunStart {
            id,
            playbook: playbook.id.to_string(),
            digest: playbook.digest,
            trigger: fit.facts.clone(),
            tenant,
            event,
            alert: about.alert.clone(),
            case: about.case.clone(),
            entity: about.entity.clone(),
            chain,
            inputs: record::Record::new(),
            retry_of: None,
            requester: requester(self.event),
            caller: None,
            carried: Vec::new(),
            gate,
            observed: playbook.control.observe,
        })
    }

    fn event_id(&self) -> EventId {
        EventId { seq: self.at.seq, tag: self.at.tag }
    }

    fn decided(&mut self, playbook: &Playbook, verdict: Verdict, reason: String, at: Span, trigger: Option<usize>) {
        self.out.decisions.push(Decision {
            playbook: Arc::clone(&playbook.id),
            verdict,
            run_id: None,
            reason: reason.into(),
            at: Some(place(playbook, at)),
            trigger: trigger.and_then(|index| u16::try_from(index).ok()),
        });
    }

    /// The objects that the event is about, read once when the first condition or run needs them.
    fn about(&mut self) -> Result<&About, store::Error> {
        let about = match self.about.take() {
            Some(about) => about,
            None => about(self.event, self.object, self.view, self.at.now)?,
        };
        Ok(self.about.insert(about))
    }
}

/// The person behind an event: who sent it, or who is behind the run that caused it.
fn requester(event: &Event) -> Option<String> {
    match &event.actor {
        Actor::Token(name) | Actor::User(name) => Some(name.clone()),
        _ => event.chain.last().and_then(|link| link.requester.clone()),
    }
}

/// matched > failed > anything else > not matched.
pub(super) fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Matched => 3,
        Verdict::Failed => 2,
        Verdict::NotMatched => 0,
        _ => 1,
    }
}

/// Whether a chain of runs behind an event forbids this playbook.
fn loop_guard(playbook: &Playbook, chain: &[ChainLink]) -> Option<String> {
    if chain.len() >= limits::CHAIN_DEPTH_MAX {
        return Some(format!("the chain of runs behind this event is {} long, the most that is allowed", chain.len()));
    }
    let own = chain.iter().find(|link| link.playbook == *playbook.id);
    own.filter(|_| !playbook.triggers_itself).map(|link| {
        format!(
            "run {} of this playbook is in the chain behind this event; `triggers_itself: allow` permits it",
            link.run
        )
    })
}

/// A place in the playbook's file.
pub(super) fn place(playbook: &Playbook, span: Span) -> Place {
    Place { file: Arc::clone(&playbook.file), line: span.line, column: span.column }
}
