-- Refused where another enterprise has supplied something: that cannot be taken back.
DROP TRIGGER assisted_surrenders_keep_within ON application;
DROP FUNCTION assisted_surrenders_keep_within();
ALTER TABLE application
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'surrender_refund', 'commission', 'offset')));
DROP FUNCTION notice_state(bigint, bigint, timestamptz, timestamptz, timestamptz, timestamptz);
DROP VIEW plan_use, notice_surrender, notice_surrender_line;
CREATE VIEW notice_surrender_line AS
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

-- The same by notice; one of which nothing is surrendered or pending has no row.  Name the notices by
-- `notice_id = ANY(...)`: a join does not reach beneath GROUP BY, and all notices would be added up.
CREATE VIEW notice_surrender AS
SELECT notice_id, sum(surrendered)::bigint AS surrendered, sum(pending)::bigint AS pending,
       coalesce(sum(surrendered) FILTER (WHERE is_offset), 0)::bigint AS offset_surrendered,
       coalesce(sum(pending) FILTER (WHERE is_offset), 0)::bigint AS offset_pending
  FROM notice_surrender_line GROUP BY notice_id;

CREATE VIEW plan_use AS
SELECT n.year, n.sector, (CASE WHEN l.is_offset THEN 'offset' ELSE i.kind END)::varchar(20) AS kind, i.vintage,
       l.notice_id, n.obligation, sum(l.surrendered + l.pending)::bigint AS quantity
  FROM notice_surrender_line l
  JOIN notice n ON n.id = l.notice_id
  LEFT JOIN instrument i ON i.id = l.instrument_id
 GROUP BY n.year, n.sector, 3, i.vintage, l.notice_id, n.obligation
HAVING sum(l.surrendered + l.pending) > 0;
