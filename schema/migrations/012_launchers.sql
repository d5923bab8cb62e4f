-- 012_launchers.sql - jobs whose processes run elsewhere.

-- What a job needs of the place where it runs: the name of a launcher or '', a label or '', MB of memory of its process as estimated or asked for (0: not known), and
-- processes that train it together. launch: where its last attempt runs, or what it waits for: a JSON object, 'null' for one on this machine.
ALTER TABLE jobs ADD COLUMN launcher TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN memory_mb INTEGER NOT NULL DEFAULT 0 CHECK (memory_mb >= 0);
ALTER TABLE jobs ADD COLUMN processes INTEGER NOT NULL DEFAULT 1 CHECK (processes >= 1);
ALTER TABLE jobs ADD COLUMN launch TEXT NOT NULL DEFAULT 'null';
