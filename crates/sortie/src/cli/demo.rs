//! Demo.
use super::World;
use super::args::DemoArguments;
use super::exit::Error;
pub(super) fn run(_world: &World, _arguments: &DemoArguments) -> Result<(), Error> { Ok(()) }
