//! Faults: kills, a full disk, few files, a damaged store, a second process, a stop in the middle.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::command::sortie;
use crate::support::sample::{TELL, alert, desk, run_id, step, verdict};
use crate::support::{Folder, Receiver, Reply, Server, eventually};

#[test]
fn a_delivery_that_a_kill_interrupts_is_sent_again_with_the_same_id() {
    let receiver = Receiver::scripted(&[Reply::Hang, Reply::Hang]);
    let folder = desk(&receiver);
    folder.destinations(&receiver, &["desk"], "timeout: 60s");
    let mut server = Server::start(&folder);
    let id = run_id(&server.accepted(&alert("A-1", 92)), "tell");
    let first = receiver.next();
    let mut ids = vec![first.id()];
    for _ in 0..2 {
        server.kill();
        server = Server::start(&folder);
        let again = receiver.next();
        assert_eq!(again.body, first.body);
        ids.push(again.id());
    }
    assert!(ids.iter().all(|one| *one == ids[0]), "{ids:?}");
    assert_eq!(server.ended_run(&id)["status"], "succeeded");
    assert_eq!(server.items("/v1/runs").len(), 1);
}

#[test]
fn an_action_that_must_not_be_repeated_needs_attention_when_its_outcome_is_unknown() {
    let receiver = Receiver::scripted(&[Reply::Hang]);
    let folder = Folder::new();
    let url = receiver.url("/isolate");
    folder.playbook("isolate", &format!("triggers: [alert.created]\nsteps:\n  - id: isolate\n    action: http.request\n    with: {{ method: POST, url: \"{url}\", body: {{ host: x }} }}\n    timeout: 50s\n"));
    let server = Server::start(&folder);
    let id = run_id(&server.accepted(&alert("A-1", 92)), "isolate");
    receiver.next();
    server.kill();
    let server = Server::start(&folder);
    let run = server.ended_run(&id);
    assert_eq!(run["status"], "needs_attention");
    assert_eq!(step(&run, "isolate")["status"], "needs_attention", "{run:#}");
    assert_eq!(server.items("/v1/runs?status=needs_attention").len(), 1);
    // A second start does not guess either.
    server.kill();
    let server = Server::start(&folder);
    assert_eq!(server.ended_run(&id)["status"], "needs_attention");
    assert!(receiver.waiting().is_empty());
}

#[test]
fn a_clean_stop_lets_the_step_in_flight_finish_and_repeats_nothing() {
    let receiver = Receiver::scripted(&[Reply::Drip]);
    let folder = desk(&receiver);
    folder.destinations(&receiver, &["desk"], "timeout: 3s");
    let server = Server::start(&folder);
    let id = run_id(&server.accepted(&alert("A-1", 92)), "tell");
    receiver.next();
    let began = Instant::now();
    let client = server.client().clone();
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(15));
    assert!(client.try_request("GET", "/healthz", &[], b"").is_err(), "nobody listens any more");
    let server = Server::start(&folder);
    let run = server.ended_run(&id);
    let attempts = step(&run, "send")["attempts"].as_array().unwrap().len();
    assert_eq!(attempts, 1 + receiver.waiting().len(), "each call is an attempt that is known: {run:#}");
}

#[test]
fn a_step_that_does_not_finish_in_time_is_resumed_at_the_next_start() {
    let receiver = Receiver::scripted(&[Reply::Hang]);
    let folder = desk(&receiver);
    folder.destinations(&receiver, &["desk"], "timeout: 60s");
    let server = Server::start(&folder);
    let id = run_id(&server.accepted(&alert("A-1", 92)), "tell");
    let first = receiver.next();
    let began = Instant::now();
    let (status, _) = server.stop();
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let server = Server::start(&folder);
    assert_eq!(receiver.next().id(), first.id());
    assert_eq!(server.ended_run(&id)["status"], "succeeded");
}

#[test]
fn a_second_process_on_the_same_folder_is_refused_in_one_sentence() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let second = sortie(&folder, &["serve", "--listen", "127.0.0.1:0"]).expect(4);
    let said: Vec<&str> = second.stderr.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(said.len(), 1, "{}", second.stderr);
    server.client().get("/readyz").expect(200);
}

