-- As in 0029: surrenders and their refunds alone count.
CREATE OR REPLACE FUNCTION carry_over_figures(asked integer, day date, only_account integer DEFAULT NULL)
RETURNS TABLE (
  account_id integer, sectors text, base bigint, factor numeric, sold bigint, bought bigint,
  available bigint, trading bigint, in_transit bigint, frozen_judicial bigint, frozen_other bigint,
  reserved bigint, custody bigint, holding bigint, quota bigint, refusal text, unfulfilled text)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  WITH r AS MATERIALIZED (SELECT * FROM carry_over_round WHERE id = asked),
       source AS MATERIALIZED (
         SELECT i.id FROM instrument i, r WHERE i.kind = 'allowance' AND i.vintage = ANY(r.vintages)),
       held AS MATERIALIZED (
         SELECT e.account_id,
                sum(e.delta) FILTER (WHERE e.bucket = 1) AS available,
                sum(e.delta) FILTER (WHERE e.bucket = 2) AS reserved,
                sum(e.delta) FILTER (WHERE e.bucket = 3) AS frozen,
                sum(e.delta) FILTER (WHERE e.bucket IN (4, 6)) AS in_transit,
                sum(e.delta) FILTER (WHERE e.bucket = 5) AS trading,
                sum(e.delta) FILTER (WHERE e.bucket IN (7, 8)) AS custody
           FROM entry e
          WHERE e.instrument_id IN (SELECT id FROM source) AND e.at <= (SELECT held_at FROM r)
            AND (only_account IS NULL OR e.account_id = only_account)
          GROUP BY e.account_id),
       -- Courts' orders, and freezes of the category 司法冻结 of before them.
       judicial AS MATERIALIZED (
         SELECT w.account_id, sum(w.quantity) AS quantity
           FROM (SELECT c.account_id, e.instrument_id, e.quantity, e.at
                   FROM court_effect e JOIN court_order c ON c.application_id = e.order_id
                 UNION ALL
                 SELECT a.account_id, m.instrument_id,
                        CASE WHEN m.to_bucket = 3 THEN m.quantity ELSE -m.quantity END, m.at
                   FROM application a JOIN posting p ON p.application_id = a.id
                   JOIN movement m ON m.posting_id = p.id
                  WHERE a.kind = 'freeze' AND a.category = 'judicial'
                 UNION ALL
                 SELECT u.account_id, l.instrument_id, -l.quantity, v.at
                   FROM application u
                   JOIN application_event v ON v.application_id = u.id AND v.status = 'approved'
                   JOIN application_line l ON l.application_id = u.id
                   JOIN application_line s ON s.id = l.source_line_id
                   JOIN application f ON f.id = s.application_id
                  WHERE u.kind = 'unfreeze' AND u.status = 'approved' AND f.category = 'judicial') w
          WHERE w.instrument_id IN (SELECT id FROM source) AND w.at <= (SELECT held_at FROM r)
            AND (only_account IS NULL OR w.account_id = only_account)
          GROUP BY w.account_id),
       dealt AS MATERIALIZED (
         SELECT t.buyer_id, t.seller_id, t.quantity
           FROM trade t JOIN day_package p ON p.id = t.package_id
           JOIN trade_delivery d ON d.trade_id = t.id, r
          WHERE p.day BETWEEN r.sold_from AND r.sold_until
            AND t.instrument_id IN (SELECT id FROM source)
            AND (only_account IS NULL OR only_account IN (t.buyer_id, t.seller_id))),
       sale AS MATERIALIZED (
         SELECT w.account_id, sum(w.sold) AS sold, sum(w.bought) AS bought
           FROM (SELECT seller_id AS account_id, quantity AS sold, 0::bigint AS bought FROM dealt
                 UNION ALL SELECT buyer_id, 0, quantity FROM dealt) w
          GROUP BY w.account_id),
       planned AS MATERIALIZED (
         SELECT DISTINCT ON (p.year, p.sector) p.* FROM plan p
          WHERE p.starts_on <= $2 ORDER BY p.year, p.sector, p.id DESC),
       based AS MATERIALIZED (
         SELECT s.account_id, string_agg(DISTINCT s.sector, ',' ORDER BY s.sector) AS sectors,
                CASE (SELECT base_rule FROM r) WHEN 'sum' THEN sum(p.carry_over_base)::bigint
                     ELSE max(p.carry_over_base) END AS base,
                max(p.carry_over_factor) AS factor
           FROM account_sector s
          CROSS JOIN r
           JOIN planned p ON p.year = r.plan_year AND p.sector = s.sector
            AND p.carry_over_base IS NOT NULL AND p.carry_over_factor IS NOT NULL
          WHERE s.starts_on <= (r.held_at AT TIME ZONE 'Asia/Shanghai')::date
            AND coalesce(s.ends_on > (r.held_at AT TIME ZONE 'Asia/Shanghai')::date, true)
            AND (only_account IS NULL OR s.account_id = only_account)
          GROUP BY s.account_id),
       due AS MATERIALIZED (
         SELECT n.account_id, n.number, n.obligation, p.surrender_by, n.id
           FROM notice n CROSS JOIN r LEFT JOIN planned p ON p.year = n.year AND p.sector = n.sector
          WHERE n.withdrawn_at IS NULL AND n.year = ANY(r.years)
            AND (only_account IS NULL OR n.account_id = only_account)),
       given AS MATERIALIZED (
         SELECT d.id, sum(CASE WHEN a.kind = 'surrender_refund' THEN -l.quantity
                               WHEN a.submitted_at <= d.surrender_by THEN l.quantity ELSE 0 END) AS quantity
           FROM due d JOIN application a ON a.notice_id = d.id
           JOIN application_line l ON l.application_id = a.id
          WHERE a.kind IN ('surrender', 'surrender_refund') AND a.status = 'approved'
          GROUP BY d.id),
       fulfilment AS MATERIALIZED (
         SELECT d.account_id,
                min(d.number) FILTER (WHERE coalesce(g.quantity, 0) < d.obligation) AS unfulfilled
           FROM due d LEFT JOIN given g ON g.id = d.id GROUP BY d.account_id),
       figure AS (
         SELECT c.id AS account_id, b.sectors, b.base, b.factor,
                coalesce(s.sold, 0)::bigint AS sold, coalesce(s.bought, 0)::bigint AS bought,
                coalesce(h.available, 0)::bigint AS available, coalesce(h.trading, 0)::bigint AS trading,
                coalesce(h.in_transit, 0)::bigint AS in_transit,
                coalesce(j.quantity, 0)::bigint AS frozen_judicial,
                (coalesce(h.frozen, 0) - coalesce(j.quantity, 0))::bigint AS frozen_other,
                coalesce(h.reserved, 0)::bigint AS reserved, coalesce(h.custody, 0)::bigint AS custody,
                (coalesce(h.available, 0) + coalesce(h.trading, 0) + coalesce(h.in_transit, 0)
                 + coalesce(j.quantity, 0))::bigint AS holding,
                f.account_id IS NOT NULL AS was_due, f.unfulfilled
           FROM account c
           LEFT JOIN based b ON b.account_id = c.id
           LEFT JOIN held h ON h.account_id = c.id
           LEFT JOIN judicial j ON j.account_id = c.id
           LEFT JOIN sale s ON s.account_id = c.id
           LEFT JOIN fulfilment f ON f.account_id = c.id
          WHERE c.kind = 'enterprise' AND (only_account IS NULL OR c.id = only_account)),
       said AS (
         SELECT f.*, coalesce(least(floor(f.base + f.factor * greatest(f.sold - f.bought, 0)), f.holding),
                              0)::bigint AS quota
           FROM figure f)
  SELECT s.account_id, coalesce(s.sectors, ''), coalesce(s.base, 0), coalesce(s.factor, 0), s.sold, s.bought,
         s.available, s.trading, s.in_transit, s.frozen_judicial, s.frozen_other, s.reserved, s.custody,
         s.holding, s.quota,
         CASE WHEN s.base IS NULL THEN 'no_base'
              WHEN NOT s.was_due THEN 'not_due'
              WHEN s.unfulfilled IS NOT NULL THEN 'unfulfilled'
              WHEN s.quota <= 0 THEN 'nothing_held' END,
         s.unfulfilled
    FROM said s
$$;

-- As in 0032: every transfer that was ever settled is in the way.
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
     AND a.status IN ('in_review', 'pending_settlement')
  UNION ALL
  SELECT 'received', a.number, NULL, NULL FROM application a
   WHERE a.status IN ('in_review', 'pending_settlement') AND a.id IS DISTINCT FROM but AND a.account_id <> who
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
