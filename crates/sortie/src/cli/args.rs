//! The arguments: what can be typed, and the help that goes with it.

mod approvals;
mod audit;
mod author;
mod objects;
mod outbound;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

pub(crate) use approvals::*;
pub(crate) use audit::*;
pub(crate) use author::*;
pub(crate) use objects::*;
pub(crate) use outbound::*;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "sortie",
    version,
    about = "A SOAR playbook engine: security events in, playbooks decide, threat details out, the history proves it",
    after_help = "Exit codes: 0 ok · 1 a bug · 2 usage · 3 a playbook or file is invalid · 4 the store · 5 a run or test failed · 6 the server refused or cannot be reached\n\nNew here? `sortie demo` shows everything in fifteen seconds; `sortie init` makes a folder to start from.",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Arguments {
    /// Options that every command takes.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The configuration [default: ./sortie.yaml when it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder [default: as configured, else ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The running server, such as http://127.0.0.1:7300 [default: SORTIE_SERVER, else the configured address]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows everything in fifteen seconds: a server, sample alerts, decisions, deliveries, the history
    Demo(DemoArguments),
    /// Makes a folder to start from: a configuration, a playbook, a destination
    Init(InitArguments),
    /// Receives webhooks on this machine and shows them, to try destinations out
    Receive(ReceiveArguments),
    /// Starts the server
    Serve(ServeArguments),
    /// Checks playbooks (files or folders) and says everything that is wrong with them
    Check(CheckArguments),
    /// Carries out the tests of playbooks (files or folders); nothing is sent
    Test(TestArguments),
    /// Prints the JSON Schema of playbooks, for editors that complete and validate with it
    Schema,
    /// Says what playbooks would have decided and sent over past events; nothing is sent
    Backtest(BacktestArguments),
    /// Says what a playbook would do with an event: what would be sent where with which body; nothing is sent
    DryRun(DryRunArguments),
    /// Says which playbooks would run for an event, and which would not, and why
    Explain(ExplainArguments),
    /// Runs: what the playbooks did
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Events: what came in, and what was decided
    #[command(subcommand)]
    Events(EventsCommand),
    /// Alerts as they stand
    #[command(subcommand)]
    Alerts(ObjectsCommand),
    /// Cases as they stand
    #[command(subcommand)]
    Cases(ObjectsCommand),
    /// Deliveries: what was sent to whom, with every attempt
    #[command(subcommand)]
    Deliveries(DeliveriesCommand),
    /// Approvals: what playbooks ask people, and the answers
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// The loaded playbooks, and their switches
    #[command(subcommand)]
    Playbooks(PlaybooksCommand),
    /// The places that receive threat details
    #[command(subcommand)]
    Destinations(DestinationsCommand),
    /// Secrets that Sortie keeps, encrypted
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// The sources that come with Sortie: their files, and what they fill
    #[command(subcommand)]
    Sources(SourcesCommand),
    /// Sends all threat details of a case or an alert, by hand
    Send(SendArguments),
    /// Pauses all automation, or all that leaves; events are still accepted and decided
    Pause(PauseArguments),
    /// Lifts every pause
    Resume,
    /// Leaves an entity alone until a time: decisions about it are skipped
    Mute(MuteArguments),
    /// Ends the mute of an entity
    Unmute(EntityArguments),
    /// How the server stands, and what is held up
    Status(Output),
    /// Tokens for the API
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// Saved searches over alerts and cases
    #[command(subcommand)]
    Searches(SearchesCommand),
    /// Figures about alerts and cases: open by stage, age, time to close
    Stats(StatsArguments),
    /// Entities whose events raise the priority
    #[command(subcommand)]
    Watchlist(WatchlistCommand),
    /// Rules by which detections that arrive on their own become alerts
    #[command(subcommand)]
    Grouping(GroupingCommand),
    /// The ledger: who did what, verification, proofs, evidence to take away
    #[command(subcommand)]
    Audit(AuditCommand),
    /// People who sign in to the pages with a password
    #[command(subcommand)]
    Users(super::users::UsersCommand),
    /// Writes a backup, while the server runs or not
    Backup(BackupArguments),
    /// Fills an empty data folder from a backup
    Restore(RestoreArguments),
    /// Looks at everything that usually goes wrong, and says so in plain sentences
    Doctor(DoctorArguments),
    /// Rewrites the store so that the disk gets back what retention freed (the server must be stopped)
    Compact,
    /// Explains an error code, such as PB104
    ExplainCode(ExplainCodeArguments),
}

