DROP INDEX movement_at;
DROP INDEX penalty_document;
ALTER TABLE application DROP CONSTRAINT penalty_by_document;
ALTER TABLE announcement DROP CONSTRAINT audience_known, ADD CONSTRAINT audience_known
  CHECK (audience IN ('everybody', 'enterprises', 'authorities'));
DROP TABLE publication, publication_run, report_column, report_sheet, fee_rate;
