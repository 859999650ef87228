-- A posting cannot stand alone (docs/adr/0058).  What each kind moves is written here by `flask init`
-- from the program's own list; the application's role only reads it.
CREATE TABLE posting_route (
  business VARCHAR(40) NOT NULL,
  stage VARCHAR(20) NOT NULL,
  at_colleague BOOLEAN NOT NULL,
  from_bucket SMALLINT NOT NULL,
  to_bucket SMALLINT NOT NULL,
  giver INTEGER,
  to_receiver BOOLEAN NOT NULL,
  PRIMARY KEY (business, stage, at_colleague, from_bucket)
);

-- Businesses whose postings carry out nothing: those of tests and benchmarks.  An installation has none.
CREATE TABLE untied_business (business VARCHAR(40) PRIMARY KEY);

ALTER TABLE posting
  ADD COLUMN recorded_xid XID8 DEFAULT pg_current_xact_id() NOT NULL,
  ADD COLUMN leads BOOLEAN DEFAULT false NOT NULL;
CREATE INDEX posting_recorded ON posting (recorded_xid, id);

ALTER TABLE application_event
  ADD COLUMN recorded_xid XID8 DEFAULT pg_current_xact_id() NOT NULL,
  ADD COLUMN status VARCHAR(20);
-- Once, for events of before: the last one reached the application's status, the others their own.
ALTER TABLE application_event DISABLE TRIGGER append_only;
UPDATE application_event e
   SET status = CASE
         WHEN e.id = (SELECT max(l.id) FROM application_event l WHERE l.application_id = a.id)
           THEN a.status
         WHEN e.action IN ('submit', 'approve')
           THEN CASE WHEN a.settles_on IS NULL THEN 'in_review' ELSE 'pending_settlement' END
         WHEN e.action = 'send_back' THEN 'returned'
         ELSE 'draft' END
  FROM application a WHERE a.id = e.application_id;
ALTER TABLE application_event ENABLE TRIGGER append_only;
ALTER TABLE application_event
  ALTER COLUMN status SET NOT NULL,
  ADD CONSTRAINT event_status_known CHECK (
    status IN ('draft', 'in_review', 'pending_settlement', 'approved', 'returned', 'withdrawn',
               'refused', 'discarded'));

-- What is wrong with a posting, or NULL; asked for those of a transaction as it ends, and by
-- verification for all.  The lines are compared while the posting stands: what was sent back may be
-- changed.  Each question finds a few rows by their keys, whatever the tables' statistics say.
CREATE FUNCTION posting_fault(p posting) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  act text := CASE p.stage WHEN 'submission' THEN 'submit' WHEN 'approval' THEN 'approve'
                           WHEN 'withdrawal' THEN 'withdraw' WHEN 'sent_back' THEN 'send_back' END;
  a record;
  e record;
  moved record;
