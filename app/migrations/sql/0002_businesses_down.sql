DROP TRIGGER applications_keep_within ON application;
DROP FUNCTION applications_keep_within();
DROP INDEX application_line_source;
DROP INDEX application_line_once;
ALTER TABLE application_line DROP COLUMN account_id, DROP COLUMN source_line_id;
CREATE UNIQUE INDEX application_line_once ON application_line (application_id, instrument_id);
DROP INDEX one_opening;
ALTER TABLE application
  DROP CONSTRAINT submitted_has_a_time,
  ADD CONSTRAINT submitted_has_a_time CHECK (
    status IN ('draft', 'refused') OR submitted_at IS NOT NULL),
  DROP CONSTRAINT surrender_has_a_notice,
  DROP CONSTRAINT authority_acts_by_document,
  DROP COLUMN category, DROP COLUMN document_no, DROP COLUMN authority, DROP COLUMN starts_on,
  DROP COLUMN ends_on, DROP COLUMN notice_id, DROP COLUMN import_id, DROP COLUMN proposal;
DROP INDEX one_account_change;
DROP TABLE invitation, account_detail, application_party, custody_link, notice_change, notice_instrument, notice;
DROP FUNCTION obligation_covers_surrendered();
ALTER TABLE account DROP COLUMN lacks_documents, DROP COLUMN opening_id;
