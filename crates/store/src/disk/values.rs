//! Values of any size in a tree that wants small ones: a large value is cut into pieces.
//!
//! Invariants: no stored value is larger than [`INLINE_BYTES_MAX`] and a little, so that a page of the tree never grows
//! into a blob file, which the database does not sync. The first byte says how the rest is to be read: `0` the value
//! itself, `1` its length (four bytes) and its first piece; the further pieces lie under [`keys::piece`]; `2` its length and
//! its compressed form, for what repeats itself, such as the fields of an alert.

use std::ops::Deref;

use lz4_flex::block::CompressTable;
use sled::IVec;

use super::base::failed;
use super::{group, keys};
use crate::api::Error;

/// The largest value that is kept in one piece, in bytes.
pub(super) const INLINE_BYTES_MAX: usize = 6 * 1024;
/// The size of a piece, in bytes.
const PIECE_BYTES: usize = 4 * 1024;

const INLINE: u8 = 0;
const PIECES: u8 = 1;
const PACKED: u8 = 2;
const PIECES_HEAD_BYTES: usize = 5;

/// A value as it was read.
#[derive(Debug)]
pub(super) enum Value {
    /// In one piece, behind its first byte.
    Inline(IVec),
    /// Put together from pieces, or unpacked.
    Joined(Vec<u8>),
}

impl Deref for Value {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Value::Inline(bytes) => bytes.get(1..).unwrap_or_default(),
            Value::Joined(bytes) => bytes,
        }
    }
}

/// How many further pieces a stored value has.
fn further_pieces(stored: &[u8]) -> Result<u16, Error> {
    match stored.first() {
        Some(&PIECES) => {
            let length = stored.get(1..PIECES_HEAD_BYTES).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
            let length = length.ok_or_else(damaged)? as usize;
            u16::try_from(length.div_ceil(PIECE_BYTES).saturating_sub(1)).map_err(|_| damaged())
        }
        Some(&INLINE | &PACKED) => Ok(0),
        _ => Err(damaged()),
    }
}

fn damaged() -> Error {
    Error::Corrupt { detail: "a stored value is cut short".to_owned() }
}

/// The value under a key.
pub(super) fn read(tree: &sled::Tree, key: &[u8]) -> Result<Option<Value>, Error> {
    match tree.get(key).map_err(failed("reading"))? {
        Some(stored) => whole(tree, key, stored).map(Some),
        None => Ok(None),
    }
}

/// The value whose first part was found under a key.
pub(super) fn whole(tree: &sled::Tree, key: &[u8], stored: IVec) -> Result<Value, Error> {
    let further = further_pieces(&stored)?;
    if stored.first() == Some(&INLINE) {
        return Ok(Value::Inline(stored));
    }
    if stored.first() == Some(&PACKED) {
        return group::expand(stored.get(1..).unwrap_or_default()).map(Value::Joined);
    }
    let mut joined = Vec::with_capacity((usize::from(further) + 1) * PIECE_BYTES);
    joined.extend_from_slice(stored.get(PIECES_HEAD_BYTES..).unwrap_or_default());
    for number in 1..=further {
        let piece = tree.get(keys::piece(key, number)).map_err(failed("reading"))?.ok_or_else(damaged)?;
        joined.extend_from_slice(&piece);
    }
    let length = stored.get(1..PIECES_HEAD_BYTES).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    if length.map(|l| l as usize) == Some(joined.len()) { Ok(Value::Joined(joined)) } else { Err(damaged()) }
}

/// A value's compressed form, where it is smaller and fits into one piece.
fn packed<'r>(
    value: &[u8],
    (table, scratch): (&mut CompressTable, &'r mut Vec<u8>),
) -> Result<Option<&'r [u8]>, Error> {
    scratch.clear();
    group::compress(table, value, scratch)?;
    Ok((scratch.len() < value.len() && scratch.len() <= INLINE_BYTES_MAX).then_some(scratch))
}

/// What is about to be written, all at once.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// Keys and what they become.
    pub(super) changes: Vec<(IVec, Option<IVec>)>,
    /// Bytes of keys and values.
    pub(super) bytes: usize,
}

impl Writes {
    fn push(&mut self, key: &[u8], value: Option<IVec>) {
        self.bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
        self.changes.push((IVec::from(key), value));
    }

