//! `sortie`: the server and its command line.
//!
//! The walk: [`cli`] reads the arguments → [`config`] reads `sortie.yaml`, environment and flags → [`serve`] opens the
//! store, loads the playbooks, starts the engine and hands its listener to [`http`], which serves
//! the API and the [`pages`] → every other command talks to a
//! running server, or opens the data folder itself.
//!
//! Invariants: data goes to stdout, talk to stderr. Only this crate names the web framework and the argument parser.
//! The one piece of unsafe code is the counting allocator in [`memory`].

mod auth;
mod cli;
mod config;
mod http;
mod memory;
mod pages;
mod serve;
mod setup;
mod source_file;
mod telemetry;
mod workshop;

fn main() -> std::process::ExitCode {
    telemetry::catch_panics(cli::main)
}
