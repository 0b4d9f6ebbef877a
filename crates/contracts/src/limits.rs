//! Every bound on a transaction and on what it does, and the reason for its number.

use std::time::Duration;

/// Bytes of a signed transaction, as other nodes of Ethereum take them from wallets.
pub const TRANSACTION_BYTES_MAX: usize = 128 << 10;

/// Gas that one transaction can be given: the cap of EIP-7825, whatever the fork. It bounds the time
/// that the executor spends on one transaction, which all others wait for.
pub const TRANSACTION_GAS_MAX: u64 = 1 << 24;

/// Gas that a block is said to have room for. A block is a batch and no gas ends it; wallets read
/// this number as what a transaction can ask for.
pub const BLOCK_GAS_LIMIT: u64 = 30_000_000;

/// Bytes of what a reverted transaction said that are kept: a reason, not a book.
pub const REASON_BYTES_MAX: usize = 1024;

/// Contracts whose code is held ready to run. The largest code has 24 KiB (EIP-170).
pub const CODES_CACHED: usize = 512;

/// Blocks that are held after they were read: clients ask for the newest again and again.
pub const BLOCKS_CACHED: usize = 64;

/// Logs in one answer, as other nodes of Ethereum have it.
pub const LOGS_MAX: usize = 20_000;

/// Bytes of data in the logs of one answer, half of what it can have: they are written in two digits.
pub const LOG_BYTES_MAX: usize = RESPONSE_BYTES_MAX as usize / 2;

/// Contracts and topics in one filter, as other nodes of Ethereum have it for each place. Each is looked
/// up, and filters are held.
pub const LOG_CONDITIONS_MAX: usize = 1_000;

/// Blocks that a query can span which names neither a contract nor a topic: it reads each transaction.
pub const LOG_BLOCKS_MAX: u64 = 1_000;

/// Transactions of one sender that wait for earlier ones, as other nodes of Ethereum have it.
pub const GAPS_OF_ONE_MAX: usize = 64;

/// Transactions that wait for earlier ones: with the largest of them some 128 MiB.
pub const GAPS_MAX: usize = 1_024;

/// A transaction that waited for so long for earlier ones makes room when there is none.
pub const GAPS_FOR: Duration = Duration::from_secs(10 * 60);

/// Bytes of a request: a large transaction in hexadecimal digits, or a batch of usual ones.
pub const REQUEST_BYTES_MAX: u32 = 2 << 20;

/// Bytes of an answer: the widest query of logs.
pub const RESPONSE_BYTES_MAX: u32 = 32 << 20;

/// Requests in one batch; wallets send tens.
pub const REQUESTS_MAX: u32 = 1_000;

/// Blocks of which a fee history tells, as other nodes of Ethereum have it.
pub const FEE_HISTORY_MAX: u64 = 1_024;

/// Calls in one simulation, whatever the number of its blocks.
pub const SIMULATED_CALLS_MAX: usize = 1_024;

/// Gas that one simulation can use: that of a few blocks.
pub const SIMULATED_GAS_MAX: u64 = 4 * BLOCK_GAS_LIMIT;

/// Gas of a transaction whose steps are told one by one: each takes some hundred bytes, and some of them
/// cost but one gas.
pub const TRACED_GAS_MAX: u64 = 1_000_000;

/// Requests over TLS that are under way together; a WebSocket counts as one.
pub const CALLS_AT_A_TIME_MAX: u32 = 4_096;

/// A transaction that finds no leader waits so long for one: an election takes some two seconds.
pub const LEADER_PATIENCE: Duration = Duration::from_secs(15);

/// A follower waits so long for a transaction that the leader has committed.
pub const ARRIVAL_PATIENCE: Duration = Duration::from_secs(5);

/// Percentiles that a fee history tells of each block, as other nodes of Ethereum have it.
pub const PERCENTILES_MAX: usize = 100;

/// Gas of a call that is run where it arrived, before it is known to need more: some milliseconds at
/// the most.
pub const BRIEF_GAS: u64 = 1_000_000;

/// Calls that wait for a core: with a second for each, the last waits some minutes.
pub const CALLS_WAITING_MAX: usize = 256;

/// Connections to the listener for development.
pub const CONNECTIONS_MAX: u32 = 256;

/// Subscriptions of one connection; tools have a handful.
pub const SUBSCRIPTIONS_MAX: u32 = 64;

/// Messages that wait for a WebSocket's reader; one who reads slower loses the subscription. A message
/// can have some megabytes.
pub const UNREAD_MAX: u32 = 64;

/// Filters of all clients of a node.
pub const FILTERS_MAX: usize = 4_096;

/// Accounts of one user: one of their own, and some for services.
pub const ACCOUNTS_OF_ONE_MAX: usize = 64;

/// Bytes of a message that binds an account.
pub const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Gas that a contract can use to say whether somebody is a party: some look-ups.
pub const PARTY_GAS: u64 = 200_000;
