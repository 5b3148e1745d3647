//! The client against a real receiver.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::testing::{Receiver, Reply, local, outbound};
use super::*;

fn request(url: &str, egress: &Egress) -> Request {
    Request {
        method: Method::POST,
        target: Target::parse(url, egress).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        timeout: Duration::from_secs(5),
        key: "test".to_owned(),
        keep_bytes: model::limits::RESPONSE_CAPTURE_BYTES_MAX,
        tenant: String::new(),
        places: None,
        fresh: false,
        redactor: Redactor::default(),
        origin: Origin::default(),
    }
}

/// Names with answers that change from one question to the next; the last one stays.
struct Scripted(Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>>);

impl Scripted {
    fn new(names: &[(&str, &[&[&str]])]) -> Arc<Scripted> {
        let answers =
            |all: &[&[&str]]| all.iter().map(|one| one.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        Arc::new(Scripted(Mutex::new(names.iter().map(|(name, all)| ((*name).to_owned(), answers(all))).collect())))
    }
}

#[async_trait::async_trait]
impl Resolver for Scripted {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut names = self.0.lock().unwrap();
        let Some(answers) = names.get_mut(host) else { return Err(std::io::Error::other("no such name")) };
        Ok(if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() })
    }
}

fn client(egress: Egress, resolver: Arc<dyn Resolver>) -> Outbound {
    Outbound::new(egress, Limits { connect: Duration::from_millis(500), ..Limits::default() }, resolver).unwrap()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made_and_its_answer_is_captured() {
    let mut receiver = Receiver::answering(Reply::Answer(201, vec![("x-id", "7".into())], b"made".to_vec())).await;
    let mut made = request(&receiver.url("/hook?a=b"), &local());
    made.headers.insert("x-auth", HeaderValue::from_static("k"));
    let sent = outbound().send(made).await;
    let got = receiver.next().await;
    assert_eq!((got.method.as_str(), got.path.as_str(), got.body.as_slice()), ("POST", "/hook?a=b", b"{}".as_slice()));
    assert_eq!((got.header("x-auth"), got.header("accept-encoding")), (Some("k"), None));
    assert!(sent.accepted());
    let answer = sent.answer().unwrap();
    assert_eq!((answer.body.as_str(), answer.bytes, answer.truncated), ("made", 4, false));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 307, 308] {
        let other = Receiver::answering(Reply::status(200)).await;
        let location = vec![("location", other.url("/stolen"))];
        let receiver = Receiver::answering(Reply::Answer(status, location, Vec::new())).await;
        let sent = outbound().send(request(&receiver.url("/"), &local())).await;
        assert_eq!(sent.status, Some(status));
        assert!(!sent.accepted());
        let mut other = other;
        assert!(other.so_far().is_empty());
    }
}

#[tokio::test]
async fn a_name_that_points_to_a_private_address_is_blocked_and_gets_no_byte() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    let egress = Egress { allow_http: true, ..Egress::default() };
    let names = Scripted::new(&[
        ("localhost", &[&["127.0.0.1"]]),
        ("localhost.", &[&["127.0.0.1"]]),
        ("127.0.0.1.nip.io", &[&["127.0.0.1"]]),
        ("metadata.google.internal", &[&["169.254.169.254"]]),
        ("several.example", &[&["10.0.0.1", "::1", "192.168.1.1"]]),
    ]);
    let client = client(egress.clone(), names);
    for host in
        ["localhost", "localhost.", "LOCALHOST", "127.0.0.1.nip.io", "metadata.google.internal", "several.example"]
    {
        let url = format!("http://{host}:{}/", receiver.address.port());
        let sent = client.send(request(&url, &egress)).await;
        assert_eq!(sent.error, Some(SendError::Blocked), "{host}");
    }
    assert!(receiver.so_far().is_empty());
}

#[tokio::test]
async fn the_private_addresses_of_a_mixed_name_are_left_out() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    let egress = local();
    let client = client(egress.clone(), Scripted::new(&[("mixed.example", &[&["10.9.9.9", "::1", "127.0.0.1"]])]));
    let url = format!("http://mixed.example:{}/", receiver.address.port());
    let started = Instant::now();
    assert_eq!(client.send(request(&url, &egress)).await.status, Some(200));
    assert!(started.elapsed() < Duration::from_millis(400), "10.9.9.9 was not even tried");
    assert_eq!(
        receiver.next().await.header("host"),
        Some(format!("mixed.example:{}", receiver.address.port()).as_str())
    );
}

#[tokio::test]
async fn a_name_that_turns_private_between_two_requests_gets_no_byte() {
    let mut receiver =
        Receiver::start(|_, _| Reply::Answer(200, vec![("connection", "close".into())], Vec::new())).await;
    // What was public in the first answer: here, the one network that is allowed.
    let egress = Egress { allow: vec!["127.0.0.1".parse().unwrap()], allow_http: true, ..Egress::default() };
    let client = client(egress.clone(), Scripted::new(&[("rebind.example", &[&["127.0.0.1"], &["127.0.0.2"]])]));
    let url = format!("http://rebind.example:{}/", receiver.address.port());
    let fresh = || Request { fresh: true, ..request(&url, &egress) };
    assert_eq!(client.send(fresh()).await.status, Some(200));
    receiver.next().await;
    assert_eq!(client.send(fresh()).await.error, Some(SendError::Blocked));
    assert!(receiver.so_far().is_empty());
}

