//! The server against a real engine over the store's model in memory, asked over real connections.

mod abuse;
mod ingest;
mod rights;
mod runs;
mod tenants;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use engine::outbound::{Destinations, Effects, Outbound, Secret, Secrets, SystemResolver};
use model::record::Vocabulary;
use playbook::Evaluator;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{App, Door, Settings};
use crate::auth::Role;
use crate::auth::sender::{self, Sender};
use crate::auth::token::{RANDOM_BYTES, Token};

/// A running server.
struct Server {
    address: SocketAddr,
    app: Arc<App>,
    admin: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    fn code(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)))
            .map(|(_, v)| v)
    }
}

fn door(sender: Sender) -> Door {
    let source = engine::source::Source {
        name: "generic".to_owned(),
        timezone: "UTC".to_owned(),
        shape: engine::source::shape("generic", &crate::setup::evaluator().unwrap()).unwrap(),
        tenants: None,
    };
    Door { source, sender, allow: Vec::new(), tenant: None, unreadable: Arc::default(), heard: Arc::default() }
}

fn settings(data: &std::path::Path, tenants: &[&str]) -> Settings {
    let secret = |text: &str| sender::Secrets::new(vec![Secret::new(text)]).unwrap();
    let doors = BTreeMap::from([
        ("generic".to_owned(), door(Sender::Anyone)),
        ("guarded".to_owned(), door(Sender::Bearer(secret("open sesame")))),
        ("signed".to_owned(), door(Sender::StandardWebhooks(secret("whsec_c2VjcmV0")))),
    ]);
    Settings {
        auth_required: true,
        doors,
        tenants: (!tenants.is_empty()).then(|| tenants.iter().map(|t| (*t).to_owned()).collect()),
        limits: engine::source::Limits::default(),
        data: data.to_owned(),
        tls: None,
        four_eyes: None,
        public_url: None,
        oidc: None,
        trusted_proxies: Vec::new(),
        grace: Duration::from_secs(5),
        workshop: Arc::default(),
    }
}

async fn engine() -> Engine {
    engine_over(Arc::new(store::Memory::new(engine::clock::wall)), "").await
}

/// An engine over this store, with the playbook of this text when there is one.
async fn engine_over(store: Arc<dyn store::Store>, playbook: &str) -> Engine {
    let words = Vocabulary::default();
    let catalog = engine::catalog(None, words.clone(), None, None);
    let evaluator = Evaluator::new(crate::memory::allocated).unwrap();
    let source = playbook::Source { file: Arc::from("test.yaml"), text: playbook.to_owned() };
    let compiled = (!playbook.is_empty()).then(|| playbook::compile(&source, &catalog, &evaluator).unwrap());
    let egress = engine::outbound::Egress::default();
    let setup = engine::Setup {
        store,
        evaluator,
        words,
        node: "test".to_owned(),
        effects: Effects::live(
            Outbound::new(egress, engine::outbound::Limits::default(), Arc::new(SystemResolver)).unwrap(),
        ),
        secrets: Secrets::new(Arc::new(engine::outbound::secret::FromMachine { dir: None })),
        vault: Arc::new(engine::outbound::vault::Vault::closed()),
        destination_rules: engine::registry::DestinationRules::default(),
        destinations: Destinations::default(),
        triage: engine::triage::Triage::default(),
        public_url: None,
        playbooks: compiled.into_iter().map(Arc::new).collect(),
        catalog,
        runs_max: 4,
        retention: store::Retention { age: Duration::from_secs(86_400), runs: 1_000, bytes: 1_000_000_000 },
        four_eyes: false,
    };
    Engine::start(setup).await.unwrap()
}

impl Server {
    async fn start() -> Server {
        Server::with_tenants(&[]).await
    }

    async fn with_tenants(tenants: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        Server::over(engine().await, folder, tenants).await
    }

