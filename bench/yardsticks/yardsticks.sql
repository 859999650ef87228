-- The yardsticks, in a schema of their own: the minimal cost of a durable transfer.
CREATE SCHEMA yardstick;

-- The floor: one durable insert of an empty row.
CREATE TABLE yardstick.nothing (at timestamptz);

-- Limit A: one call into one stored function: 2 balance updates, 1 journal row, 2 entries.
CREATE TABLE yardstick.balance (account int, instrument int, quantity bigint NOT NULL,
                      PRIMARY KEY (account, instrument)) WITH (fillfactor = 70);
CREATE TABLE yardstick.journal (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                      at timestamptz NOT NULL DEFAULT now(), instrument int NOT NULL,
                      quantity bigint NOT NULL, source int NOT NULL, target int NOT NULL);
CREATE TABLE yardstick.entry (account int, instrument int, journal bigint, delta bigint NOT NULL,
                    after bigint NOT NULL, PRIMARY KEY (account, instrument, journal));

CREATE FUNCTION yardstick.transfer(_source int, _target int, _instrument int, _quantity bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE _id bigint; _first bigint; _second bigint;
BEGIN
  INSERT INTO yardstick.journal (instrument, quantity, source, target)
  VALUES (_instrument, _quantity, _source, _target) RETURNING id INTO _id;
  IF _source < _target THEN
    UPDATE yardstick.balance SET quantity = quantity - _quantity
     WHERE account = _source AND instrument = _instrument RETURNING quantity INTO _first;
    UPDATE yardstick.balance SET quantity = quantity + _quantity
     WHERE account = _target AND instrument = _instrument RETURNING quantity INTO _second;
  ELSE
    UPDATE yardstick.balance SET quantity = quantity + _quantity
     WHERE account = _target AND instrument = _instrument RETURNING quantity INTO _second;
    UPDATE yardstick.balance SET quantity = quantity - _quantity
     WHERE account = _source AND instrument = _instrument RETURNING quantity INTO _first;
  END IF;
  INSERT INTO yardstick.entry VALUES (_source, _instrument, _id, -_quantity, _first),
                           (_target, _instrument, _id, _quantity, _second);
END $$;

-- The same for a batch in one statement: one update per balance, each entry with the new balance.
CREATE FUNCTION yardstick.transfer_many(_sources int[], _targets int[], _instruments int[], _quantities bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM yardstick.balance b
    WHERE (account, instrument) IN (SELECT * FROM unnest(_sources, _instruments)
                                    UNION SELECT * FROM unnest(_targets, _instruments))
    ORDER BY account, instrument FOR NO KEY UPDATE;
  WITH made AS (
         INSERT INTO yardstick.journal (instrument, quantity, source, target)
         SELECT * FROM unnest(_instruments, _quantities, _sources, _targets)
         RETURNING id, instrument, quantity, source, target),
       leg AS MATERIALIZED (
         SELECT id, source AS account, instrument, -quantity AS delta FROM made
         UNION ALL SELECT id, target, instrument, quantity FROM made),
       moved AS MATERIALIZED (
         UPDATE yardstick.balance b SET quantity = b.quantity + net.delta
           FROM (SELECT account, instrument, sum(delta)::bigint AS delta FROM leg GROUP BY 1, 2) net
          WHERE b.account = net.account AND b.instrument = net.instrument
         RETURNING b.account, b.instrument, b.quantity)
  INSERT INTO yardstick.entry
  SELECT account, instrument, id, delta,
         (moved.quantity - sum(delta) OVER later + delta)::bigint
    FROM leg JOIN moved USING (account, instrument)
  WINDOW later AS (PARTITION BY account, instrument ORDER BY id DESC);
END $$;
