//! The arguments of `sortie audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, Paging};

/// `sortie audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Lists who did, changed, read or was refused what, newest first
    List(Box<AuditList>),
    /// Verifies the history of this server or data folder, or an evidence bundle or a proof, which needs neither
    Verify(AuditVerify),
    /// Proves that the entries of a run stand in the ledger
    Prove {
        /// The run
        id: String,
    },
    /// Proves that a value was sent as a secret by a run; the value itself is stored nowhere and is read from a file
    ProveValue {
        /// The run
        id: String,
        /// The name of the secret, as in `${secret:NAME}`
        #[arg(long, value_name = "NAME")]
        secret: String,
        /// The file with the value [default: standard input]
        #[arg(long, value_name = "FILE")]
        value_file: Option<PathBuf>,
    },
    /// Takes evidence away: a bundle that can be verified on any machine
    Export(AuditExport),
    /// Signs a checkpoint now and prints it; keep it where this server cannot reach it
    Checkpoint,
    /// The signing key
    #[command(subcommand)]
    Key(KeyCommand),
    /// Legal holds: what retention must not drop
    #[command(subcommand)]
    Hold(HoldCommand),
}

/// `sortie audit list`.
#[derive(Debug, Args)]
pub(crate) struct AuditList {
    /// By this actor: `token:alice`, or just `alice`
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// With this action, such as case.updated or refused
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// About this object, such as case:C-1
    #[arg(long)]
    pub(crate) object: Option<String>,
    #[command(flatten)]
    pub(crate) paging: Paging,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `sortie audit verify`.
#[derive(Debug, Args)]
pub(crate) struct AuditVerify {
    /// An evidence bundle or a proof; without one, the history of the server or the data folder
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The public key that you were given, NAME+ID+BASE64, or a file with it; may stand several times
    #[arg(long = "key", value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// The value that a proof of `prove-value` speaks of
    #[arg(long, value_name = "FILE")]
    pub(crate) value_file: Option<PathBuf>,
    /// A file of checkpoints that was kept elsewhere; may stand several times
    #[arg(long = "checkpoint", value_name = "FILE")]
    pub(crate) checkpoints: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `sortie audit export`.
#[derive(Debug, Args)]
pub(crate) struct AuditExport {
    /// The file to write; it must not exist yet
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Only what is about this case, with its runs
    #[arg(long, value_name = "ID", conflicts_with_all = ["alert", "run"])]
    pub(crate) case: Option<String>,
    /// Only what is about this alert, with its runs
    #[arg(long, value_name = "ID", conflicts_with = "run")]
    pub(crate) alert: Option<String>,
    /// Only this run
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
    /// Of this tenant only
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Recorded at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Recorded before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// `sortie audit hold`.
#[derive(Debug, Subcommand)]
pub(crate) enum HoldCommand {
    /// Lists the holds
    List(Output),
    /// Places one
    Place {
        /// What it is on: case:ID, alert:ID or run:ID
        object: String,
        /// Why
        #[arg(long)]
        reason: String,
        /// Whose it is, where there are tenants
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Lifts one
    Lift {
        /// What it is on: case:ID, alert:ID or run:ID
        object: String,
        /// Whose it is, where there are tenants
        #[arg(long)]
        tenant: Option<String>,
    },
}

/// `sortie audit key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Prints the public key, for those who verify
    Show,
    /// Signs with a new key from now on; the old one stays beside it, its name ending in .old
    Rotate,
}