#[tokio::test]
async fn our_own_listener_is_blocked_by_name_and_by_address() {
    let mut receiver = Receiver::answering(Reply::status(200)).await;
    let egress = Egress { own: vec![receiver.address], ..local() };
    let client = client(egress.clone(), Scripted::new(&[("self.example", &[&["127.0.0.1"]])]));
    let url = format!("http://self.example:{}/v1/in/generic", receiver.address.port());
    assert_eq!(client.send(request(&url, &egress)).await.error, Some(SendError::Blocked));
    assert_eq!(Target::parse(&receiver.url("/"), &egress), Err(UrlProblem::Blocked));
    // Checked again when it is sent, whatever policy the URL was read under.
    assert_eq!(client.send(request(&receiver.url("/"), &local())).await.error, Some(SendError::Blocked));
    assert!(receiver.so_far().is_empty());
}

#[tokio::test]
async fn a_blocked_address_tells_nothing_about_what_is_behind_it() {
    let open = Receiver::answering(Reply::status(200)).await;
    let egress = Egress { allow_http: true, ..Egress::default() };
    let names = Scripted::new(&[("open.example", &[&["127.0.0.1"]]), ("closed.example", &[&["127.0.0.1"]])]);
    let client = client(egress.clone(), names);
    let first = client.send(request(&format!("http://open.example:{}/", open.address.port()), &egress)).await;
    let second = client.send(request("http://closed.example:9/", &egress)).await;
    assert_eq!((first.error.clone(), first.status), (second.error, second.status));
    assert_eq!(
        first.error.unwrap().to_string(),
        "the address is not allowed by the server's egress policy (`egress.allow`)"
    );
}

#[tokio::test]
async fn proxy_variables_are_ignored() {
    // The variables are read when a client is built; this process has none of its own, so one is built under them in a
    // child of this test binary.
    if std::env::var("SORTIE_TEST_PROXY_CHILD").is_ok() {
        let mut receiver = Receiver::answering(Reply::status(200)).await;
        let sent = outbound().send(request(&receiver.url("/direct"), &local())).await;
        assert_eq!(sent.status, Some(200));
        assert_eq!(receiver.next().await.path, "/direct");
        return;
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "outbound::tests::proxy_variables_are_ignored"])
        .envs([
            ("HTTP_PROXY", "http://127.0.0.1:9"),
            ("ALL_PROXY", "http://127.0.0.1:9"),
            ("http_proxy", "http://127.0.0.1:9"),
        ])
        .env("SORTIE_TEST_PROXY_CHILD", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn a_configured_proxy_is_used_and_the_address_is_checked_all_the_same() {
    let mut proxy = Receiver::answering(Reply::status(200)).await;
    let egress = Egress { allow_http: true, proxy: Some(Proxy { url: proxy.url("") }), ..Egress::default() };
    let names = Scripted::new(&[("public.example", &[&["1.1.1.1"]]), ("private.example", &[&["10.0.0.1"]])]);
    let client = client(egress.clone(), names);
    assert_eq!(client.send(request("http://public.example/x", &egress)).await.status, Some(200));
    assert_eq!(proxy.next().await.path, "http://public.example/x");
    assert_eq!(client.send(request("http://private.example/x", &egress)).await.error, Some(SendError::Blocked));
    assert!(proxy.so_far().is_empty());
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_frees_its_slot() {
    let receiver = Receiver::answering(Reply::Endless).await;
    let client = outbound();
    let sent = client.send(request(&receiver.url("/"), &local())).await;
    let answer = sent.answer().unwrap();
    assert!(sent.accepted() && answer.truncated);
    assert_eq!(answer.body.len(), model::limits::RESPONSE_CAPTURE_BYTES_MAX);
    assert!(answer.bytes < 1_000_000, "it stops reading soon: {}", answer.bytes);
}

#[tokio::test]
async fn a_body_that_drips_ends_at_the_deadline_with_the_status_known() {
    let receiver = Receiver::answering(Reply::Slow).await;
    let slow = Request { timeout: Duration::from_millis(300), ..request(&receiver.url("/"), &local()) };
    let started = Instant::now();
    let sent = outbound().send(slow).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!((sent.status, sent.error.clone(), sent.truncated), (Some(200), Some(SendError::Timeout), true));
}

#[tokio::test]
async fn a_receiver_that_hangs_is_a_timeout_that_may_have_arrived() {
    let receiver = Receiver::answering(Reply::Hang).await;
    let sent =
        outbound().send(Request { timeout: Duration::from_millis(200), ..request(&receiver.url("/"), &local()) }).await;
    assert_eq!((sent.status, sent.error.clone()), (None, Some(SendError::Timeout)));
    assert!(sent.error.unwrap().may_have_arrived());
}

#[tokio::test]
async fn a_reset_before_the_answer_may_have_arrived() {
    let receiver = Receiver::answering(Reply::Reset).await;
    let sent = outbound().send(request(&receiver.url("/"), &local())).await;
    assert_eq!(sent.error, Some(SendError::Lost));
    assert!(sent.error.unwrap().may_have_arrived());
}

#[tokio::test]
async fn a_closed_port_is_a_refused_connection_that_surely_did_not_arrive() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let sent = outbound().send(request(&url, &local())).await;
    assert_eq!(sent.error, Some(SendError::Connect(ConnectError::Refused)));
    assert!(!sent.error.unwrap().may_have_arrived());
}

#[tokio::test]
async fn a_name_without_an_address_is_a_dns_error_and_a_slow_resolver_a_bounded_wait() {
    struct Stuck;
    #[async_trait::async_trait]
    impl Resolver for Stuck {
        async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
            std::future::pending().await
        }
    }
    let egress = local();
    let none = client(egress.clone(), Scripted::new(&[]));
    assert_eq!(none.send(request("http://absent.example/", &egress)).await.error, Some(SendError::Dns));
    let started = Instant::now();
    let sent = client(egress.clone(), Arc::new(Stuck)).send(request("http://stuck.example/", &egress)).await;
    assert_eq!(sent.error, Some(SendError::Connect(ConnectError::TimedOut)));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_compressed_answer_stays_closed() {
    let bomb = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..1000 {
            encoder.write_all(&[0; 10_000]).unwrap();
        }
        encoder.finish().unwrap()
    };
    let receiver =
        Receiver::answering(Reply::Answer(200, vec![("content-encoding", "gzip".into())], bomb.clone())).await;
    let sent = outbound().send(request(&receiver.url("/"), &local())).await;
    assert_eq!(sent.text, format!("[{} bytes of compressed data]", bomb.len()));
}

