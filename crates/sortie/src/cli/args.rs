//! The arguments: what can be typed, and the help that goes with it.
//!
//! Length: one item for each command, in the order of the help.

mod approvals;
mod audit;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

pub(crate) use approvals::*;
pub(crate) use audit::*;

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

/// `sortie check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Playbook files, or folders of them [default: the configured folder]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The destinations that playbooks may name [default: as configured; not checked when there are none]
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
pub(crate) struct BacktestArguments {
    /// The folder of playbooks [default: as configured, else ./playbooks]
    #[arg(long, value_name = "DIR")]
    pub(crate) playbooks: Option<PathBuf>,
    /// A file with one event a line; their own times are the clock
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// The events that the (stopped) server's data folder holds since so long ago, such as 30d
    #[arg(long, value_name = "PERIOD")]
    pub(crate) since: Option<String>,
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

/// The page of a listing.
#[derive(Debug, Clone, Args)]
pub(crate) struct Paging {
    /// At most this many, newest first
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
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

/// Which one of a tenant to show.
#[derive(Debug, Args)]
pub(crate) struct ShowObject {
    /// Its id
    pub(crate) id: String,
    /// Its tenant, where the id stands in several
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// With its history
    #[arg(long)]
    pub(crate) history: bool,
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

/// Which alerts or cases.
#[derive(Debug, Args)]
pub(crate) struct ObjectsList {
    /// A query, such as 'priority:critical AND NOT stage:Closed'
    #[arg(long, value_name = "QUERY")]
    pub(crate) q: Option<String>,
    /// An order, such as -risk_score,updated_at [default: last changed first]
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
    /// A saved search
    #[arg(long, value_name = "NAME")]
    pub(crate) search: Option<String>,
    #[command(flatten)]
    pub(crate) list: List,
}

/// `sortie searches`.
#[derive(Debug, Subcommand)]
pub(crate) enum SearchesCommand {
    /// Lists saved searches, and with --json also the recent ones
    List(Output),
    /// Saves a search under a name
    Save {
        /// Its name
        name: String,
        /// What it is about
        #[arg(long, value_parser = ["alerts", "cases"], default_value = "cases")]
        about: String,
        /// The query
        #[arg(long, value_name = "QUERY")]
        q: Option<String>,
        /// The order
        #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
        sort: Option<String>,
    },
    /// Deletes a saved search
    Delete {
        /// Its name
        name: String,
    },
}

/// `sortie stats`.
#[derive(Debug, Args)]
pub(crate) struct StatsArguments {
    /// Of this tenant only
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `sortie alerts` and `sortie cases`.
#[derive(Debug, Subcommand)]
pub(crate) enum ObjectsCommand {
    /// Lists them, last changed first
    List(Box<ObjectsList>),
    /// Shows one
    Show(ShowObject),
}

/// `sortie deliveries`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// Lists deliveries, newest first
    List {
        /// To this destination
        #[arg(long)]
        destination: Option<String>,
        /// With one of these statuses, such as failed
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        output: Output,
    },
    /// Shows one delivery with every attempt
    Show(Show),
    /// Sends failed ones again, with the same webhook-id: one, or all of a destination
    #[command(group(ArgGroup::new("again").required(true).args(["id", "destination"])))]
    Redeliver {
        /// The delivery
        id: Option<String>,
        /// All failed deliveries of this destination
        #[arg(long, value_name = "NAME")]
        destination: Option<String>,
    },
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

/// `sortie destinations`.
#[derive(Debug, Subcommand)]
pub(crate) enum DestinationsCommand {
    /// Lists the destinations
    List(Output),
    /// Shows one, without its secrets
    Show(Show),
    /// Makes one; it is in force at once. Secrets are given as `${secret:NAME}`
    Create {
        /// Its id
        id: String,
        /// Its keys, as in destinations.yaml but for the id: a YAML or JSON file, `-` for standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Changes keys of one that is not in the file
    Update {
        /// The destination
        id: String,
        /// The keys to change: a YAML or JSON file (there `null` takes a key away), `-` for standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Sends a test message and says precisely what went wrong
    Test {
        /// The destination
        id: String,
    },
    /// Asks its login for a token, and sends nothing
    Validate {
        /// The destination
        id: String,
    },
    /// Switches one on
    Enable {
        /// The destination
        id: String,
    },
    /// Switches one off; everything else of it stays
    Disable {
        /// The destination
        id: String,
    },
    /// Deletes one that is not in the file
    Delete {
        /// The destination
        id: String,
    },
}

/// `sortie secrets`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Keeps a secret, encrypted; its value is read from standard input, so that it stands in no list of processes
    Set {
        /// Its name, as in `${secret:NAME}`
        name: String,
    },
    /// Lists their names, never their values
    List(Output),
    /// Deletes one
    Delete {
        /// Its name
        name: String,
    },
}

/// `sortie send`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("about").required(true).args(["case", "alert"])))]
pub(crate) struct SendArguments {
    /// The case
    #[arg(long, value_name = "ID")]
    pub(crate) case: Option<String>,
    /// The alert
    #[arg(long, value_name = "ID")]
    pub(crate) alert: Option<String>,
    /// One to three destinations, with commas between them
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) to: Vec<String>,
    /// Its tenant, where the id stands in several
    #[arg(long)]
    pub(crate) tenant: Option<String>,
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

/// `sortie watchlist`.
#[derive(Debug, Subcommand)]
pub(crate) enum WatchlistCommand {
    /// Lists who is watched, and why
    List(Output),
    /// Watches an entity
    Add {
        /// What it is
        #[arg(value_parser = ["user", "account", "host", "ip"])]
        kind: String,
        /// Its name, as events have it
        id: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// The priority that it brings at least [default: one higher than it would be]
        #[arg(long, value_parser = ["low", "medium", "high", "critical"])]
        priority: Option<String>,
        /// In events of this tenant only
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Takes an entity off the list
    Remove {
        /// What it is
        kind: String,
        /// Its name
        id: String,
        /// The tenant that the entry is for, if it is for one
        #[arg(long)]
        tenant: Option<String>,
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
