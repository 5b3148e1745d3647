//! What orders do to objects beside events: a detection's alert, readings, attachments.

use std::sync::Arc;

use model::event::Actor;
use model::history::EntryKind;
use model::{Digest, ObjectKey};
use store::FileWrite;

use super::Batch;
use crate::attach::{self, Part};
use crate::change::LocalChange;
use crate::decide::{self, View as _};
use crate::refusal::Refusal;
use crate::seen::Reading;
use crate::source::Raw;
use crate::triage::Grouped;
use crate::writer::Accepted;

impl Batch<'_> {
    /// The alert that a detection belongs to, in the same commit.
    pub(super) fn grouped(&mut self, mut accepted: Accepted, grouped: Grouped) -> Result<Accepted, Refusal> {
        if let Some(window) = grouped.window {
            self.windows.insert(window.key, window.until);
        }
        let at = self.position();
        let event = Arc::new(grouped.event);
        let decided = self.decide(&event, at.0)?;
        let alert = self.accept(&event, &Raw::Bytes(bytes::Bytes::new()), at, decided)?;
        accepted.alert = Some(grouped.alert.id);
        accepted.decisions_total += alert.decisions_total;
        accepted.decisions.extend(alert.decisions);
        decide::shorten(&mut accepted.decisions);
        accepted.transitions.extend(alert.transitions);
        accepted.warnings.extend(alert.warnings);
        Ok(accepted)
    }

    /// Readings of alerts and cases, each an entry of its own that stands in the object's history.
    pub(super) fn seen(&mut self, readings: &[Reading], marks: &[store::Mark]) -> Result<(), Refusal> {
        for reading in readings {
            let stored = self.object(&reading.object).map_err(|error| Refusal::from(&error))?;
            let Some(stored) = stored else { continue };
            let at = self.position();
            let seq = at.0.seq;
            let payload = serde_json::json!({ "action": "read", "at": reading.at }).to_string().into_bytes();
            self.entry(EntryKind::ObjectRead, at, reading.reader.clone(), reading.object.to_string(), payload);
            let mut object = Arc::unwrap_or_clone(stored);
            self.note_entry(&reading.object, &mut object, seq).map_err(|error| Refusal::from(&error))?;
            self.objects.insert(reading.object.clone(), Arc::new(object));
        }
        for (name, value) in marks {
            self.marks.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    /// Texts that nothing can need any more.
    pub(super) fn forget(&mut self, texts: &[Digest], marks: &[store::Mark]) {
        let at = self.position();
        let payload = serde_json::json!({ "what": "texts dropped", "texts": texts.len() }).to_string().into_bytes();
        self.entry(EntryKind::RetentionSwept, at, Actor::System, "texts".to_owned(), payload);
        self.commit.gone_texts.extend_from_slice(texts);
        for (name, value) in marks {
            self.marks.insert(name.clone(), value.clone());
        }
    }

    /// A part of an attachment, the attachment itself, or its end.
    pub(super) fn attach(&mut self, part: &Part) -> Result<(), Refusal> {
        let missing = |key: &ObjectKey| Refusal::NotFound { what: format!("{} `{}`", key.kind, key.id) };
        let (key, actor) = match part {
            Part::Piece { object, file, n, bytes } => {
                self.commit.files.push(FileWrite { object: object.clone(), file: *file, n: *n, bytes: bytes.clone() });
                return Ok(());
            }
            Part::Added { object, actor, .. } | Part::Removed { object, actor, .. } => (object, actor),
        };
        let stored = self.object(key).map_err(|error| Refusal::from(&error))?.ok_or_else(|| missing(key))?;
        let (kind, shown) = match part {
            Part::Removed { file, .. } => {
                let found = stored.meta.attachments.iter().find(|one| one.id == *file);
                let gone = || Refusal::NotFound { what: format!("attachment `{file}`") };
                ("detached", found.ok_or_else(gone)?.clone())
            }
            Part::Added { attachment, .. } => ("attached", attachment.clone()),
            Part::Piece { .. } => return Ok(()),
        };
        attach::may_hold(&stored, part)?;
        let data = serde_json::json!({ "attachment": shown });
        let change = LocalChange { data, ..LocalChange::of(key.clone(), format!("{}.{kind}", key.kind)) };
        self.change(&change, actor, None, &[])?;
        let after = self.object(key).map_err(|error| Refusal::from(&error))?.ok_or_else(|| missing(key))?;
        let mut object = Arc::unwrap_or_clone(after);
        match part {
            Part::Added { attachment, .. } => object.meta.attachments.push(attachment.clone()),
            _ => {
                object.meta.attachments.retain(|one| one.id != shown.id);
                for n in 0..attach::pieces(shown.bytes) {
                    self.commit.files.push(FileWrite { object: key.clone(), file: shown.file(), n, bytes: None });
                }
            }
        }
        self.objects.insert(key.clone(), Arc::new(object));
        Ok(())
    }
}
