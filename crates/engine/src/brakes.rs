//! Brakes: what people, or the engine itself, hold up until it is lifted again. Pauses of all automation or of all that
//! leaves, muted entities, suspended playbooks.
//!
//! Invariants: a brake is recorded, durable, before it is in force, and stands in the store as a mark, so that it holds
//! over a restart. Reading them costs one clone of a pointer; they change rarely.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use model::event::Actor;
use model::{Kind, ObjectKey, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Mark, Store};

use crate::engine::Engine;
use crate::refusal::Refusal;

/// The marks under which brakes are kept.
const PREFIX: &str = "brake/";
/// So often may a playbook be over its budget …
const OVER_BUDGET_MAX: usize = 10;
/// … in this time, before it is suspended.
const OVER_BUDGET_PER: Duration = Duration::from_secs(600);
/// The type of the event that says that a playbook was suspended.
pub const SUSPENDED: &str = "playbook.suspended";
/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 1_000;
/// Most entities that may be muted at once.
const MUTES_MAX: usize = 10_000;

/// What a pause holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All automation: no step of any run begins.
    All,
    /// All that leaves: no step that talks to the network begins.
    Outbound,
}

impl Scope {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::All => "all",
            Scope::Outbound => "outbound",
        }
    }

    fn mark(self) -> String {
        format!("{PREFIX}pause/{}", self.name())
    }
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: Time,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A muted entity: decisions about it are skipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mute {
    /// Whose it is.
    pub tenant: String,
    /// Which: its kind and id, such as `host/ws-17`.
    pub entity: String,
    /// Until when (half open).
    pub until: Time,
    /// Since when.
    pub since: Time,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A suspended playbook: it starts nothing until a person switches it on again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suspension {
    /// Since when.
    pub since: Time,
    /// Why.
    pub reason: String,
}

/// All brakes that are in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Brakes {
    /// The pauses.
    pub pauses: BTreeMap<Scope, Pause>,
    /// The muted entities.
    pub mutes: BTreeMap<ObjectKey, Mute>,
    /// The suspended playbooks by id.
    pub suspended: BTreeMap<String, Suspension>,
}

impl Brakes {
    /// Reads what is in force from the store.
    ///
    /// # Errors
    /// [`store::Error`] when it cannot be read.
    pub fn read(store: &dyn Store) -> Result<Brakes, store::Error> {
        let mut brakes = Brakes::default();
        for (name, value) in store.marks(PREFIX)? {
            let damaged = |error: serde_json::Error| store::Error::Corrupt { detail: format!("{name}: {error}") };
            match name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')) {
                Some(("pause", scope)) => {
                    let scope = if scope == Scope::All.name() { Scope::All } else { Scope::Outbound };
                    brakes.pauses.insert(scope, serde_json::from_slice(&value).map_err(damaged)?);
                }
                Some(("mute", _)) => {
                    let mute: Mute = serde_json::from_slice(&value).map_err(damaged)?;
                    brakes.mutes.insert(mute.key(), mute);
                }
                Some(("suspended", playbook)) => {
                    let suspension = serde_json::from_slice(&value).map_err(damaged)?;
                    brakes.suspended.insert(playbook.to_owned(), suspension);
                }
                _ => {}
            }
        }
        Ok(brakes)
    }

    /// The pause of all automation, if there is one.
    pub fn all(&self) -> Option<&Pause> {
        self.pauses.get(&Scope::All)
    }

    /// The pause of all that leaves, if there is one; a pause of all automation is one as well.
    pub fn outbound(&self) -> Option<&Pause> {
        self.pauses.get(&Scope::Outbound).or_else(|| self.all())
    }

    /// The mute of an entity that holds at `now`.
    pub fn muted(&self, key: &ObjectKey, now: Time) -> Option<&Mute> {
        self.mutes.get(key).filter(|mute| now < mute.until)
    }
}

impl Mute {
    fn key(&self) -> ObjectKey {
        ObjectKey { tenant: self.tenant.clone(), kind: Kind::Entity, id: self.entity.clone() }
    }
}

/// The mark of a muted entity. Its name may be longer than a mark's.
fn mute_mark(key: &ObjectKey) -> String {
    format!("{PREFIX}mute/{}", model::Digest::of(format!("{}\0{}", key.tenant, key.id).as_bytes()))
}

