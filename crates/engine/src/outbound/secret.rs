//! Secrets: found by name, placed by the sender, never shown.
//!
//! Invariants: a [`Secret`] has no text of its own in `Debug`, and its bytes can be read inside this crate's outbound
//! code only. What people wrote and what is recorded is the reference `${secret:NAME}`. An empty secret is a missing one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::commitment::Commitments;

/// Longest secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// Longest name of a secret, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// What begins a reference.
const OPEN: &str = "${secret:";
/// What stands where a secret was.
const GONE: &str = "[secret removed]";
/// From this length on pieces of a secret inside longer base64 texts are searched for; shorter ones would match by chance.
const PIECE_BYTES_MIN: usize = 6;

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a value in.
    pub fn new(value: impl Into<Arc<str>>) -> Secret {
        Secret(value.into())
    }

    /// Whether this is what somebody presents. Digests are compared, so that neither content nor length shows in the
    /// time it takes.
    pub fn is(&self, presented: &[u8]) -> bool {
        use subtle::ConstantTimeEq as _;
        model::Digest::of(presented).0.ct_eq(&model::Digest::of(self.0.as_bytes()).0).into()
    }

    /// Whether there is nothing in it but white space.
    pub fn is_blank(&self) -> bool {
        self.0.trim().is_empty()
    }

    /// The value, for the sender only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a secret cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It is nowhere, or empty.
    #[error(
        "the secret `{name}` is not set: set the environment variable `SORTIE_SECRET_{name}`, put a file `{name}` in `secrets_dir`, or keep it with `sortie secrets set {name}`"
    )]
    Missing {
        /// Its name.
        name: String,
    },
    /// It is not declared by the playbook.
    #[error("the secret `{name}` is not declared under `secrets:` of this playbook")]
    NotDeclared {
        /// Its name.
        name: String,
    },
    /// It is there, but is not what its place needs.
    #[error("the secret `{name}` is not usable here: {why}")]
    Unusable {
        /// Its name.
        name: String,
        /// What is wrong with it, without its value.
        why: &'static str,
    },
}

/// Finds secrets by name.
pub trait Lookup: Send + Sync {
    /// The secret of this name, as it is now.
    fn find(&self, name: &str) -> Option<Secret>;
}

/// The environment (`SORTIE_SECRET_NAME`), then a file `NAME` in a folder.
#[derive(Debug, Clone, Default)]
pub struct FromMachine {
    /// The folder.
    pub dir: Option<PathBuf>,
}

impl Lookup for FromMachine {
    fn find(&self, name: &str) -> Option<Secret> {
        if let Ok(value) = std::env::var(format!("SORTIE_SECRET_{name}")) {
            return Some(Secret::new(value));
        }
        let path = self.dir.as_ref()?.join(name);
        let size = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?.len();
        if size > SECRET_BYTES_MAX {
            return None;
        }
        let text = std::fs::read_to_string(&path).ok()?;
        Some(Secret::new(text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line))))
    }
}

/// Several places, asked one after the other; what is empty in one is looked for in the next.
pub struct InOrder(pub Vec<Arc<dyn Lookup>>);

impl Lookup for InOrder {
    fn find(&self, name: &str) -> Option<Secret> {
        self.0.iter().filter_map(|place| place.find(name)).find(|secret| !secret.expose().is_empty())
    }
}

impl Lookup for BTreeMap<String, String> {
    fn find(&self, name: &str) -> Option<Secret> {
        self.get(name).map(|value| Secret::new(value.as_str()))
    }
}

/// All secrets. Cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    lookup: Arc<dyn Lookup>,
    commitments: Commitments,
}

impl Secrets {
    /// Over a way to find them.
    pub fn new(lookup: Arc<dyn Lookup>) -> Secrets {
        Secrets { lookup, commitments: Commitments::default() }
    }

    /// The same; what is placed leaves commitments.
    #[must_use]
    pub fn committing(mut self, commitments: Commitments) -> Secrets {
        self.commitments = commitments;
        self
    }

    /// What makes the commitments of values that were placed.
    pub fn commitments(&self) -> &Commitments {
        &self.commitments
    }

    /// References in the place of secrets, for what is only rehearsed.
    pub fn stand_ins() -> Secrets {
        Secrets::new(Arc::new(StandIns))
    }

