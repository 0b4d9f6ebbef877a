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

/// Bytes of a journal, after which another one begins: it is read whole at a start.
pub const JOURNAL_BYTES: u64 = 16 << 20;

/// How often the database gets what the journal has, if nobody asks for it before: the more events at once, the
/// fewer of its pages are written for each.
pub const PUT_EVERY: Duration = Duration::from_millis(100);

/// Committed events that it gets without waiting for that.
pub const PUT_TOGETHER: usize = 1_024;

/// Age of an event on its way to the ledger that the database gets as such. Younger ones are waited for, so that
/// each is written once.
pub const PUT_PENDING_AFTER: Duration = Duration::from_secs(1);

/// Events that the journal has and the database not, before who comes is told to come later.
pub const FRESH_MAX: usize = 16_384;

/// Events that wait for the ledger. Each is in the database or its journal already.
pub const ENTRIES_WAITING_MAX: usize = 4_096;

/// Events that one request takes to the ledger: their receipts are a megabyte.
pub const ENTRIES_TOGETHER_MAX: usize = 256;

/// Bytes of events that one request takes to the ledger, unless one alone has more: a sixteenth of what a ledger
/// takes, whatever of it is escaped.
pub const ENTRIES_TOGETHER_BYTES_MAX: usize = 4 << 20;

/// How long an event may take to be committed in the ledger before its caller is told that it is pending:
/// a lost leader is replaced in two seconds.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(15);

/// How often a replica says that it is alive, and looks for events that nobody sends.
pub const SENDER_RENEWAL: Duration = Duration::from_secs(3);

/// How long it counts as alive after that: some failed attempts to say so. One that is taken for dead too
/// early sends beside another, and the ledger takes one.
pub const SENDER_LEASE: Duration = Duration::from_secs(15);

/// Age of an event that nobody sends, though its replica is alive: its caller went away between two steps,
/// or the database's answer was lost.
pub const ORPHAN_AGE: Duration = Duration::from_secs(5);

/// Events that are taken up at once. The others follow.
pub const TAKEN_UP_MAX: i64 = 4_096;

/// Outboxes that are open at once. Each holds two files, and a process has 1,024 unless somebody raises it.
/// So many events are on their way to a chain at the same time.
pub const OUTBOXES_OPEN_MAX: usize = 200;

/// Accounts that are remembered with their contracts, 200 bytes each.
pub const ACCOUNTS_KNOWN_MAX: usize = 10_000;

/// Participants of a tree. Whose contract one is, is found by trying, which takes a second for so many.
pub const PARTICIPANTS_MAX: u64 = 1 << 20;

/// Events of one participant that wait for its signature. Each holds its data.
pub const PREPARED_MAX: i64 = 32;

/// Digits of a signed transaction, two a byte: that of the longest event has some 2,500, the rest is for a list of what
/// it accesses, which nobody needs.
pub const SIGNED_DIGITS_MAX: usize = 16 << 10;

/// How long an event waits for it: somebody has to find the device, and to read what it shows.
pub const PREPARED_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Transactions of an account that are handed over before one that waits for them.
pub const HELPED_MAX: i64 = 100;

/// Gas of an event where gas costs nothing: the longest takes 663,000, and asking how much it is would take
/// as long as sending it.
pub const EVENT_GAS: u64 = 1_500_000;

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

/// How long the sender of a body may let us wait in all, beyond what it earns by the pace below.
pub const BODY_PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of a body in a second, at least: a tenth of what a phone of 2003 sends.
pub const BODY_BYTES_PER_SECOND_MIN: u32 = 1_024;

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

/// Bytes that one service sends to another: an EPCIS document with the context of each of its events.
pub const INSIDE_BYTES_MAX: usize = 64 << 20;

/// A replica of another service that says nothing for so long, though it is asked whether it is there, is gone.
pub const PEER_SILENCE: Duration = Duration::from_secs(5);

/// Bytes of a `traceparent` header: this version has 55, later ones may say more.
pub const TRACEPARENT_BYTES_MAX: usize = 256;

