-- As in 0030, with what another enterprise supplies (协助清缴), and when a line that still counts was
-- submitted: a refund takes its line back to nothing, or leaves a part of it.
CREATE OR REPLACE VIEW notice_surrender_line AS
SELECT a.notice_id, l.instrument_id, false AS is_offset,
       CASE WHEN a.status <> 'approved' THEN 0
            WHEN a.kind IN ('surrender', 'commission', 'assisted_surrender') THEN l.quantity
            ELSE -l.quantity END AS surrendered,
       CASE WHEN a.status = 'in_review' AND a.kind IN ('surrender', 'commission', 'assisted_surrender')
            THEN l.quantity ELSE 0 END AS pending,
       CASE WHEN a.status = 'approved' AND a.kind IN ('surrender', 'commission', 'assisted_surrender')
             AND l.quantity > (SELECT coalesce(sum(r.quantity), 0)
                                 FROM application_line r JOIN application t ON t.id = r.application_id
                                WHERE r.source_line_id = l.id AND t.status = 'approved')
            THEN a.submitted_at END AS counted_at,
       -- A refund belongs to the submission of the line that it takes back.
       coalesce((SELECT t.submitted_at FROM application_line r JOIN application t ON t.id = r.application_id
                  WHERE r.id = l.source_line_id AND a.kind = 'surrender_refund'), a.submitted_at) AS submitted_at
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

CREATE OR REPLACE VIEW notice_surrender AS
SELECT notice_id, sum(surrendered)::bigint AS surrendered, sum(pending)::bigint AS pending,
       coalesce(sum(surrendered) FILTER (WHERE is_offset), 0)::bigint AS offset_surrendered,
       coalesce(sum(pending) FILTER (WHERE is_offset), 0)::bigint AS offset_pending,
       max(counted_at) AS last_at
  FROM notice_surrender_line GROUP BY notice_id;

-- The state of a notice (N61), everywhere.  In time is what was submitted by the deadline and is
-- approved since; `last_at` is the submission of the last surrender that counts.
CREATE FUNCTION notice_state(obligation bigint, surrendered bigint, last_at timestamptz,
                             deadline timestamptz, withdrawn_at timestamptz, moment timestamptz)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN withdrawn_at IS NOT NULL THEN 'withdrawn'
            WHEN surrendered >= obligation AND last_at > deadline THEN 'late'
            WHEN surrendered >= obligation THEN 'fulfilled'
            WHEN deadline < moment THEN 'overdue'
            WHEN surrendered > 0 THEN 'partial'
            ELSE 'due' END;

ALTER TABLE application
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'assisted_surrender', 'surrender_refund', 'commission',
                                         'offset')));

-- What another enterprise supplies for a notice: allowances that its plan accepts, to the enterprise
-- that the notice is about, never its own, and together with all else never beyond the obligation.
CREATE FUNCTION assisted_surrenders_keep_within() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  moved bigint[];
  notices integer[];
  wrong bigint;
BEGIN
  SELECT array_agg(n.id), array_agg(DISTINCT n.notice_id) INTO moved, notices
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.kind = 'assisted_surrender' AND n.status <> o.status
     AND n.status IN ('in_review', 'approved');
  IF moved IS NULL THEN
    RETURN NULL;
  END IF;
  -- Whoever comes second waits here, and then sees what the first one has supplied.
  PERFORM FROM notice WHERE id = ANY(notices) ORDER BY id FOR NO KEY UPDATE;
  PERFORM FROM plan p
    WHERE EXISTS (SELECT FROM notice n
                   WHERE n.id = ANY(notices) AND n.year = p.year AND n.sector = p.sector)
    ORDER BY p.id FOR SHARE;
  SELECT a.id INTO wrong
    FROM application a
    JOIN notice n ON n.id = a.notice_id
    JOIN notice_surrender u ON u.notice_id = n.id
   CROSS JOIN LATERAL (
         SELECT (coalesce(max(v.at), a.submitted_at) AT TIME ZONE 'Asia/Shanghai')::date AS day
           FROM application_event v WHERE v.application_id = a.id) AS acted
    LEFT JOIN LATERAL plan_on(n.year, n.sector, acted.day) p ON true
   WHERE a.id = ANY(moved) AND u.notice_id = ANY(notices)
     AND (n.account_id = a.account_id OR n.withdrawn_at IS NOT NULL
          OR u.surrendered + CASE a.status WHEN 'in_review' THEN u.pending ELSE 0 END > n.obligation
          OR EXISTS (SELECT FROM application_line l JOIN instrument i ON i.id = l.instrument_id
                      WHERE l.application_id = a.id
                        AND (l.account_id IS DISTINCT FROM n.account_id OR i.kind <> 'allowance'
                             OR (i.vintage = ANY(p.vintages)) IS NOT TRUE)))
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'application % supplies what its notice does not ask for', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'surrender_stays_within';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER assisted_surrenders_keep_within AFTER UPDATE ON application
  REFERENCING OLD TABLE AS old_application NEW TABLE AS new_application
  FOR EACH STATEMENT EXECUTE FUNCTION assisted_surrenders_keep_within();
