-- 010_sweeps.sql - many trainings of one model with different options, their trials, and the rungs of successive halving.

-- document: the request as accepted, with the definition. total: trials at most; created: trials that there are, which are numbered from 0. higher: a
-- higher metric is better. eta 0: trials are not stopped early. parallel 0: as many as there are slots. max_seconds 0: no limit. metric_name: as the
-- request says; of a cross-validation the mean over the folds counts.
CREATE TABLE sweeps (
    id TEXT PRIMARY KEY NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('running', 'cancelling', 'cancelled', 'succeeded', 'failed')),
    model TEXT NOT NULL,
    dataset TEXT NOT NULL,
    dataset_version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER NOT NULL DEFAULT 0,
    method TEXT NOT NULL CHECK (method IN ('grid', 'random', 'asha')),
    metric TEXT NOT NULL,
    higher INTEGER NOT NULL CHECK (higher IN (0, 1)),
    seed INTEGER NOT NULL,
    total INTEGER NOT NULL CHECK (total > 0),
    created INTEGER NOT NULL DEFAULT 0 CHECK (created BETWEEN 0 AND total),
    parallel INTEGER NOT NULL,
    eta INTEGER NOT NULL,
    min_epochs INTEGER NOT NULL,
    max_seconds REAL NOT NULL,
    publish TEXT NOT NULL CHECK (publish IN ('true', 'false', 'if_better')),
    keep_versions INTEGER NOT NULL CHECK (keep_versions IN (0, 1)),
    versions_removed INTEGER NOT NULL DEFAULT 0,
    document TEXT NOT NULL,
    metadata TEXT NOT NULL CHECK (json_type(metadata) = 'object'),
    publication TEXT NOT NULL DEFAULT 'null',
    error TEXT NOT NULL DEFAULT 'null',
    key_id TEXT NOT NULL DEFAULT '',
    key_name TEXT NOT NULL DEFAULT '',
    CHECK ((finished_at > 0) = (status IN ('cancelled', 'succeeded', 'failed')))
) STRICT;
CREATE INDEX sweeps_by_status ON sweeps (status, id);
CREATE INDEX sweeps_unfinished ON sweeps (dataset, dataset_version) WHERE finished_at = 0;

-- A trial is stored with its job in one transaction, or without one if its parameters make an invalid job. What its job came to is copied when the job
-- ends, so that it outlives the job. score: the value of one that has succeeded, negative if higher is better: the lowest is the best. better: the comparison of its version with the one that was served, NULL: not compared. stopped: why, in words.
CREATE TABLE trials (
    sweep TEXT NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
    number INTEGER NOT NULL CHECK (number >= 0),
    job TEXT REFERENCES jobs (id) ON DELETE SET NULL,
    parameters TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT '' CHECK (status IN ('', 'invalid', 'cancelled', 'succeeded', 'failed')),
    value REAL,
    score REAL,
    epochs INTEGER NOT NULL DEFAULT 0,
    training_ms INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0,
    stopped TEXT NOT NULL DEFAULT '',
    better INTEGER,
    served INTEGER NOT NULL DEFAULT 0,
    comparison TEXT,
    error TEXT NOT NULL DEFAULT 'null',
    PRIMARY KEY (sweep, number)
) STRICT;
CREATE INDEX trials_by_score ON trials (sweep, score, number) WHERE score IS NOT NULL;
CREATE UNIQUE INDEX trials_by_job ON trials (job) WHERE job IS NOT NULL;

-- A trial that has reached a rung, in the order of their arrival, with the decision. value NULL: the metric was undefined.
CREATE TABLE rungs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sweep TEXT NOT NULL,
    trial INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    value REAL,
    place INTEGER NOT NULL,
    arrived INTEGER NOT NULL,
    stopped INTEGER NOT NULL CHECK (stopped IN (0, 1)),
    FOREIGN KEY (sweep, trial) REFERENCES trials (sweep, number) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX rungs_by_trial ON rungs (sweep, trial, epoch);
CREATE INDEX rungs_by_epoch ON rungs (sweep, epoch, value);

-- One more reason; a column's CHECK cannot be changed in place.
ALTER TABLE jobs ADD COLUMN stopped_by TEXT NOT NULL DEFAULT '' CHECK (stopped_by IN ('', 'early_stopping', 'max_seconds', 'sweep'));
UPDATE jobs SET stopped_by = stop_reason WHERE stop_reason <> '';
ALTER TABLE jobs DROP COLUMN stop_reason;
ALTER TABLE jobs RENAME COLUMN stopped_by TO stop_reason;