    /// The secret of this name.
    ///
    /// # Errors
    /// [`SecretError::Missing`] when there is none, or it is empty.
    pub fn get(&self, name: &str) -> Result<Secret, SecretError> {
        let missing = || SecretError::Missing { name: name.to_owned() };
        if !is_secret_name(name) {
            return Err(missing());
        }
        self.lookup.find(name).filter(|secret| !secret.expose().is_empty()).ok_or_else(missing)
    }
}

/// Every name has its own reference as its value: what is only rehearsed needs no secret and can show none.
struct StandIns;

impl Lookup for StandIns {
    fn find(&self, name: &str) -> Option<Secret> {
        Some(Secret::new(format!("{OPEN}{name}}}")))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// Whether a secret may have this name: letters, digits, `_` and `-`, so that it can be a variable and a file and no path.
pub fn is_secret_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// A text that may end with a secret: `${secret:NAME}`, or a constant and then that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The constant text.
    pub prefix: String,
    /// The name of the secret after it.
    pub secret: Option<String>,
    /// A secret that was given in the clear, where one may be given so: the whole value, never shown.
    pub given: Option<Secret>,
}

/// A text in which a reference to a secret is not whole or not at the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a secret stands as `${{secret:NAME}}`, alone or at the end of a text")]
pub struct PlacedError;

impl Placed {
    /// A secret that was given in the clear.
    pub fn given(value: &str) -> Placed {
        Placed { prefix: String::new(), secret: None, given: Some(Secret::new(value)) }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`PlacedError`] when a reference in it is broken or is not at its end.
    pub fn parse(text: &str) -> Result<Placed, PlacedError> {
        let Some((prefix, rest)) = text.split_once(OPEN) else {
            return Ok(Placed { prefix: text.to_owned(), secret: None, given: None });
        };
        let name = rest.strip_suffix('}').filter(|name| is_secret_name(name)).ok_or(PlacedError)?;
        Ok(Placed { prefix: prefix.to_owned(), secret: Some(name.to_owned()), given: None })
    }

    /// The text as it is sent; what is secret in it is made known to `redactor`.
    ///
    /// # Errors
    /// [`SecretError::Missing`].
    pub fn resolve(&self, secrets: &Secrets, redactor: &mut Redactor) -> Result<Secret, SecretError> {
        if let Some(given) = &self.given {
            redactor.hide(given);
            return Ok(given.clone());
        }
        let Some(name) = &self.secret else { return Ok(Secret::new(self.prefix.as_str())) };
        let secret = secrets.get(name)?;
        redactor.hide(&secret);
        redactor.placed.push((name.clone(), secret.clone()));
        Ok(if self.prefix.is_empty() { secret } else { Secret::new(format!("{}{}", self.prefix, secret.expose())) })
    }
}

impl fmt::Display for Placed {
    /// As it was written; a secret that was given in the clear does not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.given.is_some() {
            return f.write_str("***");
        }
        f.write_str(&self.prefix)?;
        match &self.secret {
            Some(name) => write!(f, "{OPEN}{name}}}"),
            None => Ok(()),
        }
    }
}

/// Takes known secrets out of what is recorded, in every spelling that an echo may have.
#[derive(Clone, Default)]
pub struct Redactor {
    spellings: Vec<String>,
    /// The secrets that were placed by name.
    placed: Vec<(String, Secret)>,
}

impl Redactor {
    /// Makes a secret known.
    pub fn hide(&mut self, secret: &Secret) {
        let value = secret.expose();
        if value.is_empty() {
            return;
        }
        let quoted = serde_json::Value::String(value.to_owned()).to_string();
        let hex: String = value.bytes().map(|b| format!("{b:02x}")).collect();
        let mut spellings = vec![
            value.to_owned(),
            quoted.trim_matches('"').to_owned(),
            quoted.trim_matches('"').replace('/', "\\/"),
            super::percent_encode(value),
            super::percent_encode(value).to_lowercase(),
            super::percent_encode(value).replace("%20", "+"),
            hex.to_uppercase(),
            hex,
        ];
        for engine in [STANDARD, URL_SAFE] {
            spellings.push(engine.encode(value).trim_end_matches('=').to_owned());
            if value.len() >= PIECE_BYTES_MIN {
                spellings.extend((1..3).map(|shift| base64_piece(&engine, value.as_bytes(), shift)));
                spellings.push(base64_piece(&engine, value.as_bytes(), 0));
            }
        }
        self.spellings.extend(spellings.into_iter().filter(|spelling| !spelling.is_empty()));
        self.spellings.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.spellings.dedup();
    }