/// `sortie pause`.
#[derive(Debug, Args)]
pub(crate) struct PauseArguments {
    /// Only what leaves: deliveries and requests wait, local steps go on
    #[arg(long)]
    pub(crate) outbound: bool,
    /// Why; it is recorded and shown
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// An entity.
#[derive(Debug, Args)]
pub(crate) struct EntityArguments {
    /// host, account, user or ip
    #[arg(value_name = "KIND")]
    pub(crate) kind: String,
    /// Its id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Whose it is, where there are several tenants
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
}

/// `sortie mute`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("when").required(true))]
pub(crate) struct MuteArguments {
    /// Which entity.
    #[command(flatten)]
    pub(crate) entity: EntityArguments,
    /// Until when, such as 2026-12-01T08:00:00Z
    #[arg(long, group = "when", value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// For how long, such as 4h
    #[arg(long = "for", group = "when", value_name = "PERIOD")]
    pub(crate) period: Option<String>,
    /// Why; it is recorded and shown
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// How output is written.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// JSON instead of text for people
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sortie demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Keeps the demo's data folder and says where it is
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `sortie init`.
#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// The folder to make
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// `sortie serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Where to listen [default: 127.0.0.1:7300]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// The folder of playbooks [default: ./playbooks]
    #[arg(long, value_name = "DIR")]
    pub(crate) playbooks: Option<PathBuf>,
}

/// The page of a listing.
#[derive(Debug, Clone, Args)]
pub(crate) struct Paging {
    /// At most this many, newest first [default: 50; with --csv all]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: Option<u16>,
    /// All of the list as comma-separated values, however long; what a spreadsheet would take for a formula is made harmless
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    /// Where to go on: the `next_cursor` of the page before
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    /// Of this tenant only
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Arrived at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Arrived before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// Which one to show.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its id
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `sortie runs`.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Lists runs, newest first
    List(Box<RunsList>),
    /// Shows one run: steps, attempts, history
    Show(Show),
    /// Stops a run before its next step
    Cancel {
        /// The run
        id: String,
    },
    /// Starts a new run in the place of one that ended
    Retry {
        /// The run
        id: String,
        /// Where to begin
        #[arg(long, value_enum, default_value_t = RetryFrom::Start)]
        from: RetryFrom,
        /// Which text of the playbook
        #[arg(long, value_enum, default_value_t = RetryVersion::Same)]
        version: RetryVersion,
    },
}

/// Where a retry begins.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RetryFrom {
    /// With the first step.
    Start,
    /// With the step that failed.
    Failed,
}

/// Which text of the playbook a retry uses.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RetryVersion {
    /// The one that the run started with.
    Same,
    /// The one that is loaded now.
    Current,
}

/// Which runs.
#[derive(Debug, Args)]
pub(crate) struct RunsList {
    /// Of this playbook
    #[arg(long)]
    pub(crate) playbook: Option<String>,
    /// With one of these statuses, such as failed,needs_attention
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// About this alert
    #[arg(long)]
    pub(crate) alert: Option<String>,
    /// About this case
    #[arg(long)]
    pub(crate) case: Option<String>,
    /// Started by this event
    #[arg(long)]
    pub(crate) event: Option<String>,
    /// With a delivery to this destination
    #[arg(long)]
    pub(crate) destination: Option<String>,
    #[command(flatten)]
    pub(crate) paging: Paging,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `sortie events`.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Lists events, newest first
    List(List),
    /// Shows one event: as it came, what changed, what was decided
    Show(Show),
}

/// A plain listing.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) paging: Paging,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `sortie tokens`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Makes a token and prints it once, on stdout
    Create {
        /// A name for it, to tell it from others in the history
        #[arg(long)]
        name: String,
        /// What it may do
        #[arg(long, value_parser = ["admin", "author", "analyst", "approver", "auditor", "viewer"])]
        role: String,
        /// It sees this tenant only
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Lists the tokens, never their text
    List(Output),
    /// Makes a token useless at once
    Revoke {
        /// The token's name
        name: String,
    },
}

/// `sortie backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// The file to write; it must not exist yet
    pub(crate) file: PathBuf,
}

/// `sortie restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The backup
    pub(crate) file: PathBuf,
}

/// `sortie doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `sortie explain-code`.
#[derive(Debug, Args)]
pub(crate) struct ExplainCodeArguments {
    /// The code; all codes are listed without one
    pub(crate) code: Option<String>,
}

#[cfg(test)]
mod tests;
