-- Logs and their seals, parameters, the calendar, announcements, and messages and jobs on their way.
-- A log names whom and what it is about; it does not depend on them, nor hold them while it writes.
CREATE TABLE operation_log (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at TIMESTAMPTZ DEFAULT now() NOT NULL,
  member_id INTEGER,
  member_no VARCHAR(128) DEFAULT '' NOT NULL,
  ip VARCHAR(45) DEFAULT '' NOT NULL,
  action VARCHAR(60) NOT NULL,
  subject VARCHAR(120) DEFAULT '' NOT NULL,
  account_id INTEGER,
  result VARCHAR(20) DEFAULT 'done' NOT NULL,
  detail JSONB DEFAULT '{}' NOT NULL,
  certificate VARCHAR(64) DEFAULT '' NOT NULL,
  recorded_xid XID8 DEFAULT pg_current_xact_id() NOT NULL
);
CREATE INDEX operation_log_member ON operation_log (member_id, id);
CREATE INDEX operation_log_recorded ON operation_log (recorded_xid);

CREATE TABLE log_block (
  id BIGINT PRIMARY KEY,
  from_xid XID8 NOT NULL,
  to_xid XID8 NOT NULL,
  rows BIGINT NOT NULL,
  previous BYTEA NOT NULL,
  root BYTEA NOT NULL,
  sealed_at TIMESTAMPTZ DEFAULT now() NOT NULL
);

CREATE TABLE log_seal (
  log VARCHAR(20) NOT NULL,
  row_id BIGINT NOT NULL,
  block_id BIGINT NOT NULL,
  digest BYTEA NOT NULL,
  PRIMARY KEY (log, row_id)
);
CREATE INDEX log_seal_block ON log_seal (block_id);

CREATE TABLE parameter (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  value VARCHAR(100) NOT NULL,
  effective_from DATE NOT NULL,
  reason VARCHAR(300) NOT NULL,
  set_by INTEGER REFERENCES ab_user (id),
  set_at TIMESTAMPTZ DEFAULT now() NOT NULL
);
CREATE INDEX parameter_in_force ON parameter (name, effective_from, id);

CREATE TABLE trading_day (
  day DATE PRIMARY KEY,
  is_trading BOOLEAN NOT NULL,
  note VARCHAR(100) DEFAULT '' NOT NULL,
  changed_by INTEGER REFERENCES ab_user (id)
);

CREATE TABLE business_clock (
  id SMALLINT DEFAULT '1' PRIMARY KEY,
  ahead INTERVAL NOT NULL,
  CONSTRAINT one_clock CHECK (id = 1)
);

CREATE TABLE announcement (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  title VARCHAR(100) NOT NULL,
  text TEXT NOT NULL,
  audience VARCHAR(20) NOT NULL,
  province VARCHAR(2),
  is_pinned BOOLEAN DEFAULT false NOT NULL,
  version INTEGER DEFAULT 1 NOT NULL,
  written_by INTEGER NOT NULL REFERENCES ab_user (id),
  written_at TIMESTAMPTZ NOT NULL,
  published_by INTEGER REFERENCES ab_user (id),
  published_at TIMESTAMPTZ,
  withdrawn_by INTEGER REFERENCES ab_user (id),
  withdrawn_at TIMESTAMPTZ,
  CONSTRAINT announcement_by_two CHECK (published_by <> written_by),
  CONSTRAINT announcement_length CHECK (char_length(text) <= 5000),
  CONSTRAINT announcement_published CHECK ((published_at IS NULL) = (published_by IS NULL)),
  CONSTRAINT announcement_says_it CHECK (btrim(title) <> '' AND btrim(text) <> ''),
  CONSTRAINT announcement_withdrawn CHECK ((withdrawn_at IS NULL) = (withdrawn_by IS NULL)),
  CONSTRAINT audience_known CHECK (audience IN ('everybody', 'enterprises', 'authorities'))
);
CREATE INDEX announcement_out ON announcement (is_pinned, published_at, id)
  WHERE published_at IS NOT NULL AND withdrawn_at IS NULL;

CREATE TABLE announcement_reading (
  announcement_id BIGINT NOT NULL REFERENCES announcement (id),
  member_id INTEGER NOT NULL REFERENCES ab_user (id),
  read_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (announcement_id, member_id)
);

CREATE TABLE outbox_message (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  channel VARCHAR(10) NOT NULL,
  recipient VARCHAR(254) NOT NULL,
  subject VARCHAR(200) DEFAULT '' NOT NULL,
  body TEXT,
  purpose VARCHAR(40) NOT NULL,
  has_secret BOOLEAN DEFAULT false NOT NULL,
  member_id INTEGER REFERENCES ab_user (id),
  account_id INTEGER REFERENCES account (id),
  dedupe_key VARCHAR(200) UNIQUE,
  state VARCHAR(10) DEFAULT 'queued' NOT NULL,
  attempts SMALLINT DEFAULT '0' NOT NULL,
  created_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  due_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  ended_at TIMESTAMPTZ,
  CONSTRAINT message_channel_known CHECK (channel IN ('mail', 'sms')),
  CONSTRAINT message_state_known CHECK (state IN ('queued', 'sending', 'sent', 'failed')),
  CONSTRAINT secrets_do_not_stay
    CHECK (NOT has_secret OR body IS NULL OR state IN ('queued', 'sending'))
);
CREATE INDEX outbox_message_due ON outbox_message (due_at) WHERE state IN ('queued', 'sending');

