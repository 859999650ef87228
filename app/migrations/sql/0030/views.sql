ALTER TABLE application
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'surrender_refund', 'commission', 'offset')));

-- As before, with CCER by mirrored units instead of lines: pending from the application on, surrendered once
-- its cancellation is confirmed (N81).  Such a row has no instrument.
CREATE OR REPLACE VIEW notice_surrender_line AS
SELECT a.notice_id, l.instrument_id, false AS is_offset,
       CASE WHEN a.status <> 'approved' THEN 0
            WHEN a.kind IN ('surrender', 'commission') THEN l.quantity ELSE -l.quantity END AS surrendered,
       CASE WHEN a.status = 'in_review' AND a.kind IN ('surrender', 'commission') THEN l.quantity
            ELSE 0 END AS pending
  FROM application a
  JOIN application_line l ON l.application_id = a.id
 WHERE a.notice_id IS NOT NULL AND a.status IN ('in_review', 'approved')
UNION ALL
SELECT a.notice_id, NULL::integer, true,
       CASE WHEN u.state = 'registered' THEN u.quantity ELSE 0 END,
       CASE WHEN u.state = 'registered' THEN 0 ELSE u.quantity END
  FROM application a
  JOIN offset_unit u ON u.application_id = a.id
 WHERE a.notice_id IS NOT NULL
   AND u.state IN ('in_application', 'approved', 'cancel_ordered', 'cancelled', 'registered');

-- What is approved and not yet confirmed will count, whatever happens: no obligation sinks beneath it.
CREATE VIEW offset_under_way AS
SELECT a.notice_id, sum(u.quantity)::bigint AS quantity
  FROM application a JOIN offset_unit u ON u.application_id = a.id
 WHERE a.notice_id IS NOT NULL AND u.state IN ('approved', 'cancel_ordered', 'cancelled')
 GROUP BY a.notice_id;

CREATE OR REPLACE FUNCTION obligation_covers_surrendered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.obligation < coalesce((SELECT surrendered FROM notice_surrender WHERE notice_id = NEW.id), 0)
                      + coalesce((SELECT quantity FROM offset_under_way WHERE notice_id = NEW.id), 0) THEN
    RAISE EXCEPTION 'notice % has more surrendered than it would ask for', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'obligation_covers_surrendered';
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE VIEW plan_use AS
SELECT n.year, n.sector, (CASE WHEN l.is_offset THEN 'offset' ELSE i.kind END)::varchar(20) AS kind, i.vintage,
       l.notice_id, n.obligation, sum(l.surrendered + l.pending)::bigint AS quantity
  FROM notice_surrender_line l
  JOIN notice n ON n.id = l.notice_id
  LEFT JOIN instrument i ON i.id = l.instrument_id
 GROUP BY n.year, n.sector, 3, i.vintage, l.notice_id, n.obligation
HAVING sum(l.surrendered + l.pending) > 0;
