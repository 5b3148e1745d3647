//! Listings.
use super::World;
use super::exit::Error;

pub(super) fn explain(_world: &World, _id: &str, _json: bool) -> Result<(), Error> {
    Ok(())
}
