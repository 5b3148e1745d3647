//! What Sortie itself says about an alert or a case, beside its sources and its people: the risk score as the sum of its
//! detections, the priority by score, the watchlist, and who may have it.
//!
//! Invariants: pure. Without rules, and for an event that touches none of their fields, nothing is looked at. What a
//! source, a person or a run says outright is never replaced by a sum or a band ([`crate::object::Meta::derived`]); only
//! the watchlist raises what was said, once for each value, and a queue's list of members takes somebody off.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::event::Event;
use crate::object::{Object, Touched};
use crate::record::{Kind, PRIORITIES, Record, priority, priority_rank};

/// The score of a detection for each rank of severity, from `low`.
pub const SEVERITY_SCORES: [f64; 4] = [25.0, 50.0, 75.0, 100.0];

/// Most entries of the watchlist.
pub const WATCHLIST_MAX: usize = 10_000;

/// The rules of a team.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// The queues with their members. A queue without members takes anybody; no queues at all: any name is a queue.
    pub queues: BTreeMap<String, Vec<String>>,
    /// From which score on each priority holds, ordered by score. Below the first: `low`. None: no priority by score.
    pub bands: Vec<(f64, &'static str)>,
    /// Who is watched.
    pub watchlist: Watchlist,
}

/// Somebody or something whose events raise the priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// `user`, `account`, `host` or `ip`.
    pub kind: String,
    /// Its name as it stands in events; compared without case.
    pub id: String,
    /// Why.
    pub reason: String,
    /// The priority that it brings at least; nothing: one higher than it would be.
    pub priority: Option<&'static str>,
    /// Of this tenant only.
    pub tenant: Option<String>,
}

/// The watchlist, found by kind and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watchlist {
    by_name: HashMap<(&'static str, String), Vec<Watched>>,
}

/// The kinds that can be watched, and where an alert or a case and its detections name them.
const PLACES: [(&str, &[&str], &[&str]); 4] = [
    ("user", &["users"], &["src_users", "dest_users"]),
    ("account", &["users"], &["src_users", "dest_users"]),
    ("host", &["endpoints"], &["src_hosts", "dest_hosts"]),
    ("ip", &["src_ips", "dest_ips"], &["src_ips", "dest_ips"]),
];

impl Watchlist {
    /// A list of entries; those of an unknown kind are left out.
    pub fn new(entries: impl IntoIterator<Item = Watched>) -> Watchlist {
        let mut by_name: HashMap<(&'static str, String), Vec<Watched>> = HashMap::new();
        for entry in entries {
            if let Some((kind, ..)) = PLACES.iter().find(|(kind, ..)| *kind == entry.kind) {
                by_name.entry((kind, entry.id.to_lowercase())).or_default().push(entry);
            }
        }
        Watchlist { by_name }
    }

    /// Whether nobody is watched.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Those who take part in an alert or a case, each once.
    pub fn taking_part(&self, record: &Record, tenant: &str) -> Vec<&Watched> {
        let mut found: Vec<&Watched> = Vec::new();
        if self.by_name.is_empty() {
            return found;
        }
        let detections = record.get("detections").and_then(Value::as_array);
        for (kind, own, theirs) in PLACES {
            let own = own.iter().flat_map(|field| texts(record.get(*field)));
            let theirs = detections
                .into_iter()
                .flatten()
                .flat_map(|detection| theirs.iter().flat_map(|field| texts(detection.get(*field))));
            for name in own.chain(theirs) {
                for entry in self.by_name.get(&(kind, name.to_lowercase())).into_iter().flatten() {
                    let applies = entry.tenant.as_deref().is_none_or(|own| own == tenant);
                    if applies && !found.contains(&entry) {
                        found.push(entry);
                    }
                }
            }
        }
        found
    }
}

/// The texts of a list.
pub fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The score of a detection: its own, else that of its severity.
pub fn detection_score(detection: &Value) -> Option<f64> {
    if let Some(score) = detection.get("score").and_then(Value::as_f64) {
        return Some(score);
    }
    let rank = detection.get("severity").and_then(Value::as_str).and_then(priority).and_then(priority_rank)?;
    SEVERITY_SCORES.get(rank).copied()
}

/// The sum of what the detections of a list weigh; nothing when none of them says.
pub fn sum_of(detections: Option<&Value>) -> Option<f64> {
    let scores = detections?.as_array()?.iter().filter_map(detection_score);
    scores.fold(None, |sum: Option<f64>, score| Some(sum.unwrap_or(0.0) + score))
}

/// A number as JSON: a whole one without a fraction.
pub fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "the value is whole and small enough to be exact")]
    let whole = (value.fract() == 0.0 && value.abs() < 9.0e15).then_some(value as i64);
    whole.map_or_else(|| Value::from(value), Value::from)
}

