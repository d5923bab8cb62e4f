-- 007_init.sql - what a job begins with: the model file of the version that init_from names, copied when the job is filed, so that neither a deletion nor a
-- restart changes what the job trains. It goes when the job ends.

CREATE TABLE job_inits (
    job TEXT PRIMARY KEY NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    blob BLOB NOT NULL
) STRICT;
