//! Secrets that Sortie keeps: found after environment and folder, encrypted at rest, worth nothing without the master key.

use serde_json::json;

use crate::support::command::{command, run, sortie, sortie_with_input};
use crate::support::sample::{TELL, alert};
use crate::support::{Folder, Receiver, Server};

const CANARY: &str = "canary-Vault-5hJ2";

fn folder(receiver: &Receiver) -> Folder {
    let folder = Folder::and("secrets_dir: ./secrets\n");
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    folder.destinations(receiver, &["desk"], "auth: { header: X-Key, value: \"${secret:DESK}\" }");
    folder.playbook("tell", TELL);
    folder
}

fn set(folder: &Folder, value: &str) {
    sortie_with_input(folder, &["secrets", "set", "DESK"], format!("{value}\n").as_bytes()).expect(0);
}

fn next_key(server: &Server, receiver: &Receiver, id: &str) -> String {
    server.accepted(&alert(id, 92));
    receiver.next().header("x-key").unwrap_or_default().to_owned()
}

#[test]
fn a_secret_is_looked_for_in_the_environment_then_the_folder_then_what_is_kept() {
    let receiver = Receiver::start();
    let folder = folder(&receiver);
    set(&folder, "kept");
    let server = Server::start(&folder);
    assert_eq!(next_key(&server, &receiver, "A-1"), "kept", "set before the first start");
    set(&folder, "other");
    assert_eq!(next_key(&server, &receiver, "A-2"), "other", "another value holds at once");
    folder.write("secrets/DESK", "from-folder");
    assert_eq!(next_key(&server, &receiver, "A-3"), "from-folder");
    server.stop();
    let server = Server::start_with(&folder, &[("SORTIE_SECRET_DESK", "from-environment")]);
    assert_eq!(next_key(&server, &receiver, "A-4"), "from-environment");
    let names = sortie(&folder, &["secrets", "list"]).expect(0).stdout;
    assert!(names.contains("DESK") && !names.contains("other"), "{names}");
    sortie(&folder, &["doctor"]).expect(0);
    sortie(&folder, &["secrets", "delete", "DESK"]).expect(0);
    assert!(!sortie(&folder, &["secrets", "list"]).expect(0).stdout.contains("DESK"));
    sortie(&folder, &["secrets", "delete", "DESK"]).expect(6);
}

#[test]
fn what_is_kept_is_in_no_file_and_no_backup_in_the_clear_and_comes_back_out_of_no_request() {
    let receiver = Receiver::start();
    let folder = folder(&receiver);
    let server = Server::start(&folder);
    let answer = server.client().post("/v1/secrets", &json!({ "name": "DESK", "value": CANARY }));
    let mut outputs = vec![answer.expect(200).text()];
    assert_eq!(next_key(&server, &receiver, "A-1"), CANARY);
    for path in ["/v1/secrets", "/v1/secrets/DESK", "/v1/audit?limit=1000", "/v1/destinations/desk", "/v1/runs"] {
        outputs.push(server.client().get(path).text());
    }
    let wrong = server.client().post("/v1/secrets", &json!({ "name": "a/b", "value": CANARY }));
    assert_eq!(wrong.problem(400), "invalid_secret");
    outputs.push(wrong.text());
    sortie(&folder, &["backup", "b.bin"]).expect(0);
    let trail = server.items("/v1/audit?object=secret:DESK");
    assert_eq!((&trail[0]["action"], &trail[0]["actor"]), (&json!("secret.set"), &json!("token:admin")));
    outputs.push(server.stop().1);
    for output in outputs {
        assert!(!output.contains(CANARY), "{output}");
    }
    let mut files = folder.data_files();
    files.push(("b.bin".into(), std::fs::read(folder.path().join("b.bin")).unwrap()));
    for (path, bytes) in files {
        assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "in {}", path.display());
    }
}

#[test]
fn without_its_master_key_or_with_another_nothing_starts() {
    let receiver = Receiver::start();
    let folder = folder(&receiver);
    set(&folder, CANARY);
    let file = folder.data().join("secrets.key");
    let key = std::fs::read_to_string(&file).unwrap();
    let another = "A".repeat(43);
    let start = |environment: &[(&str, &str)]| match Server::try_start(&folder, environment) {
        Ok(_) => None,
        Err((status, log)) => Some((status.code(), log)),
    };
    let (code, log) = start(&[("SORTIE_SECRETS_KEY", &another)]).expect("another key starts nothing");
    assert_eq!(code, Some(6), "{log}");
    assert!(log.contains("not the one under which the secrets"), "{log}");
    let (_, log) = start(&[("SORTIE_SECRETS_KEY", "password")]).expect("what is no key starts nothing");
    assert!(log.contains("32 bytes") && !log.contains("password"), "{log}");
    std::fs::remove_file(&file).unwrap();
    let (_, log) = start(&[]).expect("no key starts nothing");
    assert!(log.contains("their master key is not here"), "{log}");
    assert_eq!(run(command(&folder).args(["secrets", "list"]), b"").status.code(), Some(6));
    assert_eq!(start(&[("SORTIE_SECRETS_KEY", key.trim())]), None, "the key may stand in the environment");
    folder.write("elsewhere.key", &key);
    folder.write("sortie.yaml", &format!("{}secrets_key: ./elsewhere.key\n", folder.read("sortie.yaml")));
    let server = Server::start(&folder);
    assert_eq!(next_key(&server, &receiver, "A-1"), CANARY, "or in a file that the configuration names");
}
