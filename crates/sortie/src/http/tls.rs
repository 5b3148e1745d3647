//! TLS of the listener: a certificate with its key, taken up again when their files change.
//!
//! Invariants: a certificate that has expired, is not valid yet, or does not fit its key refuses the start, with a sentence;
//! once started, such files change nothing that is in use, and the log says so. TLS 1.2 and 1.3 only.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use model::Time;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::validity::{Validity, validity};

/// Time between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Largest file of certificates or of a key, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// How long before its end a certificate is worth a warning.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// Where certificate and key lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// The certificate, with those that lead to its authority after it; PEM.
    pub(crate) cert: PathBuf,
    /// Its key; PEM.
    pub(crate) key: PathBuf,
}

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// It holds no certificate.
    #[error("`{0}` holds no certificate in PEM form")]
    NoCertificate(String),
    /// It holds no key.
    #[error("`{0}` holds no private key in PEM form")]
    NoKey(String),
    /// The two do not belong together, or are of a kind that is not known.
    #[error("the key in `{key}` does not fit the certificate in `{cert}`")]
    Mismatch {
        /// The file of the certificate.
        cert: String,
        /// The file of the key.
        key: String,
    },
    /// It has ended.
    #[error("the certificate in `{cert}` expired on {at}")]
    Expired {
        /// The file.
        cert: String,
        /// When.
        at: Time,
    },
    /// It has not begun.
    #[error("the certificate in `{cert}` is not valid before {at}")]
    Early {
        /// The file.
        cert: String,
        /// When it begins.
        at: Time,
    },
}

/// What the listener shows to who connects.
pub(crate) struct Doorway {
    files: Files,
    config: RwLock<Arc<ServerConfig>>,
    /// Asks for a look at once.
    again: Notify,
}

impl std::fmt::Debug for Doorway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doorway").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Doorway {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn open(files: Files, now: Time) -> Result<Doorway, TlsError> {
        let config = RwLock::new(read(&files, now)?);
        Ok(Doorway { files, config, again: Notify::new() })
    }

    /// What accepts the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// Asks to read the files now (SIGHUP).
    pub(crate) fn again(&self) {
        self.again.notify_one();
    }

    /// Watches the files for ever; a new certificate is shown to whoever connects after it.
    pub(crate) async fn keep_fresh(&self) {
        let mut seen = self.stamps().await;
        loop {
            let asked = tokio::select! {
                () = self.again.notified() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let now = self.stamps().await;
            if asked || now != seen {
                seen = now;
                self.reload().await;
            }
        }
    }

    async fn reload(&self) {
        let files = self.files.clone();
        match tokio::task::spawn_blocking(move || read(&files, engine::clock::wall())).await {
            Ok(Ok(config)) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                tracing::info!(certificate = %self.files.cert.display(), "the certificate was read again");
            }
            Ok(Err(error)) => tracing::error!(%error, "the new certificate is not used; the one before it stays"),
            Err(error) => tracing::error!(%error, "the certificate could not be read again"),
        }
    }

    async fn stamps(&self) -> [Option<(SystemTime, u64)>; 2] {
        let stamp = |path: PathBuf| async move {
            let data = tokio::fs::metadata(path).await.ok()?;
            Some((data.modified().ok()?, data.len()))
        };
        [stamp(self.files.cert.clone()).await, stamp(self.files.key.clone()).await]
    }
}

fn read(files: &Files, now: Time) -> Result<Arc<ServerConfig>, TlsError> {
    let (cert, key) = (files.cert.display().to_string(), files.key.display().to_string());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bytes(&files.cert)?)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::NoCertificate(cert.clone()))?;
    let first = chain.first().ok_or_else(|| TlsError::NoCertificate(cert.clone()))?;
    let Validity { from, until } = validity(first).ok_or_else(|| TlsError::NoCertificate(cert.clone()))?;
    if now < from {
        return Err(TlsError::Early { cert, at: from });
    }
    if now > until {
        return Err(TlsError::Expired { cert, at: until });
    }
    if until.since(now) < ENDS_SOON {
        tracing::warn!(certificate = %cert, %until, "the certificate of the listener ends soon");
    }
    let secret = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?).map_err(|_| TlsError::NoKey(key.clone()))?;
    let mismatch = |_| TlsError::Mismatch { cert: cert.clone(), key: key.clone() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(mismatch)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |why: String| TlsError::Unreadable { path: path.display().to_string(), why };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(unreadable(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map_err(|error| unreadable(error.to_string()))
}
