//! Connections between nodes: mutually authenticated TLS 1.3, and frames of bytes over it.
//!
//! Each side shows the certificate that the service gave it, and believes only one that the same
//! service gave: it names a key that was attested before. There is no password and no other trust.
//!
//! ```text
//! frame     u32 length (big-endian) | bytes
//! ```
//! A question is a frame, and so is its answer; one after the other on each connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use verify::{Cert, Digest};

/// The protocol, and its version: nodes of two versions choose one that both know.
const PROTOCOL: &[u8] = b"counterfoil-nodes/1";

/// Longest frame: a batch is closed above 8 MiB, and one more submission may follow.
const FRAME_BYTES_MAX: usize = 256 << 20;

/// A peer that does not finish the handshake by then is not one.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// This node as others see it, and whom it believes.
pub(crate) struct PeerTls {
    service: Arc<Cert>,
    server: TlsAcceptor,
    cert: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    provider: Arc<CryptoProvider>,
    protocols: Vec<Vec<u8>>,
}

/// The node's certificate or key cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
#[error("the node's certificate or key cannot be used between nodes")]
pub struct PeerTlsError(#[source] Error);

impl PeerTls {
    /// Shows `cert`, whose private key is `key` (PKCS#8 DER), and believes nodes of `service`.
    pub(crate) fn new(service: Cert, cert: &str, key: &[u8]) -> Result<Self, PeerTlsError> {
        Self::speaking(&[PROTOCOL], service, cert, key)
    }

    /// The same for a node that knows these versions of the protocol, the one it likes best first.
    fn speaking(
        protocols: &[&[u8]],
        service: Cert,
        cert: &str,
        key: &[u8],
    ) -> Result<Self, PeerTlsError> {
        let service = Arc::new(service);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let cert = CertificateDer::from_pem_slice(cert.as_bytes())
            .map_err(|_| PeerTlsError(Error::General("the certificate is not PEM".to_owned())))?;
        let key = PrivatePkcs8KeyDer::from(key.to_vec());
        let believed = Arc::new(OfTheService {
            service: Arc::clone(&service),
            expected: None,
            provider: Arc::clone(&provider),
        });
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(PeerTlsError)?
            .with_client_cert_verifier(believed)
            .with_single_cert(vec![cert.clone()], key.clone_key().into())
            .map_err(PeerTlsError)?;
        let protocols: Vec<_> = protocols.iter().map(|name| name.to_vec()).collect();
        config.alpn_protocols.clone_from(&protocols);
        Ok(Self {
            protocols,
            service,
            server: TlsAcceptor::from(Arc::new(config)),
            cert,
            key,
            provider,
        })
    }

    /// The id of this node.
    #[cfg(test)]
    pub(crate) fn id(&self) -> Digest {
        Cert::from_der(&self.cert)
            .expect("it was read before")
            .key_digest()
    }

    /// Takes a connection, and tells which node it is from.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(Incoming, Digest)> {
        stream.set_nodelay(true)?;
        let stream = within(self.server.accept(stream)).await?;
        let cert = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first);
        let id = cert.and_then(|cert| Cert::from_der(cert).ok());
        let id = id.ok_or_else(|| io::Error::other("the peer showed no certificate"))?;
        Ok((Incoming(stream), id.key_digest()))
    }

    /// Connects to the node `id` at `address`.
    pub(crate) async fn connect(&self, id: Digest, address: &str) -> io::Result<Outgoing> {
        let believed = Arc::new(OfTheService {
            service: Arc::clone(&self.service),
            expected: Some(id),
            provider: Arc::clone(&self.provider),
        });
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(believed)
            .with_client_auth_cert(vec![self.cert.clone()], self.key.clone_key().into())
            .map_err(io::Error::other)?;
        config.alpn_protocols.clone_from(&self.protocols);
        // A node is known by its key: names and addresses say nothing.
        config.enable_sni = false;
        let name = ServerName::try_from("node").expect("this is a name");
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(Arc::new(config))
                .connect(name, stream)
                .await
        };
        within(connect).await.map(Outgoing)
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(HANDSHAKE_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A connection that another node opened.
pub(crate) struct Incoming(server::TlsStream<TcpStream>);

impl Incoming {
    /// The next question; `None` when the other side has no more.
    pub(crate) async fn question(&mut self) -> io::Result<Option<Vec<u8>>> {
        read_frame(&mut self.0).await
    }

    pub(crate) async fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_frame(&mut self.0, bytes).await
    }
}

/// A connection that this node opened.
pub(crate) struct Outgoing(client::TlsStream<TcpStream>);

