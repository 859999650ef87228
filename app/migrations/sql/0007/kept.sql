-- What stays as it was sent, decided or written (docs/adr/0074).

-- The content of an application changes while its applicant may edit it, and nothing of it once it
-- is decided for good.
CREATE OR REPLACE FUNCTION final_states_stay() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  wrong text;
BEGIN
  SELECT o.number INTO wrong
    FROM old_application o JOIN new_application n USING (id)
   WHERE o.status NOT IN ('draft', 'returned')
     AND ((n.number, n.kind, n.account_id, n.reason, n.category, n.document_no, n.authority,
           n.starts_on, n.ends_on, n.notice_id, n.import_id, n.proposal, n.request_key, n.form_key,
           n.created_by, n.created_at, n.submitted_by, n.submitted_at)
          IS DISTINCT FROM
          (o.number, o.kind, o.account_id, o.reason, o.category, o.document_no, o.authority,
           o.starts_on, o.ends_on, o.notice_id, o.import_id, o.proposal, o.request_key, o.form_key,
           o.created_by, o.created_at, o.submitted_by, o.submitted_at)
          OR (o.status IN ('approved', 'withdrawn', 'refused', 'discarded')
              AND (n.status, n.step, n.version, n.refusal, n.settles_on, n.posting_id)
                  IS DISTINCT FROM
                  (o.status, o.step, o.version, o.refusal, o.settles_on, o.posting_id)))
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'application % was submitted: its content stays, and all of it once it is final', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'final_states_stay';
  END IF;
  RETURN NULL;
END $$;

-- Receivers are named before the submission, and agree by an event of their own.
CREATE FUNCTION submitted_parties_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM touched_party p JOIN application a ON a.id = p.application_id
              WHERE a.status NOT IN ('draft', 'returned')) THEN
    RAISE EXCEPTION 'the receivers of a submitted application do not change'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'submitted_parties_stay';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER submitted_parties_stay_added AFTER INSERT ON application_party
  REFERENCING NEW TABLE AS touched_party
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_parties_stay();
CREATE TRIGGER submitted_parties_stay_removed AFTER DELETE ON application_party
  REFERENCING OLD TABLE AS touched_party
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_parties_stay();

CREATE FUNCTION agreement_has_its_event() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM application_event e JOIN ab_user m ON m.id = e.member_id
                  WHERE e.application_id = NEW.application_id AND e.action = 'approve'
                    AND e.member_id = NEW.agreed_by AND m.account_id = NEW.account_id
                    AND e.id > (SELECT max(s.id) FROM application_event s
                                 WHERE s.application_id = NEW.application_id
                                   AND s.action = 'submit')) THEN
    RAISE EXCEPTION 'receiver % has not agreed to application %', NEW.account_id, NEW.application_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'agreement_has_its_event';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER agreement_has_its_event AFTER INSERT OR UPDATE ON application_party
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.agreed_at IS NOT NULL)
  EXECUTE FUNCTION agreement_has_its_event();

-- A letter on its way keeps its words, but for a secret, which is wiped at the end.
CREATE FUNCTION letter_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (to_jsonb(NEW) - ARRAY['state', 'attempts', 'due_at', 'ended_at', 'body'])
     <> (to_jsonb(OLD) - ARRAY['state', 'attempts', 'due_at', 'ended_at', 'body'])
     OR (NEW.body IS DISTINCT FROM OLD.body
         AND (NEW.body IS NOT NULL OR NEW.state NOT IN ('sent', 'failed')))
     OR OLD.state IN ('sent', 'failed') THEN
    RAISE EXCEPTION 'letter % is on its way, or was', OLD.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'letter_stays';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER letter_stays BEFORE UPDATE ON outbox_message
  FOR EACH ROW EXECUTE FUNCTION letter_stays();

-- In production business follows the wall clock.
CREATE FUNCTION production_has_no_clock() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF (SELECT is_production FROM operating_mode ORDER BY id DESC LIMIT 1) THEN
    RAISE EXCEPTION 'the clock of production cannot be moved'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'production_has_no_clock';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER production_has_no_clock BEFORE INSERT OR UPDATE ON business_clock
  FOR EACH ROW EXECUTE FUNCTION production_has_no_clock();

-- Revocation lists follow one another, each at its time; whether the authority made one is verified
-- by `flask verify-log`.
CREATE FUNCTION lists_follow() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF (SELECT signs FROM operating_mode ORDER BY id DESC LIMIT 1)
     AND (NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM crl)
          OR abs(extract(epoch FROM NEW.issued_at - now())) > 3600) THEN
    RAISE EXCEPTION 'list % of % does not follow the last one', NEW.number, NEW.issued_at
      USING ERRCODE = 'check_violation', CONSTRAINT = 'lists_follow';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER lists_follow BEFORE INSERT ON crl FOR EACH ROW EXECUTE FUNCTION lists_follow();

-- Whoever changes a person's sign-in or address leaves a line in the sealed log.
CREATE FUNCTION person_has_a_log_line() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF (SELECT signs FROM operating_mode ORDER BY id DESC LIMIT 1)
     AND NOT EXISTS (SELECT FROM operation_log l
                      WHERE l.recorded_xid = pg_current_xact_id()
                        AND (l.subject = NEW.username OR l.member_id = NEW.id
                             OR l.account_id = NEW.account_id)) THEN
    RAISE EXCEPTION 'no line in the log is about member %', NEW.username
      USING ERRCODE = 'check_violation', CONSTRAINT = 'person_has_a_log_line';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER person_has_a_log_line
  AFTER UPDATE OF password, active, email, first_name ON ab_user
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN ((OLD.password, OLD.active, OLD.email, OLD.first_name)
        IS DISTINCT FROM (NEW.password, NEW.active, NEW.email, NEW.first_name))
  EXECUTE FUNCTION person_has_a_log_line();
