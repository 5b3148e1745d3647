//! `kill -9` at any moment: what was acknowledged is there, whole, and nothing else is half there.
//!
//! A round starts this test binary once more as a writer, which says the number of each commit once it is acknowledged,
//! and kills it somewhere in the middle.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use model::Seq;
use store::conformance::witnessed;
use store::{Durability, Options, Sled, Store};

const FOLDER: &str = "STORE_KILL_FOLDER";
const FLUSH: &str = "STORE_KILL_FLUSH";

fn options(durability: Durability) -> Options {
    Options { durability, cache_bytes: 8 << 20, reserve_bytes: 0, ..Options::default() }
}

/// Does nothing unless a round has started it: then it writes until it is killed.
#[test]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let durability = if std::env::var_os(FLUSH).is_some() { Durability::Process } else { Durability::Nothing };
    let store = Sled::open(Path::new(&folder), options(durability)).unwrap();
    let mut out = std::io::stdout();
    loop {
        let seq = witnessed::write(&store).unwrap();
        writeln!(out, "acknowledged {seq}").and_then(|()| out.flush()).unwrap();
    }
}

/// Runs a writer, kills it after so many commits, and answers the last one that was acknowledged.
fn killed(folder: &Path, flush: bool, after: usize) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["writer", "--exact", "--nocapture"]).env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null());
    if flush {
        command.env(FLUSH, "yes");
    }
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged =
        lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
    let mut last: u64 = acknowledged.by_ref().take(after).last().unwrap();
    child.kill().unwrap();
    last = acknowledged.last().unwrap_or(last);
    child.wait().unwrap();
    last
}

/// What is left: every commit up to the last is whole.
fn left(folder: &Path, from: u64) -> u64 {
    let store = Sled::open(folder, options(Durability::Process)).unwrap();
    let next = store.next_seq().0;
    (from..next).for_each(|seq| witnessed::check(&store, Seq(seq)));
    assert_eq!(store.verify().unwrap().entries, next - 1);
    next - 1
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut from = 1;
    for round in 0..12 {
        let acknowledged = killed(dir.path(), true, 1 + round * 23 % 90);
        let left = left(dir.path(), from);
        assert!(left >= acknowledged, "round {round}: {acknowledged} was acknowledged, {left} is left");
        from = left + 1;
    }
}

#[test]
fn without_the_flush_something_acknowledged_is_lost() {
    let lost = (0..10).any(|round| {
        let dir = tempfile::tempdir().unwrap();
        let acknowledged = killed(dir.path(), false, 20 + round);
        left(dir.path(), 1) < acknowledged
    });
    assert!(lost, "the other test would not notice");
}
