-- What applications, their lines and their files may not do, whoever writes them.

-- A final state never changes.
CREATE FUNCTION final_states_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM old_application o JOIN new_application n USING (id)
              WHERE o.status IN ('approved', 'withdrawn', 'refused')
                AND (n.status <> o.status OR n.kind <> o.kind OR n.account_id <> o.account_id
                     OR n.posting_id IS DISTINCT FROM o.posting_id)) THEN
    RAISE EXCEPTION 'an application in a final state does not change'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'final_states_stay';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER final_states_stay AFTER UPDATE ON application
  REFERENCING OLD TABLE AS old_application NEW TABLE AS new_application
  FOR EACH STATEMENT EXECUTE FUNCTION final_states_stay();

-- What was submitted keeps its lines, in every state that is not open to its applicant.
CREATE FUNCTION submitted_lines_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM touched_line l JOIN application a ON a.id = l.application_id
              WHERE a.status NOT IN ('draft', 'returned')) THEN
    RAISE EXCEPTION 'the lines of a submitted application do not change'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'submitted_lines_stay';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER submitted_lines_stay_added AFTER INSERT ON application_line
  REFERENCING NEW TABLE AS touched_line
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_lines_stay();
CREATE TRIGGER submitted_lines_stay_changed AFTER UPDATE ON application_line
  REFERENCING OLD TABLE AS touched_line
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_lines_stay();
CREATE TRIGGER submitted_lines_stay_removed AFTER DELETE ON application_line
  REFERENCING OLD TABLE AS touched_line
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_lines_stay();

-- What was handed in stays: files come and go only while their application can be edited.
CREATE FUNCTION submitted_attachments_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM touched_attachment t JOIN application a ON a.id = t.application_id
              WHERE a.status NOT IN ('draft', 'returned')) THEN
    RAISE EXCEPTION 'the attachments of a submitted application do not change'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'submitted_attachments_stay';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER submitted_attachments_stay_added AFTER INSERT ON attachment
  REFERENCING NEW TABLE AS touched_attachment
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_attachments_stay();
CREATE TRIGGER submitted_attachments_stay_changed AFTER UPDATE ON attachment
  REFERENCING OLD TABLE AS touched_attachment
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_attachments_stay();
CREATE TRIGGER submitted_attachments_stay_moved AFTER UPDATE ON attachment
  REFERENCING NEW TABLE AS touched_attachment
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_attachments_stay();
CREATE TRIGGER submitted_attachments_stay_removed AFTER DELETE ON attachment
  REFERENCING OLD TABLE AS touched_attachment
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_attachments_stay();

-- What applications may not exceed, whoever writes their states.  The engine holds the applicant's
-- account, so that nobody waits here; the rows locked here make it certain without the engine, too.
CREATE FUNCTION applications_keep_within() RETURNS trigger
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

  -- Nothing is surrendered beyond what a notice asks for, nor more CCER than it takes.
  SELECT array_agg(DISTINCT a.notice_id) INTO notices
    FROM unnest(moved) AS m (id) JOIN application a ON a.id = m.id WHERE a.kind = 'surrender';
  IF notices IS NOT NULL THEN
    PERFORM FROM notice WHERE id = ANY(notices) ORDER BY id FOR NO KEY UPDATE;
    -- What is approved now is not held up by what merely waits, nor allowances by CCER beyond its
    -- share: an obligation may have sunk.
    SELECT n.id INTO wrong
      FROM notice_surrender u JOIN notice n ON n.id = u.notice_id
     WHERE u.notice_id = ANY(notices)
       AND (u.surrendered > n.obligation
            OR (u.surrendered + u.pending > n.obligation
                AND EXISTS (SELECT FROM application a
                             WHERE a.id = ANY(moved) AND a.notice_id = n.id
                               AND a.status = 'in_review'))
            OR (u.offset_surrendered + u.offset_pending > floor(n.obligation * n.offset_percent / 100)
                AND EXISTS (SELECT FROM application a
                              JOIN application_line l ON l.application_id = a.id
                              JOIN instrument i ON i.id = l.instrument_id
                             WHERE a.id = ANY(moved) AND a.notice_id = n.id
                               AND a.kind = 'surrender' AND i.kind = 'offset'
                               AND (a.status = 'in_review'
                                    OR u.offset_surrendered
                                       > floor(n.obligation * n.offset_percent / 100)))));
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
       AND a.status IN ('in_review', 'approved')
     GROUP BY a.account_id, a.category, l.instrument_id
    HAVING count(DISTINCT a.id) > 1;
    IF FOUND THEN
      RAISE EXCEPTION 'what application % issues is issued twice', wrong
        USING ERRCODE = 'check_violation', CONSTRAINT = 'issued_once';
    END IF;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER applications_keep_within AFTER UPDATE ON application
  REFERENCING OLD TABLE AS old_application NEW TABLE AS new_application
  FOR EACH STATEMENT EXECUTE FUNCTION applications_keep_within();

-- An obligation never sinks beneath what was surrendered for it and not refunded.
CREATE FUNCTION obligation_covers_surrendered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.obligation < (SELECT surrendered FROM notice_surrender WHERE notice_id = NEW.id) THEN
    RAISE EXCEPTION 'notice % has more surrendered than it would ask for', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'obligation_covers_surrendered';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER obligation_covers_surrendered AFTER UPDATE OF obligation ON notice
  FOR EACH ROW EXECUTE FUNCTION obligation_covers_surrendered();
