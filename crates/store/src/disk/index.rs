//! Runs by playbook: per playbook a list of blocks, each the runs that were created after those of the one before.
//!
//! Invariant: a block is full before the next begins, and runs in a block ascend. A commit writes one key per playbook
//! that it creates runs of.

use std::collections::{BTreeMap, HashMap};

use model::Seq;
use model::run::RunSummary;
use sled::IVec;

use super::base::Base;
use super::keys::{self, RunKey, run_key};
use super::values::{self, Writes};
use crate::api::Error;

/// Runs in a full block. The last block is written again with each commit, so that large ones would cost more than they save.
const BLOCK_RUNS: usize = 64;
const RUN_BYTES: usize = 10;
/// Playbooks whose last block is kept in memory. More are rare, and then a block is read once more.
const TAILS_KEPT: usize = 4096;

/// The last, not yet full block of each playbook.
#[derive(Debug, Default)]
pub(super) struct Tails {
    tails: HashMap<String, Tail>,
}

#[derive(Debug, Default, Clone)]
struct Tail {
    first: RunKey,
    block: Vec<u8>,
}

impl Tails {
    /// Appends runs that are being created.
    pub(super) fn append<'a>(
        &mut self,
        base: &Base,
        created: impl Iterator<Item = &'a RunSummary>,
        writes: &mut Writes,
    ) -> Result<(), Error> {
        let mut by_playbook: BTreeMap<&str, Vec<RunKey>> = BTreeMap::new();
        for run in created {
            by_playbook.entry(&run.playbook).or_default().push(run_key(run.id));
        }
        if self.tails.len() > TAILS_KEPT {
            self.tails.clear();
        }
        for (playbook, mut runs) in by_playbook {
            runs.sort_unstable();
            let mut tail = match self.tails.remove(playbook) {
                Some(tail) => tail,
                None => stored_tail(base, playbook)?,
            };
            for run in runs {
                if tail.block.len() >= BLOCK_RUNS * RUN_BYTES {
                    writes.put(&keys::playbook_block(playbook, tail.first), &tail.block);
                    tail.block.clear();
                }
                if tail.block.is_empty() {
                    tail.first = run;
                }
                tail.block.extend_from_slice(&run.0.0.to_be_bytes());
                tail.block.extend_from_slice(&run.1.to_be_bytes());
            }
            writes.put(&keys::playbook_block(playbook, tail.first), &tail.block);
            self.tails.insert(playbook.to_owned(), tail);
        }
        Ok(())
    }

    /// Forgets what is in memory, after blocks were dropped.
    pub(super) fn forget(&mut self) {
        self.tails.clear();
    }
}

fn stored_tail(base: &Base, playbook: &str) -> Result<Tail, Error> {
    let Some(found) = base.scan(&keys::playbook(playbook)).next_back() else { return Ok(Tail::default()) };
    let (key, stored) = found?;
    let first = keys::run_of(&key).unwrap_or_default();
    Ok(Tail { first, block: values::whole(&base.tree, &key, stored)?.to_vec() })
}

/// The runs of a block, ascending.
pub(super) fn runs_of(base: &Base, key: &IVec, stored: IVec) -> Result<Vec<RunKey>, Error> {
    let block = values::whole(&base.tree, key, stored)?;
    let run = |bytes: &[u8]| -> Option<RunKey> {
        let (seq, n) = bytes.split_first_chunk::<8>()?;
        Some((Seq(u64::from_be_bytes(*seq)), u16::from_be_bytes(n.try_into().ok()?)))
    };
    let runs: Option<Vec<RunKey>> = block.chunks(RUN_BYTES).map(run).collect();
    runs.ok_or_else(|| Error::Corrupt { detail: "a list of a playbook's runs is cut short".to_owned() })
}
