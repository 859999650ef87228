-- As in 0034; a transfer is under way until its day is settled, and keeps its state afterwards: whoever had
-- ever moved something to trading could neither be closed nor succeeded.
CREATE OR REPLACE FUNCTION account_obstacles(who integer, but bigint)
RETURNS TABLE (what text, name text, quantity bigint, about integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT CASE i.kind WHEN 'money' THEN 'money' ELSE 'tonnes' END, i.code, v.left, i.id
    FROM holding h JOIN instrument i ON i.id = h.instrument_id
   CROSS JOIN LATERAL (
         SELECT h.available + h.reserved + h.frozen + h.pending_to_trading + h.trading
                + h.pending_to_registry + h.custody + h.in_return + h.proceeds
                - coalesce((SELECT sum(l.quantity) FROM application_line l
                              JOIN application a ON a.id = l.application_id AND a.status = 'in_review'
                             WHERE l.application_id = but AND l.instrument_id = h.instrument_id), 0)
                AS left) v
   WHERE h.account_id = who AND v.left <> 0
  UNION ALL
  SELECT 'application', a.number, NULL, NULL FROM application a
   WHERE a.account_id = who AND a.id IS DISTINCT FROM but
     AND (a.status = 'in_review'
          OR (a.status = 'pending_settlement'
              AND a.settles_on > coalesce((SELECT max(day) FROM settlement_run), '-infinity')))
  UNION ALL
  SELECT 'received', a.number, NULL, NULL FROM application a
   WHERE a.id IS DISTINCT FROM but AND a.account_id <> who
     AND (a.status = 'in_review'
          OR (a.status = 'pending_settlement'
              AND a.settles_on > coalesce((SELECT max(day) FROM settlement_run), '-infinity')))
     AND (EXISTS (SELECT FROM application_party p WHERE p.application_id = a.id AND p.account_id = who)
          OR EXISTS (SELECT FROM application_line l WHERE l.application_id = a.id AND l.account_id = who))
  UNION ALL
  SELECT 'notice', n.number, n.obligation - coalesce(s.surrendered, 0), n.id
    FROM notice n
    LEFT JOIN LATERAL (SELECT sum(u.surrendered)::bigint AS surrendered FROM notice_surrender u
                        WHERE u.notice_id = n.id) s ON true
   WHERE n.account_id = who AND n.withdrawn_at IS NULL AND n.obligation > coalesce(s.surrendered, 0)
  UNION ALL
  SELECT 'court', a.number, c.quantity - c.ended, NULL
    FROM court_order c JOIN application a ON a.id = c.application_id
   WHERE c.account_id = who AND c.ended < c.quantity
  UNION ALL
  SELECT 'claim', a.number, d.remaining, NULL
    FROM application a JOIN application_line l ON l.application_id = a.id JOIN line_draw d ON d.line_id = l.id
   WHERE a.kind = 'allowance_claim' AND a.status = 'approved' AND a.account_id = who AND d.remaining > 0
  UNION ALL
  SELECT 'waiting', i.code, w.remaining, i.id
    FROM waiting_line w JOIN instrument i ON i.id = w.instrument_id
   WHERE w.account_id = who AND w.remaining > 0
  UNION ALL
  SELECT 'offset', u.serial, u.quantity, NULL FROM offset_unit u
   WHERE u.account_id = who AND u.state NOT IN ('registered', 'released')
  UNION ALL
  SELECT 'receivable', i.code, r.owed, i.id
    FROM open_receivable r JOIN instrument i ON i.id = r.instrument_id WHERE r.account_id = who
  UNION ALL
  SELECT 'pledge', p.number, sum(p.remaining)::bigint, NULL FROM pledge_line p
   WHERE p.account_id = who AND p.remaining > 0 GROUP BY p.number
  UNION ALL
  SELECT 'difference', d.id::text, NULL, NULL FROM open_difference d WHERE d.account_id = who
$$;