/// The mark of a suspended playbook.
pub(crate) fn suspension_mark(playbook: &str) -> String {
    format!("{PREFIX}suspended/{playbook}")
}

fn written(value: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}

/// The brakes in force, shared by all that must heed them.
#[derive(Debug, Default)]
pub(crate) struct Held {
    now: RwLock<Arc<Brakes>>,
    /// Held from reading to writing, so that no change is lost.
    changing: tokio::sync::Mutex<()>,
    /// When which playbook was over its budget.
    over_budget: Mutex<HashMap<Arc<str>, VecDeque<Time>>>,
    /// Woken when a pause ends.
    pub resumed: tokio::sync::Notify,
}

impl Held {
    /// What is in force.
    pub(crate) fn now(&self) -> Arc<Brakes> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts what is recorded in force.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Brakes)) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut now));
    }

    /// Notes that a playbook was over its budget; answers the reason when it is to be suspended.
    pub(crate) fn over_budget(&self, playbook: &Arc<str>, now: Time) -> Option<Suspension> {
        let mut all = self.over_budget.lock().unwrap_or_else(PoisonError::into_inner);
        let times = all.entry(Arc::clone(playbook)).or_default();
        times.push_back(now);
        while times.front().is_some_and(|first| now >= first.plus(OVER_BUDGET_PER)) {
            times.pop_front();
        }
        if times.len() < OVER_BUDGET_MAX {
            return None;
        }
        all.remove(playbook);
        let per = model::period::format(OVER_BUDGET_PER);
        let reason = format!("its conditions were over their budget {OVER_BUDGET_MAX} times within {per}");
        Some(Suspension { since: now, reason })
    }
}

impl Engine {
    /// The brakes that are in force.
    pub fn brakes(&self) -> Arc<Brakes> {
        self.shared().brakes.now()
    }

    /// Pauses all automation, or all that leaves. Events are still accepted and decided; what they start waits.
    ///
    /// # Errors
    /// [`Refusal`] when the reason is missing or it cannot be recorded.
    pub async fn pause(&self, scope: Scope, reason: &str, actor: Actor) -> Result<(), Refusal> {
        let pause = Pause { since: self.store().now(), by: actor.to_string(), reason: reason_of(reason)? };
        let what = json!({ "what": "paused", "scope": scope, "reason": pause.reason });
        let mark = (scope.mark(), written(&pause));
        self.brake("server", vec![mark], what, actor, |brakes| drop(brakes.pauses.insert(scope, pause))).await?;
        tracing::warn!(scope = scope.name(), reason, "paused; `sortie resume` lifts it");
        self.heed_pauses();
        Ok(())
    }

    /// Lifts pauses: that of one scope, or both. Answers which were lifted.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be recorded.
    pub async fn resume(&self, scope: Option<Scope>, actor: Actor) -> Result<Vec<Scope>, Refusal> {
        let paused = self.brakes();
        let lifted: Vec<Scope> =
            paused.pauses.keys().copied().filter(|held| scope.is_none_or(|wanted| wanted == *held)).collect();
        let marks = lifted.iter().map(|scope| (scope.mark(), None)).collect();
        let what = json!({ "what": "resumed", "scopes": lifted });
        let ended = lifted.clone();
        self.brake("server", marks, what, actor, |brakes| brakes.pauses.retain(|scope, _| !ended.contains(scope)))
            .await?;
        tracing::info!(scopes = ?lifted, "resumed");
        self.heed_pauses();
        Ok(lifted)
    }

