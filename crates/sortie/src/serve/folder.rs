//! The playbook folder: which files there are, and their texts.
//!
//! Invariants: only regular files are read. A symbolic link, a device or a pipe is refused, and a file that is swapped
//! between the look and the opening is noticed, because the opened file must be the one that was looked at. Everything is
//! bounded: the depth of folders, the number of files, the size of a file.

use std::fs::DirEntry;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::limits;
use playbook::{Diagnostic, Severity, Source, Span};

use crate::config::codes;

/// Deepest nesting of folders.
const DEPTH_MAX: usize = 8;
/// Most files in the folder, whatever they are.
const FILES_MAX: usize = 20_000;

/// What was found in a folder.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// The texts, by name.
    pub(crate) sources: Vec<Source>,
    /// Files that cannot be used.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// What tells one state of a folder from another, without reading the files: how many there are, and the sum of a hash
/// over each one's name, number, size and time, which does not depend on their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Look {
    files: u64,
    sum: u64,
}

impl Look {
    fn add(&mut self, path: &Path, data: &std::fs::Metadata) {
        let mut hasher = DefaultHasher::new();
        (path, data.ino(), data.len(), data.mtime(), data.mtime_nsec()).hash(&mut hasher);
        self.files += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// Looks at a folder. A folder that is not there looks empty.
pub(crate) fn look(root: &Path) -> Look {
    let mut look = Look::default();
    // Asked of the entry: its folder need not be found again for every file.
    let mut found = |file: &DirEntry| {
        if let Ok(data) = file.metadata() {
            look.add(&file.path(), &data);
        }
    };
    Walk { files: 0, found: &mut found, problems: &mut Vec::new() }.through(root, 0);
    look
}

/// Looks at one file. A file that is not there looks empty.
pub(crate) fn look_at_file(path: &Path) -> Look {
    let mut look = Look::default();
    if let Ok(data) = std::fs::symlink_metadata(path) {
        look.add(path, &data);
    }
    look
}

/// Reads the configured folder of playbooks, files of tests left out. Its files are named by the folder's own name and the rest, wherever it lies
/// and whoever reads it: the name is how the last good text of a file is found again.
///
/// # Errors
/// When it cannot be read at all.
pub(crate) fn read_configured(root: &Path) -> std::io::Result<Folder> {
    let mut folder = read(root, root.file_name().map_or(root, Path::new))?;
    folder.sources.retain(|source| !source.file.ends_with(playbook::testing::FILE_ENDING));
    folder.diagnostics.retain(|found| !found.file.ends_with(playbook::testing::FILE_ENDING));
    Ok(folder)
}

/// Reads a file, or all playbooks of a folder. `shown` is how it is named in messages.
///
/// # Errors
/// When it cannot be read at all.
pub(crate) fn read(root: &Path, shown: &Path) -> std::io::Result<Folder> {
    let mut folder = Folder::default();
    if !std::fs::metadata(root)?.is_dir() {
        take(&mut folder, root, &shown.display().to_string());
        return Ok(folder);
    }
    std::fs::read_dir(root)?;
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut found = |file: &DirEntry| paths.push(file.path());
    Walk { files: 0, found: &mut found, problems: &mut folder.diagnostics }.through(root, 0);
    paths.sort();
    for path in paths {
        let name = path.strip_prefix(root).map_or_else(|_| path.clone(), |rest| shown.join(rest));
        take(&mut folder, &path, &name.display().to_string());
    }
    Ok(folder)
}

/// A walk through a folder: what it has seen, and who is told.
struct Walk<'a> {
    files: usize,
    found: &'a mut dyn FnMut(&DirEntry),
    problems: &'a mut Vec<Diagnostic>,
}

impl Walk<'_> {
    fn through(&mut self, folder: &Path, depth: usize) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            // Editors and version control keep their own files beside ours.
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth < DEPTH_MAX {
                self.through(&entry.path(), depth + 1);
            } else if kind.is_dir() {
                self.problem(&entry.path(), format!("folders are nested deeper than {DEPTH_MAX}"));
            } else if is_playbook(Path::new(&name)) {
                if self.files >= FILES_MAX {
                    return self.problem(folder, format!("there are more than {FILES_MAX} files"));
                }
                self.files += 1;
                (self.found)(&entry);
            }
        }
    }

    fn problem(&mut self, path: &Path, message: String) {
        self.problems.push(problem(&path.display().to_string(), message));
    }
}