CREATE TABLE outbox_attempt (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  message_id BIGINT NOT NULL REFERENCES outbox_message (id),
  number SMALLINT NOT NULL,
  at TIMESTAMPTZ DEFAULT now() NOT NULL,
  result VARCHAR(20) NOT NULL,
  detail VARCHAR(300) DEFAULT '' NOT NULL,
  CONSTRAINT attempt_result_known
    CHECK (result IN ('sent', 'unavailable', 'refused', 'off', 'lost'))
);
CREATE INDEX outbox_attempt_of ON outbox_attempt (message_id, id);

CREATE TABLE mailbox_message (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  message_id BIGINT NOT NULL UNIQUE REFERENCES outbox_message (id),
  channel VARCHAR(10) NOT NULL,
  recipient VARCHAR(254) NOT NULL,
  subject VARCHAR(200) DEFAULT '' NOT NULL,
  body TEXT NOT NULL,
  received_at TIMESTAMPTZ DEFAULT now() NOT NULL
);

CREATE TABLE job (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind VARCHAR(40) NOT NULL,
  title VARCHAR(200) DEFAULT '' NOT NULL,
  member_id INTEGER NOT NULL REFERENCES ab_user (id),
  account_id INTEGER REFERENCES account (id),
  ip VARCHAR(45) DEFAULT '' NOT NULL,
  arguments JSONB DEFAULT '{}' NOT NULL,
  total INTEGER NOT NULL,
  position INTEGER DEFAULT 0 NOT NULL,
  done INTEGER DEFAULT 0 NOT NULL,
  failed INTEGER DEFAULT 0 NOT NULL,
  state VARCHAR(10) DEFAULT 'queued' NOT NULL,
  result JSONB DEFAULT '{}' NOT NULL,
  error VARCHAR(500) DEFAULT '' NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  started_at TIMESTAMPTZ,
  ended_at TIMESTAMPTZ,
  changed_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  CONSTRAINT job_counts_sane CHECK (done + failed <= total),
  CONSTRAINT job_state_known CHECK (state IN ('queued', 'running', 'done', 'failed', 'aborted'))
);
CREATE INDEX job_member ON job (member_id, id);

CREATE TABLE job_failure (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id BIGINT NOT NULL REFERENCES job (id),
  item BIGINT,
  number VARCHAR(120) DEFAULT '' NOT NULL,
  subject VARCHAR(200) DEFAULT '' NOT NULL,
  reason VARCHAR(500) NOT NULL
);
CREATE INDEX job_failure_of ON job_failure (job_id, id);

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

-- 通知公告: what is published stays, and nobody takes a reading back.
CREATE FUNCTION announcement_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE restrict_violation USING CONSTRAINT = 'announcement_stays',
            MESSAGE = 'announcement_stays: announcements are withdrawn, never deleted';
    END IF;
    IF OLD.withdrawn_at IS NOT NULL
       OR (OLD.published_at IS NOT NULL
           AND (NEW.title, NEW.text, NEW.audience, NEW.province, NEW.written_by, NEW.written_at,
                NEW.version, NEW.published_by, NEW.published_at)
               IS DISTINCT FROM
               (OLD.title, OLD.text, OLD.audience, OLD.province, OLD.written_by, OLD.written_at,
                OLD.version, OLD.published_by, OLD.published_at)) THEN
        RAISE restrict_violation USING CONSTRAINT = 'announcement_stays',
            MESSAGE = concat('announcement_stays: announcement ', OLD.id, ' is out, or withdrawn');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER announcement_stays BEFORE UPDATE OR DELETE ON announcement
  FOR EACH ROW EXECUTE FUNCTION announcement_stays();

-- Append-only, each as a whole; an attestation may lapse, once.
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY[
    'posting', 'movement', 'entry', 'sealed_block', 'settlement_run', 'application_event',
    'operation_log', 'login_record', 'log_block', 'log_seal', 'parameter',
    'transfer_permission_change', 'colleague_review_change', 'notice_change', 'import_file',
    'signature', 'signature_event', 'crl', 'outbox_attempt', 'job_failure', 'announcement_reading']
  LOOP
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                    FOR EACH STATEMENT EXECUTE FUNCTION append_only()', name);
  END LOOP;
END $$;
CREATE TRIGGER append_only
  BEFORE DELETE OR TRUNCATE OR UPDATE OF id, number, code, kind, account_id, application_id,
                                         notice_id, content, issued_at, issued_by ON attestation
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER lapses_once BEFORE UPDATE ON attestation FOR EACH ROW
  WHEN (OLD.lapsed_at IS NOT NULL OR NEW.lapsed_at IS NULL) EXECUTE FUNCTION append_only();
