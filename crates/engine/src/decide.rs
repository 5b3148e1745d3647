//! What follows from an event: pure.
//!
//! [`decide`] takes the state, one event, the loaded playbooks and the time, and returns everything that follows:
//! transitions, the new state, decisions, runs, windows. It does no I/O and reads no clock. The live engine, `explain`,
//! tests and dry runs all call this one function.
//!
//! All conditions of an event see the state right after that event, never each other's effects. There is at most one
//! decision and one run per event and playbook: the first trigger in the file that fits is recorded, and
//! matched > failed > not matched.
//!
//! Length: one event, told from top to bottom; the steps share one state, and cutting it would hide their order.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use model::run::RunStart;
use model::{
    ChainLink, Decision, Event, EventId, Kind, Object, ObjectKey, Place, RunId, Seq, Time, Transition, Verdict,
};
use model::{limits, object, record};
use playbook::{Answer, Budget, Condition, Evaluator, Playbook, Root, Scope, Span};
use store::Window;

use crate::set::Set;
use crate::trigger::{self, Fit};
use crate::writer::Accepted;

/// The state that a decision reads.
pub trait View {
    /// An object as it stands.
    ///
    /// # Errors
    /// [`store::Error`] when it cannot be read.
    fn object(&self, key: &ObjectKey) -> Result<Option<Arc<Object>>, store::Error>;

    /// Until when a window is silent, if it is at `now`.
    ///
    /// # Errors
    /// [`store::Error`] when it cannot be read.
    fn window(&self, key: &str, now: Time) -> Result<Option<Time>, store::Error>;
}

/// A state that knows nothing: for `explain --event`, dry runs of the mapping and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl View for Nothing {
    fn object(&self, _key: &ObjectKey) -> Result<Option<Arc<Object>>, store::Error> {
        Ok(None)
    }

    fn window(&self, _key: &str, _now: Time) -> Result<Option<Time>, store::Error> {
        Ok(None)
    }
}

/// Where and when the decision will be recorded.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// The entry.
    pub seq: Seq,
    /// The entry's tag.
    pub tag: u32,
    /// The time.
    pub now: Time,
}

/// What decisions are made with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// The loaded playbooks.
    pub set: &'a Set,
    /// What answers conditions.
    pub evaluator: &'a Evaluator,
    /// The stage in which a case is closed.
    pub closed_stage: &'a str,
    /// How long the conditions of this event have taken so far.
    pub spent: &'a dyn Fn() -> Duration,
}

/// Everything that follows from an event.
#[derive(Debug)]
pub struct Decided {
    /// The object that the event is about, as it stands afterwards, if it was touched.
    pub object: Option<(ObjectKey, Object)>,
    /// What changed.
    pub transitions: Vec<Transition>,
    /// The decisions that got as far as a look at the playbook, in order.
    pub decisions: Vec<Decision>,
    /// All playbooks that listen to this kind of event, in order; those without a decision did not match by their
    /// triggers' own arguments.
    pub listening: Arc<[u32]>,
    /// The runs that are started.
    pub runs: Vec<RunStart>,
    /// The windows that begin.
    pub windows: Vec<Window>,
    /// What was noticed.
    pub warnings: Vec<String>,
}

