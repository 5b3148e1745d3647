//! Why a playbook was or was not started: each trigger, and each operand of each condition that was asked.
//!
//! It explains a decision that was made by [`super::decide`] and makes none itself: what fits and what a condition answers
//! is asked of the same code.

use model::Event;
use playbook::{Answer, Operand, Playbook, Span};

use super::hearing::Hearing;
use super::{Decided, Means, Position, View};

/// One trigger of a playbook, looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Its kind, such as `alert.created`.
    pub kind: &'static str,
    /// Where it stands.
    pub at: Span,
    /// Whether it fits by its own arguments.
    pub fits: bool,
    /// Why or why not, in words.
    pub reason: String,
    /// The conditions that are asked when it fits: its own, then the playbook's.
    pub conditions: Vec<Asked>,
}

/// One condition, asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// As written.
    pub text: String,
    /// What it answers.
    pub answer: Answer,
    /// Its operands.
    pub operands: Vec<Operand>,
}

/// Looks at a playbook after what follows from an event was decided.
///
/// # Errors
/// [`store::Error`] when the state cannot be read.
pub fn look(
    event: &Event,
    at: Position,
    view: &dyn View,
    means: Means<'_>,
    (playbook, decided): (&Playbook, &Decided),
) -> Result<Vec<Look>, store::Error> {
    let object = decided.object.as_ref().map(|(_, object)| object);
    Hearing::new((event, at), view, means, (&decided.transitions, object)).look(playbook)
}
