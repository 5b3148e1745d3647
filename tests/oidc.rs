//! Signing in through a real OpenID Connect provider on this machine: the npm package `oidc-provider`, driven by a real
//! browser. Provider and server are two sites to the browser (`localhost` and `127.0.0.1`), as in life.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::{Browser, Folder, Server, eventually};

/// The provider's process, and its output: closed, it would end at its next word.
struct Provider {
    child: Child,
    _output: BufReader<ChildStdout>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        // One that is gone already needs no end.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<_> = self.child.wait();
    }
}

/// The folder where `npm install oidc-provider` was done; says so where there is none.
fn installed() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("SORTIE_OIDC_PROVIDER").map(PathBuf::from) else {
        eprintln!("SKIPPED: SORTIE_OIDC_PROVIDER names no folder with the npm package oidc-provider");
        return None;
    };
    assert!(folder.join("node_modules/oidc-provider").is_dir(), "no oidc-provider in {}", folder.display());
    Some(folder)
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address")
}

fn start(folder: &Path, port: u16, callback: &str) -> Provider {
    let script = folder.join(format!("provider-{port}.mjs"));
    std::fs::write(&script, include_str!("support/provider.mjs")).expect("the script");
    let mut command = Command::new("node");
    command.arg(&script).arg(port.to_string()).arg(callback).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("node");
    let mut output = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    let provider = Provider { child, _output: output };
    std::fs::remove_file(&script).expect("the script");
    assert_eq!(line.trim(), "listening");
    provider
}

/// A server that knows the provider.
fn server(port: u16, at: SocketAddr) -> (Folder, Server) {
    let folder = Folder::and(&format!(
        "public_url: http://{at}\nsecrets_dir: ./secrets\noidc:\n  issuer: http://localhost:{port}\n  client_id: sortie\n  \
         client_secret: \"${{secret:OIDC}}\"\n  roles: {{ soc: analyst, soc-leads: admin }}\n"
    ));
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    folder.write("secrets/OIDC", "the secret of the test & more\n");
    let server = Server::try_start_at(&folder, at).expect("it starts");
    (folder, server)
}

/// Signs in at the provider under a name, and agrees to what Sortie asks for.
fn at_the_provider(browser: &mut Browser, name: &str) {
    let there = |browser: &mut Browser, selector: &str| {
        let script = format!("document.readyState === 'complete' && document.querySelector(\"{selector}\") !== null");
        eventually(selector, || (browser.try_ask(&script) == Some(true.into())).then_some(()));
    };
    there(browser, "input[name=login]");
    browser.fill("input[name=login]", name);
    browser.fill("input[name=password]", "any");
    browser.click("button[type=submit]");
    there(browser, "input[name=prompt][value=consent]");
    browser.click("button[type=submit]");
}

#[test]
fn a_person_signs_in_through_the_provider_and_has_the_role_of_the_group() {
    let (Some(installed), Some(mut browser)) = (installed(), Browser::start()) else { return };
    let (at, port) = (free(), free().port());
    let _provider = start(&installed, port, &format!("http://{at}/sign-in/oidc/callback"));
    let (_folder, server) = server(port, at);
    browser.open(&format!("http://{at}/runs?status=failed"));
    browser.click_text("Sign in with your organisation");
    at_the_provider(&mut browser, "alice");
    let path = "location.pathname + location.search";
    eventually("the page that was wanted", || {
        (browser.try_ask(path) == Some("/runs?status=failed".into())).then_some(())
    });
    assert!(browser.text().contains("oidc:alice, analyst"), "{}", browser.text());
    let trail = server.items("/v1/audit?action=signed_in");
    assert_eq!((trail.len(), trail[0]["actor"].as_str()), (1, Some("user:oidc:alice")));
    // The code and the state are used up.
    browser.open(&format!("http://{at}/sign-in/oidc/callback?code=x&state=y"));
    assert!(browser.text().contains("was not begun by this browser"), "{}", browser.text());
}

#[test]
fn a_person_without_a_role_here_gets_none() {
    let (Some(installed), Some(mut browser)) = (installed(), Browser::start()) else { return };
    let (at, port) = (free(), free().port());
    let _provider = start(&installed, port, &format!("http://{at}/sign-in/oidc/callback"));
    let (_folder, server) = server(port, at);
    browser.open(&format!("http://{at}/sign-in/oidc?to=//evil.example"));
    at_the_provider(&mut browser, "mallory");
    let refusal = "document.body.innerText.includes('no value of the claim `groups` means a role')";
    eventually("the refusal", || (browser.try_ask(refusal) == Some(true.into())).then_some(()));
    browser.open(&format!("http://{at}/runs"));
    assert!(browser.path().starts_with("/sign-in"), "{}", browser.path());
    let refused = server.items("/v1/audit?action=refused");
    assert!(refused.iter().any(|entry| entry["detail"]["code"] == "sign_in_refused"), "{refused:?}");
}

#[test]
fn without_a_provider_there_is_no_way_in_through_one_and_with_a_wrong_one_it_is_said() {
    let plain = Folder::new();
    let without = Server::start(&plain);
    assert_eq!(without.client().anonymous().get("/sign-in/oidc").problem(404), "not_found");
    assert_eq!(without.client().anonymous().get("/sign-in/oidc/callback?code=a&state=b").problem(404), "not_found");
    let at = free();
    let (_folder, server) = server(free().port(), at);
    assert_eq!(server.client().anonymous().get("/sign-in/oidc").problem(502), "sign_in_failed");
    let foreign = server.client().anonymous().get("/sign-in/oidc/callback?code=a&state=b");
    assert_eq!(foreign.problem(403), "sign_in_refused");
}
