//! Requests that mean harm, or nothing at all.

use std::io::Write as _;

use super::{Server, parse};
use model::limits;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_contradicts_itself_is_refused_and_the_connection_closed() {
    let server = Server::start().await;
    let smuggled = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    for (name, headers) in [
        ("both lengths", "content-length: 4\r\ntransfer-encoding: chunked\r\n"),
        ("both lengths, the other way round", "transfer-encoding: chunked\r\ncontent-length: 4\r\n"),
        ("two lengths", "content-length: 4\r\ncontent-length: 5\r\n"),
        ("a folded header", "x-a: b\r\n c\r\ncontent-length: 4\r\n"),
        ("two types", "content-type: text/plain\r\ncontent-type: application/json\r\ncontent-length: 4\r\n"),
        ("two keys", "idempotency-key: a\r\nidempotency-key: b\r\ncontent-length: 4\r\n"),
        ("a length that is none", "content-length: +4\r\n"),
    ] {
        let request = format!("POST /v1/in/generic HTTP/1.1\r\nhost: x\r\n{headers}\r\n0\r\n\r\n{smuggled}");
        let answer = server.raw(request.as_bytes()).await;
        assert_eq!(parse(&answer).status, 400, "{name}: {}", String::from_utf8_lossy(&answer));
        assert!(!String::from_utf8_lossy(&answer).contains("alive"), "{name}: the smuggled request was answered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_body_is_read_and_its_connection_is_not_used_again() {
    let server = Server::start().await;
    let body = r#"{"type":"a.b"}"#;
    let request = format!(
        "POST /v1/in/generic HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let answer = server.raw(request.as_bytes()).await;
    let reply = parse(&answer);
    assert_eq!((reply.status, reply.header("connection")), (202, Some("close")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_refused_with_the_limit_and_recorded() {
    let server = Server::start().await;
    let large = vec![b' '; limits::EVENT_BODY_BYTES_MAX + 1];
    let claimed = b"POST /v1/in/generic HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n{";
    let chunked: Vec<u8> = [
        b"POST /v1/in/generic HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        [b"10000\r\n".to_vec(), vec![b'{'; 0x10000], b"\r\n".to_vec()].concat().repeat(20),
    ]
    .concat();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 50_000_000]).unwrap();
    let bomb = bomb.finish().unwrap();
    for (name, reply) in [
        ("a megabyte", server.ask("POST", "/v1/in/generic", &[JSON], &large).await),
        ("a gigabyte, as it says", parse(&server.raw(claimed).await)),
        ("chunks without end", parse(&server.raw(&chunked).await)),
        ("a bomb", server.ask("POST", "/v1/in/generic", &[JSON, ("content-encoding", "gzip")], &bomb).await),
    ] {
        assert_eq!(reply.status, 413, "{name}: {}", reply.head);
        assert!(reply.json()["detail"].as_str().unwrap().contains("bytes"), "{name}");
        assert_eq!(reply.header("connection"), Some("close"), "{name}");
    }
    let trail = server.get("/v1/audit?action=refused", &server.admin).await.json();
    assert_eq!(trail["items"].as_array().unwrap().len(), 4);
    let zstd = server.ask("POST", "/v1/in/generic", &[JSON, ("content-encoding", "zstd")], b"{}").await;
    assert_eq!(zstd.code(), (415, "unsupported_encoding".to_owned()));
    for declared in ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/html"] {
        let reply = server.ask("POST", "/v1/in/generic", &[("content-type", declared)], b"{}").await;
        assert_eq!(reply.status, 415, "{declared}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_json_gets_a_clear_answer() {
    let server = Server::start().await;
    for (name, body) in [
        ("depth", format!("{}{}", r#"{"type":"a.b","data":"#, "[".repeat(1000))),
        ("a million brackets", "[".repeat(900_000)),
        ("a number of many digits", format!(r#"{{"type":"a.b","data":{{"n":1{}}}}}"#, "0".repeat(900_000))),
        ("a lone surrogate", r#"{"type":"a.b","data":{"s":"\ud800"}}"#.to_owned()),
        ("nothing", String::new()),
    ] {
        let reply = server.event(&body).await;
        assert!(reply.status == 400 || name == "a number of many digits", "{name}: {}", reply.head);
        assert!(reply.status < 500 && reply.status > 0, "{name}: {}", reply.head);
        assert!(reply.body.len() < 10_000, "{name}: the answer repeats the body");
    }
    assert_eq!(server.ask("GET", "/healthz", &[], b"").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_ids_and_paths_are_refused_and_reach_no_file() {
    let server = Server::start().await;
    for id in ["..%2f..%2fx", "%252e%252e", "a%2Fb", "%00", "CON", "%E4", &"a".repeat(4096)] {
        let reply = server.get(&format!("/v1/playbooks/{id}"), &server.admin).await;
        assert_eq!(reply.status, 400, "{id}");
    }
    for path in [
        "/v1/runs/../../etc/passwd",
        "/v1/runs/%2e%2e%2f",
        "/v1/runs/run-1",
        "/v1/events/evt-1-1-1",
        "/v1/deliveries/x",
    ] {
        assert_eq!(server.get(path, &server.admin).await.status, 404, "{path}");
    }
    let hidden = server.get("/v1/tokens?token_hash__gt=a", &server.admin).await;
    assert_eq!(hidden.code(), (400, "unknown_query_key".to_owned()));
}
