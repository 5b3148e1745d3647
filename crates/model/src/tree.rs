//! The Merkle tree over the history, as RFC 9162 §2.1 defines it: one leaf for each entry, in the order of the sequence.
//!
//! The hashes are kept in *tiles* (C2SP tlog-tiles): 256 hashes side by side at every eighth height. A full tile never
//! changes, so that any proof can be made from a few of them, and a tile outlives the entries that it covers. [`Tree`] is
//! the growing edge: the unfinished tile of each level, from which the root follows.
//!
//! Invariants: nothing here trusts a proof: a wrong length, an index outside the tree or a hash too many is refused.

use std::fmt;

use crate::id::Digest;

/// Hashes in a full tile.
pub const TILE: usize = 256;
/// How many heights of the tree a tile stands for.
pub const TILE_HEIGHT: u8 = 8;
/// Levels of tiles that a tree of any size has at most.
const LEVELS_MAX: usize = 8;

/// The hash of a leaf: `sha256(0x00 ‖ data)`.
pub fn leaf(data: &[u8]) -> Digest {
    hash(&[&[0], data])
}

/// The hash of an inner node: `sha256(0x01 ‖ left ‖ right)`.
pub fn node(left: &Digest, right: &Digest) -> Digest {
    hash(&[&[1], &left.0, &right.0])
}

/// The root of a tree without leaves: `sha256("")`.
pub fn empty() -> Digest {
    hash(&[])
}

fn hash(parts: &[&[u8]]) -> Digest {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update(part);
    }
    Digest(hash.finalize().into())
}

/// A full tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Its level: 0 holds leaves, the next the roots of 256 of those, and so on.
    pub level: u8,
    /// Its number on that level.
    pub index: u64,
    /// Its hashes, [`TILE`] of them.
    pub hashes: Vec<Digest>,
}

/// The growing edge of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// The unfinished tile of each level.
    edge: Vec<Vec<Digest>>,
}

impl Tree {
    /// A tree without leaves.
    pub fn new() -> Tree {
        Tree::default()
    }

