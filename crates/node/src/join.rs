//! How a node comes to be part of a network.
//!
//! It draws its keys and shows evidence about the machine and the code that hold them. A node of the
//! network judges the evidence by what members accept, and records the request; members decide. Then
//! it gets the ledger's secrets, sealed (HPKE, RFC 9180) to the key that the evidence is about, so
//! that nobody in between learns them. Its ledger comes from the other nodes.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::entries::Visibility;
use ledger::rekey::Sealed;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_P384_HKDF_SHA384_AES_256;
use rustls::crypto::hpke::{Hpke, HpkePrivateKey};
use serde::{Deserialize, Serialize};
use store::durable::write_atomically;
use verify::{Cert, Digest, Seqno};
use zeroize::Zeroizing;

use crate::config::NodeConfig;
use crate::identity::{self, IdentityError, NodeSigner};
use crate::platform::{self, Secrets, SecretsError};
use crate::sealing;

/// Kept in the folder of a node that joined: what it must know before it has the ledger.
pub const ADMITTED_FILE: &str = "admitted.json";

/// What the evidence of a node is for, in its report data: see [`attest::report_data_for`].
pub const EVIDENCE_LABEL: &str = "join";

/// What the secrets are sealed for, and nothing else.
const SEALED_FOR: &[u8] = b"counterfoil join 1";

/// A node asks to join: `POST /node/join`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The node's public key, SubjectPublicKeyInfo, DER in base64.
    pub public_key: String,
    /// The key to seal secrets to: HPKE, DHKEM(P-384), in base64.
    pub encryption_key: String,
    /// What proves the platform, the code and the two keys.
    pub evidence: serde_json::Value,
    /// Where clients will reach it, `host:port`.
    pub address: String,
    /// Where other nodes will reach it, `host:port`.
    pub peer_address: String,
    /// The names and addresses that go into its certificate.
    pub subject_alt_names: Vec<String>,
    /// Proof that it holds the private half of the public key: a signature over [`possession`], DER
    /// in base64. Evidence of hardware proves that too; a virtual node's is only its word, and public
    /// keys are known to all.
    pub signature: String,
}

/// What a node signs to prove that it holds its key: the secrets may be sealed to this encryption
/// key, for this network.
pub(crate) fn possession(public_key: &[u8], encryption_key: &[u8], network: &[u8; 32]) -> Digest {
    Digest::of_parts(&[
        b"counterfoil join possession 1",
        &Digest::of(public_key).0,
        &Digest::of(encryption_key).0,
        network,
    ])
}

/// What became of the request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "status")]
pub enum JoinAnswer {
    /// Members have to decide. Ask again with the same request.
    Pending {
        /// The node's id.
        node_id: String,
    },
    /// It is part of the network.
    Trusted {
        /// The node's id.
        node_id: String,
        /// What it must know, sealed.
        sealed: Sealed,
    },
}

/// What a node must know to be part of a network.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    /// The first ledger secret, base64.
    pub(crate) ledger_secret: String,
    /// Those after it, each with the first seqno that it is valid for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) later_secrets: Vec<(u64, String)>,
    /// What the nodes keep their state under, where that is another than the first; base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state_secret: Option<String>,
    /// The services before this one, whose nodes signed the first part of the ledger; PEM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) earlier_services: Vec<String>,
    pub(crate) service_key: String,
    pub(crate) service_cert: String,
    pub(crate) node_cert: String,
    pub(crate) visibility: Visibility,
    /// Who has the ledger.
    #[serde(default)]
    pub(crate) peers: Vec<KnownNode>,
}

/// A node of the network, and where it listens for others.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KnownNode {
    pub(crate) id: String,
    pub(crate) address: String,
}

/// What a node that joined knows before it has the ledger.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admitted {
    pub(crate) service_cert: String,
    #[serde(default)]
    pub(crate) earlier_services: Vec<String>,
    pub(crate) node_cert: String,
    pub(crate) visibility: Visibility,
    pub(crate) peer_address: String,
    /// Who has the ledger.
    #[serde(default)]
    pub(crate) peers: Vec<KnownNode>,
}

/// What a node was told when it joined cannot be read: let it join again with an empty folder.
#[derive(Debug, thiserror::Error)]
#[error("reading {path}, which the node wrote when it joined")]
pub struct JoinFileError {
    /// The file.
    path: PathBuf,
    /// Why.
    #[source]
    source: std::io::Error,
}

impl Admitted {
    /// Reads it from the folder of a node; `None` for one that did not join.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, JoinFileError> {
        let path = dir.join(ADMITTED_FILE);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| JoinFileError {
                    path,
                    source: error.into(),
                }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(JoinFileError { path, source }),
        }
    }
}

