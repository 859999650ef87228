-- 司法变卖 (rules-2026 N103; docs/adr/0099): what a court lets sell at the exchange, bound to its order, and
-- what the sale brings, frozen for it.  Quantities in tonnes, proceeds in fen.

-- Units of an order that are sold, from the second officer's approval on: in trading, for deals alone whose
-- order number of the seller is this application's.  ``returned`` is frozen under the order again, ``freed``
-- what came back when the order had ended.
CREATE TABLE court_sale (
  application_id BIGINT PRIMARY KEY REFERENCES application (id),
  order_id BIGINT NOT NULL REFERENCES court_order (application_id),
  account_id INTEGER NOT NULL REFERENCES account (id),
  instrument_id INTEGER NOT NULL REFERENCES instrument (id),
  quantity BIGINT NOT NULL,
  sold BIGINT DEFAULT 0 NOT NULL,
  returned BIGINT DEFAULT 0 NOT NULL,
  freed BIGINT DEFAULT 0 NOT NULL,
  unsold BIGINT GENERATED ALWAYS AS (quantity - sold - returned - freed) STORED,
  CONSTRAINT court_sale_adds_up CHECK (
    quantity > 0 AND sold >= 0 AND returned >= 0 AND freed >= 0 AND sold + returned + freed <= quantity)
);
CREATE INDEX court_sale_of_holding ON court_sale (account_id, instrument_id);
CREATE INDEX court_sale_of_order ON court_sale (order_id);

-- What a sale brought is an order of its own, with the sale's application: of money, growing with each
-- deal, never queued, and ahead of the queue, since the money is its units' price.
ALTER TABLE court_order ADD COLUMN sale_of BIGINT REFERENCES court_order (application_id);
CREATE INDEX court_order_sale_of ON court_order (sale_of) WHERE sale_of IS NOT NULL;
ALTER TABLE court_effect
  DROP CONSTRAINT court_effect_cause,
  ADD CONSTRAINT court_effect_cause CHECK (
    cause IN ('order', 'taken_back', 'release', 'assignment', 'lapse', 'credit', 'surrender', 'sale',
              'sale_return', 'proceeds'));

