//! The real engine, over a real store, with real receivers on the network: what survives what.

// `cfg(test)` tells the lints that all of this is test code.
#![cfg(test)]

mod again;
mod blocks;
mod clock;
mod crash;
mod generic;
mod overdue;
mod people;
mod receiver;
mod runs;
mod schedules;
mod vectra;
mod waiting;
mod world;
mod writing;
