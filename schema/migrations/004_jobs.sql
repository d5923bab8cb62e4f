-- 004_jobs.sql - the order of the queue, retries that wait, the time spent on training, and what is known of each attempt.

ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN -100 AND 100);
-- A queued job is not claimed before this time: the delay after a crash of its process. 0: at once.
ALTER TABLE jobs ADD COLUMN retry_at INTEGER NOT NULL DEFAULT 0;
-- Milliseconds, over all attempts.
ALTER TABLE jobs ADD COLUMN training_ms INTEGER NOT NULL DEFAULT 0;
-- What ended the training before its last epoch, '': nothing did.
ALTER TABLE jobs ADD COLUMN stop_reason TEXT NOT NULL DEFAULT '' CHECK (stop_reason IN ('', 'early_stopping', 'max_seconds'));
CREATE INDEX jobs_queue ON jobs (priority DESC, id, retry_at) WHERE status = 'queued';
CREATE INDEX jobs_retries ON jobs (retry_at) WHERE status = 'queued' AND retry_at > 0;

-- The newest attempts of each job. ended_at is 0 and reason '' while an attempt runs. Memory in bytes, times in milliseconds, NULL: not known. `log` is the
-- end of what the process wrote to standard error; log_cut: something before it is not kept.
CREATE TABLE attempts (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '' CHECK (reason IN ('', 'finished', 'failed', 'cancelled', 'paused', 'server_stopped', 'server_crashed', 'crashed', 'killed', 'lost')),
    message TEXT,
    exit_code INTEGER,
    signal INTEGER,
    peak_memory INTEGER,
    user_ms INTEGER,
    system_ms INTEGER,
    log TEXT NOT NULL DEFAULT '',
    log_cut INTEGER NOT NULL DEFAULT 0,
    CHECK ((ended_at = 0) = (reason = '')),
    PRIMARY KEY (job, attempt)
) STRICT;
CREATE INDEX attempts_running ON attempts (job) WHERE reason = '';
