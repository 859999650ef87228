-- The second book (docs/adr/0078): what an independent checker computed of each day, sealed under a
-- digest that includes the day before.  The application's role reads it and never writes it.
CREATE TABLE audit_day (
  day DATE PRIMARY KEY,
  is_opening BOOLEAN NOT NULL,
  from_xid XID8 NOT NULL,
  to_xid XID8 NOT NULL,
  movements BIGINT NOT NULL,
  changes INTEGER NOT NULL,
  packages JSONB NOT NULL,
  previous BYTEA NOT NULL,
  digest BYTEA NOT NULL UNIQUE,
  sealed_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  recorded_xid XID8 DEFAULT pg_current_xact_id() NOT NULL,
  CONSTRAINT digest_is_sha256 CHECK (octet_length(digest) = 32 AND octet_length(previous) IN (0, 32))
);

-- The balance of a pocket at the end of a day on which it changed, in tonnes or fen.
CREATE TABLE audit_total (
  day DATE NOT NULL REFERENCES audit_day (day),
  account_id INTEGER NOT NULL,
  instrument_id INTEGER NOT NULL,
  bucket SMALLINT NOT NULL,
  balance BIGINT NOT NULL,
  PRIMARY KEY (account_id, instrument_id, bucket, day)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_day
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_total
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- A day begins where the one before ended, and covers ended transactions alone.
CREATE FUNCTION audit_day_follows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  last audit_day;
BEGIN
  PERFORM pg_advisory_xact_lock(7260018);
  SELECT * INTO last FROM audit_day ORDER BY day DESC LIMIT 1;
  IF NEW.day <= last.day
     OR NEW.is_opening AND last.day IS NOT NULL
     OR NEW.from_xid <> coalesce(last.to_xid, '0'::xid8)
     OR NEW.previous <> coalesce(last.digest, ''::bytea)
     OR NEW.to_xid < NEW.from_xid
     OR NEW.to_xid > pg_snapshot_xmin(pg_current_snapshot())
     OR NEW.recorded_xid <> pg_current_xact_id() THEN
    RAISE EXCEPTION 'day % does not follow the day before it', NEW.day
      USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_day_follows';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER audit_day_follows BEFORE INSERT ON audit_day
  FOR EACH ROW EXECUTE FUNCTION audit_day_follows();

-- Totals come with their day, in its transaction, and as many as it says.
CREATE FUNCTION audit_day_is_whole() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_TABLE_NAME = 'audit_day' THEN
    IF (SELECT count(*) FROM audit_total WHERE day = NEW.day) <> NEW.changes THEN
      RAISE EXCEPTION 'the totals of % are not as many as it says', NEW.day
        USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_day_is_whole';
    END IF;
  ELSIF EXISTS (SELECT FROM new_row n JOIN audit_day d USING (day)
                 WHERE d.recorded_xid <> pg_current_xact_id()) THEN
    RAISE EXCEPTION 'nothing is added to a sealed day'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'audit_day_is_whole';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER audit_day_is_whole AFTER INSERT ON audit_day
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_day_is_whole();
CREATE TRIGGER audit_day_is_whole AFTER INSERT ON audit_total
  REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION audit_day_is_whole();
