-- As before, but that a posting may be the grant of a carry-over: grant_carry_overs alone writes what names it.
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
                    SELECT array_agg(ROW (l.instrument_id, l.quantity, coalesce(r.giver, w.holder),
                                          r.from_bucket, w.receiver, r.to_bucket)
                                     ORDER BY l.instrument_id, l.quantity, w.receiver)
                      FROM application_line l
                      JOIN posting_route r ON r.business = p.business AND r.stage = p.stage
                       AND r.at_colleague = (e.step < 0)
                      LEFT JOIN application_line s ON s.id = l.source_line_id AND r.from_source
                     CROSS JOIN LATERAL (
                           SELECT coalesce(s.account_id, a.account_id) AS holder,
                                  CASE WHEN r.to_receiver THEN coalesce(l.account_id, a.account_id)
                                       ELSE coalesce(s.account_id, a.account_id) END AS receiver) w
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
         WHEN p.business = 'claim_netting' THEN
           CASE WHEN NOT EXISTS (SELECT FROM claim_netting n
                                   JOIN application_line l ON l.id = n.claim_line_id
                                   JOIN movement m ON m.posting_id = n.posting_id
                                    AND m.instrument_id = l.instrument_id AND m.quantity = n.quantity
                                    AND (m.from_bucket, m.to_bucket) = (1, 14)
                                    AND m.from_account = m.to_account
                                  WHERE n.posting_id = p.id)
                THEN 'nets no issue' END
         WHEN p.business = 'carry_over_grant' THEN
           CASE WHEN NOT EXISTS (SELECT FROM carry_over_grant g WHERE g.posting_id = p.id
                                    AND p.request_key = 'carry_over_grant:' || g.application_id)
                THEN 'grants no carry-over' END
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
