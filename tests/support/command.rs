//! The command line, run to its end.

use std::io::Write as _;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Folder;

/// The binary under test.
pub(crate) const SORTIE: &str = env!("CARGO_BIN_EXE_sortie");
/// How long a command may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its data.
    pub(crate) stdout: String,
    /// Its talk.
    pub(crate) stderr: String,
}

impl Ended {
    /// The same, if it ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Ended {
        assert_eq!(self.status.code(), Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Its data as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

/// Runs `sortie` in a folder.
#[track_caller]
pub(crate) fn sortie(folder: &Folder, arguments: &[&str]) -> Ended {
    run(command(folder).args(arguments), b"")
}

/// Runs `sortie` in a folder with something on its standard input.
#[track_caller]
pub(crate) fn sortie_with_input(folder: &Folder, arguments: &[&str], input: &[u8]) -> Ended {
    run(command(folder).args(arguments), input)
}

/// `sortie` in a folder, with nothing of this machine's environment that would change what it does.
pub(crate) fn command(folder: &Folder) -> Command {
    let mut command = Command::new(SORTIE);
    command.current_dir(folder.path());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SORTIE_") {
            command.env_remove(name);
        }
    }
    command
}

/// The same, started by a shell after these commands of it. The process is the same one: its id, its signals.
pub(crate) fn shell(folder: &Folder, commands: &str) -> Command {
    let plain = command(folder);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{commands}; exec \"$0\" \"$@\"")).arg(SORTIE).current_dir(folder.path());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Runs a command to its end, which must come.
#[track_caller]
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // A command that does not read its input closes the pipe.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let id = child.id();
    let waiting = std::thread::spawn(move || child.wait_with_output());
    let end = Instant::now() + COMMAND_PATIENCE;
    while !waiting.is_finished() {
        if Instant::now() >= end {
            signal(id, "KILL");
            panic!("did not end within {COMMAND_PATIENCE:?}: {command:?}");
        }
        std::thread::sleep(super::LOOK_EVERY);
    }
    let Output { status, stdout, stderr } = waiting.join().expect("the waiting thread").expect("an output");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ended { status, stdout: text(stdout), stderr: text(stderr) }
}

/// Sends a signal to a process that we started.
pub(crate) fn signal(id: u32, name: &str) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status().expect("a shell");
    assert!(sent.success(), "kill -{name} {id}");
}
