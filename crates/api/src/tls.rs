//! TLS: the node's certificate for us, any certificate for them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ledger::nodes;
use node::Node;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme, version,
};

use crate::error::chain;

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
pub(crate) fn server_config(shown: Arc<ShownCertificate>) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(TlsError::Config)?
        .with_client_cert_verifier(Arc::new(AnyCertificate { provider }))
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Config)?;
    Ok(config)
}

/// The certificate that the node shows: the one it started with, until members have it renewed.
/// Connections that are open go on.
#[derive(Debug)]
pub(crate) struct ShownCertificate {
    now: ArcSwap<CertifiedKey>,
    /// What the nodes table said when it was looked at last. At a start the node may have a newer one,
    /// which it has not recorded yet.
    recorded: ArcSwap<Option<String>>,
}

impl ShownCertificate {
    /// The one that the node started with.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(crate) fn of(node: &Node) -> Result<Self, TlsError> {
        let now = certified(node, node.node_cert())?;
        Ok(Self {
            now: ArcSwap::from_pointee(now),
            recorded: ArcSwap::from_pointee(recorded(node)),
        })
    }

    /// Takes up the certificate in the nodes table if it is another one than before.
    pub(crate) fn look(&self, node: &Node) {
        let recorded = recorded(node);
        if recorded == **self.recorded.load() {
            return;
        }
        if let Some(cert) = &recorded {
            match certified(node, cert) {
                Ok(renewed) => {
                    self.now.store(Arc::new(renewed));
                    tracing::info!("the node shows its renewed certificate");
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "the renewed certificate is not shown");
                }
            }
        }
        self.recorded.store(Arc::new(recorded));
    }
}

impl ResolvesServerCert for ShownCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now.load_full())
    }
}

fn recorded(node: &Node) -> Option<String> {
    nodes::node(node.state(), node.id())?.cert
}

/// This certificate (PEM) and the node's key, which must be its key.
fn certified(node: &Node, cert: &str) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(cert.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(TlsError::Certificate)?;
    let key = PrivatePkcs8KeyDer::from(node.tls_key_pkcs8().to_vec());
    let provider = aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, PrivateKeyDer::Pkcs8(key), &provider).map_err(TlsError::Config)
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