#[test]
fn a_damaged_store_is_refused_with_a_message_and_never_opened_as_an_empty_one() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    for n in 0..50 {
        server.accepted(&alert(&format!("A-{n}"), 92));
    }
    server.stop();
    let files = folder.data_files();
    let (largest, bytes) =
        files.iter().filter(|(path, _)| path.ends_with("db")).max_by_key(|(_, b)| b.len()).expect("a db");
    let mut refused = 0;
    for (what, damaged) in [
        ("cut to half", bytes[..bytes.len() / 2].to_vec()),
        ("cut to nothing", Vec::new()),
        ("overwritten", [&[0_u8; 4_096], &bytes[4_096..]].concat()),
        ("flipped", bytes.iter().enumerate().map(|(n, b)| if n % 997 == 500 { b ^ 0x55 } else { *b }).collect()),
    ] {
        std::fs::write(largest, damaged).unwrap();
        match Server::try_start(&folder, &[]) {
            Err((status, log)) => {
                refused += 1;
                assert_eq!(status.code(), Some(4), "{what}: {log}");
                assert!(log.contains("restore") || log.contains("backup"), "{what}: {log}");
                assert!(!log.contains("panicked"), "{what}: {log}");
            }
            // A part without data may be missing; then nothing is.
            Ok(server) => assert_eq!(alerts(&server), 50, "{what}: it started, and something is missing"),
        }
        std::fs::write(largest, bytes).unwrap();
    }
    assert!(refused >= 2, "{refused}");
    assert_eq!(alerts(&Server::start(&folder)), 50);
}

/// How many alerts there are.
fn alerts(server: &Server) -> usize {
    all(server, "/v1/alerts?limit=1000").len()
}

/// All items of a listing, over its pages.
fn all(server: &Server, path: &str) -> Vec<serde_json::Value> {
    let mut items = Vec::new();
    let mut next = path.to_owned();
    loop {
        let page = server.client().get(&next).ok(200);
        items.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => return items,
        }
    }
}

#[test]
fn on_a_full_disk_events_are_refused_nothing_acknowledged_is_lost_and_it_recovers_by_itself() {
    let folder = Folder::new();
    std::fs::create_dir(folder.data()).unwrap();
    let probe = std::process::Command::new("unshare").args(["-rm", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("skipped: this machine does not let a test have a file system of its own (unshare -rm)");
        return;
    }
    // The small disk is seen by the server alone; the test reaches it through the server's root.
    let data = folder.data().display().to_string();
    let shell = format!(
        "[ -n \"$SMALL\" ] || exec env SMALL=1 unshare -rm sh -c 'mount -t tmpfs -o size=96m tmpfs {data} && exec \"$0\" \"$@\"' \"$0\" \"$@\""
    );
    let server = Server::start_under(&folder, &shell);
    let inside = std::path::PathBuf::from(format!("/proc/{}/root{data}", server.id()));
    let client = server.client().with_token(&std::fs::read_to_string(inside.join("admin.token")).expect("the token"));
    let send = |n: usize| {
        let event = json!({"type": "alert.created", "alert": {"id": format!("A-{n}"), "name": "x".repeat(20_000)}});
        client.anonymous().post("/v1/in/generic", &event)
    };
    assert_eq!(send(0).status, 202);
    let mut accepted = 1;
    // Somebody else takes nearly all room, and then the last byte of it.
    for left in [4 * 1024 * 1024, 0] {
        let filler = inside.join("filler");
        fill(&filler, left);
        let refused = eventually("the full disk is noticed", || {
            let answer = send(accepted);
            if answer.status == 202 {
                accepted += 1;
                return None;
            }
            Some(answer)
        });
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.header("retry-after").is_some());
        client.get("/v1/alerts?limit=1").expect(200);
        std::fs::remove_file(&filler).unwrap();
        eventually("there is room again", || (send(accepted).status == 202).then_some(()));
        accepted += 1;
    }
    accepted -= 1;
    for n in 0..=accepted {
        client.get(&format!("/v1/alerts/A-{n}")).expect(200);
    }
}

/// Takes all room but so many bytes.
fn fill(path: &std::path::Path, left_bytes: u64) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    let chunk = vec![7_u8; 64 * 1024];
    while file.write_all(&chunk).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length - left_bytes).unwrap();
}

