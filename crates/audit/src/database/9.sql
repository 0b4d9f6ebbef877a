-- The transaction of an event that its participant signed, in hexadecimal digits; null where it was signed here.
ALTER TABLE events ADD COLUMN signed TEXT;
-- Events that wait for their participants' signatures: each the row that it becomes, JSON.
CREATE TABLE prepared (
  id TEXT NOT NULL PRIMARY KEY,
  actor TEXT NOT NULL,
  expires BIGINT NOT NULL,
  event TEXT NOT NULL
);
CREATE INDEX prepared_by_actor ON prepared (actor, expires);
CREATE INDEX prepared_by_end ON prepared (expires);
