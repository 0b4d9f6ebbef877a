//! TLS: the node's certificate for us, any certificate for them.

use std::sync::Arc;

use node::Node;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme, version,
};

/// Why TLS cannot be set up with the node's certificate and key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The node's certificate is not PEM.
    #[error("the node's certificate cannot be read")]
    Certificate(#[source] rustls::pki_types::pem::Error),
    /// Certificate and key do not fit together, or the provider has no such algorithms.
    #[error("the node's certificate and key cannot be used for TLS")]
    Config(#[source] Error),
    /// The same, for connections to the leader.
    #[error("the node's certificate and key cannot be used to reach other nodes")]
    Forward(#[source] reqwest::Error),
}

/// TLS 1.3, and 1.2 for old clients; HTTP/2 and HTTP/1.1; tickets, so that coming back is cheap.
///
/// # Errors
/// See [`TlsError`].
pub fn server_config(node: &Node) -> Result<ServerConfig, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(node.node_cert().as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(TlsError::Certificate)?;
    let key = PrivatePkcs8KeyDer::from(node.tls_key_pkcs8().to_vec());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(TlsError::Config)?
        .with_client_cert_verifier(Arc::new(AnyCertificate { provider }))
        .with_single_cert(certificates, PrivateKeyDer::Pkcs8(key))
        .map_err(TlsError::Config)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Config)?;
    Ok(config)
}

/// Takes any client certificate, or none, and makes sure only that the client holds its key.
///
/// Users are named by their certificate's fingerprint, which the ledger itself lists. Who issued a
/// certificate and until when it says to be good adds nothing to that, and is not looked at.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
