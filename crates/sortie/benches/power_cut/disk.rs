//! A filesystem in a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Result;

/// Its size: room for a round, the reserve and the ballast of the store.
const SIZE: &str = "384M";

/// Whether filesystems in files can be used here, or why not.
pub(super) fn possible() -> std::result::Result<(), String> {
    let id = Command::new("id").arg("-u").output().map_err(|error| format!("`id`: {error}"))?;
    if id.stdout.trim_ascii() != b"0" {
        return Err("mounting a filesystem needs root".to_owned());
    }
    for program in ["mkfs.ext4", "mount", "umount", "truncate", "cp"] {
        Command::new(program).arg("--version").output().map_err(|error| format!("`{program}`: {error}"))?;
    }
    if !Path::new("/dev/loop-control").exists() {
        return Err("there are no loop devices here".to_owned());
    }
    Ok(())
}

/// A mounted filesystem in a file; unmounted when it is dropped.
pub(super) struct Disk {
    image: PathBuf,
    /// Where it is mounted.
    pub(super) place: PathBuf,
}

impl Disk {
    /// Makes an empty one in `folder`.
    ///
    /// # Errors
    /// When a command fails.
    pub(super) fn make(folder: &Path) -> Result<Disk> {
        let image = folder.join("before.img");
        command("truncate", &["-s".as_ref(), SIZE.as_ref(), image.as_ref()])?;
        command("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_ref()])?;
        Disk::mount(image, folder.join("before"))
    }

    /// Copies the file as it is now, as a cut would leave it.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub(super) fn cut(&self, folder: &Path) -> Result<PathBuf> {
        let copy = folder.join("after.img");
        command("cp", &["--sparse=always".as_ref(), self.image.as_ref(), copy.as_ref()])?;
        Ok(copy)
    }

    /// Mounts a filesystem.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub(super) fn mount(image: PathBuf, place: PathBuf) -> Result<Disk> {
        std::fs::create_dir_all(&place)?;
        command("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), place.as_ref()])?;
        Ok(Disk { image, place })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = command("umount", &[self.place.as_ref()]);
    }
}

fn command(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