/// Members of a `tracestate` list, as W3C Trace Context bounds it: longer ones are not passed on.
pub const TRACESTATE_MEMBERS_MAX: usize = 32;

/// Spans that wait for their collector, some hundred bytes each. What comes then is lost, and counted.
pub const SPANS_WAITING_MAX: usize = 8_192;

/// Spans that one request takes to the collector.
pub const SPANS_TOGETHER_MAX: usize = 512;

/// How long a span waits for others to go with it.
pub const SPANS_EVERY: Duration = Duration::from_secs(1);

/// A collector that has not answered by then is asked again, or does not get the spans.
pub const COLLECTOR_PATIENCE: Duration = Duration::from_secs(10);

/// A collector that wants to be left alone for longer (`Retry-After`) is asked all the same.
pub const COLLECTOR_WAIT_MAX: Duration = Duration::from_secs(60);

/// Bytes of a collector's answer that are read: it says what of the spans it did not take.
pub const COLLECTOR_ANSWER_BYTES_MAX: usize = 64 << 10;

/// After the word to stop, spans that are left have so long to reach the collector.
pub const SPANS_LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Callers whom a gateway remembers, for one second each.
pub const CALLERS_REMEMBERED: usize = 10_000;

/// Bytes of an email address: what a path in SMTP holds (RFC 5321).
pub const EMAIL_BYTES_MAX: usize = 254;

/// Bytes of a user's name: four times the longest that a passport prints.
pub const NAME_BYTES_MAX: usize = 160;

/// Users above one another, the root among them. Companies have fewer floors, and each is looked up.
pub const TREE_DEPTH_MAX: usize = 32;

/// Characters of a password at least: NIST asks for 15 without a second factor and 8 with one.
pub const PASSWORD_CHARS_MIN: usize = 12;

/// Characters of a password at most: a sentence of forty words fits.
pub const PASSWORD_CHARS_MAX: usize = 256;

/// Passwords that wait for their turn to be hashed. A turn takes some 30 ms and 19 MiB, so who comes after
/// these would wait for seconds.
pub const HASHES_WAITING_MAX: usize = 64;

/// Wrong passwords for one account before its owner waits: people mistype.
pub const FAILURES_FREE_ACCOUNT: u32 = 5;

/// Wrong passwords from one source before it waits: an office has one address.
pub const FAILURES_FREE_SOURCE: u32 = 20;

/// The longest wait after wrong passwords: 96 guesses a day, and no owner is kept out for long.
pub const FAILURE_DELAY_MAX: Duration = Duration::from_secs(15 * 60);

/// How long wrong passwords are remembered. Each took one hash, so in an hour there are not many.
pub const FAILURE_MEMORY: Duration = Duration::from_secs(60 * 60);

/// Sources whose wrong passwords are remembered; who was longest quiet is forgotten first. 100 bytes each.
pub const SOURCES_REMEMBERED: usize = 65_536;

/// Sources and callers whose requests are counted; who was longest quiet is forgotten first. 150 bytes each.
pub const RATES_REMEMBERED: usize = 65_536;

/// Questions of one bulk consult. Each may take a look at the ledger.
pub const QUESTIONS_MAX: usize = 1_000;

/// Questions of one bulk consult that are looked up at the same time.
pub const QUESTIONS_TOGETHER: usize = 8;

/// Bytes of a bulk consult: so many questions with data of a table's row.
pub const BULK_BYTES_MAX: usize = 8 << 20;

/// How long an access token is good: who lost their rights elsewhere keeps them no longer than this.
pub const ACCESS_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// How long a session lives without being renewed: a working day.
pub const SESSION_IDLE: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a session lives however often it is renewed: a week, then the password is asked for again.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Sessions of one user at once: more devices nobody uses; the oldest ends.
pub const SESSIONS_PER_USER: i64 = 32;

/// How far the clocks of two replicas may be apart when they look at each other's tokens.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// Bytes of an access token: ours have less than 600.
pub const TOKEN_BYTES_MAX: usize = 2_048;

