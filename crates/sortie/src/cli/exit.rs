//! How a command ends: the exit codes, and the errors that lead to them.

use playbook::Diagnostic;

use crate::{http, serve};

/// The exit codes. Scripts rely on the numbers: they are never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// Done.
    Ok = 0,
    /// A bug in Sortie.
    Bug = 1,
    /// The command was not understood.
    Usage = 2,
    /// A playbook or another file is invalid.
    Invalid = 3,
    /// The store cannot be used.
    Store = 4,
    /// A run or a test failed.
    Failed = 5,
    /// The server refused, or cannot be reached.
    Server = 6,
}

/// Why a command did not do what was asked. The message says what is wrong, the help what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The arguments do not fit together, or one cannot be read.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        help: String,
    },
    /// A file cannot be used.
    #[error("cannot use {path}: {message}")]
    File {
        /// Which file.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// Files that people wrote are wrong.
    #[error("{}", count(diagnostics))]
    Invalid {
        /// Everything that is wrong.
        diagnostics: Vec<Diagnostic>,
    },
    /// Files were checked, and what is wrong was told.
    #[error("{} found", if *errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") })]
    Checked {
        /// How many errors.
        errors: usize,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The server answered with an error.
    #[error("{server} refused: {detail}")]
    Refused {
        /// Who refused: the server at an address, or the engine of this process.
        server: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        detail: String,
    },
    /// A server runs on the data folder.
    #[error("a server runs on the data folder {folder} already")]
    Running {
        /// The folder.
        folder: String,
        /// Where it listens.
        url: String,
    },
    /// There is neither a data folder nor a server.
    #[error("there is no data folder {folder}, and no server was named")]
    NoData {
        /// The folder.
        folder: String,
    },
    /// The server does not answer.
    #[error("cannot reach the server at {server}: {why}")]
    Unreachable {
        /// Where it should be.
        server: String,
        /// Why not.
        why: String,
    },
    /// A run or a check failed; what failed was already told.
    #[error("{message}")]
    Failed {
        /// What failed, in one sentence.
        message: String,
    },
    /// The start failed for another reason.
    #[error("cannot start: {message}")]
    Start {
        /// What is wrong.
        message: String,
        /// What to do.
        help: String,
    },
    /// `doctor` found something; what was told.
    #[error("{}", if *count == 1 { "1 thing needs a person".to_owned() } else { format!("{count} things need a person") })]
    Unwell {
        /// How much.
        count: usize,
        /// The exit code of the first.
        code: ExitCode,
    },
    /// Tests of playbooks failed; what differs was told.
    #[error("{failed} of {of} tests failed")]
    TestsFailed {
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
    },
    /// The store failed while the server was running.
    #[error("the server ended, because the store failed: {detail}")]
    Broke {
        /// What had failed.
        detail: String,
    },
    /// A second Ctrl-C.
    #[error("stopped at once; what did not finish is resumed at the next start")]
    AtOnce,
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Error::Usage { .. } => ExitCode::Usage,
            Error::File { .. } | Error::Invalid { .. } | Error::Checked { .. } => ExitCode::Invalid,
            Error::Store(_) | Error::Broke { .. } | Error::NoData { .. } | Error::Running { .. } => ExitCode::Store,
            Error::Refused { .. } | Error::Unreachable { .. } | Error::Start { .. } => ExitCode::Server,
            Error::Failed { .. } | Error::TestsFailed { .. } | Error::AtOnce => ExitCode::Failed,
            Error::Unwell { code, .. } => *code,
            Error::Output(_) => ExitCode::Bug,
        }
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> Option<String> {
        let help = match self {
            Error::Usage { help, .. } | Error::Start { help, .. } => help.clone(),
            Error::Broke { .. } => {
                "look at the log, then at the disk; `sortie doctor` checks the data folder".to_owned()
            }
            Error::File { .. }
            | Error::Output(_)
            | Error::Failed { .. }
            | Error::TestsFailed { .. }
            | Error::Unwell { .. }
            | Error::AtOnce => return None,
            Error::Checked { .. } => "`sortie explain-code CODE` tells more about each".to_owned(),
            Error::Invalid { diagnostics } => {
                let code = diagnostics.first()?.code;
                format!("`sortie explain-code {code}` tells more about the first one")
            }
            Error::Store(error) => store_help(error)?.to_owned(),
            Error::Refused { status: 401, .. } => {
                "set SORTIE_TOKEN, or run this where the server's `admin.token` can be read".to_owned()
            }
            Error::Refused { status: 403, .. } => {
                "the token's role does not allow it; `sortie tokens list` shows who may do what".to_owned()
            }
            Error::Refused { .. } => return None,
            Error::Running { url, .. } => {
                format!("talk to it at {url} (every command finds it there by itself), or stop it first")
            }
            Error::NoData { .. } => {
                "run this beside the server's sortie.yaml, name the folder with --data, or the server with --server URL"
                    .to_owned()
            }
            Error::Unreachable { .. } => {
                "start it with `sortie serve`, or say where it is with --server URL or SORTIE_SERVER".to_owned()
            }
        };
        Some(help)
    }
}

