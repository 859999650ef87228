-- Notices are of an account, a year and a sector; deadline, accepted vintages and the share of CCER are
-- the plan's (docs/adr/0084).  Older ones are of the account's sector, or of power, the only one until 2024.
DROP TRIGGER notice_follows_history ON notice;
DROP TRIGGER notice_follows_history ON notice_instrument;
DROP FUNCTION carry_out_notices(bigint[]);
ALTER TABLE notice ADD COLUMN sector VARCHAR(20);
UPDATE notice SET sector = coalesce((SELECT nullif(a.sector, '') FROM account a WHERE a.id = account_id), 'power');
ALTER TABLE notice ALTER sector SET NOT NULL;
DROP FUNCTION notice_terms(notice);
DROP INDEX notice_once;
CREATE UNIQUE INDEX notice_once ON notice (account_id, year, sector) WHERE withdrawn_at IS NULL;
DROP INDEX notice_of_year;
CREATE INDEX notice_of_year ON notice (year, sector, id);
DROP INDEX one_notice_decision;
CREATE UNIQUE INDEX one_notice_decision
  ON application (account_id, (proposal ->> 'year'), (proposal ->> 'sector'))
  WHERE kind = 'notice' AND status = 'in_review';
DROP TABLE notice_instrument;
ALTER TABLE notice DROP COLUMN deadline, DROP COLUMN offset_percent;
ALTER TABLE account DROP COLUMN sector;

