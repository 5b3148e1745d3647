//! What is known of an alert, a case or an entity: one table of fields, from which parsing, merging, conditions,
//! checks and documentation all follow.
//!
//! Length: the table of fields and what follows from it; a field is added in this one place.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::Time;

/// The fields of a stored object or of a snapshot of one.
pub type Record = Map<String, Value>;

/// What kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A threat record without a workflow of its own.
    Alert,
    /// A threat record with stage, queue and assignee.
    Case,
    /// A host, account, user or address that carries scores.
    Entity,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Alert, Kind::Case, Kind::Entity];

    /// `alert`, `case` or `entity`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Alert => "alert",
            Kind::Case => "case",
            Kind::Entity => "entity",
        }
    }

    /// The fields of this kind.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Kind::Alert => ALERT,
            Kind::Case => CASE,
            Kind::Entity => ENTITY,
        }
    }

    /// One field of this kind.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.fields().iter().find(|field| field.name == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a field holds. In conditions an absent field is `()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Text. Numbers that arrive where text is expected become text.
    Text,
    /// A number.
    Number,
    /// RFC 3339 text; in conditions it is text too.
    Time,
    /// A list of texts.
    TextList,
    /// `low`, `medium`, `high` or `critical`.
    Priority,
    /// One of the configured stages.
    Stage,
    /// A list of detections, each an object with an `id`.
    Detections,
    /// An object of free keys.
    Free,
    /// An object of names and numbers.
    Scores,
}

/// One field of a known record.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in events, conditions and the API.
    pub name: &'static str,
    /// What it holds.
    pub ty: FieldType,
    /// What it means.
    pub doc: &'static str,
}

const fn field(name: &'static str, ty: FieldType, doc: &'static str) -> Field {
    Field { name, ty, doc }
}

/// The fields of an alert (Exabeam Threat Center's model, plain names).
pub static ALERT: &[Field] = &[
    field("id", FieldType::Text, "the alert's id"),
    field("name", FieldType::Text, "the alert's name"),
    field("description", FieldType::Text, "what happened, for people"),
    field("risk_score", FieldType::Number, "the risk score"),
    field("priority", FieldType::Priority, "low, medium, high or critical"),
    field("tags", FieldType::TextList, "free labels"),
    field("mitres", FieldType::TextList, "MITRE ATT&CK ids, such as T1078 or TA0001"),
    field("use_cases", FieldType::TextList, "what kinds of threat this is"),
    field("users", FieldType::TextList, "the users that take part"),
    field("endpoints", FieldType::TextList, "the hosts that take part"),
    field("src_ips", FieldType::TextList, "source addresses"),
    field("dest_ips", FieldType::TextList, "destination addresses"),
    field("products", FieldType::TextList, "the products that detected it"),
    field("vendors", FieldType::TextList, "the vendors that detected it"),
    field("rules", FieldType::TextList, "the names of the triggered rules"),
    field("grouped_by", FieldType::Free, "the attribute by which detections are grouped: key and value"),
    field("detections", FieldType::Detections, "the related detections"),
    field("case_id", FieldType::Text, "the case that this alert belongs to"),
    field("link", FieldType::Text, "where the product shows it"),
    field("watched", FieldType::TextList, "who on the watchlist takes part, and why they are watched"),
    field("threat_summary", FieldType::Text, "a summary that the sender wrote"),
    field("created_time", FieldType::Time, "when the alert was created"),
    field("last_update_time", FieldType::Time, "when the alert was last updated at its source"),
    field("extra", FieldType::Free, "what the source knows beyond these fields"),
];

