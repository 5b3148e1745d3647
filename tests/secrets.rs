//! Secrets: they reach the receiver, and nothing else. A canary is looked for in all files and outputs.

use serde_json::json;

use crate::support::command::{command, run};
use crate::support::sample::{TELL, alert, run_id};
use crate::support::{Folder, Receiver, Reply, Server};

const CANARY: &str = "canary-7Qm2vX9pLr";
const SOURCE: &str = "canary-source-3Zk8";

/// What people and programs are shown.
const SHOWN: [&str; 16] = [
    "/v1/destinations",
    "/v1/destinations/desk",
    "/v1/playbooks/tell",
    "/v1/playbooks/ask",
    "/v1/runs",
    "/v1/deliveries",
    "/v1/events",
    "/v1/audit?limit=1000",
    "/metrics",
    "/openapi.json",
    "/v1/status",
    "/",
    "/destinations/desk",
    "/playbooks/ask",
    "/runs",
    "/deliveries",
];

#[test]
fn a_secret_is_found_in_no_file_no_log_and_no_answer() {
    let receiver = Receiver::scripted(&[Reply::Body(400, CANARY.as_bytes().to_vec()), Reply::Reset]);
    let folder =
        Folder::with("sources: { generic: { auth: { bearer: \"${secret:SOURCE}\" } } }\nsecrets_dir: ./secrets\n");
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    folder.write("secrets/DESK", CANARY);
    // Whoever looks for a fault logs everything.
    folder.write("sortie.yaml", &folder.read("sortie.yaml").replace("level: info", "level: trace"));
    folder.destinations(&receiver, &["desk"], "auth: { header: X-Auth, value: \"${secret:DESK}\" }");
    folder.playbook("tell", TELL);
    let url = receiver.url("/ask");
    folder.playbook("ask", &format!("secrets: [DESK]\ntriggers: [alert.created]\nsteps:\n  - id: ask\n    action: http.request\n    with: {{ method: GET, url: \"{url}\", headers: {{ X-Key: \"Token ${{secret:DESK}}\" }} }}\n    retry: {{ max: 1, first: 50ms }}\n"));
    let server = Server::start_with(&folder, &[("SORTIE_SECRET_SOURCE", SOURCE)]);
    let send =
        |token: &str, n: u32| server.client().with_token(token).post("/v1/in/generic", &alert(&format!("A-{n}"), 92));
    let mut outputs = Vec::new();
    for n in 0..3 {
        let answer = send(SOURCE, n).ok(202);
        for id in ["tell", "ask"] {
            outputs.push(server.ended_run(&run_id(&answer, id)).to_string());
        }
    }
    send("wrong", 9).problem(401);
    let seen = receiver.waiting();
    assert!(seen.iter().any(|one| one.header("x-auth") == Some(CANARY)), "the receiver gets it");
    assert!(
        seen.iter().any(|one| one.header("x-key") == Some(&format!("Token {CANARY}"))),
        "so does the one that is asked"
    );
    for path in SHOWN {
        outputs.push(server.client().get(path).text());
    }
    outputs.push(server.client().post("/v1/destinations/desk/test", &json!({})).text());
    for arguments in [
        &["doctor"][..],
        &["destinations", "list"],
        &["runs", "list", "--json"],
        &["backup", "b.bin"],
        &["audit", "export", "--out", "e.zip"],
    ] {
        let ended = run(command(&folder).args(arguments).env("SORTIE_SECRET_SOURCE", SOURCE), b"");
        outputs.push(format!("{}{}", ended.stdout, ended.stderr));
    }
    for file in evidence(&folder.path().join("e.zip")) {
        outputs.push(file);
    }
    let (_, log) = server.stop();
    outputs.push(log);
    for output in &outputs {
        for secret in [CANARY, SOURCE] {
            assert!(!output.contains(secret), "{output}");
        }
    }
    let mut files = folder.data_files();
    files.push(("b.bin".into(), std::fs::read(folder.path().join("b.bin")).expect("a backup")));
    assert!(files.len() > 2);
    for (path, bytes) in files {
        for secret in [CANARY, SOURCE] {
            assert!(
                !bytes.windows(secret.len()).any(|part| part == secret.as_bytes()),
                "{secret} in {}",
                path.display()
            );
        }
    }
}

/// The files of an evidence bundle, unpacked.
fn evidence(path: &std::path::Path) -> Vec<String> {
    use std::io::Read as _;
    let mut bundle = zip::ZipArchive::new(std::fs::File::open(path).expect("a bundle")).expect("a ZIP");
    let mut files = Vec::new();
    for n in 0..bundle.len() {
        let mut text = Vec::new();
        bundle.by_index(n).expect("a file").read_to_end(&mut text).expect("its bytes");
        files.push(String::from_utf8_lossy(&text).into_owned());
    }
    assert!(files.iter().any(|text| text.contains("webhook")), "the history is in it");
    files
}

#[test]
fn a_secret_written_into_a_file_in_the_clear_is_warned_about_and_not_repeated() {
    let folder = Folder::with("sources: { generic: { auth: { bearer: plain-text-secret } } }\n");
    let server = Server::start(&folder);
    let log = server.log().text();
    assert!(log.contains("CF108"), "{log}");
    assert!(!log.contains("plain-text-secret"), "the message repeats the secret: {log}");
}

#[test]
fn a_destination_whose_secret_is_missing_fails_and_says_which_one() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.destinations(&receiver, &["desk"], "auth: { bearer: \"${secret:GONE}\" }");
    folder.playbook("tell", TELL);
    match Server::try_start(&folder, &[]) {
        Err((status, log)) => {
            assert_eq!(status.code(), Some(3), "{log}");
            assert!(log.contains("GONE"), "{log}");
        }
        Ok(server) => {
            let run = server.ended_run(&run_id(&server.accepted(&alert("A-1", 92)), "tell"));
            assert_eq!(run["status"], "failed");
            assert!(run.to_string().contains("GONE"), "{run:#}");
            assert_eq!(receiver.connections(), 0, "nothing is sent without it");
        }
    }
}
