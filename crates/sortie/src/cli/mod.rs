//! The command line: one file for each command or family of commands.
//!
//! Invariants: data goes to stdout, talk to stderr; every error says what to do; the exit codes are those of
//! [`exit::ExitCode`]. A command talks to the running server when there is one, else it opens the data folder itself.

mod api;
mod approvals;
mod args;
mod audit;
mod backtest;
mod backup;
mod brakes;
mod check;
mod codes;
pub(crate) mod console;
mod demo;
mod doctor;
mod dry_run;
mod exit;
mod explain;
mod grouping;
mod init;
mod messages;
mod operands;
mod places;
mod receive;
mod receiver;
mod records;
mod sarif;
mod schema;
mod searches;
mod secrets;
mod serve;
mod show;
mod sources;
mod steer;
mod test;
mod tokens;
mod users;
mod watchlist;

use clap::Parser as _;

use args::{Arguments, Command, EventsCommand, ObjectsCommand};
use console::{Console, Tone};
use exit::{Error, ExitCode};

use crate::config::{self, Flags, Loaded};

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

impl World {
    /// The configuration of this command.
    fn config(&self) -> Result<Loaded, Error> {
        self.config_with(Flags::default())
    }

    /// The configuration under further flags.
    fn config_with(&self, flags: Flags) -> Result<Loaded, Error> {
        let flags = Flags { config: self.common.config.clone(), data: self.common.data.clone(), ..flags };
        config::load(&flags, &working_folder()?, &variable).map_err(|diagnostics| Error::Invalid { diagnostics })
    }
}

/// A variable of the environment; an empty one counts as not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn working_folder() -> Result<std::path::PathBuf, Error> {
    std::env::current_dir().map_err(|e| Error::File { path: ".".to_owned(), message: e.to_string() })
}

fn evaluator() -> Result<playbook::Evaluator, Error> {
    crate::setup::evaluator()
        .map_err(|e| Error::Start { message: e.to_string(), help: "this build is broken; please report it".to_owned() })
}

fn run(world: &World, command: Command) -> Result<(), Error> {
    match command {
        Command::Serve(arguments) => serve::run(world, &arguments),
        Command::Check(arguments) => check::run(world, &arguments),
        Command::Test(arguments) => test::run(world, &arguments),
        Command::Schema => schema::run(world),
        Command::Backtest(arguments) => backtest::run(world, &arguments),
        Command::DryRun(arguments) => dry_run::run(world, &arguments),
        Command::Explain(arguments) => explain::run(world, &arguments),
        Command::ExplainCode(arguments) => codes::run(world, &arguments),
        Command::Runs(command) => steer::runs(world, command),
        Command::Events(EventsCommand::List(list)) => records::plain(world, "events", &list, records::EVENTS),
        Command::Events(EventsCommand::Show(show)) => records::one(world, "events", &show),
        Command::Alerts(ObjectsCommand::List(list)) => searches::objects(world, "alerts", *list, records::ALERTS),
        Command::Alerts(ObjectsCommand::Show(show)) => records::object(world, "alerts", &show),
        Command::Cases(ObjectsCommand::List(list)) => searches::objects(world, "cases", *list, records::CASES),
        Command::Cases(ObjectsCommand::Show(show)) => records::object(world, "cases", &show),
        Command::Deliveries(command) => steer::deliveries(world, command),
        Command::Approvals(command) => approvals::run(world, command),
        Command::Playbooks(command) => steer::playbooks(world, command),
        Command::Destinations(command) => places::run(world, command),
        Command::Secrets(command) => secrets::run(world, command),
        Command::Sources(command) => sources::run(world, command),
        Command::Send(arguments) => steer::send(world, &arguments),
        Command::Pause(arguments) => brakes::pause(world, &arguments),
        Command::Resume => brakes::resume(world),
        Command::Mute(arguments) => brakes::mute(world, &arguments),
        Command::Unmute(arguments) => brakes::unmute(world, &arguments),
        Command::Status(output) => brakes::status(world, output),
        Command::Tokens(command) => tokens::run(world, command),
        Command::Searches(command) => searches::run(world, command),
        Command::Stats(arguments) => searches::stats(world, &arguments),
        Command::Watchlist(command) => watchlist::run(world, command),
        Command::Grouping(command) => grouping::run(world, command),
        Command::Audit(command) => audit::run(world, command),
        Command::Users(command) => users::run(world, command),
        Command::Backup(arguments) => backup::backup(world, &arguments),
        Command::Restore(arguments) => backup::restore(world, &arguments),
        Command::Compact => backup::compact(world),
        Command::Doctor(arguments) => doctor::run(world, &arguments),
        Command::Init(arguments) => init::run(world, &arguments),
        Command::Demo(arguments) => demo::run(world, &arguments),
        Command::Receive(arguments) => receive::run(world, &arguments),
    }
}