    /// Leaves an entity alone until a time: decisions about it are skipped.
    ///
    /// # Errors
    /// [`Refusal`] when the time has passed, the reason is missing, or it cannot be recorded.
    pub async fn mute(&self, key: ObjectKey, until: Time, reason: &str, actor: Actor) -> Result<Mute, Refusal> {
        let now = self.store().now();
        let invalid = |message: String| Refusal::Invalid { code: "invalid_value", message };
        if until <= now {
            return Err(invalid(format!("`until`: {until} has passed already")));
        }
        let brakes = self.brakes();
        if brakes.mutes.values().filter(|mute| now < mute.until).count() >= MUTES_MAX {
            return Err(invalid(format!("at most {MUTES_MAX} entities can be muted at once")));
        }
        let reason = reason_of(reason)?;
        let (tenant, entity, by) = (key.tenant.clone(), key.id.clone(), actor.to_string());
        let mute = Mute { tenant, entity, until, since: now, by, reason };
        let mut marks: Vec<Mark> = vec![(mute_mark(&key), written(&mute))];
        // Those that are over are swept with the next.
        let over: Vec<ObjectKey> = brakes
            .mutes
            .iter()
            .filter(|(other, mute)| now >= mute.until && **other != key)
            .map(|(k, _)| k.clone())
            .collect();
        marks.extend(over.iter().map(|key| (mute_mark(key), None)));
        let what = json!({ "what": "entity muted", "until": until, "reason": mute.reason });
        let new = mute.clone();
        self.brake(&key.to_string(), marks, what, actor, |brakes| {
            brakes.mutes.retain(|key, _| !over.contains(key));
            brakes.mutes.insert(key.clone(), new);
        })
        .await?;
        Ok(mute)
    }

    /// Ends the mute of an entity. Answers whether there was one.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be recorded.
    pub async fn unmute(&self, key: ObjectKey, actor: Actor) -> Result<bool, Refusal> {
        let was = self.brakes().muted(&key, self.store().now()).is_some();
        let what = json!({ "what": "entity unmuted" });
        let marks = vec![(mute_mark(&key), None)];
        self.brake(&key.to_string(), marks, what, actor, |brakes| drop(brakes.mutes.remove(&key))).await?;
        Ok(was)
    }

    /// Lifts the suspension of a playbook, if there is one.
    pub(crate) async fn lift_suspension(&self, playbook: &str, actor: Actor) -> Result<(), Refusal> {
        if !self.brakes().suspended.contains_key(playbook) {
            return Ok(());
        }
        let what = json!({ "what": "playbook suspension lifted", "playbook": playbook });
        let marks = vec![(suspension_mark(playbook), None)];
        let object = format!("playbook:{playbook}");
        self.brake(&object, marks, what, actor, |brakes| drop(brakes.suspended.remove(playbook))).await
    }

    async fn brake(
        &self,
        object: &str,
        marks: Vec<Mark>,
        what: Value,
        actor: Actor,
        change: impl FnOnce(&mut Brakes),
    ) -> Result<(), Refusal> {
        let held = &self.shared().brakes;
        let _changing = held.changing.lock().await;
        self.set_marks(marks, object.to_owned(), what, actor).await?;
        held.change(change);
        Ok(())
    }

    /// Puts the pauses in force where they are heeded, and wakes what waited for their end.
    pub(crate) fn heed_pauses(&self) {
        let shared = self.shared();
        let brakes = shared.brakes.now();
        self.context().effects.pause(brakes.outbound().is_some());
        if brakes.all().is_none() {
            shared.brakes.resumed.notify_one();
            shared.wake.notify_one();
        }
        if brakes.outbound().is_none() {
            let parked = shared.take_parked();
            if let Err(error) = shared.store.hasten(&parked, shared.store.now()) {
                tracing::error!(%error, "runs that waited for the end of a pause are looked at later");
            }
            shared.wake.notify_one();
        }
    }
}

/// A reason, which there must be.
fn reason_of(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > REASON_CHARS_MAX {
        let message = format!("`reason`: say why, in at most {REASON_CHARS_MAX} characters");
        return Err(Refusal::Invalid { code: "invalid_value", message });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_over_budget_within_ten_minutes_is_enough() {
        let held = Held::default();
        let playbook: Arc<str> = "p".into();
        let other: Arc<str> = "q".into();
        let at = |minute: u64| Time::EPOCH.plus(Duration::from_secs(60 * minute));
        for n in 0..9 {
            assert_eq!(held.over_budget(&playbook, at(n)), None);
            assert_eq!(held.over_budget(&other, at(0)), None, "another playbook is another matter");
        }
        assert_eq!(held.over_budget(&playbook, at(10)), None, "the first is ten minutes old");
        let suspended = held.over_budget(&playbook, at(10)).unwrap();
        assert_eq!(suspended.since, at(10));
        assert_eq!(held.over_budget(&playbook, at(10)), None, "it begins anew");
    }
}