#[tokio::test]
async fn headers_without_end_are_an_error() {
    let mut many = b"HTTP/1.1 200 X\r\n".to_vec();
    for n in 0..200_000 {
        many.extend_from_slice(format!("x-{n}: {}\r\n", "y".repeat(50)).as_bytes());
    }
    many.extend_from_slice(b"\r\n");
    let receiver = Receiver::answering(Reply::Raw(many)).await;
    let sent = outbound().send(request(&receiver.url("/"), &local())).await;
    assert_eq!((sent.status, sent.error), (None, Some(SendError::Lost)));
    let endless = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
    let receiver = Receiver::answering(Reply::Raw(endless)).await;
    let sent = outbound().send(request(&receiver.url("/"), &local())).await;
    assert_eq!((sent.status, sent.error), (None, Some(SendError::Lost)));
}

#[tokio::test]
async fn one_place_that_hangs_does_not_take_the_slots_of_others() {
    let hanging = Receiver::answering(Reply::Hang).await;
    let healthy = Receiver::answering(Reply::status(200)).await;
    let client = outbound();
    let stuck: Vec<_> = (0..IN_FLIGHT_PER_KEY_MAX)
        .map(|_| {
            let (client, stuck) = (client.clone(), request(&hanging.url("/"), &local()));
            tokio::spawn(async move { client.send(stuck).await })
        })
        .collect();
    let mut hanging = hanging;
    for _ in 0..IN_FLIGHT_PER_KEY_MAX {
        hanging.next().await;
    }
    let busy = client.send(request(&hanging.url("/"), &local())).await;
    assert_eq!(busy.error, Some(SendError::Busy));
    let other = Request { key: "other".to_owned(), ..request(&healthy.url("/"), &local()) };
    assert_eq!(client.send(other).await.status, Some(200));
    let later = Request { timeout: Duration::from_millis(100), ..request(&hanging.url("/"), &local()) };
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.send(later).await }
    });
    tokio::task::yield_now().await;
    stuck[0].abort();
    assert_eq!(waiting.await.unwrap().error, Some(SendError::Timeout), "it waits for a place, and then it is sent");
    for task in &stuck {
        task.abort();
    }
    for task in stuck {
        let _ = task.await;
    }
    let freed = Request { timeout: Duration::from_millis(100), ..request(&hanging.url("/"), &local()) };
    assert_eq!(client.send(freed).await.error, Some(SendError::Timeout), "slots come back when requests are dropped");
}

#[tokio::test]
async fn a_secret_in_an_echo_is_taken_out() {
    let receiver =
        Receiver::start(|_, got| Reply::Answer(500, Vec::new(), format!("{:?}", got.headers).into_bytes())).await;
    let mut made = request(&receiver.url("/"), &local());
    made.headers.insert("x-auth", HeaderValue::from_static("canary-12345"));
    made.redactor.hide(&Secret::new("canary-12345"));
    let sent = outbound().send(made).await;
    assert!(sent.text.contains("x-auth") && !sent.text.contains("canary"), "{}", sent.text);
}
