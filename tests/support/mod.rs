//! What the scenarios stand on.

pub(crate) mod browser;
pub(crate) mod certificate;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod folder;
pub(crate) mod mail;
pub(crate) mod receiver;
pub(crate) mod sample;
pub(crate) mod server;
pub(crate) mod sign;

use std::time::{Duration, Instant};

pub(crate) use browser::Browser;
pub(crate) use client::{Answer, Client};
pub(crate) use folder::Folder;
pub(crate) use receiver::{Receiver, Reply};
pub(crate) use server::Server;

/// How long anything may take that should take no time: generous, since tests share their machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `look` gives something; panics with `what` when it never does.
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, look).unwrap_or_else(|| panic!("did not happen within {PATIENCE:?}: {what}"))
}

/// Waits for at most `patience` until `look` gives something.
pub(crate) fn within<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Compresses as `gzip` does.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}
