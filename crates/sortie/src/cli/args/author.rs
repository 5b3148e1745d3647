//! The arguments of those who write playbooks and sources: check, test, try, explain.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::{Output, Show};

/// `sortie sources`.
#[derive(Debug, Subcommand)]
pub(crate) enum SourcesCommand {
    /// The shipped sources
    List(Output),
    /// The file of a shipped source, to begin one of your own with
    Show {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Which fields of an alert each shipped source fills
    Table,
}

/// `sortie check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Playbook files, or folders of them [default: the configured folder]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The destinations that playbooks may name [default: as configured; not checked when there are none]. Those that were
    /// made through the API of a server are known with --server URL
    #[arg(long, value_name = "FILE")]
    pub(crate) destinations: Option<PathBuf>,
    /// SARIF 2.1.0, for code review and scanning tools
    #[arg(long, conflicts_with = "json")]
    pub(crate) sarif: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `sortie test`.
#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// Playbook files with tests, files of tests, or folders of them [default: the configured folder]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Writes the outcome for build servers
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `sortie backtest`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("past").required(true).args(["events", "since"])))]
#[command(after_help = "Times are a period back from now (30d) or an instant (2026-03-01T00:00:00Z). Nothing is sent.")]
pub(crate) struct BacktestArguments {
    /// The folder of playbooks [default: as configured, else ./playbooks]
    #[arg(long, value_name = "DIR")]
    pub(crate) playbooks: Option<PathBuf>,
    /// A file with one event a line; their own times are the clock
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// The events that were accepted since then, of the data folder or of the running server, such as 30d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when: events from then on are left out, and time passes up to it [default: of stored events, now]
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Another version of the playbooks: only what would have been otherwise is shown
    #[arg(long, value_name = "DIR")]
    pub(crate) against: Option<PathBuf>,
    /// Reads the lines as messages of this source instead of the generic shape
    #[arg(long, value_name = "SOURCE", default_value = "generic")]
    pub(crate) source: String,
    /// One JSON object a line, then a summary: what is written in any case
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sortie dry-run`.
#[derive(Debug, Args)]
pub(crate) struct DryRunArguments {
    /// A playbook's file, or its id in the configured folder
    pub(crate) playbook: String,
    /// A file with one event in the generic shape (`-` for standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) event: PathBuf,
    /// Reads the file as a message of this source instead of the generic shape
    #[arg(long, value_name = "SOURCE", default_value = "generic")]
    pub(crate) source: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `sortie explain`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["event", "event_id"])))]
pub(crate) struct ExplainArguments {
    /// A file with one event in the generic shape (`-` for standard input); needs no server
    #[arg(long, value_name = "FILE")]
    pub(crate) event: Option<PathBuf>,
    /// The id of an event that was accepted
    #[arg(long, value_name = "ID")]
    pub(crate) event_id: Option<String>,
    /// Reads the file as a message of this source instead of the generic shape
    #[arg(long, value_name = "SOURCE", default_value = "generic")]
    pub(crate) source: String,
    /// The folder of playbooks [default: as configured, else ./playbooks]
    #[arg(long, value_name = "DIR")]
    pub(crate) playbooks: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `sortie playbooks`.
#[derive(Debug, Subcommand)]
pub(crate) enum PlaybooksCommand {
    /// Lists the loaded playbooks in the order in which they are decided
    List(Output),
    /// Shows one, with its text
    Show(Show),
    /// Switches one on; survives restarts and reloads
    Enable {
        /// The playbook
        id: String,
    },
    /// Switches one off; survives restarts and reloads
    Disable {
        /// The playbook
        id: String,
    },
}