impl Decided {
    /// One playbook was left out on purpose, and nothing else follows.
    pub fn skipped(playbook: &Playbook, reason: &str) -> Decided {
        let decision = Decision {
            playbook: Arc::clone(&playbook.id),
            verdict: Verdict::Skipped,
            run_id: None,
            reason: reason.into(),
            at: None,
            trigger: None,
        };
        Decided {
            object: None,
            transitions: Vec::new(),
            decisions: vec![decision],
            listening: Arc::from([]),
            runs: Vec::new(),
            windows: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// Says what follows from an event.
///
/// # Errors
/// [`store::Error`] when the state cannot be read; nothing is decided then.
pub fn decide(event: &Event, at: Position, view: &dyn View, means: Means<'_>) -> Result<Decided, store::Error> {
    let key = event.object();
    let stored = match &key {
        Some(key) => view.object(key)?,
        None => None,
    };
    let applied = object::apply(stored.as_deref(), event, at.seq, means.closed_stage);
    let touched = match (&key, applied.object, &stored) {
        (Some(key), Some(object), _) => Some((key.clone(), object)),
        (Some(key), None, Some(stored)) => Some((key.clone(), (**stored).clone())),
        _ => None,
    };
    let heard = means.set.hear(&event.kind, &event.tenant, key.as_ref(), &applied.transitions);
    let mut hearing = Hearing {
        event,
        at,
        view,
        means,
        transitions: &applied.transitions,
        object: touched.as_ref().map(|(_, object)| object),
        about: None,
        asked: Duration::ZERO,
        out: Outcome::default(),
    };
    for place in &heard.candidates {
        if let Some(playbook) = means.set.get(*place) {
            hearing.judge(playbook)?;
        }
    }
    let Outcome { decisions, runs, windows } = hearing.out;
    let mut warnings = event.warnings.clone();
    warnings.extend(applied.warnings);
    Ok(Decided {
        transitions: applied.transitions,
        object: touched,
        decisions,
        listening: heard.listening,
        runs,
        windows,
        warnings,
    })
}

/// Says what follows for one playbook whose trigger is known to fit: a schedule's instant.
///
/// # Errors
/// [`store::Error`] when the state cannot be read; nothing is decided then.
pub fn decide_one(
    event: &Event,
    at: Position,
    (playbook, fit): (&Arc<Playbook>, &Fit),
    view: &dyn View,
    means: Means<'_>,
) -> Result<Decided, store::Error> {
    let mut hearing = Hearing {
        event,
        at,
        view,
        means,
        transitions: &[],
        object: None,
        about: None,
        asked: Duration::ZERO,
        out: Outcome::default(),
    };
    hearing.judge_fits(playbook, std::slice::from_ref(fit))?;
    let Outcome { decisions, runs, windows } = hearing.out;
    let listening = Arc::from([]);
    Ok(Decided { object: None, transitions: Vec::new(), decisions, listening, runs, windows, warnings: Vec::new() })
}

/// The decision of a playbook whose triggers' own arguments did not fit; recomputed whenever it is shown.
pub fn not_triggered(
    playbook: &Playbook,
    event: &Event,
    transitions: &[Transition],
    object: Option<&Object>,
) -> Decision {
    let (reason, span) = trigger::why_not(playbook, event, transitions, object);
    Decision {
        playbook: Arc::clone(&playbook.id),
        verdict: Verdict::NotMatched,
        run_id: None,
        reason: reason.into(),
        at: Some(place(playbook, span)),
        trigger: None,
    }
}

/// Adds the decisions of playbooks that did not match by their triggers' own arguments, as far as an answer shows them.
pub fn fill(
    decisions: &mut Vec<Decision>,
    listening: &[u32],
    set: &Set,
    event: &Event,
    transitions: &[Transition],
    object: Option<&Object>,
) {
    shorten(decisions);
    if decisions.len() >= listening.len() {
        return;
    }
    let room = limits::ANSWER_DECISIONS_MAX - decisions.len();
    let known: HashSet<Arc<str>> = decisions.iter().map(|decision| Arc::clone(&decision.playbook)).collect();
    let others = listening.iter().filter_map(|place| set.get(*place)).filter(|p| !known.contains(&p.id));
    for playbook in others.take(room) {
        decisions.push(not_triggered(playbook, event, transitions, object));
    }
    decisions.sort_by_key(|decision| set.place(&decision.playbook));
}

/// Leaves as many decisions as an answer shows, in their order: rather those that say more.
pub(crate) fn shorten(decisions: &mut Vec<Decision>) {
    if decisions.len() <= limits::ANSWER_DECISIONS_MAX {
        return;
    }
    let mut kept: Vec<usize> = (0..decisions.len()).collect();
    kept.sort_by_key(|place| std::cmp::Reverse(rank(decisions[*place].verdict)));
    kept.truncate(limits::ANSWER_DECISIONS_MAX);
    let kept: HashSet<usize> = kept.into_iter().collect();
    let mut place = 0;
    decisions.retain(|_| {
        place += 1;
        kept.contains(&(place - 1))
    });
}

/// What the answer to an event says, of a decision that is not kept.
pub fn answer(decided: Decided, event: &Event, set: &Set, at: Position) -> Accepted {
    let decisions_total = decided.listening.len().max(decided.decisions.len());
    let mut decisions = decided.decisions;
    let object = decided.object.as_ref().map(|(_, object)| object);
    fill(&mut decisions, &decided.listening, set, event, &decided.transitions, object);
    Accepted {
        event_id: EventId { seq: at.seq, tag: at.tag },
        duplicate: false,
        decisions,
        decisions_total,
        transitions: decided.transitions,
        warnings: decided.warnings,
    }
}

#[derive(Default)]
struct Outcome {
    decisions: Vec<Decision>,
    runs: Vec<RunStart>,
    windows: Vec<Window>,
}

/// The objects that a run is about, and the scope that conditions share.
struct About {
    alert: Option<String>,
    case: Option<String>,
    entity: Option<String>,
    scope: Scope,
}

/// One event being heard by playbook after playbook.
struct Hearing<'a> {
    event: &'a Event,
    at: Position,
    view: &'a dyn View,
    means: Means<'a>,
    transitions: &'a [Transition],
    object: Option<&'a Object>,
    about: Option<About>,
    /// Time that the conditions have taken so far.
    asked: Duration,
    out: Outcome,
}

/// How a condition, or the lack of one, turned out.
enum Turn {
    Yes,
    Other(Verdict, String, Span),
}

impl Hearing<'_> {
    /// Decides for one playbook; no decision when no trigger fits by its own arguments.
    fn judge(&mut self, playbook: &Arc<Playbook>) -> Result<(), store::Error> {
        let fits: Vec<Fit> = trigger::fits(playbook, self.event, self.transitions, self.object);
        self.judge_fits(playbook, &fits)
    }

    fn judge_fits(&mut self, playbook: &Arc<Playbook>, fits: &[Fit]) -> Result<(), store::Error> {
        let Some(first) = fits.first() else { return Ok(()) };
        let span = playbook.triggers[first.index].span;
        if let Some((verdict, reason)) = self.before_conditions(playbook) {
            self.decided(playbook, verdict, reason, span, Some(first.index));
            return Ok(());
        }
        let mut best: Option<(Verdict, String, Span, usize)> = None;
        for fit in fits {
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
        if !self.means.set.is_on(playbook) {
            return Some((Verdict::Disabled, "the playbook is switched off".to_owned()));
        }
        if let Some(expires) = playbook.expires.filter(|expires| self.at.now >= *expires) {
            return Some((Verdict::Expired, format!("the playbook expired at {expires}")));
        }
        if let Some(reason) = loop_guard(playbook, &self.event.chain) {
            return Some((Verdict::LoopGuarded, reason));
        }
        let mute = self.object.and_then(|object| object.meta.muted.as_ref());
        if let Some(mute) = mute.filter(|mute| self.at.now < mute.until) {
            let what = self.event.object().map_or(String::new(), |key| key.to_string());
            return Some((Verdict::Skipped, format!("{what} is muted until {}: {}", mute.until, mute.reason)));
        }
        None
    }

    /// Asks the trigger's condition, then the playbook's.
    fn ask(&mut self, playbook: &Playbook, fit: &Fit) -> Result<Turn, store::Error> {
        let conditions: Vec<&Condition> =
            playbook.triggers[fit.index].when.iter().chain(playbook.when.iter()).collect();
        if conditions.is_empty() {
            return Ok(Turn::Yes);
        }
        let limit = Duration::from_millis(limits::EVENT_CONDITIONS_MILLIS_MAX);
        if self.asked > limit {
            let reason =
                format!("the conditions of this event took longer than {} together", model::period::format(limit));
            return Ok(Turn::Other(Verdict::Failed, reason, playbook.triggers[fit.index].span));
        }
        let scope = self
            .about()?
            .scope
            .clone()
            .known(Root::Trigger, Some(Arc::new(fit.facts.clone())))
            .free(Root::Vars, Arc::clone(&playbook.vars));
        for condition in conditions {
            let began = (self.means.spent)();
            let answer = condition.answer(self.means.evaluator, &scope, Budget::WHEN);
            // What a condition took beyond its own budget is the machine's time: a busy machine must not turn a yes into
            // a failure.
            self.asked +=
                (self.means.spent)().saturating_sub(began).min(Duration::from_millis(limits::WHEN_MILLIS_MAX));
            match answer {
                Answer::Yes => {}
                Answer::No { reason, at } => return Ok(Turn::Other(Verdict::NotMatched, reason, at)),
                Answer::Failed { code, message, at } => {
                    return Ok(Turn::Other(Verdict::Failed, format!("{message} ({code})"), at));
                }
            }
        }
        Ok(Turn::Yes)
    }

    /// Starts a run, unless the trigger's window is silent.
    fn start(&mut self, playbook: &Arc<Playbook>, fit: &Fit) -> Result<(), store::Error> {
        let span = playbook.triggers[fit.index].span;
        let mut silence = None;
        if let (Some(dedupe), Some(key)) = (fit.dedupe, self.event.object()) {
            let window = format!("trigger/{}/{key}", playbook.id);
            if let Some(until) = self.view.window(&window, self.at.now)? {
                let reason = format!("an alert for {key} was raised before; silent until {until}");
                self.decided(playbook, Verdict::Deduplicated, reason, span, Some(fit.index));
                return Ok(());
            }
            silence = Some(Window { key: window, until: Some(self.at.now.plus(dedupe)) });
        }
        let n = u16::try_from(self.out.runs.len()).unwrap_or(u16::MAX);
        if n == u16::MAX {
            let reason = format!("one event starts at most {n} runs");
            self.decided(playbook, Verdict::Throttled, reason, span, Some(fit.index));
            return Ok(());
        }
        self.out.windows.extend(silence);
        let id = RunId { seq: self.at.seq, n, tag: self.at.tag };
        let (event, tenant, chain) = (self.event_id(), self.event.tenant.clone(), self.event.chain.clone());
        let about = self.about()?;
        let start = RunStart {
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
            carried: Vec::new(),
        };
        self.out.runs.push(start);
        self.out.decisions.push(Decision {
            playbook: Arc::clone(&playbook.id),
            verdict: Verdict::Matched,
            run_id: Some(id),
            reason: fit.reason.as_str().into(),
            at: Some(place(playbook, span)),
            trigger: u16::try_from(fit.index).ok(),
        });
        Ok(())
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

/// matched > failed > anything else > not matched.
fn rank(verdict: Verdict) -> u8 {
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

/// Reads what belongs to an event: an alert's case, a case's alert.
fn about(event: &Event, object: Option<&Object>, view: &dyn View, now: Time) -> Result<About, store::Error> {
    let key = event.object();
    let kind = key.as_ref().map(|key| key.kind);
    let id = key.map(|key| key.id);
    let other = |kind: Kind, field: &str| -> Result<Option<(String, Arc<Object>)>, store::Error> {
        let Some(id) = object.and_then(|object| object.text(field)) else { return Ok(None) };
        let key = ObjectKey { tenant: event.tenant.clone(), kind, id: id.to_owned() };
        Ok(view.object(&key)?.map(|object| (key.id, object)))
    };
    let own = object.map(|object| Arc::clone(&object.record));
    let mut scope = Scope::new(now).known(Root::Event, Some(Arc::new(event_record(event))));
    let mut all = About { alert: None, case: None, entity: None, scope: Scope::new(now) };
    match kind {
        Some(Kind::Alert) => {
            let case = other(Kind::Case, "case_id")?;
            scope = scope.known(Root::Alert, own).known(Root::Case, case.as_ref().map(|(_, c)| Arc::clone(&c.record)));
            (all.alert, all.case) = (id, case.map(|(id, _)| id));
        }
        Some(Kind::Case) => {
            let alert = other(Kind::Alert, "alert_id")?;
            scope = scope.known(Root::Case, own).known(Root::Alert, alert.as_ref().map(|(_, a)| Arc::clone(&a.record)));
            (all.case, all.alert) = (id, alert.map(|(id, _)| id));
        }
        Some(Kind::Entity) => {
            scope = scope.known(Root::Entity, own);
            all.entity = id;
        }
        None => {}
    }
    all.scope = scope;
    Ok(all)
}

/// An event as conditions see it.
pub fn event_record(event: &Event) -> record::Record {
    use serde_json::Value;
    let mut fields = record::Record::new();
    let mut set = |name: &str, value: String| fields.insert(name.to_owned(), Value::String(value));
    set("type", event.kind.clone());
    set("source", event.source.clone());
    set("time", event.time.to_string());
    set("received", event.received.to_string());
    set("tenant", event.tenant.clone());
    if let Some(id) = &event.own_id {
        set("id", id.clone());
    }
    if !event.data.is_null() {
        fields.insert("data".to_owned(), event.data.clone());
    }
    fields
}

fn place(playbook: &Playbook, span: Span) -> Place {
    Place { file: Arc::clone(&playbook.file), line: span.line, column: span.column }
}
