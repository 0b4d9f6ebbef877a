-- The number of an account's next transaction, where the database gives numbers out; null before the first, and where
-- a folder of outboxes does. `events.signed` has such transactions too.
ALTER TABLE accounts ADD COLUMN next BIGINT;
-- Several replicas may make an account for somebody at once: one of these is kept.
CREATE UNIQUE INDEX accounts_of_candidates ON accounts (chain, participant)
  WHERE contract IS NULL AND sealed IS NOT NULL;
-- What is signed and not final yet, of one log.
CREATE INDEX events_on_their_way_by_log ON events (log) WHERE tx IS NULL;
