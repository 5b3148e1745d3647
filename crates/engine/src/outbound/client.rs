//! The client itself: opens checked connections, waits a bounded time, reads a bounded answer.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::{Instant, timeout_at};

use super::address::Egress;
use super::login::Tokens;
use super::resolve::{self, Guard, ResolveError, Resolver};
use super::target::Target;
use super::{ANSWER_HEADER_BYTES_MAX, ANSWER_HEADERS_MAX, ConnectError, Limits, Request, SendError, Sent};
use crate::fair::{Bounds, Place, Places, Share};
use crate::slot;

/// Most clients kept, one for each port and kind of connection.
const CLIENTS_MAX: usize = 64;
/// Most keys whose requests in flight are counted before those without any are forgotten.
const KEYS_MAX: usize = 1024;
/// How long a request waits for a place among those in flight for its key, while none becomes free: where a destination
/// hangs, the run should rather rest than wait here.
const PLACE_WAIT: Duration = Duration::from_millis(250);
/// How long it waits at most, where the destination only has much to do.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(2);
/// Most requests that wait for a place for one key: of one tenant as many as a few commits full of events make runs. They
/// hold no slot of the runner ([`slot`]), so that what one destination holds up holds up nobody else.
const WAITING_PER_KEY: Bounds = Bounds { share: 256, all: 512 };
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most unused connections kept for a host.
const IDLE_PER_HOST_MAX: usize = super::IN_FLIGHT_PER_KEY_MAX;
/// What we call ourselves.
const USER_AGENT: &str = concat!("sortie/", env!("CARGO_PKG_VERSION"));

/// Why there is no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// `egress.ca` holds no certificate.
    #[error("`egress.ca` is not a PEM file with certificates")]
    Certificates,
    /// `egress.proxy` is not a URL.
    #[error("`egress.proxy` is not the URL of a proxy")]
    Proxy,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls,
}

/// The one client. Cheap to clone; clones share connections and bounds.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
}

struct Shared {
    egress: Arc<Egress>,
    limits: Limits,
    resolver: Arc<dyn Resolver>,
    tls: rustls::ClientConfig,
    /// By port and whether connections are used once. The resolver must know the port to judge an address.
    clients: Mutex<HashMap<(u16, bool), reqwest::Client>>,
    /// By key and number of places.
    slots: Mutex<HashMap<(String, usize), Places>>,
    tokens: Tokens,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("egress", &self.shared.egress).finish_non_exhaustive()
    }
}

impl Outbound {
    /// A client under a policy.
    ///
    /// # Errors
    /// [`BuildError`] when the policy's certificates or proxy cannot be used.
    pub fn new(egress: Egress, limits: Limits, resolver: Arc<dyn Resolver>) -> Result<Outbound, BuildError> {
        let tls = tls(egress.ca.as_deref())?;
        let shared = Shared {
            egress: Arc::new(egress),
            limits,
            resolver,
            tls,
            clients: Mutex::new(HashMap::new()),
            slots: Mutex::new(HashMap::new()),
            tokens: Tokens::default(),
        };
        let outbound = Outbound { shared: Arc::new(shared) };
        outbound.client(443, false)?;
        Ok(outbound)
    }

    /// The policy.
    pub fn egress(&self) -> &Egress {
        &self.shared.egress
    }

    /// The tokens of logins.
    pub(super) fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    /// Sends one request and waits for its answer, no longer than it says. Never panics, never follows, never retries.
    #[cfg(test)]
    pub(super) async fn send(&self, request: Request) -> Sent {
        self.send_unless(request, || false).await
    }