    /// The secrets that were placed by name, so that they leave their commitments.
    pub fn placed(&self) -> &[(String, Secret)] {
        &self.placed
    }

    /// The text without the secrets. When `cut` says that it was cut off, a beginning of a secret at its end goes too.
    pub fn clean(&self, text: &str, cut: bool) -> String {
        let mut out = text.to_owned();
        for spelling in &self.spellings {
            if out.contains(spelling.as_str()) {
                out = out.replace(spelling.as_str(), GONE);
            }
        }
        if cut {
            for spelling in &self.spellings {
                let longest = spelling.char_indices().map(|(at, _)| at).filter(|at| *at >= 4).rev();
                for end in longest {
                    if let Some(kept) = out.strip_suffix(&spelling[..end]) {
                        out.truncate(kept.len());
                        out.push_str(GONE);
                    }
                }
            }
        }
        out
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

/// The characters that the value always has in base64 when `shift` (0 to 2) other bytes stand before it.
fn base64_piece(engine: &impl base64::Engine, value: &[u8], shift: usize) -> String {
    let mut bytes = vec![0_u8; shift];
    bytes.extend_from_slice(value);
    let text = engine.encode(&bytes);
    let start = (shift * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    text.get(start..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "kan\"arie/ v0gel+7";

    fn redactor() -> Redactor {
        let mut redactor = Redactor::default();
        redactor.hide(&Secret::new(CANARY));
        redactor
    }

    #[test]
    fn a_secret_is_taken_out_in_every_spelling() {
        let inside = |before: &str| STANDARD.encode(format!("{before}{CANARY} and more"));
        for echo in [
            CANARY.to_owned(),
            serde_json::json!({"echo": CANARY}).to_string(),
            super::super::percent_encode(CANARY),
            STANDARD.encode(CANARY),
            URL_SAFE.encode(CANARY),
            inside(""),
            inside("a"),
            inside("ab"),
            inside("abc"),
        ] {
            let clean = redactor().clean(&format!("<<{echo}>>"), false);
            assert!(clean.contains(GONE), "{echo} → {clean}");
            assert!(!clean.contains(CANARY));
        }
    }

    #[test]
    fn a_secret_that_was_cut_off_leaves_no_beginning() {
        let clean = redactor().clean("you said kan\"arie/ v0g", true);
        assert_eq!(clean, format!("you said {GONE}"));
    }

    #[test]
    fn other_text_is_left_alone() {
        assert_eq!(redactor().clean("nothing here", true), "nothing here");
    }

    #[test]
    fn debugging_shows_no_secret() {
        let secret = Secret::new(CANARY);
        assert_eq!(
            format!("{secret:?} {:?} {:?}", redactor(), Secrets::new(Arc::new(FromMachine::default()))),
            "*** Redactor Secrets"
        );
    }

    #[test]
    fn a_reference_stands_alone_or_at_the_end() {
        assert_eq!(Placed::parse("Bearer ${secret:VT_KEY}").unwrap().to_string(), "Bearer ${secret:VT_KEY}");
        assert_eq!(Placed::parse("plain").unwrap(), Placed { prefix: "plain".into(), secret: None, given: None });
        for bad in
            ["${secret:A} tail", "${secret:A}${secret:B}", "${secret:", "${secret:}", "${secret:../x}", "${secret:a b}"]
        {
            assert_eq!(Placed::parse(bad), Err(PlacedError), "{bad}");
        }
    }

    #[test]
    fn an_empty_or_missing_secret_is_an_error_and_a_name_is_no_path() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("EMPTY"), "\n").unwrap();
        std::fs::write(dir.path().join("DESK"), "s3cret\r\n").unwrap();
        std::fs::create_dir(dir.path().join("secrets")).unwrap();
        let secrets = Secrets::new(Arc::new(FromMachine { dir: Some(dir.path().join("secrets")) }));
        assert!(matches!(secrets.get("../DESK"), Err(SecretError::Missing { .. })));
        let secrets = Secrets::new(Arc::new(FromMachine { dir: Some(dir.path().to_owned()) }));
        assert_eq!(secrets.get("DESK").unwrap().expose(), "s3cret");
        assert!(matches!(secrets.get("EMPTY"), Err(SecretError::Missing { .. })));
        assert!(matches!(secrets.get("ABSENT"), Err(SecretError::Missing { .. })));
    }
}
