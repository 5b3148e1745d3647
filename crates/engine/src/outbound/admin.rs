//! What the command line asks of a running server: one client for one address, the operator's own.
//!
//! Invariants: it talks to the server that the operator named and to nothing else; redirects are not followed, proxy
//! variables are not read, so the token reaches nobody else. It is no way out for playbooks: the egress policy does not
//! apply, because the server of an operator is usually on loopback or in a private network.

use std::io::Write;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;

use super::client::classify;
use super::pinned::tls;
use super::{Secret, SendError};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the server may stay silent.
const SILENCE: Duration = Duration::from_secs(60);
/// Largest answer that is held in memory, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Admin {
    client: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
}

/// Why a server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is not one.
    #[error("`{0}` is not the address of a server, such as http://127.0.0.1:7300")]
    Address(String),
    /// The token cannot be sent.
    #[error("the token holds characters that no token has")]
    Token,
    /// It does not answer.
    #[error(transparent)]
    Send(#[from] SendError),
    /// It answers more than can be held.
    #[error("the answer is larger than {ANSWER_BYTES_MAX} bytes; ask for less with --limit")]
    TooLarge,
    /// What it sent cannot be kept.
    #[error("cannot write what the server sent: {0}")]
    Write(#[from] std::io::Error),
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Admin {
    /// For a server, with the token of its API if there is one, and the certificate that the server of this machine
    /// shows, PEM.
    ///
    /// # Errors
    /// [`AdminError::Address`] or [`AdminError::Token`]; [`AdminError::Send`] when TLS cannot be set up.
    pub fn new(server: &str, token: Option<&Secret>, own: Option<&[u8]>) -> Result<Admin, AdminError> {
        let wrong = || AdminError::Address(server.chars().take(80).collect());
        let base = Url::parse(server).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() || !base.username().is_empty() {
            return Err(wrong());
        }
        let authorization = match token {
            None => None,
            Some(token) => {
                let mut value =
                    HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| AdminError::Token)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let config = tls(own).map_err(|_| SendError::Invalid)?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tls_backend_preconfigured(config)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|_| SendError::Invalid)?;
        Ok(Admin { client, base, authorization })
    }

    /// Asks. `segments` are the parts of the path; they are encoded here, so that an id can never become another path.
    ///
    /// # Errors
    /// [`AdminError`] when there is no whole answer. An answer with an error status is an answer.
    pub async fn ask(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply, AdminError> {
        let mut response = self.send(method, segments, query, body).await?;
        let status = response.status().as_u16();
        let mut all = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| classify(&e))? {
            if all.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(AdminError::TooLarge);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(Reply { status, body: all })
    }

    /// Asks for something large and writes it to `out` as it comes. Answers the bytes written, or the refusal.
    ///
    /// # Errors
    /// [`AdminError`] when there is no whole answer, or it cannot be written.
    pub async fn download(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        out: &mut (dyn Write + Send),
    ) -> Result<Result<u64, Reply>, AdminError> {
        let mut response = self.send(method, segments, query, None).await?;
        let status = response.status().as_u16();
        let good = response.status().is_success();
        let mut refusal = Vec::new();
        let mut bytes = 0;
        while let Some(chunk) = response.chunk().await.map_err(|e| classify(&e))? {
            if good {
                out.write_all(&chunk)?;
                bytes += chunk.len() as u64;
            } else if refusal.len() + chunk.len() <= ANSWER_BYTES_MAX {
                refusal.extend_from_slice(&chunk);
            }
        }
        Ok(if good { Ok(bytes) } else { Err(Reply { status, body: refusal }) })
    }

    async fn send(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<reqwest::Response, AdminError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| AdminError::Address(self.base.to_string()))?
            .pop_if_empty()
            .extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = reqwest::Request::new(method, url);
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        if let Some(body) = body {
            request.headers_mut().insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.to_string().into());
        }
        Ok(self.client.execute(request).await.map_err(|e| classify(&e))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_of_a_server_is_taken() {
        for bad in ["", "localhost", "ftp://h/", "http://", "http://u:p@h/", "file:///x"] {
            assert!(matches!(Admin::new(bad, None, None), Err(AdminError::Address(_))), "{bad}");
        }
        assert!(Admin::new("http://127.0.0.1:7300", None, None).is_ok());
    }

    #[test]
    fn a_token_does_not_show() {
        let admin = Admin::new("http://127.0.0.1:1", Some(&Secret::new("hunter2")), None).unwrap();
        assert!(!format!("{admin:?}").contains("hunter2"));
        assert!(matches!(Admin::new("http://h/", Some(&Secret::new("a\nb")), None), Err(AdminError::Token)));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let admin = Admin::new(&format!("http://{address}"), None, None).unwrap();
        let error = admin.ask(Method::GET, &["healthz"], &[], None).await.unwrap_err();
        assert!(matches!(error, AdminError::Send(SendError::Connect(_))), "{error:?}");
    }
}
