-- 司法冻结配额清缴 (rules-2026 N105; docs/adr/0099).  Quantities in tonnes.

-- As in 0034, with what is surrendered out of a court's freeze.
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
                                         'offset', 'pledge_surrender', 'court_surrender'))),
  DROP CONSTRAINT court_acts_by_document,
  -- A holder surrenders by the court's consent, which is served on nobody.
  ADD CONSTRAINT court_acts_by_document CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind NOT LIKE 'court\_%'
    OR (document_no <> '' AND authority <> '' AND (proposal ? 'served_at' OR kind = 'court_surrender')));

-- As in 0034; what a court froze is surrendered for the holder's own notice, within the same limits.
CREATE OR REPLACE FUNCTION assisted_surrenders_keep_within() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  moved bigint[];
  notices integer[];
  wrong bigint;
BEGIN
  SELECT array_agg(n.id), array_agg(DISTINCT n.notice_id) INTO moved, notices
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.kind IN ('assisted_surrender', 'pledge_surrender', 'court_surrender') AND n.status <> o.status
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
     AND ((n.account_id = a.account_id) <> (a.kind IN ('pledge_surrender', 'court_surrender')) OR n.withdrawn_at IS NOT NULL
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

-- As in 0034, with surrenders of what a court froze.
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
                                                                         'commission', 'pledge_surrender',
                                                                         'court_surrender'))),
            answer_offset_bindings(array_agg(n.id) FILTER (WHERE n.kind = 'offset_binding'))
       FROM new_application n JOIN old_application o USING (id)
      WHERE n.kind IN ('surrender', 'assisted_surrender', 'commission', 'pledge_surrender', 'court_surrender',
                       'offset_binding')
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

-- As in 0034.
CREATE OR REPLACE FUNCTION right_of_kind(kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE kind
    WHEN 'issuance' THEN 'issue'
    WHEN 'notice' THEN 'comply' WHEN 'surrender' THEN 'comply' WHEN 'commission' THEN 'comply'
    WHEN 'offset' THEN 'comply' WHEN 'carry_over' THEN 'comply'
    WHEN 'registry_to_trading' THEN 'trade' WHEN 'exchange_registry_to_trading' THEN 'trade'
    WHEN 'voluntary_cancellation' THEN 'cancel'
    WHEN 'pledge' THEN 'pledge' WHEN 'pledge_note' THEN 'pledge' WHEN 'pledge_surrender' THEN 'comply'
    WHEN 'court_surrender' THEN 'comply'
  END
$$;

-- What is wrong with a surrender out of a court's freeze in the state that it has reached; NULL where
-- nothing is.  The court consents in writing, under a number, and two officers check the paper; the order
-- is one that two officers confirmed, against this account, and has frozen as much.
CREATE FUNCTION court_surrender_fault(asked bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT CASE
      WHEN btrim(a.document_no) = '' OR btrim(a.authority) = ''
           OR NOT EXISTS (SELECT FROM attachment t WHERE t.application_id = a.id) THEN
        'rests on no consent of a court'
      WHEN c.application_id IS NULL OR NOT approved_by_two(c.application_id) THEN
        'is about no order that stands'
      WHEN a.status = 'approved' AND registry_officers_of(a.id) < 2 THEN
        'is not confirmed by officers of the registry'
      WHEN a.status = 'in_review' AND EXISTS (
             SELECT FROM application_line l
               LEFT JOIN court_hold h ON h.order_id = c.application_id AND h.instrument_id = l.instrument_id
              WHERE l.application_id = a.id
              GROUP BY l.instrument_id, h.quantity HAVING sum(l.quantity) > coalesce(h.quantity, 0)) THEN
        'asks for more than its order has frozen'
    END
    FROM application a
    LEFT JOIN court_order c ON c.application_id::text = a.proposal ->> 'order' AND c.account_id = a.account_id
   WHERE a.id = asked
$$;

CREATE FUNCTION court_surrenders_keep_within() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  wrong record;
BEGIN
  SELECT n.number, court_surrender_fault(n.id) AS fault INTO wrong
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.kind = 'court_surrender' AND n.status <> o.status AND n.status IN ('in_review', 'approved')
     AND court_surrender_fault(n.id) IS NOT NULL
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'application % %', wrong.number, wrong.fault
      USING ERRCODE = 'check_violation', CONSTRAINT = 'court_surrenders_keep_within';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER court_surrenders_keep_within AFTER UPDATE ON application
  REFERENCING OLD TABLE AS old_application NEW TABLE AS new_application
  FOR EACH STATEMENT EXECUTE FUNCTION court_surrenders_keep_within();