    /// The same, unless `paused` when its turn has come.
    pub(super) async fn send_unless(&self, request: Request, paused: impl Fn() -> bool) -> Sent {
        let place = self.place(&request.key, request.places, &request.tenant).await;
        let started = Instant::now();
        let failed = |error: SendError| Sent::without_answer(error, started.elapsed());
        let Some(_place) = place else { return failed(SendError::Busy) };
        if paused() {
            return failed(SendError::Paused);
        }
        let deadline = started + request.timeout.min(super::TOTAL_TIMEOUT_MAX);
        match timeout_at(deadline, self.head(&request)).await {
            Err(_) => failed(SendError::Timeout),
            Ok(Err(error)) => failed(error),
            Ok(Ok(response)) => read(response, &request, started, deadline).await,
        }
    }

    /// A place among those in flight for a key; a little later, when there is none now. Tenants take turns for them.
    pub(super) async fn place(&self, key: &str, places: Option<usize>, tenant: &str) -> Option<Place> {
        let (places, share) = (self.places(key, places), Share::of(tenant));
        match places.take(share, 1) {
            Some(place) => Some(place),
            None => {
                slot::lend();
                places.enter(share, 1, PLACE_WAIT, PLACE_WAIT_MAX).await
            }
        }
    }

    /// How long a connection may take to open.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.shared.limits.connect
    }

    /// The addresses of the mail server that may be connected to.
    pub(super) async fn mail_addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, SendError> {
        let permits = |address: &IpAddr| self.shared.egress.permits_mail(*address, port);
        let found = match host.parse::<IpAddr>() {
            Ok(literal) => vec![literal],
            Err(_) => resolve::addresses(self.shared.resolver.as_ref(), host).await.map_err(unresolved)?,
        };
        let allowed: Vec<IpAddr> = found.into_iter().filter(permits).collect();
        if allowed.is_empty() {
            return Err(SendError::Blocked);
        }
        Ok(allowed.into_iter().map(|address| (address, port).into()).collect())
    }

    /// The places for a key.
    fn places(&self, key: &str, places: Option<usize>) -> Places {
        let most = self.shared.limits.in_flight_per_key;
        let places = places.map_or(most, |places| places.clamp(1, most));
        let key = (key.to_owned(), places);
        let mut slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= KEYS_MAX && !slots.contains_key(&key) {
            slots.retain(|_, places| places.are_used());
        }
        slots.entry(key).or_insert_with(|| Places::new(places, WAITING_PER_KEY)).clone()
    }

    /// Sends and waits for the headers of the answer.
    async fn head(&self, request: &Request) -> Result<reqwest::Response, SendError> {
        self.check(&request.target).await?;
        let client = self.client(request.target.port(), request.fresh).map_err(|_| SendError::Invalid)?;
        let mut outgoing = reqwest::Request::new(request.method.clone(), request.target.url().clone());
        *outgoing.headers_mut() = request.headers.clone();
        if !request.body.is_empty() {
            *outgoing.body_mut() = Some(request.body.clone().into());
        }
        client.execute(outgoing).await.map_err(|error| classify(&error))
    }

    /// What the client's own resolver does not see: literal addresses, and what a proxy would resolve.
    async fn check(&self, target: &Target) -> Result<(), SendError> {
        match target.literal() {
            Some(address) if self.shared.egress.permits(address, target.port()) => Ok(()),
            Some(_) => Err(SendError::Blocked),
            None if self.shared.egress.proxy.is_some() => {
                let guard = self.guard(target.port(), None);
                guard.allowed(target.host()).await.map(|_| ()).map_err(unresolved)
            }
            None => Ok(()),
        }
    }

    fn guard(&self, port: u16, proxy: Option<Arc<str>>) -> Guard {
        Guard { resolver: self.shared.resolver.clone(), egress: self.shared.egress.clone(), port, proxy }
    }

    /// The client for a port.
    fn client(&self, port: u16, fresh: bool) -> Result<reqwest::Client, BuildError> {
        let mut clients = self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(port, fresh)) {
            return Ok(client.clone());
        }
        let (proxy, host) = match &self.shared.egress.proxy {
            None => (None, None),
            Some(proxy) => {
                let url = reqwest::Url::parse(&proxy.url).map_err(|_| BuildError::Proxy)?;
                let host = url.host_str().ok_or(BuildError::Proxy)?.into();
                (Some(reqwest::Proxy::all(url).map_err(|_| BuildError::Proxy)?), Some(host))
            }
        };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .tls_backend_preconfigured(self.shared.tls.clone())
            .dns_resolver(self.guard(port, host))
            .connect_timeout(self.shared.limits.connect)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(if fresh { 0 } else { IDLE_PER_HOST_MAX })
            .http1_max_headers(ANSWER_HEADERS_MAX)
            .http2_max_header_list_size(ANSWER_HEADER_BYTES_MAX);
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|_| BuildError::Tls)?;
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        clients.insert((port, fresh), client.clone());
        Ok(client)
    }
}

