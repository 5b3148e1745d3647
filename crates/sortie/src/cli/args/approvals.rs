//! The arguments of `sortie approvals`.

use clap::{Args, Subcommand};

use super::{Output, Show};

/// `sortie approvals`.
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// Lists what is open
    List(Output),
    /// Shows one question
    Show(Show),
    /// Answers with yes; needs a token of the role approver or admin, and not of who started the run
    Approve(AnswerArguments),
    /// Answers with no
    Deny(AnswerArguments),
}

/// An answer to a question.
#[derive(Debug, Args)]
pub(crate) struct AnswerArguments {
    /// The approval
    pub(crate) id: String,
    /// What there is to say; it is recorded
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// A field of the answer, as the playbook asks for it; may be given several times
    #[arg(long = "field", value_name = "NAME=VALUE")]
    pub(crate) fields: Vec<String>,
}
