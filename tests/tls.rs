//! TLS of the listener: everything goes over it, a certificate that cannot be right refuses the start, a new one is taken up
//! without a restart.

use std::io::Read as _;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::certificate::{Certificate, LISTENER};
use crate::support::command::{signal, sortie};
use crate::support::sample::{TELL, alert, desk};
use crate::support::{Client, Folder, Receiver, Server};

const SECTION: &str = "tls: { cert: ./listen.pem, key: ./listen.key }\n";

/// A folder whose server shows a certificate for the loopback address.
fn encrypted(folder: Folder) -> Folder {
    Certificate::make(&folder, LISTENER, "IP:127.0.0.1,DNS:localhost", 5);
    folder.write("sortie.yaml", &format!("{}{SECTION}", folder.read("sortie.yaml")));
    folder
}

#[test]
fn events_api_and_command_line_go_over_tls_and_plain_http_hears_nothing() {
    let receiver = Receiver::start();
    let folder = encrypted(desk(&receiver));
    folder.playbook("tell", TELL);
    let server = Server::start(&folder);
    server.accepted(&alert("A-1", 92));
    assert_eq!(receiver.next().json()["alert_id"], "A-1");
    // The command line knows the certificate of its own server, and its token.
    let listed = sortie(&folder, &["alerts", "list", "--json"]).expect(0).stdout;
    assert!(listed.contains("A-1"), "{listed}");
    let plain = Client::new(server.client().address());
    assert!(plain.try_request("GET", "/healthz", &[], b"").is_err(), "nobody answers in the clear");
    let cookie = server.client().anonymous().request(
        "POST",
        "/v1/in/generic",
        &[("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")],
        b"{}",
    );
    assert_eq!(cookie.status, 400, "the watcher of requests sees what was decrypted");
}

#[test]
fn who_connects_and_says_nothing_is_not_waited_for() {
    let folder = encrypted(Folder::new());
    let server = Server::start(&folder);
    let began = Instant::now();
    let mut silent = Client::new(server.client().address()).connect().unwrap();
    let mut byte = [0; 1];
    let ended = silent.read(&mut byte);
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    server.client().get("/healthz").expect(200);
}

#[test]
fn a_certificate_that_cannot_be_right_refuses_the_start_with_a_sentence() {
    let folder = encrypted(Folder::new());
    let refused = |part: &str| {
        let Err((status, log)) = Server::try_start(&folder, &[]) else { panic!("it starts: {part}") };
        assert_eq!((status.code(), log.contains(part)), (Some(3), true), "{part}: {log}");
    };
    let key = folder.read("listen.key");
    Certificate::make(&folder, "other", "IP:127.0.0.1", 5);
    folder.write("listen.key", &folder.read("other.key"));
    refused("does not fit the certificate");
    folder.write("listen.key", "no key at all");
    refused("holds no private key");
    folder.write("listen.key", &key);
    folder.write("listen.pem", "");
    refused("holds no certificate");
    std::fs::remove_file(folder.path().join("listen.pem")).unwrap();
    refused("cannot be read");
    Certificate::make(&folder, LISTENER, "IP:127.0.0.1", -1);
    refused("expired on");
    let doctor = sortie(&folder, &["doctor"]);
    assert!(doctor.stdout.contains("expired on") || doctor.stderr.contains("expired on"), "{doctor:?}");
}

#[test]
fn a_new_certificate_is_shown_after_a_signal_and_a_broken_one_changes_nothing() {
    let folder = encrypted(Folder::new());
    let server = Server::start(&folder);
    let old = server.client().clone();
    folder.write("listen.key", "broken");
    signal(server.id(), "HUP");
    server.log().wait_for("the new certificate is not used");
    old.get("/healthz").expect(200);
    Certificate::make(&folder, LISTENER, "IP:127.0.0.1", 5);
    signal(server.id(), "HUP");
    server.log().wait_for("the certificate was read again");
    assert!(old.try_request("GET", "/healthz", &[], b"").is_err(), "the old authority does not know it");
    let config = crate::support::certificate::client_config(&folder).unwrap();
    let answer = old.over_tls(config).post("/v1/in/generic", &json!({ "type": "test.ping", "data": {} }));
    assert_eq!(answer.status, 202);
}