/// The fields of a case: an alert's, and those of its workflow.
pub static CASE: &[Field] = &[
    field("id", FieldType::Text, "the case's id"),
    field("number", FieldType::Text, "the case's number, for people"),
    field("alert_id", FieldType::Text, "the alert that the case was made from"),
    field("name", FieldType::Text, "the name of the case's alert"),
    field("description", FieldType::Text, "what happened, for people"),
    field("risk_score", FieldType::Number, "the risk score"),
    field("priority", FieldType::Priority, "low, medium, high or critical"),
    field("stage", FieldType::Stage, "New, Investigation, Remediation, Closed, or a custom one"),
    field("queue", FieldType::Text, "the team whose work it is"),
    field("assignee", FieldType::Text, "the person whose work it is"),
    field("tags", FieldType::TextList, "free labels"),
    field("mitres", FieldType::TextList, "MITRE ATT&CK ids, such as T1078 or TA0001"),
    field("use_cases", FieldType::TextList, "what kinds of threat this is"),
    field("users", FieldType::TextList, "the users that take part"),
    field("endpoints", FieldType::TextList, "the hosts that take part"),
    field("src_ips", FieldType::TextList, "source addresses"),
    field("dest_ips", FieldType::TextList, "destination addresses"),
    field("products", FieldType::TextList, "the products that detected it"),
    field("vendors", FieldType::TextList, "the vendors that detected it"),
    field("rules", FieldType::TextList, "the names of the triggered rules"),
    field("grouped_by", FieldType::Free, "the attribute by which detections are grouped: key and value"),
    field("detections", FieldType::Detections, "the related detections"),
    field("closed_reason", FieldType::Text, "the predefined reason why it was closed"),
    field("close_supporting_reason", FieldType::Text, "the comment given with the reason"),
    field("link", FieldType::Text, "where the product shows it"),
    field("watched", FieldType::TextList, "who on the watchlist takes part, and why they are watched"),
    field("threat_summary", FieldType::Text, "a summary that the sender wrote"),
    field("alert_created_time", FieldType::Time, "when the case's alert was created"),
    field("created_time", FieldType::Time, "when the case was created"),
    field("closed_time", FieldType::Time, "when the stage became Closed"),
    field("last_update_time", FieldType::Time, "when the case was last updated at its source"),
    field("extra", FieldType::Free, "what the source knows beyond these fields"),
];

/// The fields of one detection inside an alert or case.
pub static DETECTION: &[Field] = &[
    field("id", FieldType::Text, "the detection's id; a known one is replaced"),
    field("type", FieldType::Text, "how it was found, such as analytics or correlation"),
    field("use_case", FieldType::Text, "what kind of threat it is"),
    field("rules", FieldType::TextList, "the names of the triggered rules"),
    field("approx_log_time", FieldType::Time, "about when it was logged"),
    field("description", FieldType::Text, "what was found, for people"),
    field("severity", FieldType::Text, "how severe its product calls it"),
    field("score", FieldType::Number, "its share of the risk score"),
    field("src_users", FieldType::TextList, "source users"),
    field("dest_users", FieldType::TextList, "destination users"),
    field("src_ips", FieldType::TextList, "source addresses"),
    field("dest_ips", FieldType::TextList, "destination addresses"),
    field("src_hosts", FieldType::TextList, "source hosts"),
    field("dest_hosts", FieldType::TextList, "destination hosts"),
];

/// The fields of an entity.
pub static ENTITY: &[Field] = &[
    field("kind", FieldType::Text, "host, account, user or ip"),
    field("id", FieldType::Text, "the entity's id"),
    field("name", FieldType::Text, "its name"),
    field("scores", FieldType::Scores, "its scores by name, such as urgency, threat or certainty"),
    field("link", FieldType::Text, "where the product shows it"),
    field("last_update_time", FieldType::Time, "when the scores were last read at the source"),
    field("extra", FieldType::Free, "what the source knows beyond these fields"),
];

/// The fields of an event as conditions see it.
pub static EVENT: &[Field] = &[
    field("id", FieldType::Text, "the id that the sender gave it"),
    field("type", FieldType::Text, "what happened, such as alert.created or holm.finished_scan"),
    field("source", FieldType::Text, "the product that sent it"),
    field("time", FieldType::Time, "when it happened, by its sender"),
    field("received", FieldType::Time, "when it arrived"),
    field("tenant", FieldType::Text, "the customer it belongs to"),
    field("data", FieldType::Free, "what a plain event carries"),
];

