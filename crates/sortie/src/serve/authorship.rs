//! Who wrote the text of a playbook that is loaded, as git knows it: for four eyes on enabling.
//!
//! Invariant: an author is told only for exactly the text that is loaded; one that was never committed has none.

use std::path::{Component, Path, PathBuf};

use model::Digest;

use super::provenance::ask;

/// Whoever stands behind a text: names and addresses of author and committer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authors(Vec<String>);

/// Why nobody is known to have written a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    /// There is no checkout, or git does not answer.
    #[error("the folder of playbooks is no git checkout that answers")]
    Checkout,
    /// The text stands in no commit.
    #[error("the text that is loaded is not committed")]
    Uncommitted,
}

/// Who wrote the text with this digest in this file of the playbook folder.
///
/// # Errors
/// [`Unknown`].
pub(crate) fn of(folder: &Path, file: &str, digest: Digest) -> Result<Authors, Unknown> {
    let path = place(folder, file);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(Unknown::Checkout);
    };
    let inside = folder.ancestors().chain(parent.ancestors()).any(|folder| folder.join(".git").exists());
    if !inside {
        return Err(Unknown::Checkout);
    }
    let now = std::fs::read(&path).map_err(|_| Unknown::Uncommitted)?;
    let changed = ask(parent, &["status", "--porcelain", "--", name]).ok_or(Unknown::Checkout)?;
    if !changed.trim().is_empty() || Digest::of(&now) != digest {
        return Err(Unknown::Uncommitted);
    }
    let said = ask(parent, &["log", "-1", "--format=%an%n%ae%n%cn%n%ce", "--", name]).ok_or(Unknown::Checkout)?;
    let names: Vec<String> =
        said.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_lowercase).collect();
    if names.is_empty() { Err(Unknown::Uncommitted) } else { Ok(Authors(names)) }
}

/// Where a file of the folder lies: its name begins with that of the folder, as messages show it.
fn place(folder: &Path, file: &str) -> PathBuf {
    let mut parts = Path::new(file).components().filter(|part| matches!(part, Component::Normal(_)));
    if parts.clone().count() > 1 {
        parts.next();
    }
    if folder.is_file() { folder.to_owned() } else { folder.join(parts.collect::<PathBuf>()) }
}

impl Authors {
    /// Whether a person of this name is one of them: by name, by address, or by what stands before the `@` of it.
    pub(crate) fn include(&self, name: &str) -> bool {
        let name = name.strip_prefix("oidc:").unwrap_or(name).to_lowercase();
        let local = name.split('@').next().unwrap_or_default();
        self.0.iter().any(|known| {
            let known_local = known.split('@').next().unwrap_or_default();
            *known == name || known_local == local
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_known_by_name_by_address_and_by_the_name_in_the_address() {
        let authors = Authors(vec!["alice liddell".to_owned(), "alice@example.com".to_owned()]);
        for same in ["Alice Liddell", "alice@example.com", "alice", "ALICE", "oidc:alice", "oidc:alice@corp.example"] {
            assert!(authors.include(same), "{same}");
        }
        for other in ["bob", "alice2", "oidc:bob@example.com", ""] {
            assert!(!authors.include(other), "{other}");
        }
    }

    #[test]
    fn files_are_found_below_the_folder_whatever_it_is_called() {
        assert_eq!(
            place(Path::new("/etc/soc/playbooks"), "playbooks/a/b.yaml"),
            Path::new("/etc/soc/playbooks/a/b.yaml")
        );
        assert_eq!(place(Path::new("/etc/soc"), "soc/b.yaml"), Path::new("/etc/soc/b.yaml"));
    }

    #[test]
    fn outside_of_a_checkout_nobody_is_known() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), "x").unwrap();
        let said = of(folder.path(), "p/a.yaml", Digest::of(b"x"));
        // A temporary folder may itself lie in somebody's checkout; then the file is not committed in it.
        assert!(said.is_err());
    }
}
