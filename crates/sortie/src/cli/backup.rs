//! `sortie backup`, `restore`, `compact`: the store as a whole.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use engine::outbound::Method;
use serde_json::Value;

use super::World;
use super::api::{self, Api, block_on};
use super::args::{BackupArguments, RestoreArguments};
use super::console::Tone;
use super::exit::Error;
use crate::serve;

/// Writes a backup into a new file. It is complete when this returns; a broken one leaves no file behind.
pub(super) fn backup(world: &World, arguments: &BackupArguments) -> Result<(), Error> {
    let path = &arguments.file;
    let partial = path.with_extension("partial");
    let file = create(path, &partial)?;
    let mut out = BufWriter::new(file);
    let written = write(world, &mut out).and_then(|()| finish(out, &partial, path));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&partial);
        return Err(error);
    }
    let bytes = std::fs::metadata(path).map_or(0, |data| data.len());
    world.console.talk_in(Tone::Good, &format!("wrote {} ({})", path.display(), bytes_for_people(bytes)));
    Ok(())
}

fn create(path: &Path, partial: &Path) -> Result<File, Error> {
    if path.exists() {
        let message = "it exists already; backups are never written over".to_owned();
        return Err(Error::File { path: path.display().to_string(), message });
    }
    // A backup holds everything: nobody else may read it.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(partial).map_err(|e| wrong(partial, &e))
}

fn finish(out: BufWriter<File>, partial: &Path, path: &Path) -> Result<(), Error> {
    let file = out.into_inner().map_err(|e| wrong(partial, e.error()))?;
    file.sync_all().map_err(|e| wrong(partial, &e))?;
    std::fs::rename(partial, path).map_err(|e| wrong(path, &e))
}

fn write(world: &World, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let named = world.common.server.is_some() || super::variable("SORTIE_SERVER").is_some();
    let config = world.config()?.config;
    if !named {
        if !config.data.exists() {
            return Err(Error::NoData { folder: config.data.display().to_string() });
        }
        match serve::open(&config) {
            Ok(store) => {
                store.backup(out)?;
                return Ok(());
            }
            Err(store::Error::InUse { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    block_on(async {
        let api = Api::find(world).await?;
        let Api::Server { admin, url } = &api else {
            return Err(Error::Failed { message: "the server ended meanwhile; try again".to_owned() });
        };
        let outcome = admin.download(Method::GET, &["v1", "backup"], &[], out).await;
        match outcome.map_err(|e| api::unreachable(url, &e))? {
            Ok(_) => Ok(()),
            Err(reply) => {
                let problem = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
                Err(api.refused(reply.status, &problem))
            }
        }
    })
}

/// Fills an empty data folder from a backup.
pub(super) fn restore(world: &World, arguments: &RestoreArguments) -> Result<(), Error> {
    let config = world.config()?.config;
    let file = File::open(&arguments.file).map_err(|e| wrong(&arguments.file, &e))?;
    let keys = store::restore(&config.data, &mut BufReader::new(file)).map_err(|error| api::in_use(&config, error))?;
    let folder = config.data.display();
    world
        .console
        .talk_in(Tone::Good, &format!("restored {keys} keys into {folder}; start the server with `sortie serve`"));
    world.console.talk("what was sent after the backup was made is not known to it: look at `sortie runs list` first");
    Ok(())
}

/// Gives disk back.
pub(super) fn compact(world: &World) -> Result<(), Error> {
    let config = world.config()?.config;
    world
        .console
        .talk("rewriting the store; it can be stopped at any time, the old one stays until the new one is whole");
    let done = store::compact(&config.data).map_err(|error| api::in_use(&config, error))?;
    let (before, after) = (bytes_for_people(done.bytes_before), bytes_for_people(done.bytes_after));
    world.console.talk_in(Tone::Good, &format!("{} keys; {before} before, {after} now", done.keys));
    Ok(())
}

/// A size as people read it.
pub(super) fn bytes_for_people(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000),
    }
}

fn wrong(path: &Path, error: &std::io::Error) -> Error {
    Error::File { path: path.display().to_string(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(bytes_for_people(999), "999 bytes");
        assert_eq!(bytes_for_people(1_500), "1.5 kB");
        assert_eq!(bytes_for_people(20_000_000_000), "20.0 GB");
    }
}
