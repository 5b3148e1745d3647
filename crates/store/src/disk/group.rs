//! The packed form of the history: the entries of a commit, in groups, headers apart from payloads, each compressed.
//!
//! Invariants: a group of headers and its group of payloads cover the same entries. The head of a group of headers is
//! not compressed: retention and opening read it alone. All numbers are big endian.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress, get_maximum_output_size};
use model::history::{Entry, Header, Salt, commitment};
use model::{Digest, Seq, Time};

use super::ledger::leaf_of;
use crate::api::{Error, Found, Payload, StoredEntry};

/// Raw payload bytes at which a group is cut.
pub(super) const GROUP_BYTES: usize = 64 * 1024;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 33;
const PAYLOAD_HEAD_BYTES: usize = 5;
/// How many times larger than its compressed form anything can be; more is a damaged length.
const EXPANSION_MAX: usize = 256;

/// What the head of a group of headers says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head {
    /// How many entries.
    pub(super) count: u32,
    /// The time of the last entry.
    pub(super) last_time: Time,
    /// The size of the group as stored, headers and payloads, in bytes.
    pub(super) bytes: u32,
    /// How many runs had ended for the first time, over the store's whole life, as of the commit.
    pub(super) ended_total: u64,
    /// How many bytes of history had been written, over the store's whole life, as of this group.
    pub(super) bytes_total: u64,
}

