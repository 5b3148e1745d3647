//! The Merkle tree over the history, kept beside it: full tiles of hashes in the same commit as the entries that fill
//! them, the growing edge in memory.
//!
//! Invariants: the leaf of an entry is the hash of its header exactly as it is stored. A full tile is written once and
//! stays when its entries are dropped. The edge can always be rebuilt when the store is opened: from the headers of the
//! unfinished tile, and from what a sweep put aside of those it dropped.

use model::tree::{self, TILE, Tile, Tree};
use model::{Digest, Seq};

use super::Sled;
use super::base::{Base, failed, lock};
use super::group::Group;
use super::keys::{self, Keyspace};
use super::values::{self, Writes};
use crate::api::{Error, Ledger};

const HASH_BYTES: usize = 32;
/// Tiles that are written at once when the tree of an older store is built.
const TILES_AT_ONCE: usize = 64;

/// The tree, and the entry that its first leaf stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    /// The first entry that the tree covers. 1, but for stores that are older than the tree.
    pub(super) base: u64,
    /// The growing edge.
    pub(super) tree: Tree,
}

fn damaged(detail: &str) -> Error {
    Error::Corrupt { detail: detail.to_owned() }
}

fn bytes_of(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

fn hashes_of(bytes: &[u8]) -> Vec<Digest> {
    bytes.chunks_exact(HASH_BYTES).filter_map(|chunk| chunk.try_into().ok().map(Digest)).collect()
}

fn read_tile(base: &Base, level: u8, index: u64) -> Result<Option<Vec<Digest>>, Error> {
    let stored = values::read(&base.tree, &keys::tile(level, index))?;
    let hashes = stored.map(|value| hashes_of(&value));
    match hashes {
        Some(hashes) if hashes.len() != TILE => Err(damaged("a tile of the ledger is cut short")),
        hashes => Ok(hashes),
    }
}

fn put_tiles(tiles: &[Tile], writes: &mut Writes) {
    for tile in tiles {
        writes.put(&keys::tile(tile.level, tile.index), &bytes_of(&tile.hashes));
    }
}

impl Edge {
    /// Adds the leaves of a commit; what they fill goes into the commit's writes.
    pub(super) fn grow(&mut self, leaves: &[Digest], writes: &mut Writes) {
        let mut full = Vec::new();
        for leaf in leaves {
            self.tree.push(*leaf, &mut full);
        }
        put_tiles(&full, writes);
    }

    /// The number of the unfinished tile of leaves, and the entry that it begins with.
    fn unfinished(&self) -> (u64, u64) {
        let index = self.tree.size() / TILE as u64;
        (index, self.base + index * TILE as u64)
    }

    /// Puts the hashes of the unfinished tile aside when entries up to just before `end` are dropped.
    pub(super) fn put_aside(&self, base: &Base, end: u64, writes: &mut Writes) -> Result<(), Error> {
        let (index, first) = self.unfinished();
        if end <= first {
            return Ok(());
        }
        let mut value = index.to_be_bytes().to_vec();
        value.extend_from_slice(&bytes_of(self.tree.edge(0)));
        writes.replace(&base.tree, keys::ASIDE_KEY, &value)
    }

    /// Reads the tree of a store whose next entry is `next`; builds it where the store is older than the tree, from
    /// `first_seq` on, the entry from which on none is missing.
    pub(super) fn open(base: &Base, next: u64, first_seq: u64) -> Result<Edge, Error> {
        match values::read(&base.tree, keys::LEDGER_KEY)? {
            Some(value) => {
                let start = value.as_ref().try_into().map(u64::from_be_bytes);
                let start = start.map_err(|_| damaged("the beginning of the ledger is cut short"))?;
                Edge::resume(base, start, next)
            }
            None => Edge::build(base, first_seq.max(1), next),
        }
    }

    fn resume(base: &Base, start: u64, next: u64) -> Result<Edge, Error> {
        let size = next.checked_sub(start).ok_or_else(|| damaged("the ledger begins after the history's end"))?;
        let unfinished = size / TILE as u64;
        let mut tile = |level, index| match read_tile(base, level, index)? {
            Some(hashes) => Ok(hashes),
            None if level == 0 && index == unfinished => unfinished_leaves(base, start, index, next),
            None => Err(damaged("a tile of the ledger is missing")),
        };
        let tree = Tree::resume(size, &mut tile)?.ok_or_else(|| damaged("the ledger is shorter than the history"))?;
        Ok(Edge { base: start, tree })
    }

    fn build(base: &Base, start: u64, next: u64) -> Result<Edge, Error> {
        let mut edge = Edge { base: start, tree: Tree::new() };
        let mut full = Vec::new();
        for found in headers(base, start, next)? {
            let (seq, leaf) = found?;
            if seq != start + edge.tree.size() {
                return Err(damaged(&format!("history is missing before entry {seq}")));
            }
            edge.tree.push(leaf, &mut full);
            if full.len() >= TILES_AT_ONCE {
                let mut writes = Writes::default();
                put_tiles(&full, &mut writes);
                base.apply(writes)?;
                full.clear();
            }
        }
        let mut writes = Writes::default();
        put_tiles(&full, &mut writes);
        // Last: a start that is interrupted before begins anew, with the same tiles.
        writes.put(keys::LEDGER_KEY, &start.to_be_bytes());
        base.apply(writes)?;
        Ok(edge)
    }
}

/// The leaves of the unfinished tile: those put aside, then those of the entries that are there.
fn unfinished_leaves(base: &Base, start: u64, index: u64, next: u64) -> Result<Vec<Digest>, Error> {
    let mut hashes = match values::read(&base.tree, keys::ASIDE_KEY)? {
        Some(value) => match value.split_first_chunk::<8>() {
            Some((of, rest)) if u64::from_be_bytes(*of) == index => hashes_of(rest),
            _ => Vec::new(),
        },
        None => Vec::new(),
    };
    let first = start + index * TILE as u64 + hashes.len() as u64;
    for (expected, found) in (first..).zip(headers(base, first, next)?) {
        let (seq, leaf) = found?;
        if seq != expected {
            return Err(damaged(&format!("history is missing before entry {seq}")));
        }
        hashes.push(leaf);
    }
    Ok(hashes)
}

/// The leaves of the entries from `from` to just before `next`.
fn headers(
    base: &Base,
    from: u64,
    next: u64,
) -> Result<impl Iterator<Item = Result<(u64, Digest), Error>> + '_, Error> {
    let upto = keys::group(Keyspace::Headers, 0)..=keys::group(Keyspace::Headers, from);
    let before = base.tree.range(upto).next_back().transpose().map_err(failed("reading the history"))?;
    let start = before.and_then(|(key, _)| keys::group_first(&key)).unwrap_or(from);
    let groups = base.tree.range(keys::group(Keyspace::Headers, start)..keys::group(Keyspace::Headers, next));
    let read = move |found: Result<(sled::IVec, sled::IVec), sled::Error>| {
        let (key, stored) = found.map_err(failed("reading the history"))?;
        let first = keys::group_first(&key).ok_or_else(|| damaged("a key of the history is cut"))?;
        Group::read(first, &values::whole(&base.tree, &key, stored)?, None)
    };
    let leaves = move |group: Result<Group, Error>| {
        let (group, failure) = match group {
            Ok(group) => (Some(group), None),
            Err(error) => (None, Some(Err(error))),
        };
        let leaves = group.into_iter().flat_map(move |group| {
            let wanted = group.first.max(from)..group.end().min(next);
            wanted.map(|seq| Ok((seq, group.leaf(Seq(seq))?))).collect::<Vec<_>>()
        });
        leaves.chain(failure)
    };
    Ok(groups.map(read).flat_map(leaves))
}

impl Sled {
    /// The tree as it stands.
    pub(super) fn ledger_now(&self) -> Ledger {
        let edge = lock(&self.ledger);
        Ledger { base: Seq(edge.base), size: edge.tree.size(), root: edge.tree.root() }
    }

    /// The hashes of a tile, full or not; none where the tree has none.
    pub(super) fn tile_now(&self, level: u8, index: u64) -> Result<Vec<Digest>, Error> {
        let edge = lock(&self.ledger);
        let finished = edge.tree.size() >> (u32::from(level) + 1).saturating_mul(8).min(63);
        if index == finished {
            return Ok(edge.tree.edge(level).to_vec());
        }
        drop(edge);
        if index > finished {
            return Ok(Vec::new());
        }
        read_tile(&self.base, level, index)?.ok_or_else(|| damaged("a tile of the ledger is missing"))
    }

    /// The hash that the header of an entry has in the tree, from what is stored of it now.
    pub(super) fn leaf_now(&self, seq: Seq) -> Result<Option<Digest>, Error> {
        self.group_with(seq)?.map(|group| group.leaf(seq)).transpose()
    }
}

/// The leaf of a header as it is stored.
pub(super) fn leaf_of(json: &[u8]) -> Digest {
    tree::leaf(json)
}
