-- 司法冻结 (rules-2026 N95-N106; docs/adr/0085).  Quantities in tonnes, or fen of a bank's money.

-- A court's order to freeze, from its submission on, as its application says it.  Without an instrument
-- it is for all allowances that the account has and gets, up to its quantity (N100).  What is effective is
-- frozen; the rest is queued (轮候) in the order of service.
CREATE TABLE court_order (
  application_id BIGINT PRIMARY KEY REFERENCES application (id),
  account_id INTEGER NOT NULL REFERENCES account (id),
  instrument_id INTEGER REFERENCES instrument (id),
  quantity BIGINT NOT NULL,
  ended BIGINT DEFAULT 0 NOT NULL,
  effective BIGINT DEFAULT 0 NOT NULL,
  queued BIGINT GENERATED ALWAYS AS (quantity - ended - effective) STORED,
  served_at TIMESTAMPTZ NOT NULL,
  ends_on DATE NOT NULL,
  version INTEGER DEFAULT 0 NOT NULL,
  CONSTRAINT court_order_adds_up CHECK (
    quantity > 0 AND ended BETWEEN 0 AND quantity AND effective BETWEEN 0 AND quantity - ended)
);
CREATE INDEX court_order_of_account ON court_order (account_id, served_at, application_id);
CREATE INDEX court_order_waiting ON court_order (account_id) WHERE queued > 0;
CREATE INDEX court_order_ending ON court_order (ends_on) WHERE ended < quantity;

-- What an order has frozen now, by instrument.
CREATE TABLE court_hold (
  order_id BIGINT NOT NULL REFERENCES court_order (application_id),
  instrument_id INTEGER NOT NULL REFERENCES instrument (id),
  quantity BIGINT NOT NULL,
  PRIMARY KEY (order_id, instrument_id),
  CONSTRAINT court_hold_positive CHECK (quantity > 0)
);
CREATE INDEX court_hold_of_instrument ON court_hold (instrument_id);

-- Each change of it with its posting: why it took effect or ended.
CREATE TABLE court_effect (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id BIGINT NOT NULL REFERENCES court_order (application_id),
  instrument_id INTEGER NOT NULL REFERENCES instrument (id),
  quantity BIGINT NOT NULL,
  cause VARCHAR(20) NOT NULL,
  posting_id BIGINT NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  CONSTRAINT court_effect_changes CHECK (quantity <> 0),
  CONSTRAINT court_effect_cause CHECK (
    cause IN ('order', 'taken_back', 'release', 'assignment', 'lapse', 'credit'))
);
CREATE INDEX court_effect_of ON court_effect (order_id, id);
CREATE INDEX court_effect_posting ON court_effect (posting_id);

-- The entry of an order that ended by itself (N98), with a number of its own.
CREATE TABLE court_lapse (
  order_id BIGINT PRIMARY KEY REFERENCES court_order (application_id),
  number VARCHAR(30) NOT NULL UNIQUE,
  ends_on DATE NOT NULL,
  effective BIGINT NOT NULL,
  queued BIGINT NOT NULL,
  at TIMESTAMPTZ NOT NULL
);
CREATE INDEX court_lapse_at ON court_lapse (at);

-- Whom the end of an order was told before it came; a renewal brings another end.
CREATE TABLE court_reminder (
  order_id BIGINT NOT NULL REFERENCES court_order (application_id),
  ends_on DATE NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (order_id, ends_on)
);

DO $$
DECLARE
  kept text;
BEGIN
  FOREACH kept IN ARRAY ARRAY['court_effect', 'court_lapse', 'court_reminder'] LOOP
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION append_only()', kept);
  END LOOP;
END $$;

ALTER TABLE application ADD CONSTRAINT court_acts_by_document CHECK (
  status IN ('draft', 'returned', 'discarded') OR kind NOT LIKE 'court\_%'
  OR (document_no <> '' AND authority <> '' AND proposal ? 'served_at'));