fn is_playbook(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn take(folder: &mut Folder, path: &Path, name: &str) {
    match text(path) {
        Ok(text) => folder.sources.push(Source { file: name.into(), text }),
        Err(why) => folder.diagnostics.push(problem(name, why)),
    }
}

fn text(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("the file cannot be read: {error}");
    let seen = std::fs::symlink_metadata(path).map_err(unreadable)?;
    if !seen.is_file() {
        let what = if seen.is_symlink() { "a symbolic link" } else { "not a regular file" };
        return Err(format!("this is {what}; playbooks are regular files"));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let opened = file.metadata().map_err(unreadable)?;
    if (opened.dev(), opened.ino()) != (seen.dev(), seen.ino()) || !opened.is_file() {
        return Err("the file was swapped while it was being read".to_owned());
    }
    let max = limits::PLAYBOOK_FILE_BYTES_MAX;
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > max {
        return Err(format!("the file is larger than {max} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".to_owned())
}

fn problem(name: &str, message: String) -> Diagnostic {
    let file: Arc<str> = name.into();
    let help = Some("only regular UTF-8 files are read; move or copy it, or give it another extension".to_owned());
    let span = Span { line: 1, column: 1, len: 1 };
    Diagnostic {
        code: codes::PLAYBOOK_FILE,
        severity: Severity::Error,
        message,
        file,
        span,
        excerpt: String::new(),
        help,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(folder: &Folder) -> Vec<&str> {
        folder.sources.iter().map(|source| &*source.file).collect()
    }

    #[test]
    fn a_folder_gives_its_yaml_files_by_name_nested_ones_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("b/c")).unwrap();
        for name in ["z.yaml", "a.yml", "b/c/d.yaml", "readme.md", ".hidden.yaml"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let folder = read(dir.path(), Path::new("playbooks")).unwrap();
        assert_eq!(names(&folder), ["playbooks/a.yml", "playbooks/b/c/d.yaml", "playbooks/z.yaml"]);
        assert!(folder.diagnostics.is_empty());
    }

    #[test]
    fn a_link_is_refused_even_when_it_leads_to_a_playbook() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("real.yaml"), "x").unwrap();
        symlink(dir.path().join("real.yaml"), dir.path().join("link.yaml")).unwrap();
        symlink("/dev/zero", dir.path().join("zero.yaml")).unwrap();
        symlink("/dev", dir.path().join("folder.yaml")).unwrap();
        let folder = read(dir.path(), Path::new("p")).unwrap();
        assert_eq!(names(&folder), ["p/real.yaml"]);
        assert_eq!(folder.diagnostics.len(), 3);
        assert!(folder.diagnostics.iter().all(|d| d.code == "CF109" && d.message.contains("symbolic link")));
    }

    #[test]
    fn a_file_over_the_limit_or_without_utf8_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("big.yaml"), vec![b'x'; limits::PLAYBOOK_FILE_BYTES_MAX + 1]).unwrap();
        std::fs::write(dir.path().join("latin.yaml"), [b'n', 0xe4, b'h']).unwrap();
        let folder = read(dir.path(), Path::new("p")).unwrap();
        assert!(folder.sources.is_empty());
        assert_eq!(folder.diagnostics.len(), 2);
    }

    #[test]
    fn a_change_of_any_file_changes_the_look() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.yaml");
        std::fs::write(&file, "one").unwrap();
        let first = look(dir.path());
        assert_eq!(first, look(dir.path()));
        std::fs::write(&file, "longer").unwrap();
        let second = look(dir.path());
        assert_ne!(first, second);
        std::fs::remove_file(&file).unwrap();
        assert_ne!(second, look(dir.path()));
        assert_eq!(look(dir.path()), look(Path::new("/nowhere/at/all")));
    }
}
