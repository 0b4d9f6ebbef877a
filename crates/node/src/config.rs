//! What the operator of one node decides. What members must agree on is in the ledger instead.

use std::net::SocketAddr;
use std::path::PathBuf;

use ledger::entries::{EntryLimits, Visibility};
use ledger::governance::FoundingMember;
use ledger::users::UserId;

use crate::consensus::Timing;

/// Submissions that may wait for the executor before clients are asked to come back later. At the
/// rate of one core this is less than a second of work.
pub const QUEUE_ENTRIES_DEFAULT: usize = 16_384;

/// Bytes after which a ledger file is closed. CCF's default.
pub const CHUNK_BYTES_DEFAULT: u64 = 5_000_000;

/// As many entries as a node replays in about a second; making a snapshot and getting it takes as long.
pub const REPLAY_ENTRIES_DEFAULT: u64 = 250_000;

/// How a node starts.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The folder that holds everything of this node. Created if missing.
    pub dir: PathBuf,
    /// Whether contents are sealed. Only asked when a ledger is created; fixed from then on.
    pub visibility: Visibility,
    /// Names and addresses under which clients reach this node: they go into its certificate.
    pub subject_alt_names: Vec<String>,
    /// Where clients reach this node, `host:port`; other nodes and tools read it in the ledger.
    pub published_address: String,
    /// What the ledger takes of entries.
    pub limits: EntryLimits,
    /// Entries that may wait for the executor; more are refused with "busy", unrecorded.
    pub queue_entries: usize,
    /// Bytes after which a ledger file is closed.
    pub chunk_bytes: u64,
    /// Users who are Administrators of a new ledger.
    pub administrators: Vec<UserId>,
    /// Members who govern a new ledger. Where none is named, one is made, and its key is left in
    /// the folder.
    pub members: Vec<FoundingMember>,
    /// What is decided with the creation of a new ledger, as a proposal's JSON: nobody has to vote on
    /// it.
    pub founding_actions: Option<String>,
    /// How other nodes reach this one; `None` for a node that is alone.
    pub peers: Option<PeerConfig>,
}

/// How the nodes of a network reach each other.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Where to listen for other nodes. Port 0 takes a free one at the first start, and the same one
    /// ever after.
    pub listen: SocketAddr,
    /// Where other nodes reach this one, `host:port`. The address it listens on unless given.
    pub published_address: Option<String>,
    /// How soon nodes miss each other.
    pub timing: Timing,
    /// A node that joins replays up to this many entries; if the others have no snapshot that is
    /// newer, it has one made.
    pub replay_entries: u64,
}

impl NodeConfig {
    /// A private ledger in `dir`, reached on this machine only.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            visibility: Visibility::Private,
            subject_alt_names: vec!["localhost".into(), "127.0.0.1".into(), "::1".into()],
            published_address: "localhost".into(),
            limits: EntryLimits::default(),
            queue_entries: QUEUE_ENTRIES_DEFAULT,
            chunk_bytes: CHUNK_BYTES_DEFAULT,
            administrators: Vec::new(),
            founding_actions: None,
            peers: None,
            members: Vec::new(),
        }
    }
}