    /// The tree of `size` leaves whose full tiles and unfinished leaves `tile` gives: level and number in, hashes out. An
    /// unfinished tile is asked for with the same numbers and gives fewer hashes.
    ///
    /// # Errors
    /// What `tile` fails with; nothing of [`Tile`]s is checked here but their length, which must be right.
    pub fn resume<E>(size: u64, tile: &mut dyn FnMut(u8, u64) -> Result<Vec<Digest>, E>) -> Result<Option<Tree>, E> {
        let mut edge = Vec::new();
        let mut count = size;
        let mut level = 0_u8;
        while count > 0 {
            let (full, rest) = (count / TILE as u64, usize::try_from(count % TILE as u64).unwrap_or(0));
            let mut hashes = Vec::with_capacity(TILE);
            if rest > 0 && level == 0 {
                hashes = tile(0, full)?;
            } else {
                for below in full * TILE as u64..count {
                    let lower = tile(level - 1, below)?;
                    if lower.len() != TILE {
                        return Ok(None);
                    }
                    hashes.push(fold(&lower));
                }
            }
            if hashes.len() != rest {
                return Ok(None);
            }
            edge.push(hashes);
            count = full;
            level += 1;
        }
        Ok(Some(Tree { size, edge }))
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; tiles that this fills are added to `full`.
    pub fn push(&mut self, leaf: Digest, full: &mut Vec<Tile>) {
        self.size += 1;
        let mut carry = leaf;
        let mut covered = self.size;
        for level in 0..LEVELS_MAX {
            if self.edge.len() == level {
                self.edge.push(Vec::with_capacity(TILE));
            }
            let tile = &mut self.edge[level];
            tile.push(carry);
            covered /= TILE as u64;
            if tile.len() < TILE {
                return;
            }
            let hashes = std::mem::take(tile);
            carry = fold(&hashes);
            full.push(Tile { level: u8::try_from(level).unwrap_or(u8::MAX), index: covered - 1, hashes });
        }
    }

    /// The hashes of the unfinished tile of a level.
    pub fn edge(&self, level: u8) -> &[Digest] {
        self.edge.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// The root over all leaves.
    pub fn root(&self) -> Digest {
        // From the right: what is unfinished on a level hangs to the right of what is finished on the levels above.
        let mut right: Option<Digest> = None;
        for tile in &self.edge {
            for hash in peaks(tile) {
                right = Some(right.map_or(hash, |right| node(&hash, &right)));
            }
        }
        right.unwrap_or_else(empty)
    }
}

/// The roots of the perfect trees over neighbouring hashes, the smallest (rightmost) first.
fn peaks(hashes: &[Digest]) -> Vec<Digest> {
    let mut peaks = Vec::new();
    let mut end = hashes.len();
    while end > 0 {
        let count = 1 << end.trailing_zeros();
        peaks.push(fold(&hashes[end - count..end]));
        end -= count;
    }
    peaks
}

/// The root over a number of hashes that is a power of two.
fn fold(hashes: &[Digest]) -> Digest {
    match hashes {
        [] => empty(),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node(&fold(left), &fold(right))
        }
    }
}

/// The hash of the perfect tree of height `height` that is the `index`-th from the left, from tiles.
///
/// # Errors
/// What `tile` fails with; nothing when the tile is too short.
pub fn perfect<E>(
    height: u8,
    index: u64,
    tile: &mut dyn FnMut(u8, u64) -> Result<Vec<Digest>, E>,
) -> Result<Option<Digest>, E> {
    let within = height % TILE_HEIGHT;
    let first = index << within;
    let hashes = tile(height / TILE_HEIGHT, first / TILE as u64)?;
    let from = usize::try_from(first % TILE as u64).unwrap_or(usize::MAX);
    Ok(hashes.get(from..from + (1 << within)).map(fold))
}

/// Where the hashes of perfect subtrees come from: height and index in, hash out.
pub type Hashes<'a, E> = dyn FnMut(u8, u64) -> Result<Digest, E> + 'a;

/// The largest power of two smaller than `n`, for `n` ≥ 2.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// The hash over the leaves from `from` to just before `to`, where that is a subtree of a tree.
fn range<E>(from: u64, to: u64, hashes: &mut Hashes<'_, E>) -> Result<Digest, E> {
    let count = to - from;
    if count.is_power_of_two() && from.is_multiple_of(count) {
        let height = u8::try_from(count.trailing_zeros()).unwrap_or(u8::MAX);
        return hashes(height, from >> height);
    }
    let middle = from + split(count);
    Ok(node(&range(from, middle, hashes)?, &range(middle, to, hashes)?))
}

/// The root over the first `size` leaves.
///
/// # Errors
/// What `hashes` fails with.
pub fn root<E>(size: u64, hashes: &mut Hashes<'_, E>) -> Result<Digest, E> {
    if size == 0 { Ok(empty()) } else { range(0, size, hashes) }
}

/// The proof that leaf `index` is in the tree of `size` leaves (RFC 9162 §2.1.3.1); nothing when it is not.
///
/// # Errors
/// What `hashes` fails with.
pub fn inclusion<E>(index: u64, size: u64, hashes: &mut Hashes<'_, E>) -> Result<Option<Vec<Digest>>, E> {
    if index >= size {
        return Ok(None);
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(range(middle, to, hashes)?);
            to = middle;
        } else {
            path.push(range(from, middle, hashes)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// Why a proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It speaks of a place outside the tree, or of a tree without leaves.
    Outside,
    /// It has too few or too many hashes.
    Length,
    /// It does not lead to the root.
    Root,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Outside => "the proof speaks of a place outside the tree",
            Refused::Length => "the proof has too few or too many hashes",
            Refused::Root => "the proof does not lead to the root",
        })
    }
}

impl std::error::Error for Refused {}

