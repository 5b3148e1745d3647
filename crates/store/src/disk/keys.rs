//! Where everything lies in the one tree: a byte for the keyspace, then the key.
//!
//! Invariants: a keyspace's byte is for ever; a retired one is never used again. Numbers are big endian, so that the
//! order of keys is the order of numbers. Two different things never have the same key.

use model::{Digest, ObjectKey, RunId, Seq};

/// The number of the format. A folder with a higher one was written by a newer version; one with a lower one is upgraded,
/// after a backup of how it was. 1: the first. 2: tries of actions leave commitments of redacted values; retention records
/// what it drops before it does; texts of playbooks can wait for a second person.
pub(super) const FORMAT: u32 = 2;

/// What a key is about. The bytes are stored: never change one, never use one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Keyspace {
    /// The store's own small values.
    Own = b'!',
    /// Full blocks of objects' older history.
    ObjectBlock = b'b',
    /// Claims.
    Claim = b'c',
    /// Runs that have ended.
    RunEnded = b'e',
    /// Pieces of files of objects.
    File = b'f',
    /// Groups of entries' headers.
    Headers = b'h',
    /// Runs by playbook, in blocks.
    PlaybookBlock = b'i',
    /// Full tiles of the ledger.
    Tile = b'l',
    /// Tallies.
    Tally = b'k',
    /// Named values.
    Mark = b'm',
    /// New runs, packed by the commit that created them.
    RunPack = b'n',
    /// Objects.
    Object = b'o',
    /// Groups of entries' payloads.
    Payloads = b'p',
    /// Runs that have not ended.
    RunOpen = b'r',
    /// Ended runs by the statuses that people look for.
    RunStatus = b's',
    /// Texts by digest.
    Text = b't',
    /// Windows.
    Window = b'w',
    /// The further pieces of large values.
    Piece = b'z',
}

/// The format's number, four bytes.
pub(super) const FORMAT_KEY: &[u8] = &[Keyspace::Own as u8, b'f'];
/// How often the store was opened, eight bytes.
pub(super) const BOOT_KEY: &[u8] = &[Keyspace::Own as u8, b'b'];
/// What retention has dropped so far, JSON.
pub(super) const SWEPT_KEY: &[u8] = &[Keyspace::Own as u8, b's'];
/// Totals as of a commit without entries, JSON.
pub(super) const TOTALS_KEY: &[u8] = &[Keyspace::Own as u8, b't'];

/// The longest part of a key that stands as it is, in bytes; a longer one stands as its digest.
const PLAIN_BYTES_MAX: usize = 200;

/// The first entry that the ledger covers, eight bytes.
pub(super) const LEDGER_KEY: &[u8] = &[Keyspace::Own as u8, b'l'];
/// The leaves of the ledger's unfinished tile whose entries were dropped: the tile's number, and the hashes.
pub(super) const ASIDE_KEY: &[u8] = &[Keyspace::Own as u8, b'a'];

/// A run's place: the entry that created it, and its number there.
pub(super) type RunKey = (Seq, u16);

/// The place of a run.
pub(super) fn run_key(id: RunId) -> RunKey {
    (id.seq, id.n)
}

/// A key that starts a keyspace.
pub(super) fn start(space: Keyspace) -> [u8; 1] {
    [space as u8]
}

/// The key of a group of entries.
pub(super) fn group(space: Keyspace, first: u64) -> [u8; 9] {
    let mut key = [space as u8; 9];
    key[1..].copy_from_slice(&first.to_be_bytes());
    key
}

/// The first entry of the group with this key.
pub(super) fn group_first(key: &[u8]) -> Option<u64> {
    key.get(1..9)?.try_into().ok().map(u64::from_be_bytes)
}

/// The key of a run, open or ended.
pub(super) fn run(space: Keyspace, (seq, n): RunKey) -> [u8; 11] {
    let mut key = [space as u8; 11];
    key[1..9].copy_from_slice(&seq.0.to_be_bytes());
    key[9..].copy_from_slice(&n.to_be_bytes());
    key
}

/// The run that a key ends with.
pub(super) fn run_of(key: &[u8]) -> Option<RunKey> {
    let (seq, n) = key.get(key.len().checked_sub(10)?..)?.split_at(8);
    Some((Seq(u64::from_be_bytes(seq.try_into().ok()?)), u16::from_be_bytes(n.try_into().ok()?)))
}

/// The key of an ended run under its status.
pub(super) fn run_status(status: u8, (seq, n): RunKey) -> [u8; 12] {
    let mut key = [Keyspace::RunStatus as u8; 12];
    key[1] = status;
    key[2..10].copy_from_slice(&seq.0.to_be_bytes());
    key[10..].copy_from_slice(&n.to_be_bytes());
    key
}

