-- 006_versions.sql - aliases of model versions with their history, notes and tags of versions, and what a job publishes.

-- What an alias names now. change: the row of its history that set it, which is also its entity tag: an id is never given twice. A version that an
-- alias names cannot be deleted but with its model.
CREATE TABLE aliases (
    model TEXT NOT NULL REFERENCES models (name) ON DELETE CASCADE,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    change INTEGER NOT NULL,
    PRIMARY KEY (model, name),
    FOREIGN KEY (model, version) REFERENCES versions (model, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_by_version ON aliases (model, version);

-- Every change of an alias. previous and version 0: none. key_id and key_name: of whom, '' without a key; job: the one that published, ''. The newest
-- rows of each alias are kept.
CREATE TABLE alias_changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT NOT NULL REFERENCES models (name) ON DELETE CASCADE,
    name TEXT NOT NULL,
    previous INTEGER NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('set', 'rollback', 'publish', 'delete', 'upgrade')),
    key_id TEXT NOT NULL DEFAULT '',
    key_name TEXT NOT NULL DEFAULT '',
    job TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX alias_changes_by_alias ON alias_changes (model, name, id);

-- What was served before there were aliases: the newest version of each model.
INSERT INTO alias_changes (model, name, previous, version, at, action)
    SELECT model, 'default', 0, max(version), max(created_at), 'upgrade' FROM versions GROUP BY model;
INSERT INTO aliases (model, name, version, change) SELECT model, name, version, id FROM alias_changes;

-- Apart from versions, whose rows end with a large blob. change counts the changes of a version's notes and tags: its entity tag.
CREATE TABLE version_notes (
    version INTEGER PRIMARY KEY REFERENCES versions (id) ON DELETE CASCADE,
    notes TEXT NOT NULL,
    change INTEGER NOT NULL
) STRICT;
CREATE TABLE version_tags (
    version INTEGER NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
    tag TEXT NOT NULL CHECK (tag <> ''),
    PRIMARY KEY (version, tag)
) STRICT, WITHOUT ROWID;

-- Whether the version of a job is served at once, what came of it (a JSON object, or null before the end), and whose key submitted the job.
ALTER TABLE jobs ADD COLUMN publish TEXT NOT NULL DEFAULT 'true' CHECK (publish IN ('true', 'false', 'if_better'));
ALTER TABLE jobs ADD COLUMN publication TEXT NOT NULL DEFAULT 'null';
ALTER TABLE jobs ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN key_name TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at > 0;