#[test]
fn with_few_files_to_open_nothing_panics_and_events_are_still_taken() {
    let receiver = Receiver::start();
    let server = Server::start_under(&desk(&receiver), "ulimit -n 64");
    let held: Vec<_> = (0..200).filter_map(|_| server.client().connect().ok()).collect();
    drop(held);
    let answer = eventually("there is room again", || {
        let sent = serde_json::to_vec(&alert("A-1", 92)).unwrap();
        server.client().try_request("POST", "/v1/in/generic", &[], &sent).ok().filter(|answer| answer.status == 202)
    });
    assert_eq!(verdict(&answer.json(), "tell"), "matched");
    receiver.next();
    assert!(!server.log().text().contains("panicked"), "{}", server.log().text());
}

#[test]
fn one_receiver_that_hangs_does_not_hold_the_others_up() {
    let (dead, good) = (Receiver::start(), Receiver::start());
    dead.otherwise(Reply::Hang);
    let folder = Folder::new();
    let a = crate::support::folder::destination("dead", &dead.url("/"), "timeout: 30s");
    let b = crate::support::folder::destination("good", &good.url("/"), "");
    folder.write("destinations.yaml", &format!("destinations:\n{a}{b}"));
    folder.playbook("dead", &TELL.replace("[desk]", "[dead]"));
    folder.playbook("good", &TELL.replace("[desk]", "[good]"));
    let server = Server::start(&folder);
    let began = Instant::now();
    for n in 0..100 {
        server.accepted(&alert(&format!("A-{n}"), 92));
    }
    for _ in 0..100 {
        good.next();
    }
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    server.client().get("/readyz").expect(200);
}

#[test]
fn a_burst_is_taken_or_refused_with_a_time_to_come_back_and_all_that_was_taken_is_worked_on() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let server = Server::start(&folder);
    let taken: usize = std::thread::scope(|scope| {
        let sending: Vec<_> = (0..16)
            .map(|sender| {
                let server = &server;
                scope.spawn(move || {
                    let mut taken = 0;
                    for n in 0..25 {
                        let answer = server.event(&alert(&format!("A-{sender}-{n}"), 92));
                        match answer.status {
                            202 => {
                                assert_eq!(verdict(&answer.json(), "tell"), "matched", "{}", answer.text());
                                taken += 1;
                            }
                            429 | 503 => assert!(answer.header("retry-after").is_some()),
                            other => panic!("{other}: {}", answer.text()),
                        }
                    }
                    taken
                })
            })
            .collect();
        sending.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!(taken >= 100, "{taken}");
    eventually("every run has succeeded", || {
        (server.items("/v1/runs?status=succeeded&limit=1000").len() == taken).then_some(())
    });
    let told: std::collections::BTreeSet<String> =
        receiver.waiting().iter().map(|one| one.json()["alert_id"].to_string()).collect();
    assert_eq!(told.len(), taken, "each was delivered");
}

#[test]
fn a_name_that_does_not_resolve_is_a_failure_that_is_tried_again_and_holds_nobody_up() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    let lost = "  lost: { kind: webhook, url: \"https://does-not-exist.invalid/\" }\n";
    let good = crate::support::folder::destination("good", &receiver.url("/good"), "");
    folder.write("destinations.yaml", &format!("destinations:\n{lost}{good}"));
    folder.playbook("lost", &TELL.replace("[desk]", "[lost]").replace("max: 3", "max: 1"));
    folder.playbook("good", &TELL.replace("[desk]", "[good]"));
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", 92));
    receiver.next();
    let run = server.ended_run(&run_id(&answer, "lost"));
    assert_eq!(run["status"], "failed");
    assert_eq!(step(&run, "send")["attempts"].as_array().unwrap().len(), 2, "{run:#}");
}

#[test]
fn kills_under_load_lose_nothing_and_each_repeat_carries_the_same_id() {
    const KILLS: usize = 8;
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    let mut accepted = Vec::new();
    for round in 0..KILLS {
        let server = Server::start(&folder);
        let client = server.client().anonymous();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let more: Vec<String> = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..4)
                .map(|sender| {
                    let (client, stop) = (&client, &stop);
                    scope.spawn(move || {
                        let mut taken = Vec::new();
                        for n in 0.. {
                            let id = format!("A-{round}-{sender}-{n}");
                            match client.try_request(
                                "POST",
                                "/v1/in/generic",
                                &[],
                                alert(&id, 92).to_string().as_bytes(),
                            ) {
                                Ok(answer) if answer.status == 202 => taken.push(id),
                                Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
                                Err(_) if stop.load(std::sync::atomic::Ordering::SeqCst) => return taken,
                                Err(error) => panic!("the server is gone before it was killed: {error}"),
                            }
                        }
                        taken
                    })
                })
                .collect();
            // At another moment in each round: after so many deliveries.
            for _ in 0..=(round * 7 % 20) {
                receiver.next();
            }
            stop.store(true, std::sync::atomic::Ordering::SeqCst);
            server.kill();
            senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
        });
        accepted.extend(more);
    }
    let server = Server::start(&folder);
    eventually("every run has ended", || {
        let open = server.items("/v1/runs?status=queued,running,waiting&limit=1000");
        open.is_empty().then_some(())
    });
    let told = all_deliveries(&server);
    assert!(accepted.len() > KILLS, "too little happened: {}", accepted.len());
    for id in &accepted {
        assert_eq!(told.get(id).map(String::as_str), Some("delivered"), "{id} was accepted");
    }
}

