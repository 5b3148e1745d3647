//! `sortie`: the server and its command line.

mod cli;
mod http;

fn main() {}
