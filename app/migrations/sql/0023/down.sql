-- Back to notices that each say deadline, instruments and the share of CCER; it refuses where an account
-- has notices of two sectors for a year.
DROP TABLE calendar_run, ministry_date;
ALTER TABLE application DROP CONSTRAINT issued_by_document;
DROP TRIGGER append_only ON attestation;
DROP TRIGGER lapses_once ON attestation;
DROP INDEX attestation_once_a_year;
ALTER TABLE attestation DROP CONSTRAINT compliance_has_a_source, ADD COLUMN notice_id BIGINT;
UPDATE attestation t
   SET notice_id = (SELECT n.id FROM notice n WHERE n.account_id = t.account_id AND n.year = t.year
                     ORDER BY n.withdrawn_at IS NOT NULL, n.id LIMIT 1)
 WHERE t.kind = 'compliance';
ALTER TABLE attestation
  DROP COLUMN year,
  ADD CONSTRAINT compliance_has_a_source CHECK (kind <> 'compliance' OR notice_id IS NOT NULL);
CREATE UNIQUE INDEX attestation_once_a_notice ON attestation (notice_id) WHERE lapsed_at IS NULL;
CREATE TRIGGER append_only
  BEFORE DELETE OR TRUNCATE OR UPDATE OF id, number, code, kind, account_id, application_id,
                                         notice_id, content, issued_at, issued_by ON attestation
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER lapses_once BEFORE UPDATE ON attestation FOR EACH ROW
  WHEN (OLD.lapsed_at IS NOT NULL OR NEW.lapsed_at IS NULL) EXECUTE FUNCTION append_only();

DROP TRIGGER notice_follows_history ON notice;
DROP FUNCTION carry_out_notices(bigint[]);
ALTER TABLE account ADD COLUMN sector VARCHAR(20);
UPDATE account a SET sector = (SELECT s.sector FROM account_sector s
                                WHERE s.account_id = a.id AND s.ends_on IS NULL ORDER BY s.id LIMIT 1);
ALTER TABLE notice
  ADD COLUMN deadline TIMESTAMPTZ,
  ADD COLUMN offset_percent NUMERIC(5, 2) DEFAULT '0' NOT NULL,
  ADD CONSTRAINT offset_percent_sane CHECK (offset_percent BETWEEN 0 AND 100);
CREATE TABLE notice_instrument (
  notice_id INTEGER NOT NULL REFERENCES notice (id),
  instrument_id INTEGER NOT NULL REFERENCES instrument (id),
  PRIMARY KEY (notice_id, instrument_id)
);
UPDATE notice n
   SET deadline = p.surrender_by,
       offset_percent = p.offset_percent
  FROM (SELECT DISTINCT ON (year, sector) * FROM plan ORDER BY year, sector, id DESC) p
 WHERE p.year = n.year AND p.sector = n.sector;
ALTER TABLE notice ALTER deadline SET NOT NULL;
INSERT INTO notice_instrument
SELECT n.id, i.id
  FROM notice n
  JOIN (SELECT DISTINCT ON (year, sector) * FROM plan ORDER BY year, sector, id DESC) p
    ON p.year = n.year AND p.sector = n.sector
  JOIN instrument i ON i.kind = 'allowance' AND i.vintage = ANY(p.vintages)
                    OR i.kind = 'offset' AND p.offset_percent > 0;
DROP INDEX one_notice_decision;
CREATE UNIQUE INDEX one_notice_decision ON application (account_id, (proposal ->> 'year'))
  WHERE kind = 'notice' AND status = 'in_review';
DROP INDEX notice_once;
CREATE UNIQUE INDEX notice_once ON notice (account_id, year) WHERE withdrawn_at IS NULL;
DROP INDEX notice_of_year;
CREATE INDEX notice_of_year ON notice (year, id);
DROP VIEW plan_use;
ALTER TABLE notice DROP COLUMN sector;
DROP INDEX one_plan_decision;
DROP FUNCTION plan_on(integer, text, date);
DROP FUNCTION carry_out_plans(bigint[]);
DROP TABLE plan, account_sector;
DROP FUNCTION plan_keeps_what_is_used();
