//! Changes of the playbook folder and of the destinations: taken up as one when they are over.
//!
//! The folder is looked at twice a second (names, sizes, times), once a second where that takes long; nothing of the system's notifications is used, which
//! miss changes on network file systems and in containers. When the look has changed and then stayed for the quiet time,
//! the whole set is loaded: a git checkout is one change.

use std::time::Duration;

use engine::Engine;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::library::{Library, Looks};

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(500);
/// The same where a look takes long: so many times as long as the look, up to this.
const PERIOD_PER_LOOK: u32 = 40;
const PERIOD_MAX: Duration = Duration::from_secs(1);

/// Watches for ever. `reload` asks for a load at once (SIGHUP).
pub(super) async fn run(mut library: Library, engine: Engine, reload: &Notify) {
    let settings = library.reload();
    let mut seen = library.seen();
    let mut changed: Option<Instant> = None;
    let mut made = engine.watch_destinations();
    let mut period = PERIOD;
    loop {
        let asked = tokio::select! {
            () = reload.notified() => true,
            // A playbook that was refused for want of a destination may be good now.
            Ok(()) = made.changed() => true,
            () = tokio::time::sleep(period), if settings.watch => false,
        };
        let began = Instant::now();
        let now = look(&library).await;
        period = (began.elapsed() * PERIOD_PER_LOOK).clamp(PERIOD, PERIOD_MAX);
        if now != seen {
            seen = now;
            changed = Some(Instant::now());
        }
        let quiet = changed.is_some_and(|since| since.elapsed() >= settings.quiet);
        if asked || quiet {
            changed = None;
            library = load(library, &engine).await;
        }
    }
}

/// Looks on a thread where that may block; a look that ends early counts as a change.
async fn look(library: &Library) -> Looks {
    tokio::task::spawn_blocking(library.looker()).await.unwrap_or_default()
}

async fn load(mut library: Library, engine: &Engine) -> Library {
    let store = engine.store().clone();
    let spare = library.clone();
    let read = tokio::task::spawn_blocking(move || {
        let outcome = library.again(store.as_ref());
        (library, outcome)
    });
    let Ok((library, outcome)) = read.await else {
        tracing::error!("the playbooks could not be read; what is loaded stays");
        return spare;
    };
    match outcome {
        Err(error) => tracing::error!(%error, "the playbooks could not be read; what is loaded stays"),
        Ok(fresh) => {
            let count = fresh.playbooks.len();
            if let Some(destinations) = fresh.destinations {
                engine.set_file_destinations(destinations).await;
            }
            match engine.load(fresh.playbooks, model::Actor::System).await {
                Ok(()) => {
                    super::record_provenance(library.config(), engine).await;
                    tracing::info!(playbooks = count, "playbooks reloaded");
                }
                Err(error) => tracing::error!(%error, "the playbooks could not be loaded; what is loaded stays"),
            }
        }
    }
    library
}