impl Rules {
    /// Whether a queue may be named.
    pub fn knows_queue(&self, queue: &str) -> bool {
        self.queues.is_empty() || self.queues.contains_key(queue)
    }

    /// Whether a person may be the assignee of a case in this queue.
    pub fn may_have(&self, queue: Option<&str>, person: &str) -> bool {
        let members = queue.and_then(|queue| self.queues.get(queue));
        members.is_none_or(|members| members.is_empty() || members.iter().any(|member| member == person))
    }

    /// The priority of a score; nothing without bands.
    pub fn band(&self, score: f64) -> Option<&'static str> {
        let (_, name) = self.bands.iter().rev().find(|(from, _)| score >= *from).or_else(|| self.bands.first())?;
        let below = self.bands.first().is_some_and(|(from, _)| score < *from);
        Some(if below { PRIORITIES[0] } else { name })
    }

    /// Says what follows from these rules for an object that an event has just touched.
    pub(crate) fn shape(&self, object: &mut Object, event: &Event, touched: &mut Touched) {
        let Some(subject) = event.subject.as_ref().filter(|subject| subject.kind != Kind::Entity) else { return };
        let said = |name: &str| subject.fields.get(name).is_some_and(|value| !value.is_null());
        self.score(object, said("risk_score"), touched);
        self.priority(object, event, said("priority"), touched);
        if subject.kind == Kind::Case && !self.queues.is_empty() {
            self.membership(object, touched);
        }
    }

    /// The sum of the detections, unless a score was said.
    fn score(&self, object: &mut Object, said: bool, touched: &mut Touched) {
        if said {
            return object.no_longer_derived("risk_score");
        }
        let ours = !object.record.contains_key("risk_score") || object.is_derived("risk_score");
        if !ours || !touched.has("detections") {
            return;
        }
        if let Some(sum) = sum_of(object.record.get("detections")) {
            object.derive("risk_score", number(sum), touched);
        }
    }

    /// The band of the score unless a priority was said, raised while somebody on the watchlist takes part.
    fn priority(&self, object: &mut Object, event: &Event, said: bool, touched: &mut Touched) {
        let given = said && touched.has("priority");
        if said {
            object.no_longer_derived("priority");
        }
        let mut base = given.then(|| object.text("priority").map(str::to_owned)).flatten();
        let ours = !object.record.contains_key("priority") || object.is_derived("priority");
        if !said && ours && touched.has("risk_score") {
            let score = object.record.get("risk_score").and_then(Value::as_f64);
            if let Some(band) = score.and_then(|score| self.band(score)) {
                object.derive("priority", Value::from(band), touched);
                base = Some(band.to_owned());
            }
        }
        // A person or a run has the last word; only what comes from outside is raised.
        if !self.watchlist.is_empty() && event.source != crate::object::OURS {
            self.watch(object, event, base, touched);
        }
    }

    fn watch(&self, object: &mut Object, event: &Event, base: Option<String>, touched: &mut Touched) {
        let found = self.watchlist.taking_part(&object.record, &event.tenant);
        let before = object.record.get("watched").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        if found.is_empty() {
            return;
        }
        let shown: Vec<String> = found.iter().map(|entry| entry.to_string()).collect();
        object.put_ours("watched", Value::from(shown.clone()), touched);
        let base = match (base, before) {
            (Some(base), _) => Some(base),
            (None, false) => object.text("priority").map(str::to_owned),
            (None, true) => return,
        };
        let raised = raised(base.as_deref(), &found);
        if base.as_deref() == Some(raised) {
            return;
        }
        let from = base.unwrap_or_else(|| "none".to_owned());
        touched.notes.push(format!("priority raised from {from} to {raised}: {} on the watchlist", shown.join("; ")));
        object.put_ours("priority", Value::from(raised), touched);
    }

    /// An assignee who is no member of the case's queue is taken off.
    fn membership(&self, object: &mut Object, touched: &mut Touched) {
        let concerns = ["queue", "assignee"].iter().any(|name| touched.has(name));
        let Some(assignee) = object.text("assignee").filter(|_| concerns).map(str::to_owned) else { return };
        let queue = object.text("queue").map(str::to_owned);
        if self.may_have(queue.as_deref(), &assignee) {
            return;
        }
        let queue = queue.unwrap_or_default();
        let members = self.queues.get(&queue).map(|members| members.join(", ")).unwrap_or_default();
        touched.notes.push(format!(
            "`{assignee}` is no member of the queue `{queue}`, so the case is unassigned; its members are {members}"
        ));
        object.put_ours("assignee", Value::Null, touched);
    }
}

