-- Nothing is carried over beyond its notice, nor of a vintage that the round does not take (N69).  The
-- engine holds the applicant's account; the notice locked here makes it certain without the engine, too.
CREATE FUNCTION carry_overs_keep_within() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  moved bigint[];
  notices text[];
  wrong text;
BEGIN
  SELECT array_agg(n.id), array_agg(DISTINCT n.proposal ->> 'notice') INTO moved, notices
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.kind = 'carry_over' AND n.status <> o.status AND n.status IN ('in_review', 'approved');
  IF moved IS NULL THEN
    RETURN NULL;
  END IF;
  PERFORM FROM carry_over_notice WHERE id::text = ANY(notices) ORDER BY id FOR NO KEY UPDATE;
  SELECT a.number INTO wrong
    FROM application a
    LEFT JOIN carry_over_notice n ON n.id::text = a.proposal ->> 'notice' AND n.account_id = a.account_id
    LEFT JOIN carry_over_round r ON r.id = n.round_id
   WHERE a.id = ANY(moved)
     AND (n.id IS NULL
          OR EXISTS (SELECT FROM application_line l JOIN instrument i ON i.id = l.instrument_id
                      WHERE l.application_id = a.id
                        AND (i.kind <> 'allowance' OR i.vintage <> ALL (r.vintages))));
  IF NOT FOUND THEN
    SELECT n.number INTO wrong
      FROM carry_over_notice n
      JOIN application a ON a.kind = 'carry_over' AND a.status IN ('in_review', 'approved')
       AND a.proposal ->> 'notice' = n.id::text
      JOIN application_line l ON l.application_id = a.id
     WHERE n.id::text = ANY(notices)
     GROUP BY n.id HAVING sum(l.quantity) > n.quota LIMIT 1;
  END IF;
  IF FOUND THEN
    RAISE EXCEPTION 'more is carried over than % allows', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'carry_over_stays_within';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER carry_overs_keep_within AFTER UPDATE ON application
  REFERENCING OLD TABLE AS old_application NEW TABLE AS new_application
  FOR EACH STATEMENT EXECUTE FUNCTION carry_overs_keep_within();

-- The applications that a batch recalls: of its round's year, submitted until its day, not refused by it.
CREATE FUNCTION carry_overs_of_batch(asked_year integer, until date, batch bigint DEFAULT NULL)
RETURNS TABLE (application_id bigint)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT a.id FROM application a
   WHERE a.kind = 'carry_over' AND a.status = 'in_review' AND a.step >= 0
     AND (a.submitted_at AT TIME ZONE 'Asia/Shanghai')::date <= until
     AND (a.proposal ->> 'year')::integer = asked_year
     AND NOT EXISTS (SELECT FROM carry_over_refusal f WHERE f.batch_id = batch AND f.application_id = a.id)
   ORDER BY a.id
$$;

-- Grants what applications that this transaction approved carry over: as much of the round's target as was
-- recalled, one posting each, with the application's number.  They belong to a batch of two officers.
CREATE FUNCTION grant_carry_overs(batch bigint, asked bigint[], moment timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  made integer;
BEGIN
  WITH due AS MATERIALIZED (
         SELECT a.id, a.number, a.account_id, n.id AS notice_id, r.target_id,
                (SELECT sum(l.quantity) FROM application_line l WHERE l.application_id = a.id)::bigint AS quantity
           FROM application a
           JOIN carry_over_notice n ON n.id::text = a.proposal ->> 'notice' AND n.account_id = a.account_id
           JOIN carry_over_round r ON r.id = n.round_id
           JOIN application b ON b.id = batch AND b.kind = 'carry_over_batch' AND b.status = 'approved'
            AND (b.proposal ->> 'year')::integer = n.year
            AND (a.submitted_at AT TIME ZONE 'Asia/Shanghai')::date <= (b.proposal ->> 'until')::date
          WHERE a.id = ANY(asked) AND a.kind = 'carry_over' AND a.status = 'approved'
            AND approved_by_two(batch)
            AND NOT EXISTS (SELECT FROM carry_over_grant g WHERE g.application_id = a.id)),
       made_posting AS (
         INSERT INTO posting (business, stage, request_key, document, leads)
         SELECT 'carry_over_grant', 'settlement', 'carry_over_grant:' || id, number,
                row_number() OVER (ORDER BY id) = 1
           FROM due ORDER BY id
         RETURNING id, request_key),
       granted AS MATERIALIZED (
         SELECT due.*, p.id AS posting_id
           FROM due JOIN made_posting p ON p.request_key = 'carry_over_grant:' || due.id),
       moved AS (
         INSERT INTO movement (posting_id, at, instrument_id, quantity,
                               from_account, from_bucket, to_account, to_bucket)
         SELECT posting_id, moment, target_id, quantity, 1, 12, account_id, 1 FROM granted
          ORDER BY account_id, posting_id)
  INSERT INTO carry_over_grant (application_id, batch_id, notice_id, account_id, instrument_id, quantity,
                                posting_id, at)
  SELECT id, batch, notice_id, account_id, target_id, quantity, posting_id, moment FROM granted ORDER BY id;
  GET DIAGNOSTICS made = ROW_COUNT;
  IF made <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'a carry-over is not one of batch %', batch
      USING ERRCODE = 'check_violation', CONSTRAINT = 'carry_over_of_batch';
  END IF;
  RETURN made;
END $$;

-- What is wrong with an approved carry-over, or NULL: per document, recalled is granted (N71).
CREATE VIEW carry_over_fault AS
SELECT a.id AS application_id, a.number,
       CASE WHEN g.application_id IS NULL THEN 'was approved and brought nothing'
            WHEN g.quantity IS DISTINCT FROM recalled.quantity OR g.quantity IS DISTINCT FROM granted.quantity
              OR granted.strays THEN
              concat('recalled ', coalesce(recalled.quantity, 0), ', granted ', coalesce(granted.quantity, 0))
            WHEN NOT approved_by_two(g.batch_id) THEN 'is of no batch of two officers' END AS fault
  FROM application a
  LEFT JOIN carry_over_grant g ON g.application_id = a.id
 CROSS JOIN LATERAL (
       SELECT sum(m.quantity)::bigint AS quantity
         FROM posting p JOIN movement m ON m.posting_id = p.id
        WHERE p.application_id = a.id AND p.stage = 'approval' AND m.to_bucket = 14) recalled
 CROSS JOIN LATERAL (
       SELECT sum(m.quantity)::bigint AS quantity,
              bool_or((m.from_account, m.from_bucket, m.to_account, m.to_bucket, m.instrument_id)
                      <> (1, 12, g.account_id, 1, g.instrument_id)) AS strays
         FROM movement m WHERE m.posting_id = g.posting_id) granted
 WHERE a.kind = 'carry_over' AND a.status = 'approved';

CREATE FUNCTION carry_over_is_granted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
DECLARE
  wrong record;
BEGIN
  SELECT * INTO wrong FROM carry_over_fault WHERE application_id = NEW.id AND fault IS NOT NULL;
  IF FOUND THEN
    RAISE EXCEPTION 'carry-over % %', wrong.number, wrong.fault
      USING ERRCODE = 'check_violation', CONSTRAINT = 'carry_over_is_granted';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER carry_over_is_granted AFTER UPDATE OF status ON application
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.kind = 'carry_over' AND NEW.status = 'approved') EXECUTE FUNCTION carry_over_is_granted();
