//! Where what is in force comes from: the digests of the files that were read, and, where the playbooks lie in a git
//! checkout, the commit and its author. Recorded at every start and reload.
//!
//! Invariant: git is only asked, with a deadline and with nothing of the repository's own configuration that could run a
//! program; a checkout that does not answer is told as such and holds nobody up.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use model::Digest;
use serde_json::{Map, Value, json};

use crate::config::Config;

/// How long git may take for one answer.
const GIT_PATIENCE: Duration = Duration::from_secs(3);
/// How often there is a look whether it has answered.
const GIT_LOOK: Duration = Duration::from_millis(10);
/// Bytes of an answer that are read.
const GIT_BYTES_MAX: u64 = 64 * 1024;

/// What there is to record.
pub(super) fn of(config: &Config) -> Value {
    let mut files = Map::new();
    let mut add = |path: &Path| {
        if let Ok(bytes) = std::fs::read(path) {
            files.insert(path.display().to_string(), json!(Digest::of(&bytes)));
        }
    };
    config.file.iter().for_each(|path| add(path));
    add(&config.destinations);
    let mut value = json!({ "what": "files read", "version": env!("CARGO_PKG_VERSION"), "files": files });
    if let Some(git) = git(&config.playbooks) {
        value["git"] = git;
    }
    value
}

/// The commit of the checkout that a folder lies in; nothing when it lies in none.
fn git(folder: &Path) -> Option<Value> {
    let inside = folder.ancestors().any(|folder| folder.join(".git").exists());
    if !inside {
        return None;
    }
    let Some(said) = ask(folder, &["log", "-1", "--format=%H%n%an <%ae>%n%cI"]) else {
        return Some(json!({ "unknown": "git did not answer" }));
    };
    let mut lines = said.lines().map(str::to_owned);
    let (commit, author, time) = (lines.next(), lines.next(), lines.next());
    let changed = ask(folder, &["status", "--porcelain", "--", "."]);
    let uncommitted =
        changed.map(|list| list.lines().filter_map(|line| line.get(3..)).map(str::to_owned).collect::<Vec<_>>());
    Some(json!({ "commit": commit, "author": author, "time": time, "uncommitted": uncommitted }))
}

/// Asks git one thing about a folder.
pub(super) fn ask(folder: &Path, question: &[&str]) -> Option<String> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-optional-locks"])
        .args(question)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut out = child.stdout.take()?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        (&mut out).take(GIT_BYTES_MAX).read_to_string(&mut text).map(|_| text)
    });
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < GIT_PATIENCE => std::thread::sleep(GIT_LOOK),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let text = reader.join().ok()?.ok()?;
    status.success().then_some(text)
}
