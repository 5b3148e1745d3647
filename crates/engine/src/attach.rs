//! Files that people put to alerts and cases.
//!
//! Invariants: the content is in the store before the attachment is known, so that a known one is always whole; what was
//! begun and not finished goes with its object. Content is what it was: its digest is checked whenever it is read. It is
//! kept as bytes and never interpreted.

use model::event::Actor;
use model::object::Attachment;
use model::{Digest, Object, ObjectKey};
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::refusal::Refusal;
use crate::writer::Order;

/// Largest attachment, in bytes.
pub const BYTES_MAX: usize = 10_000_000;
/// Most attachments of one alert or case.
pub const COUNT_MAX: usize = 50;
/// Most bytes in all attachments of one alert or case.
pub const TOTAL_BYTES_MAX: u64 = 100_000_000;
/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// Bytes of one piece, as it is committed.
const PIECE_BYTES: usize = 500_000;

/// A step of putting a file to an object, or of taking it off.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    /// A piece of its content; nothing takes it away.
    Piece { object: ObjectKey, file: u64, n: u32, bytes: Option<Vec<u8>> },
    /// All of it is there.
    Added { object: ObjectKey, attachment: Attachment, actor: Actor },
    /// It is taken off.
    Removed { object: ObjectKey, file: String, actor: Actor },
}

/// How many pieces so many bytes have.
pub(crate) fn pieces(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE_BYTES as u64)).unwrap_or(u32::MAX)
}

/// Whether an object may hold one more.
pub(crate) fn may_hold(object: &Object, part: &Part) -> Result<(), Refusal> {
    let Part::Added { attachment, .. } = part else { return Ok(()) };
    let held = &object.meta.attachments;
    let bytes: u64 = held.iter().map(|one| one.bytes).sum();
    if held.len() >= COUNT_MAX {
        return Err(Refusal::Conflict(format!("there are {COUNT_MAX} attachments already, the most there can be")));
    }
    if bytes + attachment.bytes > TOTAL_BYTES_MAX {
        return Err(Refusal::Conflict(format!("all attachments together have at most {TOTAL_BYTES_MAX} bytes")));
    }
    Ok(())
}

impl Engine {
    /// Puts a file to an alert or a case; it is durable when this returns.
    ///
    /// # Errors
    /// [`Refusal`] when there is no such object, it holds too much already, or the file is too large.
    pub async fn attach(
        &self,
        object: ObjectKey,
        (name, media_type): (String, String),
        content: &[u8],
        actor: Actor,
    ) -> Result<Attachment, Refusal> {
        if content.len() > BYTES_MAX {
            let message = format!("an attachment has at most {BYTES_MAX} bytes");
            return Err(Refusal::Invalid { code: "too_large", message });
        }
        let by = actor.to_string();
        let by = by.strip_prefix("token:").unwrap_or(&by).to_owned();
        let attachment = Attachment {
            id: format!("{:016x}", self.shared().random()),
            name,
            media_type,
            bytes: content.len() as u64,
            sha256: Digest::of(content),
            by,
            at: self.store().now(),
        };
        let file = attachment.file();
        for (n, piece) in (0_u32..).zip(content.chunks(PIECE_BYTES)) {
            self.part(Part::Piece { object: object.clone(), file, n, bytes: Some(piece.to_vec()) }).await?;
        }
        let added = self.part(Part::Added { object: object.clone(), attachment: attachment.clone(), actor }).await;
        if added.is_err() {
            for n in 0..pieces(attachment.bytes) {
                self.part(Part::Piece { object: object.clone(), file, n, bytes: None }).await?;
            }
        }
        added.map(|()| attachment)
    }

    /// Takes an attachment off, and its content away.
    ///
    /// # Errors
    /// [`Refusal`] when there is no such object or attachment.
    pub async fn detach(&self, object: ObjectKey, file: String, actor: Actor) -> Result<(), Refusal> {
        self.part(Part::Removed { object, file, actor }).await
    }

    async fn part(&self, part: Part) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Attach { part, reply }, answer).await
    }
}

/// The content of an attachment. Nothing when it is not whole any more, or not what it was.
///
/// # Errors
/// [`store::Error`] when the store fails.
pub fn content(
    store: &dyn store::Store,
    key: &ObjectKey,
    attachment: &Attachment,
) -> Result<Option<Vec<u8>>, store::Error> {
    let mut all = Vec::new();
    for n in 0..pieces(attachment.bytes) {
        match store.file(key, attachment.file(), n)? {
            Some(piece) => all.extend_from_slice(&piece),
            None => return Ok(None),
        }
    }
    Ok((Digest::of(&all) == attachment.sha256).then_some(all))
}