/// The state of the delivery about each alert.
fn all_deliveries(server: &Server) -> std::collections::BTreeMap<String, String> {
    let mut states = std::collections::BTreeMap::new();
    for item in all(server, "/v1/deliveries?limit=1000") {
        let about = item["alert_id"].as_str().expect("an alert").to_owned();
        let twice = states.insert(about.clone(), item["status"].as_str().unwrap().to_owned());
        assert!(twice.is_none(), "two deliveries about {about}");
    }
    states
}

#[test]
fn a_restart_during_recovery_converges() {
    let receiver = Receiver::start();
    receiver.otherwise(Reply::Status(503));
    let folder = desk(&receiver);
    // Tries are counted here; a breaker would put them off for longer than a test waits.
    folder.destinations(&receiver, &["desk"], "timeout: 5s, breaker: none");
    let server = Server::start(&folder);
    let ids: Vec<String> = (0..10).map(|n| run_id(&server.accepted(&alert(&format!("A-{n}"), 92)), "tell")).collect();
    server.kill();
    for _ in 0..5 {
        // Killed as soon as it answers, so while it takes the runs up again.
        Server::start(&folder).kill();
    }
    receiver.otherwise(Reply::Status(200));
    let server = Server::start(&folder);
    for id in ids {
        let run = server.ended_run(&id);
        let attempts = step(&run, "send")["attempts"].as_array().unwrap().len();
        assert!(attempts <= 4, "the number of attempts runs away: {run:#}");
        assert!(["succeeded", "failed"].contains(&run["status"].as_str().unwrap()));
    }
}

#[test]
fn a_run_that_can_never_work_is_given_up_and_others_go_on() {
    let receiver = Receiver::start();
    let folder = desk(&receiver);
    folder.playbook("poison", "order: 1\ntriggers: [alert.created]\nsteps:\n  - id: a\n    action: log\n    with: { message: \"${{ alert.tags[99] }}\" }\n");
    let server = Server::start(&folder);
    let answer = server.accepted(&alert("A-1", 92));
    let run = server.ended_run(&run_id(&answer, "poison"));
    assert_eq!(run["status"], "failed");
    assert!(step(&run, "a")["error"]["code"].is_string(), "{run:#}");
    assert_eq!(server.ended_run(&run_id(&answer, "tell"))["status"], "succeeded");
}

#[test]
fn a_disk_that_takes_no_writes_ends_the_server_and_what_was_acknowledged_is_there_afterwards() {
    let folder = Folder::new();
    // Files may grow to some megabytes and no further: a write beyond that fails as on a broken disk.
    let mut server = Server::start_under(&folder, "trap '' XFSZ; ulimit -f 8000");
    let send = |server: &Server, n: usize| {
        let event = json!({"type": "alert.created", "alert": {"id": format!("A-{n}"), "name": noise(n)}});
        server.client().anonymous().try_request("POST", "/v1/in/generic", &[], event.to_string().as_bytes())
    };
    let mut accepted = 0;
    let refused = loop {
        match send(&server, accepted) {
            Ok(answer) if answer.status == 202 => accepted += 1,
            other => break other,
        }
        assert!(accepted < 5_000, "the limit was never met");
    };
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status == 503));
    assert_eq!(server.wait().code(), Some(4), "{}", server.log().text());
    assert!(accepted > 10, "{accepted}");
    let server = Server::start(&folder);
    for n in 0..accepted {
        server.client().get(&format!("/v1/alerts/A-{n}")).expect(200);
    }
}

/// Text that does not get smaller when it is compressed.
fn noise(seed: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + ((state >> 33) % 26) as u8)
    };
    (0..20_000).map(|_| next()).collect()
}
