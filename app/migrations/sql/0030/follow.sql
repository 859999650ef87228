-- What applications for CCER and their decisions do to mirrored units, whoever writes them.

-- What an application names: its units as they were when it was entered.
CREATE VIEW offset_claim AS
SELECT a.id AS application_id, a.account_id, (e.said ->> 'unit')::bigint AS unit_id,
       (e.said ->> 'quantity')::bigint AS quantity, e.said ->> 'serial' AS serial
  FROM application a CROSS JOIN LATERAL jsonb_array_elements(a.proposal -> 'units') AS e (said)
 WHERE a.kind = 'offset' AND jsonb_typeof(a.proposal -> 'units') = 'array';

-- Writes a message of ours about units, each under a number of its own that follows from the unit.
CREATE FUNCTION order_offset_messages(what text, units bigint[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH made AS (
         INSERT INTO offset_message (direction, number, kind, account_id, unit_id, quantity, state, due_at,
                                     created_at, changed_at)
         SELECT 'out',
                'ETS-' || CASE what WHEN 'cancel' THEN 'C' ELSE 'R' END || lpad(u.id::text, 10, '0') || '-'
                || 1 + (SELECT count(*) FROM offset_message m WHERE m.unit_id = u.id AND m.kind = what),
                what, u.account_id, u.id, u.quantity, 'pending', u.changed_at, u.changed_at, u.changed_at
           FROM offset_unit u WHERE u.id = ANY(units) ORDER BY u.id
         RETURNING id, created_at)
  INSERT INTO offset_message_event (message_id, what, source, at)
  SELECT id, 'pending', 'registry', created_at FROM made ORDER BY id
$$;

-- Submitted: its units are taken, all of them, as they were named.  Approved: their cancellation is ordered;
-- old stock, which was cancelled before, counts at once.  Returned or withdrawn: their release is ordered.
CREATE FUNCTION offsets_follow() RETURNS trigger
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
                                                                         'commission'))),
            answer_offset_bindings(array_agg(n.id) FILTER (WHERE n.kind = 'offset_binding'))
       FROM new_application n JOIN old_application o USING (id)
      WHERE n.kind IN ('surrender', 'assisted_surrender', 'commission', 'offset_binding') AND n.status <> o.status AND n.status = 'approved';
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

-- When an application was last acted upon.
CREATE FUNCTION offset_acted(asked bigint) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT coalesce((SELECT max(at) FROM application_event WHERE application_id = asked), now())
$$;

