//! A real browser, driven over its own debugging pipe: Chromium reads commands from descriptor 3 and writes answers to
//! descriptor 4, each a JSON text that ends with a zero byte. Nothing stands between the test and the page.
//!
//! Without Chromium the tests that need it say so and pass. `SORTIE_BROWSER` names it where it must be there.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::{Value, json};

use super::{PATIENCE, eventually};

/// Where Debian and others put it.
const PLACES: [&str; 4] =
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/usr/bin/google-chrome-stable"];
/// No first steps, no network of its own, nothing kept.
const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run \
--disable-background-networking --disable-component-update --disable-sync --remote-debugging-pipe";
/// Set in every page before its first script: what the page's policy has stopped.
const WATCH: &str = "window.stopped = []; addEventListener('securitypolicyviolation', \
(event) => window.stopped.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));";

/// Clicks after the answer is out: a page that is left gives none.
const LATER: &str = "((element) => { if (element) setTimeout(() => element.click(), 0); return Boolean(element); })";

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    next: u64,
    session: String,
    /// What dialogs have said: an alert is a script that ran.
    pub(crate) dialogs: Vec<String>,
    /// What scripts and the browser itself have complained about.
    pub(crate) errors: Vec<String>,
    _profile: tempfile::TempDir,
}

/// Where the browser is; nothing where there is none.
fn place() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("SORTIE_BROWSER") {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "SORTIE_BROWSER names {}, and that is no file", named.display());
        return Some(named);
    }
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file())
}