/// The fields of the trigger that fitted.
pub static TRIGGER: &[Field] = &[
    field("kind", FieldType::Text, "the kind of trigger, such as case.stage_changed"),
    field("from", FieldType::Free, "the stage before (case.stage_changed) or the score before (score.threshold)"),
    field("to", FieldType::Free, "the stage after (case.stage_changed) or the score after (score.threshold)"),
    field("previous", FieldType::Free, "the changed fields as they were before"),
    field("changed", FieldType::TextList, "the names of the changed fields"),
    field("score", FieldType::Text, "the name of the score (score.threshold)"),
    field("scheduled", FieldType::Time, "the instant of the schedule"),
    field("count", FieldType::Number, "how many there were (event.count)"),
    field("key", FieldType::Text, "what they were counted by (event.count)"),
    field("since", FieldType::Time, "since when (case.in_stage, source.silent)"),
];

/// The fields of the run that a step belongs to.
pub static RUN: &[Field] = &[
    field("id", FieldType::Text, "the run's id"),
    field("playbook", FieldType::Text, "the playbook's id"),
    field("started_at", FieldType::Time, "when it started"),
];

/// The fields of a failure, in `on_failure`.
pub static FAILURE: &[Field] = &[
    field("step", FieldType::Text, "the path of the step that failed"),
    field("code", FieldType::Text, "the kind of error"),
    field("message", FieldType::Text, "the error, for people"),
];

/// The four priorities, from the lowest.
pub const PRIORITIES: [&str; 4] = ["low", "medium", "high", "critical"];

/// The kinds of entity that carry scores.
pub const ENTITY_KINDS: [&str; 4] = ["host", "account", "user", "ip"];

/// The canonical name of a priority; a vendor's `Info` is `low`.
pub fn priority(text: &str) -> Option<&'static str> {
    if text.eq_ignore_ascii_case("info") || text.eq_ignore_ascii_case("informational") {
        return Some("low");
    }
    PRIORITIES.iter().find(|p| p.eq_ignore_ascii_case(text)).copied()
}

/// The rank of a priority, from 0 (`low`) to 3.
pub fn priority_rank(text: &str) -> Option<usize> {
    PRIORITIES.iter().position(|p| *p == text)
}

/// The names that a team may configure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    /// The stages in their order; the last is the closed one.
    pub stages: Vec<String>,
    /// The predefined reasons for closing.
    pub close_reasons: Vec<String>,
}

impl Default for Vocabulary {
    fn default() -> Vocabulary {
        let text = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Vocabulary {
            stages: text(&["New", "Investigation", "Remediation", "Closed"]),
            close_reasons: text(&[
                "Already Mitigated or Resolved",
                "False Positive or Duplicate",
                "Low Risk",
                "Rule Misconfiguration",
                "Policy or Setup Issue",
                "Other",
            ]),
        }
    }
}

impl Vocabulary {
    /// The canonical name of a stage.
    pub fn stage(&self, text: &str) -> Option<&str> {
        self.stages.iter().find(|s| s.eq_ignore_ascii_case(text)).map(String::as_str)
    }

    /// The canonical name of a close reason.
    pub fn close_reason(&self, text: &str) -> Option<&str> {
        self.close_reasons.iter().find(|s| s.eq_ignore_ascii_case(text)).map(String::as_str)
    }

    /// The stage in which a case is closed.
    pub fn closed(&self) -> &str {
        self.stages.last().map_or("Closed", String::as_str)
    }

    /// The stage in which a case starts.
    pub fn first(&self) -> &str {
        self.stages.first().map_or("New", String::as_str)
    }
}

/// How strictly a sender's values are taken.
#[derive(Debug, Clone, Copy)]
pub enum Strictness<'a> {
    /// Our own shape: anything wrong is refused.
    Strict,
    /// A vendor's shape: what is wrong is left out or kept, with a warning; times without an offset are of this zone.
    Lenient {
        /// An IANA time zone.
        zone: &'a str,
    },
}

/// A value that a strict reading refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `alert.risk_score`.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Most unknown keys of one snapshot that are looked up and named: each costs a comparison with all known names.
const UNKNOWN_NAMED_MAX: usize = 20;

