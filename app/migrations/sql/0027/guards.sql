-- As before, with surrenders by commission; what was reversed may be issued again.
CREATE OR REPLACE FUNCTION applications_keep_within() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  moved bigint[];
  sources bigint[];
  notices integer[];
  accounts integer[];
  wrong bigint;
BEGIN
  SELECT array_agg(n.id) INTO moved
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.status <> o.status AND n.status IN ('in_review', 'pending_settlement', 'approved');
  IF moved IS NULL THEN
    RETURN NULL;
  END IF;

  -- Nothing is drawn beyond what its source held, nor before that was approved.
  SELECT array_agg(DISTINCT l.source_line_id) INTO sources
    FROM unnest(moved) AS m (id) JOIN application_line l ON l.application_id = m.id
   WHERE l.source_line_id IS NOT NULL;
  IF sources IS NOT NULL THEN
    PERFORM FROM application_line WHERE id = ANY(sources) ORDER BY id FOR NO KEY UPDATE;
    SELECT line_id INTO wrong
      FROM (SELECT d.line_id
              FROM line_draw d JOIN application sa ON sa.id = d.application_id
             WHERE d.line_id = ANY(sources) AND (sa.status <> 'approved' OR d.remaining < 0)
            UNION ALL
            SELECT s.id
              FROM unnest(moved) AS m (id)
              JOIN application a ON a.id = m.id
              JOIN application_line l ON l.application_id = a.id
              JOIN application_line s ON s.id = l.source_line_id
              JOIN application sa ON sa.id = s.application_id
             WHERE l.instrument_id <> s.instrument_id OR a.account_id <> sa.account_id
                OR (a.kind = 'surrender_refund' AND a.notice_id IS DISTINCT FROM sa.notice_id)) AS w;
    IF FOUND THEN
      RAISE EXCEPTION 'more is drawn than line % holds', wrong
        USING ERRCODE = 'check_violation', CONSTRAINT = 'draws_stay_within';
    END IF;
  END IF;

  -- Nothing is surrendered beyond what a notice asks for, nor what its year's plan does not accept, nor
  -- more CCER than it takes.
  SELECT array_agg(DISTINCT a.notice_id) INTO notices
    FROM unnest(moved) AS m (id) JOIN application a ON a.id = m.id WHERE a.kind IN ('surrender', 'commission');
  IF notices IS NOT NULL THEN
    PERFORM FROM notice WHERE id = ANY(notices) ORDER BY id FOR NO KEY UPDATE;
    -- Shared, so that no version follows meanwhile; what follows later sees these surrenders.
    PERFORM FROM plan p
      WHERE EXISTS (SELECT FROM notice n
                     WHERE n.id = ANY(notices) AND n.year = p.year AND n.sector = p.sector)
      ORDER BY p.id FOR SHARE;
    SELECT n.id INTO wrong FROM notice_surrender u JOIN notice n ON n.id = u.notice_id
     WHERE u.notice_id = ANY(notices)
       AND (u.surrendered > n.obligation
            OR (u.surrendered + u.pending > n.obligation
                AND EXISTS (SELECT FROM application a
                             WHERE a.id = ANY(moved) AND a.notice_id = n.id
                               AND a.status = 'in_review')));
    -- What is approved now is not held up by what merely waits, nor allowances by CCER beyond its
    -- share: an obligation may have sunk.
    IF NOT FOUND THEN
      SELECT n.id INTO wrong
        FROM application a
        JOIN notice n ON n.id = a.notice_id
       CROSS JOIN LATERAL (
             SELECT (coalesce(max(v.at), a.submitted_at) AT TIME ZONE 'Asia/Shanghai')::date AS day
               FROM application_event v WHERE v.application_id = a.id) AS acted
        LEFT JOIN LATERAL plan_on(n.year, n.sector, acted.day) p ON true
        JOIN application_line l ON l.application_id = a.id
        JOIN instrument i ON i.id = l.instrument_id
       WHERE a.id = ANY(moved) AND a.kind IN ('surrender', 'commission')
         AND CASE i.kind WHEN 'allowance' THEN (i.vintage = ANY(p.vintages)) IS NOT TRUE
                  ELSE EXISTS (
                    SELECT FROM notice_surrender u
                     WHERE u.notice_id = n.id
                       AND CASE a.status WHEN 'in_review' THEN u.offset_surrendered + u.offset_pending
                                ELSE u.offset_surrendered END
                           > coalesce(floor(n.obligation * p.offset_percent / 100), 0)) END
       LIMIT 1;
    END IF;
    IF FOUND THEN
      RAISE EXCEPTION 'more is surrendered than notice % asks for', wrong
        USING ERRCODE = 'check_violation', CONSTRAINT = 'surrender_stays_within';
    END IF;
  END IF;

  -- An enterprise's pre-allocation and its approved allocation are issued once an instrument.
  SELECT array_agg(DISTINCT a.account_id) INTO accounts
    FROM unnest(moved) AS m (id) JOIN application a ON a.id = m.id
   WHERE a.kind = 'issuance' AND a.category IN ('pre_allocation', 'approved');
  IF accounts IS NOT NULL THEN
    PERFORM FROM account WHERE id = ANY(accounts) ORDER BY id FOR NO KEY UPDATE;
    SELECT min(a.id) INTO wrong
      FROM unnest(accounts) AS w (id)
      JOIN application a ON a.account_id = w.id
      JOIN application_line l ON l.application_id = a.id
     WHERE a.kind = 'issuance' AND a.category IN ('pre_allocation', 'approved')
       AND a.status IN ('in_review', 'approved') AND NOT is_reversed(l.id)
     GROUP BY a.account_id, a.category, l.instrument_id
    HAVING count(DISTINCT a.id) > 1;
    IF FOUND THEN
      RAISE EXCEPTION 'what application % issues is issued twice', wrong
        USING ERRCODE = 'check_violation', CONSTRAINT = 'issued_once';
    END IF;
  END IF;
  RETURN NULL;
END $$;
