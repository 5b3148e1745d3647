//! Texts of playbooks, and lists of sets, that nothing can need any more.
//!
//! A text is needed while it is in force, while a run that started with it is kept, and while an event is kept that was
//! decided with it. Runs and events are dropped when they are old, so it is enough to remember since when a text is in no
//! set: once that is longer ago than anything is kept and any run may wait, it goes.

use std::collections::BTreeSet;
use std::time::Duration;

use model::event::Actor;
use model::{Digest, Time};
use playbook::Playbook;
use serde_json::json;
use store::{Mark, Store};
use tokio::sync::oneshot;

use crate::engine::{Engine, PLAYBOOK_PREFIX, SET_PREFIX};
use crate::refusal::Refusal;
use crate::set::Set;
use crate::writer::Order;

/// The marks that tell since when a text, or a list of a set, is in no set that is in force.
const TEXT_PREFIX: &str = "unused/text/";
const SET_UNUSED_PREFIX: &str = "unused/set/";
/// The mark that names the set in force.
const NOW: &str = "set-now";
/// The longest that a run may take with all its waits.
pub(crate) const RUN_MAX: Duration = Duration::from_secs(90 * 86_400);
/// How often the use of a text that is in no set, such as that of a sending by hand, is noted anew.
const NOTE_EVERY: Duration = Duration::from_secs(86_400);
/// Texts and lists that one order drops.
const ORDER_MAX: usize = 200;

/// The marks that change when a set is put in force.
pub(crate) fn marks(store: &dyn Store, set: &Set) -> Result<Vec<Mark>, store::Error> {
    let now = store.now().to_string().into_bytes();
    let wanted: BTreeSet<String> = set.playbooks().iter().map(|playbook| playbook.digest.to_string()).collect();
    let mut marks = Vec::new();
    for (_, value) in store.marks(PLAYBOOK_PREFIX)? {
        let text = String::from_utf8_lossy(&value);
        let digest = text.split(' ').next().unwrap_or_default();
        if !digest.is_empty() && !wanted.contains(digest) {
            marks.push((format!("{TEXT_PREFIX}{digest}"), Some(now.clone())));
        }
    }
    for (name, _) in store.marks(TEXT_PREFIX)? {
        if name.strip_prefix(TEXT_PREFIX).is_some_and(|digest| wanted.contains(digest)) {
            marks.push((name, None));
        }
    }
    let (before, after) = (store.mark(NOW)?, set.digest().to_string());
    if before.as_deref() != Some(after.as_bytes()) {
        if let Some(before) = before {
            marks.push((format!("{SET_UNUSED_PREFIX}{}", String::from_utf8_lossy(&before)), Some(now)));
        }
        let again = format!("{SET_UNUSED_PREFIX}{after}");
        if store.mark(&again)?.is_some() {
            marks.push((again, None));
        }
        marks.push((NOW.to_owned(), Some(after.into_bytes())));
    }
    Ok(marks)
}

/// The mark of a text that is used and in no set; nothing when that was noted lately.
pub(crate) fn used(store: &dyn Store, digest: Digest) -> Result<Option<Mark>, store::Error> {
    let name = format!("{TEXT_PREFIX}{digest}");
    let now = store.now();
    let noted = store.mark(&name)?.and_then(|value| time(&value));
    Ok(noted.is_none_or(|noted| now.since(noted) > NOTE_EVERY).then(|| (name, Some(now.to_string().into_bytes()))))
}

fn time(value: &[u8]) -> Option<Time> {
    Time::parse(std::str::from_utf8(value).ok()?).ok()
}

/// What is in no set since before `cut`: the texts, and the marks that go with them.
fn found(store: &dyn Store, cut: Time) -> Result<(Vec<Digest>, Vec<Mark>), store::Error> {
    let (mut texts, mut marks) = (Vec::new(), Vec::new());
    let old = |value: &[u8]| time(value).is_none_or(|since| since < cut);
    for (name, _) in store.marks(TEXT_PREFIX)?.into_iter().filter(|(_, value)| old(value)).take(ORDER_MAX) {
        texts.extend(name.strip_prefix(TEXT_PREFIX).and_then(|digest| digest.parse::<Digest>().ok()));
        marks.push((name, None));
    }
    for (name, _) in store.marks(SET_UNUSED_PREFIX)?.into_iter().filter(|(_, value)| old(value)).take(ORDER_MAX) {
        let list = name.strip_prefix(SET_UNUSED_PREFIX).map(|digest| format!("{SET_PREFIX}{digest}"));
        marks.extend(list.map(|list| (list, None)));
        marks.push((name, None));
    }
    Ok((texts, marks))
}

/// Drops what is in no set since before `cut`; answers how many texts that were.
pub(crate) async fn forget(store: &dyn Store, orders: &crate::writer::Orders, cut: Time) -> Result<usize, Refusal> {
    let mut dropped = 0;
    loop {
        let (texts, marks) = found(store, cut).map_err(|error| Refusal::from(&error))?;
        if marks.is_empty() {
            return Ok(dropped);
        }
        dropped += texts.len();
        let (reply, answer) = oneshot::channel();
        orders.send(Order::Forget { texts, marks, reply }).await?;
        answer.await.unwrap_or(Err(Refusal::Stopping))?;
    }
}

impl Engine {
    /// Keeps the text of a playbook that is in no file, so that its run can be resumed and read.
    pub(crate) async fn keep_text(&self, playbook: &Playbook, actor: &Actor) -> Result<(), Refusal> {
        let failed = |error: store::Error| Refusal::from(&error);
        if let Some(mark) = used(self.store().as_ref(), playbook.digest).map_err(failed)? {
            let what = json!({ "what": "text used", "digest": playbook.digest });
            self.set_marks(vec![mark], "playbooks".to_owned(), what, actor.clone()).await?;
        }
        if self.store().text(&playbook.digest).map_err(failed)?.is_some() {
            return Ok(());
        }
        let texts: Vec<(Digest, Vec<u8>)> = vec![(playbook.digest, playbook.text.as_bytes().to_vec())];
        self.keep_texts(texts, actor.clone()).await
    }

    /// Drops the texts of playbooks that are in no set since before `cut`; answers how many. The sweep does this by itself
    /// with what is older than everything that is kept.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be recorded.
    pub async fn forget_texts(&self, cut: Time) -> Result<usize, Refusal> {
        forget(self.store().as_ref(), self.orders(), cut).await
    }
}
