//! The playbooks of the demo, inside the binary, and the folder that the demo works in.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

macro_rules! shipped {
    ($($path:literal),* $(,)?) => {
        /// The playbooks of the demo: file and text.
        pub(super) const PLAYBOOKS: &[(&str, &str)] =
            &[$(($path, include_str!(concat!("../../../../../playbooks/", $path)))),*];
    };
}
shipped!(
    "notification/notify-desk-about-critical-cases.yaml",
    "notification/warn-about-urgent-hosts.yaml",
    "operations/morning-check.yaml",
    "threat-center/alert-created-1-create-case-at-score-90.yaml",
    "threat-center/alert-created-2-priority-low.yaml",
    "threat-center/alert-created-3-priority-medium.yaml",
    "threat-center/alert-created-4-priority-high.yaml",
    "threat-center/alert-created-5-priority-critical.yaml",
    "threat-center/alert-created-6-create-case-for-correlation-rule.yaml",
    "threat-center/alert-updated-1-create-case-at-score-90.yaml",
    "threat-center/alert-updated-2-priority-low.yaml",
    "threat-center/alert-updated-3-priority-medium.yaml",
    "threat-center/alert-updated-4-priority-high.yaml",
    "threat-center/alert-updated-5-priority-critical.yaml",
    "threat-center/alert-updated-6-create-case-for-correlation-rule.yaml",
);

/// A folder of the demo's own, gone when this is dropped unless it is kept.
pub(super) struct Workplace {
    path: PathBuf,
    keep: bool,
}

impl Workplace {
    /// Makes a new folder that only this user can read.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn make(keep: bool) -> io::Result<Workplace> {
        let mut tag = [0_u8; 6];
        getrandom::fill(&mut tag).map_err(io::Error::other)?;
        let tag: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::env::temp_dir().join(format!("sortie-demo-{tag}"));
        // It must not exist: nobody can have prepared it.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Workplace { path, keep })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and the folders that it is in.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, text)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_all_playbooks_of_the_threat_center() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks/threat-center");
        let read = crate::serve::folder::read(&folder, Path::new("threat-center")).unwrap();
        let on_disk: Vec<_> = read.sources.iter().map(|s| s.file.to_string()).collect();
        let inside: Vec<_> = PLAYBOOKS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert!(on_disk.len() == 12 && on_disk.iter().all(|file| inside.contains(file)), "{on_disk:?} in {inside:?}");
    }

    #[test]
    fn the_folder_is_gone_afterwards_unless_it_is_kept() {
        let gone = Workplace::make(false).unwrap();
        gone.write("a/b.yaml", "x").unwrap();
        let path = gone.path().to_owned();
        drop(gone);
        assert!(!path.exists());
        let kept = Workplace::make(true).unwrap();
        let path = kept.path().to_owned();
        drop(kept);
        assert!(path.exists());
        std::fs::remove_dir_all(path).unwrap();
    }
}