impl Browser {
    /// Starts it; says so and gives nothing where there is none.
    pub(crate) fn start() -> Option<Browser> {
        let Some(place) = place() else {
            eprintln!("SKIPPED: no Chromium on this machine (Debian: apt-get install chromium)");
            return None;
        };
        let profile = tempfile::tempdir().expect("a folder");
        let script = format!("exec \"$0\" {FLAGS} --user-data-dir=\"$1\" 3<&0 4>&1 </dev/null >/dev/null 2>&1");
        let mut command = Command::new("bash");
        command.args(["-c", &script]).arg(&place).arg(profile.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash");
        let (input, mut output) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
        let (send, messages) = channel();
        std::thread::spawn(move || {
            let (mut buffer, mut chunk) = (Vec::new(), [0; 65_536]);
            while let Ok(n) = output.read(&mut chunk) {
                if n == 0 {
                    return;
                }
                buffer.extend_from_slice(&chunk[..n]);
                while let Some(end) = buffer.iter().position(|byte| *byte == 0) {
                    let message: Vec<u8> = buffer.drain(..=end).collect();
                    let message = serde_json::from_slice(&message[..end]).expect("JSON from the browser");
                    if send.send(message).is_err() {
                        return;
                    }
                }
            }
        });
        let (session, dialogs, errors) = (String::new(), Vec::new(), Vec::new());
        let mut browser = Browser { child, input, messages, next: 0, session, dialogs, errors, _profile: profile };
        let target = browser.command("Target.createTarget", json!({ "url": "about:blank" }));
        let id = target["targetId"].as_str().expect("a target").to_owned();
        let attached = browser.command("Target.attachToTarget", json!({ "targetId": id, "flatten": true }));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "DOM"] {
            browser.command(&format!("{domain}.enable"), json!({}));
        }
        browser.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH }));
        Some(browser)
    }

    fn try_command(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.write(&message);
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let answer = self.messages.recv_timeout(left).unwrap_or_else(|error| panic!("{method}: {error}"));
            self.note(&answer);
            if answer["method"] == "Page.javascriptDialogOpening" {
                self.dialogs.push(answer["params"]["message"].as_str().unwrap_or_default().to_owned());
                self.next += 1;
                let accept = json!({ "id": self.next, "method": "Page.handleJavaScriptDialog",
                    "params": { "accept": true }, "sessionId": self.session });
                self.write(&accept);
            }
            if answer["id"] == id {
                let error = answer["error"].clone();
                return if error.is_null() { Ok(answer["result"].clone()) } else { Err(error) };
            }
        }
    }

    /// Takes down complaints. A page that is refused (404, 403) is one that the tests ask for.
    fn note(&mut self, message: &Value) {
        let said = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => &message["params"]["exceptionDetails"],
            Some("Log.entryAdded") if message["params"]["entry"]["level"] == "error" => &message["params"]["entry"],
            _ => return,
        };
        if said["source"] != "network" {
            self.errors.push(said.to_string());
        }
    }

    /// Makes the window so wide, and light or dark.
    #[track_caller]
    pub(crate) fn emulate(&mut self, width: u32, dark: bool) {
        let size = json!({ "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.command("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Chooses a file in a field, as a person does in the dialog of the system.
    #[track_caller]
    pub(crate) fn choose(&mut self, selector: &str, file: &std::path::Path) {
        let root = self.command("DOM.getDocument", json!({}))["root"]["nodeId"].clone();
        let found = self.command("DOM.querySelector", json!({ "nodeId": root, "selector": selector }));
        self.command("DOM.setFileInputFiles", json!({ "nodeId": found["nodeId"], "files": [file] }));
    }

    /// Lets downloads land in a folder.
    #[track_caller]
    pub(crate) fn download_to(&mut self, folder: &std::path::Path) {
        self.command("Page.setDownloadBehavior", json!({ "behavior": "allow", "downloadPath": folder }));
    }

    fn write(&mut self, message: &Value) {
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).expect("the browser reads");
    }

    #[track_caller]
    fn command(&mut self, method: &str, params: Value) -> Value {
        self.try_command(method, &params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The same, where the page may be about to leave: then nothing.
    pub(crate) fn try_ask(&mut self, script: &str) -> Option<Value> {
        let params = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let answer = self.try_command("Runtime.evaluate", &params).ok()?;
        answer.get("exceptionDetails").is_none().then(|| answer["result"]["value"].clone())
    }

    /// What this expression is in the page.
    #[track_caller]
    pub(crate) fn ask(&mut self, script: &str) -> Value {
        self.try_ask(script).unwrap_or_else(|| panic!("a script of the test failed: {script}"))
    }

    /// The text of the page, as a reader sees it.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        self.ask("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// The path and query of the page.
    #[track_caller]
    pub(crate) fn path(&mut self) -> String {
        self.ask("location.pathname + location.search").as_str().unwrap_or_default().to_owned()
    }

    /// Opens a page.
    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) {
        self.leaving(|browser| {
            browser.command("Page.navigate", json!({ "url": url }));
        });
    }

    /// Puts text into a field.
    #[track_caller]
    pub(crate) fn fill(&mut self, selector: &str, text: &str) {
        let script = format!(
            "(() => {{ const e = document.querySelector({}); e.value = {}; return e !== null; }})()",
            json!(selector),
            json!(text)
        );
        assert_eq!(self.ask(&script), true, "{selector}");
    }

    /// Clicks what leads to another page.
    #[track_caller]
    pub(crate) fn click(&mut self, selector: &str) {
        let script = format!("{LATER}(document.querySelector({}))", json!(selector));
        self.leaving(|browser| assert_eq!(browser.ask(&script), true, "nothing to click: {selector}"));
    }

    /// Clicks the link or button with this text, which leads to another page.
    #[track_caller]
    pub(crate) fn click_text(&mut self, text: &str) {
        let script = format!(
            "{LATER}([...document.querySelectorAll('a, button')].find((e) => e.innerText.trim() === {}))",
            json!(text)
        );
        self.leaving(|browser| assert_eq!(browser.ask(&script), true, "nothing to click: {text}"));
    }

    /// Does something after which another page stands there, loaded.
    #[track_caller]
    fn leaving(&mut self, act: impl FnOnce(&mut Browser)) {
        self.next += 1;
        let mark = self.next;
        self.ask(&format!("window.before = {mark}"));
        act(self);
        eventually("another page", || {
            let there = format!("document.readyState === 'complete' && window.before !== {mark}");
            (self.try_ask(&there) == Some(Value::Bool(true))).then_some(())
        });
    }

    /// Presses a key as a person does.
    #[track_caller]
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.command("Input.dispatchKeyEvent", event);
        }
    }

    /// Panics when a script of the page's content ran, or tried to.
    #[track_caller]
    pub(crate) fn nothing_ran(&mut self, place: &str) {
        assert_eq!(self.ask("typeof window.pwned"), "undefined", "{place}: a script ran");
        assert_eq!(self.ask("window.stopped"), json!([]), "{place}: something was tried");
        assert!(self.dialogs.is_empty(), "{place}: {:?}", self.dialogs);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser that is gone already needs no end.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<_> = self.child.wait();
    }
}
