//! Who read which alert or case, and what was searched for: gathered in memory, written together.
//!
//! A reading is recorded once for each reader, object and minute, as an entry of the history and in the object's own.
//! Nothing waits for it: it is written within [`EVERY`], before anybody reads a history, and when the server stops. A
//! crash loses the readings of that last second, and nothing else.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::event::Actor;
use model::{ObjectKey, Time};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::engine::Engine;
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::writer::{Order, Orders};

/// How often what was gathered is written.
const EVERY: Duration = Duration::from_secs(1);
/// Readings that may wait; more are dropped and counted.
const WAITING_MAX: usize = 4096;
/// Readings that one order records.
const ORDER_READINGS_MAX: usize = 256;
/// Searches that are remembered for each person.
const RECENT_MAX: usize = 20;
/// Persons whose searches are gathered before they are written.
const SEARCHERS_MAX: usize = 1024;
/// The mark under which somebody's recent searches are kept.
const RECENT_PREFIX: &str = "search/recent/";

/// That somebody read an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) reader: Actor,
    pub(crate) object: ObjectKey,
    pub(crate) at: Time,
}

/// A search that somebody made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// `alerts` or `cases`.
    pub about: String,
    /// The query.
    pub q: Option<String>,
    /// The order.
    pub sort: Option<String>,
    /// When, RFC 3339.
    pub at: String,
}

/// What is gathered.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Gathered>);

#[derive(Debug, Default)]
struct Gathered {
    minute: i64,
    known: HashSet<(String, ObjectKey)>,
    waiting: Vec<Reading>,
    dropped: u64,
    searches: HashMap<String, VecDeque<Search>>,
}

impl Seen {
    fn lock(&self) -> std::sync::MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, reading: Reading) {
        let mut gathered = self.lock();
        let minute = reading.at.millis().div_euclid(60_000);
        if gathered.minute != minute {
            gathered.minute = minute;
            gathered.known.clear();
        }
        if gathered.waiting.len() >= WAITING_MAX {
            gathered.dropped += 1;
            return;
        }
        if gathered.known.insert((reading.reader.to_string(), reading.object.clone())) {
            gathered.waiting.push(reading);
        }
    }

    fn searched(&self, who: &str, search: Search) {
        let mut gathered = self.lock();
        if gathered.searches.len() >= SEARCHERS_MAX && !gathered.searches.contains_key(who) {
            return;
        }
        let all = gathered.searches.entry(who.to_owned()).or_default();
        put_first(all, search);
    }

    fn take(&self) -> (Vec<Reading>, HashMap<String, VecDeque<Search>>) {
        let mut gathered = self.lock();
        if gathered.dropped > 0 {
            tracing::warn!(dropped = gathered.dropped, "more was read than could be recorded");
            gathered.dropped = 0;
        }
        (std::mem::take(&mut gathered.waiting), std::mem::take(&mut gathered.searches))
    }
}

/// The newest in front, each search once.
fn put_first(all: &mut VecDeque<Search>, search: Search) {
    all.retain(|known| (&known.about, &known.q, &known.sort) != (&search.about, &search.q, &search.sort));
    all.push_front(search);
    all.truncate(RECENT_MAX);
}

impl Engine {
    /// Notes that somebody read an alert or a case.
    pub fn read_by(&self, reader: Actor, object: ObjectKey) {
        let at = self.store().now();
        self.shared().seen.read(Reading { reader, object, at });
    }

    /// Notes that somebody searched.
    pub fn searched_by(&self, who: &str, about: &str, q: Option<String>, sort: Option<String>) {
        let at = self.store().now().to_string();
        self.shared().seen.searched(who, Search { about: about.to_owned(), q, sort, at });
    }

    /// What somebody searched for lately, the newest first.
    ///
    /// # Errors
    /// [`store::Error`] when it cannot be read.
    pub fn recent_searches(&self, who: &str) -> Result<Vec<Search>, store::Error> {
        let mut all = stored(self.store().as_ref(), who)?;
        if let Some(new) = self.shared().seen.lock().searches.get(who) {
            new.iter().rev().for_each(|search| put_first(&mut all, search.clone()));
        }
        Ok(all.into())
    }

    /// Writes what was gathered; it is durable when this returns.
    ///
    /// # Errors
    /// [`Refusal`] when it cannot be recorded; it is gathered no longer then.
    pub async fn write_seen(&self) -> Result<(), Refusal> {
        write(self.shared(), self.orders()).await
    }
}

async fn write(shared: &Shared, orders: &Orders) -> Result<(), Refusal> {
    let (readings, searches) = shared.seen.take();
    let mut marks = Vec::new();
    for (who, new) in searches {
        let mut all = stored(shared.store.as_ref(), &who).map_err(|error| Refusal::from(&error))?;
        new.into_iter().rev().for_each(|search| put_first(&mut all, search));
        marks.push((format!("{RECENT_PREFIX}{who}"), serde_json::to_vec(&all).ok()));
    }
    let mut parts = readings.chunks(ORDER_READINGS_MAX).map(<[Reading]>::to_vec).collect::<Vec<_>>();
    if parts.is_empty() && !marks.is_empty() {
        parts.push(Vec::new());
    }
    for readings in parts {
        let (reply, answer) = oneshot::channel();
        let marks = std::mem::take(&mut marks);
        orders.send(Order::Seen { readings, marks, reply }).await?;
        answer.await.unwrap_or(Err(Refusal::Stopping))?;
    }
    Ok(())
}

/// Writes what is gathered again and again until `stop` says otherwise.
pub(crate) async fn run(shared: Arc<Shared>, orders: Orders, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        if let Err(refusal) = write(&shared, &orders).await {
            tracing::warn!(%refusal, "what was read could not be recorded");
        }
    }
}

fn stored(store: &dyn store::Store, who: &str) -> Result<VecDeque<Search>, store::Error> {
    let kept = store.mark(&format!("{RECENT_PREFIX}{who}"))?;
    Ok(kept.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(reader: &str, id: &str, millis: i64) -> Reading {
        let object = ObjectKey { tenant: "default".into(), kind: model::Kind::Case, id: id.into() };
        Reading { reader: Actor::Token(reader.into()), object, at: Time::from_millis(millis) }
    }

    #[test]
    fn a_reading_counts_once_for_each_reader_object_and_minute() {
        let seen = Seen::default();
        for (who, id, at) in
            [("a", "C-1", 0), ("a", "C-1", 59_999), ("b", "C-1", 3), ("a", "C-2", 4), ("a", "C-1", 60_000)]
        {
            seen.read(reading(who, id, at));
        }
        let (readings, _) = seen.take();
        assert_eq!(readings.len(), 4);
        assert!(seen.take().0.is_empty(), "each is taken once");
    }

    #[test]
    fn what_waits_is_bounded() {
        let seen = Seen::default();
        for n in 0..WAITING_MAX + 10 {
            seen.read(reading("a", &n.to_string(), 0));
        }
        assert_eq!(seen.take().0.len(), WAITING_MAX);
    }

    #[test]
    fn the_newest_search_is_in_front_and_each_stands_there_once() {
        let search = |q: &str| Search { about: "cases".into(), q: Some(q.into()), sort: None, at: String::new() };
        let mut all = VecDeque::new();
        for n in 0..RECENT_MAX + 5 {
            put_first(&mut all, search(&n.to_string()));
        }
        put_first(&mut all, search("20"));
        assert_eq!((all.len(), all[0].q.as_deref()), (RECENT_MAX, Some("20")));
        assert_eq!(all.iter().filter(|one| one.q.as_deref() == Some("20")).count(), 1);
    }
}
