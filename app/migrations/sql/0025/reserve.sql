-- 违约垫付 (domain.md R58): what the reserve paid for a buyer is a receivable, which is paid to the reserve.
ALTER TABLE receivable
  ALTER COLUMN booking_id DROP NOT NULL,
  ADD COLUMN application_id BIGINT UNIQUE,
  ADD COLUMN trade_id BIGINT REFERENCES trade (id),
  ADD CONSTRAINT receivable_has_a_cause
    CHECK (num_nonnulls(booking_id, application_id) = 1 AND (application_id IS NULL) = (trade_id IS NULL));
CREATE INDEX receivable_of_trade ON receivable (trade_id) WHERE trade_id IS NOT NULL;

-- Written from approved applications alone, as two officers approved them, once; the account is restricted.
CREATE FUNCTION cover_defaults(asked bigint[], moment timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  made integer;
BEGIN
  INSERT INTO receivable (application_id, trade_id, account_id, instrument_id, amount, at)
  SELECT a.id, t.id, t.buyer_id, t.buyer_money_id, l.quantity, moment
    FROM application a
    JOIN application_line l ON l.application_id = a.id
    JOIN trade_default f ON f.id = (a.proposal ->> 'default')::integer AND f.due_at <= moment
    JOIN trade t ON t.id = f.trade_id AND t.buyer_id = l.account_id AND t.buyer_money_id = l.instrument_id
   WHERE a.id = ANY(asked) AND a.kind = 'default_cover' AND a.account_id = 3 AND approved_by_two(a.id)
     AND NOT EXISTS (SELECT FROM trade_delivery d WHERE d.trade_id = t.id)
   ORDER BY a.id;
  GET DIAGNOSTICS made = ROW_COUNT;
  IF made <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'a cover is not as two officers approved it'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'cover_as_approved';
  END IF;
  UPDATE account SET is_restricted = true
   WHERE NOT is_restricted
     AND id IN (SELECT account_id FROM receivable WHERE application_id = ANY(asked));
  RETURN made;
END $$;

-- As before; what the reserve paid goes back to it, once the trade that it was paid for is delivered.
CREATE OR REPLACE FUNCTION pay_receivables(debtor integer, moment timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  r record;
  held bigint;
  paid bigint := 0;
  posted bigint;
BEGIN
  FOR r IN SELECT v.id, v.instrument_id, v.application_id,
                  v.amount - coalesce((SELECT sum(p.amount) FROM receivable_payment p
                                        WHERE p.receivable_id = v.id), 0)::bigint AS owed
             FROM receivable v
            WHERE v.account_id = debtor
              AND (v.trade_id IS NULL
                   OR EXISTS (SELECT FROM trade_delivery d WHERE d.trade_id = v.trade_id))
            ORDER BY v.id FOR UPDATE OF v LOOP
    SELECT available INTO held FROM holding
     WHERE account_id = debtor AND instrument_id = r.instrument_id FOR NO KEY UPDATE;
    r.owed := least(r.owed, coalesce(held, 0));
    CONTINUE WHEN r.owed = 0;
    WITH made AS (
           INSERT INTO posting (business, stage, request_key, document, leads)
           SELECT 'receivable', 'settlement', 'receivable:' || r.id || ':' || count(*),
                  r.id::text, true
             FROM receivable_payment p WHERE p.receivable_id = r.id
           RETURNING id),
         gone AS (
           INSERT INTO movement (posting_id, at, instrument_id, quantity,
                                 from_account, from_bucket, to_account, to_bucket)
           SELECT id, moment, r.instrument_id, r.owed, debtor, 1,
                  CASE WHEN r.application_id IS NULL THEN 1 ELSE 3 END,
                  CASE WHEN r.application_id IS NULL THEN 12 ELSE 1 END
             FROM made)
    SELECT id INTO posted FROM made;
    INSERT INTO receivable_payment (posting_id, receivable_id, amount, at)
    VALUES (posted, r.id, r.owed, moment);
    paid := paid + r.owed;
  END LOOP;
  RETURN paid;
END $$;

-- A province's officers read the statements of its enterprises; so may its systems (docs/adr/0082).
ALTER TABLE machine_client
  DROP CONSTRAINT credential_scopes,
  ADD CONSTRAINT credential_scopes CHECK (
    venue_id IS NOT NULL
    OR (cardinality(scopes) > 0
        AND scopes <@ '{holdings:read,statements:read,notices:read,applications:read}'::text[]));

-- One application at a time about a difference or a default, and one that is approved.
CREATE UNIQUE INDEX one_resolution ON application ((proposal ->> 'difference'))
  WHERE kind = 'difference_resolution' AND status IN ('in_review', 'approved');
CREATE UNIQUE INDEX one_bank_resolution ON application ((proposal ->> 'event'))
  WHERE kind = 'bank_difference' AND status IN ('in_review', 'approved');
CREATE UNIQUE INDEX one_cover_under_review ON application ((proposal ->> 'default'))
  WHERE kind = 'default_cover' AND status = 'in_review';
