-- 清缴退还 of what was commissioned, supplied by a helper or pledged (rules-2026 N54; docs/adr/0100).
-- Which kind takes back which; nothing else does.
CREATE FUNCTION refunds(refund text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE refund WHEN 'surrender_refund' THEN 'surrender' WHEN 'refund_of_commission' THEN 'commission'
                   WHEN 'refund_to_helper' THEN 'assisted_surrender'
                   WHEN 'refund_to_pledge' THEN 'pledge_surrender' END;
CREATE FUNCTION is_refund(kind text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN refunds(kind) IS NOT NULL;

-- As in 0039, with these refunds.
CREATE OR REPLACE VIEW notice_surrender_line AS
SELECT a.notice_id, l.instrument_id, false AS is_offset,
       CASE WHEN a.status <> 'approved' THEN 0
            WHEN a.kind IN ('surrender', 'commission', 'assisted_surrender', 'pledge_surrender',
                            'court_surrender') THEN l.quantity
            ELSE -l.quantity END AS surrendered,
       CASE WHEN a.status = 'in_review'
             AND a.kind IN ('surrender', 'commission', 'assisted_surrender', 'pledge_surrender',
                            'court_surrender')
            THEN l.quantity ELSE 0 END AS pending,
       CASE WHEN a.status = 'approved'
             AND a.kind IN ('surrender', 'commission', 'assisted_surrender', 'pledge_surrender',
                            'court_surrender')
             AND l.quantity > (SELECT coalesce(sum(r.quantity), 0)
                                 FROM application_line r JOIN application t ON t.id = r.application_id
                                WHERE r.source_line_id = l.id AND t.status = 'approved')
            THEN a.submitted_at END AS counted_at,
       -- A refund belongs to the submission of the line that it takes back.
       coalesce((SELECT t.submitted_at FROM application_line r JOIN application t ON t.id = r.application_id
                  WHERE r.id = l.source_line_id AND is_refund(a.kind)), a.submitted_at) AS submitted_at
  FROM application a
  JOIN application_line l ON l.application_id = a.id
 WHERE a.notice_id IS NOT NULL AND a.status IN ('in_review', 'approved')
UNION ALL
SELECT a.notice_id, NULL::integer, true,
       CASE WHEN u.state = 'registered' THEN u.quantity ELSE 0 END,
       CASE WHEN u.state = 'registered' THEN 0 ELSE u.quantity END,
       CASE WHEN u.state = 'registered' THEN a.submitted_at END, a.submitted_at
  FROM application a
  JOIN offset_unit u ON u.application_id = a.id
 WHERE a.notice_id IS NOT NULL
   AND u.state IN ('in_application', 'approved', 'cancel_ordered', 'cancelled', 'registered');

ALTER TABLE application
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'assisted_surrender', 'surrender_refund', 'commission',
                                         'offset', 'pledge_surrender', 'court_surrender', 'refund_of_commission',
                                         'refund_to_helper', 'refund_to_pledge')));

-- As in 0028; what was surrendered out of a pledge and refunded is pledged again, and nothing is left of what was
-- revoked.
CREATE OR REPLACE VIEW line_draw AS
SELECT s.id AS line_id, s.application_id, s.instrument_id, s.quantity, d.drawn + n.netted - g.given AS drawn, d.pending,
       CASE WHEN o.revoked_by_id IS NOT NULL THEN d.drawn + n.netted ELSE s.quantity END
       - d.drawn - n.netted + g.given - d.pending AS remaining
  FROM application_line s
  JOIN application o ON o.id = s.application_id
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(l.quantity) FILTER (WHERE a.status = 'approved'), 0)::bigint AS drawn,
              coalesce(sum(l.quantity) FILTER (WHERE a.status <> 'approved'), 0)::bigint AS pending
         FROM application_line l JOIN application a ON a.id = l.application_id
        WHERE l.source_line_id = s.id
          AND a.status IN ('in_review', 'pending_settlement', 'approved')) AS d
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(c.quantity), 0)::bigint AS netted FROM claim_netting c
        WHERE c.claim_line_id = s.id) AS n
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(r.quantity), 0)::bigint AS given
         FROM application_line l
         JOIN application_line r ON r.source_line_id = l.id
         JOIN application a ON a.id = r.application_id
        WHERE l.source_line_id = s.id AND a.kind = 'refund_to_pledge' AND a.status = 'approved') AS g;

-- As in 0034, but that a refund of what was surrendered out of a pledge draws on that surrender.
CREATE OR REPLACE FUNCTION pledges_keep_within() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  wrong record;
BEGIN
  SELECT n.number, pledge_fault(n.id) AS fault INTO wrong
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.kind LIKE 'pledge%' AND n.status <> o.status AND n.status IN ('in_review', 'approved')
     AND pledge_fault(n.id) IS NOT NULL
   LIMIT 1;
  IF NOT FOUND THEN
    SELECT n.number, 'draws on what is pledged' AS fault INTO wrong
      FROM new_application n JOIN old_application o USING (id)
      JOIN application_line l ON l.application_id = n.id AND l.source_line_id IS NOT NULL
      JOIN application_line s ON s.id = l.source_line_id
      JOIN application p ON p.id = s.application_id
     WHERE n.kind NOT LIKE 'pledge%' AND n.status <> o.status AND n.status IN ('in_review', 'approved')
       AND p.kind LIKE 'pledge%' AND (n.kind, p.kind) <> ('refund_to_pledge', 'pledge_surrender')
     LIMIT 1;
  END IF;
  IF wrong.fault IS NOT NULL THEN
    RAISE EXCEPTION 'application % %', wrong.number, wrong.fault
      USING ERRCODE = 'check_violation', CONSTRAINT = 'pledges_keep_within';
  END IF;
  RETURN NULL;
END $$;
