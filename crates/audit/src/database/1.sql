-- Events as the ledger has them, and what is kept beside it. `tx` is null until it is committed.
CREATE TABLE events (
  record TEXT NOT NULL,
  version BIGINT NOT NULL,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  operation TEXT NOT NULL,
  hash TEXT NOT NULL,
  event TEXT NOT NULL,
  salt TEXT NOT NULL,
  payload TEXT,
  log TEXT NOT NULL,
  tx TEXT,
  receipt TEXT,
  request TEXT,
  request_hash TEXT,
  PRIMARY KEY (record, version)
);
CREATE UNIQUE INDEX events_by_place ON events (log, tx);
CREATE UNIQUE INDEX events_by_request ON events (request);
CREATE INDEX events_by_actor ON events (actor, at, record, version);
CREATE INDEX events_pending ON events (at) WHERE tx IS NULL;
-- Which resources an event is about.
CREATE TABLE mentions (
  resource TEXT NOT NULL,
  at BIGINT NOT NULL,
  record TEXT NOT NULL,
  version BIGINT NOT NULL,
  part TEXT NOT NULL,
  PRIMARY KEY (resource, at, record, version, part)
);
CREATE INDEX mentions_by_record ON mentions (record, version);
