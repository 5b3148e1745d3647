//! The real engine, over a real store, with real receivers on the network: what survives what.

mod crash;
mod people;
mod receiver;
mod runs;
mod schedules;
mod world;
mod writing;