    /// Puts a value under a key that holds none, or one that is in one piece.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        if value.len() <= INLINE_BYTES_MAX {
            return self.put_in_one(key, INLINE, value);
        }
        let mut buffer = [0_u8; INLINE_BYTES_MAX + 1];
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        for (number, piece) in (0_u16..).zip(value.chunks(PIECE_BYTES)) {
            if number == 0 {
                buffer[0] = PIECES;
                buffer[1..PIECES_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
                let end = PIECES_HEAD_BYTES + piece.len();
                buffer[PIECES_HEAD_BYTES..end].copy_from_slice(piece);
                self.push(key, Some(IVec::from(&buffer[..end])));
            } else {
                self.push(&keys::piece(key, number), Some(IVec::from(piece)));
            }
        }
    }

    fn put_in_one(&mut self, key: &[u8], form: u8, value: &[u8]) {
        let mut buffer = [0_u8; INLINE_BYTES_MAX + 1];
        buffer[0] = form;
        buffer[1..=value.len()].copy_from_slice(value);
        self.push(key, Some(IVec::from(&buffer[..=value.len()])));
    }

    /// As [`Writes::put`], compressed where that makes it fit into one piece; `room` is what to do that with.
    pub(super) fn put_packed(
        &mut self,
        key: &[u8],
        value: &[u8],
        room: (&mut CompressTable, &mut Vec<u8>),
    ) -> Result<(), Error> {
        match packed(value, room)? {
            Some(packed) => self.put_in_one(key, PACKED, packed),
            None => self.put(key, value),
        }
        Ok(())
    }

    /// As [`Writes::replace`], compressed where that makes it fit into one piece; `room` is what to do that with.
    pub(super) fn replace_packed(
        &mut self,
        tree: &sled::Tree,
        key: &[u8],
        value: &[u8],
        room: (&mut CompressTable, &mut Vec<u8>),
    ) -> Result<(), Error> {
        match packed(value, room)? {
            Some(packed) => {
                self.remove_pieces(tree, key, 0)?;
                self.put_in_one(key, PACKED, packed);
                Ok(())
            }
            None => self.replace(tree, key, value),
        }
    }

    /// Puts a value under a key that may hold one of any size.
    pub(super) fn replace(&mut self, tree: &sled::Tree, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let after = value.len().div_ceil(PIECE_BYTES).saturating_sub(1);
        let after = if value.len() <= INLINE_BYTES_MAX { 0 } else { u16::try_from(after).unwrap_or(u16::MAX) };
        self.remove_pieces(tree, key, after)?;
        self.put(key, value);
        Ok(())
    }

    /// Removes the further pieces that a key has, but for the first `after` of them.
    fn remove_pieces(&mut self, tree: &sled::Tree, key: &[u8], after: u16) -> Result<(), Error> {
        let before = tree.get(key).map_err(failed("reading"))?;
        let before = before.map_or(Ok(0), |stored| further_pieces(&stored))?;
        for number in after.saturating_add(1)..=before {
            self.push(&keys::piece(key, number), None);
        }
        Ok(())
    }

    /// Removes the value that was found under a key.
    pub(super) fn remove(&mut self, key: &[u8], stored: &[u8]) -> Result<(), Error> {
        for number in 1..=further_pieces(stored)? {
            self.push(&keys::piece(key, number), None);
        }
        self.push(key, None);
        Ok(())
    }

    /// Removes a value that is known to be in one piece.
    pub(super) fn remove_small(&mut self, key: &[u8]) {
        self.push(key, None);
    }

    /// Removes whatever is under a key, if there is anything.
    pub(super) fn remove_any(&mut self, tree: &sled::Tree, key: &[u8]) -> Result<(), Error> {
        match tree.get(key).map_err(failed("reading"))? {
            Some(stored) => self.remove(key, &stored),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_size_are_read_back_and_leave_no_pieces_behind() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let sizes = [0, 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 2 * PIECE_BYTES, 1_000_000, PIECE_BYTES * 3 + 1, 5];
        let (mut table, mut scratch) = (CompressTable::small(), Vec::new());
        for (size, packed) in sizes.into_iter().zip([false, true].into_iter().cycle()).chain([(9_000, true), (3, true)])
        {
            let value: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut writes = Writes::default();
            if packed {
                writes.replace_packed(&db, b"okey", &value, (&mut table, &mut scratch)).unwrap();
            } else {
                writes.replace(&db, b"okey", &value).unwrap();
            }
            let mut batch = sled::Batch::default();
            for (key, value) in writes.changes {
                assert!(value.as_ref().is_none_or(|value| value.len() <= INLINE_BYTES_MAX + 1));
                match value {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                }
            }
            db.apply_batch(batch).unwrap();
            assert_eq!(&*read(&db, b"okey").unwrap().unwrap(), &value[..]);
            let in_one = size <= INLINE_BYTES_MAX || packed;
            let pieces = if in_one { 0 } else { size.div_ceil(PIECE_BYTES) - 1 };
            assert_eq!(db.scan_prefix(b"z").count(), pieces, "{size} bytes");
        }
    }
}