/// One priority higher, or what the entries ask for where that is more; without one, `high`.
fn raised(base: Option<&str>, found: &[&Watched]) -> &'static str {
    let top = PRIORITIES.len() - 1;
    let rank = base.map(|base| priority_rank(base).unwrap_or(0));
    let one_higher = rank.map_or(top - 1, |rank| (rank + 1).min(top));
    let asked = found.iter().filter_map(|entry| entry.priority).filter_map(priority_rank).max();
    // An entry that names a priority asks for that one and not for more.
    let all_named = found.iter().all(|entry| entry.priority.is_some());
    let rank = match (asked, all_named) {
        (Some(asked), true) => asked.max(rank.unwrap_or(0)),
        (Some(asked), false) => asked.max(one_higher),
        (None, _) => one_higher,
    };
    PRIORITIES[rank.min(top)]
}

impl std::fmt::Display for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.id)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules() -> Rules {
        Rules { bands: vec![(60.0, "medium"), (80.0, "high"), (90.0, "critical")], ..Rules::default() }
    }

    #[test]
    fn a_score_has_the_priority_of_its_band_and_the_edges_belong_to_the_higher_one() {
        let of = |score| rules().band(score).unwrap();
        assert_eq!(
            [59.99, 60.0, 79.9, 80.0, 89.9, 90.0].map(of),
            ["low", "medium", "medium", "high", "high", "critical"]
        );
        assert_eq!(Rules::default().band(99.0), None, "without bands a score says nothing");
    }

    #[test]
    fn detections_weigh_their_score_or_their_severity() {
        let all =
            json!([{"severity": "Critical"}, {"severity": "HIGH", "score": 10}, {"severity": "info"}, {"id": "x"}]);
        assert_eq!(sum_of(Some(&all)), Some(135.0));
        assert_eq!(sum_of(Some(&json!([{"id": "x"}]))), None, "nobody says anything about a weight");
    }

    #[test]
    fn whole_sums_are_written_as_whole_numbers() {
        assert_eq!((number(75.0), number(2.5)), (json!(75), json!(2.5)));
    }

    #[test]
    fn the_watchlist_finds_names_in_every_place_whatever_their_case() {
        let entry = |kind: &str, id: &str| Watched {
            kind: kind.into(),
            id: id.into(),
            reason: String::new(),
            priority: None,
            tenant: None,
        };
        let list = Watchlist::new([entry("user", "Alice"), entry("ip", "203.0.113.9"), entry("host", "ws-1")]);
        let Value::Object(record) = json!({"users": ["bob"], "endpoints": ["WS-1"], "detections":
            [{"dest_users": ["ALICE"], "src_ips": ["203.0.113.9"]}]})
        else {
            panic!("an object")
        };
        let found: Vec<String> = list.taking_part(&record, "default").iter().map(|e| e.to_string()).collect();
        assert_eq!(found, ["user Alice", "host ws-1", "ip 203.0.113.9"]);
    }

    #[test]
    fn an_entry_of_another_tenant_is_not_seen() {
        let entry = Watched {
            kind: "user".into(),
            id: "alice".into(),
            reason: String::new(),
            priority: None,
            tenant: Some("acme".into()),
        };
        let list = Watchlist::new([entry]);
        let Value::Object(record) = json!({"users": ["alice"]}) else { panic!("an object") };
        assert_eq!((list.taking_part(&record, "acme").len(), list.taking_part(&record, "globex").len()), (1, 0));
    }

    #[test]
    fn a_queue_without_members_takes_anybody_and_one_with_members_only_them() {
        let queues = [("Tier 1".to_owned(), vec!["alice".to_owned()]), ("Open".to_owned(), Vec::new())].into();
        let rules = Rules { queues, ..Rules::default() };
        assert!(rules.may_have(Some("Tier 1"), "alice") && rules.may_have(Some("Open"), "bob"));
        assert!(rules.may_have(None, "bob") && !rules.may_have(Some("Tier 1"), "bob"));
        assert!(rules.knows_queue("Open") && !rules.knows_queue("Tier 9"));
    }
}
