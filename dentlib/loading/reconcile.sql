-- Control tables of a reconciliation: counts, sums, links, verdicts by field. Ids of records, never a value of a patient.
CREATE SCHEMA IF NOT EXISTS reconcile;

CREATE OR REPLACE TABLE reconcile.told (name VARCHAR PRIMARY KEY, value VARCHAR);      -- when, of which run, how much

CREATE OR REPLACE TABLE reconcile.counts (
  step VARCHAR, label VARCHAR, object_name VARCHAR,
  prepared BIGINT,          -- rows of the export that became records
  refused BIGINT,           -- of these: the run could not write them, and says so
  sent BIGINT,              -- prepared less refused
  confirmed BIGINT,         -- prepared rows whose record the ledger calls live
  stale BIGINT,             -- of these: not what is prepared now, though no refusal says why
  matched BIGINT,           -- of these: records that were there before us
  listed BIGINT,            -- of these: somebody removed them, which the ledger lists for a decision
  looked_at BIGINT,         -- of the other confirmed: asked for by id
  read_back BIGINT,         -- of these: found
  in_bin BIGINT,            -- of the others: soft-deleted
  gone BIGINT,              -- of the others: not there at all
  live BIGINT,              -- records that the ledger calls live, those included whose row is gone from the export
  at_destination BIGINT,    -- the same, counted at the destination by source id (by id where records carry none)
  expected_there BIGINT,    -- what that count should be
  unknown BIGINT,           -- records with a source id of ours that the ledger doesn't know
  twins BIGINT,             -- records of others that hold the same as one of ours; NULL: not looked for
  seen_one_percent DOUBLE   -- chance that a fault in 1 % of the records would have been seen
);
CREATE OR REPLACE TABLE reconcile.sums (
  step VARCHAR, field VARCHAR, kind VARCHAR, unit VARCHAR, sent_n BIGINT, stored_n BIGINT, sent_sum HUGEINT,
  stored_sum HUGEINT, sent_min HUGEINT, stored_min HUGEINT, sent_max HUGEINT, stored_max HUGEINT, left_out BIGINT);
CREATE OR REPLACE TABLE reconcile.groups (
  step VARCHAR, field VARCHAR, kind VARCHAR, value VARCHAR, sent BIGINT, stored BIGINT);
CREATE OR REPLACE TABLE reconcile.links (
  step VARCHAR, field VARCHAR, kind VARCHAR, expected BIGINT, children BIGINT, orphans BIGINT, moved BIGINT,
  parents BIGINT, parents_different BIGINT, left_out BIGINT);
CREATE OR REPLACE TABLE reconcile.distribution (
  step VARCHAR, field VARCHAR, children BIGINT, parents_sent BIGINT, parents_stored BIGINT);
CREATE OR REPLACE TABLE reconcile.explanations (step VARCHAR, field VARCHAR, kind VARCHAR, how VARCHAR, n BIGINT);
CREATE OR REPLACE TABLE reconcile.differences (
  step VARCHAR, object_name VARCHAR, record_id VARCHAR, field VARCHAR, kind VARCHAR, how VARCHAR);
CREATE OR REPLACE TABLE reconcile.files (
  step VARCHAR, expected BIGINT, compared BIGINT, same BIGINT, other_bytes BIGINT, missing BIGINT, size_bytes BIGINT,
  seen_one_percent DOUBLE);

-- Working tables, dropped at the end.
CREATE OR REPLACE TABLE reconcile.seen (id UBIGINT, likeness BIGINT);     -- id: 64 bits of a hash of the record's id
CREATE OR REPLACE TABLE reconcile.parents (link INTEGER, parent VARCHAR, sent BIGINT, stored BIGINT);
CREATE OR REPLACE TABLE reconcile.moved (link INTEGER, record_id VARCHAR, sent VARCHAR, stored VARCHAR);
