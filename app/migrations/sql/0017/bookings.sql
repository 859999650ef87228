-- What a bank did after the application had ended (rules-2026 N143): a late success, or a reversal.  The
-- bank's word was recorded in this transaction.  Of what a participant spent meanwhile a receivable
-- remains, and the account is restricted.  Returns the receivable's fen.
CREATE FUNCTION book_bank_order(asked bigint, moment timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  o record;
  said text;
  occasion text;
  held bigint := 0;
  moved bigint;
  posted bigint;
  booked bigint;
BEGIN
  SELECT w.*, b.instrument_id, a.account_id INTO o
    FROM bank_order w
    JOIN settlement_bank b ON b.id = w.bank_id
    JOIN application a ON a.id = w.application_id
   WHERE w.id = asked FOR UPDATE OF w;
  SELECT s.outcome INTO said FROM bank_answer s
   WHERE s.order_id = asked AND s.recorded_xid = pg_current_xact_id() ORDER BY s.id DESC LIMIT 1;
  occasion := CASE WHEN o.state = 'refused' AND said = 'done' THEN 'late'
                   WHEN o.state = 'done' AND said = 'reversed' THEN 'reversal' END;
  IF occasion IS NULL THEN
    RAISE EXCEPTION 'the bank has said nothing new of order %', asked
      USING ERRCODE = 'check_violation', CONSTRAINT = 'order_follows_the_bank';
  END IF;
  moved := o.amount;
  IF (o.direction = 'out') = (occasion = 'late') THEN
    SELECT available INTO held FROM holding
     WHERE account_id = o.account_id AND instrument_id = o.instrument_id FOR NO KEY UPDATE;
    moved := least(o.amount, coalesce(held, 0));
  END IF;
  IF moved > 0 THEN
    WITH made AS (
           INSERT INTO posting (business, stage, request_key, document, leads)
           VALUES ('bank_correction', 'settlement', 'bank_order:' || asked || ':' || occasion,
                   o.serial, true)
           RETURNING id),
         gone AS (
           INSERT INTO movement (posting_id, at, instrument_id, quantity,
                                 from_account, from_bucket, to_account, to_bucket)
           SELECT id, moment, o.instrument_id, moved, l.* FROM made
            CROSS JOIN LATERAL (
                  SELECT o.account_id, 1, 1, 12 WHERE (o.direction = 'out') = (occasion = 'late')
                   UNION ALL
                  SELECT 1, 12, o.account_id, 1 WHERE (o.direction = 'out') <> (occasion = 'late')) l)
    SELECT id INTO posted FROM made;
  END IF;
  INSERT INTO bank_booking (order_id, occasion, posting_id, amount, at)
  VALUES (asked, occasion, posted, moved, moment) RETURNING id INTO booked;
  IF moved < o.amount THEN
    INSERT INTO receivable (booking_id, account_id, instrument_id, amount, at)
    VALUES (booked, o.account_id, o.instrument_id, o.amount - moved, moment);
    UPDATE account SET is_restricted = true WHERE id = o.account_id AND NOT is_restricted;
  END IF;
  UPDATE bank_order SET state = said, changed_at = moment WHERE id = asked;
  RETURN o.amount - moved;
END $$;

-- What comes in pays an account's receivables first; returns the fen that were paid.
CREATE FUNCTION pay_receivables(debtor integer, moment timestamptz) RETURNS bigint
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

-- 银行账户绑定: written from approved applications alone, as two officers approved them, once.  The
-- earlier binding ends.  Withdrawals begin on the next trading day.
CREATE FUNCTION carry_out_bindings(asked bigint[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  d record;
  made integer := 0;
BEGIN
  FOR d IN
    SELECT a.id, a.account_id, b.id AS bank_id, c.name, a.proposal ->> 'account_no' AS bank_account,
           e.at
      FROM application a
      JOIN account c ON c.id = a.account_id AND c.name = a.proposal ->> 'holder_name'
      JOIN settlement_bank b ON b.code = a.proposal ->> 'bank'
     CROSS JOIN LATERAL (
           SELECT max(v.at) AS at, count(DISTINCT v.member_id) AS officers
             FROM application_event v JOIN ab_user m ON m.id = v.member_id
            WHERE v.application_id = a.id AND v.action = 'approve'
              AND m.account_id IS NULL AND m.province IS NULL
              AND v.id > (SELECT max(s.id) FROM application_event s
                           WHERE s.application_id = a.id AND s.action = 'submit')) AS e
     WHERE a.id = ANY(asked) AND a.kind = 'bank_binding' AND a.status = 'approved' AND e.officers = 2
       AND NOT EXISTS (SELECT FROM bank_binding k WHERE k.application_id = a.id)
     ORDER BY a.id
  LOOP
    -- Another bank only where nothing is left at the one so far; neither while money is on its way.
    UPDATE bank_binding k SET ended_at = d.at
     WHERE k.account_id = d.account_id AND k.ended_at IS NULL
       AND (k.bank_id = d.bank_id
            OR NOT EXISTS (SELECT FROM holding h JOIN settlement_bank o ON o.id = k.bank_id
                            WHERE h.account_id = k.account_id AND h.instrument_id = o.instrument_id
                              AND (h.available, h.reserved, h.frozen, h.proceeds) <> (0, 0, 0, 0)))
       AND NOT EXISTS (SELECT FROM application p WHERE p.account_id = k.account_id
                          AND p.kind IN ('deposit', 'withdrawal') AND p.status = 'in_review');
    CONTINUE WHEN EXISTS (SELECT FROM bank_binding k
                           WHERE k.account_id = d.account_id AND k.ended_at IS NULL);
    INSERT INTO bank_binding (account_id, bank_id, holder_name, bank_account, application_id, bound_at,
                              withdrawals_from)
    SELECT d.account_id, d.bank_id, d.name, d.bank_account, d.id, d.at, min(t.day) FROM trading_day t
     WHERE t.is_trading AND t.day > (d.at AT TIME ZONE 'Asia/Shanghai')::date;
    made := made + 1;
  END LOOP;
  IF made <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'a binding is not as two officers approved it'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'binding_as_approved';
  END IF;
  RETURN made;
END $$;

-- Postings without an application: those of the functions above carry out what names them.
ALTER FUNCTION posting_fault(posting) RENAME TO trade_posting_fault;
CREATE FUNCTION posting_fault(p posting) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF p.application_id IS NULL AND p.business = 'bank_correction' THEN
    RETURN CASE WHEN NOT EXISTS (SELECT FROM bank_booking k WHERE k.posting_id = p.id)
                THEN 'books nothing that a bank said' END;
  ELSIF p.application_id IS NULL AND p.business = 'receivable' THEN
    RETURN CASE WHEN NOT EXISTS (SELECT FROM receivable_payment r WHERE r.posting_id = p.id)
                THEN 'pays no receivable' END;
  END IF;
  RETURN trade_posting_fault(p);
END $$;