/// Reads the head of a group of headers.
pub(super) fn head(stored: &[u8]) -> Result<Head, Error> {
    let (version, rest) = stored.split_first().ok_or_else(damaged)?;
    if *version != VERSION {
        return Err(damaged());
    }
    let mut rest = rest;
    let count = take(&mut rest).map(u32::from_be_bytes)?;
    let bytes = take(&mut rest).map(u32::from_be_bytes)?;
    let last_time = take(&mut rest).map(i64::from_be_bytes)?;
    let ended_total = take(&mut rest).map(u64::from_be_bytes)?;
    let bytes_total = take(&mut rest).map(u64::from_be_bytes)?;
    Ok(Head { count, last_time: Time::from_micros(last_time), bytes, ended_total, bytes_total })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Error> {
    let (first, others) = rest.split_first_chunk::<N>().ok_or_else(damaged)?;
    *rest = others;
    Ok(*first)
}

fn damaged() -> Error {
    Error::Corrupt { detail: "a group of history entries cannot be read".to_owned() }
}

/// Packs groups; keeps its buffers from one to the next.
pub(super) struct Packer {
    table: CompressTable,
    raw: Vec<u8>,
    /// The leaves of the entries that were packed last, in the ledger's tree.
    pub(super) leaves: Vec<Digest>,
    /// The group of headers that was packed last.
    pub(super) headers: Vec<u8>,
    /// The group of payloads that was packed last.
    pub(super) payloads: Vec<u8>,
}

impl Packer {
    /// A packer with empty buffers.
    pub(super) fn new() -> Packer {
        Packer {
            table: CompressTable::large(),
            raw: Vec::new(),
            leaves: Vec::new(),
            headers: Vec::new(),
            payloads: Vec::new(),
        }
    }

    /// The compressor's table, for others that compress.
    pub(super) fn table(&mut self) -> &mut CompressTable {
        &mut self.table
    }

    /// Packs entries into [`Packer::headers`] and [`Packer::payloads`]. `totals` are those before this group; answers
    /// those after it: the bytes of history ever written.
    pub(super) fn pack(&mut self, entries: &[Entry], ended_total: u64, bytes_before: u64) -> Result<u64, Error> {
        let count = u32::try_from(entries.len()).map_err(|_| damaged())?;
        self.raw.clear();
        for entry in entries {
            self.raw.extend_from_slice(&entry.salt);
            let length = u32::try_from(entry.payload.len()).map_err(|_| damaged())?;
            self.raw.extend_from_slice(&length.to_be_bytes());
            self.raw.extend_from_slice(&entry.payload);
        }
        self.payloads.clear();
        self.payloads.push(VERSION);
        self.payloads.extend_from_slice(&count.to_be_bytes());
        compress(&mut self.table, &self.raw, &mut self.payloads)?;
        self.raw.clear();
        self.leaves.clear();
        for entry in entries {
            let start = self.raw.len();
            serde_json::to_writer(&mut self.raw, &entry.header).map_err(|_| damaged())?;
            self.leaves.push(leaf_of(&self.raw[start..]));
            self.raw.push(b'\n');
        }
        self.headers.clear();
        self.headers.resize(HEAD_BYTES, VERSION);
        compress(&mut self.table, &self.raw, &mut self.headers)?;
        let bytes = u32::try_from(self.headers.len() + self.payloads.len()).map_err(|_| damaged())?;
        let last_time = entries.last().map_or(Time::EPOCH, |entry| entry.header.time);
        let total = bytes_before + u64::from(bytes);
        let head = &mut self.headers;
        head[1..5].copy_from_slice(&count.to_be_bytes());
        head[5..9].copy_from_slice(&bytes.to_be_bytes());
        head[9..17].copy_from_slice(&last_time.micros().to_be_bytes());
        head[17..25].copy_from_slice(&ended_total.to_be_bytes());
        head[25..33].copy_from_slice(&total.to_be_bytes());
        Ok(total)
    }
}

/// Appends the length of `raw` and its compressed form.
pub(super) fn compress(table: &mut CompressTable, raw: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let length = u32::try_from(raw.len()).map_err(|_| damaged())?;
    out.extend_from_slice(&length.to_be_bytes());
    let start = out.len();
    out.resize(start + get_maximum_output_size(raw.len()), 0);
    let written = compress_into_with_table(raw, &mut out[start..], table).map_err(|_| damaged())?;
    out.truncate(start + written);
    Ok(())
}

/// Reads what [`compress`] appended.
pub(super) fn expand(stored: &[u8]) -> Result<Vec<u8>, Error> {
    let mut rest = stored;
    let length = take(&mut rest).map(u32::from_be_bytes)? as usize;
    if length > rest.len().saturating_mul(EXPANSION_MAX) {
        return Err(damaged());
    }
    let raw = decompress(rest, length).map_err(|_| damaged())?;
    if raw.len() == length { Ok(raw) } else { Err(damaged()) }
}

/// A group that was read.
#[derive(Debug)]
pub(super) struct Group {
    /// Its first entry.
    pub(super) first: u64,
    headers: Vec<u8>,
    header_ends: Vec<usize>,
    payloads: Vec<u8>,
    /// Where each entry's salt begins in `payloads`; empty when the payloads were dropped.
    starts: Vec<usize>,
}

impl Group {
    /// Reads a group from its two stored halves.
    pub(super) fn read(first: u64, headers: &[u8], payloads: Option<&[u8]>) -> Result<Group, Error> {
        let count = head(headers)?.count as usize;
        let raw_headers = expand(headers.get(HEAD_BYTES..).ok_or_else(damaged)?)?;
        let header_ends: Vec<usize> =
            raw_headers.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
        let raw = match payloads {
            Some(stored) => expand(stored.get(PAYLOAD_HEAD_BYTES..).ok_or_else(damaged)?)?,
            None => Vec::new(),
        };
        let mut starts = Vec::new();
        let mut at = 0;
        while at < raw.len() {
            starts.push(at);
            let mut rest = raw.get(at + size_of::<Salt>()..).ok_or_else(damaged)?;
            let length = take(&mut rest).map(u32::from_be_bytes)? as usize;
            at += size_of::<Salt>() + 4 + length;
        }
        if header_ends.len() != count || (payloads.is_some() && starts.len() != count) || at != raw.len() {
            return Err(damaged());
        }
        Ok(Group { first, headers: raw_headers, header_ends, payloads: raw, starts })
    }

    /// The entry after its last.
    pub(super) fn end(&self) -> u64 {
        self.first + self.header_ends.len() as u64
    }

    /// The header of an entry as it is stored.
    fn header_json(&self, index: usize) -> Result<&[u8], Error> {
        let from = if index == 0 { 0 } else { self.header_ends[index - 1] + 1 };
        self.headers.get(from..self.header_ends[index]).ok_or_else(damaged)
    }

    /// The leaf of an entry in the ledger's tree.
    pub(super) fn leaf(&self, seq: Seq) -> Result<Digest, Error> {
        Ok(leaf_of(self.header_json(self.index(seq).ok_or_else(damaged)?)?))
    }

    /// The header of an entry.
    pub(super) fn header(&self, seq: Seq) -> Result<Option<Header>, Error> {
        let Some(index) = self.index(seq) else { return Ok(None) };
        let json = self.header_json(index)?;
        let header: Header = serde_json::from_slice(json).map_err(|_| damaged())?;
        if header.seq == seq { Ok(Some(header)) } else { Err(damaged()) }
    }

    /// An entry by its place, whatever its header says; for verification.
    pub(super) fn found(&self, place: u64) -> Found {
        let header = self.index(Seq(place)).and_then(|index| {
            let json = self.header_json(index).ok()?;
            Some((serde_json::from_slice::<Header>(json).ok()?, leaf_of(json)))
        });
        let payload = match (self.index(Seq(place)).map(|index| self.payload_at(index)), &header) {
            (Some(Ok(None)), _) => Payload::Dropped,
            (Some(Ok(Some((salt, payload)))), Some((header, _))) if commitment(&salt, payload) == header.payload => {
                Payload::Whole
            }
            _ => Payload::False,
        };
        Found { place: Seq(place), header, payload }
    }

    /// The salt and the payload in a place.
    fn payload_at(&self, index: usize) -> Result<Option<(Salt, &[u8])>, Error> {
        let Some(start) = self.starts.get(index).copied() else { return Ok(None) };
        let mut rest = self.payloads.get(start..).ok_or_else(damaged)?;
        let salt: Salt = take(&mut rest)?;
        let length = take(&mut rest).map(u32::from_be_bytes)? as usize;
        Ok(Some((salt, rest.get(..length).ok_or_else(damaged)?)))
    }

    /// An entry.
    pub(super) fn entry(&self, seq: Seq) -> Result<Option<StoredEntry>, Error> {
        let (Some(index), Some(header)) = (self.index(seq), self.header(seq)?) else { return Ok(None) };
        let entry = self.payload_at(index)?.map(|(salt, payload)| Entry {
            header: header.clone(),
            salt,
            payload: payload.to_vec(),
        });
        Ok(Some(StoredEntry { header, entry }))
    }

    fn index(&self, seq: Seq) -> Option<usize> {
        let index = usize::try_from(seq.0.checked_sub(self.first)?).ok()?;
        (index < self.header_ends.len()).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Actor;
    use model::history::EntryKind;

    fn entries() -> Vec<Entry> {
        (7..17_u64)
            .map(|n| {
                let who = ("n1".to_owned(), Actor::System);
                let payload = vec![b'x'; n as usize * 100 - 700];
                Entry::new(
                    EntryKind::Server,
                    (Seq(n), Time::from_millis(n as i64)),
                    who,
                    "line\nbreak".into(),
                    [1; 16],
                    payload,
                )
            })
            .collect()
    }

    #[test]
    fn entries_are_read_back_as_packed() {
        let mut packer = Packer::new();
        let total = packer.pack(&entries(), 5, 1000).unwrap();
        let said = head(&packer.headers).unwrap();
        assert_eq!(
            (said.count, said.last_time, said.ended_total, said.bytes_total),
            (10, Time::from_millis(16), 5, total)
        );
        assert_eq!(total, 1000 + (packer.headers.len() + packer.payloads.len()) as u64);
        let group = Group::read(7, &packer.headers, Some(&packer.payloads)).unwrap();
        for entry in entries() {
            let stored = group.entry(entry.header.seq).unwrap().unwrap();
            assert_eq!((stored.header, stored.entry), (entry.header.clone(), Some(entry)));
        }
        assert_eq!(group.end(), 17);
        assert!(group.entry(Seq(6)).unwrap().is_none() && group.entry(Seq(17)).unwrap().is_none());
        let headers_only = Group::read(7, &packer.headers, None).unwrap();
        assert_eq!(headers_only.entry(Seq(9)).unwrap().unwrap().entry, None);
    }

    #[test]
    fn a_damaged_group_is_an_error_and_not_a_panic() {
        let mut packer = Packer::new();
        packer.pack(&entries(), 0, 0).unwrap();
        for cut in 0..packer.payloads.len() {
            assert!(Group::read(7, &packer.headers, Some(&packer.payloads[..cut])).is_err());
        }
        for cut in 0..packer.headers.len() {
            assert!(Group::read(7, &packer.headers[..cut], None).is_err());
        }
    }
}
