//! Reading everything once: for `doctor`, and for tests that damage files.
//!
//! Invariant: what this passes can be read; a page that is damaged shows here and not first when it is needed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use model::{Object, Seq};

use super::keys::{self, Keyspace};
use super::packs::Pack;
use super::{Sled, parse, values};
use crate::api::{Error, Store};

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Keys.
    pub keys: u64,
    /// Entries of the history.
    pub entries: u64,
    /// Entries whose payload was dropped.
    pub without_payload: u64,
    /// Runs under their own keys: those that have ended, and those that have been written since they began.
    pub runs: u64,
    /// Objects.
    pub objects: u64,
}

impl Sled {
    /// Reads every key, and sees that every entry fits its header and that the history has no gap from
    /// [`crate::Stats::first_seq`] on.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the first damage found.
    pub fn verify(&self) -> Result<Verified, Error> {
        catch_unwind(AssertUnwindSafe(|| self.verify_all()))
            .unwrap_or_else(|_| Err(Error::Corrupt { detail: "the database cannot read its pages".to_owned() }))
    }

    fn verify_all(&self) -> Result<Verified, Error> {
        let mut verified = Verified::default();
        let stats = self.stats();
        self.verify_history(stats.first_seq, stats.next_seq, &mut verified)?;
        for found in self.base.scan(b"") {
            let (key, stored) = found?;
            verified.keys += 1;
            if key.first() == Some(&(Keyspace::Piece as u8)) {
                continue;
            }
            let value = values::whole(&self.base.tree, &key, stored)?;
            match key.first() {
                Some(&space) if space == Keyspace::Object as u8 => {
                    parse::<Object>(&value, "an object")?;
                    verified.objects += 1;
                }
                Some(&space) if space == Keyspace::RunOpen as u8 || space == Keyspace::RunEnded as u8 => {
                    let run: model::run::RunSummary = parse(&value, "a run")?;
                    if run.status.is_final() != (space == Keyspace::RunEnded as u8)
                        || keys::run_of(&key) != Some((run.id.seq, run.id.n))
                    {
                        return Err(Error::Corrupt { detail: format!("run {} lies where it does not belong", run.id) });
                    }
                    verified.runs += 1;
                }
                Some(&space) if space == Keyspace::RunPack as u8 => {
                    let pack = Pack::read(keys::group_first(&key).unwrap_or(0), &value)?;
                    for index in 0..pack.len() {
                        pack.run(index)?;
                    }
                }
                _ => {}
            }
        }
        Ok(verified)
    }

    fn verify_history(&self, first: Seq, next: Seq, verified: &mut Verified) -> Result<(), Error> {
        let mut expected: Option<Seq> = None;
        let mut damage = None;
        self.entries_forward(Seq(0), &mut |stored| {
            let seq = stored.header.seq;
            verified.entries += 1;
            let gap = expected.map_or(seq > first, |expected| seq != expected && seq > first);
            let false_payload = stored.entry.as_ref().is_some_and(|entry| !entry.verifies());
            verified.without_payload += u64::from(stored.entry.is_none());
            if gap {
                damage = Some(format!("history is missing before entry {seq}"));
            } else if false_payload {
                damage = Some(format!("the payload of entry {seq} is not the one that its header commits to"));
            }
            expected = Some(seq.next());
            damage.is_none()
        })?;
        if damage.is_none() && expected.unwrap_or(next) < next {
            damage = Some(format!("history is missing before entry {next}"));
        }
        damage.map_or(Ok(()), |detail| Err(Error::Corrupt { detail }))
    }
}