/// Puts a snapshot's fields into their one form: canonical names, times in UTC, ids as text. Unknown keys stay.
/// Returns what is wrong (strict) and what was noticed (warnings).
pub fn normalise(
    kind: Kind,
    fields: &mut Record,
    words: &Vocabulary,
    how: Strictness<'_>,
) -> (Vec<Problem>, Vec<String>) {
    let mut notes = Notes { problems: Vec::new(), warnings: Vec::new(), unknown: 0, how };
    normalise_fields(kind.fields(), fields, words, &|| kind.name().to_owned(), &mut notes);
    if let Some(more) = notes.unknown.checked_sub(UNKNOWN_NAMED_MAX).filter(|more| *more > 0) {
        notes.warnings.push(format!("{more} more unknown keys of `{kind}` are kept"));
    }
    (notes.problems, notes.warnings)
}

/// The same for a detection on its own.
pub fn normalise_detection(
    fields: &mut Record,
    words: &Vocabulary,
    how: Strictness<'_>,
) -> (Vec<Problem>, Vec<String>) {
    let mut notes = Notes { problems: Vec::new(), warnings: Vec::new(), unknown: 0, how };
    normalise_fields(DETECTION, fields, words, &|| "detection".to_owned(), &mut notes);
    (notes.problems, notes.warnings)
}

/// Normalises the fields that are known; `at` is the path of their record.
fn normalise_fields(
    known: &'static [Field],
    fields: &mut Record,
    words: &Vocabulary,
    at: &dyn Fn() -> String,
    notes: &mut Notes<'_>,
) {
    let mut drop = Vec::new();
    for (name, value) in fields.iter_mut() {
        let path = || format!("{}.{name}", at());
        let Some(field) = known.iter().find(|field| field.name == name) else {
            notes.unknown_key(name, known, &path);
            continue;
        };
        if !value.is_null() && !normalise_value(field, value, words, &path, notes) {
            drop.push(name.clone());
        }
    }
    for name in drop {
        fields.remove(&name);
    }
}

struct Notes<'a> {
    problems: Vec<Problem>,
    warnings: Vec<String>,
    /// How many unknown keys there were.
    unknown: usize,
    how: Strictness<'a>,
}

impl Notes<'_> {
    /// Says that a key is not known; it stays.
    fn unknown_key(&mut self, name: &str, known: &[Field], path: &dyn Fn() -> String) {
        self.unknown += 1;
        if self.unknown <= UNKNOWN_NAMED_MAX {
            let near = nearest(name, known.iter().map(|f| f.name));
            let hint = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            self.warnings.push(format!("unknown key `{}` is kept{hint}", path()));
        }
    }

    /// Says that a value is wrong; a lenient reading leaves it out.
    fn wrong(&mut self, path: String, message: String) -> bool {
        match self.how {
            Strictness::Strict => self.problems.push(Problem { path, message }),
            Strictness::Lenient { .. } => self.warnings.push(format!("`{path}` is left out: {message}")),
        }
        false
    }

    /// Says that a name is not one of the known; a lenient reading keeps it.
    fn unknown(&mut self, path: String, message: String) -> bool {
        match self.how {
            Strictness::Strict => {
                self.problems.push(Problem { path, message });
                false
            }
            Strictness::Lenient { .. } => {
                self.warnings.push(format!("`{path}` is kept: {message}"));
                true
            }
        }
    }
}

