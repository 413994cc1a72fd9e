-- One append-only journal, chained by hash; everything else here is a projection of it and can be rebuilt.

CREATE TABLE IF NOT EXISTS entry (
    seq   INTEGER PRIMARY KEY,          -- 1, 2, 3 … without a gap
    at    TEXT NOT NULL,                -- UTC, ISO 8601 with milliseconds
    kind  TEXT NOT NULL,                -- see dentlib/loading/ledger.py
    run   TEXT NOT NULL,                -- run id, '' where none applies
    body  TEXT NOT NULL,                -- JSON
    block BLOB,                         -- zlib-compressed JSON: records as sent, and as they were before
    hash  BLOB NOT NULL                 -- sha256 over the previous hash and all of the above
);
CREATE INDEX IF NOT EXISTS entry_kind_run ON entry (kind, run);

CREATE TRIGGER IF NOT EXISTS entry_is_never_updated BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entry_is_never_deleted BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

-- Projections ----------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS current (    -- what became of each source row that ever was written
    step TEXT NOT NULL, source_key TEXT NOT NULL, record_id TEXT NOT NULL, object TEXT NOT NULL,
    row_hash TEXT NOT NULL, state TEXT NOT NULL,       -- live | destroyed
    op TEXT NOT NULL, run TEXT NOT NULL,               -- the last write: create | update, and its run
    made INTEGER NOT NULL, call INTEGER NOT NULL,      -- seq of the call that created it, and of the last write
    PRIMARY KEY (step, source_key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS current_made ON current (made);

CREATE TABLE IF NOT EXISTS trouble (    -- rows that a run could not write
    run TEXT NOT NULL, step TEXT NOT NULL, source_key TEXT NOT NULL, row_hash TEXT NOT NULL,
    code TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (run, step, source_key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS open_call (seq INTEGER PRIMARY KEY);

CREATE TABLE IF NOT EXISTS upload (     -- files under way, sent, or used by a record
    step TEXT NOT NULL, source_key TEXT NOT NULL, sha256 TEXT NOT NULL, ticket TEXT NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (step, source_key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS adopted (    -- records that were there before us and stand for a source row since
    step TEXT NOT NULL, source_key TEXT NOT NULL, record_id TEXT NOT NULL, found TEXT NOT NULL, rule TEXT NOT NULL,
    PRIMARY KEY (step, source_key)
) WITHOUT ROWID;

-- Views for people who look into the ledger with a SQLite shell ------------------------------------------------------

CREATE VIEW IF NOT EXISTS run AS
    SELECT seq, run, at AS started, body ->> 'kind' AS kind FROM entry WHERE kind = 'run';
CREATE VIEW IF NOT EXISTS call AS
    SELECT seq, run, at, body ->> 'step' AS step, body ->> 'object' AS object, body ->> 'op' AS op,
           body ->> 'tag' AS tag, json_array_length(body, '$.rows') AS records FROM entry WHERE kind = 'call';
CREATE VIEW IF NOT EXISTS intent AS
    SELECT e.seq AS call, j.value ->> 0 AS source_key, j.value ->> 1 AS record_id, j.value ->> 2 AS row_hash
    FROM entry AS e, json_each(e.body, '$.rows') AS j WHERE e.kind = 'call';
CREATE VIEW IF NOT EXISTS outcome AS
    SELECT seq, body ->> 'call' AS call, at, body ->> 'result' AS result, body ->> 'code' AS code,
           body ->> 'words' AS words FROM entry WHERE kind = 'done';
CREATE VIEW IF NOT EXISTS row_outcome AS
    SELECT e.run, e.body ->> 'step' AS step, e.body ->> 'outcome' AS outcome, j.value ->> 0 AS source_key,
           j.value ->> 1 AS record_id, j.value ->> 2 AS code, j.value ->> 3 AS reason
    FROM entry AS e, json_each(e.body, '$.rows') AS j WHERE e.kind = 'rows';
CREATE VIEW IF NOT EXISTS schema_change AS
    SELECT seq, at, kind, body FROM entry WHERE kind IN ('schema', 'schema_done', 'schema_undone');
CREATE VIEW IF NOT EXISTS switch AS
    SELECT seq, at, body ->> '$.switch.label' AS label, body ->> 'state' AS state FROM entry WHERE kind = 'switch';
