-- What plans say of the way of an issue and of surrenders by commission (N40, N43, N44).
ALTER TABLE plan
  ADD COLUMN issue_route VARCHAR(20) DEFAULT '' NOT NULL,
  ADD COLUMN commission_order VARCHAR(20) DEFAULT '' NOT NULL,
  ADD COLUMN commission_title VARCHAR(20) DEFAULT '' NOT NULL,
  ADD CONSTRAINT plan_issue_route CHECK (issue_route IN ('', 'differentiated', 'province')),
  ADD CONSTRAINT plan_commission_order CHECK (commission_order IN ('', 'own_first', 'oldest_first'));
-- P24 (power, 2023 and 2024): of enterprises issued to differently, at the approved stage; P25 and P26
-- 四: every issue (C2, C9).  Versions of before say so, too: only columns that they did not have change.
ALTER TABLE plan DISABLE TRIGGER append_only;
UPDATE plan
   SET issue_route = CASE WHEN sector = 'power' AND year <= 2024 THEN 'differentiated' ELSE 'province' END,
       commission_order = 'own_first',
       commission_title = CASE WHEN year <= 2024 THEN '强制履约' ELSE '协助清缴' END
 WHERE year BETWEEN 2023 AND 2026;
ALTER TABLE plan ENABLE TRIGGER append_only;

-- As before, with the three.
CREATE OR REPLACE FUNCTION carry_out_plans(asked bigint[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  d record;
  done integer := 0;
BEGIN
  FOR d IN
    SELECT a.id, a.starts_on, a.document_no, a.proposal, a.proposal -> 'after' AS says,
           (a.proposal ->> 'year')::integer AS year, a.proposal ->> 'sector' AS sector,
           (a.proposal ->> 'replaces')::integer AS replaces,
           (SELECT max(v.at) FROM application_event v
             WHERE v.application_id = a.id AND v.action = 'approve') AS approved_at
      FROM application a
     WHERE a.id = ANY(asked) AND a.kind = 'plan' AND a.status = 'approved' AND approved_by_two(a.id)
       AND EXISTS (SELECT FROM application_event v WHERE v.application_id = a.id AND v.action = 'approve'
                      AND v.recorded_xid = pg_current_xact_id())
       AND NOT EXISTS (SELECT FROM plan p WHERE p.application_id = a.id)
     ORDER BY a.id
  LOOP
    PERFORM FROM plan p WHERE p.year = d.year AND p.sector = d.sector ORDER BY p.id FOR NO KEY UPDATE;
    CONTINUE WHEN d.replaces IS DISTINCT FROM (
      SELECT max(p.id) FROM plan p WHERE p.year = d.year AND p.sector = d.sector);
    INSERT INTO plan (
      year, sector, replaces_id, application_id, starts_on, document_no, documented_on, method,
      pre_allocation_share, share_cap, rounding, pre_allocate_by, approve_by, issue_by, surrender_by,
      offset_by, vintages, offset_percent, offset_registered_from, exemptions, carry_over_base,
      carry_over_factor, source, confidence, is_draft, note, issue_route,
      commission_order, commission_title, approved_at)
    VALUES (
      d.year, d.sector, d.replaces, d.id, d.starts_on, d.document_no,
      (d.proposal ->> 'documented_on')::date, d.says ->> 'method',
      nullif(d.says ->> 'pre_allocation_share', '')::numeric, nullif(d.says ->> 'share_cap', '')::numeric,
      d.says ->> 'rounding', nullif(d.says ->> 'pre_allocate_by', '')::date,
      nullif(d.says ->> 'approve_by', '')::date, nullif(d.says ->> 'issue_by', '')::date,
      (d.says ->> 'surrender_by')::timestamp AT TIME ZONE 'Asia/Shanghai', nullif(d.says ->> 'offset_by', '')::date,
      string_to_array(d.says ->> 'vintages', ',')::smallint[],
      coalesce(nullif(d.says ->> 'offset_percent', ''), '0')::numeric,
      nullif(d.says ->> 'offset_registered_from', '')::date, d.says ->> 'exemptions',
      nullif(d.says ->> 'carry_over_base', '')::bigint,
      nullif(d.says ->> 'carry_over_factor', '')::numeric, d.says ->> 'source', d.says ->> 'confidence',
      d.says ->> 'is_draft' = 'draft', d.says ->> 'note', coalesce(d.says ->> 'issue_route', ''),
      coalesce(d.says ->> 'commission_order', ''), coalesce(d.says ->> 'commission_title', ''),
      d.approved_at);
    done := done + 1;
  END LOOP;
  IF done <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'a plan is another one than the decision found, or two officers did not approve that'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'plan_as_decided';
  END IF;
  RETURN done;
END $$;