impl From<serve::Error> for Error {
    fn from(error: serve::Error) -> Error {
        let message = error.to_string();
        let start = |help: &str| Error::Start { message: message.clone(), help: help.to_owned() };
        match error {
            serve::Error::Invalid(diagnostics) => Error::Invalid { diagnostics },
            serve::Error::Store(error) | serve::Error::Engine(engine::StartError::Store(error)) => Error::Store(error),
            serve::Error::AtOnce => Error::AtOnce,
            serve::Error::Listen { .. } => {
                start("another program listens there, or this user may not; choose another with --listen")
            }
            serve::Error::Failed(detail) => Error::Broke { detail },
            serve::Error::Playbooks { .. } => start("name the folder with --playbooks, or make it readable"),
            serve::Error::Vault(_) => start(
                "give the master key under which the secrets were kept: `secrets.key` of the old data folder, `secrets_key` of the \
                 configuration, or SORTIE_SECRETS_KEY",
            ),
            serve::Error::Commitments(_) => {
                start("see to the file `commitments.key` in the data folder: it must be readable and whole, or absent")
            }
            serve::Error::Outbound(_) => start("correct `egress` in the configuration"),
            serve::Error::Ledger(_) => {
                start("see to the file of the signing key: it must be readable and whole, or absent")
            }
            serve::Error::Engine(_) | serve::Error::Http(_) | serve::Error::System { .. } => {
                start("`sortie doctor` looks at everything that usually goes wrong")
            }
            serve::Error::Evaluator(_) => start("this build is broken; please report it"),
        }
    }
}

impl From<http::StartError> for Error {
    fn from(error: http::StartError) -> Error {
        serve::Error::from(error).into()
    }
}

fn store_help(error: &store::Error) -> Option<&'static str> {
    Some(match error {
        store::Error::InUse { .. } => {
            "a server runs on it: talk to that one with --server URL (or stop it first); `sortie doctor` tells where it listens"
        }
        store::Error::Corrupt { .. } => {
            "nothing was changed; keep the folder as it is, restore a backup into a new one: `sortie restore FILE --data DIR`"
        }
        store::Error::Newer { .. } => "use the version of Sortie that wrote it, or a newer one",
        store::Error::Full { .. } => "make room on the disk; events are accepted again by themselves",
        store::Error::Io { .. } => "check that the folder exists and that this user may read and write it",
        _ => return None,
    })
}

fn count(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|d| d.severity == playbook::Severity::Error).count();
    if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_are_the_documented_ones() {
        let store = Error::Store(store::Error::InUse { path: "data".into() });
        assert_eq!(store.code() as u8, 4);
        assert!(store.help().unwrap().contains("--server"));
        assert_eq!(Error::Invalid { diagnostics: Vec::new() }.code() as u8, 3);
        assert_eq!(Error::Unreachable { server: "x".into(), why: "y".into() }.code() as u8, 6);
        assert_eq!(Error::Failed { message: "x".into() }.code() as u8, 5);
        assert_eq!(Error::Usage { message: "x".into(), help: "y".into() }.code() as u8, 2);
    }
}
