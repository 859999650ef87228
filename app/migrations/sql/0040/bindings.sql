-- The end of a confirmed binding of the two CCER accounts (rules-2026 N83; docs/adr/0100): what was bound stays
-- to be read, and both accounts may be bound anew.
ALTER TABLE offset_binding
  ADD COLUMN ended_by_id BIGINT UNIQUE REFERENCES application (id),
  ADD COLUMN ended_at TIMESTAMPTZ,
  DROP CONSTRAINT offset_binding_state,
  ADD CONSTRAINT offset_binding_state CHECK (state IN ('asked', 'confirmed', 'declined', 'ended')),
  ADD CONSTRAINT offset_binding_ended CHECK (
    (state = 'ended') = (ended_at IS NOT NULL) AND (ended_at IS NULL) = (ended_by_id IS NULL));
DROP INDEX one_binding_an_account, one_binding_a_ccer_account;
CREATE UNIQUE INDEX one_binding_an_account ON offset_binding (account_id)
  WHERE state NOT IN ('declined', 'ended');
CREATE UNIQUE INDEX one_binding_a_ccer_account ON offset_binding (ccer_account)
  WHERE state NOT IN ('declined', 'ended');

-- As in 0030; a confirmed one ends once.
CREATE OR REPLACE FUNCTION offset_binding_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' AND NEW.state = 'asked' THEN
    RETURN NULL;
  ELSIF TG_OP = 'UPDATE' AND OLD.state = 'asked' AND NEW.state IN ('confirmed', 'declined')
     AND to_jsonb(NEW) - '{state,application_id,answered_at}'::text[]
         = to_jsonb(OLD) - '{state,application_id,answered_at}'::text[] THEN
    RETURN NULL;
  ELSIF TG_OP = 'UPDATE' AND OLD.state = 'confirmed' AND NEW.state = 'ended'
     AND to_jsonb(NEW) - '{state,ended_by_id,ended_at}'::text[]
         = to_jsonb(OLD) - '{state,ended_by_id,ended_at}'::text[] THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'a binding is asked for, answered once, and ended once'
    USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_binding_stays';
END $$;

-- What of an account's CCER is under way: units mirrored and neither offset nor released, and messages of ours
-- without an answer.
CREATE VIEW offset_busy AS
SELECT account_id, serial AS what FROM offset_unit WHERE state NOT IN ('registered', 'released')
 UNION ALL
SELECT account_id, number FROM offset_message
 WHERE direction = 'out' AND state IN ('pending', 'sent', 'unknown');

-- End bindings as their holders asked and the registry confirmed, or as two officers decided on a document, in the
-- approval's transaction; the other registry is told.
CREATE FUNCTION end_offset_bindings(asked bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  made integer;
BEGIN
  -- Whoever mirrors a unit waits, and then finds no binding; what came before is seen.
  PERFORM FROM offset_binding b
    JOIN application a ON b.id = (a.proposal ->> 'binding')::integer
   WHERE a.id = ANY(asked) ORDER BY b.id FOR UPDATE OF b;
  WITH finished AS (
         UPDATE offset_binding b SET state = 'ended', ended_by_id = a.id, ended_at = offset_acted(a.id)
           FROM application a
          WHERE a.id = ANY(asked) AND a.kind IN ('offset_binding_end', 'offset_binding_end_by_registry')
            AND approved_by_two(a.id) AND registry_officers_of(a.id)
                >= CASE a.kind WHEN 'offset_binding_end' THEN 1 ELSE 2 END
            AND b.id = (a.proposal ->> 'binding')::integer AND b.account_id = a.account_id
            AND b.state = 'confirmed'
            AND NOT EXISTS (SELECT FROM offset_busy w WHERE w.account_id = a.account_id)
         RETURNING b.*),
       told AS (
         INSERT INTO offset_message (direction, number, kind, account_id, binding_id, state, due_at,
                                     created_at, changed_at)
         SELECT 'out', 'ETS-E' || lpad(id::text, 10, '0'), 'answer', account_id, id, 'pending', ended_at,
                ended_at, ended_at
           FROM finished ORDER BY id
         RETURNING id, created_at),
       noted AS (
         INSERT INTO offset_message_event (message_id, what, source, at)
         SELECT id, 'pending', 'registry', created_at FROM told)
  SELECT count(*) INTO made FROM told;
  IF made <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'a binding does not end as it was asked for'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_binding_as_ended';
  END IF;
END $$;

-- Units are mirrored for who is bound; the binding stays until they are.
CREATE FUNCTION offset_unit_is_bound() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  PERFORM FROM offset_binding WHERE account_id = NEW.account_id AND state = 'confirmed' FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'account % is bound to none of the CCER registry', NEW.account_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_unit_is_bound';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER offset_unit_is_bound AFTER INSERT ON offset_unit
  FOR EACH ROW EXECUTE FUNCTION offset_unit_is_bound();
