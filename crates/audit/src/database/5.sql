-- Which replica sends an event that is on its way, and a transaction that the ledger had before it.
ALTER TABLE events ADD COLUMN sender TEXT;
ALTER TABLE events ADD COLUMN after_tx TEXT;
-- Replicas that send: until when each counts as alive, and the last transaction that it knew of.
CREATE TABLE senders (
  id TEXT NOT NULL PRIMARY KEY,
  until BIGINT NOT NULL,
  seen TEXT
);
-- The folder whose outboxes number the transactions on a chain: there is one.
CREATE TABLE outboxes (
  chain BIGINT NOT NULL PRIMARY KEY,
  folder TEXT NOT NULL
);
