//! Every bound on what comes from outside, and the reason for its number.

use std::time::Duration;

/// Bytes of a record's data as canonical JSON. An EPCIS document of a thousand lots is a quarter of it.
pub const DATA_BYTES_MAX: usize = 1 << 20;

/// Bytes of a request around the data: names, places, escapes.
pub const REQUEST_BYTES_MAX: usize = 2 * DATA_BYTES_MAX;

/// Bytes of a record's id: a hash in hexadecimal digits with a name before it.
pub const RECORD_ID_BYTES_MAX: usize = 128;

/// Bytes of a resource's id: the longest GS1 Digital Link with all its qualifiers is shorter.
pub const RESOURCE_ID_BYTES_MAX: usize = 512;

/// Resources that one event is about: a pallet's cases.
pub const MENTIONS_MAX: usize = 1_000;

/// Bytes of a text about an event: where, target, what was done. The contracts' own limit.
pub const TEXT_BYTES_MAX: usize = 255;

/// Fields that are named when a record was altered: more tell nobody more.
pub const ALTERED_FIELDS_MAX: usize = 100;

/// Bytes of a key by which a request is done once.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Events on a page.
pub const PAGE_MAX: u32 = 500;

/// Events on a page where nobody says how many.
pub const PAGE_DEFAULT: u32 = 50;

/// Events that wait for the database. Each holds its data, so this many at the longest are much memory,
/// and usual ones little; who comes then is told to come later.
pub const WRITES_WAITING_MAX: usize = 4_096;

/// Events that the database takes in one transaction: a sync is shared by so many.
pub const WRITES_TOGETHER_MAX: usize = 256;

/// How long an event may take to be committed in the ledger before its caller is told that it is pending:
/// a lost leader is replaced in two seconds.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(15);

/// Events of one trace: a season of one lot has some dozens.
pub const TRACE_EVENTS_MAX: usize = 1_000;

/// Resources of one trace: the cases of some pallets.
pub const TRACE_RESOURCES_MAX: usize = 500;

/// Connections that one service serves at a time. Each costs some 50 KiB.
pub const CONNECTIONS_MAX: usize = 4_096;

/// A TLS handshake, and the headers of a request, must come within this time.
pub const HEADER_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a request's headers together.
pub const HEADER_BYTES_MAX: usize = 32 << 10;

/// HTTP/2 requests in flight on one connection.
pub const STREAMS_MAX: u32 = 256;

/// After the word to stop, requests under way have so long to finish: a lost ledger's leader is replaced
/// within it.
pub const DRAIN_PATIENCE: Duration = Duration::from_secs(20);

/// A server of the system that is not connected to by then is not there.
pub const UPSTREAM_CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// The next bytes of the system's answer must come within this time.
pub const UPSTREAM_PATIENCE: Duration = Duration::from_secs(60);

/// A server of the system that was not reached is left out for so long.
pub const UPSTREAM_REST: Duration = Duration::from_secs(5);
