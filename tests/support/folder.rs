//! A working folder: the configuration, playbooks and destinations of one test, in a temporary place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::Receiver;

/// What every test's configuration begins with. Loopback is an allowed network, since the receivers live there.
const CONFIGURATION: &str = "\
data: ./data
playbooks: ./playbooks
destinations: ./destinations.yaml
egress: { allow: [127.0.0.0/8], allow_http: true }
reload: { watch: true, quiet: 100ms }
log: { format: json, level: info }
";
/// The sources, unless a test names its own.
const SOURCES: &str = "sources: { generic: { auth: none }, exabeam: { auth: none } }\n";

/// A working folder. It is there as long as anyone who has a clone of it, such as a server.
#[derive(Clone)]
pub(crate) struct Folder {
    dir: Arc<TempDir>,
}

impl Folder {
    /// A folder with the ordinary configuration.
    pub(crate) fn new() -> Folder {
        Folder::with(SOURCES)
    }

    /// A folder whose configuration ends with these lines instead of the ordinary sources.
    pub(crate) fn with(lines: &str) -> Folder {
        let dir = tempfile::Builder::new().prefix("sortie-test-").tempdir().expect("a temporary folder");
        let folder = Folder { dir: Arc::new(dir) };
        std::fs::create_dir(folder.path().join("playbooks")).unwrap();
        folder.write("sortie.yaml", &format!("{CONFIGURATION}{lines}"));
        folder
    }

    /// A folder with the ordinary configuration and these lines.
    pub(crate) fn and(lines: &str) -> Folder {
        Folder::with(&format!("{SOURCES}{lines}"))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Reads a file.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a playbook of this id.
    pub(crate) fn playbook(&self, id: &str, rest: &str) {
        self.write(&format!("playbooks/{id}.yaml"), &format!("playbook: {id}\n{rest}"));
    }

    /// Writes one destination for each name, all at this receiver, path `/NAME`, with the same further keys.
    pub(crate) fn destinations(&self, receiver: &Receiver, names: &[&str], keys: &str) {
        let mut text = String::from("destinations:\n");
        for name in names {
            text.push_str(&destination(name, &receiver.url(&format!("/{name}")), keys));
        }
        self.write("destinations.yaml", &text);
    }

    /// All files below the data folder with their bytes.
    pub(crate) fn data_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.data()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    files.push((path, bytes));
                }
            }
        }
        files
    }
}

/// One entry of `destinations.yaml`; `keys` is the rest of it in flow form, such as `timeout: 2s`.
pub(crate) fn destination(name: &str, url: &str, keys: &str) -> String {
    let comma = if keys.is_empty() { "" } else { ", " };
    format!("  {name}: {{ kind: webhook, url: \"{url}\"{comma}{keys} }}\n")
}