-- What orders of an account get of its tonnes: the pool of an instrument is what is available or frozen
-- by courts, and each order takes from it in the order of service.  ``what`` are the instruments looked
-- at, all of them where it is NULL; ``closing`` is an order that ends by ``closed`` under ``paper``.
-- Locks the holdings, then the orders, each in key order; whoever changes an order's terms does so here.
CREATE FUNCTION serve_court_orders(who integer, what integer[], moment timestamptz, why text,
                                   closing bigint DEFAULT NULL, closed bigint DEFAULT 0,
                                   paper text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  o record;
  wanted bigint;
  got bigint;
  instruments integer[];
  is_allowance boolean[];
  pool bigint[];
  held bigint[];
  kept bigint[];
  orders bigint[] := '{}';
  concerned integer[] := '{}';
  changes bigint[] := '{}';
BEGIN
  PERFORM FROM holding WHERE account_id = who AND (what IS NULL OR instrument_id = ANY(what))
    ORDER BY instrument_id FOR NO KEY UPDATE;
  PERFORM FROM court_order WHERE account_id = who ORDER BY application_id FOR UPDATE;

  SELECT array_agg(h.instrument_id ORDER BY s.n), array_agg(i.kind = 'allowance' ORDER BY s.n),
         array_agg(h.available + coalesce(f.frozen, 0) ORDER BY s.n)
    INTO instruments, is_allowance, pool
    FROM holding h JOIN instrument i ON i.id = h.instrument_id
    LEFT JOIN (SELECT c.instrument_id, sum(c.quantity)::bigint AS frozen
                 FROM court_hold c JOIN court_order r ON r.application_id = c.order_id
                WHERE r.account_id = who GROUP BY 1) f ON f.instrument_id = h.instrument_id
    -- An order for the whole account takes where most is free.
   CROSS JOIN LATERAL (SELECT ARRAY[-h.available, h.instrument_id] AS n) AS s
   WHERE h.account_id = who AND (what IS NULL OR h.instrument_id = ANY(what));

  FOR o IN SELECT c.*, a.number FROM court_order c JOIN application a ON a.id = c.application_id
            WHERE c.account_id = who AND (c.ended < c.quantity OR c.effective > 0)
            ORDER BY c.served_at, c.application_id LOOP
    SELECT array_agg(coalesce(c.quantity, 0) ORDER BY w.n) INTO held
      FROM unnest(instruments) WITH ORDINALITY AS w (instrument_id, n)
      LEFT JOIN court_hold c ON c.order_id = o.application_id AND c.instrument_id = w.instrument_id;
    wanted := o.quantity - o.ended - CASE WHEN o.application_id = closing THEN closed ELSE 0 END
              - (o.effective - (SELECT coalesce(sum(q), 0) FROM unnest(held) AS q));
    kept := held;
    FOR turn IN 1 .. 2 LOOP  -- First what it has already, then more.
      FOR place IN 1 .. coalesce(cardinality(instruments), 0) LOOP
        IF turn = 1 THEN
          got := greatest(least(held[place], pool[place], wanted), 0);
          kept[place] := got;
        ELSIF o.instrument_id = instruments[place]
              OR (o.instrument_id IS NULL AND is_allowance[place]) THEN
          got := greatest(least(pool[place], wanted), 0);
          kept[place] := kept[place] + got;
        ELSE
          got := 0;
        END IF;
        pool[place] := pool[place] - got;
        wanted := wanted - got;
      END LOOP;
    END LOOP;
    FOR place IN 1 .. coalesce(cardinality(instruments), 0) LOOP
      IF kept[place] <> held[place] THEN
        orders := orders || o.application_id;
        concerned := concerned || instruments[place];
        changes := changes || (kept[place] - held[place]);
      END IF;
    END LOOP;
  END LOOP;

  UPDATE court_order c
     SET effective = c.effective + coalesce(n.change, 0),
         ended = c.ended + CASE WHEN c.application_id = closing THEN closed ELSE 0 END,
         version = c.version + 1
    FROM (SELECT id, sum(change)::bigint AS change
            FROM (SELECT * FROM unnest(orders, changes) AS w (id, change)
                  UNION ALL SELECT closing, 0 WHERE closing IS NOT NULL) AS w GROUP BY id) n
   WHERE c.application_id = n.id;
  IF cardinality(orders) = 0 THEN
    RETURN;
  END IF;
  DELETE FROM court_hold c USING unnest(orders, concerned, changes) AS w (order_id, instrument_id, change)
   WHERE c.order_id = w.order_id AND c.instrument_id = w.instrument_id AND c.quantity + w.change = 0;
  INSERT INTO court_hold AS c (order_id, instrument_id, quantity)
  SELECT w.order_id, w.instrument_id, w.change + coalesce(e.quantity, 0)
    FROM unnest(orders, concerned, changes) AS w (order_id, instrument_id, change)
    LEFT JOIN court_hold e ON e.order_id = w.order_id AND e.instrument_id = w.instrument_id
   WHERE w.change + coalesce(e.quantity, 0) > 0
  ON CONFLICT (order_id, instrument_id) DO UPDATE SET quantity = EXCLUDED.quantity;

  -- One posting an order, what is let go before what is taken.
  WITH made AS (
         INSERT INTO posting (business, stage, request_key, document, leads)
         SELECT 'court_hold', 'settlement', 'court_hold:' || c.application_id || ':' || c.version,
                CASE WHEN c.application_id = closing THEN coalesce(paper, a.number) ELSE a.number END,
                row_number() OVER (ORDER BY c.application_id) = 1
           FROM court_order c JOIN application a ON a.id = c.application_id
          WHERE c.application_id = ANY(orders) ORDER BY c.application_id
         RETURNING id, request_key),
       change AS MATERIALIZED (
         SELECT w.*, made.id AS posting_id
           FROM unnest(orders, concerned, changes) WITH ORDINALITY AS w (order_id, instrument_id, change, n)
           JOIN court_order c ON c.application_id = w.order_id
           JOIN made ON made.request_key = 'court_hold:' || c.application_id || ':' || c.version),
       noted AS (
         INSERT INTO court_effect (order_id, instrument_id, quantity, cause, posting_id, at)
         SELECT order_id, instrument_id, change,
                -- An order that gets what another one lets go is credited.
                CASE WHEN change > 0 AND why <> 'order' THEN 'credit' ELSE why END, posting_id, moment
           FROM change ORDER BY n)
  INSERT INTO movement (posting_id, at, instrument_id, quantity,
                        from_account, from_bucket, to_account, to_bucket)
  SELECT posting_id, moment, instrument_id, abs(change), who,
         CASE WHEN change > 0 THEN 1 ELSE 3 END, who, CASE WHEN change > 0 THEN 3 ELSE 1 END
    FROM change ORDER BY change > 0, n;
END $$;

-- Whatever credits what is available serves the queue in its own transaction: issues, deliveries,
-- returns, reversals, the day-end.  By its name it runs after post_movements, which holds the holdings.
CREATE FUNCTION credits_serve_court_orders() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  c record;
BEGIN
  FOR c IN
    SELECT m.to_account, array_agg(DISTINCT m.instrument_id) AS instruments, max(m.at) AS at
      FROM new_movement m
     WHERE m.to_bucket = 1
       AND EXISTS (SELECT FROM court_order o WHERE o.account_id = m.to_account AND o.queued > 0)
       AND NOT EXISTS (SELECT FROM posting p WHERE p.id = m.posting_id AND p.business = 'court_hold')
     GROUP BY m.to_account ORDER BY m.to_account
  LOOP
    PERFORM serve_court_orders(c.to_account, c.instruments, c.at, 'credit');
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER serve_court_orders AFTER INSERT ON movement
  REFERENCING NEW TABLE AS new_movement FOR EACH STATEMENT EXECUTE FUNCTION credits_serve_court_orders();

-- What an application of a court's measure does, with its event.  Two officers approved what follows
-- approvals; a freeze holds from the first one's submission.
CREATE FUNCTION carry_out_court_measures() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  e record;
  concerned bigint;
  tonnes bigint;
BEGIN
  FOR e IN
    SELECT v.at, v.action, v.status, v.application_id, a.kind, a.number, a.account_id, a.proposal, a.ends_on,
           (a.proposal ->> 'order')::bigint AS order_id, (a.proposal ->> 'quantity')::bigint AS quantity,
           (a.proposal ->> 'instrument')::integer AS instrument_id
      FROM new_event v JOIN application a ON a.id = v.application_id
     WHERE v.action IN ('submit', 'approve', 'withdraw', 'send_back')
       AND a.kind IN ('court_freeze', 'court_renewal', 'court_release', 'court_assignment')
     ORDER BY a.account_id, v.id  -- Holdings are locked in key order.
  LOOP
    IF e.kind = 'court_freeze' AND e.action = 'submit' THEN
      IF e.instrument_id IS NULL THEN  -- Nobody opens a holding of this account meanwhile.
        PERFORM FROM account WHERE id = e.account_id FOR UPDATE;
      ELSE
        INSERT INTO holding (account_id, instrument_id) VALUES (e.account_id, e.instrument_id)
        ON CONFLICT DO NOTHING;
      END IF;
      -- The holdings before the order: whoever credits one sees it, or is seen by it.
      PERFORM FROM holding WHERE account_id = e.account_id ORDER BY instrument_id FOR NO KEY UPDATE;
      INSERT INTO court_order (application_id, account_id, instrument_id, quantity, served_at, ends_on)
      VALUES (e.application_id, e.account_id, e.instrument_id, e.quantity,
              (e.proposal ->> 'served_at')::timestamptz, e.ends_on)
      ON CONFLICT (application_id) DO UPDATE
         SET instrument_id = EXCLUDED.instrument_id, quantity = EXCLUDED.quantity, ended = 0,
             served_at = EXCLUDED.served_at, ends_on = EXCLUDED.ends_on;
      PERFORM serve_court_orders(e.account_id, NULL, e.at, 'order');
    ELSIF e.kind = 'court_freeze' AND e.status IN ('withdrawn', 'returned') THEN
      SELECT quantity - ended INTO tonnes FROM court_order WHERE application_id = e.application_id;
      IF tonnes > 0 THEN
        PERFORM serve_court_orders(e.account_id, NULL, e.at, 'taken_back', e.application_id, tonnes);
      END IF;
    ELSIF e.status = 'approved' AND e.kind <> 'court_freeze' THEN
      SELECT o.application_id INTO concerned
        FROM court_order o JOIN application a ON a.id = o.application_id
       WHERE o.application_id = e.order_id AND o.account_id = e.account_id AND a.status = 'approved'
         AND o.ended < o.quantity AND approved_by_two(a.id) AND approved_by_two(e.application_id);
      IF NOT FOUND THEN
        RAISE EXCEPTION 'application % is about no order that stands', e.application_id
          USING ERRCODE = 'check_violation', CONSTRAINT = 'court_order_stands';
      END IF;
      CASE e.kind
        WHEN 'court_renewal' THEN
          UPDATE court_order SET ends_on = e.ends_on, version = version + 1
           WHERE application_id = concerned AND e.ends_on > ends_on
             AND ((e.proposal ->> 'served_at')::timestamptz AT TIME ZONE 'Asia/Shanghai')::date <= ends_on;
          IF NOT FOUND THEN
            RAISE EXCEPTION 'order % had ended when it was renewed', concerned
              USING ERRCODE = 'check_violation', CONSTRAINT = 'court_order_stands';
          END IF;
        WHEN 'court_release' THEN
          PERFORM serve_court_orders(e.account_id, NULL, e.at, 'release', concerned, e.quantity, e.number);
        WHEN 'court_assignment' THEN  -- Its posting has taken the tonnes; nobody else gets any of them.
          PERFORM note_court_assignment(e.application_id, concerned, e.at);
      END CASE;
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- An assignment draws on what its own order has frozen, and on nothing else (N104).
CREATE FUNCTION note_court_assignment(asked bigint, concerned bigint, moment timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  l record;
  rest bigint;
BEGIN
  FOR l IN SELECT instrument_id, sum(quantity)::bigint AS quantity FROM application_line
            WHERE application_id = asked GROUP BY instrument_id ORDER BY instrument_id LOOP
    SELECT c.quantity - l.quantity INTO rest FROM court_hold c
     WHERE c.order_id = concerned AND c.instrument_id = l.instrument_id FOR UPDATE;
    IF rest IS NULL OR rest < 0 THEN
      RAISE EXCEPTION 'application % assigns more than order % has frozen', asked, concerned
        USING ERRCODE = 'check_violation', CONSTRAINT = 'court_assignment_stays_within';
    ELSIF rest = 0 THEN
      DELETE FROM court_hold WHERE order_id = concerned AND instrument_id = l.instrument_id;
    ELSE
      UPDATE court_hold SET quantity = rest WHERE order_id = concerned AND instrument_id = l.instrument_id;
    END IF;
    UPDATE court_order SET effective = effective - l.quantity, ended = ended + l.quantity,
                           version = version + 1
     WHERE application_id = concerned;
    INSERT INTO court_effect (order_id, instrument_id, quantity, cause, posting_id, at)
    SELECT concerned, l.instrument_id, -l.quantity, 'assignment', p.id, moment
      FROM posting p WHERE p.application_id = asked AND p.stage = 'approval' AND p.reverses_id IS NULL;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'application % has assigned nothing', asked
        USING ERRCODE = 'check_violation', CONSTRAINT = 'court_assignment_stays_within';
    END IF;
  END LOOP;
END $$;
CREATE TRIGGER carry_out_court_measures AFTER INSERT ON application_event
  REFERENCING NEW TABLE AS new_event FOR EACH STATEMENT EXECUTE FUNCTION carry_out_court_measures();

-- The orders of an account that have ended without a renewal, each with its entry (N98).  An order
-- whose renewal was served in time and is under review waits for it.
CREATE FUNCTION lapse_court_orders(who integer, today date, moment timestamptz) RETURNS SETOF court_lapse
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  o record;
  entry court_lapse;
BEGIN
  -- Business follows the real clock in production alone (operating_mode).
  IF (SELECT is_production FROM operating_mode ORDER BY id DESC LIMIT 1)
     AND (now() AT TIME ZONE 'Asia/Shanghai')::date < today THEN
    RAISE EXCEPTION '% has not begun', today
      USING ERRCODE = 'check_violation', CONSTRAINT = 'court_order_has_ended';
  END IF;
  PERFORM FROM account WHERE id = who FOR NO KEY UPDATE;
  PERFORM FROM holding WHERE account_id = who ORDER BY instrument_id FOR NO KEY UPDATE;
  FOR o IN SELECT application_id FROM court_order_due WHERE account_id = who AND ends_on < today
            ORDER BY served_at, application_id LOOP
    INSERT INTO court_lapse (order_id, number, ends_on, effective, queued, at)
    SELECT c.application_id,
           'QM' || to_char(moment AT TIME ZONE 'Asia/Shanghai', 'YYYY')
                || lpad(c.application_id::text, greatest(8, length(c.application_id::text)), '0'),
           c.ends_on, c.effective, c.queued, moment
      FROM court_order c WHERE c.application_id = o.application_id
    RETURNING * INTO entry;
    PERFORM serve_court_orders(who, NULL, moment, 'lapse', entry.order_id, entry.effective + entry.queued,
                               entry.number);
    RETURN NEXT entry;
  END LOOP;
END $$;

-- Orders that hold or wait for something and end unless they are renewed.
CREATE VIEW court_order_due AS
SELECT c.application_id, c.account_id, c.served_at, c.ends_on
  FROM court_order c JOIN application a ON a.id = c.application_id
 WHERE c.ended < c.quantity AND a.status = 'approved'
   AND NOT EXISTS (
         SELECT FROM application r
          WHERE r.kind = 'court_renewal' AND r.account_id = c.account_id AND r.status = 'in_review'
            AND r.proposal ->> 'order' = c.application_id::text
            AND ((r.proposal ->> 'served_at')::timestamptz AT TIME ZONE 'Asia/Shanghai')::date <= c.ends_on);

-- What is wrong with an account's orders, for the check as a transaction ends and for verification.
CREATE VIEW court_order_fault AS
SELECT c.account_id, c.application_id,
       CASE
         WHEN c.effective <> coalesce((SELECT sum(h.quantity) FROM court_hold h
                                        WHERE h.order_id = c.application_id), 0) THEN
           'has another quantity frozen than its holds say'
         WHEN c.queued > 0 AND EXISTS (
                SELECT FROM holding h JOIN instrument i ON i.id = h.instrument_id
                 WHERE h.account_id = c.account_id AND h.available > 0
                   AND CASE WHEN c.instrument_id IS NULL THEN i.kind = 'allowance'
                            ELSE h.instrument_id = c.instrument_id END) THEN
           'waits for what is available'
         WHEN c.queued > 0 AND EXISTS (
                SELECT FROM court_order later JOIN court_hold h ON h.order_id = later.application_id
                  JOIN instrument i ON i.id = h.instrument_id
                 WHERE later.account_id = c.account_id
                   AND (later.served_at, later.application_id) > (c.served_at, c.application_id)
                   AND CASE WHEN c.instrument_id IS NULL THEN i.kind = 'allowance'
                            ELSE h.instrument_id = c.instrument_id END) THEN
           'waits behind one that was served later'
         WHEN EXISTS (
                SELECT FROM court_hold h JOIN court_order o ON o.application_id = h.order_id
                  LEFT JOIN holding n ON n.account_id = o.account_id AND n.instrument_id = h.instrument_id
                 WHERE o.account_id = c.account_id
                 GROUP BY h.instrument_id, n.frozen HAVING sum(h.quantity) > coalesce(n.frozen, 0)) THEN
           'has more frozen than the account has'
       END AS fault
  FROM court_order c;

CREATE FUNCTION court_orders_hold() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  wrong record;
BEGIN
  SELECT application_id, fault INTO wrong FROM court_order_fault
   WHERE account_id = NEW.account_id AND fault IS NOT NULL LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'court order % %', wrong.application_id, wrong.fault
      USING ERRCODE = 'check_violation', CONSTRAINT = 'court_orders_hold';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER court_orders_hold AFTER INSERT OR UPDATE ON court_order
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION court_orders_hold();

-- A court's freeze of allowances is entered as its order from here on.
UPDATE category SET disabled_from = greatest(valid_from, current_date)
 WHERE kind = 'freeze' AND code = 'judicial' AND disabled_from IS NULL;
