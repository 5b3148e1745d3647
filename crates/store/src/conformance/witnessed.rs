//! Commits whose every effect can be looked for afterwards, from nothing but their number: for tests that close, kill or
//! copy a store and must find everything that was acknowledged.

use std::time::Duration;

use model::run::RunStatus;
use model::{Digest, Kind, RunId, Seq};

use super::build::{self, Draft};
use crate::api::{Error, Expect, Store, Window};

/// Makes the next commit. It has one entry, and that entry's number says everything else about it.
///
/// # Errors
/// What the store answers.
pub fn write(store: &dyn Store) -> Result<Seq, Error> {
    let mut draft = Draft::on(store);
    let seq = draft.entry(&payload(store.next_seq()));
    let until = draft.time.plus(Duration::from_secs(86_400));
    let id = format!("A-{seq}");
    draft.commit.objects.push((build::key(Kind::Alert, &id), build::object(&id, seq.0 as usize % 9_000, draft.time)));
    let mut claim = build::claim(0, seq, until);
    claim.key[..8].copy_from_slice(&seq.0.to_be_bytes());
    draft.commit.claims.push(claim);
    draft.commit.windows.push(Window { key: format!("w/{seq}"), until: Some(until) });
    draft.commit.marks.push((format!("m/{seq}"), Some(seq.0.to_be_bytes().to_vec())));
    draft.commit.texts.push((Digest::of(&seq.0.to_be_bytes()), payload(seq)));
    let run = draft.start(seq, 0, "p");
    if seq.0.is_multiple_of(2) {
        let time = draft.time;
        draft.write(build::moved(&run, RunStatus::Failed, seq, time), Expect::Version(0));
    }
    draft.commit(store)?;
    Ok(seq)
}

fn payload(seq: Seq) -> Vec<u8> {
    format!("{{\"seq\":{seq},\"pad\":\"{}\"}}", "p".repeat(seq.0 as usize * 31 % 3_000)).into_bytes()
}

/// Sees that everything of commit `seq` is there.
pub fn check(store: &dyn Store, seq: Seq) {
    let now = store.now();
    let entry = store.entry(seq).unwrap().unwrap_or_else(|| panic!("entry {seq} is lost")).entry.unwrap();
    assert!(entry.verifies());
    assert_eq!(entry.payload, payload(seq));
    let id = format!("A-{seq}");
    let object = store.object(&build::key(Kind::Alert, &id)).unwrap().unwrap();
    assert_eq!(object.record["name"].as_str().map(str::len), Some(seq.0 as usize % 9_000));
    let mut key = [0; 16];
    key[..8].copy_from_slice(&seq.0.to_be_bytes());
    assert_eq!(store.claim(&key, now).unwrap().unwrap().by, seq);
    assert!(store.window(&format!("w/{seq}"), now).unwrap().is_some());
    assert_eq!(store.mark(&format!("m/{seq}")).unwrap().unwrap(), seq.0.to_be_bytes());
    assert_eq!(store.text(&Digest::of(&seq.0.to_be_bytes())).unwrap().unwrap(), payload(seq));
    let run = store.run(RunId { seq, n: 0, tag: 0xab }).unwrap().unwrap();
    assert_eq!(run.status, if seq.0.is_multiple_of(2) { RunStatus::Failed } else { RunStatus::Queued });
}
