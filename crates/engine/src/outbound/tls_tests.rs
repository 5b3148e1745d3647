//! What the client trusts: a real TLS listener with good and bad certificates.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::testing::local;
use super::*;

const CA: &[u8] = include_bytes!("testdata/ca.pem");

/// Every name is this machine.
struct Here;

#[async_trait::async_trait]
impl Resolver for Here {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec!["127.0.0.1".parse().unwrap()])
    }
}

/// A listener with this certificate that answers one request with 200.
fn listen(certificate: &[u8], key: &[u8]) -> SocketAddr {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key).unwrap())
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let connection = rustls::ServerConnection::new(Arc::new(config.clone())).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            if stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.flush();
            }
        }
    });
    address
}

async fn ask(url: &str, ca: Option<&[u8]>) -> Sent {
    let egress = Egress { ca: ca.map(<[u8]>::to_vec), ..local() };
    let request = Request {
        method: Method::GET,
        target: Target::parse(url, &egress).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(5),
        key: "tls".to_owned(),
        keep_bytes: 100,
        tenant: String::new(),
        places: None,
        fresh: false,
        redactor: Redactor::default(),
        origin: Origin::default(),
    };
    Outbound::new(egress, Limits::default(), Arc::new(Here)).unwrap().send(request).await
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_for_the_right_name_is_trusted() {
    let address = listen(include_bytes!("testdata/good.pem"), include_bytes!("testdata/good.key.pem"));
    let sent = ask(&format!("https://tls.example:{}/", address.port()), Some(CA)).await;
    assert_eq!((sent.status, sent.error), (Some(200), None));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_and_so_is_a_bare_address() {
    let address = listen(include_bytes!("testdata/good.pem"), include_bytes!("testdata/good.key.pem"));
    for host in ["other.example", "127.0.0.1"] {
        let sent = ask(&format!("https://{host}:{}/", address.port()), Some(CA)).await;
        assert_eq!(sent.error, Some(SendError::Tls("its certificate is for another name")), "{host}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let address = listen(include_bytes!("testdata/expired.pem"), include_bytes!("testdata/expired.key.pem"));
    let sent = ask(&format!("https://tls.example:{}/", address.port()), Some(CA)).await;
    assert_eq!(sent.error, Some(SendError::Tls("its certificate has expired")));
}

#[tokio::test]
async fn an_unknown_issuer_and_a_self_signed_certificate_are_refused() {
    let good = listen(include_bytes!("testdata/good.pem"), include_bytes!("testdata/good.key.pem"));
    let own = listen(include_bytes!("testdata/self-signed.pem"), include_bytes!("testdata/self-signed.key.pem"));
    for (address, ca) in [(good, None), (own, None), (own, Some(CA))] {
        let sent = ask(&format!("https://tls.example:{}/", address.port()), ca).await;
        assert_eq!(sent.error, Some(SendError::Tls("its certificate is of an unknown issuer")));
        assert!(!sent.error.unwrap().may_have_arrived());
    }
}

#[test]
fn what_is_no_certificate_is_no_authority() {
    for pem in [&b""[..], b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let egress = Egress { ca: Some(pem.to_vec()), ..local() };
        let built = Outbound::new(egress, Limits::default(), Arc::new(Here));
        assert_eq!(built.unwrap_err(), BuildError::Certificates);
    }
}
