-- As in 0029; fulfilled in time counts whatever notices count (N66): what the enterprise surrendered, another
-- one supplied, the registry surrendered by commission, and CCER, each by the day of its submission.
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
         SELECT d.id, sum(l.surrendered) AS quantity
           FROM due d JOIN notice_surrender_line l ON l.notice_id = d.id AND l.submitted_at <= d.surrender_by
          WHERE l.notice_id = ANY((SELECT array_agg(id) FROM due)::integer[])
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
