//! The proof of a value that was sent and is stored nowhere: the entry that holds its commitment, the path from that entry to
//! a signed root, and the salt of that one commitment.
//!
//! Invariant: the proof does not hold the value. Whoever is shown it needs the value itself to check it, and learns nothing
//! about any other.

use model::history::commitment;
use model::run::{Attempt, Fact};
use model::{RunId, Seq};
use serde::{Deserialize, Serialize};
use store::Store;

use super::bundle::{hex, unhex};
use super::checkpoint::Checkpoint;
use super::judge::{Kind, Report};
use super::proof::{self, RunProof};
use super::verify::Outside;
use crate::engine::Engine;
use crate::outbound::commitment::{Commitments, Place};
use crate::record;
use crate::refusal::Refusal;
use crate::view;

/// The mark of the key that makes commitments: what tells it from others.
const KEY_MARK: &str = "commitment/key";

/// What is asked: whether a value was placed as this secret.
pub struct Asked<'a> {
    /// The name of the secret.
    pub secret: &'a str,
    /// The value.
    pub value: &'a [u8],
    /// What makes the commitments.
    pub commitments: &'a Commitments,
}

/// The proof of a value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ValueProof {
    /// The commitments that the value opens.
    pub disclosed: Vec<Disclosed>,
    /// That their entries stand in the ledger.
    #[serde(flatten)]
    pub proof: RunProof,
}

/// One commitment, and what opens it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosed {
    /// The entry that holds it.
    pub entry: Seq,
    /// The step.
    pub path: String,
    /// The destination, where the step sends to one.
    pub destination: Option<String>,
    /// The number of the try.
    pub n: u32,
    /// The name of the secret.
    pub secret: String,
    /// The salt, hexadecimal.
    pub salt: String,
}

/// The tries that an entry of a run records, with their steps.
fn tries(payload: &[u8]) -> Result<Vec<(String, Attempt)>, record::RecordError> {
    let progressed = record::read_progressed(payload)?;
    let tried = progressed.facts.into_iter().filter_map(|fact| match fact {
        Fact::Attempted { path, attempt } | Fact::Redelivered { path, attempt, .. } => Some((path, attempt)),
        _ => None,
    });
    Ok(tried.collect())
}

/// Proves that a run sent a value as a secret; nothing when the history shows no such thing.
///
/// # Errors
/// [`view::Error`] when the store fails or the history is damaged.
pub fn prove(
    store: &dyn Store,
    id: RunId,
    (checkpoint, signed): (&Checkpoint, String),
    asked: Asked<'_>,
) -> Result<Option<ValueProof>, view::Error> {
    let Some(summary) = store.run(id)? else { return Ok(None) };
    let mut disclosed = Vec::new();
    for seq in summary.entries.iter().copied().filter(|seq| *seq != id.seq) {
        let Some(entry) = store.entry(seq)?.and_then(|stored| stored.entry) else { continue };
        for (path, attempt) in tries(&entry.payload).map_err(|error| view::Error::Record { seq, error })? {
            let destination = attempt.destination.as_deref();
            let place = Place { run: id, path: &path, destination, n: attempt.n };
            let Some(salt) = asked.commitments.salt(place, asked.secret) else { continue };
            let opened = commitment(&salt, asked.value);
            if attempt.redacted.iter().any(|left| left.secret == asked.secret && left.commitment == opened) {
                let (destination, secret) = (attempt.destination.clone(), asked.secret.to_owned());
                disclosed.push(Disclosed { entry: seq, path, destination, n: attempt.n, secret, salt: hex(&salt) });
            }
        }
    }
    if disclosed.is_empty() {
        return Ok(None);
    }
    let Some(mut proof) = proof::run(store, id, checkpoint, signed)? else { return Ok(None) };
    proof.entries.retain(|entry| disclosed.iter().any(|one| one.entry == entry.line.entry.seq));
    Ok(Some(ValueProof { disclosed, proof }))
}

/// Verifies the proof of a value; without the value only that its entries stand in the ledger.
pub fn verify(given: &ValueProof, value: Option<&[u8]>, outside: &Outside) -> Report {
    let mut report = proof::verify(&given.proof, outside);
    let Some(value) = value else {
        let remark = "the value was not given, so that it was not checked: give it with --value-file";
        report.remarks.push(remark.to_owned());
        return report;
    };
    if given.disclosed.is_empty() {
        report.add(Kind::Unreadable, None, "the proof discloses nothing that a value could be checked against");
    }
    for one in &given.disclosed {
        if !opens(given, one, value) {
            let detail = format!("the value is not the one that entry {} records as `{}`", one.entry, one.secret);
            report.add(Kind::Edited, Some(one.entry), detail);
        }
    }
    report.close()
}

/// Whether a value opens the commitment that the entry of this proof holds in this place.
fn opens(given: &ValueProof, one: &Disclosed, value: &[u8]) -> bool {
    let found = given.proof.entries.iter().find(|entry| entry.line.entry.seq == one.entry);
    let entry = found.and_then(|found| found.line.clone().entry()).filter(model::history::Entry::verifies);
    let (Some(entry), Some(salt)) = (entry, unhex(&one.salt)) else { return false };
    let opened = commitment(&salt, value);
    let here = |path: &str, attempt: &Attempt| {
        path == one.path && attempt.destination == one.destination && attempt.n == one.n
    };
    tries(&entry.payload).is_ok_and(|tries| {
        let mut all = tries.iter().filter(|(path, attempt)| here(path, attempt));
        all.any(|(_, attempt)| {
            attempt.redacted.iter().any(|left| left.secret == one.secret && left.commitment == opened)
        })
    })
}

impl Engine {
    /// Notes which key makes the commitments of redacted values from now on; a key that was lost is told and recorded.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be recorded.
    pub async fn know_commitments(&self, made: bool) -> Result<(), Refusal> {
        let Some(fingerprint) = self.context().secrets.commitments().fingerprint() else { return Ok(()) };
        let known = self.store().mark(KEY_MARK).map_err(|error| Refusal::from(&error))?;
        let name = fingerprint.to_string();
        let what = match known {
            Some(known) if known == name.as_bytes() => return Ok(()),
            None => "key of commitments made",
            Some(_) if made => "key of commitments lost and made anew",
            Some(_) => "key of commitments changed",
        };
        if what != "key of commitments made" {
            tracing::warn!("{what}: values that were redacted before can no longer be proved without the old key");
        }
        let marks = vec![(KEY_MARK.to_owned(), Some(name.clone().into_bytes()))];
        let payload = serde_json::json!({ "what": what, "fingerprint": name });
        self.set_marks(marks, "commitments".to_owned(), payload, model::Actor::System).await.map(drop)
    }
}
