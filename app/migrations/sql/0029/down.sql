-- Takes back what 0029 made; refused where something was carried over, since its postings name it.
DROP TRIGGER carry_over_is_granted ON application;
DROP TRIGGER carry_overs_keep_within ON application;
CREATE OR REPLACE VIEW posting_tie AS
SELECT p.id, p.recorded_xid,
       CASE
         WHEN p.application_id IS NOT NULL THEN
           CASE
             WHEN e.status IS NULL THEN 'has no event of its transaction'
             WHEN p.business <> a.kind OR p.document <> a.number THEN 'is of another business'
             WHEN p.member_id IS DISTINCT FROM e.member_id THEN 'is of another member than its event'
             WHEN (p.stage, e.status) NOT IN (
                    ('submission', 'in_review'), ('submission', 'pending_settlement'),
                    ('approval', 'pending_settlement'), ('approval', 'approved'),
                    ('withdrawal', 'withdrawn'), ('sent_back', 'returned')) THEN
               concat('does not fit its event, which reached ', e.status)
             WHEN (SELECT count(*) FROM posting o
                    WHERE o.application_id = p.application_id
                      AND (o.recorded_xid = p.recorded_xid) IS TRUE  -- By the application's few, not by these.
                      AND o.stage = p.stage AND (o.reverses_id IS NULL) = (p.reverses_id IS NULL))
                  > e.events THEN
               'is one more than its events'
             WHEN moved.first <> e.at OR moved.last <> e.at THEN 'is of another time than its event'
             WHEN p.reverses_id IS NOT NULL THEN
               CASE WHEN p.application_id IS DISTINCT FROM
                         (SELECT o.application_id FROM posting o WHERE o.id = p.reverses_id)
                    THEN 'reverses another application''s posting' END
             WHEN p.stage NOT IN ('submission', 'approval') THEN 'reverses nothing'
             WHEN EXISTS (SELECT FROM posting o WHERE o.reverses_id = p.id) THEN NULL
             WHEN moved.rows IS DISTINCT FROM (
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
               'moves other tonnes than its application''s lines'
           END
         WHEN p.business = 'trade' THEN
           CASE WHEN NOT EXISTS (SELECT FROM trade_delivery d WHERE d.posting_id = p.id
                                    AND p.request_key = 'trade:' || d.trade_id)
                THEN 'delivers no trade' END
         WHEN p.business = 'proceeds_release' THEN
           CASE WHEN NOT EXISTS (SELECT FROM proceeds_release r WHERE r.posting_id = p.id)
                THEN 'releases no proceeds' END
         WHEN p.business = 'bank_correction' THEN
           CASE WHEN NOT EXISTS (SELECT FROM bank_booking k WHERE k.posting_id = p.id)
                THEN 'books nothing that a bank said' END
         WHEN p.business = 'receivable' THEN
           CASE WHEN NOT EXISTS (SELECT FROM receivable_payment r WHERE r.posting_id = p.id)
                THEN 'pays no receivable' END
         WHEN p.business = 'court_hold' THEN
           CASE WHEN NOT EXISTS (SELECT FROM court_effect e WHERE e.posting_id = p.id)
                THEN 'carries out no court order' END
         WHEN EXISTS (SELECT FROM untied_business u WHERE u.business = p.business) THEN NULL
         WHEN NOT EXISTS (SELECT FROM settlement_run r WHERE r.posting_id = p.id
                             AND to_char(r.day, 'YYYY-MM-DD') = p.document) THEN
           'carries out neither an application nor a day-end'
         WHEN EXISTS (SELECT FROM movement m
                        LEFT JOIN posting_route r ON r.business = p.business AND r.stage = p.stage
                         AND r.from_bucket = m.from_bucket AND r.to_bucket = m.to_bucket
                       WHERE m.posting_id = p.id
                         AND (r.stage IS NULL OR m.from_account <> m.to_account)) THEN
           'moves what no day-end moves'
       END AS fault
  FROM posting p
  LEFT JOIN application a ON a.id = p.application_id
  LEFT JOIN LATERAL (
       SELECT step, status, member_id, at, count(*) OVER () AS events FROM application_event
        WHERE application_id = p.application_id AND recorded_xid = p.recorded_xid
          AND action = CASE p.stage WHEN 'submission' THEN 'submit' WHEN 'approval' THEN 'approve'
                                    WHEN 'withdrawal' THEN 'withdraw' WHEN 'sent_back' THEN 'send_back' END
        ORDER BY id DESC LIMIT 1) e ON true
  LEFT JOIN LATERAL (
       SELECT array_agg(ROW (m.instrument_id, m.quantity, m.from_account, m.from_bucket, m.to_account,
                             m.to_bucket)
                        ORDER BY m.instrument_id, m.quantity, m.to_account) AS rows,
              min(m.at) AS first, max(m.at) AS last
         FROM movement m WHERE m.posting_id = p.id AND p.application_id IS NOT NULL) moved ON true;
CREATE OR REPLACE FUNCTION acts_are_signed() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  mode operating_mode;
BEGIN
  SELECT * INTO mode FROM operating_mode ORDER BY id DESC LIMIT 1;
  IF mode.is_production AND abs(extract(epoch FROM NEW.at - now())) > 3600 THEN
    RAISE EXCEPTION 'event % is of %', NEW.id, NEW.at
      USING ERRCODE = 'check_violation', CONSTRAINT = 'event_at_its_time';
  END IF;
  IF mode.signs IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  IF NEW.member_id IS NULL THEN
    IF EXISTS (SELECT FROM application a WHERE a.id = NEW.application_id
                  AND CASE WHEN a.kind IN ('exchange_registry_to_trading', 'trading_to_registry')
                             THEN NEW.action IN ('save', 'submit', 'refuse')
                           WHEN a.kind = 'deposit'
                             THEN NEW.action IN ('save', 'submit', 'approve', 'send_back')
                           WHEN a.kind = 'withdrawal' THEN NEW.action IN ('approve', 'send_back')
                           ELSE false END) THEN
      RETURN NULL;
    END IF;
    RAISE EXCEPTION 'no machine does what event % records', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'machines_do_their_part';
  END IF;
  IF NEW.action NOT IN ('save', 'discard')
     AND NOT EXISTS (SELECT FROM signature_event x JOIN signature s ON s.id = x.signature_id
                      WHERE x.application_event_id = NEW.id
                        AND (s.recorded_xid = pg_current_xact_id()
                             OR (s.purpose = 'review'
                                 AND s.recorded_at > now() - interval '1 day'))) THEN
    RAISE EXCEPTION 'event % is not signed', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'acts_are_signed';
  END IF;
  RETURN NULL;
END $$;
DROP VIEW carry_over_fault, carry_over_release;
DROP FUNCTION carry_over_is_granted(), grant_carry_overs(bigint, bigint[], timestamptz),
              carry_overs_of_batch(integer, date, bigint), carry_overs_keep_within(),
              carry_out_carry_over_notices(bigint[], timestamptz), carry_over_obstacles(integer),
              carry_over_summary(integer, date), carry_over_figures(integer, date, integer),
              carry_out_carry_over_rounds(bigint[]);
DROP INDEX one_carry_over_round, one_carry_over_notices, one_carry_over_batch, application_of_carry_over;
DROP TABLE carry_over_refusal, carry_over_grant, carry_over_notice, carry_over_round;
