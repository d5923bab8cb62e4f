-- 005_keys.sql - API keys, as hashes, and the log of who changed what.

-- hash: SHA-256 of the whole key, hex. previous_hash: of the key before the last rotation, which is accepted until previous_until. expires_at 0: never.
-- A revoked key stays: a data folder that has had a key requires one for good.
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('read', 'predict', 'train', 'admin')),
    hash TEXT NOT NULL CHECK (length(hash) = 64),
    previous_hash TEXT NOT NULL DEFAULT '' CHECK (length(previous_hash) IN (0, 64)),
    previous_until INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL DEFAULT 0,
    revoked_at INTEGER NOT NULL DEFAULT 0,
    last_used_at INTEGER NOT NULL DEFAULT 0,
    last_address TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX keys_name ON keys (name) WHERE revoked_at = 0;

-- Counts the changes of keys, for a server that keeps them in memory. The last use is no such change.
CREATE TABLE keys_revision (revision INTEGER NOT NULL) STRICT;
INSERT INTO keys_revision (revision) VALUES (1);
CREATE TRIGGER keys_inserted AFTER INSERT ON keys BEGIN UPDATE keys_revision SET revision = revision + 1; END;
CREATE TRIGGER keys_deleted AFTER DELETE ON keys BEGIN UPDATE keys_revision SET revision = revision + 1; END;
CREATE TRIGGER keys_updated AFTER UPDATE OF name, scope, hash, previous_hash, previous_until, expires_at, revoked_at ON keys
BEGIN UPDATE keys_revision SET revision = revision + 1; END;

-- Who did what, from where: every change, and every request that was denied. key_id is '' without a key. target: the path of the request, or of what it
-- made. The newest rows of each kind are kept.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    denied INTEGER NOT NULL CHECK (denied IN (0, 1)),
    key_id TEXT NOT NULL,
    key_name TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    status INTEGER NOT NULL,
    request_id TEXT NOT NULL
) STRICT;
CREATE INDEX audit_kind ON audit (denied, id);
