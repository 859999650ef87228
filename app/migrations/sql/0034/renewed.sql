-- As in 0031, with what is surrendered out of a pledge (rules-2026 N113).
CREATE OR REPLACE VIEW notice_surrender_line AS
SELECT a.notice_id, l.instrument_id, false AS is_offset,
       CASE WHEN a.status <> 'approved' THEN 0
            WHEN a.kind IN ('surrender', 'commission', 'assisted_surrender', 'pledge_surrender') THEN l.quantity
            ELSE -l.quantity END AS surrendered,
       CASE WHEN a.status = 'in_review'
             AND a.kind IN ('surrender', 'commission', 'assisted_surrender', 'pledge_surrender')
            THEN l.quantity ELSE 0 END AS pending,
       CASE WHEN a.status = 'approved'
             AND a.kind IN ('surrender', 'commission', 'assisted_surrender', 'pledge_surrender')
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

ALTER TABLE application
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'assisted_surrender', 'surrender_refund', 'commission',
                                         'offset', 'pledge_surrender')));

-- As in 0031; what is pledged is surrendered for the holder's own notice, within the same limits.
CREATE OR REPLACE FUNCTION assisted_surrenders_keep_within() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  moved bigint[];
  notices integer[];
  wrong bigint;
BEGIN
  SELECT array_agg(n.id), array_agg(DISTINCT n.notice_id) INTO moved, notices
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.kind IN ('assisted_surrender', 'pledge_surrender') AND n.status <> o.status
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
     AND ((n.account_id = a.account_id) <> (a.kind = 'pledge_surrender') OR n.withdrawn_at IS NOT NULL
          OR u.surrendered + CASE a.status WHEN 'in_review' THEN u.pending ELSE 0 END > n.obligation
          OR EXISTS (SELECT FROM application_line l JOIN instrument i ON i.id = l.instrument_id
                      WHERE l.application_id = a.id
                        AND (coalesce(l.account_id, a.account_id) <> n.account_id OR i.kind <> 'allowance'
                             OR (i.vintage = ANY(p.vintages)) IS NOT TRUE)))
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'application % supplies what its notice does not ask for', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'surrender_stays_within';
  END IF;
  RETURN NULL;
END $$;

-- As in 0030, with surrenders of what is pledged.
CREATE OR REPLACE FUNCTION offsets_follow() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  submitted bigint[];
  approved bigint[];
  freed bigint[];
  concerned bigint[];
  wanted integer;
  found_units integer;
  wrong bigint;
BEGIN
  SELECT array_agg(n.id) FILTER (WHERE n.status = 'in_review'),
         array_agg(n.id) FILTER (WHERE n.status = 'approved'),
         array_agg(n.id) FILTER (WHERE n.status IN ('returned', 'withdrawn') AND o.status = 'in_review')
    INTO submitted, approved, freed
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.kind = 'offset' AND n.status <> o.status;
  concerned := submitted || approved || freed;
  IF concerned IS NULL THEN
    PERFORM require_surrenders_fit(array_agg(n.id) FILTER (WHERE n.kind IN ('surrender', 'assisted_surrender',
                                                                         'commission', 'pledge_surrender'))),
            answer_offset_bindings(array_agg(n.id) FILTER (WHERE n.kind = 'offset_binding'))
       FROM new_application n JOIN old_application o USING (id)
      WHERE n.kind IN ('surrender', 'assisted_surrender', 'commission', 'pledge_surrender', 'offset_binding')
        AND n.status <> o.status AND n.status = 'approved';
    RETURN NULL;
  END IF;
  PERFORM FROM offset_unit
    WHERE id IN (SELECT unit_id FROM offset_claim WHERE application_id = ANY(concerned))
    ORDER BY id FOR UPDATE;

  SELECT count(*) INTO wanted FROM offset_claim WHERE application_id = ANY(submitted);
  UPDATE offset_unit u
     SET state = 'in_application', application_id = c.application_id, changed_at = offset_acted(c.application_id)
    FROM offset_claim c
   WHERE c.application_id = ANY(submitted) AND u.id = c.unit_id AND u.state = 'frozen'
     AND (u.account_id, u.quantity, u.serial) = (c.account_id, c.quantity, c.serial);
  GET DIAGNOSTICS found_units = ROW_COUNT;
  SELECT w.id INTO wrong FROM unnest(submitted) AS w (id)
   WHERE NOT EXISTS (SELECT FROM offset_claim c WHERE c.application_id = w.id) LIMIT 1;
  IF found_units <> wanted OR wrong IS NOT NULL THEN
    RAISE EXCEPTION 'a unit of these applications is not free, or is another one than was named'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_units_are_free';
  END IF;

  UPDATE offset_unit SET state = 'approved', changed_at = offset_acted(application_id)
   WHERE application_id = ANY(approved) AND state = 'in_application';
  GET DIAGNOSTICS found_units = ROW_COUNT;
  SELECT count(*) INTO wanted FROM offset_claim WHERE application_id = ANY(approved);
  IF found_units <> wanted THEN
    RAISE EXCEPTION 'a unit of these applications is not held by them'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_units_are_free';
  END IF;
  PERFORM require_offsets_fit(submitted || approved);
  UPDATE offset_unit SET state = 'registered'
   WHERE application_id = ANY(approved) AND state = 'approved' AND is_cancelled_before;
  PERFORM order_offset_messages('cancel', array_agg(id)) FROM offset_unit
    WHERE application_id = ANY(approved) AND state = 'approved';

  UPDATE offset_unit SET state = 'frozen', application_id = NULL, changed_at = offset_acted(application_id)
   WHERE application_id = ANY(freed) AND state = 'in_application' AND is_cancelled_before;
  UPDATE offset_unit SET state = 'release_ordered', changed_at = offset_acted(application_id)
   WHERE application_id = ANY(freed) AND state = 'in_application';
  PERFORM order_offset_messages('release', array_agg(id)) FROM offset_unit
    WHERE application_id = ANY(freed) AND state = 'release_ordered';
  RETURN NULL;
END $$;

-- As in 0032, with pledges in force (N117).
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

-- As in 0032, with the right to pledge (N125).
CREATE OR REPLACE FUNCTION right_of_kind(kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE kind
    WHEN 'issuance' THEN 'issue'
    WHEN 'notice' THEN 'comply' WHEN 'surrender' THEN 'comply' WHEN 'commission' THEN 'comply'
    WHEN 'offset' THEN 'comply' WHEN 'carry_over' THEN 'comply'
    WHEN 'registry_to_trading' THEN 'trade' WHEN 'exchange_registry_to_trading' THEN 'trade'
    WHEN 'voluntary_cancellation' THEN 'cancel'
    WHEN 'pledge' THEN 'pledge' WHEN 'pledge_note' THEN 'pledge' WHEN 'pledge_surrender' THEN 'comply'
  END
$$;
