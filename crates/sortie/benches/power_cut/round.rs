//! One cut: load, the copy, and what is in it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::api::Api;
use crate::support::http::{Connection, request};
use crate::support::kill::scene::{self, Shape};
use crate::support::receiver::Receiver;
use crate::support::server::{Server, Site};
use crate::support::{Result, alert, history};

use super::disk::Disk;

/// Connections that send.
const CONNECTIONS: usize = 16;
/// How long the runs that were cut off may take afterwards.
const FINISH_MAX: Duration = Duration::from_secs(60);

/// What a cut left.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Events that were acknowledged before it.
    pub(super) acknowledged: u64,
    /// Events that are in the copy.
    pub(super) there: u64,
    /// Acknowledged events that are not.
    pub(super) lost: u64,
    /// Entries of the history in the copy.
    pub(super) entries: u64,
    /// Runs that were finished on the copy.
    pub(super) runs: u64,
    /// Why the copy cannot be used, or what is torn in it.
    pub(super) broken: Option<String>,
}

impl Found {
    /// Whether all is well.
    pub(super) fn is_good(&self) -> bool {
        self.lost == 0 && self.broken.is_none()
    }

    /// In words.
    pub(super) fn verdict(&self) -> String {
        match (&self.broken, self.lost) {
            (Some(why), _) => format!("NOT WELL: {}", why.lines().next().unwrap_or_default()),
            (None, 0) => "all there".to_owned(),
            (None, lost) => format!("NOT WELL: {lost} lost"),
        }
    }
}

/// What the senders and the cutter share.
#[derive(Default)]
struct Shared {
    next: AtomicU64,
    over: AtomicBool,
    acknowledged: Mutex<HashMap<u64, String>>,
}

/// Plays a round in `folder`, which is removed afterwards.
///
/// # Errors
/// When the round itself cannot be played; what a cut broke is an answer, not an error.
pub(super) fn play(binary: &str, folder: &Path, durability: &str, load_millis: u64) -> Result<Found> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)?;
    let receiver = Receiver::start_inside(folder)?;
    let shared = Arc::new(Shared::default());
    let copy = {
        let disk = Disk::make(folder)?;
        let site = site(binary, &folder.join("site"), &disk, durability, &receiver)?;
        let server = site.start()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::scope(|scope| {
            let cutting = scope.spawn(|| cut(server, &disk, folder, load_millis, &shared));
            runtime.block_on(send(site.address, &shared));
            cutting.join().map_err(|_| "the cutter panicked")?
        })?
    };
    let (copy, acknowledged) = copy;
    let mut found = Found { acknowledged: acknowledged.len() as u64, ..Found::default() };
    match Disk::mount(copy, folder.join("after")) {
        Ok(disk) => {
            let site = site(binary, &folder.join("site-after"), &disk, durability, &receiver)?;
            look(&site, &disk, &acknowledged, &mut found);
        }
        Err(error) => {
            found.lost = found.acknowledged;
            found.broken = Some(error.to_string());
        }
    }
    std::fs::remove_dir_all(folder)?;
    Ok(found)
}

fn site(binary: &str, folder: &Path, disk: &Disk, durability: &str, receiver: &Receiver) -> Result<Site> {
    let (destinations, playbooks) = scene::files(receiver.address);
    Site::make(binary, folder, (&disk.place.join("data"), durability), &destinations, &playbooks)
}

/// Waits, cuts, and ends the server. It stands still while the file is copied: a cut takes no time.
fn cut(
    server: Server,
    disk: &Disk,
    folder: &Path,
    load_millis: u64,
    shared: &Shared,
) -> Result<(std::path::PathBuf, HashMap<u64, String>)> {
    std::thread::sleep(Duration::from_millis(load_millis));
    let acknowledged = shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let stopped = server.signal("STOP");
    let copy = stopped.and_then(|()| disk.cut(folder));
    shared.over.store(true, Ordering::Release);
    server.kill()?;
    Ok((copy?, acknowledged))
}

async fn send(address: SocketAddr, shared: &Arc<Shared>) {
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        senders.spawn(sender(address, Arc::clone(shared)));
    }
    senders.join_all().await;
}

/// Sends until the server is gone.
async fn sender(address: SocketAddr, shared: Arc<Shared>) -> Option<()> {
    let mut connection = Connection::open(address).await.ok()?;
    while !shared.over.load(Ordering::Acquire) {
        let n = shared.next.fetch_add(1, Ordering::Relaxed);
        let body = request("POST", "/v1/in/generic", &alert::body(n, Shape::of(n).tags(), true));
        let answer = connection.send(&body).await.ok()?;
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if let (202, Some(id)) = (answer.status, told["event_id"].as_str()) {
            shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).insert(n, id.to_owned());
        }
    }
    Some(())
}

/// Lets a server go on with the copy, and reads what is in it.
fn look(site: &Site, disk: &Disk, acknowledged: &HashMap<u64, String>, found: &mut Found) {
    if let Err(error) = go_on(site, found) {
        found.broken = Some(error.to_string());
    }
    match history::read(&disk.place.join("data")) {
        Ok(history) => {
            let here = |n: &u64, id: &String| {
                history.events.get(n).is_some_and(|ids| ids.iter().any(|i| i.to_string() == *id))
            };
            found.there = history.events.len() as u64;
            found.entries = history.entries;
            found.lost = acknowledged.iter().filter(|(n, id)| !here(n, id)).count() as u64;
            if let Some((kind, place)) = history.torn.first() {
                found.broken = Some(format!("{kind}: {place}"));
            }
        }
        Err(error) => {
            found.lost = found.acknowledged;
            found.broken = Some(error.to_string());
        }
    }
}

fn go_on(site: &Site, found: &mut Found) -> Result<()> {
    let mut server = site.spawn()?;
    server.ready().map_err(|error| format!("{error} {}", site.log_end()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let runs = runtime.block_on(async {
        let mut api = Api::open(site.address).await?;
        if !api.idle(FINISH_MAX).await? {
            return Err("runs never end".into());
        }
        api.all("/v1/runs").await
    })?;
    found.runs = runs.len() as u64;
    if let Some(run) = runs.iter().find(|run| run["status"] != "succeeded") {
        return Err(format!("a run did not end well: {run}").into());
    }
    let (clean, _) = server.stop()?;
    if clean { Ok(()) } else { Err("the server did not stop cleanly".into()) }
}
