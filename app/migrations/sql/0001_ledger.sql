-- Inserting a movement is posting it: one statement trigger locks the holdings concerned in key
-- order, moves each once, and writes two entries a movement that carry the balance after them.
-- The application's role inserts movements and can write nothing that is derived from them.

CREATE FUNCTION post_movements() RETURNS trigger
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
  IF one.how_many = 1 AND one.from_bucket <> 12
     AND (holdings = 1 OR EXISTS (SELECT FROM holding WHERE account_id = one.to_account
                                     AND instrument_id = one.instrument_id)) THEN
    FOR turn IN 1 .. holdings LOOP
      concerned := CASE turn WHEN 1 THEN least(one.from_account, one.to_account)
                             ELSE greatest(one.from_account, one.to_account) END;
      change := '{0,0,0,0,0,0,0,0,0,0,0,0}';
      IF concerned = one.from_account THEN change[one.from_bucket] := -one.quantity; END IF;
      IF concerned = one.to_account THEN change[one.to_bucket] := one.quantity; END IF;
      UPDATE holding
         SET version = version + 3 - holdings,
             moved_at = greatest(moved_at, one.at),
             available = available + change[1],
             reserved = reserved + change[2],
             frozen = frozen + change[3],
             pending_to_trading = pending_to_trading + change[4],
             trading = trading + change[5],
             pending_to_registry = pending_to_registry + change[6],
             custody = custody + change[7],
             in_return = in_return + change[8],
             surrendered = surrendered + change[9],
             cancelled = cancelled + change[10],
             confiscated = confiscated + change[11],
             issued = issued + change[12]
       WHERE account_id = concerned AND instrument_id = one.instrument_id
      RETURNING version, moved_at, ARRAY[available, reserved, frozen, pending_to_trading, trading, pending_to_registry,
                             custody, in_return, surrendered, cancelled, confiscated, issued]
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
          SELECT from_account, instrument_id FROM new_movement WHERE from_bucket = 12) m
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
            WHEN 1 THEN h.available WHEN 2 THEN h.reserved WHEN 3 THEN h.frozen
            WHEN 4 THEN h.pending_to_trading WHEN 5 THEN h.trading WHEN 6 THEN h.pending_to_registry
            WHEN 7 THEN h.custody WHEN 8 THEN h.in_return WHEN 9 THEN h.surrendered
            WHEN 10 THEN h.cancelled WHEN 11 THEN h.confiscated ELSE h.issued END
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
     SET version = h.version + net.legs,
         moved_at = greatest(h.moved_at, net.at),
         available = h.available + net.available,
         reserved = h.reserved + net.reserved,
         frozen = h.frozen + net.frozen,
         pending_to_trading = h.pending_to_trading + net.pending_to_trading,
         trading = h.trading + net.trading,
         pending_to_registry = h.pending_to_registry + net.pending_to_registry,
         custody = h.custody + net.custody,
         in_return = h.in_return + net.in_return,
         surrendered = h.surrendered + net.surrendered,
         cancelled = h.cancelled + net.cancelled,
         confiscated = h.confiscated + net.confiscated,
         issued = h.issued + net.issued
    FROM (SELECT account_id, instrument_id, count(*) AS legs, max(at) AS at,
                 sum(CASE bucket WHEN 1 THEN delta ELSE 0 END)::bigint AS available,
                 sum(CASE bucket WHEN 2 THEN delta ELSE 0 END)::bigint AS reserved,
                 sum(CASE bucket WHEN 3 THEN delta ELSE 0 END)::bigint AS frozen,
                 sum(CASE bucket WHEN 4 THEN delta ELSE 0 END)::bigint AS pending_to_trading,
                 sum(CASE bucket WHEN 5 THEN delta ELSE 0 END)::bigint AS trading,
                 sum(CASE bucket WHEN 6 THEN delta ELSE 0 END)::bigint AS pending_to_registry,
                 sum(CASE bucket WHEN 7 THEN delta ELSE 0 END)::bigint AS custody,
                 sum(CASE bucket WHEN 8 THEN delta ELSE 0 END)::bigint AS in_return,
                 sum(CASE bucket WHEN 9 THEN delta ELSE 0 END)::bigint AS surrendered,
                 sum(CASE bucket WHEN 10 THEN delta ELSE 0 END)::bigint AS cancelled,
                 sum(CASE bucket WHEN 11 THEN delta ELSE 0 END)::bigint AS confiscated,
                 sum(CASE bucket WHEN 12 THEN delta ELSE 0 END)::bigint AS issued
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

CREATE TRIGGER post_movements AFTER INSERT ON movement
  REFERENCING NEW TABLE AS new_movement FOR EACH STATEMENT EXECUTE FUNCTION post_movements();

-- A reversal carries exactly the reversed posting's movements, turned round.
CREATE FUNCTION reverse_exactly() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF EXISTS (
    (SELECT instrument_id, quantity, from_account, from_bucket, to_account, to_bucket
       FROM movement WHERE posting_id = NEW.reverses_id
     EXCEPT ALL
     SELECT instrument_id, quantity, to_account, to_bucket, from_account, from_bucket
       FROM movement WHERE posting_id = NEW.id)
    UNION ALL
    (SELECT instrument_id, quantity, to_account, to_bucket, from_account, from_bucket
       FROM movement WHERE posting_id = NEW.id
     EXCEPT ALL
     SELECT instrument_id, quantity, from_account, from_bucket, to_account, to_bucket
       FROM movement WHERE posting_id = NEW.reverses_id)) THEN
    RAISE EXCEPTION 'posting % does not reverse posting % exactly', NEW.id, NEW.reverses_id
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER reverse_exactly AFTER INSERT ON posting
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.reverses_id IS NOT NULL) EXECUTE FUNCTION reverse_exactly();

