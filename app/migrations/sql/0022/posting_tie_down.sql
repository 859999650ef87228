CREATE FUNCTION document_posting_fault(p posting) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  act text := CASE p.stage WHEN 'submission' THEN 'submit' WHEN 'approval' THEN 'approve'
                           WHEN 'withdrawal' THEN 'withdraw' WHEN 'sent_back' THEN 'send_back' END;
  a record;
  e record;
  moved record;
BEGIN
  IF p.application_id IS NULL THEN
    IF EXISTS (SELECT FROM untied_business u WHERE u.business = p.business) THEN
      RETURN NULL;
    ELSIF NOT EXISTS (SELECT FROM settlement_run r WHERE r.posting_id = p.id
                         AND to_char(r.day, 'YYYY-MM-DD') = p.document) THEN
      RETURN 'carries out neither an application nor a day-end';
    ELSIF EXISTS (SELECT FROM movement m
                    LEFT JOIN posting_route r ON r.business = p.business AND r.stage = p.stage
                     AND r.from_bucket = m.from_bucket AND r.to_bucket = m.to_bucket
                   WHERE m.posting_id = p.id AND (r.stage IS NULL OR m.from_account <> m.to_account)) THEN
      RETURN 'moves what no day-end moves';
    END IF;
    RETURN NULL;
  END IF;
  SELECT kind, number, account_id INTO a FROM application WHERE id = p.application_id;
  SELECT step, status, member_id, at, count(*) OVER () AS events INTO e FROM application_event
   WHERE application_id = p.application_id AND recorded_xid = p.recorded_xid AND action = act
   ORDER BY id DESC LIMIT 1;
  IF NOT FOUND THEN
    RETURN 'has no event of its transaction';
  ELSIF p.business <> a.kind OR p.document <> a.number THEN
    RETURN 'is of another business';
  ELSIF p.member_id IS DISTINCT FROM e.member_id THEN
    RETURN 'is of another member than its event';
  ELSIF (p.stage, e.status) NOT IN (
          ('submission', 'in_review'), ('submission', 'pending_settlement'),
          ('approval', 'pending_settlement'), ('approval', 'approved'),
          ('withdrawal', 'withdrawn'), ('sent_back', 'returned')) THEN
    RETURN concat('does not fit its event, which reached ', e.status);
  ELSIF (SELECT count(*) FROM posting o
          WHERE o.application_id = p.application_id AND o.recorded_xid = p.recorded_xid
            AND o.stage = p.stage AND (o.reverses_id IS NULL) = (p.reverses_id IS NULL)) > e.events THEN
    RETURN 'is one more than its events';
  END IF;
  SELECT array_agg(ROW (m.instrument_id, m.quantity, m.from_account, m.from_bucket, m.to_account,
                        m.to_bucket)
                   ORDER BY m.instrument_id, m.quantity, m.to_account) AS rows,
         min(m.at) AS first, max(m.at) AS last
    INTO moved FROM movement m WHERE m.posting_id = p.id;
  IF moved.first <> e.at OR moved.last <> e.at THEN
    RETURN 'is of another time than its event';
  ELSIF p.reverses_id IS NOT NULL THEN
    IF p.application_id IS DISTINCT FROM
       (SELECT o.application_id FROM posting o WHERE o.id = p.reverses_id) THEN
      RETURN 'reverses another application''s posting';
    END IF;
  ELSIF p.stage NOT IN ('submission', 'approval') THEN
    RETURN 'reverses nothing';
  ELSIF EXISTS (SELECT FROM posting o WHERE o.reverses_id = p.id) THEN
    RETURN NULL;
  ELSIF moved.rows IS DISTINCT FROM (
          SELECT array_agg(ROW (l.instrument_id, l.quantity, coalesce(r.giver, a.account_id),
                                r.from_bucket, w.receiver, r.to_bucket)
                           ORDER BY l.instrument_id, l.quantity, w.receiver)
            FROM application_line l
            JOIN posting_route r ON r.business = p.business AND r.stage = p.stage
             AND r.at_colleague = (e.step < 0)
           CROSS JOIN LATERAL (
                 SELECT CASE WHEN r.to_receiver THEN coalesce(l.account_id, a.account_id)
                             ELSE a.account_id END AS receiver) w
           WHERE l.application_id = p.application_id) THEN
    RETURN 'moves other tonnes than its application''s lines';
  END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION trade_posting_fault(p posting) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF p.application_id IS NULL AND p.business = 'trade' THEN
    RETURN CASE WHEN NOT EXISTS (SELECT FROM trade_delivery d WHERE d.posting_id = p.id
                                    AND p.request_key = 'trade:' || d.trade_id)
                THEN 'delivers no trade' END;
  ELSIF p.application_id IS NULL AND p.business = 'proceeds_release' THEN
    RETURN CASE WHEN NOT EXISTS (SELECT FROM proceeds_release r WHERE r.posting_id = p.id)
                THEN 'releases no proceeds' END;
  END IF;
  RETURN document_posting_fault(p);
END $$;
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
CREATE OR REPLACE FUNCTION postings_are_tied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
DECLARE
  beyond bigint;
  wrong record;
BEGIN
  SELECT id INTO beyond FROM posting
   WHERE recorded_xid = NEW.recorded_xid AND id > NEW.id AND leads ORDER BY id LIMIT 1;
  SELECT id, found.fault INTO wrong FROM posting p CROSS JOIN LATERAL posting_fault(p) AS found (fault)
   WHERE recorded_xid = NEW.recorded_xid AND id >= NEW.id AND (beyond IS NULL OR id < beyond)
     AND found.fault IS NOT NULL
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'posting % %', wrong.id, wrong.fault
      USING ERRCODE = 'check_violation', CONSTRAINT = 'postings_are_tied';
  END IF;
  RETURN NULL;
END $$;
DROP VIEW posting_tie;