/// The key of a tile of the ledger.
pub(super) fn tile(level: u8, index: u64) -> [u8; 10] {
    let mut key = [Keyspace::Tile as u8; 10];
    key[1] = level;
    key[2..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The key of a claim.
pub(super) fn claim(key: &[u8; 16]) -> [u8; 17] {
    let mut full = [Keyspace::Claim as u8; 17];
    full[1..].copy_from_slice(key);
    full
}

/// The key of a text.
pub(super) fn text(digest: &Digest) -> [u8; 33] {
    let mut full = [Keyspace::Text as u8; 33];
    full[1..].copy_from_slice(&digest.0);
    full
}

/// The key of a named value.
pub(super) fn mark(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(Keyspace::Mark as u8);
    key.extend_from_slice(name.as_bytes());
    key
}

/// The key of a window.
pub(super) fn window(name: &str) -> Vec<u8> {
    let mut key = vec![Keyspace::Window as u8];
    part(&mut key, name.as_bytes());
    key
}

/// The key of a tally.
pub(super) fn tally(name: &str) -> Vec<u8> {
    let mut key = vec![Keyspace::Tally as u8];
    part(&mut key, name.as_bytes());
    key
}

/// The key of an object.
pub(super) fn object(object: &ObjectKey) -> Vec<u8> {
    let mut key = object_prefix(Keyspace::Object, object.kind, &object.id);
    part(&mut key, object.tenant.as_bytes());
    key
}

/// The start of the keys of all objects of a kind.
pub(super) fn objects_of(kind: model::Kind) -> Vec<u8> {
    let mut key = object_prefix(Keyspace::Object, kind, "");
    key.truncate(2);
    key
}

/// The id and the tenant in an object's key. An id that is kept as its digest is `own`, as the object has it.
pub(super) fn object_of(key: &[u8], own: Option<&str>) -> Option<(String, String)> {
    let (id, rest) = read_part(key.get(2..)?)?;
    let (tenant, _) = read_part(rest)?;
    Some((id.or_else(|| own.map(str::to_owned))?, tenant?))
}

/// Reads what [`part`] appended: the text, or nothing where it stands as its digest; and the rest.
fn read_part(bytes: &[u8]) -> Option<(Option<String>, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    if *length == u8::MAX {
        return Some((None, rest.get(32..)?));
    }
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((Some(String::from_utf8_lossy(text).into_owned()), rest))
}

/// The start of the keys of all objects of this kind and id, whatever their tenant.
pub(super) fn object_prefix(space: Keyspace, kind: model::Kind, id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.len() + 24);
    key.push(space as u8);
    key.push(match kind {
        model::Kind::Alert => b'a',
        model::Kind::Case => b'c',
        model::Kind::Entity => b'e',
    });
    part(&mut key, id.as_bytes());
    key
}

/// The key of a full block of an object's history.
pub(super) fn object_block(object: &ObjectKey, first: Seq) -> Vec<u8> {
    let mut key = object_blocks(object);
    key.extend_from_slice(&first.0.to_be_bytes());
    key
}

/// The start of the keys of all blocks of an object's history.
pub(super) fn object_blocks(object: &ObjectKey) -> Vec<u8> {
    let mut key = object_prefix(Keyspace::ObjectBlock, object.kind, &object.id);
    part(&mut key, object.tenant.as_bytes());
    key
}

/// The key of a piece of an object's file.
pub(super) fn file(object: &ObjectKey, file: u64, n: u32) -> Vec<u8> {
    let mut key = object_prefix(Keyspace::File, object.kind, &object.id);
    part(&mut key, object.tenant.as_bytes());
    key.extend_from_slice(&file.to_be_bytes());
    key.extend_from_slice(&n.to_be_bytes());
    key
}

/// The start of the keys of a playbook's blocks.
pub(super) fn playbook(id: &str) -> Vec<u8> {
    let mut key = vec![Keyspace::PlaybookBlock as u8];
    part(&mut key, id.as_bytes());
    key
}

/// The key of a playbook's block that starts with this run.
pub(super) fn playbook_block(id: &str, first: RunKey) -> Vec<u8> {
    let mut key = playbook(id);
    key.extend_from_slice(&run(Keyspace::PlaybookBlock, first)[1..]);
    key
}

/// The key of a further piece of the value under `key`.
pub(super) fn piece(key: &[u8], number: u16) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 3);
    full.push(Keyspace::Piece as u8);
    full.extend_from_slice(key);
    full.extend_from_slice(&number.to_be_bytes());
    full
}

/// Appends a text of any length such that no two different lists of parts give the same bytes.
fn part(key: &mut Vec<u8>, text: &[u8]) {
    match u8::try_from(text.len()) {
        Ok(length) if text.len() <= PLAIN_BYTES_MAX => {
            key.push(length);
            key.extend_from_slice(text);
        }
        _ => {
            key.push(u8::MAX);
            key.extend_from_slice(&Digest::of(text).0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_objects_have_different_keys_whatever_their_names_hold() {
        let object =
            |tenant: &str, id: &str| ObjectKey { tenant: tenant.into(), kind: model::Kind::Case, id: id.into() };
        let long = "x".repeat(300);
        let all = [
            object("a", "b"),
            object("a\0", "b"),
            object("a", "\0b"),
            object("", "ab"),
            object("ab", ""),
            object("a", &long),
            object(&long, "a"),
            object("a", &format!("{long}x")),
        ];
        let keys: std::collections::BTreeSet<Vec<u8>> = all.iter().map(super::object).collect();
        assert_eq!(keys.len(), all.len());
        assert!(keys.iter().all(|key| key.len() < 300));
    }

    #[test]
    fn the_order_of_keys_is_the_order_of_runs() {
        let small = run(Keyspace::RunEnded, (Seq(255), 9));
        let large = run(Keyspace::RunEnded, (Seq(256), 0));
        assert!(small < large);
        assert_eq!(run_of(&large), Some((Seq(256), 0)));
        assert_eq!(run_of(&playbook_block("p", (Seq(7), 3))), Some((Seq(7), 3)));
    }
}
