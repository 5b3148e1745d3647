//! The server as a child process.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::command::{command, signal};
use super::{Answer, Client, Folder, eventually, within};

/// How long a server may take to end after it was told to.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    client: Client,
    log: Log,
    _folder: Folder,
}

/// What it has said so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<String>>);

impl Log {
    /// All of it.
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    /// Waits until it holds this text.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        eventually(&format!("`{text}` in the log"), || self.text().contains(text).then_some(()));
    }
}

impl Server {
    /// Starts a server in a folder and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(folder: &Folder) -> Server {
        Server::start_with(folder, &[])
    }

    /// The same, with these in its environment.
    #[track_caller]
    pub(crate) fn start_with(folder: &Folder, environment: &[(&str, &str)]) -> Server {
        let start = || Server::try_start(folder, environment);
        start().or_else(|_| start()).unwrap_or_else(|(status, log)| panic!("no start ({status}): {log}"))
    }

    /// The same, after these commands of a shell: limits, a file system of its own.
    #[track_caller]
    pub(crate) fn start_under(folder: &Folder, shell: &str) -> Server {
        let mut command = crate::support::command::shell(folder, shell);
        let address = listen(folder);
        Server::spawn(command.arg("serve"), folder, address)
            .unwrap_or_else(|(status, log)| panic!("no start ({status}): {log}"))
    }

    /// Starts a server that may refuse to start: then how it ended, and what it said.
    #[track_caller]
    pub(crate) fn try_start(folder: &Folder, environment: &[(&str, &str)]) -> Result<Server, (ExitStatus, String)> {
        let address = listen(folder);
        Server::spawn(command(folder).arg("serve").envs(environment.iter().copied()), folder, address)
    }

    /// The same, at an address that is chosen by the test.
    #[track_caller]
    pub(crate) fn try_start_at(folder: &Folder, address: SocketAddr) -> Result<Server, (ExitStatus, String)> {
        Server::spawn(command(folder).args(["serve", "--listen", &address.to_string()]), folder, address)
    }

    fn spawn(command: &mut Command, folder: &Folder, address: SocketAddr) -> Result<Server, (ExitStatus, String)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Log::default();
        collect(child.stdout.take().expect("a pipe"), &log);
        let talk = collect(child.stderr.take().expect("a pipe"), &log);
        let mut server = Server { child, client: Client::new(address), log, _folder: folder.clone() };
        if let Some(config) = super::certificate::client_config(folder) {
            server.client = server.client.over_tls(config);
        }
        let ended = eventually("the server is ready, or says why not", || {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Some(Some(status));
            }
            let ready = server.client.try_request("GET", "/readyz", &[], b"");
            ready.is_ok_and(|answer| answer.status == 200).then_some(None)
        });
        if let Some(status) = ended {
            talk.join().expect("the log");
            return Err((status, server.log.text()));
        }
        if let Ok(token) = std::fs::read_to_string(folder.data().join("admin.token")) {
            server.client = server.client.with_token(&token);
        }
        Ok(server)
    }

    /// A client with the administrator's token.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What it has said.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it holds, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }

    /// Sends one event in the generic shape.
    #[track_caller]
    pub(crate) fn event(&self, event: &Value) -> Answer {
        self.client.anonymous().post("/v1/in/generic", event)
    }

    /// Sends one event that must be accepted; the answer.
    #[track_caller]
    pub(crate) fn accepted(&self, event: &Value) -> Value {
        self.event(event).ok(202)
    }

    /// The run, once it has one of the terminal statuses.
    #[track_caller]
    pub(crate) fn ended_run(&self, id: &str) -> Value {
        const ENDED: [&str; 6] =
            ["succeeded", "succeeded_with_warnings", "failed", "timed_out", "cancelled", "needs_attention"];
        eventually(&format!("run {id} ends"), || {
            let run = self.client.get(&format!("/v1/runs/{id}")).ok(200);
            ENDED.contains(&run["status"].as_str().unwrap_or_default()).then_some(run)
        })
    }

    /// The first items of a listing.
    #[track_caller]
    pub(crate) fn items(&self, path: &str) -> Vec<Value> {
        self.client.get(path).ok(200)["items"].as_array().expect("items").clone()
    }

    /// All items of a listing, page after page. `path` has a query.
    #[track_caller]
    pub(crate) fn all_items(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut page = self.client.get(path).ok(200);
        loop {
            items.extend(page["items"].as_array().expect("items").iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { return items };
            page = self.client.get(&format!("{path}&cursor={cursor}")).ok(200);
        }
    }

    /// Ends it as a power cut would: no warning, no time.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Asks it to stop, and waits for its end.
    #[track_caller]
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        signal(self.child.id(), "TERM");
        let status = self.wait();
        (status, self.log.text())
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        within(END_PATIENCE, || self.child.try_wait().expect("wait"))
            .unwrap_or_else(|| panic!("did not end within {END_PATIENCE:?}: {}", self.log.text()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The lines of a failed test are shown by the test runner.
            let log = self.log.text();
            let from = log.char_indices().rev().nth(4_000).map_or(0, |(at, _)| at);
            println!("the server said: {}", &log[from..]);
        }
    }
}

/// Where the ports of servers begin: below those that the system gives to connections and to receivers, so that the port
/// of a server that was killed is nobody else's in between.
const PORTS_FROM: u16 = 16_000;
/// How many there are.
const PORTS: u16 = 16_000;

/// Chooses a free port and writes it into the configuration, so that the commands of the folder find the server.
fn listen(folder: &Folder) -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test runs beside this one begin elsewhere.
    let begin = u16::try_from(std::process::id() % u32::from(PORTS)).expect("below the number of ports");
    let address = (0..PORTS)
        .map(|_| {
            let n = NEXT.fetch_add(1, Ordering::SeqCst);
            SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS_FROM + (begin.wrapping_add(n)) % PORTS))
        })
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port");
    let old = folder.read("sortie.yaml");
    let kept: Vec<&str> = old.lines().filter(|line| !line.starts_with("listen:")).collect();
    folder.write("sortie.yaml", &format!("listen: {address}\n{}\n", kept.join("\n")));
    address
}

fn collect(from: impl std::io::Read + Send + 'static, log: &Log) -> std::thread::JoinHandle<()> {
    let log = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let mut text = log.0.lock().unwrap();
            text.push_str(&String::from_utf8_lossy(&line));
            text.push('\n');
        }
    })
}
