//! New runs, packed: the runs that a commit creates lie together in one compressed value until they move on.
//!
//! Most runs end soon after they begin. So a new run costs a share of a pack, not a key of its own that is deleted
//! moments later. A run leaves its pack when it is written for the second time; the pack goes when its last run has left.
//!
//! Invariants: a run in a pack is as it was created; what lies under its own key, open or ended, is newer and counts. A
//! pack is stored as long as a run that has not been written again is in it.

use std::collections::VecDeque;
use std::sync::Arc;

use lz4_flex::block::CompressTable;
use model::run::RunSummary;

use super::base::{Base, lock};
use super::group;
use super::keys::{self, Keyspace};
use super::{Sled, parse, values};
use crate::api::Error;

/// Packs that are kept unpacked: a worker reads the runs that it has taken one after the other.
const PACKS_KEPT: usize = 16;

const VERSION: u8 = 1;

/// Where an open run lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Under its own key.
    Own,
    /// In the pack of the commit that begins with entry `first`, as number `index`.
    Pack {
        /// The pack's key.
        first: u64,
        /// The run's place in it.
        index: usize,
    },
}

/// A pack that is being made.
pub(super) struct Packing {
    raw: Vec<u8>,
}

impl Packing {
    /// An empty one.
    pub(super) fn new() -> Packing {
        Packing { raw: Vec::new() }
    }

    /// Adds a run, as JSON.
    pub(super) fn add(&mut self, json: &[u8]) {
        self.raw.extend_from_slice(json);
        self.raw.push(b'\n');
    }

    /// The value to store.
    pub(super) fn finish(&self, table: &mut CompressTable) -> Result<Vec<u8>, Error> {
        let mut value = vec![VERSION];
        group::compress(table, &self.raw, &mut value)?;
        Ok(value)
    }
}

/// A pack that was read.
#[derive(Debug)]
pub(super) struct Pack {
    first: u64,
    raw: Vec<u8>,
    ends: Vec<usize>,
}

impl Pack {
    /// Reads a stored pack.
    pub(super) fn read(first: u64, stored: &[u8]) -> Result<Pack, Error> {
        let (Some(&VERSION), Some(rest)) = (stored.first(), stored.get(1..)) else {
            return Err(Error::Corrupt { detail: "a pack of new runs cannot be read".to_owned() });
        };
        let raw = group::expand(rest)?;
        let ends = raw.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
        Ok(Pack { first, raw, ends })
    }

    /// How many runs.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One of its runs.
    pub(super) fn run(&self, index: usize) -> Result<RunSummary, Error> {
        let from = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| end + 1);
        let json = self.ends.get(index).and_then(|end| self.raw.get(from..*end)).unwrap_or_default();
        parse(json, "a new run")
    }
}

/// The packs that were read last.
#[derive(Debug, Default)]
pub(super) struct Packs {
    kept: VecDeque<Arc<Pack>>,
}

impl Sled {
    /// A run in a pack; nothing when the pack is gone, since then the run lies under its own key.
    pub(super) fn packed_run(&self, first: u64, index: usize) -> Result<Option<RunSummary>, Error> {
        if let Some(pack) = lock(&self.packs).kept.iter().find(|pack| pack.first == first).cloned() {
            return pack.run(index).map(Some);
        }
        let Some(pack) = read(&self.base, first)? else { return Ok(None) };
        let pack = Arc::new(pack);
        let mut packs = lock(&self.packs);
        if packs.kept.len() >= PACKS_KEPT {
            packs.kept.pop_front();
        }
        packs.kept.push_back(Arc::clone(&pack));
        drop(packs);
        pack.run(index).map(Some)
    }
}

fn read(base: &Base, first: u64) -> Result<Option<Pack>, Error> {
    let stored = values::read(&base.tree, &keys::group(Keyspace::RunPack, first))?;
    stored.map(|value| Pack::read(first, &value)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::build;
    use model::{Seq, Time};

    #[test]
    fn runs_are_read_back_as_packed() {
        let runs: Vec<RunSummary> = (0..70).map(|n| build::run(Seq(5), n, "line\nbreak", Time::EPOCH)).collect();
        let mut packing = Packing::new();
        runs.iter().for_each(|run| packing.add(&serde_json::to_vec(run).unwrap()));
        let stored = packing.finish(&mut CompressTable::large()).unwrap();
        assert!(stored.len() < 70 * 60, "{}", stored.len());
        let pack = Pack::read(5, &stored).unwrap();
        let read: Vec<RunSummary> = (0..pack.len()).map(|index| pack.run(index).unwrap()).collect();
        assert_eq!(read, runs);
        assert!(pack.run(70).is_err() && Pack::read(5, &stored[..40]).is_err() && Pack::read(5, &[]).is_err());
    }
}