/// Sees that leaf `index` is in the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).
///
/// # Errors
/// [`Refused`].
pub fn verify_inclusion(index: u64, size: u64, leaf: Digest, path: &[Digest], root: Digest) -> Result<(), Refused> {
    if index >= size {
        return Err(Refused::Outside);
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = leaf;
    for other in path {
        if last == 0 {
            return Err(Refused::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node(other, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, other);
        }
        at >>= 1;
        last >>= 1;
    }
    match (last, hash == root) {
        (0, true) => Ok(()),
        (0, false) => Err(Refused::Root),
        _ => Err(Refused::Length),
    }
}

/// The proof that the tree of `first` leaves is the beginning of that of `size` (RFC 9162 §2.1.4.1); nothing when it
/// cannot be.
///
/// # Errors
/// What `hashes` fails with.
pub fn consistency<E>(first: u64, size: u64, hashes: &mut Hashes<'_, E>) -> Result<Option<Vec<Digest>>, E> {
    if first == 0 || first > size {
        return Ok(None);
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    // Down to the subtree that ends where the first tree ends.
    while first != to {
        let middle = from + split(to - from);
        if first <= middle {
            path.push(range(middle, to, hashes)?);
            to = middle;
        } else {
            path.push(range(from, middle, hashes)?);
            from = middle;
        }
    }
    if from != 0 {
        path.push(range(from, to, hashes)?);
    }
    path.reverse();
    Ok(Some(path))
}

/// Sees that the tree of `first` leaves with `first_root` is the beginning of that of `size` with `root` (RFC 9162
/// §2.1.4.2).
///
/// # Errors
/// [`Refused`].
pub fn verify_consistency(
    (first, first_root): (u64, Digest),
    (size, root): (u64, Digest),
    path: &[Digest],
) -> Result<(), Refused> {
    if first == 0 || first > size {
        return Err(Refused::Outside);
    }
    if first == size {
        return match (path.is_empty(), first_root == root) {
            (false, _) => Err(Refused::Length),
            (true, false) => Err(Refused::Root),
            (true, true) => Ok(()),
        };
    }
    let mut path = path.iter();
    // A first tree that is perfect is its own starting point.
    let start = if first.is_power_of_two() { first_root } else { *path.next().ok_or(Refused::Length)? };
    let (mut at, mut last) = (first - 1, size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (start, start);
    for other in path {
        if last == 0 {
            return Err(Refused::Length);
        }
        if at & 1 == 1 || at == last {
            old = node(other, &old);
            new = node(other, &new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node(&new, other);
        }
        at >>= 1;
        last >>= 1;
    }
    match (last, old == first_root && new == root) {
        (0, true) => Ok(()),
        (0, false) => Err(Refused::Root),
        _ => Err(Refused::Length),
    }
}

/// The hashes that lead from some leaves to the root of `size` leaves: one for each largest subtree without any of them,
/// from left to right. `any` says whether there is one of them from a place to just before another.
///
/// # Errors
/// What `hashes` fails with.
pub fn cover<E>(any: &dyn Fn(u64, u64) -> bool, size: u64, hashes: &mut Hashes<'_, E>) -> Result<Vec<Digest>, E> {
    let mut out = Vec::new();
    if size > 0 {
        cover_range((0, size), any, hashes, &mut out)?;
    }
    Ok(out)
}

fn cover_range<E>(
    (from, to): (u64, u64),
    any: &dyn Fn(u64, u64) -> bool,
    hashes: &mut Hashes<'_, E>,
    out: &mut Vec<Digest>,
) -> Result<(), E> {
    if !any(from, to) {
        out.push(range(from, to, hashes)?);
    } else if to - from > 1 {
        let middle = from + split(to - from);
        cover_range((from, middle), any, hashes, out)?;
        cover_range((middle, to), any, hashes, out)?;
    }
    Ok(())
}

/// Sees that leaves at their places (in order, each once) and the hashes of [`cover`] lead to the root.
///
/// # Errors
/// [`Refused`].
pub fn verify_cover(known: &[(u64, Digest)], size: u64, cover: &[Digest], root: Digest) -> Result<(), Refused> {
    let ordered = known.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if size == 0 || !ordered || known.last().is_some_and(|(at, _)| *at >= size) {
        return Err(Refused::Outside);
    }
    let mut cover = cover.iter();
    let hash = fold_cover((0, size), known, &mut cover).ok_or(Refused::Length)?;
    match (cover.next(), hash == root) {
        (Some(_), _) => Err(Refused::Length),
        (None, false) => Err(Refused::Root),
        (None, true) => Ok(()),
    }
}

fn fold_cover(
    (from, to): (u64, u64),
    known: &[(u64, Digest)],
    cover: &mut std::slice::Iter<'_, Digest>,
) -> Option<Digest> {
    match known {
        [] => cover.next().copied(),
        [(_, leaf), ..] if to - from == 1 => Some(*leaf),
        _ => {
            let middle = from + split(to - from);
            let (left, right) = known.split_at(known.partition_point(|(at, _)| *at < middle));
            let left = fold_cover((from, middle), left, cover)?;
            Some(node(&left, &fold_cover((middle, to), right, cover)?))
        }
    }
}

#[cfg(test)]
mod tests;
