//! Every bound on what a server may make this client do, and the reason for its number.

use std::time::Duration;

/// Longest answer that is read into memory, bytes: a page of the largest entries, and no more.
pub const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Longest line of a stream of events or of newline-delimited JSON, bytes: the ledger's largest
/// entry with every byte escaped in JSON would be longer, but nobody sends that.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// How often a request that was throttled (429, certainly not recorded) is sent again.
pub const THROTTLED_RETRIES_MAX: u32 = 8;

/// Longest wait before sending a throttled request again, whatever `Retry-After` says.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Wait between two looks at something that the ledger still loads. The vendor's clients use it.
pub const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Looks at something that the ledger still loads, before giving up: a minute.
pub const POLLS_MAX: u32 = 120;

/// How long a connection may take to come up.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take. A commit takes milliseconds; a leader's election takes seconds.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait before a watch that lost its connection connects again; it begins at 100 ms and
/// doubles.
pub const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

/// Silence after which a watched connection counts as lost. Ledgers send a comment every 15 s.
pub const WATCH_SILENCE_MAX: Duration = Duration::from_secs(60);

/// Entries in one batch, as the API documents.
pub const BATCH_ENTRIES_MAX: usize = 10_000;

/// A write is sent on to the leader this many times: leaders change while it is on its way, but not
/// that often.
pub(crate) const REDIRECTIONS_MAX: u32 = 12;

/// Wait before asking again who leads, where the one that was named is gone. A new one is found in a
/// second or two.
pub(crate) const LEADER_WAIT: Duration = Duration::from_millis(400);