-- What is surrendered with what will be once its cancellation is confirmed stays within the obligation.
CREATE FUNCTION require_surrenders_fit(asked bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  wrong integer;
BEGIN
  IF asked IS NULL THEN
    RETURN;
  END IF;
  PERFORM FROM notice WHERE id IN (SELECT notice_id FROM application WHERE id = ANY(asked))
    ORDER BY id FOR NO KEY UPDATE;
  SELECT n.id INTO wrong
    FROM notice n
   CROSS JOIN LATERAL (SELECT quantity FROM offset_under_way WHERE notice_id = n.id) w
   WHERE n.id IN (SELECT notice_id FROM application WHERE id = ANY(asked))
     AND w.quantity + coalesce((SELECT surrendered FROM notice_surrender WHERE notice_id = n.id), 0)
         > n.obligation;
  IF FOUND THEN
    RAISE EXCEPTION 'more is surrendered than notice % asks for', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'surrender_stays_within';
  END IF;
END $$;

-- N84 to N86, and N89: the share of the plan rounded down, what waits included on submission; the day of
-- registration; no project inside the boundary; nothing while the two registries differ about an enterprise.
CREATE FUNCTION require_offsets_fit(asked bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  notices integer[];
  wrong bigint;
BEGIN
  SELECT array_agg(DISTINCT notice_id) INTO notices FROM application WHERE id = ANY(asked);
  IF notices IS NULL THEN
    RETURN;
  END IF;
  PERFORM FROM notice WHERE id = ANY(notices) ORDER BY id FOR NO KEY UPDATE;
  -- Shared, so that no version follows meanwhile; what follows later sees these applications.
  PERFORM FROM plan p
    WHERE EXISTS (SELECT FROM notice n WHERE n.id = ANY(notices) AND n.year = p.year AND n.sector = p.sector)
    ORDER BY p.id FOR SHARE;
  SELECT a.id INTO wrong
    FROM application a
    LEFT JOIN notice n ON n.id = a.notice_id AND n.account_id = a.account_id AND n.withdrawn_at IS NULL
    LEFT JOIN notice_surrender s ON s.notice_id = a.notice_id AND s.notice_id = ANY(notices)
    LEFT JOIN offset_under_way w ON w.notice_id = a.notice_id AND w.notice_id = ANY(notices)
   CROSS JOIN LATERAL (SELECT (offset_acted(a.id) AT TIME ZONE 'Asia/Shanghai')::date AS day) AS acted
    LEFT JOIN LATERAL plan_on(n.year, n.sector, acted.day) p ON true
   CROSS JOIN LATERAL (
         SELECT coalesce(floor(n.obligation * p.offset_percent / 100), 0) AS most,
                -- What waits holds up a submission alone: an obligation may have sunk since.
                CASE a.status WHEN 'in_review' THEN s.surrendered + s.pending
                     ELSE s.surrendered + coalesce(w.quantity, 0) END AS in_all,
                CASE a.status WHEN 'in_review' THEN s.offset_surrendered + s.offset_pending
                     ELSE s.offset_surrendered + coalesce(w.quantity, 0) END AS offsets) AS said
   WHERE a.id = ANY(asked)
     AND (n.id IS NULL OR said.in_all > n.obligation OR said.offsets > said.most
          OR EXISTS (SELECT FROM open_offset_difference d WHERE d.account_id = a.account_id)
          OR EXISTS (
               SELECT FROM offset_unit u
                WHERE u.application_id = a.id AND u.state IN ('in_application', 'approved')
                  AND (u.in_ets
                       OR (u.registered_on < coalesce(p.offset_registered_from, date '2024-01-22')
                           AND NOT (u.is_cancelled_before AND u.registered_on < date '2017-03-14'
                                    AND n.year <= 2023 AND acted.day <= date '2024-12-31')))))
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'application % offsets what its notice does not take', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_stays_within';
  END IF;
END $$;
CREATE TRIGGER offsets_follow AFTER UPDATE ON application
  REFERENCING OLD TABLE AS old_application NEW TABLE AS new_application
  FOR EACH STATEMENT EXECUTE FUNCTION offsets_follow();

-- Answers to bindings, as applications of the enterprise say; the other registry is told.
CREATE FUNCTION answer_offset_bindings(asked bigint[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  made integer;
BEGIN
  WITH answered AS (
         UPDATE offset_binding b
            SET state = a.proposal ->> 'answer', application_id = a.id, answered_at = offset_acted(a.id)
           FROM application a
          WHERE a.id = ANY(asked) AND a.kind = 'offset_binding' AND a.status = 'approved'
            AND b.id = (a.proposal ->> 'binding')::integer AND b.account_id = a.account_id
            AND b.ccer_account = a.proposal ->> 'ccer_account' AND b.state = 'asked'
         RETURNING b.*),
       told AS (
         INSERT INTO offset_message (direction, number, kind, account_id, binding_id, state, due_at,
                                     created_at, changed_at)
         SELECT 'out', 'ETS-B' || lpad(id::text, 10, '0'), 'answer', account_id, id, 'pending', answered_at,
                answered_at, answered_at
           FROM answered ORDER BY id
         RETURNING id, created_at),
       noted AS (
         INSERT INTO offset_message_event (message_id, what, source, at)
         SELECT id, 'pending', 'registry', created_at FROM told)
  SELECT count(*) INTO made FROM told;
  IF made <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'a binding is not as its enterprise answered it'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_binding_as_answered';
  END IF;
  RETURN made;
END $$;

-- The holder asked there to have a unit back that no application has.
CREATE FUNCTION unfreeze_offset_unit(asked bigint, moment timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE offset_unit SET state = 'released', application_id = NULL, changed_at = moment
   WHERE id = asked AND state = 'frozen' AND NOT is_cancelled_before;
  RETURN FOUND;
END $$;

-- Locks a message of ours with what its end touches: account, application, message.
CREATE FUNCTION lock_offset_message(asked bigint) RETURNS offset_message
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  found_message offset_message;
BEGIN
  PERFORM FROM account WHERE id = (SELECT account_id FROM offset_message WHERE id = asked)
    FOR NO KEY UPDATE;
  PERFORM FROM application
    WHERE id = (SELECT u.application_id FROM offset_message m JOIN offset_unit u ON u.id = m.unit_id
                 WHERE m.id = asked)
    FOR UPDATE;
  SELECT * INTO found_message FROM offset_message WHERE id = asked AND direction = 'out' FOR UPDATE;
  RETURN found_message;
END $$;

-- Marks the next message of ours as sent and returns its id: once this is committed it is sent, and only then.
CREATE FUNCTION send_offset_message(moment timestamptz, answered_by timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  next_id bigint;
  m offset_message;
BEGIN
  LOOP
    SELECT id INTO next_id FROM offset_message
     WHERE direction = 'out' AND state = 'pending' AND due_at <= moment ORDER BY id LIMIT 1;
    IF next_id IS NULL THEN
      RETURN NULL;
    END IF;
    m := lock_offset_message(next_id);
    CONTINUE WHEN m.state <> 'pending';  -- Another worker was first.
    UPDATE offset_message SET state = 'sent', due_at = answered_by, changed_at = moment WHERE id = m.id;
    INSERT INTO offset_message_event (message_id, what, source, at)
    VALUES (m.id, 'sent', 'registry', moment);
    IF m.kind = 'cancel' THEN
      UPDATE offset_unit SET state = 'cancel_ordered', changed_at = moment
       WHERE id = m.unit_id AND state = 'approved';
    END IF;
    RETURN m.id;
  END LOOP;
END $$;

-- Returns the next message whose outcome is to be queried; it is unknown from then on.
CREATE FUNCTION query_offset_message(moment timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  m offset_message;
BEGIN
  SELECT * INTO m FROM offset_message
   WHERE direction = 'out' AND state IN ('sent', 'unknown') AND due_at <= moment
   ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED;
  IF m.id IS NULL THEN
    RETURN NULL;
  END IF;
  UPDATE offset_message
     SET state = 'unknown', queries = queries + 1, changed_at = moment,
         due_at = moment + least(interval '15 seconds' * 2 ^ least(m.queries, 10), interval '15 minutes')
   WHERE id = m.id;
  IF m.state = 'sent' THEN
    INSERT INTO offset_message_event (message_id, what, source, at)
    VALUES (m.id, 'unknown', 'registry', moment);
  END IF;
  RETURN m.id;
END $$;

-- Carries out what the other registry signed of a message of ours; returns the message's state, or
-- `contradiction`, which changes nothing.  Repeated, it does nothing.
CREATE FUNCTION answer_offset_message(asked bigint, outcome text, told bigint, way text, why text, said text,
                                      moment timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  m offset_message := lock_offset_message(asked);
BEGIN
  IF outcome NOT IN ('done', 'refused', 'unknown') OR (outcome <> 'unknown' AND said = '') THEN
    RAISE EXCEPTION 'message % ends by a signed word of the other registry', m.number
      USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_answer_is_signed';
  END IF;
  IF told IS DISTINCT FROM m.quantity AND told IS NOT NULL
     OR (m.state IN ('done', 'refused') AND outcome <> 'unknown' AND outcome <> m.state)
     OR (m.state = 'pending' AND outcome <> 'unknown') THEN
    INSERT INTO offset_message_event (message_id, what, source, reason, content, at)
    VALUES (m.id, 'contradiction', way, why, said, moment);
    RETURN 'contradiction';
  END IF;
  IF m.state IN ('pending', 'done', 'refused') OR (outcome = 'unknown' AND m.state = 'unknown') THEN
    RETURN m.state;
  END IF;
  UPDATE offset_message
     SET state = outcome, reason = why, changed_at = moment,
         due_at = CASE outcome WHEN 'unknown' THEN moment ELSE due_at END
   WHERE id = m.id;
  INSERT INTO offset_message_event (message_id, what, source, reason, content, at)
  VALUES (m.id, outcome, way, why, said, moment);
  IF m.kind = 'cancel' AND outcome = 'done' THEN
    UPDATE offset_unit SET state = 'cancelled', changed_at = moment
     WHERE id = m.unit_id AND state = 'cancel_ordered';
    UPDATE offset_unit SET state = 'registered' WHERE id = m.unit_id AND state = 'cancelled';
  ELSIF m.kind = 'cancel' AND outcome = 'refused' THEN
    UPDATE offset_unit SET state = 'release_ordered', changed_at = moment
     WHERE id = m.unit_id AND state = 'cancel_ordered';
    PERFORM order_offset_messages('release', ARRAY[m.unit_id]);
  ELSIF m.kind = 'release' AND outcome = 'done' THEN
    UPDATE offset_unit SET state = 'released', changed_at = moment
     WHERE id = m.unit_id AND state = 'release_ordered';
  END IF;
  RETURN outcome;
END $$;

-- A release that was refused for certain is ordered once more, under a number of its own; the unit stays
-- blocked until one is confirmed (N82).
CREATE FUNCTION order_offset_release(asked bigint, moment timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  m offset_message := lock_offset_message(asked);
BEGIN
  IF m.kind IS DISTINCT FROM 'release' OR m.state <> 'refused'
     OR EXISTS (SELECT FROM offset_message l WHERE l.unit_id = m.unit_id AND l.id > m.id) THEN
    RETURN false;
  END IF;
  PERFORM order_offset_messages('release', ARRAY[m.unit_id]);
  RETURN true;
END $$;
