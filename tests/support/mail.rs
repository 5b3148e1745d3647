//! A mail server: real SMTP on the loopback address, with TLS or without, with answers from a script.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver as Channel, Sender};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::PATIENCE;

/// How connections begin.
#[derive(Clone)]
pub(crate) enum Way {
    /// With TLS.
    Tls(Arc<rustls::ServerConfig>),
    /// In the clear, with `STARTTLS` on offer.
    StartTls(Arc<rustls::ServerConfig>),
    /// In the clear, without it.
    Plain,
}

/// A message that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    /// From whom, as the envelope says.
    pub(crate) from: String,
    /// To whom, as the envelope says.
    pub(crate) to: Vec<String>,
    /// What was said to log in.
    pub(crate) login: Option<String>,
    /// Whether it came over TLS.
    pub(crate) tls: bool,
    /// The message.
    pub(crate) text: String,
}

impl Mail {
    /// A header, unfolded and decoded.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> String {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
        let start = format!("{name}: ");
        let line =
            head.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("no {name} in {head}"));
        if !line.contains("=?utf-8?B?") {
            return line.to_owned();
        }
        let decode = |word: &str| {
            let inner = word.strip_prefix("=?utf-8?B?")?.strip_suffix("?=")?;
            Some(String::from_utf8(STANDARD.decode(inner).expect("base64")).expect("UTF-8"))
        };
        line.split(' ').map(|word| decode(word).unwrap_or_else(|| format!(" {word}"))).collect()
    }

    /// The decoded part of this kind, such as `text/plain`.
    #[track_caller]
    pub(crate) fn part(&self, kind: &str) -> String {
        let start = format!("Content-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n");
        let (_, rest) = self.text.split_once(&start).unwrap_or_else(|| panic!("no {kind} in {}", self.text));
        let (_, body) = rest.split_once("\r\n").expect("an empty line");
        let encoded: String = body.lines().take_while(|line| !line.starts_with("--")).collect();
        String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("UTF-8")
    }
}

/// The server.
pub(crate) struct MailServer {
    address: SocketAddr,
    mails: Mutex<Channel<Mail>>,
    shared: Arc<Shared>,
}

struct Shared {
    way: Way,
    script: Mutex<Vec<(String, String)>>,
    connections: AtomicUsize,
    heard: Mutex<Vec<String>>,
}

impl MailServer {
    /// A server that takes everything.
    pub(crate) fn start(way: Way) -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let script = Mutex::default();
        let shared = Arc::new(Shared { way, script, connections: AtomicUsize::new(0), heard: Mutex::default() });
        let (send, mails) = mpsc::channel();
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                all.connections.fetch_add(1, Ordering::SeqCst);
                let (shared, send) = (Arc::clone(&all), send.clone());
                std::thread::spawn(move || serve(stream, &shared, &send));
            }
        });
        MailServer { address, mails: Mutex::new(mails), shared }
    }

    /// Answers the next command that begins so with this line; `.` is the end of a message.
    pub(crate) fn once(&self, command: &str, reply: &str) {
        self.shared.script.lock().unwrap().push((command.to_owned(), reply.to_owned()));
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections were opened to it.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Every command that it was told.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// The next message.
    #[track_caller]
    pub(crate) fn next(&self) -> Mail {
        self.mails.lock().unwrap().recv_timeout(PATIENCE).expect("a message arrives")
    }

    /// Messages that have arrived and were not looked at yet.
    pub(crate) fn waiting(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().try_iter().collect()
    }
}

trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

fn encrypted(config: &Arc<rustls::ServerConfig>, stream: TcpStream) -> Box<dyn Both> {
    let connection = rustls::ServerConnection::new(Arc::clone(config)).expect("a connection");
    Box::new(rustls::StreamOwned::new(connection, stream))
}

/// Serves one connection; what goes wrong ends it.
fn serve(stream: TcpStream, shared: &Shared, send: &Sender<Mail>) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    match &shared.way {
        Way::Tls(config) => {
            let _ = talk(encrypted(config, stream), (shared, send), true, true);
        }
        Way::Plain => {
            let _ = talk(Box::new(stream), (shared, send), false, true);
        }
        Way::StartTls(config) => {
            let bare = stream.try_clone().expect("a clone");
            if talk(Box::new(stream), (shared, send), false, true).is_ok_and(|starts| starts) {
                let _ = talk(encrypted(config, bare), (shared, send), true, false);
            }
        }
    }
}

/// The conversation; answers whether TLS begins now.
fn talk(
    stream: Box<dyn Both>,
    (shared, send): (&Shared, &Sender<Mail>),
    tls: bool,
    greet: bool,
) -> std::io::Result<bool> {
    let mut stream = BufReader::new(stream);
    let say = |stream: &mut BufReader<Box<dyn Both>>, line: &str| {
        stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        stream.get_mut().flush()
    };
    let scripted = |command: &str| {
        let mut script = shared.script.lock().unwrap();
        let at = script.iter().position(|(start, _)| command.starts_with(start.as_str()))?;
        Some(script.remove(at).1)
    };
    if greet {
        let hello = scripted("CONNECT").unwrap_or_else(|| "220 mail.example ESMTP".to_owned());
        say(&mut stream, &hello)?;
    }
    let mut mail = Mail { from: String::new(), to: Vec::new(), login: None, tls, text: String::new() };
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        let line = line.trim_end().to_owned();
        shared.heard.lock().unwrap().push(line.clone());
        if let Some(reply) = scripted(&line) {
            say(&mut stream, &reply)?;
            continue;
        }
        let inside = |line: &str| line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        match line.split(' ').next().unwrap_or_default() {
            "EHLO" if !tls && matches!(shared.way, Way::StartTls(_)) => {
                say(&mut stream, "250-mail.example\r\n250 STARTTLS")?;
            }
            "EHLO" => say(&mut stream, "250-mail.example\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN")?,
            "STARTTLS" => {
                say(&mut stream, "220 go ahead")?;
                return Ok(true);
            }
            "AUTH" => {
                let said = line.rsplit(' ').next().unwrap_or_default();
                mail.login = Some(String::from_utf8_lossy(&STANDARD.decode(said).unwrap_or_default()).into_owned());
                say(&mut stream, "235 welcome")?;
            }
            "MAIL" => {
                mail.from = inside(&line);
                mail.to.clear();
                say(&mut stream, "250 ok")?;
            }
            "RCPT" => {
                mail.to.push(inside(&line));
                say(&mut stream, "250 ok")?;
            }
            "DATA" => {
                say(&mut stream, "354 go ahead")?;
                mail.text = body(&mut stream)?;
                if let Some(reply) = scripted(".") {
                    say(&mut stream, &reply)?;
                    continue;
                }
                // A test that has ended does not listen any more.
                let _ = send.send(mail.clone());
                say(&mut stream, "250 2.0.0 queued as 4711")?;
            }
            "QUIT" => return say(&mut stream, "221 bye").map(|()| false),
            _ => say(&mut stream, "500 what?")?,
        }
    }
}

/// A message, its dots unstuffed.
fn body(stream: &mut BufReader<Box<dyn Both>>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if line == ".\r\n" || line.is_empty() {
            return Ok(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
