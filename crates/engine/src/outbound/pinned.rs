//! Whom the command line trusts: the public authorities, and the very certificate that this machine's own server shows.
//!
//! A server's certificate names the host that people use, and the command line reaches it at a loopback address: what it
//! compares is the certificate itself. Whoever shows it must have its key, so the name adds nothing.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::client::BuildError;

/// Trusts these certificates as they are, and otherwise as usual.
#[derive(Debug)]
struct Pinned {
    own: Vec<CertificateDer<'static>>,
    usual: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.own.iter().any(|own| own.as_ref() == shown.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        self.usual.verify_server_cert(shown, between, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// TLS for the command line; `own` is the PEM file that the server of this machine shows, if it shows one.
///
/// # Errors
/// [`BuildError::Certificates`] when `own` is no PEM file; [`BuildError::Tls`].
pub(super) fn tls(own: Option<&[u8]>) -> Result<ClientConfig, BuildError> {
    let Some(own) = own else { return super::client::tls(None) };
    let own: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(own).collect::<Result<_, _>>().map_err(|_| BuildError::Certificates)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    let usual = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
    // The certificate of the server itself, not those of the authorities behind it.
    let own = own.into_iter().take(1).collect();
    let verifier = Pinned { own, usual: usual.map_err(|_| BuildError::Tls)? };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| BuildError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}
