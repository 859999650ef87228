-- The logs are sealed afterwards, like the ledger: each block names its rows' digests and its
-- predecessor's root (docs/adr/0017).  Nothing here is called by whoever writes a log row.

-- What a row says, without its own number: two rows that change places are recognised as such.
-- JSON text is the same whatever the session's settings; times are microseconds since 1970.
CREATE FUNCTION log_digest(l operation_log) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(convert_to(jsonb_build_array(
    (extract(epoch FROM l.at) * 1000000)::bigint, l.member_id, l.member_no, l.ip, l.certificate,
    l.action, l.subject, l.account_id, l.result, l.detail, l.recorded_xid::text)::text, 'UTF8'))
$$;

CREATE FUNCTION log_digest(l login_record) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(convert_to(jsonb_build_array(
    (extract(epoch FROM l.at) * 1000000)::bigint, l.member_no, l.member_id, l.is_success,
    l.outcome, l.ip, l.user_agent, l.recorded_xid::text)::text, 'UTF8'))
$$;

-- The root of a block: its predecessor's, its bounds, and the digests of its rows in order.
CREATE FUNCTION log_root(previous bytea, block bigint, first xid8, beyond xid8) RETURNS bytea
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT sha256(previous || convert_to(concat_ws('|', block, first, beyond), 'UTF8')
                || coalesce(string_agg(convert_to(log, 'UTF8') || int8send(row_id) || digest,
                                       ''::bytea ORDER BY log, row_id), ''))
    FROM log_seal WHERE block_id = block
$$;

-- Seals what no transaction under way can still add to; returns the rows sealed.
CREATE FUNCTION seal_log() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  last log_block;
  first xid8;
  horizon xid8;
  block bigint;
  sealed bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(7260005);
  SELECT * INTO last FROM log_block ORDER BY id DESC LIMIT 1;
  first := coalesce(last.to_xid, '0'::xid8);
  block := coalesce(last.id, 0) + 1;
  horizon := pg_snapshot_xmin(pg_current_snapshot());
  INSERT INTO log_seal (block_id, log, row_id, digest)
  SELECT block, 'login_record', l.id, log_digest(l) FROM login_record l
   WHERE l.recorded_xid >= first AND l.recorded_xid < horizon
  UNION ALL
  SELECT block, 'operation_log', l.id, log_digest(l) FROM operation_log l
   WHERE l.recorded_xid >= first AND l.recorded_xid < horizon;
  GET DIAGNOSTICS sealed = ROW_COUNT;
  IF sealed > 0 THEN
    INSERT INTO log_block (id, from_xid, to_xid, rows, previous, root)
    VALUES (block, first, horizon, sealed, coalesce(last.root, ''),
            log_root(coalesce(last.root, ''), block, first, horizon));
  END IF;
  RETURN sealed;
END $$;

DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['log_block', 'log_seal', 'parameter'] LOOP
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                    FOR EACH STATEMENT EXECUTE FUNCTION append_only()', name);
  END LOOP;
END $$;
