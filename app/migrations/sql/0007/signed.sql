-- What is signed where signing is on, whoever writes it (docs/adr/0073).

-- Whether acts are signed here and whether business follows the real clock, from when on: written by
-- the owner, from the configuration.  What holds is the last row; events up to after_event are older.
CREATE TABLE operating_mode (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  signs BOOLEAN NOT NULL,
  is_production BOOLEAN NOT NULL,
  after_event BIGINT NOT NULL,
  set_at TIMESTAMPTZ DEFAULT now() NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON operating_mode
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- The events since signing is on, without those of times at which it was off.
CREATE VIEW event_under_signing AS
SELECT e.id, e.application_id, a.number, a.kind, a.status, e.action, e.member_id
  FROM application_event e JOIN application a ON a.id = e.application_id
 WHERE (SELECT m.signs FROM operating_mode m WHERE m.after_event < e.id ORDER BY m.id DESC LIMIT 1);

-- A signature is known by its transaction and recorded once: its content holds a challenge that
-- nobody else was given.
ALTER TABLE signature
  ADD COLUMN recorded_xid XID8 DEFAULT pg_current_xact_id() NOT NULL,
  DROP CONSTRAINT signature_purpose_known,
  ADD CONSTRAINT signature_purpose_known CHECK (
    purpose IN ('login', 'submit', 'review', 'withdraw', 'act', 'renew', 'other'));
DROP INDEX signature_digest;
CREATE UNIQUE INDEX signature_once ON signature (digest);
CREATE INDEX signature_recorded ON signature (recorded_xid);

-- A signature covers the event that it was made for: of its signer, with that action, of the
-- application whose content it names, and of each application once.
CREATE FUNCTION signature_covers() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  signed record;
  named jsonb;
  wrong bigint;
BEGIN
  FOR signed IN
    SELECT s.id, s.purpose, c.member_id, convert_from(s.content, 'UTF8')::jsonb -> 'payload' AS payload
      FROM signature s JOIN certificate c ON c.id = s.certificate_id
     WHERE s.id IN (SELECT signature_id FROM new_cover)
  LOOP
    SELECT jsonb_object_agg(i.number, i.sha256) INTO named
      FROM jsonb_to_recordset(coalesce(signed.payload -> 'items', '[]')) AS i (number text, sha256 text);
    SELECT e.id INTO wrong
      FROM new_cover n
      JOIN application_event e ON e.id = n.application_event_id
      JOIN application a ON a.id = e.application_id
     WHERE n.signature_id = signed.id
       AND ((e.member_id = signed.member_id
             AND CASE signed.payload ->> 'schema'
                   WHEN 'submission/1' THEN
                     signed.purpose = 'submit' AND e.action = 'submit'
                     AND n.content::jsonb ->> 'number' = a.number
                     AND signed.payload -> 'application' = n.content::jsonb
                   WHEN 'submissions/1' THEN
                     signed.purpose = 'submit' AND e.action = 'submit'
                     AND named ->> a.number = encode(sha256(convert_to(n.content, 'UTF8')), 'hex')
                   WHEN 'review/1' THEN
                     signed.purpose = 'review' AND e.action = signed.payload ->> 'decision'
                     AND e.action IN ('approve', 'send_back')
                     AND named ->> a.number = encode(sha256(convert_to(n.content, 'UTF8')), 'hex')
                   WHEN 'withdrawal/1' THEN
                     signed.purpose = 'withdraw' AND e.action = 'withdraw'
                     AND named ->> a.number = encode(sha256(convert_to(n.content, 'UTF8')), 'hex')
                   ELSE false
                 END) IS NOT TRUE
            OR EXISTS (SELECT FROM application_event y
                         JOIN signature_event x ON x.application_event_id = y.id
                        WHERE y.application_id = e.application_id AND y.id <> e.id
                          AND x.signature_id = signed.id))
     LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'signature % is not for event %', signed.id, wrong
        USING ERRCODE = 'check_violation', CONSTRAINT = 'signature_covers';
    END IF;
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER signature_covers AFTER INSERT ON signature_event
  REFERENCING NEW TABLE AS new_cover FOR EACH STATEMENT EXECUTE FUNCTION signature_covers();

-- Where acts are signed, none stands without its signature, made in the same transaction; a review
-- of many goes on for a day at most.  Machines submit what the exchange starts, and nothing else.
CREATE FUNCTION acts_are_signed() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  mode operating_mode;
BEGIN
  SELECT * INTO mode FROM operating_mode ORDER BY id DESC LIMIT 1;
  IF mode.is_production AND abs(extract(epoch FROM NEW.at - now())) > 3600 THEN
    RAISE EXCEPTION 'event % is of %', NEW.id, NEW.at
      USING ERRCODE = 'check_violation', CONSTRAINT = 'event_at_its_time';
  END IF;
  IF mode.signs IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  IF NEW.member_id IS NULL THEN
    IF NEW.action IN ('save', 'submit', 'refuse')
       AND EXISTS (SELECT FROM application a WHERE a.id = NEW.application_id
                      AND a.kind IN ('exchange_registry_to_trading', 'trading_to_registry')) THEN
      RETURN NULL;
    END IF;
    RAISE EXCEPTION 'no machine does what event % records', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'machines_do_their_part';
  END IF;
  IF NEW.action NOT IN ('save', 'discard')
     AND NOT EXISTS (SELECT FROM signature_event x JOIN signature s ON s.id = x.signature_id
                      WHERE x.application_event_id = NEW.id
                        AND (s.recorded_xid = pg_current_xact_id()
                             OR (s.purpose = 'review'
                                 AND s.recorded_at > now() - interval '1 day'))) THEN
    RAISE EXCEPTION 'event % is not signed', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'acts_are_signed';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER acts_are_signed AFTER INSERT ON application_event
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION acts_are_signed();

-- The same of acts on settings: the signature names what is set.  The owner installs and seeds.
CREATE FUNCTION settings_are_signed() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  acts text[];
  wanted jsonb;
  setter integer;
  holder integer;
BEGIN
  IF (SELECT signs FROM operating_mode ORDER BY id DESC LIMIT 1) IS NOT TRUE
     OR pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
    RETURN NULL;
  END IF;
  CASE TG_TABLE_NAME
    WHEN 'parameter' THEN
      acts := ARRAY['parameter.set'];
      setter := NEW.set_by;
      wanted := jsonb_build_object('parameter', NEW.name, 'value', NEW.value,
                                   'effective_from', NEW.effective_from::text);
    WHEN 'trading_day' THEN
      acts := ARRAY['calendar.change'];
      setter := NEW.changed_by;
      wanted := jsonb_build_object('day', NEW.day::text, 'is_trading', NEW.is_trading::text,
                                   'note', NEW.note);
    WHEN 'transfer_permission_change' THEN
      acts := ARRAY['account.transfer_permission'];
      setter := NEW.changed_by;
      wanted := jsonb_build_object(
        'account', (SELECT member_no FROM account WHERE id = NEW.account_id),
        'is_allowed', NEW.is_allowed::text);
    WHEN 'ab_user_role' THEN
      -- Who has no certificate yet gets it by an enrolment that names the role.
      holder := CASE TG_OP WHEN 'DELETE' THEN OLD.user_id ELSE NEW.user_id END;
      IF NOT EXISTS (SELECT FROM certificate WHERE member_id = holder) THEN
        RETURN NULL;
      END IF;
      acts := ARRAY['member.role', 'operator.role'];
      wanted := jsonb_build_object('member', (SELECT username FROM ab_user WHERE id = holder));
      IF TG_OP = 'INSERT' THEN
        wanted := wanted || jsonb_build_object(
          'roles', jsonb_build_array((SELECT name FROM ab_role WHERE id = NEW.role_id)));
      END IF;
  END CASE;
  IF NOT EXISTS (SELECT FROM signature s JOIN certificate c ON c.id = s.certificate_id
                  WHERE s.recorded_xid = pg_current_xact_id() AND s.purpose = 'act'
                    AND (setter IS NOT DISTINCT FROM c.member_id OR TG_TABLE_NAME = 'ab_user_role')
                    AND convert_from(s.content, 'UTF8')::jsonb -> 'payload' ->> 'act' = ANY(acts)
                    AND convert_from(s.content, 'UTF8')::jsonb -> 'payload'
                        @> jsonb_build_object('schema', 'act/1', 'values', wanted)) THEN
    RAISE EXCEPTION '% changes by signed acts alone: %', TG_TABLE_NAME, wanted
      USING ERRCODE = 'check_violation', CONSTRAINT = 'settings_are_signed';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER settings_are_signed AFTER INSERT ON parameter
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settings_are_signed();
CREATE CONSTRAINT TRIGGER settings_are_signed AFTER INSERT OR UPDATE ON trading_day
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settings_are_signed();
CREATE CONSTRAINT TRIGGER settings_are_signed AFTER INSERT ON transfer_permission_change
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settings_are_signed();
CREATE CONSTRAINT TRIGGER settings_are_signed AFTER INSERT OR DELETE ON ab_user_role
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settings_are_signed();
