//! The events of a history: of the data folder when nobody uses it, else of the server that does.

use std::sync::atomic::{AtomicU64, Ordering};

use engine::record::{Accepted, read_accepted};
use model::history::EntryKind;
use model::{EventId, Seq, Time};
use serde_json::{Value, json};

use super::feed::{Chunk, Feed, Item, Past};
use crate::cli::World;
use crate::cli::api::{Api, Ask, block_on};
use crate::cli::exit::Error;
use crate::config::Config;
use crate::serve;

/// Events that are handed on together, and of one page of the server.
const PAGE: usize = 512;

/// The events that were accepted between two times.
pub(super) fn feed(world: &World, config: &Config, (from, until): (Time, Time)) -> Result<Feed, Error> {
    let whole = millis(until.since(from));
    let asked = world.common.server.is_some() || std::env::var_os("SORTIE_SERVER").is_some();
    if !asked && !config.data.is_dir() {
        return Err(Error::NoData { folder: config.data.display().to_string() });
    }
    if !asked {
        match serve::open(config) {
            Ok(store) => {
                return Feed::new(whole, move |give, done| of_folder(store.as_ref(), (from, until), give, done));
            }
            Err(store::Error::InUse { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let api = block_on(Api::find(world))?;
    Feed::new(whole, move |give, done| {
        if let Err(error) = block_on(of_server(&api, (from, until), give, done)) {
            let _ = give(Err(error));
        }
    })
}

fn millis(period: std::time::Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
}

fn of_folder(
    store: &dyn store::Store,
    (from, until): (Time, Time),
    give: &mut dyn FnMut(Chunk) -> bool,
    done: &AtomicU64,
) {
    let mut chunk = Vec::new();
    let read = store.entries_forward(Seq(1), &mut |stored| {
        let Some(entry) = stored.entry.filter(|entry| entry.header.kind == EntryKind::EventAccepted) else {
            return true;
        };
        if entry.header.time < from {
            return true;
        }
        if entry.header.time >= until {
            return false;
        }
        let id = EventId { seq: entry.header.seq, tag: model::history::Entry::tag(&entry.salt) };
        chunk.extend(past(
            &id.to_string(),
            entry.header.time,
            read_accepted(&entry.payload).map_err(|e| e.to_string()),
        ));
        done.store(millis(entry.header.time.since(from)), Ordering::Relaxed);
        chunk.len() < PAGE || give(Ok(std::mem::take(&mut chunk)))
    });
    match read {
        Ok(()) => drop(give(Ok(chunk))),
        Err(error) => drop(give(Err(error.into()))),
    }
}

async fn of_server(
    api: &Api,
    (from, until): (Time, Time),
    give: &mut dyn FnMut(Chunk) -> bool,
    done: &AtomicU64,
) -> Result<(), Error> {
    let mut cursor: Option<String> = None;
    loop {
        let query = [
            ("since", Some(from.to_string())),
            ("until", Some(until.to_string())),
            ("limit", Some(PAGE.to_string())),
            ("cursor", cursor),
        ];
        let page = api.ask(Ask { query: &query, ..Ask::get(&["v1", "history", "events"]) }).await?;
        let mut chunk: Vec<Item> = Vec::new();
        for item in page["items"].as_array().into_iter().flatten() {
            let (id, time) = (item["event_id"].as_str().unwrap_or_default(), item["time"].as_str().unwrap_or_default());
            let time = Time::parse(time).unwrap_or(from);
            let read = serde_json::from_value::<Accepted>(item["accepted"].clone()).map_err(|error| error.to_string());
            done.store(millis(time.since(from)), Ordering::Relaxed);
            chunk.extend(past(id, time, read));
        }
        if !give(Ok(chunk)) {
            return Ok(());
        }
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// An event of the past; nothing for what followed by itself (instants of schedules, timers, alarms): that follows again.
fn past(id: &str, time: Time, read: Result<Accepted, String>) -> Option<Item> {
    let accepted = match read {
        Ok(accepted) => accepted,
        Err(error) => return Some(Err::<Past, Value>(json!({ "event_id": id, "error": error }))),
    };
    if accepted.follows_by_itself() {
        return None;
    }
    let event = accepted.event();
    Some(Ok(Past { id: id.to_owned(), time, event, transitions: accepted.transitions }))
}
