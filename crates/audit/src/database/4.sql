-- What an event does to the tree of participants, JSON, so that it is sent again with it.
ALTER TABLE events ADD COLUMN enrol TEXT;
-- Accounts of participants on a chain. `contract` and `place` are null until the contract is made; `sealed`
-- is null where the participant keeps its key itself.
CREATE TABLE accounts (
  chain BIGINT NOT NULL,
  account TEXT NOT NULL,
  participant TEXT NOT NULL,
  kind TEXT NOT NULL,
  sealed TEXT,
  contract TEXT,
  place BIGINT,
  PRIMARY KEY (chain, account)
);
CREATE INDEX accounts_by_participant ON accounts (chain, participant);
CREATE UNIQUE INDEX accounts_of_members ON accounts (chain, participant) WHERE contract IS NOT NULL;
CREATE UNIQUE INDEX accounts_by_contract ON accounts (chain, contract);
