//! The pages for people, served by the binary itself: HTML made on the server, one style sheet and one small script of
//! our own, nothing from anywhere else.
//!
//! The walk of a page: its route in `http::table` → [`crate::http`] checks who asks and what the role may → a handler
//! here asks the API's own handlers in this process ([`inside`]) → what they answer is put into HTML ([`layout`],
//! [`parts`]). A form comes in through [`form`], which checks that it was sent from one of our own pages.
//!
//! Invariants: a page shows what the API answers to the same caller, so that permission and tenant are decided once;
//! text becomes HTML only through maud, which escapes it, and nothing is ever put in as markup; no script and no style
//! stands inside a page; without the script every page can be read and every form sent.

pub(crate) mod account;
pub(crate) mod approvals;
pub(crate) mod assets;
pub(crate) mod attachments;
mod attention;
pub(crate) mod audit;
pub(crate) mod deliveries;
pub(crate) mod destination_form;
mod destination_wish;
pub(crate) mod destinations;
mod diff;
pub(crate) mod event;
pub(crate) mod events;
mod flow;
pub(crate) mod form;
mod inside;
mod json;
mod layout;
mod link;
pub(crate) mod object;
pub(crate) mod object_forms;
pub(crate) mod objects;
pub(crate) mod oidc;
mod outline;
pub(crate) mod overview;
mod parts;
pub(crate) mod playbook;
pub(crate) mod playbooks;
pub(crate) mod problem;
mod rehearsal;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod searches;
pub(crate) mod sign_in;
pub(crate) mod tryout;
mod upload;
pub(crate) mod watchlist;