impl Outgoing {
    /// Asks and waits for the answer.
    pub(crate) async fn ask(&mut self, question: &[u8]) -> io::Result<Vec<u8>> {
        write_frame(&mut self.0, question).await?;
        let answer = read_frame(&mut self.0).await?;
        answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

async fn write_frame(stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len())
        .ok()
        .filter(|_| bytes.len() <= FRAME_BYTES_MAX)
        .ok_or(io::ErrorKind::InvalidInput)?;
    // One record for small frames: the length alone would be a packet of its own.
    if bytes.len() < 4_096 {
        stream
            .write_all(&[&length.to_be_bytes(), bytes].concat())
            .await?;
    } else {
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(bytes).await?;
    }
    stream.flush().await
}

async fn read_frame(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    };
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    // Grows with what comes, not with what is announced.
    let mut bytes = Vec::with_capacity(length.min(1 << 20));
    let read = stream.take(length as u64).read_to_end(&mut bytes).await?;
    if read < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(bytes))
}

/// Believes certificates that the service gave, and only one node's where one is expected.
#[derive(Debug)]
struct OfTheService {
    service: Arc<Cert>,
    expected: Option<Digest>,
    provider: Arc<CryptoProvider>,
}

impl OfTheService {
    fn judge(&self, cert: &CertificateDer<'_>) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::General(why.to_owned()));
        let Ok(cert) = Cert::from_der(cert) else {
            return refuse("the peer's certificate cannot be read");
        };
        if !cert.is_signed_by(&self.service) {
            return refuse("the peer is no node of this service");
        }
        if self.expected.is_some_and(|id| id != cert.key_digest()) {
            return refuse("another node answers at this address");
        }
        Ok(())
    }

    fn proven(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// TLS 1.2 is not spoken between nodes.
fn never() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General(
        "TLS 1.2 is not spoken between nodes".to_owned(),
    ))
}

impl ServerCertVerifier for OfTheService {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(cert).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        never()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.proven(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for OfTheService {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(cert).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        never()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.proven(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity;
    use tokio::net::TcpListener;

    const NEXT: &[u8] = b"counterfoil-nodes/2";

    struct Service {
        key: zeroize::Zeroizing<Vec<u8>>,
        cert: String,
    }

    impl Service {
        fn new() -> Self {
            let key = identity::draw_key().unwrap();
            let cert = identity::service_cert(&key, time::OffsetDateTime::now_utc()).unwrap();
            Self { key, cert }
        }

        /// A node that speaks these, and its id.
        fn node(&self, protocols: &[&[u8]]) -> (PeerTls, Digest) {
            let now = time::OffsetDateTime::now_utc();
            let key = identity::draw_key().unwrap();
            let public = identity::public_key(&key).unwrap();
            let names = ["node".to_owned()];
            let validity = time::Duration::hours(1);
            let cert = identity::endorse_node(&self.key, &public, &names, now, validity).unwrap();
            let id = Cert::from_pem(&cert).unwrap().key_digest();
            let service = Cert::from_pem(&self.cert).unwrap();
            let node = PeerTls::speaking(protocols, service, &cert, &key).unwrap();
            (node, id)
        }
    }

    /// What one node is answered when it asks the other: its own question, backwards.
    async fn asked(from: &PeerTls, to: &PeerTls, id: Digest) -> io::Result<Vec<u8>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let answering = async {
            let (mut connection, _) = to.accept(listener.accept().await?.0).await?;
            let mut question = connection.question().await?.unwrap_or_default();
            question.reverse();
            connection.answer(&question).await
        };
        let asking = async { from.connect(id, &address).await?.ask(b"abc").await };
        let (answered, answer) = tokio::join!(answering, asking);
        answered.and(answer)
    }

    #[tokio::test]
    async fn nodes_of_neighbouring_versions_speak_the_one_that_both_know() {
        let service = Service::new();
        let (old, old_id) = service.node(&[PROTOCOL]);
        let (new, new_id) = service.node(&[NEXT, PROTOCOL]);
        assert_eq!(asked(&old, &new, new_id).await.unwrap(), b"cba");
        assert_eq!(asked(&new, &old, old_id).await.unwrap(), b"cba");
    }

    #[tokio::test]
    async fn nodes_without_a_common_version_turn_each_other_away() {
        let service = Service::new();
        let (old, old_id) = service.node(&[PROTOCOL]);
        let (new, new_id) = service.node(&[NEXT]);
        assert!(asked(&old, &new, new_id).await.is_err());
        assert!(asked(&new, &old, old_id).await.is_err());
    }

    #[tokio::test]
    async fn a_node_of_another_service_or_another_node_of_the_same_is_turned_away() {
        let (service, other) = (Service::new(), Service::new());
        let (one, one_id) = service.node(&[PROTOCOL]);
        let (two, _) = service.node(&[PROTOCOL]);
        let (stranger, stranger_id) = other.node(&[PROTOCOL]);
        assert!(asked(&two, &one, one_id).await.is_ok());
        assert!(asked(&stranger, &one, one_id).await.is_err());
        assert!(asked(&one, &stranger, stranger_id).await.is_err());
        assert!(asked(&one, &two, one_id).await.is_err());
    }
}