-- Append-only, whoever asks: the owner of the tables included.
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['posting', 'movement', 'entry', 'sealed_block', 'application_event',
                              'operation_log', 'login_record', 'transfer_permission_change',
                              'settlement_run'] LOOP
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                    FOR EACH STATEMENT EXECUTE FUNCTION append_only()', name);
  END LOOP;
END $$;

-- A holding is written by posting alone, whoever asks.  The condition spares the posting trigger
-- the call.
CREATE FUNCTION holding_is_derived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'holding is written by movements alone' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER holding_is_derived BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON holding
  FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION holding_is_derived();

-- A final state never changes.
CREATE FUNCTION final_states_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM old_application o JOIN new_application n USING (id)
              WHERE o.status IN ('approved', 'withdrawn', 'refused')
                AND (n.status <> o.status OR n.kind <> o.kind OR n.account_id <> o.account_id
                     OR n.posting_id IS DISTINCT FROM o.posting_id)) THEN
    RAISE EXCEPTION 'an application in a final state does not change'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'final_states_stay';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER final_states_stay AFTER UPDATE ON application
  REFERENCING OLD TABLE AS old_application NEW TABLE AS new_application
  FOR EACH STATEMENT EXECUTE FUNCTION final_states_stay();

-- What was submitted keeps its lines, in every state that is not open to its applicant.
CREATE FUNCTION submitted_lines_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM touched_line l JOIN application a ON a.id = l.application_id
              WHERE a.status NOT IN ('draft', 'returned')) THEN
    RAISE EXCEPTION 'the lines of a submitted application do not change'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'submitted_lines_stay';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER submitted_lines_stay_added AFTER INSERT ON application_line
  REFERENCING NEW TABLE AS touched_line
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_lines_stay();
CREATE TRIGGER submitted_lines_stay_changed AFTER UPDATE ON application_line
  REFERENCING OLD TABLE AS touched_line
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_lines_stay();
CREATE TRIGGER submitted_lines_stay_removed AFTER DELETE ON application_line
  REFERENCING OLD TABLE AS touched_line
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_lines_stay();

-- Sealing: a block covers the transaction ids below the snapshot's horizon, so that no late
-- commit slips in behind it; its root includes the previous block's.
CREATE FUNCTION movement_digest(m movement, p posting) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(int8send(m.id) || int8send(m.posting_id) || timestamptz_send(m.at)
    || int4send(m.instrument_id) || int8send(m.quantity) || int4send(m.from_account)
    || int2send(m.from_bucket) || int4send(m.to_account) || int2send(m.to_bucket)
    || textsend(concat_ws(E'\x1f', p.business, p.stage, p.request_key, p.document,
                          coalesce(p.application_id, 0), coalesce(p.reverses_id, 0),
                          coalesce(p.member_id, 0))))
$$;

CREATE FUNCTION block_root(previous bytea, first xid8, beyond xid8) RETURNS bytea
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT sha256(previous
                || coalesce(string_agg(movement_digest(m, p), ''::bytea ORDER BY m.id), ''))
    FROM movement m LEFT JOIN posting p ON p.id = m.posting_id
   WHERE recorded_xid >= first AND recorded_xid < beyond
$$;

CREATE FUNCTION seal_movements() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  last sealed_block;
  horizon xid8;
  sealed bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(7260001);
  SELECT * INTO last FROM sealed_block ORDER BY id DESC LIMIT 1;
  horizon := pg_snapshot_xmin(pg_current_snapshot());
  SELECT count(*) INTO sealed FROM movement
   WHERE recorded_xid >= coalesce(last.to_xid, '0'::xid8) AND recorded_xid < horizon;
  IF sealed > 0 THEN
    INSERT INTO sealed_block (from_xid, to_xid, movements, root)
    VALUES (coalesce(last.to_xid, '0'::xid8), horizon, sealed,
            block_root(coalesce(last.root, ''), coalesce(last.to_xid, '0'::xid8), horizon));
  END IF;
  RETURN sealed;
END $$;

-- The national issuance account: the only holder whose `issued` goes below zero.
INSERT INTO account (id, member_no, name, kind) VALUES (1, '00000000001', '全国碳排放权配额发放账户', 'registry');
SELECT setval(pg_get_serial_sequence('account', 'id'), 100);
