-- How somebody signs in by the identity provider, JSON; null where nobody has said anything about it.
ALTER TABLE users ADD COLUMN oidc TEXT;
-- What came back from the provider and was used, by its SHA-256: each is good once.
CREATE TABLE oidc_used (
  state TEXT NOT NULL PRIMARY KEY,
  expires BIGINT NOT NULL
);
CREATE INDEX oidc_used_by_end ON oidc_used (expires);