/// Normalises one value in place; `false` when it must be left out.
fn normalise_value(
    field: &Field,
    value: &mut Value,
    words: &Vocabulary,
    path: &dyn Fn() -> String,
    notes: &mut Notes<'_>,
) -> bool {
    match field.ty {
        FieldType::Text => match value {
            Value::String(text) => {
                // Of the free texts only the close reason has names; a reason of one's own stays as it is.
                if field.name == "closed_reason"
                    && let Some(name) = words.close_reason(text)
                {
                    name.clone_into(text);
                }
                true
            }
            Value::Number(n) => {
                *value = Value::String(n.to_string());
                true
            }
            _ => notes.wrong(path(), "it must be text".to_owned()),
        },
        FieldType::Number => value.is_number() || notes.wrong(path(), "it must be a number".to_owned()),
        FieldType::Time => normalise_time(value, path, notes),
        FieldType::TextList => match value {
            Value::Array(items) => {
                for item in items.iter_mut() {
                    if let Value::Number(n) = item {
                        *item = Value::String(n.to_string());
                    }
                }
                items.iter().all(Value::is_string) || notes.wrong(path(), "it must be a list of texts".to_owned())
            }
            _ => notes.wrong(path(), "it must be a list of texts".to_owned()),
        },
        FieldType::Priority => match value.as_str().map(|text| (text, priority(text))) {
            Some((_, Some(name))) => {
                *value = Value::String(name.to_owned());
                true
            }
            Some((text, None)) => {
                let message = format!("`{text}` is not a priority; use one of {}", PRIORITIES.join(", "));
                notes.unknown(path(), message)
            }
            None => notes.wrong(path(), "it must be text".to_owned()),
        },
        FieldType::Stage => match value.as_str().map(|text| (text, words.stage(text))) {
            Some((_, Some(name))) => {
                *value = Value::String(name.to_owned());
                true
            }
            Some((text, None)) => {
                let message = format!("`{text}` is not a stage; use one of {}", words.stages.join(", "));
                notes.unknown(path(), message)
            }
            None => notes.wrong(path(), "it must be text".to_owned()),
        },
        FieldType::Detections => normalise_detections(value, words, path, notes),
        FieldType::Free => value.is_object() || notes.wrong(path(), "it must be an object".to_owned()),
        FieldType::Scores => {
            value.as_object().is_some_and(|scores| scores.values().all(|v| v.is_number() || v.is_null()))
                || notes.wrong(path(), "it must be an object of names and numbers".to_owned())
        }
    }
}

fn normalise_time(value: &mut Value, path: &dyn Fn() -> String, notes: &mut Notes<'_>) -> bool {
    let time = match (&*value, notes.how) {
        (Value::String(text), Strictness::Strict) => Time::parse(text),
        (Value::String(text), Strictness::Lenient { zone }) => Time::parse_in_zone(text, zone),
        // Exabeam's API counts epoch microseconds.
        (Value::Number(n), Strictness::Lenient { .. }) if n.is_i64() => {
            Ok(Time::from_micros(n.as_i64().unwrap_or_default()))
        }
        _ => return notes.wrong(path(), "it must be an RFC 3339 time".to_owned()),
    };
    match time {
        Ok(time) => {
            *value = Value::String(time.to_string());
            true
        }
        Err(error) => notes.wrong(path(), error.to_string()),
    }
}

fn normalise_detections(
    value: &mut Value,
    words: &Vocabulary,
    path: &dyn Fn() -> String,
    notes: &mut Notes<'_>,
) -> bool {
    let Value::Array(items) = value else {
        return notes.wrong(path(), "it must be a list of objects".to_owned());
    };
    for (i, item) in items.iter_mut().enumerate() {
        let at = || format!("{}[{i}]", path());
        let Value::Object(detection) = item else {
            return notes.wrong(at(), "it must be an object".to_owned());
        };
        normalise_fields(DETECTION, detection, words, &at, notes);
    }
    true
}

/// The known name nearest to a mistyped one, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let longest = (name.chars().count() / 3).max(1);
    known
        .filter(|k| k.len().abs_diff(name.len()) <= longest)
        .map(|k| (distance(name, k), k))
        .min()
        .filter(|(d, _)| *d <= longest)
        .map(|(_, k)| k)
}

