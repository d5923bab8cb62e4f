-- 002_validation.sql - how a job validates: the dataset that does it instead of rows of its own, and what the folds of a cross-validation came to.

ALTER TABLE jobs ADD COLUMN validation_dataset TEXT;
ALTER TABLE jobs ADD COLUMN validation_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN cross_validation TEXT NOT NULL DEFAULT 'null';
CREATE INDEX jobs_unfinished_by_validation ON jobs (validation_dataset, validation_version) WHERE finished_at = 0 AND validation_dataset IS NOT NULL;
