//! The arguments of alerts and cases: lists, searches, figures, the watchlist.

use clap::{Args, Subcommand};

use super::{List, Output};

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

/// `sortie grouping`.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupingCommand {
    /// Lists the rules, in the order in which they are asked
    List(Output),
    /// Makes a rule
    Add {
        /// Its name
        name: String,
        /// The attribute by which detections belong together
        #[arg(long, value_parser = engine::triage::ATTRIBUTES)]
        by: String,
        /// How long after its first detection an alert takes more, such as 1h
        #[arg(long)]
        window: String,
        /// A condition over `detection` and `event`
        #[arg(long)]
        when: Option<String>,
        /// For detections of this tenant only
        #[arg(long)]
        tenant: Option<String>,
        /// Where it stands among the rules made so: lower first [default: 100]
        #[arg(long)]
        order: Option<i64>,
    },
    /// Ends a rule; its alerts stay
    Remove {
        /// Its name
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
