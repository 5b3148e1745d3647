//! `sortie receive`: a receiver for trying destinations out.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::Folder;
use crate::support::client::Client;
use crate::support::command::{command, sortie};

/// What it prints for one message, and what it answers.
fn receive(arguments: &[&str], headers: &[(&str, &str)], body: &[u8]) -> (String, u16) {
    let folder = Folder::new();
    let mut child = command(&folder)
        .args(["receive", "--listen", "127.0.0.1:0", "--count", "1"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut hello = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut hello).unwrap();
    let address = hello.split_once("http://").and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or(&hello);
    let client = Client::new(address.parse().unwrap_or_else(|error| panic!("{error}: {hello}"))).anonymous();
    let status = client.request("POST", "/hook", headers, body).status;
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    (String::from_utf8(ended.stdout).unwrap(), status)
}

#[test]
fn what_arrives_is_shown_with_what_it_was_answered() {
    let headers = [("webhook-id", "run-1/send/desk"), ("webhook-signature", "v1,x")];
    let (shown, status) = receive(&["--answer", "503", "--json"], &headers, br#"{"case_id": "C-1"}"#);
    assert_eq!(status, 503);
    let told: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert_eq!(
        told,
        json!({"method": "POST", "path": "/hook", "webhook_id": "run-1/send/desk", "signed": true, "answered": 503,
               "body": {"case_id": "C-1"}})
    );
}

#[test]
fn what_is_no_json_is_shown_as_text_that_cannot_speak_to_the_terminal() {
    let (shown, status) = receive(&[], &[], b"plain \x1b]0;owned\x07 text\nsecond line");
    assert_eq!(status, 200);
    assert!(shown.contains("POST /hook") && shown.contains("not signed") && shown.contains("no webhook-id"), "{shown}");
    assert!(shown.contains("\nsecond line\n") && !shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
}

#[test]
fn it_listens_on_this_machine_only() {
    let folder = Folder::new();
    let ended = sortie(&folder, &["receive", "--listen", "0.0.0.0:0"]).expect(2);
    assert!(ended.stderr.contains("0.0.0.0:0") && ended.stderr.contains("127.0.0.1:9000"), "{}", ended.stderr);
    let ended = sortie(&folder, &["receive", "--answer", "7"]).expect(2);
    assert!(ended.stderr.contains("7 is not a status"), "{}", ended.stderr);
}