-- As in 0013, by sector.  Decisions older than plans say more than the obligation; that is not read.
CREATE FUNCTION carry_out_notices(asked bigint[])
RETURNS TABLE (application_id bigint, notice_id integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  applications bigint[];
  notices integer[];
BEGIN
  PERFORM FROM notice
    WHERE id IN (SELECT a.notice_id FROM application a WHERE a.id = ANY(asked))
    ORDER BY id FOR NO KEY UPDATE;
  WITH decided AS MATERIALIZED (
         SELECT a.id, a.account_id, a.notice_id, a.import_id, e.member_id, e.at,
                (a.proposal ->> 'year')::smallint AS year, a.proposal ->> 'sector' AS sector,
                a.proposal -> 'before' AS before, a.proposal -> 'after' AS after
           FROM application a
          CROSS JOIN LATERAL (
                SELECT v.id, v.member_id, v.at FROM application_event v
                 WHERE v.application_id = a.id AND v.action = 'approve'
                 ORDER BY v.id DESC LIMIT 1) AS e
           JOIN ab_user asking ON asking.id = a.submitted_by
           JOIN ab_user approving ON approving.id = e.member_id
          WHERE asking.account_id IS NULL AND approving.account_id IS NULL
            AND asking.province IS NOT DISTINCT FROM approving.province
            AND a.submitted_by = (SELECT v.member_id FROM application_event v
                                   WHERE v.application_id = a.id AND v.action = 'submit'
                                     AND v.id < e.id ORDER BY v.id DESC LIMIT 1)
            AND a.id = ANY(asked) AND a.kind = 'notice' AND a.status = 'approved'
            AND e.member_id <> a.created_by AND e.member_id <> a.submitted_by
            AND NOT EXISTS (SELECT FROM notice_change c WHERE c.application_id = a.id)),
       changed AS (
         UPDATE notice n
            SET obligation = coalesce((d.after ->> 'obligation')::bigint, 0),
                withdrawn_at = CASE WHEN d.after IS NULL THEN d.at END
           FROM decided d
          WHERE n.id = d.notice_id AND n.account_id = d.account_id AND n.year = d.year
            AND n.sector = coalesce(d.sector, n.sector)
            AND n.withdrawn_at IS NULL AND n.obligation::text = d.before ->> 'obligation'
            AND (d.after IS NOT NULL
                 OR NOT EXISTS (SELECT FROM application s
                                 WHERE s.notice_id = n.id AND s.kind = 'surrender'
                                   AND s.status IN ('in_review', 'approved')))
         RETURNING d.id, n.id AS notice_id),
       numbered AS MATERIALIZED (
         SELECT nextval(pg_get_serial_sequence('notice', 'id'))::integer AS notice_id, w.*
           FROM (SELECT * FROM decided d
                  WHERE before IS NULL AND after IS NOT NULL AND notice_id IS NULL
                    AND EXISTS (SELECT FROM plan p WHERE p.year = d.year AND p.sector = d.sector)
                  ORDER BY account_id, year, sector) AS w (id, account_id, _notice, import_id, member_id,
                                                           at, year, sector, before, after)),
       made AS (
         INSERT INTO notice (id, number, account_id, year, sector, obligation, import_id, issued_by,
                             issued_at)
         SELECT notice_id,
                'LT' || year || lpad(notice_id::text, greatest(8, length(notice_id::text)), '0'),
                account_id, year, sector, (after ->> 'obligation')::bigint, import_id, member_id, at
           FROM numbered ORDER BY notice_id)
  SELECT array_agg(id), array_agg(notice_id) INTO applications, notices
    FROM (SELECT id, notice_id FROM changed UNION ALL SELECT id, notice_id FROM numbered) AS w;
  IF coalesce(cardinality(applications), 0)
     <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'a notice is not as the decision found it, or nobody else approved that'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'notice_as_decided';
  END IF;

  INSERT INTO notice_change (notice_id, application_id, before, after, terms, document_no, reason,
                             changed_by, changed_at)
  SELECT w.notice, a.id, (a.proposal -> 'before' ->> 'obligation')::bigint,
         coalesce((a.proposal -> 'after' ->> 'obligation')::bigint, 0), a.proposal -> 'after',
         a.document_no, a.reason, e.member_id, e.at
    FROM unnest(applications, notices) AS w (id, notice)
    JOIN application a ON a.id = w.id
   CROSS JOIN LATERAL (SELECT v.member_id, v.at FROM application_event v
                        WHERE v.application_id = a.id AND v.action = 'approve'
                        ORDER BY v.id DESC LIMIT 1) AS e
   ORDER BY a.id;
  RETURN QUERY SELECT w.id, w.notice FROM unnest(applications, notices) AS w (id, notice);
END $$;

-- Whoever writes it: at the end of a transaction a notice asks for what its history says last.
CREATE OR REPLACE FUNCTION notice_follows_history() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  concerned integer := CASE WHEN TG_TABLE_NAME = 'notice' THEN to_jsonb(NEW) ->> 'id'
                            ELSE to_jsonb(NEW) ->> 'notice_id' END;
BEGIN
  IF EXISTS (SELECT FROM notice n
               LEFT JOIN LATERAL (SELECT c.terms, c.application_id FROM notice_change c
                                   WHERE c.notice_id = n.id ORDER BY c.id DESC LIMIT 1) AS last ON true
               LEFT JOIN application a ON a.id = last.application_id
              WHERE n.id = concerned
                AND (CASE WHEN n.withdrawn_at IS NULL THEN n.obligation::text END
                       IS DISTINCT FROM last.terms ->> 'obligation'
                     OR n.account_id <> a.account_id OR n.year::text <> a.proposal ->> 'year'
                     OR n.sector <> a.proposal ->> 'sector')) THEN
    RAISE EXCEPTION 'notice % says something else than its history',
                    (SELECT number FROM notice WHERE id = concerned)
      USING ERRCODE = 'check_violation', CONSTRAINT = 'notice_follows_history';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER notice_follows_history
  AFTER INSERT OR UPDATE OF account_id, year, sector, obligation, withdrawn_at
  ON notice DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION notice_follows_history();

-- A 履约证明 is of an enterprise's year: all of its notices are fulfilled.
DROP TRIGGER append_only ON attestation;
DROP TRIGGER lapses_once ON attestation;
ALTER TABLE attestation ADD COLUMN year SMALLINT;
UPDATE attestation SET year = (content ->> 'year')::smallint WHERE kind = 'compliance';
-- Of two that held of one year, one remains.
UPDATE attestation a SET lapsed_at = now()
 WHERE kind = 'compliance' AND lapsed_at IS NULL
   AND EXISTS (SELECT FROM attestation b WHERE b.account_id = a.account_id AND b.year = a.year
                  AND b.lapsed_at IS NULL AND b.id > a.id);
CREATE TRIGGER lapses_once BEFORE UPDATE ON attestation FOR EACH ROW
  WHEN (OLD.lapsed_at IS NOT NULL OR NEW.lapsed_at IS NULL) EXECUTE FUNCTION append_only();
DROP INDEX attestation_once_a_notice;
ALTER TABLE attestation
  DROP CONSTRAINT compliance_has_a_source,
  DROP COLUMN notice_id,
  ADD CONSTRAINT compliance_has_a_source CHECK (kind <> 'compliance' OR year IS NOT NULL);
CREATE UNIQUE INDEX attestation_once_a_year ON attestation (account_id, year) WHERE lapsed_at IS NULL;
CREATE TRIGGER append_only
  BEFORE DELETE OR TRUNCATE OR UPDATE OF id, number, code, kind, account_id, application_id,
                                         year, content, issued_at, issued_by ON attestation
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- 发放 rests on a document with its date (rules-2026 N05); older ones stay as they are.
ALTER TABLE application ADD CONSTRAINT issued_by_document CHECK (
  status IN ('draft', 'returned', 'withdrawn', 'discarded') OR kind <> 'issuance'
  OR (document_no <> '' AND starts_on IS NOT NULL)) NOT VALID;
