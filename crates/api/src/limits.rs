//! Every bound on what comes over the network, and the reason for its number.

use std::time::Duration;

/// Connections served at a time unless the operator says otherwise. Each costs some 50 KiB, most
/// of it TLS buffers; CCF takes 1,000.
pub const SESSIONS_DEFAULT: usize = 4_096;

/// Connections beyond the configured number that are still told why they are not served. Any more
/// are closed without a word.
pub const SESSIONS_TURNED_AWAY: usize = 64;

/// A TLS handshake takes three messages; who needs longer keeps a place from others.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection on which no request was finished for so long is closed. CCF's default.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The next bytes of a request's body must come within this time.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// All of a body that is not a stream must come within this time: a whole batch at 2 Mbit/s.
pub const BODY_TOTAL_TIMEOUT: Duration = Duration::from_secs(300);

/// A request to join: evidence with all its collateral is some 50 KiB.
pub const JOIN_BYTES_MAX: usize = 1 << 20;

/// A follower waits so long for a transaction that it was asked about to arrive from the leader.
pub const ARRIVAL_PATIENCE: Duration = Duration::from_secs(1);

/// A follower waits so long for a transaction that the leader told it of, before it passes the answer on: what
/// is committed arrives, late only on a machine that has much else to do.
pub const PASSED_PATIENCE: Duration = Duration::from_secs(5);

/// A node that passed a request on to the leader, and hears that it leads no more, waits so long for
/// its answer.
pub const LEADER_GONE: Duration = Duration::from_secs(3);

/// After the word to stop, requests under way have so long to finish.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of a request's headers together. CCF takes 16 KiB; tokens that list many groups need more.
pub const HEADER_BYTES_MAX: usize = 32 << 10;

/// HTTP/2 requests in flight on one connection.
pub const STREAMS_MAX: u32 = 512;

/// Bytes that a client may send ahead on one HTTP/2 stream.
pub const STREAM_WINDOW: u32 = 1 << 20;

/// Bytes that a client may send ahead on one HTTP/2 connection.
pub const CONNECTION_WINDOW: u32 = 4 << 20;

/// Bytes of a request's body where nothing else is said: users, roles. CCF's number.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// Bytes around the contents of an entry in a request: field names, white space, other fields.
pub const ENTRY_ENVELOPE_BYTES: usize = 64 << 10;

/// JSON writes one byte as six at the worst (`\u0001`).
pub const JSON_ESCAPE_FACTOR: usize = 6;

/// Bytes of a batch of entries as one JSON document.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// Entries of a batch as one JSON document.
pub const BATCH_ENTRIES_MAX: usize = 10_000;

/// Entries of a stream that are submitted together; the next wait until these are committed. Far
/// below the node's queue, so that a few streams fit beside each other.
pub const STREAM_ENTRIES_IN_FLIGHT: usize = 2_000;

/// Pieces of a stream that are parsed ahead.
pub const STREAM_PIECES_AHEAD: usize = 8;

/// The next line of a stream must begin within this time: who sends entries as they happen may
/// have none for a while.
pub const STREAM_SILENCE_MAX: Duration = Duration::from_secs(600);

/// How long a stream waits for a place in the node's queue before it gives an entry up.
pub const STREAM_BUSY_PATIENCE: Duration = Duration::from_secs(30);

/// Entries on one page of a list. Azure Confidential Ledger's number.
pub const PAGE_ENTRIES: usize = 1_000;

/// Bytes of contents after which a page ends early, so that pages of large entries fit in memory.
/// One entry is always on a page.
pub const PAGE_BYTES: usize = 8 << 20;

/// Entries that a watcher is sent before it is looked whether it still may see them.
pub const WATCH_PAGE_ENTRIES: usize = 256;

/// A watcher hears from us at least so often, so that both ends notice a dead connection.
pub const WATCH_HEARTBEAT: Duration = Duration::from_secs(15);

/// Verified tokens that are remembered.
pub const TOKENS_REMEMBERED: usize = 10_000;

/// Clocks of issuers may differ from ours by so many seconds.
pub const CLOCK_SKEW_SECS: u64 = 60;

/// Keys of issuers are fetched again after this time. CCF's default.
pub const KEY_REFRESH: Duration = Duration::from_secs(30 * 60);

/// A token signed by an unknown key makes us ask its issuer again, but not more often than this.
pub const KEY_REFRESH_PAUSE: Duration = Duration::from_secs(30);

/// An issuer answers within this time.
pub const ISSUER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an issuer's answer.
pub const ISSUER_BYTES_MAX: usize = 1 << 20;

/// A member's clock may be ahead of ours by so many seconds. Proposals from further ahead would make
/// those of others look too old.
pub const GOVERNANCE_AHEAD_SECS: u64 = 600;

/// Keys of one issuer.
pub const ISSUER_KEYS_MAX: usize = 64;
