//! A stage in which cases are is not renamed or taken away: the start is refused, with how many there are.
//!
//! The stages of the last start are kept as a mark, so that cases are only counted when a stage has gone.

use std::collections::BTreeMap;

use model::Kind;
use model::record::Vocabulary;
use store::Store;

/// The mark under which the stages of the last start are kept.
const MARK: &str = "stages";

/// Stages that are gone although cases are in them, with how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StillUsed(pub BTreeMap<String, u64>);

impl std::fmt::Display for StillUsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |n: &u64| if *n == 1 { "1 case".to_owned() } else { format!("{n} cases") };
        let all: Vec<String> = self.0.iter().map(|(stage, n)| format!("`{stage}` ({})", count(n))).collect();
        let what = if all.len() == 1 { "a stage that is in use is" } else { "stages that are in use are" };
        write!(
            f,
            "{what} no longer among `stages`: {}; put the name back under `stages` in sortie.yaml, or move these cases first",
            all.join(", ")
        )
    }
}

/// What of the stages of the last start is gone and still used, and the mark to keep when nothing is.
///
/// # Errors
/// [`store::Error`] when the cases cannot be read.
pub(crate) fn check(
    store: &dyn Store,
    words: &Vocabulary,
) -> Result<Result<Option<store::Mark>, StillUsed>, store::Error> {
    let now = serde_json::to_vec(&words.stages).unwrap_or_default();
    let before = store.mark(MARK)?;
    if before.as_ref() == Some(&now) {
        return Ok(Ok(None));
    }
    let known: Vec<String> = before.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let gone: Vec<&String> = known.iter().filter(|stage| !words.stages.contains(stage)).collect();
    let mut used = BTreeMap::new();
    if !gone.is_empty() {
        store.objects(Kind::Case, &mut |_, case| {
            if let Some(stage) = case.text("stage").and_then(|stage| gone.iter().find(|gone| **gone == stage)) {
                *used.entry((*stage).clone()).or_default() += 1;
            }
            true
        })?;
    }
    Ok(if used.is_empty() { Ok(Some((MARK.to_owned(), Some(now)))) } else { Err(StillUsed(used)) })
}
