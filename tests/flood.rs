//! One tenant floods, one destination hangs: the others go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::folder::destination;
use crate::support::{Folder, Receiver, Reply, Server};

/// The 99th percentile.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

#[test]
fn a_tenant_that_floods_gets_no_event_of_another_refused() {
    let folder = Folder::and("tenants: [loud, quiet]\n");
    folder.playbook("tell", "triggers: [alert.created]\nsteps: [{ id: note, action: log, with: { message: seen } }]\n");
    let server = Server::start(&folder);
    let one = |n: usize| {
        let event = json!({ "type": "alert.created", "tenant": "quiet", "alert": { "id": format!("Q-{n}") } });
        let began = Instant::now();
        server.accepted(&event);
        began.elapsed()
    };
    let before = p99((0..60).map(one).collect());
    let (stop, taken) = (AtomicBool::new(false), AtomicUsize::new(0));
    let during = std::thread::scope(|scope| {
        for thread in 0..8 {
            let (client, stop, taken) = (server.client().anonymous(), &stop, &taken);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let lines: String = (0..400)
                        .map(|n| format!("{{\"type\":\"scan.seen\",\"tenant\":\"loud\",\"data\":{{\"n\":\"{thread}-{round}-{n}\"}}}}\n"))
                        .collect();
                    let headers = [("content-type", "application/x-ndjson")];
                    let answer = client.request("POST", "/v1/in/generic", &headers, lines.as_bytes());
                    assert!([202, 429].contains(&answer.status), "{}", answer.text());
                    taken.fetch_add(400, Ordering::Relaxed);
                }
            });
        }
        let times: Vec<Duration> = (100..160).map(one).collect();
        stop.store(true, Ordering::Relaxed);
        p99(times)
    });
    println!(
        "p99 of a quiet tenant: {before:?} alone, {during:?} beside {} events of another",
        taken.load(Ordering::Relaxed)
    );
    assert!(taken.load(Ordering::Relaxed) > 60 * 10, "it was a flood");
    // A tenth of a second of grace: on a busy machine both figures are mostly the machine's.
    assert!(during <= before.mul_f64(2.0) + Duration::from_millis(100), "{before:?} {during:?}");
}

#[test]
fn a_destination_that_hangs_among_twenty_holds_up_no_other() {
    const EACH: usize = 12;
    let (good, hanging) = (Receiver::start(), Receiver::start());
    hanging.otherwise(Reply::Hang);
    let folder = Folder::new();
    let mut text = String::from("destinations:\n");
    for n in 0..20 {
        let receiver = if n == 0 { &hanging } else { &good };
        text.push_str(&destination(&format!("d{n}"), &receiver.url(&format!("/d{n}")), "timeout: 5s"));
        let rest = format!(
            "triggers: [{{ alert.created: {{ when: \"\\\"t{n}\\\" in alert.tags\" }} }}]\nsteps: [{{ id: send, action: webhook.send_threat_details, with: {{ to: d{n} }} }}]\n"
        );
        folder.playbook(&format!("p{n}"), &rest);
    }
    folder.write("destinations.yaml", &text);
    let server = Server::start(&folder);
    let round = |name: &str, first: usize| {
        let mut began = std::collections::BTreeMap::new();
        for n in 0..EACH {
            for d in first..20 {
                let id = format!("{name}-{n}-{d}");
                began.insert(id.clone(), Instant::now());
                server.accepted(&json!({ "type": "alert.created", "alert": { "id": id, "tags": [format!("t{d}")] } }));
            }
        }
        let times = (0..EACH * 19).map(|_| {
            let arrived = good.next();
            arrived.at.duration_since(began[arrived.json()["alert_id"].as_str().unwrap()])
        });
        p99(times.collect())
    };
    let before = round("without", 1);
    let during = round("with", 0);
    println!("p99 from acceptance to arrival: {before:?} with all well, {during:?} with one of twenty hanging");
    // A quarter of a second of grace: on a busy machine both figures are mostly the machine's.
    assert!(during <= before.mul_f64(1.5) + Duration::from_millis(250), "{before:?} {during:?}");
}
