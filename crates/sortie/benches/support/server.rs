//! The server under test: the real binary, as a child, on a folder of its own.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::Result;

/// How long a start may take before it is given up.
pub(crate) const START_MAX: Duration = Duration::from_secs(60);
/// How often something that cannot be waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A folder with everything that the server needs: configuration, playbooks, data.
pub(crate) struct Site {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    binary: PathBuf,
}

impl Site {
    /// Makes a site. `durability` is that of the configuration, `data` the data folder, `destinations` are names with
    /// URLs (and further keys, if any), `playbooks` are texts.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn make(
        binary: &str,
        folder: &Path,
        (data, durability): (&Path, &str),
        destinations: &[(&str, String, &str)],
        playbooks: &[String],
    ) -> Result<Site> {
        let address = free_address()?;
        std::fs::create_dir_all(folder.join("playbooks"))?;
        let configuration = format!(
            "listen: {address}\ndata: {}\ndurability: {durability}\nplaybooks: ./playbooks\nauth: none\n\
             sources: {{ generic: {{ auth: none }} }}\negress: {{ allow: [127.0.0.0/8], allow_http: true }}\n\
             log: {{ level: warn }}\n",
            data.display()
        );
        std::fs::write(folder.join("sortie.yaml"), configuration)?;
        let mut text = String::from("destinations:\n");
        for (name, url, more) in destinations {
            let _ = writeln!(text, "  {name}: {{ kind: webhook, url: \"{url}\"{more} }}");
        }
        std::fs::write(folder.join("destinations.yaml"), text)?;
        for (n, playbook) in playbooks.iter().enumerate() {
            std::fs::write(folder.join(format!("playbooks/{n:05}.yaml")), playbook)?;
        }
        Ok(Site { folder: folder.to_owned(), address, binary: binary.into() })
    }

    /// Starts the server; it is not ready yet.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn(&self) -> Result<Server> {
        let log = File::options().append(true).create(true).open(self.folder.join("server.log"))?;
        let child = Command::new(&self.binary)
            .args(["serve", "--config", "sortie.yaml"])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Server::of(child, self.address))
    }

    /// Starts the server and waits until it accepts events.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(crate) fn start(&self) -> Result<Server> {
        let mut server = self.spawn()?;
        server.ready().map_err(|error| format!("{error}\n{}", self.log_end()))?;
        Ok(server)
    }

    /// The end of what the server has logged.
    pub(crate) fn log_end(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    spawned: Instant,
}

impl Server {
    /// A child that will listen on `address`, started by the caller.
    pub(crate) fn of(child: Child, address: SocketAddr) -> Server {
        Server { child, address, spawned: Instant::now() }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it accepts events; answers how long that took from its start on.
    ///
    /// # Errors
    /// When it ends, or does not get ready in time.
    pub(crate) fn ready(&mut self) -> Result<Duration> {
        while self.spawned.elapsed() < START_MAX {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the server ended: {status}").into());
            }
            if is_ready(self.address) {
                return Ok(self.spawned.elapsed());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err("the server did not get ready".into())
    }

    /// How it ended, if it did so by itself.
    ///
    /// # Errors
    /// When the process cannot be looked at.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends it as a power switch would: SIGKILL.
    ///
    /// # Errors
    /// When the process cannot be reached.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal by its name, such as `TERM`.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status()?;
        if status.success() { Ok(()) } else { Err(format!("SIG{name} could not be sent").into()) }
    }

    /// Ends it politely and answers whether it said that all is well, and how long it took.
    ///
    /// # Errors
    /// When it does not end.
    pub(crate) fn stop(mut self) -> Result<(bool, Duration)> {
        let began = Instant::now();
        self.signal("TERM")?;
        let ended = wait_for(Duration::from_secs(30), || self.child.try_wait().ok().flatten());
        let status = ended.ok_or("the server did not end after SIGTERM")?;
        Ok((status.success(), began.elapsed()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until there is something to see.
pub(crate) fn wait_for<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        let seen = look();
        if seen.is_some() || began.elapsed() > patience {
            return seen;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// An address on which nobody listens now.
///
/// # Errors
/// When there is none.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// Whether `/readyz` answers 200.
fn is_ready(address: SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
