//! A client for HTTP/1.1 that does what it is told, also what no library would do: one connection for each request, the
//! bytes as given.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use serde_json::Value;

use super::PATIENCE;

/// Who asks, and where.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<String>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body as it came.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}), status {}: {}", self.status, self.text()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The body as JSON, if the answer has this status.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        self.expect(status).json()
    }

    /// The `code` of a problem, after looking at its shape.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let body = self.json();
        assert_eq!(body["status"], status);
        for key in ["type", "title", "detail", "code"] {
            assert!(body[key].as_str().is_some_and(|text| !text.is_empty()), "{key} in {body}");
        }
        body["code"].as_str().unwrap().to_owned()
    }
}

impl Client {
    /// A client without a token.
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client { address, token: None, tls: None }
    }

    /// The same with a token.
    pub(crate) fn with_token(&self, token: &str) -> Client {
        Client { token: Some(token.trim().to_owned()), ..self.clone() }
    }

    /// The same without a token.
    pub(crate) fn anonymous(&self) -> Client {
        Client { token: None, ..self.clone() }
    }

    /// The same over TLS.
    pub(crate) fn over_tls(&self, config: Arc<rustls::ClientConfig>) -> Client {
        Client { tls: Some(config), ..self.clone() }
    }

    /// Where it asks.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    /// Sends JSON.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, body)
    }

    /// Changes with JSON.
    #[track_caller]
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.json("PATCH", path, body)
    }

    #[track_caller]
    fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.request(method, path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    /// Any request with a body and its length.
    #[track_caller]
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_request(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The same, where the server may be gone.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut stream: Box<dyn Both> = match &self.tls {
            None => Box::new(self.connect()?),
            Some(config) => {
                let name = self.address.ip().into();
                let connection = rustls::ClientConnection::new(Arc::clone(config), name).expect("a connection");
                Box::new(rustls::StreamOwned::new(connection, self.connect()?))
            }
        };
        stream.write_all(head.as_bytes())?;
        // A server may answer and close before it has read everything: the answer counts.
        let sent = stream.write_all(body);
        read_answer(&mut BufReader::new(stream)).or_else(|error| sent.and(Err(error)))
    }

    /// A connection, with deadlines.
    pub(crate) fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Sends bytes as they are and reads one answer.
    pub(crate) fn raw(&self, bytes: &[u8]) -> std::io::Result<Answer> {
        let mut stream = self.connect()?;
        let sent = stream.write_all(bytes);
        read_answer(&mut BufReader::new(stream)).or_else(|error| sent.and(Err(error)))
    }
}

trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

/// Reads one answer.
pub(crate) fn read_answer(from: &mut impl BufRead) -> std::io::Result<Answer> {
    let broken = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| broken("no status"))?;
    let headers = read_headers(from)?;
    let find = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let mut body = Vec::new();
    if let Some(length) = find("content-length").and_then(|text| text.parse::<u64>().ok()) {
        from.take(length).read_to_end(&mut body)?;
        if body.len() as u64 != length {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    } else if find("transfer-encoding").is_some() {
        body = read_chunks(from)?;
    } else if status != 204 {
        from.read_to_end(&mut body)?;
    }
    Ok(Answer { status, headers, body })
}

/// Reads headers up to the empty line.
pub(crate) fn read_headers(from: &mut impl BufRead) -> std::io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(headers);
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Reads a chunked body.
pub(crate) fn read_chunks(from: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(|_| std::io::ErrorKind::InvalidData)?;
        let mut chunk = vec![0; size];
        from.read_exact(&mut chunk)?;
        body.extend(chunk);
        from.read_line(&mut String::new())?;
        if size == 0 {
            return Ok(body);
        }
    }
}
