//! The scenarios: the real binary, started as people start it, driven and watched from outside.
//!
//! One file for each topic, one sentence for each test. What they stand on is in `support`: a folder with a
//! configuration, the server as a child process, a receiver that answers as scripted, a client that can also say what no
//! well-behaved client would. Tests share nothing, and wait for conditions with deadlines, never for time to pass.

// `cfg(test)` on each module tells the lints that all of this is test code.
#[cfg(test)]
mod attacks_addresses;
#[cfg(test)]
mod attacks_bodies;
#[cfg(test)]
mod attacks_paths;
#[cfg(test)]
mod attacks_scripts;
#[cfg(test)]
mod attacks_senders;
#[cfg(test)]
mod attacks_templates;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod backtest;
#[cfg(test)]
mod backups;
#[cfg(test)]
mod blocks;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod brakes;
#[cfg(test)]
mod bundles;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod destinations;
#[cfg(test)]
mod dry_run;
#[cfg(test)]
mod email;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod explaining;
#[cfg(test)]
mod facts;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod four_eyes;
#[cfg(test)]
mod grouping;
#[cfg(test)]
mod history;
#[cfg(test)]
mod ingest;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod library;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod oidc;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod pages_flow;
#[cfg(test)]
mod pages_walk;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod receiving;
mod reload;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod schedule;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod score;
#[cfg(test)]
mod search;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod support;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod triage;
#[cfg(test)]
mod vault;
#[cfg(test)]
mod watching;
#[cfg(test)]
mod watchlist;
