//! The arguments of what leaves: destinations, deliveries, secrets, sending by hand.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::{Output, Paging, Show};

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

/// `sortie receive`.
#[derive(Debug, Args)]
pub(crate) struct ReceiveArguments {
    /// Where to listen, on this machine
    #[arg(long, default_value = "127.0.0.1:9000", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// The status it answers with, such as 503 to see retries
    #[arg(long, default_value_t = 200, value_name = "STATUS")]
    pub(crate) answer: u16,
    /// Ends after so many messages
    #[arg(long, value_name = "NUMBER")]
    pub(crate) count: Option<u64>,
    /// How it is written.
    #[command(flatten)]
    pub(crate) output: Output,
}
