-- Documents that were captured, and what became of their events.
CREATE TABLE captures (
  id TEXT NOT NULL PRIMARY KEY,
  actor TEXT NOT NULL,
  created BIGINT NOT NULL,
  finished BIGINT,
  events BIGINT NOT NULL,
  errors TEXT NOT NULL
);
