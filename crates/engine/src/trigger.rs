//! Which triggers of a playbook fit an event by their own arguments, and why not.

use std::time::Duration;

use model::object::OURS;
use model::record::Record;
use model::transition::{Change, score};
use model::{Event, Kind, Object, Transition};
use playbook::{On, Playbook, Span, Trigger};
use serde_json::Value;

/// The type of the event that says that a run failed or ran out of time.
pub const RUN_FAILED: &str = "run.failed";
/// The type of the event that says that a run needs a person.
pub const RUN_NEEDS_ATTENTION: &str = "run.needs_attention";
/// The type of the event that says that a delivery failed for good.
pub const DELIVERY_FAILED: &str = "delivery.failed";
/// The type of the event that says that a playbook ran more rarely than is expected.
pub const PLAYBOOK_SILENT: &str = "playbook.silent";

/// A trigger that fits.
#[derive(Debug, Clone)]
pub struct Fit {
    /// Which trigger of the playbook, from 0.
    pub index: usize,
    /// What conditions and steps see as `trigger`.
    pub facts: Record,
    /// Why it fits, in words.
    pub reason: String,
    /// How long it stays silent afterwards, and under which name.
    pub silence: Option<Silence>,
    /// The tally that the run uses up.
    pub uses_up: Option<String>,
}

/// A trigger's own silence after it has fired.
#[derive(Debug, Clone)]
pub struct Silence {
    /// The name of the window.
    pub window: String,
    /// How long it is.
    pub period: Duration,
}

/// The triggers that fit, in the order of the file.
pub fn fits(playbook: &Playbook, event: &Event, transitions: &[Transition], object: Option<&Object>) -> Vec<Fit> {
    let all = playbook.triggers.iter().enumerate();
    all.filter_map(|(index, trigger)| fit((&playbook.id, index), trigger, event, transitions, object)).collect()
}

fn fit(
    (playbook, index): (&str, usize),
    trigger: &Trigger,
    event: &Event,
    transitions: &[Transition],
    object: Option<&Object>,
) -> Option<Fit> {
    let mut facts = Record::new();
    let mut put = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    put("kind", Value::from(trigger.on.kind()));
    let mut silence = None;
    let found =
        |kind: Kind, want: fn(&Change) -> bool| transitions.iter().find(|t| t.object.kind == kind && want(&t.change));
    let reason = match &trigger.on {
        On::AlertCreated => described(found(Kind::Alert, |c| matches!(c, Change::Created))?),
        On::CaseCreated => described(found(Kind::Case, |c| matches!(c, Change::Created))?),
        On::AlertUpdated { changed: wanted } => updated(found(Kind::Alert, is_update)?, wanted, &mut put)?,
        On::CaseUpdated { changed: wanted } => updated(found(Kind::Case, is_update)?, wanted, &mut put)?,
        On::StageChanged { from, to } => {
            let fitting = |change: &Change| match change {
                Change::StageChanged { from: before, to: after } => among(from, before) && among(to, after),
                _ => false,
            };
            let transition = transitions.iter().find(|t| fitting(&t.change))?;
            if let Change::StageChanged { from, to } = &transition.change {
                put("from", Value::from(from.as_str()));
                put("to", Value::from(to.as_str()));
            }
            described(transition)
        }
        On::Score { of, levels, dedupe: period } => {
            let crossed = crossed(of, levels, transitions, object?, &mut put)?;
            let window = |period| Some(Silence { window: format!("trigger/{playbook}/{}", event.object()?), period });
            silence = period.and_then(window);
            crossed
        }
        On::Event { types } => {
            types.iter().find(|pattern| type_fits(pattern, &event.kind))?;
            format!("an event of type {}", event.kind)
        }
        On::Count(count) => {
            count.types.iter().find(|pattern| type_fits(pattern, &event.kind))?;
            format!("an event of type {}", event.kind)
        }
        On::RunFailed { playbooks } => ours(event, RUN_FAILED, "playbook", playbooks)?,
        On::RunNeedsAttention { playbooks } => ours(event, RUN_NEEDS_ATTENTION, "playbook", playbooks)?,
        On::DeliveryFailed { destinations } => ours(event, DELIVERY_FAILED, "destination", destinations)?,
        On::PlaybookSilent { playbooks } => ours(event, PLAYBOOK_SILENT, "playbook", playbooks)?,
        On::Schedule(_) | On::InStage { .. } | On::SourceSilent { .. } | On::Manual => return None,
    };
    Some(Fit { index, facts, reason, silence, uses_up: None })
}

/// An event of our own of this type, about one of those that are wanted.
fn ours(event: &Event, kind: &str, field: &str, wanted: &[String]) -> Option<String> {
    let name = event.data.get(field)?.as_str()?;
    let fits =
        event.source == OURS && event.kind == kind && (wanted.is_empty() || wanted.iter().any(|one| one == name));
    fits.then(|| format!("{kind}: {field} {name}"))
}

fn is_update(change: &Change) -> bool {
    matches!(change, Change::Updated { .. })
}

fn described(transition: &Transition) -> String {
    format!("{} {}", transition.object, transition.change.describe())
}

fn among(wanted: &[String], stage: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|name| name == stage)
}

fn type_fits(pattern: &str, kind: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == kind, |prefix| kind.starts_with(prefix))
}

fn updated(
    transition: &Transition,
    wanted: &[String],
    put: &mut impl FnMut(&str, Value) -> Option<Value>,
) -> Option<String> {
    let Change::Updated { changed, previous } = &transition.change else { return None };
    if !wanted.is_empty() && !changed.iter().any(|name| wanted.contains(name)) {
        return None;
    }
    put("changed", Value::from(changed.clone()));
    put("previous", Value::Object(previous.clone()));
    Some(described(transition))
}

