//! An authority of a test, and certificates that it signed, made by the system's `openssl`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Folder;

/// A certificate with its key and its authority, as PEM files in the folder of a test.
pub(crate) struct Certificate {
    /// The file of the certificate.
    pub(crate) cert: String,
    /// The file of its key.
    pub(crate) key: String,
    /// The file of the authority.
    pub(crate) ca: String,
}

#[track_caller]
fn openssl(folder: &Path, arguments: &[&str]) {
    let status = Command::new("openssl").current_dir(folder).args(arguments).stderr(Stdio::null()).status();
    assert!(status.expect("openssl").success(), "openssl {arguments:?}");
}

impl Certificate {
    /// One for these names (`DNS:…`, `IP:…`), good for some days from now; with -1 it ended a day ago.
    #[track_caller]
    pub(crate) fn make(folder: &Folder, name: &str, names: &str, days: i32) -> Certificate {
        let at = folder.path();
        let file = |end: &str| format!("{name}.{end}");
        let (ca, ca_key, cert, key) = (file("ca.pem"), file("ca.key"), file("pem"), file("key"));
        let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let authority =
            ["req", "-x509", "-days", "10", "-subj", "/CN=Authority of a test", "-keyout", &ca_key, "-out", &ca];
        openssl(at, &[&authority[..], &ec].concat());
        folder.write(&file("ext"), &format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n"));
        let (csr, ext) = (file("csr"), file("ext"));
        openssl(at, &[&["req", "-new", "-subj", "/CN=test", "-keyout", &key, "-out", &csr][..], &ec].concat());
        let days = days.to_string();
        let sign = ["x509", "-req", "-in", &csr, "-CA", &ca, "-CAkey", &ca_key, "-extfile", &ext, "-out", &cert];
        openssl(at, &[&sign[..], &["-CAcreateserial", "-days", &days]].concat());
        Certificate { cert, key, ca }
    }

    /// What a server needs to show it.
    pub(crate) fn server_config(&self, folder: &Folder) -> Arc<rustls::ServerConfig> {
        let read = |name: &str| std::fs::read(folder.path().join(name)).expect("a file");
        let chain = CertificateDer::pem_slice_iter(&read(&self.cert)).collect::<Result<Vec<_>, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate that fits its key");
        Arc::new(config)
    }
}

/// The name of the certificate that a server of a test shows, for which its client trusts the authority.
pub(crate) const LISTENER: &str = "listen";

/// What a client trusts when the server of this folder shows a certificate.
pub(crate) fn client_config(folder: &Folder) -> Option<Arc<rustls::ClientConfig>> {
    let pem = std::fs::read(folder.path().join(format!("{LISTENER}.ca.pem"))).ok()?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Some(Arc::new(config))
}
