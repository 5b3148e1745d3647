//! Who may ask: the roles, the tokens and users that carry them, the sessions of browsers, the brake on guessing, and how vendors'
//! senders are known.
//!
//! Invariants: a token's secret is shown once and kept as a digest only; nothing here decides by the text of a message;
//! what is not configured is refused, never waved through.

pub(crate) mod brake;
pub(crate) mod first;
pub(crate) mod first_user;
pub(crate) mod oidc;
pub(crate) mod permission;
pub(crate) mod role;
pub(crate) mod sender;
pub(crate) mod session;
pub(crate) mod token;
pub(crate) mod user;

pub(crate) use permission::Permission;
pub(crate) use role::{Role, Roles};
pub(crate) use token::{Token, Tokens};
