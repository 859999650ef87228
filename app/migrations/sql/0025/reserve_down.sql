-- Refused where something was covered, or a province gave this scope: neither can be taken back.
ALTER TABLE machine_client
  DROP CONSTRAINT credential_scopes,
  ADD CONSTRAINT credential_scopes CHECK (
    venue_id IS NOT NULL
    OR (cardinality(scopes) > 0
        AND scopes <@ '{holdings:read,statements:read,notices:read,applications:read}'::text[]
        AND (province IS NULL OR NOT 'statements:read' = ANY (scopes))));
DROP INDEX one_resolution, one_bank_resolution, one_cover_under_review;
DROP FUNCTION cover_defaults(bigint[], timestamptz);
CREATE OR REPLACE FUNCTION pay_receivables(debtor integer, moment timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  r record;
  held bigint;
  paid bigint := 0;
  posted bigint;
BEGIN
  FOR r IN SELECT v.id, v.instrument_id,
                  v.amount - coalesce((SELECT sum(p.amount) FROM receivable_payment p
                                        WHERE p.receivable_id = v.id), 0)::bigint AS owed
             FROM receivable v WHERE v.account_id = debtor ORDER BY v.id FOR UPDATE OF v LOOP
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
           SELECT id, moment, r.instrument_id, r.owed, debtor, 1, 1, 12 FROM made)
    SELECT id INTO posted FROM made;
    INSERT INTO receivable_payment (posting_id, receivable_id, amount, at)
    VALUES (posted, r.id, r.owed, moment);
    paid := paid + r.owed;
  END LOOP;
  RETURN paid;
END $$;
ALTER TABLE receivable
  DROP COLUMN application_id,
  DROP COLUMN trade_id,
  ALTER COLUMN booking_id SET NOT NULL;
