-- As in 0020; of the sectors of an enterprise the one with the highest limit counts.
CREATE OR REPLACE FUNCTION find_large_holdings(asked date, moment timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  counted integer;
BEGIN
  PERFORM pg_advisory_xact_lock(7260020);  -- A second search waits for the first one.
  IF EXISTS (SELECT FROM large_holding_run WHERE day = asked) THEN
    RETURN NULL;
  END IF;
  WITH own AS (
         SELECT h.account_id, i.vintage,
                sum(h.available + h.reserved + h.frozen + h.pending_to_trading + h.trading
                    + h.pending_to_registry + h.custody + h.in_return)::bigint AS quantity
           FROM holding h
           JOIN instrument i ON i.id = h.instrument_id AND i.kind = 'allowance'
           JOIN account a ON a.id = h.account_id AND a.kind = 'enterprise'
          GROUP BY h.account_id, i.vintage),
       grouped AS (
         SELECT own.account_id, own.vintage, own.quantity,
                coalesce(g.head_id, own.account_id) AS head_id
           FROM own LEFT JOIN company_group_member g
             ON g.account_id = own.account_id AND g.starts_on <= asked
            AND coalesce(g.ends_on > asked, true)
          UNION ALL  -- A head that holds nothing itself is told of its group all the same.
         SELECT DISTINCT g.head_id, own.vintage, 0::bigint, g.head_id
           FROM own JOIN company_group_member g
             ON g.account_id = own.account_id AND g.starts_on <= asked
            AND coalesce(g.ends_on > asked, true)
          WHERE NOT EXISTS (SELECT FROM own h
                             WHERE h.account_id = g.head_id AND h.vintage = own.vintage)),
       whole AS (
         SELECT head_id, vintage, sum(quantity)::bigint AS total FROM grouped GROUP BY 1, 2),
       above AS (
         SELECT w.*, l.quantity AS most
           FROM whole w JOIN account h ON h.id = w.head_id
          CROSS JOIN LATERAL (
                SELECT v.quantity FROM holding_limit v
                 WHERE v.vintage = w.vintage
                   AND (v.sector = 'all'
                        OR EXISTS (SELECT FROM account_sector s
                                    WHERE s.account_id = h.id AND s.sector = v.sector
                                      AND s.starts_on <= asked AND coalesce(s.ends_on > asked, true)))
                   AND v.valid_from <= asked AND coalesce(v.disabled_from > asked, true)
                   AND NOT EXISTS (SELECT FROM holding_limit later
                                    WHERE later.vintage = v.vintage AND later.sector = v.sector
                                      AND later.valid_from <= asked AND later.valid_from > v.valid_from
                                      AND coalesce(later.disabled_from > asked, true))
                 ORDER BY v.sector = 'all', v.quantity DESC LIMIT 1) l
          WHERE w.total > l.quantity)
  INSERT INTO large_holding (day, account_id, vintage, head_id, quantity, total, most, since)
  SELECT asked, g.account_id, g.vintage, g.head_id, g.quantity, e.total, e.most,
         coalesce((SELECT p.since FROM large_holding p
                    WHERE p.account_id = g.account_id AND p.vintage = g.vintage
                      AND p.day = (SELECT max(r.day) FROM large_holding_run r WHERE r.day < asked)),
                  asked)
    FROM grouped g JOIN above e USING (head_id, vintage)
   WHERE g.quantity > 0 OR g.account_id = g.head_id;
  GET DIAGNOSTICS counted = ROW_COUNT;
  INSERT INTO large_holding_run (day, due_on, found, found_at)
  SELECT asked, min(t.day), counted, moment FROM trading_day t WHERE t.is_trading AND t.day > asked;
  RETURN counted;
END $$;
