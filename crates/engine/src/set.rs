//! The loaded playbooks, and the index that finds those that an event could start.
//!
//! Invariants: a set never changes; loading makes a new one, swapped whole. The order of playbooks (by `order`, then by
//! id) is the order of everything that follows from them. Playbooks that do not listen to an event are never looked at.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::transition::Change;
use model::{Digest, Kind, ObjectKey, Transition};
use playbook::{On, Playbook};

/// Kinds of trigger as bits; scores by what carries them, since a host's score is never an account's.
const ALERT_CREATED: u16 = 1;
const ALERT_UPDATED: u16 = 1 << 1;
const CASE_CREATED: u16 = 1 << 2;
const CASE_UPDATED: u16 = 1 << 3;
const STAGE_CHANGED: u16 = 1 << 4;
/// The first of six bits, in the order of [`CARRIERS`].
const SCORE: u16 = 1 << 5;
/// What carries scores.
const CARRIERS: [&str; 6] = ["host", "account", "user", "ip", "alert", "case"];
/// How many answers of [`Set::listening`] are remembered; more only when more tenants are configured.
const REMEMBERED_MAX: usize = 1024;

/// The loaded playbooks.
#[derive(Debug)]
pub struct Set {
    playbooks: Vec<Arc<Playbook>>,
    off: BTreeSet<String>,
    /// Those whose text waits for a second person.
    waiting: BTreeSet<String>,
    digest: Digest,
    has_tenants: bool,
    index: Index,
    remembered: Mutex<Remembered>,
}

/// Who listens, by the bits of the kinds and the tenant.
type Remembered = HashMap<(u16, String), Arc<[u32]>>;

#[derive(Debug, Default)]
struct Index {
    by_kind: HashMap<u16, Vec<u32>>,
    /// Stage-change triggers by the stage after; those without one stand under the empty name.
    by_stage: HashMap<String, Vec<u32>>,
    /// Score triggers by carrier and score: the level and the playbook, ordered by level.
    by_score: HashMap<(usize, String), Vec<(f64, u32)>>,
    by_type: HashMap<String, Vec<u32>>,
    by_prefix: Vec<(String, u32)>,
    by_id: HashMap<Arc<str>, u32>,
    /// Timers by the stage that is entered.
    stage_timers: HashMap<String, Vec<Wait>>,
    /// Timers by the source that falls silent.
    silence_timers: HashMap<String, Vec<Wait>>,
}

/// A trigger that waits: its playbook, for how long, and what tells it from others.
type Wait = (u32, Duration, String);

/// Which playbooks an event concerns.
#[derive(Debug, Clone)]
pub struct Heard {
    /// All that listen to this kind of event, in order: each gets a decision.
    pub listening: Arc<[u32]>,
    /// Those whose trigger could fit, in order: the only ones that are looked at.
    pub candidates: Vec<u32>,
}

impl Set {
    /// A set of playbooks, of which those named in `off` are switched off.
    pub fn new(mut playbooks: Vec<Arc<Playbook>>, off: BTreeSet<String>) -> Set {
        playbooks.sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
        let mut text = String::new();
        for playbook in &playbooks {
            text.push_str(&playbook.id);
            text.push(' ');
            text.push_str(&playbook.digest.to_string());
            text.push('\n');
        }
        Set {
            index: Index::over(&playbooks),
            has_tenants: playbooks.iter().any(|p| p.tenants.is_some()),
            digest: Digest::of(text.as_bytes()),
            playbooks,
            off,
            waiting: BTreeSet::new(),
            remembered: Mutex::default(),
        }
    }

    /// The same set, in which the texts of these playbooks wait for a second person.
    #[must_use]
    pub fn waiting_for(mut self, waiting: BTreeSet<String>) -> Set {
        self.waiting = waiting;
        self
    }

    /// The playbooks whose text waits until a second person switches it on.
    pub fn waiting(&self) -> &BTreeSet<String> {
        &self.waiting
    }

    /// The playbooks in order.
    pub fn playbooks(&self) -> &[Arc<Playbook>] {
        &self.playbooks
    }

    /// One playbook by its place.
    pub fn get(&self, place: u32) -> Option<&Arc<Playbook>> {
        self.playbooks.get(place as usize)
    }

    /// One playbook by its id.
    pub fn find(&self, id: &str) -> Option<&Arc<Playbook>> {
        self.index.by_id.get(id).and_then(|place| self.get(*place))
    }

    /// Whether a playbook is switched on, in its file and by people.
    pub fn is_on(&self, playbook: &Playbook) -> bool {
        playbook.enabled && !self.off.contains(&*playbook.id) && !self.waiting.contains(&*playbook.id)
    }

