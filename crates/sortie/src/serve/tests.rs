//! From files in a folder to the set that is in force: at the start, while the server runs, and over a restart.

use std::path::Path;
use std::time::Duration;

use engine::Engine;
use tokio::sync::Notify;

use super::*;
use crate::config::Config;

/// How long a change may take to be in force.
const PATIENCE: Duration = Duration::from_secs(10);

fn playbook(id: &str, message: &str) -> String {
    format!(
        "playbook: {id}\ntriggers: [manual]\nsteps:\n  - {{ id: one, action: log, with: {{ message: {message} }} }}\n"
    )
}

fn config(folder: &Path) -> Config {
    let mut config = Config::defaults(folder);
    config.reload.quiet = Duration::from_millis(20);
    std::fs::create_dir_all(&config.playbooks).unwrap();
    config
}

fn write(config: &Config, name: &str, text: &str) {
    std::fs::write(config.playbooks.join(name), text).unwrap();
}

async fn started(config: &Config) -> Started {
    start(config, open(config).unwrap(), Purpose::Serve).await.unwrap()
}

/// The texts in force, by id.
fn in_force(engine: &Engine) -> Vec<(String, String)> {
    engine.playbooks().playbooks().iter().map(|p| (p.id.to_string(), p.text.to_string())).collect()
}

/// Waits until what is in force is what is wanted.
async fn until(engine: &Engine, wanted: impl Fn(&[(String, String)]) -> bool) {
    let wait = async {
        while !wanted(&in_force(engine)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, wait).await;
    assert!(outcome.is_ok(), "still in force: {:?}", in_force(engine));
}

#[tokio::test]
async fn changes_of_the_folder_come_into_force_and_a_broken_file_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    write(&config, "a.yaml", &playbook("a", "first"));
    let Started { engine, library } = started(&config).await;
    assert_eq!(in_force(&engine), [("a".to_owned(), playbook("a", "first"))]);
    let reload = Notify::new();
    let changes = async {
        write(&config, "a.yaml", &playbook("a", "second"));
        write(&config, "b.yaml", &playbook("b", "new"));
        until(&engine, |set| set.len() == 2 && set[0].1.contains("second")).await;
        // The broken file comes with a good one, so that it can be seen when the change has been taken up.
        write(&config, "a.yaml", "playbook: a\nsteps: broken\n");
        write(&config, "b.yaml", &playbook("b", "newer"));
        until(&engine, |set| set.len() == 2 && set[1].1.contains("newer")).await;
        assert_eq!(in_force(&engine)[0].1, playbook("a", "second"), "the last good text stays");
        std::fs::remove_file(config.playbooks.join("b.yaml")).unwrap();
        until(&engine, |set| set.len() == 1).await;
    };
    tokio::select! {
        () = changes => {}
        () = watch::run(library, engine.clone(), &reload) => {}
    }
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_reload_that_was_asked_for_does_not_need_the_watch() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.reload.watch = false;
    let Started { engine, library } = started(&config).await;
    write(&config, "a.yaml", &playbook("a", "first"));
    let reload = Notify::new();
    reload.notify_one();
    tokio::select! {
        () = until(&engine, |set| set.len() == 1) => {}
        () = watch::run(library, engine.clone(), &reload) => {}
    }
    engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_file_that_breaks_while_the_server_is_down_keeps_its_last_good_text() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    write(&config, "a.yaml", &playbook("a", "first"));
    let store = open(&config).unwrap();
    let first = start(&config, store.clone(), Purpose::Serve).await.unwrap();
    first.engine.stop(Duration::from_secs(1)).await;
    drop(first);
    write(&config, "a.yaml", "playbook: a\nsteps: broken\n");
    let again = start(&config, store, Purpose::Serve).await.unwrap();
    assert_eq!(in_force(&again.engine), [("a".to_owned(), playbook("a", "first"))]);
    again.engine.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn looking_at_a_stopped_servers_data_records_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    write(&config, "a.yaml", &playbook("a", "first"));
    let store = open(&config).unwrap();
    let first = start(&config, store.clone(), Purpose::Serve).await.unwrap();
    first.engine.stop(Duration::from_secs(1)).await;
    drop(first);
    let before = store.next_seq();
    let look = start(&config, store.clone(), Purpose::Look).await.unwrap();
    assert_eq!(in_force(&look.engine), [("a".to_owned(), playbook("a", "first"))]);
    assert_eq!(store.next_seq(), before);
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let _store = open(&config).unwrap();
    assert!(matches!(open(&config), Err(store::Error::InUse { .. })));
}

#[test]
fn a_missing_or_empty_secret_refuses_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let text = "sources:\n  generic: { auth: { bearer: \"${secret:ABSENT}\" } }\n  exabeam: { auth: { bearer: \"${secret:EMPTY}\" } }\nsecrets_dir: .\n";
    std::fs::write(dir.path().join("sortie.yaml"), text).unwrap();
    std::fs::write(dir.path().join("EMPTY"), "\n").unwrap();
    let flags = crate::config::Flags::default();
    let config = crate::config::load(&flags, dir.path(), &|_| None).unwrap().config;
    let Err(Error::Invalid(found)) =
        settings(&config, &crate::setup::secrets(&config, Arc::new(std::collections::BTreeMap::new())))
    else {
        unreachable!("it must not start")
    };
    let places: Vec<_> = found.iter().map(|d| (d.code, d.span.line)).collect();
    assert_eq!(places, [("CF104", 2), ("CF104", 3)]);
}

#[test]
fn a_source_that_nobody_knows_refuses_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("sortie.yaml"), "sources: { exabeem: { auth: none } }\n").unwrap();
    let flags = crate::config::Flags::default();
    let config = crate::config::load(&flags, dir.path(), &|_| None).unwrap().config;
    let Err(Error::Invalid(found)) =
        settings(&config, &crate::setup::secrets(&config, Arc::new(std::collections::BTreeMap::new())))
    else {
        unreachable!("it must not start")
    };
    assert_eq!(found[0].code, "CF110");
}