BEGIN
  IF p.application_id IS NULL THEN
    IF EXISTS (SELECT FROM untied_business u WHERE u.business = p.business) THEN
      RETURN NULL;
    ELSIF NOT EXISTS (SELECT FROM settlement_run r WHERE r.posting_id = p.id
                         AND to_char(r.day, 'YYYY-MM-DD') = p.document) THEN
      RETURN 'carries out neither an application nor a day-end';
    ELSIF EXISTS (SELECT FROM movement m
                    LEFT JOIN posting_route r ON r.business = p.business AND r.stage = p.stage
                     AND r.from_bucket = m.from_bucket AND r.to_bucket = m.to_bucket
                   WHERE m.posting_id = p.id AND (r.stage IS NULL OR m.from_account <> m.to_account)) THEN
      RETURN 'moves what no day-end moves';
    END IF;
    RETURN NULL;
  END IF;
  SELECT kind, number, account_id INTO a FROM application WHERE id = p.application_id;
  SELECT step, status, member_id, at, count(*) OVER () AS events INTO e FROM application_event
   WHERE application_id = p.application_id AND recorded_xid = p.recorded_xid AND action = act
   ORDER BY id DESC LIMIT 1;
  IF NOT FOUND THEN
    RETURN 'has no event of its transaction';
  ELSIF p.business <> a.kind OR p.document <> a.number THEN
    RETURN 'is of another business';
  ELSIF p.member_id IS DISTINCT FROM e.member_id THEN
    RETURN 'is of another member than its event';
  ELSIF (p.stage, e.status) NOT IN (
          ('submission', 'in_review'), ('submission', 'pending_settlement'),
          ('approval', 'pending_settlement'), ('approval', 'approved'),
          ('withdrawal', 'withdrawn'), ('sent_back', 'returned')) THEN
    RETURN concat('does not fit its event, which reached ', e.status);
  ELSIF (SELECT count(*) FROM posting o
          WHERE o.application_id = p.application_id AND o.recorded_xid = p.recorded_xid
            AND o.stage = p.stage AND (o.reverses_id IS NULL) = (p.reverses_id IS NULL)) > e.events THEN
    RETURN 'is one more than its events';
  END IF;
  SELECT array_agg(ROW (m.instrument_id, m.quantity, m.from_account, m.from_bucket, m.to_account,
                        m.to_bucket)
                   ORDER BY m.instrument_id, m.quantity, m.to_account) AS rows,
         min(m.at) AS first, max(m.at) AS last
    INTO moved FROM movement m WHERE m.posting_id = p.id;
  IF moved.first <> e.at OR moved.last <> e.at THEN
    RETURN 'is of another time than its event';
  ELSIF p.reverses_id IS NOT NULL THEN
    IF p.application_id IS DISTINCT FROM
       (SELECT o.application_id FROM posting o WHERE o.id = p.reverses_id) THEN
      RETURN 'reverses another application''s posting';
    END IF;
  ELSIF p.stage NOT IN ('submission', 'approval') THEN
    RETURN 'reverses nothing';
  ELSIF EXISTS (SELECT FROM posting o WHERE o.reverses_id = p.id) THEN
    RETURN NULL;
  ELSIF moved.rows IS DISTINCT FROM (
          SELECT array_agg(ROW (l.instrument_id, l.quantity, coalesce(r.giver, a.account_id),
                                r.from_bucket, w.receiver, r.to_bucket)
                           ORDER BY l.instrument_id, l.quantity, w.receiver)
            FROM application_line l
            JOIN posting_route r ON r.business = p.business AND r.stage = p.stage
             AND r.at_colleague = (e.step < 0)
           CROSS JOIN LATERAL (
                 SELECT CASE WHEN r.to_receiver THEN coalesce(l.account_id, a.account_id)
                             ELSE a.account_id END AS receiver) w
           WHERE l.application_id = p.application_id) THEN
    RETURN 'moves other tonnes than its application''s lines';
  END IF;
  RETURN NULL;
END $$;

-- One check a statement, when the transaction ends: its first posting leads.
CREATE FUNCTION postings_are_tied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
DECLARE
  beyond bigint;
  wrong record;
BEGIN
  SELECT id INTO beyond FROM posting
   WHERE recorded_xid = NEW.recorded_xid AND id > NEW.id AND leads ORDER BY id LIMIT 1;
  SELECT id, found.fault INTO wrong FROM posting p CROSS JOIN LATERAL posting_fault(p) AS found (fault)
   WHERE recorded_xid = NEW.recorded_xid AND id >= NEW.id AND (beyond IS NULL OR id < beyond)
     AND found.fault IS NOT NULL
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'posting % %', wrong.id, wrong.fault
      USING ERRCODE = 'check_violation', CONSTRAINT = 'postings_are_tied';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER postings_are_tied AFTER INSERT ON posting
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.leads)
  EXECUTE FUNCTION postings_are_tied();

-- Movements come with their postings, in one statement, of which one posting leads: none is added to
-- an older posting, nor past the check.
CREATE FUNCTION movements_are_led() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  IF EXISTS (
    SELECT FROM (SELECT posting_id, count(*) AS movements, min(posting_id) OVER () AS leader
                   FROM new_movement GROUP BY posting_id) m
      LEFT JOIN posting p ON p.id = m.posting_id
     WHERE p.recorded_xid IS DISTINCT FROM pg_current_xact_id()
        OR (m.posting_id = m.leader AND NOT p.leads)
        OR (SELECT count(*) FROM movement o WHERE o.posting_id = m.posting_id) <> m.movements) THEN
    RAISE EXCEPTION 'movements come with their postings, of which the first leads'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'movements_are_led';
  END IF;
  RETURN NULL;
END $$;
-- By its name it runs after post_movements.
CREATE TRIGGER tie_movements AFTER INSERT ON movement
  REFERENCING NEW TABLE AS new_movement FOR EACH STATEMENT EXECUTE FUNCTION movements_are_led();

-- As before, but that postings name their transaction, too.
CREATE OR REPLACE FUNCTION block_root(previous bytea, first xid8, beyond xid8) RETURNS bytea
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT sha256(previous
                || coalesce(string_agg(movement_digest(m, p), ''::bytea ORDER BY m.id), ''))
    FROM movement m LEFT JOIN posting p ON p.id = m.posting_id
   WHERE m.recorded_xid >= first AND m.recorded_xid < beyond
$$;