    /// The ids that people have switched off.
    pub fn off(&self) -> &BTreeSet<String> {
        &self.off
    }

    /// Whether any playbook waits for cases to stay in a stage.
    pub(crate) fn times_stages(&self) -> bool {
        !self.index.stage_timers.is_empty()
    }

    /// The triggers that wait for cases to stay in a stage.
    pub(crate) fn stage_timers(&self, stage: &str) -> impl Iterator<Item = (&Arc<Playbook>, Duration, &str)> {
        self.waits(self.index.stage_timers.get(stage))
    }

    /// The triggers that wait for a source to fall silent.
    pub(crate) fn silence_timers(&self, source: &str) -> impl Iterator<Item = (&Arc<Playbook>, Duration, &str)> {
        self.waits(self.index.silence_timers.get(source))
    }

    fn waits<'s>(
        &'s self,
        waits: Option<&'s Vec<Wait>>,
    ) -> impl Iterator<Item = (&'s Arc<Playbook>, Duration, &'s str)> {
        let all = waits.into_iter().flatten();
        all.filter_map(|(place, period, digest)| Some((self.get(*place)?, *period, digest.as_str())))
    }

    /// Whether any playbook listens to plain events of this type.
    pub(crate) fn hears(&self, kind: &str) -> bool {
        let Index { by_type, by_prefix, .. } = &self.index;
        by_type.contains_key(kind) || by_prefix.iter().any(|(prefix, _)| kind.starts_with(prefix.as_str()))
    }

    /// The digest over ids and texts of the set, in order.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The place of a playbook in the order.
    pub fn place(&self, id: &str) -> Option<u32> {
        self.index.by_id.get(id).copied()
    }

    /// Which playbooks an event of this type, about this object, with these transitions concerns.
    pub fn hear(&self, kind: &str, tenant: &str, about: Option<&ObjectKey>, transitions: &[Transition]) -> Heard {
        let mut bits = bits_of_type(kind, about);
        let mut candidates = Vec::new();
        for transition in transitions {
            self.index.candidates(transition, &mut bits, &mut candidates);
        }
        let typed = self.index.typed(kind);
        let mut listening = self.listening(bits, tenant);
        candidates.extend_from_slice(&typed);
        if !typed.is_empty() {
            let mut all = listening.to_vec();
            all.extend(typed.iter().filter(|place| self.is_of(**place, tenant)));
            all.sort_unstable();
            all.dedup();
            listening = all.into();
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|place| self.is_of(*place, tenant));
        Heard { listening, candidates }
    }

    fn is_of(&self, place: u32, tenant: &str) -> bool {
        let tenants = self.get(place).and_then(|playbook| playbook.tenants.as_ref());
        tenants.is_none_or(|tenants| tenants.iter().any(|t| t == tenant))
    }

    /// The playbooks with a trigger of one of these kinds, in order.
    fn listening(&self, bits: u16, tenant: &str) -> Arc<[u32]> {
        let key = (bits, if self.has_tenants { tenant.to_owned() } else { String::new() });
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remembered.get(&key) {
            return Arc::clone(known);
        }
        let mut all: Vec<u32> = (0..u16::BITS)
            .map(|bit| 1 << bit)
            .filter(|bit| bits & bit != 0)
            .filter_map(|bit| self.index.by_kind.get(&bit))
            .flatten()
            .copied()
            .filter(|place| self.is_of(*place, tenant))
            .collect();
        all.sort_unstable();
        all.dedup();
        let all: Arc<[u32]> = all.into();
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(key, Arc::clone(&all));
        }
        all
    }
}

