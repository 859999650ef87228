-- Notices are found by their key: compared as texts, each was compared with each where the statistics of a
-- batch's own rows were missing (ADR 0097).
CREATE FUNCTION carry_over_named(said text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN said ~ '^[0-9]{1,9}$' THEN said::integer END
$$;

CREATE OR REPLACE FUNCTION carry_overs_keep_within() RETURNS trigger
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
  PERFORM FROM carry_over_notice
    WHERE id = ANY(ARRAY(SELECT carry_over_named(w) FROM unnest(notices) AS w))
    ORDER BY id FOR NO KEY UPDATE;
  SELECT a.number INTO wrong
    FROM application a
    LEFT JOIN carry_over_notice n ON n.id = carry_over_named(a.proposal ->> 'notice')
                                   AND n.account_id = a.account_id
    LEFT JOIN carry_over_round r ON r.id = n.round_id
   WHERE a.id = ANY(moved)
     AND (n.id IS NULL
          OR EXISTS (SELECT FROM application_line l JOIN instrument i ON i.id = l.instrument_id
                      WHERE l.application_id = a.id
                        AND (i.kind <> 'allowance' OR i.vintage <> ALL (r.vintages))));
  IF NOT FOUND THEN
    SELECT n.number INTO wrong
      FROM (SELECT a.proposal ->> 'notice' AS notice, sum(l.quantity) AS quantity
              FROM application a JOIN application_line l ON l.application_id = a.id
             WHERE a.kind = 'carry_over' AND a.status IN ('in_review', 'approved')
               AND a.proposal ->> 'notice' = ANY(notices)
             GROUP BY a.proposal ->> 'notice') taken
      JOIN carry_over_notice n ON n.id = carry_over_named(taken.notice)
     WHERE taken.quantity > n.quota LIMIT 1;
  END IF;
  IF FOUND THEN
    RAISE EXCEPTION 'more is carried over than % allows', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'carry_over_stays_within';
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION grant_carry_overs(batch bigint, asked bigint[], moment timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  made integer;
BEGIN
  WITH due AS MATERIALIZED (
         SELECT a.id, a.number, a.account_id, n.id AS notice_id, r.target_id,
                (SELECT sum(l.quantity) FROM application_line l WHERE l.application_id = a.id)::bigint AS quantity
           FROM application a
           JOIN carry_over_notice n ON n.id = carry_over_named(a.proposal ->> 'notice')
                                  AND n.account_id = a.account_id
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