/// Why a node cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The folder is another node's: choose an empty one.
    #[error("{dir} holds a ledger already; a node joins with an empty folder")]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder cannot be written.
    #[error("writing {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Keys cannot be drawn or used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Secrets cannot be kept.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The answer is not for this node, or was changed on its way.
    #[error("the network's answer cannot be used: {0}")]
    Answer(&'static str),
    /// The evidence cannot be had.
    #[error("collecting evidence about this machine")]
    Evidence(#[source] std::io::Error),
    /// The node has no address for others.
    #[error("a node that joins needs an address on which it listens for other nodes")]
    NoPeerAddress,
}

/// A node that is about to join: it holds keys that nobody else knows.
pub struct Joining {
    dir: PathBuf,
    node_key: Zeroizing<Vec<u8>>,
    decryption_key: HpkePrivateKey,
    request: JoinRequest,
}

impl Joining {
    /// Draws keys and collects evidence for them. `service` is the network that it is made for.
    ///
    /// # Errors
    /// See [`JoinError`]; nothing is written.
    pub fn new(config: &NodeConfig, service: &Cert) -> Result<Self, JoinError> {
        let dir = config.dir.clone();
        if platform::load(&dir)?.is_some() || dir.join("ledger").exists() {
            return Err(JoinError::NotEmpty { dir });
        }
        let peers = config.peers.as_ref().ok_or(JoinError::NoPeerAddress)?;
        let peer_address = match &peers.published_address {
            Some(address) => address.clone(),
            None => free_address(peers.listen).map_err(|source| JoinError::Io {
                path: dir.clone(),
                source,
            })?,
        };
        let node_key = identity::draw_key()?;
        let public_key = identity::public_key(&node_key)?;
        let (encryption_key, decryption_key) = DH_KEM_P384_HKDF_SHA384_AES_256
            .generate_key_pair()
            .map_err(|_| IdentityError::Random)?;
        let evidence = platform::evidence(&public_key, &encryption_key.0, service)
            .map_err(JoinError::Evidence)?;
        let network = platform::network_id(service.key_digest());
        let possession = possession(&public_key, &encryption_key.0, &network);
        let signature = NodeSigner::new(&node_key)?.sign_root(&possession);
        let request = JoinRequest {
            signature: STANDARD.encode(signature),
            public_key: STANDARD.encode(&public_key),
            encryption_key: STANDARD.encode(&encryption_key.0),
            evidence,
            address: config.published_address.clone(),
            peer_address,
            subject_alt_names: config.subject_alt_names.clone(),
        };
        Ok(Self {
            dir,
            node_key,
            decryption_key,
            request,
        })
    }

    /// What to send, again and again until the answer is [`JoinAnswer::Trusted`].
    pub const fn request(&self) -> &JoinRequest {
        &self.request
    }

    /// Keeps what the network granted: the node can be started now. The service is the one that was
    /// named at first, or its answer is not believed.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub fn admitted(&self, sealed: &Sealed, service: &Cert) -> Result<(), JoinError> {
        let grant = sealing::open(&self.decryption_key, SEALED_FOR, sealed).ok_or(
            JoinError::Answer("it is sealed for another node, or was changed"),
        )?;
        let grant: Grant =
            serde_json::from_slice(&grant).map_err(|_| JoinError::Answer("it is not a grant"))?;
        let granted = Cert::from_pem(&grant.service_cert)
            .map_err(|_| JoinError::Answer("the service's certificate cannot be read"))?;
        if granted.key_digest() != service.key_digest() {
            return Err(JoinError::Answer("it is from another service"));
        }
        let own = Cert::from_pem(&grant.node_cert)
            .map_err(|_| JoinError::Answer("the node's certificate cannot be read"))?;
        let key = identity::public_key(&self.node_key)?;
        if own.spki_der() != key || !own.is_signed_by(&granted) {
            return Err(JoinError::Answer("the certificate is not this node's"));
        }
        let decode = |text: &str| {
            let bytes = STANDARD.decode(text);
            bytes
                .map(Zeroizing::new)
                .map_err(|_| JoinError::Answer("a secret is not base64"))
        };
        let secret = |text: &str| {
            let secret: [u8; 32] = decode(text)?
                .as_slice()
                .try_into()
                .map_err(|_| JoinError::Answer("a ledger secret does not have 32 bytes"))?;
            Ok::<_, JoinError>(Zeroizing::new(secret))
        };
        let first = secret(&grant.ledger_secret)?;
        let mut ledger_secrets = vec![(Seqno::FIRST, first.clone())];
        for (from, text) in &grant.later_secrets {
            ledger_secrets.push((Seqno(*from), secret(text)?));
        }
        let secrets = Secrets {
            ledger_secrets,
            state_secret: grant.state_secret.as_deref().map_or(Ok(first), secret)?,
            service_key: decode(&grant.service_key)?,
            node_key: self.node_key.clone(),
        };
        let admitted = Admitted {
            service_cert: grant.service_cert,
            earlier_services: grant.earlier_services,
            node_cert: grant.node_cert,
            visibility: grant.visibility,
            peer_address: self.request.peer_address.clone(),
            peers: grant.peers,
        };
        let path = self.dir.join(ADMITTED_FILE);
        let io = |source| JoinError::Io {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(&self.dir).map_err(io)?;
        let json = serde_json::to_vec(&admitted).expect("strings are JSON");
        write_atomically(&path, &json, 0o600).map_err(io)?;
        // The secrets last: with them the folder is a node's.
        platform::save(&self.dir, &secrets)?;
        Ok(())
    }
}

/// A free port, for a node that takes any: it is asked for before it can listen.
fn free_address(mut listen: std::net::SocketAddr) -> std::io::Result<String> {
    if listen.port() == 0 {
        listen = std::net::TcpListener::bind(listen)?.local_addr()?;
    }
    Ok(listen.to_string())
}

/// Seals `grant` to the key that a node's evidence is about.
pub(crate) fn seal(grant: &Grant, encryption_key: &[u8]) -> Result<Sealed, &'static str> {
    let json = serde_json::to_vec(grant).expect("strings are JSON");
    sealing::seal(encryption_key, SEALED_FOR, &Zeroizing::new(json))
}