-- As in 0024; what sales brought keeps what it has, whoever was served before.
CREATE OR REPLACE FUNCTION serve_court_orders(who integer, what integer[], moment timestamptz, why text,
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
            ORDER BY c.sale_of IS NULL, c.served_at, c.application_id LOOP
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

-- As in 0024; what sales brought stands in no queue.
CREATE OR REPLACE VIEW court_order_fault AS
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
                 WHERE later.account_id = c.account_id AND later.sale_of IS NULL
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

-- An assignment, a sale or a surrender draws on what its own order has frozen, and on nothing else (N104).
DROP FUNCTION note_court_assignment(bigint, bigint, timestamptz);
CREATE FUNCTION draw_on_court_order(asked bigint, concerned bigint, why text, moment timestamptz) RETURNS void
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
      RAISE EXCEPTION 'application % takes more than order % has frozen', asked, concerned
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
    SELECT concerned, l.instrument_id, -l.quantity, why, p.id, moment
      FROM posting p WHERE p.application_id = asked AND p.stage = 'approval' AND p.reverses_id IS NULL;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'application % has taken nothing', asked
        USING ERRCODE = 'check_violation', CONSTRAINT = 'court_assignment_stays_within';
    END IF;
  END LOOP;
  IF why = 'sale' THEN
    INSERT INTO court_sale (application_id, order_id, account_id, instrument_id, quantity)
    SELECT asked, concerned, a.account_id, w.instrument_id, w.quantity
      FROM application a JOIN application_line w ON w.application_id = a.id WHERE a.id = asked;
  END IF;
END $$;

-- What was not sold is frozen again under its order, or becomes available where that has lapsed.
CREATE FUNCTION end_court_sale(asked bigint, sale bigint, concerned bigint, moment timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  s court_sale;
  has_lapsed boolean;
BEGIN
  SELECT * INTO s FROM court_sale WHERE application_id = sale AND order_id = concerned FOR UPDATE;
  IF NOT FOUND OR (SELECT array_agg(ROW (l.instrument_id, l.quantity)) FROM application_line l
                    WHERE l.application_id = asked)
                  IS DISTINCT FROM ARRAY[ROW (s.instrument_id, s.unsold)] THEN
    RAISE EXCEPTION 'application % brings back other than what sale % has left', asked, sale
      USING ERRCODE = 'check_violation', CONSTRAINT = 'court_sale_adds_up';
  END IF;
  has_lapsed := EXISTS (SELECT FROM court_lapse WHERE order_id = concerned);
  PERFORM FROM court_order WHERE account_id = s.account_id ORDER BY application_id FOR UPDATE;
  UPDATE court_sale SET returned = returned + CASE WHEN has_lapsed THEN 0 ELSE s.unsold END,
                        freed = freed + CASE WHEN has_lapsed THEN s.unsold ELSE 0 END
   WHERE application_id = sale;
  UPDATE court_order SET effective = effective + s.unsold, ended = ended - s.unsold, version = version + 1
   WHERE application_id = concerned;
  INSERT INTO court_hold AS h (order_id, instrument_id, quantity)
  VALUES (concerned, s.instrument_id, s.unsold)
  ON CONFLICT (order_id, instrument_id) DO UPDATE SET quantity = h.quantity + EXCLUDED.quantity;
  INSERT INTO court_effect (order_id, instrument_id, quantity, cause, posting_id, at)
  SELECT concerned, s.instrument_id, s.unsold, 'sale_return', p.id, moment
    FROM posting p WHERE p.application_id = asked AND p.stage = 'approval' AND p.reverses_id IS NULL;
  IF has_lapsed THEN
    PERFORM serve_court_orders(s.account_id, NULL, moment, 'lapse', concerned, s.unsold);
  ELSE  -- Whoever was served before takes its turn.
    PERFORM serve_court_orders(s.account_id, NULL, moment, 'credit');
  END IF;
END $$;

-- As in 0024, with surrenders and sales; a renewal holds for what its order's sales brought, too.
CREATE OR REPLACE FUNCTION carry_out_court_measures() RETURNS trigger
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
       AND a.kind IN ('court_freeze', 'court_renewal', 'court_release', 'court_assignment',
                      'court_surrender', 'court_sale', 'court_sale_end')
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
         AND (o.ended < o.quantity
              OR (e.kind IN ('court_renewal', 'court_sale_end')
                  AND EXISTS (SELECT FROM court_sale s WHERE s.order_id = o.application_id AND s.unsold > 0)))
         AND approved_by_two(a.id)
         AND CASE e.kind WHEN 'court_surrender' THEN registry_officers_of(e.application_id) >= 2
                         ELSE approved_by_two(e.application_id) END;
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
          UPDATE court_order SET ends_on = e.ends_on, version = version + 1  -- What its sales brought.
           WHERE sale_of = concerned AND ended < quantity AND e.ends_on > ends_on;
        WHEN 'court_release' THEN
          PERFORM serve_court_orders(e.account_id, NULL, e.at, 'release', concerned, e.quantity, e.number);
        WHEN 'court_sale_end' THEN
          PERFORM end_court_sale(e.application_id, (e.proposal ->> 'sale')::bigint, concerned, e.at);
        ELSE  -- Its posting has taken the tonnes; nobody else gets any of them.
          PERFORM draw_on_court_order(e.application_id, concerned, substr(e.kind, 7), e.at);
      END CASE;
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- The price of sold units, less the seller's fee, is frozen as it is paid.
CREATE FUNCTION freeze_sale_proceeds(sale bigint, money integer, fen bigint, moment timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  s record;
  place integer;
BEGIN
  SELECT w.*, a.number, o.served_at, o.ends_on INTO s
    FROM court_sale w JOIN application a ON a.id = w.application_id
    JOIN court_order o ON o.application_id = w.order_id
   WHERE w.application_id = sale;
  -- Nothing is frozen for an order that has lapsed.
  IF fen = 0 OR EXISTS (SELECT FROM court_lapse l WHERE l.order_id IN (sale, s.order_id)) THEN
    RETURN;
  END IF;
  INSERT INTO court_order AS c (application_id, account_id, instrument_id, quantity, effective, served_at,
                                ends_on, sale_of)
  VALUES (sale, s.account_id, money, fen, fen, s.served_at, s.ends_on, s.order_id)
  ON CONFLICT (application_id) DO UPDATE
     SET quantity = c.quantity + EXCLUDED.quantity, effective = c.effective + EXCLUDED.effective,
         instrument_id = EXCLUDED.instrument_id, ends_on = EXCLUDED.ends_on, version = c.version + 1
  RETURNING version INTO place;
  INSERT INTO court_hold AS h (order_id, instrument_id, quantity) VALUES (sale, money, fen)
  ON CONFLICT (order_id, instrument_id) DO UPDATE SET quantity = h.quantity + EXCLUDED.quantity;
  WITH made AS (
         INSERT INTO posting (business, stage, request_key, document, leads)
         VALUES ('court_hold', 'settlement', 'court_hold:' || sale || ':' || place, s.number, true)
         RETURNING id),
       noted AS (
         INSERT INTO court_effect (order_id, instrument_id, quantity, cause, posting_id, at)
         SELECT sale, money, fen, 'proceeds', id, moment FROM made)
  INSERT INTO movement (posting_id, at, instrument_id, quantity,
                        from_account, from_bucket, to_account, to_bucket)
  SELECT id, moment, money, fen, s.account_id, 13, s.account_id, 3 FROM made;
END $$;

-- Deals that carry a sale's number sell its units, and no other deal or transfer takes any of them.  By its
-- name it runs after post_movements, which holds the holdings.
CREATE FUNCTION serve_court_sales() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  t record;
BEGIN
  IF NOT EXISTS (SELECT FROM new_movement m
                   JOIN court_sale s ON s.account_id = m.from_account AND s.instrument_id = m.instrument_id
                  WHERE m.from_bucket = 5) THEN
    RETURN NULL;
  END IF;
  FOR t IN
    SELECT w.quantity, w.seller_money_id, w.amount - w.sell_fee AS fen, s.application_id AS sale, m.at
      FROM new_movement m
      JOIN trade_delivery d ON d.posting_id = m.posting_id
      JOIN trade w ON w.id = d.trade_id AND w.instrument_id = m.instrument_id
      JOIN court_sale s ON s.account_id = w.seller_id AND s.instrument_id = w.instrument_id
      JOIN application a ON a.id = s.application_id AND a.number = w.sell_order_no
     WHERE m.from_bucket = 5
     ORDER BY w.id
  LOOP
    UPDATE court_sale SET sold = sold + t.quantity WHERE application_id = t.sale;
    PERFORM freeze_sale_proceeds(t.sale, t.seller_money_id, t.fen, t.at);
  END LOOP;
  -- What an ended sale brings back is counted with its event.
  IF EXISTS (SELECT FROM (SELECT DISTINCT m.from_account, m.instrument_id
                            FROM new_movement m JOIN posting p ON p.id = m.posting_id
                           WHERE m.from_bucket = 5 AND p.business <> 'court_sale_end') k
               JOIN holding h ON h.account_id = k.from_account AND h.instrument_id = k.instrument_id
              WHERE h.trading < (SELECT sum(s.unsold) FROM court_sale s
                                  WHERE s.account_id = h.account_id AND s.instrument_id = h.instrument_id)) THEN
    RAISE EXCEPTION 'what a court lets sell is taken by something else'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'court_sale_is_bound';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER serve_court_sales AFTER INSERT ON movement
  REFERENCING NEW TABLE AS new_movement FOR EACH STATEMENT EXECUTE FUNCTION serve_court_sales();
