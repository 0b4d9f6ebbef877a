-- Participants. Nothing of them is erased; `tx` and `contract` say where the newest event about them is.
CREATE TABLE users (
  id TEXT NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  parent TEXT,
  email TEXT NOT NULL,
  name TEXT NOT NULL,
  chain_key TEXT,
  status TEXT NOT NULL,
  password TEXT NOT NULL,
  totp_on BIGINT NOT NULL,
  created BIGINT NOT NULL,
  version BIGINT NOT NULL,
  tx TEXT,
  contract TEXT
);
CREATE INDEX users_by_email ON users (email);
-- What belongs to one user only: `root`, `email:...`, `key:...`.
CREATE TABLE claims (
  name TEXT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL
);
-- Who stands above whom, however far.
CREATE TABLE ancestry (
  ancestor TEXT NOT NULL,
  user_id TEXT NOT NULL,
  PRIMARY KEY (ancestor, user_id)
);
CREATE INDEX ancestry_by_user ON ancestry (user_id);
CREATE TABLE grants (
  user_id TEXT NOT NULL,
  operation TEXT NOT NULL,
  PRIMARY KEY (user_id, operation)
);
-- The dictionary. `version` counts recorded changes; what was deleted stays, so that it keeps counting.
CREATE TABLE permissions (
  name TEXT NOT NULL PRIMARY KEY,
  entry TEXT NOT NULL,
  deleted BIGINT NOT NULL,
  version BIGINT NOT NULL
);
-- Changes that are on their way to the ledger, each the next version of what it changes.
CREATE TABLE changes (
  subject TEXT NOT NULL,
  version BIGINT NOT NULL,
  at BIGINT NOT NULL,
  act TEXT NOT NULL,
  change TEXT NOT NULL,
  PRIMARY KEY (subject, version)
);
CREATE INDEX changes_by_age ON changes (at);
-- Who is creating the root: one row at most.
CREATE TABLE root_slot (
  slot BIGINT NOT NULL PRIMARY KEY,
  session TEXT NOT NULL,
  nonce TEXT NOT NULL,
  expires BIGINT NOT NULL
);
CREATE TABLE sessions (
  id TEXT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  began BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  revoked BIGINT
);
CREATE INDEX sessions_by_user ON sessions (user_id, began);
CREATE INDEX sessions_by_end ON sessions (expires);
CREATE INDEX sessions_revoked ON sessions (revoked);
-- Refresh tokens by their SHA-256. A used one stays, so that its theft is noticed.
CREATE TABLE refreshes (
  hash TEXT NOT NULL PRIMARY KEY,
  session TEXT NOT NULL,
  used BIGINT NOT NULL,
  expires BIGINT NOT NULL
);
CREATE INDEX refreshes_by_session ON refreshes (session);
-- Second factors. `step` is that of the last code that was used; unconfirmed ones do not count.
CREATE TABLE totp (
  user_id TEXT NOT NULL PRIMARY KEY,
  secret TEXT NOT NULL,
  step BIGINT NOT NULL
);
-- Failed attempts by the SHA-256 of what was attempted, whether it exists or not.
CREATE TABLE failures (
  account TEXT NOT NULL PRIMARY KEY,
  count BIGINT NOT NULL,
  at BIGINT NOT NULL,
  until BIGINT NOT NULL
);
CREATE INDEX failures_by_age ON failures (at);
