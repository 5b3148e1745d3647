//! Starting the server.

mod folder;
mod set;