impl Index {
    fn over(playbooks: &[Arc<Playbook>]) -> Index {
        let mut index = Index::default();
        for (place, playbook) in (0_u32..).zip(playbooks) {
            index.by_id.insert(Arc::clone(&playbook.id), place);
            for trigger in &playbook.triggers {
                index.add(place, &trigger.on);
            }
        }
        for levels in index.by_score.values_mut() {
            levels.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        index
    }

    fn add(&mut self, place: u32, on: &On) {
        let mut listen = |bit: u16| {
            let places = self.by_kind.entry(bit).or_default();
            if places.last() != Some(&place) {
                places.push(place);
            }
        };
        match on {
            On::AlertCreated => listen(ALERT_CREATED),
            On::AlertUpdated { .. } => listen(ALERT_UPDATED),
            On::CaseCreated => listen(CASE_CREATED),
            On::CaseUpdated { .. } => listen(CASE_UPDATED),
            On::StageChanged { to, .. } => {
                listen(STAGE_CHANGED);
                let any = [String::new()];
                for stage in if to.is_empty() { &any[..] } else { to } {
                    self.by_stage.entry(stage.clone()).or_default().push(place);
                }
            }
            On::Score { of, levels, .. } => {
                let Some(carrier) = CARRIERS.iter().position(|name| name == of) else { return };
                listen(SCORE << carrier);
                for (score, above) in levels {
                    self.by_score.entry((carrier, score.clone())).or_default().push((*above, place));
                }
            }
            On::Event { types } => self.add_types(place, types),
            On::Count(count) => self.add_types(place, &count.types),
            On::RunFailed { .. }
            | On::RunNeedsAttention { .. }
            | On::DeliveryFailed { .. }
            | On::PlaybookSilent { .. } => {
                self.by_type.entry(on.kind().to_owned()).or_default().push(place);
            }
            On::InStage { stages, period, digest } => {
                for stage in stages {
                    self.stage_timers.entry(stage.clone()).or_default().push((place, *period, digest.clone()));
                }
            }
            On::SourceSilent { source, period, digest } => {
                self.silence_timers.entry(source.clone()).or_default().push((place, *period, digest.clone()));
            }
            On::Schedule(_) | On::Manual => {}
        }
    }

    fn add_types(&mut self, place: u32, types: &[String]) {
        for pattern in types {
            match pattern.strip_suffix('*') {
                Some(prefix) => self.by_prefix.push((prefix.to_owned(), place)),
                None => self.by_type.entry(pattern.clone()).or_default().push(place),
            }
        }
    }

    /// Adds the bits of a transition, and the playbooks whose trigger could fit it.
    fn candidates(&self, transition: &Transition, bits: &mut u16, out: &mut Vec<u32>) {
        let mut all_of = |bit: u16| {
            *bits |= bit;
            out.extend(self.by_kind.get(&bit).into_iter().flatten());
        };
        match (&transition.change, transition.object.kind) {
            (Change::Created, Kind::Alert) => all_of(ALERT_CREATED),
            (Change::Created, Kind::Case) => all_of(CASE_CREATED),
            (Change::Updated { .. }, Kind::Alert) => all_of(ALERT_UPDATED),
            (Change::Updated { .. }, Kind::Case) => all_of(CASE_UPDATED),
            (Change::StageChanged { to, .. }, _) => {
                *bits |= STAGE_CHANGED;
                for stage in [to.as_str(), ""] {
                    out.extend(self.by_stage.get(stage).into_iter().flatten());
                }
            }
            (Change::ScoreMoved { score, from, to }, kind) => {
                let Some(carrier) = carrier(kind, &transition.object.id) else { return };
                *bits |= SCORE << carrier;
                let Some(levels) = self.by_score.get(&(carrier, score.clone())) else { return };
                let start = from.map_or(0, |from| levels.partition_point(|(above, _)| *above <= from));
                out.extend(levels[start..].iter().take_while(|(above, _)| above <= to).map(|(_, place)| *place));
            }
            (Change::Created | Change::Updated { .. }, Kind::Entity) | (Change::PriorityChanged { .. }, _) => {}
        }
    }

    fn typed(&self, kind: &str) -> Vec<u32> {
        let mut all: Vec<u32> = self.by_type.get(kind).cloned().unwrap_or_default();
        all.extend(self.by_prefix.iter().filter(|(prefix, _)| kind.starts_with(prefix.as_str())).map(|(_, p)| *p));
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Which of [`CARRIERS`] an object is. The ids of entities start with their kind: `host/ws-17`.
fn carrier(kind: Kind, id: &str) -> Option<usize> {
    let name = match kind {
        Kind::Alert | Kind::Case => kind.name(),
        Kind::Entity => id.split_once('/')?.0,
    };
    CARRIERS.iter().position(|known| *known == name)
}

/// The kinds that an event's type names by itself: their playbooks get a decision even when nothing changed.
fn bits_of_type(kind: &str, about: Option<&ObjectKey>) -> u16 {
    match kind {
        "alert.created" => ALERT_CREATED,
        "alert.updated" => ALERT_UPDATED,
        "case.created" => CASE_CREATED,
        "case.updated" => CASE_UPDATED,
        "case.stage_changed" => STAGE_CHANGED,
        "entity.score" => about.and_then(|key| carrier(key.kind, &key.id)).map_or(0, |carrier| SCORE << carrier),
        _ => 0,
    }
}
