//! A receiver of webhooks: a real HTTP server on the loopback address, with answers from a script. What it is sent comes
//! back through a channel, in the order of arrival.

use std::collections::VecDeque;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver as Channel, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;
use super::client::{read_chunks, read_headers};

/// How the receiver answers one request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// With this status.
    Status(u16),
    /// With this status and these headers.
    With(u16, Vec<(&'static str, String)>),
    /// With this status and body.
    Body(u16, Vec<u8>),
    /// Not at all, until the receiver is released.
    Hang,
    /// By closing the connection after the request was read.
    Reset,
    /// With a body that never ends, a byte at a time.
    Drip,
    /// With these bytes, whatever they are, and then an end.
    Raw(Vec<u8>),
    /// With a body that never ends, as fast as it can.
    Flood,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// The method.
    pub(crate) method: String,
    /// The path with its query.
    pub(crate) path: String,
    /// The headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body as it came.
    pub(crate) body: Vec<u8>,
    /// When it had arrived.
    pub(crate) at: Instant,
}

impl Received {
    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The `webhook-id`.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.header("webhook-id").expect("a webhook-id").to_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// The receiver.
pub(crate) struct Receiver {
    address: SocketAddr,
    requests: Mutex<Channel<Received>>,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<VecDeque<Reply>>,
    otherwise: Mutex<Reply>,
    connections: AtomicUsize,
    released: (Mutex<bool>, Condvar),
}

impl Receiver {
    /// A receiver that answers 200.
    pub(crate) fn start() -> Receiver {
        Receiver::scripted(&[])
    }

    /// A receiver with these answers first, in this order, and then 200.
    pub(crate) fn scripted(script: &[Reply]) -> Receiver {
        Receiver::on(TcpListener::bind("127.0.0.1:0").expect("a port"), script)
    }

    /// A receiver at an address that a test has chosen.
    pub(crate) fn on(listener: TcpListener, script: &[Reply]) -> Receiver {
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            script: Mutex::new(script.iter().cloned().collect()),
            otherwise: Mutex::new(Reply::Status(200)),
            connections: AtomicUsize::new(0),
            released: (Mutex::new(false), Condvar::new()),
        });
        let (send, requests) = mpsc::channel();
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                all.connections.fetch_add(1, Ordering::SeqCst);
                let (shared, send) = (Arc::clone(&all), send.clone());
                std::thread::spawn(move || serve(&stream, &shared, &send));
            }
        });
        Receiver { address, requests: Mutex::new(requests), shared }
    }

    /// What it answers once the script is at its end.
    pub(crate) fn otherwise(&self, reply: Reply) {
        *self.shared.otherwise.lock().unwrap() = reply;
    }

    /// Its URL with this path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were opened to it, whether or not anything was sent.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The next request.
    #[track_caller]
    pub(crate) fn next(&self) -> Received {
        self.requests.lock().unwrap().recv_timeout(PATIENCE).expect("a request arrives")
    }

    /// What has arrived and was not looked at yet.
    pub(crate) fn waiting(&self) -> Vec<Received> {
        self.requests.lock().unwrap().try_iter().collect()
    }

    /// Lets everything go that hangs.
    pub(crate) fn release(&self) {
        *self.shared.released.0.lock().unwrap() = true;
        self.shared.released.1.notify_all();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.release();
    }
}

fn serve(stream: &TcpStream, shared: &Shared, send: &Sender<Received>) {
    let Ok(reading) = stream.try_clone() else { return };
    let mut from = BufReader::new(reading);
    // A connection is used again until one side has enough of it.
    while let Ok(request) = read_request(&mut from) {
        let reply = {
            let next = shared.script.lock().unwrap().pop_front();
            next.unwrap_or_else(|| shared.otherwise.lock().unwrap().clone())
        };
        // A test that has ended does not listen any more.
        let _ = send.send(request);
        if answer(stream, shared, reply).is_err() {
            return;
        }
    }
}

fn read_request(from: &mut BufReader<TcpStream>) -> std::io::Result<Received> {
    let mut line = String::new();
    if std::io::BufRead::read_line(from, &mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = read_headers(from)?;
    let find = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let mut body = Vec::new();
    if find("transfer-encoding").is_some() {
        body = read_chunks(from)?;
    } else if let Some(length) = find("content-length").and_then(|text| text.parse().ok()) {
        body = vec![0; length];
        from.read_exact(&mut body)?;
    }
    Ok(Received { method, path, headers, body, at: Instant::now() })
}

/// Answers; an error ends the connection.
fn answer(stream: &TcpStream, shared: &Shared, reply: Reply) -> std::io::Result<()> {
    let end = || Err(std::io::ErrorKind::ConnectionAborted.into());
    match reply {
        Reply::Status(status) => write(stream, status, &[], b""),
        Reply::With(status, headers) => write(stream, status, &headers, b""),
        Reply::Body(status, body) => write(stream, status, &[], &body),
        Reply::Reset => end(),
        Reply::Hang => {
            let (released, bell) = &shared.released;
            let mut released = released.lock().unwrap();
            while !*released {
                released = bell.wait(released).unwrap();
            }
            end()
        }
        Reply::Raw(bytes) => {
            (&*stream).write_all(&bytes)?;
            end()
        }
        Reply::Drip => {
            (&*stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")?;
            loop {
                (&*stream).write_all(b"x")?;
                let (released, bell) = &shared.released;
                let (released, _) = bell.wait_timeout(released.lock().unwrap(), Duration::from_millis(100)).unwrap();
                if *released {
                    return end();
                }
            }
        }
        Reply::Flood => {
            (&*stream).write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
            loop {
                (&*stream).write_all(&chunk)?;
                if *shared.released.0.lock().unwrap() {
                    return end();
                }
            }
        }
    }
}

fn write(stream: &TcpStream, status: u16, headers: &[(&'static str, String)], body: &[u8]) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut stream = stream;
    stream.write_all(&[text.as_bytes(), body].concat())
}
