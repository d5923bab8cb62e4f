-- 009_calibrations.sql - what a version has apart from its model file, which never changes: temperature, thresholds, scores of a conformal prediction.

-- document: JSON, NULL when it was removed. change counts its changes: its entity tag, which is why a removed one stays. key_id and key_name: of whom.
CREATE TABLE version_calibrations (
    version INTEGER PRIMARY KEY REFERENCES versions (id) ON DELETE CASCADE,
    document TEXT,
    change INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    key_id TEXT NOT NULL DEFAULT '',
    key_name TEXT NOT NULL DEFAULT ''
) STRICT;
