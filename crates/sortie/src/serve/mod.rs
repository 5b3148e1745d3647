//! Starting the server.

pub(crate) mod folder;
mod set;