/// Tokens whose signatures are not checked again, a kilobyte each.
pub const TOKENS_SEEN: usize = 4_096;

/// Keys that sign tokens, at once: one a minute could come before the oldest has aged out.
pub const TOKEN_KEYS_MAX: usize = 16;

/// Sessions revoked in the lifetime of a token that are known by heart: each took a login, and so a hash.
/// With more, no token is believed until some have aged.
pub const REVOKED_MAX: usize = 1 << 20;

/// How long somebody who began to sign in at an identity provider has for it: a password and a phone to find.
pub const OIDC_ATTEMPT_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How long somebody who came back from there has to type a code of their second factor.
pub const OIDC_HALF_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// An identity provider that is not connected to, or has not answered, by then does not answer. Signing in
/// takes four requests at the most, and its caller waits a minute.
pub const OIDC_PATIENCE: Duration = Duration::from_secs(10);

/// Requests to the provider that are under way at once. Who comes then is told to come later.
pub const OIDC_TOGETHER_MAX: usize = 32;

/// Bytes of an answer of the provider: its keys with their certificates are some ten thousand.
pub const OIDC_ANSWER_BYTES_MAX: usize = 256 << 10;

/// Keys of the provider: it has one or two, and those of the last weeks.
pub const OIDC_KEYS_MAX: usize = 64;

/// How long is believed what the provider says of itself, and its keys.
pub const OIDC_KNOWN_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How often it is asked for its keys because a token names one that is not known, and how soon again after it
/// did not answer: tokens that name a key cost nothing to make.
pub const OIDC_LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Bytes of an ID token: those with pictures and groups have some thousand.
pub const OIDC_TOKEN_BYTES_MAX: usize = 32 << 10;

/// Bytes of what a provider sends back with a browser: a code that is a token of its own fits.
pub const OIDC_RETURNED_BYTES_MAX: usize = 4 << 10;

/// Bytes of the name that a provider knows somebody by (OpenID Connect Core, section 2).
pub const OIDC_SUBJECT_BYTES_MAX: usize = 255;

/// How far the provider's clock may be from ours.
pub const OIDC_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// How often is looked at what other replicas revoked.
pub const STANDING_REFRESH: Duration = Duration::from_secs(1);

/// How old that may be before no token is believed: some failed looks, and no more.
pub const STANDING_AGE_MAX: Duration = Duration::from_secs(30);

/// Users whose grants are known by heart, for one second each.
pub const GRANTS_REMEMBERED: usize = 10_000;

/// How long somebody who began to create the root has for it, as in the paper.
pub const ROOT_SLOT_LIFETIME: Duration = Duration::from_secs(10);

/// Bytes of the nonce by which somebody begins it: a hash in hexadecimal digits, twice.
pub const NONCE_BYTES_MAX: usize = 128;

/// Age of a change that nobody finishes any more: whoever began it has given up before.
pub const CHANGE_ABANDONED: Duration = Duration::from_secs(30);

/// Abandoned changes that are finished in one go.
pub const CHANGES_TOGETHER_MAX: i64 = 100;

/// Operations in the dictionary of permissions. It is held in memory, and read whole.
pub const PERMISSIONS_MAX: usize = 1_000;

/// Events of one EPCIS document: a container's cases.
pub const EVENTS_IN_A_DOCUMENT_MAX: usize = 2_000;

/// Events of a document that are on their way to the ledger at once: a batch.
pub const CAPTURES_TOGETHER: usize = 64;

/// Events that a query without a narrow answer looks at before it gives a page, and says where to go on.
pub const EPCIS_EVENTS_LOOKED_AT: usize = 10_000;

/// Refusals in a second that the log tells of one by one.
pub const REFUSALS_LOGGED_MAX: u32 = 100;

/// How long a code is good by which somebody chooses a new password: they ask for it, and use it at once.
pub const RESET_LIFETIME: Duration = Duration::from_secs(60 * 60);
