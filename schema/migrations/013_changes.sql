-- 013_changes.sql - what somebody who keeps a copy of the models has to know, in the order in which it happened, and whom this folder copies.

-- What was changed, not how: the state is read. Written by triggers, in the transaction of the change. Without gaps in the numbers, so that a follower
-- sees whether it has missed one; mark tells the change of this number from that of another history, which a restored backup begins. version 0 and
-- name '': not of one version, of one alias. The newest rows are kept.
CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    mark TEXT NOT NULL DEFAULT (lower(hex(randomblob(4)))),
    at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)),
    type TEXT NOT NULL CHECK (type IN ('start', 'model', 'version', 'alias', 'notes', 'calibration')),
    action TEXT NOT NULL CHECK (action IN ('set', 'delete')),
    model TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 0,
    name TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO changes (type, action, model) VALUES ('start', 'set', '');

CREATE TRIGGER changes_kept AFTER INSERT ON changes BEGIN
    DELETE FROM changes WHERE id <= new.id - 10000;
END;
-- The model of a job is nobody else's.
CREATE TRIGGER changes_model_new AFTER INSERT ON models WHEN new.hidden = 0 BEGIN
    INSERT INTO changes (type, action, model) VALUES ('model', 'set', new.name);
END;
CREATE TRIGGER changes_model_set AFTER UPDATE OF definition, updated_at ON models WHEN new.hidden = 0 BEGIN
    INSERT INTO changes (type, action, model) VALUES ('model', 'set', new.name);
END;
CREATE TRIGGER changes_model_gone AFTER DELETE ON models WHEN old.hidden = 0 BEGIN
    INSERT INTO changes (type, action, model) VALUES ('model', 'delete', old.name);
END;
CREATE TRIGGER changes_version_new AFTER INSERT ON versions WHEN EXISTS (SELECT 1 FROM models WHERE name = new.model AND hidden = 0) BEGIN
    INSERT INTO changes (type, action, model, version) VALUES ('version', 'set', new.model, new.version);
END;
CREATE TRIGGER changes_version_set AFTER UPDATE ON versions WHEN EXISTS (SELECT 1 FROM models WHERE name = new.model AND hidden = 0) BEGIN
    INSERT INTO changes (type, action, model, version) VALUES ('version', 'set', new.model, new.version);
END;
-- With a model that is gone goes all that it had: one row says so.
CREATE TRIGGER changes_version_gone AFTER DELETE ON versions WHEN EXISTS (SELECT 1 FROM models WHERE name = old.model AND hidden = 0) BEGIN
    INSERT INTO changes (type, action, model, version) VALUES ('version', 'delete', old.model, old.version);
END;
CREATE TRIGGER changes_alias_set AFTER INSERT ON aliases WHEN EXISTS (SELECT 1 FROM models WHERE name = new.model AND hidden = 0) BEGIN
    INSERT INTO changes (type, action, model, version, name) VALUES ('alias', 'set', new.model, new.version, new.name);
END;
CREATE TRIGGER changes_alias_gone AFTER DELETE ON aliases WHEN EXISTS (SELECT 1 FROM models WHERE name = old.model AND hidden = 0) BEGIN
    INSERT INTO changes (type, action, model, version, name) VALUES ('alias', 'delete', old.model, old.version, old.name);
END;
CREATE TRIGGER changes_notes_new AFTER INSERT ON version_notes BEGIN
    INSERT INTO changes (type, action, model, version)
        SELECT 'notes', 'set', v.model, v.version FROM versions AS v JOIN models AS m ON m.name = v.model WHERE v.id = new.version AND m.hidden = 0;
END;
CREATE TRIGGER changes_notes_set AFTER UPDATE ON version_notes BEGIN
    INSERT INTO changes (type, action, model, version)
        SELECT 'notes', 'set', v.model, v.version FROM versions AS v JOIN models AS m ON m.name = v.model WHERE v.id = new.version AND m.hidden = 0;
END;
CREATE TRIGGER changes_calibration_new AFTER INSERT ON version_calibrations BEGIN
    INSERT INTO changes (type, action, model, version)
        SELECT 'calibration', 'set', v.model, v.version FROM versions AS v JOIN models AS m ON m.name = v.model
        WHERE v.id = new.version AND m.hidden = 0;
END;
CREATE TRIGGER changes_calibration_set AFTER UPDATE ON version_calibrations BEGIN
    INSERT INTO changes (type, action, model, version)
        SELECT 'calibration', iif(new.document IS NULL, 'delete', 'set'), v.model, v.version FROM versions AS v JOIN models AS m ON m.name = v.model
        WHERE v.id = new.version AND m.hidden = 0;
END;

-- The server whose models this folder copies, without a row: none. cursor: id and mark of its last change that is here, '': it never was complete.
CREATE TABLE following (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    url TEXT NOT NULL,
    cursor TEXT NOT NULL DEFAULT '',
    caught_up_at INTEGER NOT NULL DEFAULT 0
) STRICT;
