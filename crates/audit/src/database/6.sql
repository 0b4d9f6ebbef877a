-- The newest events of all: a page of them is found without sorting everything.
CREATE INDEX events_by_time ON events (at, record, version);
