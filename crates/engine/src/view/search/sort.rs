//! Orders of alerts and cases: `-priority,updated_at`. What is absent comes last, whatever the direction.

use std::cmp::Ordering;

use model::record::{Vocabulary, priority_rank};
use model::{Kind, Object, ObjectKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::QueryError;
use super::field::{Field, Nature};

/// Most fields that an order names.
pub const SORT_FIELDS_MAX: usize = 4;

/// An order.
#[derive(Debug, Clone, PartialEq)]
pub struct Sort {
    by: Vec<(Field, bool)>,
    stages: Vec<String>,
}

/// Where an object stands in an order: what it is compared by, and its name, so that no two stand at the same place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    by: Vec<Part>,
    tenant: String,
    id: String,
}

/// One value of a place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Part {
    Number(f64),
    Text(String),
    Absent(()),
}

impl Sort {
    /// Reads an order: names with commas between them, `-` in front of one that is to fall.
    ///
    /// # Errors
    /// [`QueryError`] with the place.
    pub fn read(kind: Kind, text: &str, words: &Vocabulary) -> Result<Sort, QueryError> {
        let mut by = Vec::new();
        let mut at = 1;
        for part in text.split(',') {
            let wrong = |message: String| QueryError { at, message };
            let (name, falls) = match part.trim().strip_prefix('-') {
                Some(name) => (name, true),
                None => (part.trim(), false),
            };
            let field = Field::find(kind, name).map_err(wrong)?;
            if by.len() == SORT_FIELDS_MAX {
                return Err(wrong(format!("an order names at most {SORT_FIELDS_MAX} fields")));
            }
            by.push((field, falls));
            at += part.chars().count() + 1;
        }
        Ok(Sort { by, stages: words.stages.clone() })
    }

    /// The order of every listing: what was changed last in front.
    pub fn last_changed(kind: Kind) -> Sort {
        let field = Field::find(kind, "updated_at").ok();
        Sort { by: field.into_iter().map(|field| (field, true)).collect(), stages: Vec::new() }
    }

    /// Where an object stands.
    pub fn place(&self, key: &ObjectKey, object: &Object) -> Place {
        let by = self.by.iter().map(|(field, _)| self.part(field, &field.value(key, object))).collect();
        Place { by, tenant: key.tenant.clone(), id: key.id.clone() }
    }

    fn part(&self, field: &Field, value: &Value) -> Part {
        #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
        let rank = |rank: Option<usize>| rank.map_or(Part::Absent(()), |rank| Part::Number(rank as f64));
        match (field.nature, value) {
            (_, Value::Null) => Part::Absent(()),
            (Nature::Priority, value) => rank(value.as_str().and_then(priority_rank)),
            (Nature::Stage, value) => {
                rank(value.as_str().and_then(|stage| self.stages.iter().position(|known| known == stage)))
            }
            (_, Value::Number(number)) => number.as_f64().map_or(Part::Absent(()), Part::Number),
            (_, Value::String(text)) => Part::Text(text.to_lowercase()),
            (_, other) => Part::Text(other.to_string()),
        }
    }

    /// Which of two places comes first.
    pub fn compare(&self, a: &Place, b: &Place) -> Ordering {
        for (n, (_, falls)) in self.by.iter().enumerate() {
            let order = match (a.by.get(n), b.by.get(n)) {
                (Some(Part::Absent(())), Some(Part::Absent(()))) => Ordering::Equal,
                (None | Some(Part::Absent(())), _) => return Ordering::Greater,
                (_, None | Some(Part::Absent(()))) => return Ordering::Less,
                (Some(Part::Number(a)), Some(Part::Number(b))) => a.total_cmp(b),
                (Some(Part::Text(a)), Some(Part::Text(b))) => a.cmp(b),
                (Some(Part::Number(_)), Some(Part::Text(_))) => Ordering::Less,
                (Some(Part::Text(_)), Some(Part::Number(_))) => Ordering::Greater,
            };
            let order = if *falls { order.reverse() } else { order };
            if order.is_ne() {
                return order;
            }
        }
        (&a.tenant, &a.id).cmp(&(&b.tenant, &b.id))
    }
}
