//! The command line: one file for each command or family of commands.
//!
//! Invariants: data goes to stdout, talk to stderr; every error says what to do; the exit codes are those of
//! [`exit::ExitCode`]. A command talks to the running server when there is one, else it opens the data folder itself.

mod args;
pub(crate) mod console;
mod exit;

use clap::Parser as _;

use args::{Arguments, Command};
use console::{Console, Tone};
use exit::{Error, ExitCode};

/// What a command needs to know about the world.
pub(crate) struct World {
    console: Console,
    common: args::Common,
}

/// Reads the arguments, does what they say, and tells how it went.
pub(crate) fn main() -> std::process::ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are data; a mistake is talk with exit code 2. Clap knows which is which.
            let _ = error.print();
            return std::process::ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(ExitCode::Usage as u8));
        }
    };
    let world = World { console: Console::from_environment(), common: arguments.common };
    match run(&world, arguments.command) {
        Ok(()) => std::process::ExitCode::from(ExitCode::Ok as u8),
        // Whoever read the output has closed it (`sortie runs list | head`): nothing is wrong.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            std::process::ExitCode::from(ExitCode::Ok as u8)
        }
        Err(error) => {
            tell(&world.console, &error);
            std::process::ExitCode::from(error.code() as u8)
        }
    }
}

fn tell(console: &Console, error: &Error) {
    if let Error::Invalid { diagnostics } = error {
        for diagnostic in diagnostics {
            console.talk(&diagnostic.render(console.colors_talk()));
        }
    }
    console.talk_in(Tone::Bad, &format!("error: {error}"));
    if let Some(help) = error.help() {
        console.talk(&format!("help: {help}"));
    }
}

fn run(world: &World, command: Command) -> Result<(), Error> {
    let _ = world;
    match command {
        _ => Ok(()),
    }
}
