-- 001_initial.sql - everything the store keeps. Never edited after release: the next change is 002_....sql.
--
-- Times are milliseconds since 1970 (UTC), 0 when it has not happened yet. JSON columns hold text the store does not look into,
-- save filings.metadata, which lists can be filtered by.

-- The last version number ever given to a name: it outlives the versions, and the name itself, so that a number is never reused.
CREATE TABLE counters (
    kind TEXT NOT NULL CHECK (kind IN ('dataset', 'model')),
    name TEXT NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE datasets (
    name TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    file TEXT NOT NULL UNIQUE CHECK (file <> ''),
    hidden INTEGER NOT NULL CHECK (hidden IN (0, 1)),
    description TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

CREATE TABLE models (
    name TEXT PRIMARY KEY NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    hidden INTEGER NOT NULL CHECK (hidden IN (0, 1)),
    definition TEXT NOT NULL
) STRICT;

-- blob is the last column: reading the others does not touch its pages.
CREATE TABLE versions (
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL REFERENCES models (name) ON DELETE CASCADE,
    version INTEGER NOT NULL CHECK (version > 0),
    created_at INTEGER NOT NULL,
    job TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    document TEXT NOT NULL,
    blob BLOB NOT NULL,
    UNIQUE (model, version)
) STRICT;

-- owner is the supervisor that runs the job, attempt its fencing token; lease_until is for several supervisors on one store.
CREATE TABLE jobs (
    id TEXT PRIMARY KEY NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'pausing', 'paused', 'cancelling', 'cancelled', 'succeeded', 'failed')),
    model TEXT NOT NULL,
    dataset TEXT NOT NULL,
    dataset_version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER NOT NULL DEFAULT 0,
    finished_at INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    attempt INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    attempts_max INTEGER NOT NULL,
    resumed_from_epoch INTEGER NOT NULL DEFAULT -1,
    model_version INTEGER NOT NULL DEFAULT 0,
    progress TEXT NOT NULL,
    metrics TEXT NOT NULL DEFAULT '{}',
    best TEXT NOT NULL DEFAULT 'null',
    error TEXT NOT NULL DEFAULT 'null',
    warnings TEXT NOT NULL,
    CHECK ((owner IS NOT NULL) = (status IN ('running', 'pausing', 'cancelling'))),
    CHECK ((finished_at > 0) = (status IN ('cancelled', 'succeeded', 'failed'))),
    CHECK ((model_version > 0) = (status = 'succeeded'))
) STRICT;
CREATE INDEX jobs_by_status ON jobs (status, id);
CREATE INDEX jobs_by_model ON jobs (model, id);
CREATE INDEX jobs_unfinished_by_dataset ON jobs (dataset, dataset_version) WHERE finished_at = 0;
CREATE INDEX jobs_unfinished_by_model ON jobs (model) WHERE finished_at = 0;

-- What a job was filed with, which never changes: apart from jobs, whose rows are rewritten with every report.
CREATE TABLE filings (
    job TEXT PRIMARY KEY NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    spec TEXT NOT NULL,
    view TEXT NOT NULL,
    metadata TEXT NOT NULL CHECK (json_type(metadata) = 'object')
) STRICT;

-- Jobs by status, kept by triggers: the bound of the queue is checked at every new job and must not count ten thousand rows.
CREATE TABLE job_counts (
    status TEXT PRIMARY KEY NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO job_counts (status, count) VALUES
    ('queued', 0), ('running', 0), ('pausing', 0), ('paused', 0), ('cancelling', 0), ('cancelled', 0), ('succeeded', 0), ('failed', 0);
CREATE TRIGGER jobs_count_new AFTER INSERT ON jobs BEGIN
    UPDATE job_counts SET count = count + 1 WHERE status = new.status;
END;
CREATE TRIGGER jobs_count_old AFTER DELETE ON jobs BEGIN
    UPDATE job_counts SET count = count - 1 WHERE status = old.status;
END;
CREATE TRIGGER jobs_count_moved AFTER UPDATE OF status ON jobs WHEN old.status <> new.status BEGIN
    UPDATE job_counts SET count = count - 1 WHERE status = old.status;
    UPDATE job_counts SET count = count + 1 WHERE status = new.status;
END;

-- AUTOINCREMENT: clients resume after the last id they saw, so an id is never given twice, even after deletions.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    type TEXT NOT NULL CHECK (type IN ('status', 'metrics', 'checkpoint', 'log', 'end')),
    level TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')),
    created_at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    message TEXT,
    data TEXT
) STRICT;
CREATE INDEX events_by_job ON events (job, id);
CREATE UNIQUE INDEX events_one_per_epoch ON events (job, epoch) WHERE type = 'metrics';

CREATE TABLE checkpoints (
    id TEXT PRIMARY KEY NOT NULL,
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    step INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    best INTEGER NOT NULL CHECK (best IN (0, 1)),
    file TEXT NOT NULL UNIQUE CHECK (file <> '')
) STRICT;
CREATE INDEX checkpoints_by_job ON checkpoints (job, id);

-- Answers to requests with an Idempotency-Key, for 24 h. body is NULL until the first answer has been made.
CREATE TABLE answers (
    key TEXT PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL,
    status INTEGER NOT NULL,
    location TEXT NOT NULL,
    body TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_by_time ON answers (created_at);

-- One row that the readiness check writes and reads.
CREATE TABLE pings (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL,
    count INTEGER NOT NULL
) STRICT;
INSERT INTO pings (id, at, count) VALUES (1, 0, 0);