/// Edit distance with neighbouring letters swapped counted as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = usize::from(!a[i - 1].eq_ignore_ascii_case(&b[j - 1]));
                let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + change);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn strict(kind: Kind, value: Value) -> (Record, Vec<Problem>, Vec<String>) {
        let Value::Object(mut fields) = value else { panic!("an object") };
        let (problems, warnings) = normalise(kind, &mut fields, &Vocabulary::default(), Strictness::Strict);
        (fields, problems, warnings)
    }

    #[test]
    fn names_take_their_canonical_form_and_numbers_as_ids_become_text() {
        let (fields, problems, warnings) =
            strict(Kind::Case, json!({"id": 4711, "stage": "NEW", "priority": "CRITICAL", "tags": ["a", 5]}));
        assert_eq!(
            Value::Object(fields),
            json!({"id": "4711", "stage": "New", "priority": "critical", "tags": ["a", "5"]})
        );
        assert!(problems.is_empty() && warnings.is_empty());
    }

    #[test]
    fn a_wrong_type_is_a_problem_with_its_path() {
        let (_, problems, _) =
            strict(Kind::Alert, json!({"id": "A", "risk_score": "92", "created_time": "2026-11-22 08:00"}));
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["alert.created_time", "alert.risk_score"]);
    }

    #[test]
    fn an_unknown_key_is_kept_and_named() {
        let (fields, _, warnings) = strict(Kind::Alert, json!({"id": "A", "risk_scroe": 92}));
        assert!(fields.contains_key("risk_scroe"));
        assert_eq!(warnings, ["unknown key `alert.risk_scroe` is kept; did you mean `risk_score`?"]);
    }

    #[test]
    fn of_very_many_unknown_keys_the_first_are_named_and_the_rest_counted() {
        let many: Record = (0..100).map(|n| (format!("odd_{n:03}"), Value::Null)).collect();
        let (fields, _, warnings) = strict(Kind::Case, Value::Object(many));
        assert_eq!((fields.len(), warnings.len()), (100, UNKNOWN_NAMED_MAX + 1));
        assert_eq!(warnings[UNKNOWN_NAMED_MAX], "80 more unknown keys of `case` are kept");
    }

    #[test]
    fn a_detection_is_read_as_strictly_as_what_it_belongs_to() {
        let (fields, problems, warnings) = strict(
            Kind::Alert,
            json!({"detections": [{"id": 7, "rules": "one", "approx_log_time": 5, "odd": 1, "src_ips": [1]}]}),
        );
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["alert.detections[0].approx_log_time", "alert.detections[0].rules"]);
        assert_eq!(warnings, ["unknown key `alert.detections[0].odd` is kept"]);
        assert_eq!(fields["detections"][0]["src_ips"], json!(["1"]));
    }

    #[test]
    fn a_close_reason_takes_its_configured_form_and_another_stays() {
        let (fields, ..) = strict(Kind::Case, json!({"closed_reason": "low risk"}));
        assert_eq!(fields["closed_reason"], "Low Risk");
        let (fields, problems, _) = strict(Kind::Case, json!({"closed_reason": "tired"}));
        assert_eq!((&fields["closed_reason"], problems.len()), (&json!("tired"), 0));
    }

    #[test]
    fn a_vendors_detection_loses_only_its_unreadable_time() {
        let mut fields = Record::new();
        fields.insert("detections".to_owned(), json!([{"id": 1, "approx_log_time": "soon", "description": "x"}]));
        let how = Strictness::Lenient { zone: "UTC" };
        let (_, warnings) = normalise(Kind::Alert, &mut fields, &Vocabulary::default(), how);
        assert_eq!(fields["detections"], json!([{"id": "1", "description": "x"}]));
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn a_vendors_odd_values_are_kept_or_left_out_with_a_warning() {
        let Value::Object(mut fields) =
            json!({"id": "C", "stage": "Triage", "risk_score": "high", "created_time": 1_743_728_988_934_673_i64})
        else {
            panic!("an object")
        };
        let how = Strictness::Lenient { zone: "UTC" };
        let (problems, warnings) = normalise(Kind::Case, &mut fields, &Vocabulary::default(), how);
        assert!(problems.is_empty());
        assert_eq!(warnings.len(), 2);
        assert_eq!(
            Value::Object(fields),
            json!({"id": "C", "stage": "Triage", "created_time": "2025-04-04T01:09:48.934673Z"})
        );
    }
}
