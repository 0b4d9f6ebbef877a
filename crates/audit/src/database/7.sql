-- The newest EPCIS events whose data is kept: statements say the same condition, word by word.
CREATE INDEX events_of_epcis ON events (at, record, version)
  WHERE substr(record, 1, 6) = 'epcis:' AND payload IS NOT NULL;
