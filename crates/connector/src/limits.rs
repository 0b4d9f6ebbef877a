//! What this crate takes, keeps and waits for, at most.

use std::time::Duration;

/// No answer of a node is read further. The receipts of a full block of a public chain are some
/// megabytes.
pub const ANSWER_BYTES_MAX: usize = 32 << 20;
/// A node that cannot be reached by then is down.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A node that says nothing for so long says nothing any more.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a node may take to put a transaction into a block while it is waited for, in milliseconds: less
/// than the answer may take, so that the node is the one that says so.
pub const SENDING_PATIENCE_MS: u64 = 5_000;
/// Questions in one request: with more, the first would wait long for the last.
pub const TOGETHER_MAX: usize = 64;
/// Questions that wait for a request. Who comes then waits until there is room.
pub const TOGETHER_WAITING_MAX: usize = 1024;
/// What is kept of a node's own words, in characters: they go into errors and logs.
pub const MESSAGE_CHARS_MAX: usize = 300;

/// A transaction's input: what public nodes take of a whole transaction, less what the rest needs.
pub const DATA_BYTES_MAX: usize = (128 << 10) - 1024;
/// A caller's name for a transaction.
pub const REFERENCE_BYTES_MAX: usize = 128;
/// Transactions that are signed and not final. More would not fit into a node's pool for one account.
pub const UNSETTLED_MAX: usize = 1024;
/// How often the price of one transaction is raised. Ten times 12.5 % is more than threefold.
pub const REPLACEMENTS_MAX: usize = 10;
/// A line of the outbox: a transaction in hex, and what surrounds it.
pub const LINE_BYTES_MAX: usize = 2 * DATA_BYTES_MAX + (8 << 10);
/// From here on the outbox is written anew when it is opened, without what is final.
pub const COMPACT_BYTES: u64 = 16 << 20;
/// The file of a key: 64 hex digits, and some space.
pub const KEY_FILE_BYTES_MAX: u64 = 256;

/// Records under one root. Their salts are a file of 100 bytes each.
pub const BATCH_RECORDS_MAX: usize = 1 << 16;
/// The file of a batch.
pub const BATCH_BYTES_MAX: u64 = 16 << 20;
/// Records that wait for a batch to begin.
pub const WAITING_MAX: usize = 4 * BATCH_RECORDS_MAX;
/// A proof, as JSON.
pub const BUNDLE_BYTES_MAX: usize = 4 << 20;
/// Steps from a record to its root: a tree of 2^63 records needs no more.
pub const PATH_STEPS_MAX: usize = 63;
/// Nodes from a trie's root to a leaf: a key of `n` bytes has `2n` digits, an index at most 9 bytes.
pub const TRIE_NODES_MAX: usize = 20;
/// A block's header: about 600 bytes; consortia keep their validators in it.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// A transaction that somebody else signed: the longest call of the audit contracts is a tenth of it.
pub const PRESIGNED_BYTES_MAX: usize = 16 << 10;