    /// A server over sled, with one playbook.
    async fn with_playbook(text: &str) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let store = store::Sled::open(&folder.path().join("data"), store::Options::default()).unwrap();
        Server::over(engine_over(Arc::new(store), text).await, folder, &[]).await
    }

    async fn over(engine: Engine, folder: tempfile::TempDir, tenants: &[&str]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = super::app(engine, settings(folder.path(), tenants), Some(address)).await.unwrap();
        let admin = std::fs::read_to_string(folder.path().join(crate::auth::first::FILE)).unwrap().trim().to_owned();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let serving = Arc::clone(&app);
        let served = tokio::spawn(async move {
            super::serve(listener, serving, async { drop(stopped.await) }).await;
        });
        Server { address, app, admin, stop: Some(stop), served, _folder: folder }
    }

    /// A token of this role.
    async fn token(&self, role: Role, tenant: Option<&str>) -> String {
        let name = format!("{}-{}", role.name(), tenant.unwrap_or("all"));
        let mut random = [role as u8; RANDOM_BYTES];
        random[1] = u8::try_from(name.len()).unwrap();
        let now = self.app.engine.store().now();
        let (secret, token) = Token::make(&name, role, tenant.map(str::to_owned), "test", now, &random);
        let (mark, bytes) = token.mark().unwrap();
        let what = serde_json::json!({ "action": "token.created" });
        self.app
            .engine
            .set_marks(vec![(mark, Some(bytes))], "token".into(), what, model::event::Actor::System)
            .await
            .unwrap();
        self.app.tokens.load(self.app.engine.store().marks(crate::auth::token::MARKS).unwrap()).unwrap();
        secret
    }

    /// Sends these bytes and reads until the server closes.
    async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may close before it has read everything: that is part of what is tested.
        let _: std::io::Result<()> = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _: std::io::Result<usize> = stream.read_to_end(&mut answer).await;
        answer
    }

    /// One request over a connection of its own.
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: sortie\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        parse(&self.raw(&bytes).await)
    }

    async fn get(&self, path: &str, token: &str) -> Reply {
        self.ask("GET", path, &[("authorization", &format!("Bearer {token}"))], b"").await
    }

    async fn post(&self, path: &str, token: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        self.ask("POST", path, &[("authorization", &bearer), ("content-type", "application/json")], body.as_bytes())
            .await
    }

    /// Posts an event to the source that lets everyone in.
    async fn event(&self, body: &str) -> Reply {
        self.ask("POST", "/v1/in/generic", &[("content-type", "application/json")], body.as_bytes()).await
    }
}

fn parse(bytes: &[u8]) -> Reply {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Reply { status, head, body: bytes.get(end + 4..).unwrap_or_default().to_vec() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_says_that_it_is_what_it_says_and_unknown_paths_and_methods_are_problems() {
    let server = Server::start().await;
    for (method, path, status) in [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/", 401),
        ("GET", "/sign-in", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/v1/runs", 401),
        ("GET", "/nowhere", 404),
        ("PUT", "/v1/runs", 405),
        ("POST", "/v1/in/unknown", 404),
    ] {
        let reply = server.ask(method, path, &[], b"").await;
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
        assert!(reply.header("content-security-policy").unwrap().starts_with("default-src 'none'"), "{method} {path}");
        if status >= 400 {
            assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{method} {path}");
            assert_eq!(reply.json()["status"], status, "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_word_to_stop_ends_the_server_and_its_silent_connections() {
    let mut server = Server::start().await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    silent.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut buffer = [0; 4096];
    assert!(silent.read(&mut buffer).await.unwrap() > 0);
    drop(server.stop.take());
    tokio::time::timeout(Duration::from_secs(4), &mut server.served).await.expect("it ends").unwrap();
    assert_eq!(silent.read(&mut buffer).await.unwrap(), 0, "the connection is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_authentication_the_server_starts_on_loopback_only() {
    let folder = tempfile::tempdir().unwrap();
    let open = Settings { auth_required: false, ..settings(folder.path(), &[]) };
    let engine = engine().await;
    let outside = super::app(engine.clone(), open.clone(), Some("0.0.0.0:7300".parse().unwrap())).await;
    assert!(matches!(outside, Err(super::StartError::Open { .. })));
    let inside = super::app(engine, open, Some("127.0.0.1:7300".parse().unwrap())).await;
    assert!(inside.is_ok());
}
