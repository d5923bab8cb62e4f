-- 008_kinds.sql - jobs that train nothing: predictions and evaluations of whole datasets, and what they leave.

-- What a job does. reads_version: of its model, which a job that trains nothing reads; it becomes the job's model_version when the job has succeeded.
-- compared: the version that an evaluation compares it with, if any. Neither can be deleted while the job is unfinished.
ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT 'train' CHECK (kind IN ('train', 'predict', 'evaluate'));
ALTER TABLE jobs ADD COLUMN reads_version INTEGER NOT NULL DEFAULT 0 CHECK (reads_version >= 0);
ALTER TABLE jobs ADD COLUMN compared_model TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN compared_version INTEGER NOT NULL DEFAULT 0 CHECK (compared_version >= 0);
CREATE INDEX jobs_by_kind ON jobs (kind, id);
CREATE INDEX jobs_unfinished_by_version ON jobs (model, reads_version) WHERE finished_at = 0 AND reads_version > 0;
CREATE INDEX jobs_unfinished_by_compared ON jobs (compared_model, compared_version) WHERE finished_at = 0 AND compared_version > 0;

-- The files that a job of the kind predict writes, in results/. They grow while it runs: rows and bytes are those that are on disk for good. What lies
-- behind them was written by a process that was killed, and the next attempt cuts it off. crc: CRC-32 of the bytes. state: of the predictions, what the next attempt goes on with
-- besides, JSON or ''.
CREATE TABLE results (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    part TEXT NOT NULL CHECK (part IN ('predictions', 'failures')),
    file TEXT NOT NULL UNIQUE CHECK (file <> ''),
    rows INTEGER NOT NULL DEFAULT 0 CHECK (rows >= 0),
    bytes INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    crc INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (job, part)
) STRICT, WITHOUT ROWID;

-- The report of a job of the kind evaluate, and that of a version on the test rows of the job that trained it: JSON objects.
CREATE TABLE evaluations (
    job TEXT PRIMARY KEY NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    document TEXT NOT NULL
) STRICT;
CREATE TABLE version_tests (
    version INTEGER PRIMARY KEY REFERENCES versions (id) ON DELETE CASCADE,
    document TEXT NOT NULL
) STRICT;
