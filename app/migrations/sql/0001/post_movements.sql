-- Inserting a movement is posting it: one statement trigger locks the holdings concerned in key
-- order, moves each once, and writes two entries a movement that carry the balance after them.
-- The application's role inserts movements and can write nothing that is derived from them.
-- A line that names $bucket stands for every bucket (app/migrations/buckets.py), whose number is $n.

CREATE OR REPLACE FUNCTION post_movements() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  one record;
  holdings integer;
  concerned integer;
  change bigint[];
  last_seq bigint;
  last_at timestamptz;
  buckets bigint[];
  source_seq bigint;
  source_at timestamptz;
  source_after bigint;
  target_seq bigint;
  target_at timestamptz;
  target_after bigint;
  written bigint;
BEGIN
  SELECT m.*, (SELECT count(*) FROM (SELECT FROM new_movement LIMIT 2) AS few) AS how_many
    INTO one FROM new_movement m LIMIT 1;
  holdings := CASE WHEN one.from_account = one.to_account THEN 1 ELSE 2 END;

  -- One movement between holdings that are there is the most frequent case and has a short path.
  -- Here, too, the holding with the lower key is locked first.
  IF one.how_many = 1 AND one.from_bucket <> $issued
     AND (holdings = 1 OR EXISTS (SELECT FROM holding WHERE account_id = one.to_account
                                     AND instrument_id = one.instrument_id)) THEN
    FOR turn IN 1 .. holdings LOOP
      concerned := CASE turn WHEN 1 THEN least(one.from_account, one.to_account)
                             ELSE greatest(one.from_account, one.to_account) END;
      change := '{$zeros}';
      IF concerned = one.from_account THEN change[one.from_bucket] := -one.quantity; END IF;
      IF concerned = one.to_account THEN change[one.to_bucket] := one.quantity; END IF;
      UPDATE holding
         SET
             $bucket = $bucket + change[$n],
             version = version + 3 - holdings,
             moved_at = greatest(moved_at, one.at)
       WHERE account_id = concerned AND instrument_id = one.instrument_id
      RETURNING version, moved_at, ARRAY[$buckets]
           INTO last_seq, last_at, buckets;
      IF NOT FOUND THEN
        RAISE EXCEPTION 'a movement leaves a holding that does not exist'
          USING ERRCODE = 'foreign_key_violation';
      END IF;
      IF concerned = one.from_account THEN
        source_seq := last_seq + holdings - 2;
        source_at := last_at;
        source_after := buckets[one.from_bucket];
      END IF;
      IF concerned = one.to_account THEN
        target_seq := last_seq;
        target_at := last_at;
        target_after := buckets[one.to_bucket];
      END IF;
    END LOOP;
    INSERT INTO entry (account_id, instrument_id, seq, movement_id, at, bucket, delta, after)
    VALUES (one.from_account, one.instrument_id, source_seq, one.id, source_at,
            one.from_bucket, -one.quantity, source_after),
           (one.to_account, one.instrument_id, target_seq, one.id, target_at,
            one.to_bucket, one.quantity, target_after);
    RETURN NULL;
  END IF;

  -- Plans are kept for as long as the connection lives, and one made for a large posting must not
  -- serve small ones by reading every holding: always go by the key.
  PERFORM set_config(name, 'off', true)
     FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) AS name;

  -- A holding is opened by the first movement that reaches it (or that issues from it).
  INSERT INTO holding (account_id, instrument_id)
  SELECT DISTINCT m.account_id, m.instrument_id
    FROM (SELECT to_account AS account_id, instrument_id FROM new_movement
           WHERE to_account <> from_account
          UNION ALL
          SELECT from_account, instrument_id FROM new_movement WHERE from_bucket = $issued) m
   WHERE NOT EXISTS (SELECT FROM holding h
                      WHERE h.account_id = m.account_id AND h.instrument_id = m.instrument_id)
   ORDER BY 1, 2
  ON CONFLICT DO NOTHING;

  -- Every holding concerned, always in key order: no two postings can deadlock.
  PERFORM FROM holding
    WHERE (account_id, instrument_id) IN (
            SELECT from_account, instrument_id FROM new_movement
            UNION SELECT to_account, instrument_id FROM new_movement)
    ORDER BY account_id, instrument_id
      FOR NO KEY UPDATE;

  -- The entries run on from what each holding has, in the order of the movements.
  WITH leg AS (
         SELECT id, 0 AS side, at, from_account AS account_id, instrument_id,
                from_bucket AS bucket, -quantity AS delta FROM new_movement
         UNION ALL
         SELECT id, 1, at, to_account, instrument_id, to_bucket, quantity FROM new_movement)
  INSERT INTO entry (account_id, instrument_id, seq, movement_id, at, bucket, delta, after)
  SELECT leg.account_id, leg.instrument_id, h.version + row_number() OVER of_holding, leg.id,
         greatest(h.moved_at, max(leg.at) OVER of_holding), leg.bucket, leg.delta,
         (CASE leg.bucket
            WHEN $n THEN h.$bucket
          END
          + sum(leg.delta) OVER of_bucket)::bigint
    FROM leg JOIN holding h USING (account_id, instrument_id)
  WINDOW of_holding AS (PARTITION BY leg.account_id, leg.instrument_id
                        ORDER BY leg.id, leg.side ROWS UNBOUNDED PRECEDING),
         of_bucket AS (PARTITION BY leg.account_id, leg.instrument_id, leg.bucket
                       ORDER BY leg.id, leg.side ROWS UNBOUNDED PRECEDING);
  GET DIAGNOSTICS written = ROW_COUNT;
  IF written <> 2 * (SELECT count(*) FROM new_movement) THEN
    RAISE EXCEPTION 'a movement leaves a holding that does not exist'
      USING ERRCODE = 'foreign_key_violation';
  END IF;

  -- Each holding is written once, however many movements concern it.
  UPDATE holding h
     SET
         $bucket = h.$bucket + net.$bucket,
         version = h.version + net.legs,
         moved_at = greatest(h.moved_at, net.at)
    FROM (SELECT
                 sum(CASE bucket WHEN $n THEN delta ELSE 0 END)::bigint AS $bucket,
                 account_id, instrument_id, count(*) AS legs, max(at) AS at
            FROM (SELECT at, from_account AS account_id, instrument_id, from_bucket AS bucket,
                         -quantity AS delta FROM new_movement
                  UNION ALL
                  SELECT at, to_account, instrument_id, to_bucket, quantity FROM new_movement) leg
           GROUP BY account_id, instrument_id) AS net
   WHERE h.account_id = net.account_id AND h.instrument_id = net.instrument_id;

  PERFORM set_config(name, 'on', true)
     FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) AS name;
  RETURN NULL;
END $$;