/// TLS with the public certificate authorities and those of the operator. There is no way to switch verification off.
pub(super) fn tls(ca: Option<&[u8]>) -> Result<rustls::ClientConfig, BuildError> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = ca {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| BuildError::Certificates)?;
        if certificates.is_empty() {
            return Err(BuildError::Certificates);
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|_| BuildError::Certificates)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| BuildError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Reads the beginning of the answer.
async fn read(mut response: reqwest::Response, request: &Request, started: Instant, deadline: Instant) -> Sent {
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    let mut bytes = 0_u64;
    let mut error = None;
    while bytes <= request.keep_bytes as u64 {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                bytes += chunk.len() as u64;
                let room = request.keep_bytes.saturating_sub(body.len());
                body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
            }
            Ok(Ok(None)) => break,
            Ok(Err(_)) => error = Some(SendError::Lost),
            Err(_) => error = Some(SendError::Timeout),
        }
        if error.is_some() {
            break;
        }
    }
    let truncated = error.is_some() || bytes > body.len() as u64;
    let text = text(&headers, &body, bytes, truncated, request);
    Sent {
        status: Some(status),
        headers,
        text,
        bytes,
        truncated,
        latency: started.elapsed(),
        error,
        placed: Vec::new(),
    }
}

/// The body as text without secrets. What is compressed stays closed: it could hide both a bomb and a secret.
fn text(headers: &HeaderMap, body: &[u8], bytes: u64, truncated: bool, request: &Request) -> String {
    let encoded =
        headers.get(CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded && !body.is_empty() {
        return format!("[{bytes} bytes of compressed data]");
    }
    request.redactor.clean(&String::from_utf8_lossy(body), truncated)
}

fn unresolved(error: ResolveError) -> SendError {
    match error {
        ResolveError::Blocked => SendError::Blocked,
        ResolveError::None => SendError::Dns,
    }
}

/// What an error of the client means. Decided by types along the chain of causes, never by text.
pub(super) fn classify(error: &reqwest::Error) -> SendError {
    let mut kind = None;
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<ResolveError>() {
            return unresolved(*found);
        }
        if let Some(found) = current.downcast_ref::<rustls::Error>() {
            return SendError::Tls(tls_reason(found));
        }
        let io = current.downcast_ref::<std::io::Error>();
        kind = io.map(std::io::Error::kind).or(kind);
        // The source of an I/O error is that of the error inside of it: ask for that one itself.
        cause = match io.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    if error.is_builder() {
        return SendError::Invalid;
    }
    if error.is_connect() {
        return SendError::Connect(match kind {
            _ if error.is_timeout() => ConnectError::TimedOut,
            Some(kind) => ConnectError::of(kind),
            None => ConnectError::Other,
        });
    }
    if error.is_timeout() { SendError::Timeout } else { SendError::Lost }
}

/// What is wrong with a TLS connection, for people.
pub(super) fn tls_reason(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => "its certificate has expired",
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "its certificate is for another name"
        }
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => "its certificate is of an unknown issuer",
        rustls::Error::InvalidCertificate(_) => "its certificate is not valid",
        _ => "the handshake failed",
    }
}
