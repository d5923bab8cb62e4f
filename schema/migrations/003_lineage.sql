-- 003_lineage.sql - what came from what: a dataset version from its parent, a model version from a dataset version.

-- The version that rows or a column were added to; 0: an upload of its own.
ALTER TABLE datasets ADD COLUMN parent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE datasets ADD COLUMN change TEXT NOT NULL DEFAULT '' CHECK (change IN ('', 'append_rows', 'add_column'));

-- The data of a model version, to be found from the data's side: it outlives the job, which has it too, and the dataset.
CREATE TABLE trainings (
    version INTEGER PRIMARY KEY REFERENCES versions (id) ON DELETE CASCADE,
    dataset TEXT NOT NULL,
    dataset_version INTEGER NOT NULL
) STRICT;
CREATE INDEX trainings_by_dataset ON trainings (dataset, dataset_version, version);
INSERT INTO trainings (version, dataset, dataset_version)
    SELECT id, json_extract(document, '$.dataset.name'), json_extract(document, '$.dataset.version') FROM versions
    WHERE json_valid(document) AND json_type(document, '$.dataset.name') = 'text' AND json_type(document, '$.dataset.version') = 'integer';

CREATE INDEX jobs_by_dataset ON jobs (dataset, dataset_version, id);
CREATE INDEX jobs_by_validation ON jobs (validation_dataset, validation_version, id) WHERE validation_dataset IS NOT NULL;
