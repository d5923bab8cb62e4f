-- 011_drift.sql - what versions have predicted lately, counted by bins of their training rows.

-- counts: windows of counters as server/drift.c packs them, replaced now and then while predictions run.
CREATE TABLE version_drift (
    version INTEGER PRIMARY KEY REFERENCES versions (id) ON DELETE CASCADE,
    updated_at INTEGER NOT NULL,
    counts BLOB NOT NULL
) STRICT;
