//! Checkpoints (C2SP tlog-checkpoint): how large the tree was at a moment, and its root, signed.
//!
//! ```text
//! sortie/soc-1
//! 4711
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//! time 2026-11-25T08:00:00.000Z
//! base 1
//!
//! — sortie/soc-1 Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::{Digest, Seq, Time};

use super::note::{NoteError, Verifier, split};

/// A checkpoint's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the ledger.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// When it was made.
    pub time: Time,
    /// The entry that the first leaf stands for.
    pub base: Seq,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        let Checkpoint { origin, size, root, time, base } = self;
        format!("{origin}\n{size}\n{}\ntime {time}\nbase {base}\n", BASE64.encode(root.0))
    }

    /// Reads the text of a checkpoint; nothing is verified.
    ///
    /// # Errors
    /// [`NoteError::Form`].
    pub fn parse(text: &str) -> Result<Checkpoint, NoteError> {
        let mut lines = text.lines();
        let (origin, size, root) = match (lines.next(), lines.next(), lines.next()) {
            (Some(origin), Some(size), Some(root)) if !origin.is_empty() => (origin, size, root),
            _ => return Err(NoteError::Form),
        };
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == size);
        let root = BASE64.decode(root).ok().and_then(|bytes| bytes.try_into().ok()).map(Digest);
        let mut checkpoint = Checkpoint {
            origin: origin.to_owned(),
            size: number.ok_or(NoteError::Form)?,
            root: root.ok_or(NoteError::Form)?,
            time: Time::EPOCH,
            base: Seq(1),
        };
        for line in lines {
            match line.split_once(' ') {
                Some(("time", time)) => checkpoint.time = Time::parse(time).map_err(|_| NoteError::Form)?,
                Some(("base", base)) => checkpoint.base = Seq(base.parse().map_err(|_| NoteError::Form)?),
                // The format lets anybody add lines.
                _ => {}
            }
        }
        Ok(checkpoint)
    }

    /// Reads a signed checkpoint, and sees that one of the keys has signed it; with no keys nothing is verified.
    ///
    /// # Errors
    /// [`NoteError`] of the key that came nearest.
    pub fn open<'a>(
        note: &str,
        keys: impl IntoIterator<Item = &'a Verifier>,
    ) -> Result<(Checkpoint, Option<Verifier>), NoteError> {
        let mut last = None;
        for key in keys {
            match key.open(note) {
                Ok(text) => return Ok((Checkpoint::parse(text)?, Some(key.clone()))),
                Err(error) if last != Some(NoteError::Signature) => last = Some(error),
                Err(_) => {}
            }
        }
        match last {
            Some(error) => Err(error),
            None => Ok((Checkpoint::parse(split(note)?.0)?, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::note::Signer;

    #[test]
    fn a_checkpoint_is_read_back_as_written() {
        let signer = Signer::from_seed("sortie/n", [1; 32]).unwrap();
        let checkpoint = Checkpoint {
            origin: "sortie/n".to_owned(),
            size: 4711,
            root: model::tree::leaf(b"x"),
            time: Time::from_millis(1_000),
            base: Seq(1),
        };
        let note = signer.sign(&checkpoint.text());
        assert_eq!(Checkpoint::open(&note, [signer.verifier()]), Ok((checkpoint, Some(signer.verifier().clone()))));
        let stranger = Signer::from_seed("sortie/n", [2; 32]).unwrap();
        assert_eq!(Checkpoint::open(&note, [stranger.verifier()]), Err(NoteError::Signer));
        assert!(Checkpoint::open(&note.replace("4711", "4710"), [signer.verifier()]).is_err());
        for broken in ["", "a\n", "a\n1\n", "a\n01\nAAAA\n", "a\n1\nAAAA\n", "a\n-1\nAAAA\n", "\n1\nAAAA\n"] {
            assert!(Checkpoint::parse(broken).is_err(), "{broken:?}");
        }
    }
}
