-- The ledger: holdings, postings, movements, entries and sealed blocks.  A line that names $bucket
-- stands for every bucket (app/migrations/buckets.py).

CREATE TABLE instrument (
  id SERIAL PRIMARY KEY,
  code VARCHAR(20) NOT NULL UNIQUE,
  name VARCHAR(100) NOT NULL,
  vintage SMALLINT NOT NULL,
  kind VARCHAR(20) DEFAULT 'allowance' NOT NULL,
  CONSTRAINT instrument_kind_known CHECK (kind IN ('allowance', 'offset'))
);

CREATE TABLE venue (
  id SERIAL PRIMARY KEY,
  code VARCHAR(20) NOT NULL UNIQUE,
  name VARCHAR(100) NOT NULL
);

CREATE TABLE venue_instrument (
  venue_id INTEGER NOT NULL REFERENCES venue (id),
  instrument_id INTEGER NOT NULL REFERENCES instrument (id),
  trade_code VARCHAR(20) NOT NULL,
  PRIMARY KEY (venue_id, instrument_id)
);

-- What an account holds of an instrument, in tonnes: a column for each bucket.
CREATE TABLE holding (
  account_id INTEGER NOT NULL REFERENCES account (id),
  instrument_id INTEGER NOT NULL REFERENCES instrument (id),
  $bucket BIGINT DEFAULT '0' NOT NULL,
  version BIGINT DEFAULT '0' NOT NULL,
  moved_at TIMESTAMPTZ DEFAULT '-infinity' NOT NULL,
  CONSTRAINT never_negative CHECK ($never_negative),
  CONSTRAINT only_the_issuance_account_issues
    CHECK (issued = 0 OR (issued < 0 AND account_id = 1)),
  PRIMARY KEY (account_id, instrument_id)
) WITH (fillfactor = 70);

CREATE TABLE posting (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  business VARCHAR(40) NOT NULL,
  stage VARCHAR(20) NOT NULL,
  request_key VARCHAR(120) NOT NULL UNIQUE,
  document VARCHAR(60) DEFAULT '' NOT NULL,
  application_id BIGINT,
  reverses_id BIGINT UNIQUE,
  member_id INTEGER,
  recorded_at TIMESTAMPTZ DEFAULT now() NOT NULL
);
CREATE INDEX posting_application ON posting (application_id) WHERE application_id IS NOT NULL;

CREATE TABLE movement (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  posting_id BIGINT NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  instrument_id INTEGER NOT NULL,
  quantity BIGINT NOT NULL,
  from_account INTEGER NOT NULL,
  from_bucket SMALLINT NOT NULL,
  to_account INTEGER NOT NULL,
  to_bucket SMALLINT NOT NULL,
  recorded_xid XID8 DEFAULT pg_current_xact_id() NOT NULL,
  CONSTRAINT bucket_known CHECK ($bucket_known),
  CONSTRAINT goes_somewhere CHECK (from_account <> to_account OR from_bucket <> to_bucket),
  CONSTRAINT quantity_positive CHECK (quantity > 0)
);
CREATE INDEX movement_posting ON movement (posting_id);
CREATE INDEX movement_recorded ON movement (recorded_xid);

CREATE TABLE entry (
  account_id INTEGER NOT NULL,
  instrument_id INTEGER NOT NULL,
  seq BIGINT NOT NULL,
  movement_id BIGINT NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  bucket SMALLINT NOT NULL,
  delta BIGINT NOT NULL,
  after BIGINT NOT NULL,
  PRIMARY KEY (account_id, instrument_id, seq)
);

CREATE TABLE sealed_block (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  from_xid XID8 NOT NULL,
  to_xid XID8 NOT NULL,
  movements BIGINT NOT NULL,
  root BYTEA NOT NULL,
  sealed_at TIMESTAMPTZ DEFAULT now() NOT NULL
);

CREATE TABLE settlement_run (
  day DATE PRIMARY KEY,
  at TIMESTAMPTZ NOT NULL,
  recorded_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  posting_id BIGINT,
  to_trading_holdings INTEGER NOT NULL,
  to_trading_quantity BIGINT NOT NULL,
  to_registry_holdings INTEGER NOT NULL,
  to_registry_quantity BIGINT NOT NULL,
  member_id INTEGER REFERENCES ab_user (id)
);

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

-- A holding is written by posting alone, whoever asks.  The condition spares the posting trigger
-- the call.
CREATE FUNCTION holding_is_derived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'holding is written by movements alone' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER holding_is_derived BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON holding
  FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION holding_is_derived();

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
