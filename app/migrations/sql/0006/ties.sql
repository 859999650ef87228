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

-- The event that a posting carries out: of its application and its transaction.
CREATE VIEW posting_event AS
SELECT p.id AS posting_id, e.*
  FROM posting p
  JOIN application_event e ON e.application_id = p.application_id AND e.recorded_xid = p.recorded_xid
   AND (p.stage, e.action) IN (('submission', 'submit'), ('approval', 'approve'),
                               ('withdrawal', 'withdraw'), ('sent_back', 'send_back'));

-- What is wrong with a posting; the trigger below asks for those of its transaction, verification
-- for all.  The lines are compared while the posting stands: what was sent back may be changed.
CREATE VIEW posting_fault AS
SELECT p.id, p.recorded_xid, found.fault
  FROM posting p
  LEFT JOIN application a ON a.id = p.application_id
  LEFT JOIN LATERAL (SELECT * FROM posting_event t WHERE t.posting_id = p.id
                      ORDER BY t.id DESC LIMIT 1) e ON true
 CROSS JOIN LATERAL (SELECT CASE
       WHEN EXISTS (SELECT FROM untied_business u WHERE u.business = p.business) THEN NULL
       WHEN p.application_id IS NULL THEN CASE
         WHEN NOT EXISTS (SELECT FROM settlement_run r
                           WHERE r.posting_id = p.id AND p.document = to_char(r.day, 'YYYY-MM-DD'))
           THEN 'carries out neither an application nor a day-end'
         WHEN (SELECT count(*) FROM movement m WHERE m.posting_id = p.id)
              <> (SELECT count(*) FROM movement m
                    JOIN posting_route r ON r.business = p.business AND r.stage = p.stage
                     AND (r.from_bucket, r.to_bucket) = (m.from_bucket, m.to_bucket)
                   WHERE m.posting_id = p.id AND m.from_account = m.to_account)
           THEN 'moves what no day-end moves'
         END
       WHEN e.id IS NULL THEN 'has no event of its transaction'
       WHEN p.business <> a.kind OR p.document <> a.number THEN 'is of another business'
       WHEN p.member_id IS DISTINCT FROM e.member_id THEN 'is of another member than its event'
       WHEN EXISTS (SELECT FROM movement m WHERE m.posting_id = p.id AND m.at <> e.at) THEN 'is of another time than its event'
       WHEN (p.stage, e.status) NOT IN (
              ('submission', 'in_review'), ('submission', 'pending_settlement'),
              ('approval', 'pending_settlement'), ('approval', 'approved'),
              ('withdrawal', 'withdrawn'), ('sent_back', 'returned'))
         THEN concat('does not fit its event, which reached ', e.status)
       WHEN (SELECT count(*) FROM posting o
              WHERE o.application_id = p.application_id AND o.recorded_xid = p.recorded_xid
                AND o.stage = p.stage AND (o.reverses_id IS NULL) = (p.reverses_id IS NULL))
            > (SELECT count(*) FROM posting_event t WHERE t.posting_id = p.id)
         THEN 'is one more than its events'
       WHEN p.reverses_id IS NOT NULL THEN CASE
         WHEN NOT EXISTS (SELECT FROM posting o
                           WHERE o.id = p.reverses_id AND o.application_id = p.application_id)
           THEN 'reverses another application''s posting'
         END
       WHEN p.stage NOT IN ('submission', 'approval') THEN 'reverses nothing'
       WHEN EXISTS (SELECT FROM posting o WHERE o.reverses_id = p.id) THEN NULL
       WHEN (SELECT array_agg(ROW (m.instrument_id, m.quantity, m.from_account, m.from_bucket,
                                   m.to_account, m.to_bucket)
                              ORDER BY m.instrument_id, m.quantity, m.to_account)
               FROM movement m WHERE m.posting_id = p.id) IS DISTINCT FROM (
              SELECT array_agg(ROW (l.instrument_id, l.quantity, coalesce(r.giver, a.account_id),
                                    r.from_bucket, w.receiver, r.to_bucket)
                               ORDER BY l.instrument_id, l.quantity, w.receiver)
                FROM application_line l
                JOIN posting_route r ON r.business = p.business AND r.stage = p.stage
                 AND r.at_colleague = (e.step < 0)
               CROSS JOIN LATERAL (
                     SELECT CASE WHEN r.to_receiver THEN coalesce(l.account_id, a.account_id)
                                 ELSE a.account_id END AS receiver) w
               WHERE l.application_id = p.application_id)
         THEN 'moves other tonnes than its application''s lines'
       END AS fault) found
 WHERE found.fault IS NOT NULL;

-- One check a statement, when the transaction ends: its first posting leads.
CREATE FUNCTION postings_are_tied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  beyond bigint;
  wrong record;
BEGIN
  SELECT min(id) INTO beyond FROM posting
   WHERE recorded_xid = NEW.recorded_xid AND id > NEW.id AND leads;
  SELECT id, fault INTO wrong FROM posting_fault
   WHERE recorded_xid = NEW.recorded_xid AND id >= NEW.id AND id < coalesce(beyond, id + 1)
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
    SELECT FROM (SELECT posting_id, min(id) AS first, min(posting_id) OVER () AS leader
                   FROM new_movement GROUP BY posting_id) m
      LEFT JOIN posting p ON p.id = m.posting_id
     WHERE p.recorded_xid IS DISTINCT FROM pg_current_xact_id()
        OR (m.posting_id = m.leader AND NOT p.leads)
        OR EXISTS (SELECT FROM movement o WHERE o.posting_id = m.posting_id AND o.id < m.first)) THEN
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
