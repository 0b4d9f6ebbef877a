//! Who is who among the services: certificates of an authority that is the operator's own.
//!
//! A certificate names a service, by a DNS name that is the same wherever the service runs, and no host. So
//! replicas have one certificate or many, and addresses change without new ones. What another authority
//! signed, what names another service, and who shows nothing, is refused in the handshake.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme, version,
};

/// One of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// The single entry.
    Gateway,
    /// Who takes part.
    Users,
    /// Stores and consults.
    Audit,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gateway, Self::Users, Self::Audit];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Users => "users",
            Self::Audit => "audit",
        }
    }

    /// The DNS name in its certificate.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway.counterfoil.internal",
            Self::Users => "users.counterfoil.internal",
            Self::Audit => "audit.counterfoil.internal",
        }
    }

    /// Who may ask it.
    pub const fn asked_by(self) -> &'static [Self] {
        match self {
            Self::Gateway => &[],
            Self::Users => &[Self::Gateway],
            Self::Audit => &[Self::Gateway, Self::Users],
        }
    }

    fn server_name(self) -> ServerName<'static> {
        ServerName::try_from(self.name()).expect("our names are DNS names")
    }
}

/// Why a service cannot show who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("reading {path} as PEM")]
    Pem {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// They do not fit together.
    #[error("the certificate and its key cannot be used for TLS")]
    Tls(#[from] Error),
    /// It is another service's: nobody would believe this one.
    #[error("{path} is no certificate of the service {service}")]
    Other {
        /// The file.
        path: String,
        /// Who wants to show it.
        service: &'static str,
    },
    /// The authority's certificate signs nothing.
    #[error("the services' authority cannot be used")]
    Authority(#[source] rustls::server::VerifierBuilderError),
}

/// What a service shows to the others, and by what it knows them.
#[derive(Debug)]
pub struct Credentials {
    service: Service,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authority: Arc<RootCertStore>,
}

impl Credentials {
    /// Reads them from a folder: `ca.pem`, and the service's own `WORD.pem` and `WORD_key.pem`.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn read(service: Service, folder: &Path) -> Result<Self, IdentityError> {
        let word = service.word();
        let (own, key) = (
            folder.join(format!("{word}.pem")),
            folder.join(format!("{word}_key.pem")),
        );
        let chain = certificates(&own)?;
        let first = chain.first().ok_or(Error::NoCertificatesPresented)?;
        if !names(first, service) {
            return Err(IdentityError::Other {
                path: own.display().to_string(),
                service: word,
            });
        }
        let mut authority = RootCertStore::empty();
        for certificate in certificates(&folder.join("ca.pem"))? {
            authority.add(certificate)?;
        }
        Ok(Self {
            service,
            chain,
            key: PrivateKeyDer::from_pem_file(&key).map_err(unread(&key))?,
            authority: Arc::new(authority),
        })
    }

    /// How it serves those who may ask it.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn serving(&self) -> Result<crate::serve::Identity, IdentityError> {
        let provider = provider();
        let trusted = WebPkiClientVerifier::builder_with_provider(
            Arc::clone(&self.authority),
            Arc::clone(&provider),
        );
        let known = Known {
            inner: trusted.build().map_err(IdentityError::Authority)?,
            welcome: self.service.asked_by(),
        };
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(&[&version::TLS13])?;
        let config = config.with_client_cert_verifier(Arc::new(known));
        let config = config.with_single_cert(self.chain.clone(), self.key.clone_key())?;
        Ok(crate::serve::Identity::of(config))
    }

    /// How it asks another service.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub(super) fn asking(&self, service: Service) -> Result<ClientConfig, IdentityError> {
        let provider = provider();
        let trusted = WebPkiServerVerifier::builder_with_provider(
            Arc::clone(&self.authority),
            Arc::clone(&provider),
        );
        let wanted = Wanted {
            inner: trusted.build().map_err(IdentityError::Authority)?,
            name: service.server_name(),
        };
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(&[&version::TLS13])?;
        let config = config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(wanted));
        Ok(config.with_client_auth_cert(self.chain.clone(), self.key.clone_key())?)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let all = CertificateDer::pem_file_iter(path).map_err(unread(path))?;
    all.collect::<Result<_, _>>().map_err(unread(path))
}

fn unread(path: &Path) -> impl Fn(rustls::pki_types::pem::Error) -> IdentityError {
    let path = path.display().to_string();
    move |source| IdentityError::Pem {
        path: path.clone(),
        source,
    }
}

/// Whether a certificate names a service.
fn names(certificate: &CertificateDer<'_>, service: Service) -> bool {
    let parsed = ParsedCertificate::try_from(certificate);
    parsed.is_ok_and(|parsed| {
        rustls::client::verify_server_name(&parsed, &service.server_name()).is_ok()
    })
}

/// Those who may ask: their certificate is the authority's, and names one of these services.
#[derive(Debug)]
struct Known {
    inner: Arc<dyn ClientCertVerifier>,
    welcome: &'static [Service],
}

impl ClientCertVerifier for Known {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .inner
            .verify_client_cert(end_entity, intermediates, now)?;
        if self
            .welcome
            .iter()
            .any(|service| names(end_entity, *service))
        {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The service that is asked, at whatever address: its certificate is the authority's, and names it.
#[derive(Debug)]
struct Wanted {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for Wanted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _address: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.inner
            .verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
