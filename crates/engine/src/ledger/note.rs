//! Signed notes (C2SP signed-note) with Ed25519 keys: the form in which checkpoints are signed, so that tools outside
//! Sortie can check them too.
//!
//! A note is a text that ends in a line break, an empty line, and signature lines `— NAME BASE64`, where the base64 holds
//! four bytes that identify the key and the signature. A public key is written `NAME+ID+BASE64`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

/// The byte that says that a key is Ed25519.
const ED25519_KIND: u8 = 1;
/// Bytes of a seed, and of a public key.
pub const KEY_BYTES: usize = 32;
/// Bytes by which a key is recognised.
const ID_BYTES: usize = 4;
/// What a signature line begins with.
const MARK: &str = "\u{2014} ";
/// What a private key begins with.
const PRIVATE: &str = "PRIVATE+KEY+";

/// Why a key or a note is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is not written as a key is.
    #[error("this is no key of the form NAME+ID+BASE64")]
    Key,
    /// It is not written as a note is.
    #[error("this is no signed note: a text, an empty line, signatures")]
    Form,
    /// None of its signatures names this key.
    #[error("it is not signed by the key that was asked for")]
    Signer,
    /// The signature is false.
    #[error("the signature is false: the text was changed after it was signed")]
    Signature,
}

/// A public key with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    public: [u8; KEY_BYTES],
}

/// A private key with its name. Never printed.
pub struct Signer {
    pair: Ed25519KeyPair,
    seed: [u8; KEY_BYTES],
    verifier: Verifier,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

impl Verifier {
    /// The four bytes by which the key is recognised.
    pub fn id(&self) -> [u8; ID_BYTES] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([b'\n', ED25519_KIND]);
        hash.update(self.public);
        let digest: [u8; 32] = hash.finalize().into();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of a note that this key has signed.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let (text, signatures) = split(note)?;
        let prefix = format!("{MARK}{} ", self.name);
        let mut last = NoteError::Signer;
        for line in signatures.lines() {
            let Some(encoded) = line.strip_prefix(prefix.as_str()) else { continue };
            let bytes = BASE64.decode(encoded).map_err(|_| NoteError::Form)?;
            let Some((id, signature)) = bytes.split_first_chunk::<ID_BYTES>() else { return Err(NoteError::Form) };
            if *id != self.id() {
                continue;
            }
            let key = UnparsedPublicKey::new(&ED25519, &self.public);
            match key.verify(text.as_bytes(), signature) {
                Ok(()) => return Ok(text),
                Err(_) => last = NoteError::Signature,
            }
        }
        Err(last)
    }
}

/// The text of a note and its signature lines; nothing is verified.
///
/// # Errors
/// [`NoteError::Form`].
pub fn split(note: &str) -> Result<(&str, &str), NoteError> {
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Form)?;
    let whole = &note[..=text.len()];
    let lines = signatures.strip_suffix('\n').ok_or(NoteError::Form)?;
    if lines.is_empty() || !lines.lines().all(|line| line.starts_with(MARK)) {
        return Err(NoteError::Form);
    }
    Ok((whole, lines))
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519_KIND];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), BASE64.encode(key))
    }
}

/// Name, id and key of `NAME+ID+BASE64`.
fn parts(text: &str) -> Result<(&str, u32, [u8; KEY_BYTES]), NoteError> {
    let mut parts = text.trim().splitn(3, '+');
    let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::Key);
    };
    let id = u32::from_str_radix(id, 16).map_err(|_| NoteError::Key)?;
    let bytes = BASE64.decode(encoded).map_err(|_| NoteError::Key)?;
    match bytes.split_first() {
        Some((&ED25519_KIND, key)) if is_name(name) => Ok((name, id, key.try_into().map_err(|_| NoteError::Key)?)),
        _ => Err(NoteError::Key),
    }
}

impl FromStr for Verifier {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Verifier, NoteError> {
        let (name, id, public) = parts(text)?;
        let verifier = Verifier { name: name.to_owned(), public };
        if u32::from_be_bytes(verifier.id()) == id { Ok(verifier) } else { Err(NoteError::Key) }
    }
}

impl Signer {
    /// The key made from 32 random bytes.
    ///
    /// # Errors
    /// [`NoteError::Key`] when the name has a blank, a `+` or a control character.
    pub fn from_seed(name: &str, seed: [u8; KEY_BYTES]) -> Result<Signer, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| NoteError::Key)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| NoteError::Key)?;
        if !is_name(name) {
            return Err(NoteError::Key);
        }
        Ok(Signer { pair, seed, verifier: Verifier { name: name.to_owned(), public } })
    }

    /// Reads a private key as [`Signer::to_text`] wrote it.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn parse(text: &str) -> Result<Signer, NoteError> {
        let (name, id, seed) = parts(text.trim().strip_prefix(PRIVATE).ok_or(NoteError::Key)?)?;
        let signer = Signer::from_seed(name, seed)?;
        if u32::from_be_bytes(signer.verifier.id()) == id { Ok(signer) } else { Err(NoteError::Key) }
    }

    /// The private key as text, for the file that keeps it.
    pub fn to_text(&self) -> String {
        let mut key = vec![ED25519_KIND];
        key.extend_from_slice(&self.seed);
        let id = u32::from_be_bytes(self.verifier.id());
        format!("{PRIVATE}{}+{id:08x}+{}\n", self.verifier.name, BASE64.encode(key))
    }

    /// The public key.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The note over a text, which must end in a line break.
    pub fn sign(&self, text: &str) -> String {
        let mut bytes = self.verifier.id().to_vec();
        bytes.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{MARK}{} {}\n", self.verifier.name, BASE64.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_opens_for_its_key_and_for_no_other_and_not_when_it_was_changed() {
        let signer = Signer::from_seed("sortie/n1", [7; 32]).unwrap();
        let note = signer.sign("one\ntwo\n");
        assert_eq!(signer.verifier().open(&note), Ok("one\ntwo\n"));
        let again = Signer::parse(&signer.to_text()).unwrap();
        assert_eq!(again.sign("one\ntwo\n"), note);
        let public: Verifier = signer.verifier().to_string().parse().unwrap();
        assert_eq!(public.open(&note), Ok("one\ntwo\n"));
        let other = Signer::from_seed("sortie/n1", [8; 32]).unwrap();
        assert_eq!(other.verifier().open(&note), Err(NoteError::Signer));
        assert_eq!(public.open(&note.replace("two", "twp")), Err(NoteError::Signature));
        for broken in ["", "one\n", "one\n\n", "one\n\nx\n", &note[..note.len() - 1]] {
            assert_eq!(public.open(broken), Err(NoteError::Form), "{broken:?}");
        }
    }

    #[test]
    fn a_key_that_was_mistyped_is_refused() {
        let text = Signer::from_seed("n", [7; 32]).unwrap().verifier().to_string();
        assert!(text.parse::<Verifier>().is_ok());
        for (from, to) in [("n+", "m+"), ("+A", "+B"), ("n+", "")] {
            assert_eq!(text.replacen(from, to, 1).parse::<Verifier>(), Err(NoteError::Key), "{from} → {to}");
        }
        assert!(Signer::from_seed("a name", [7; 32]).is_err());
    }

    /// The key and the note of the Go reference implementation's documentation (golang.org/x/mod/sumdb/note).
    #[test]
    fn notes_of_the_reference_implementation_open() {
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let verifier: Verifier = key.parse().unwrap();
        let note = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\
                    \n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert!(verifier.open(note).unwrap().ends_with("problem is.\n"));
    }
}