/// A score crosses when all levels hold now and did not all hold before.
fn crossed(
    of: &str,
    levels: &[(String, f64)],
    transitions: &[Transition],
    object: &Object,
    put: &mut impl FnMut(&str, Value) -> Option<Value>,
) -> Option<String> {
    let carrier = |t: &Transition| match t.object.kind {
        Kind::Entity => t.object.id.split_once('/').is_some_and(|(kind, _)| kind == of),
        kind => kind.name() == of,
    };
    let moved = |name: &str| {
        transitions.iter().filter(|t| carrier(t)).find_map(|t| match &t.change {
            Change::ScoreMoved { score, from, to } if score == name => Some((*from, *to)),
            _ => None,
        })
    };
    let mut held_before = true;
    let mut crossing = None;
    for (name, above) in levels {
        let (before, after) = match moved(name) {
            Some((from, to)) => (from, Some(to)),
            None => {
                let now = current(object, name);
                (now, now)
            }
        };
        let after = after.filter(|after| after >= above)?;
        if before.is_none_or(|before| before < *above) {
            held_before = false;
            crossing = crossing.or(Some((name, before, after, *above)));
        }
    }
    let (name, before, after, above) = crossing.filter(|_| !held_before)?;
    put("score", Value::from(name.as_str()));
    put("from", before.map_or(Value::Null, plain));
    put("to", plain(after));
    let from = before.map_or_else(|| "nothing".to_owned(), |before| before.to_string());
    Some(format!("score {name} crossed {above} upward: {from} → {after}"))
}

/// A score as people write it: 83, not 83.0.
fn plain(score: f64) -> Value {
    // Exact for whole numbers of this size.
    if score.fract() == 0.0 && score.abs() < 1e15 { Value::from(score as i64) } else { Value::from(score) }
}

/// A score of an object; that of alerts and cases is `risk`.
fn current(object: &Object, name: &str) -> Option<f64> {
    if name == "risk" && object.record.contains_key("risk_score") {
        return score(object.record.get("risk_score"));
    }
    score(object.record.get("scores").and_then(|scores| scores.get(name)))
}

/// Whether one trigger of a playbook fits, and why or why not, in words.
pub fn look(
    playbook: &Playbook,
    index: usize,
    event: &Event,
    transitions: &[Transition],
    object: Option<&Object>,
) -> (Option<Fit>, String) {
    let Some(trigger) = playbook.triggers.get(index) else { return (None, "there is no such trigger".to_owned()) };
    match fit((&playbook.id, index), trigger, event, transitions, object) {
        Some(fit) => {
            let reason = fit.reason.clone();
            (Some(fit), reason)
        }
        None => {
            let why = misses(&trigger.on, event, transitions, object);
            (None, why.unwrap_or_else(|| "it listens to another kind of event".to_owned()))
        }
    }
}

/// Why no trigger fits, in words, and which trigger is meant.
pub fn why_not(
    playbook: &Playbook,
    event: &Event,
    transitions: &[Transition],
    object: Option<&Object>,
) -> (String, Span) {
    let mut first: Option<(String, Span)> = None;
    for trigger in &playbook.triggers {
        if let Some(reason) = misses(&trigger.on, event, transitions, object) {
            first.get_or_insert((reason, trigger.span));
        }
    }
    first.unwrap_or_else(|| {
        let span = playbook.triggers.first().map_or(Span { line: 1, column: 1, len: 1 }, |trigger| trigger.span);
        ("no trigger listens to this kind of event".to_owned(), span)
    })
}

/// Why a trigger that listens to this kind of event does not fit; nothing when it listens to another kind.
fn misses(on: &On, event: &Event, transitions: &[Transition], object: Option<&Object>) -> Option<String> {
    let stage = transitions.iter().find_map(|t| match &t.change {
        Change::StageChanged { from, to } => Some((from, to)),
        _ => None,
    });
    let about = event.subject.as_ref().map(|subject| subject.kind);
    match on {
        On::AlertCreated | On::CaseCreated if on.kind() == event.kind => {
            Some("it was known before, so this is an update".to_owned())
        }
        On::AlertUpdated { changed } | On::CaseUpdated { changed }
            if about.is_some_and(|kind| on.kind() == format!("{kind}.updated")) =>
        {
            let update = transitions.iter().find(|t| is_update(&t.change));
            Some(match update {
                Some(update) => format!("{}, not {}", update.change.describe(), changed.join(", ")),
                None => "nothing changed".to_owned(),
            })
        }
        On::StageChanged { from, to } if about == Some(Kind::Case) => Some(match stage {
            Some((before, after)) if !among(from, before) => {
                format!("stage changed {before} → {after}; the trigger wants from {}", from.join(" or "))
            }
            Some((before, after)) => {
                format!("stage changed {before} → {after}; the trigger wants to {}", to.join(" or "))
            }
            None => "the stage did not change".to_owned(),
        }),
        On::Score { levels, .. } => {
            let (name, above) = levels.first()?;
            Some(match object.and_then(|object| current(object, name)) {
                Some(now) => format!("score {name} is {now} and did not cross {above} upward"),
                None => format!("there is no score {name}"),
            })
        }
        On::RunFailed { playbooks: wanted }
        | On::RunNeedsAttention { playbooks: wanted }
        | On::PlaybookSilent { playbooks: wanted }
        | On::DeliveryFailed { destinations: wanted }
            if on.kind() == event.kind =>
        {
            let field = if matches!(on, On::DeliveryFailed { .. }) { "destination" } else { "playbook" };
            let name = event.data.get(field).and_then(Value::as_str).unwrap_or_default();
            Some(format!("it is about `{name}`; the trigger wants {}", wanted.join(" or ")))
        }
        _ => None,
    }
}
