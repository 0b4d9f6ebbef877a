-- Codes by which users who forgot their passwords choose new ones, by their SHA-256: the last one of each user.
CREATE TABLE resets (
  user_id TEXT NOT NULL PRIMARY KEY,
  code TEXT NOT NULL,
  expires BIGINT NOT NULL
);
