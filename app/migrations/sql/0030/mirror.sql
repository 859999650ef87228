-- CCER待抵销 (rules-2026 N80-N91; docs/adr/0091): what the CCER registry has frozen for offset, in tonnes.
-- Nothing of it is a holding; it comes, and goes on, by signed messages of that registry alone.

-- 账户绑定 (N80): started there, confirmed here, one to one.
CREATE TABLE offset_binding (
  id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ccer_account VARCHAR(40) NOT NULL,
  account_id INTEGER NOT NULL REFERENCES account (id),
  uscc VARCHAR(18) NOT NULL,
  name VARCHAR(200) NOT NULL,
  state VARCHAR(10) DEFAULT 'asked' NOT NULL,
  asked_at TIMESTAMPTZ NOT NULL,
  application_id BIGINT UNIQUE REFERENCES application (id),
  answered_at TIMESTAMPTZ,
  CONSTRAINT offset_binding_state CHECK (state IN ('asked', 'confirmed', 'declined')),
  CONSTRAINT offset_binding_answered CHECK (
    (state = 'asked') = (answered_at IS NULL) AND (answered_at IS NULL) = (application_id IS NULL))
);
CREATE UNIQUE INDEX one_binding_an_account ON offset_binding (account_id) WHERE state <> 'declined';
CREATE UNIQUE INDEX one_binding_a_ccer_account ON offset_binding (ccer_account) WHERE state <> 'declined';

-- A unit is what one message told of, and goes as a whole.  Old stock was cancelled before it was told of.
CREATE TABLE offset_unit (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES account (id),
  project_no VARCHAR(40) NOT NULL,
  project_name VARCHAR(200) NOT NULL,
  project_type VARCHAR(100) NOT NULL,
  period_from DATE NOT NULL,
  period_to DATE NOT NULL,
  registered_on DATE NOT NULL,
  first_serial BIGINT NOT NULL,
  last_serial BIGINT NOT NULL,
  quantity BIGINT NOT NULL,
  in_ets BOOLEAN NOT NULL,
  is_cancelled_before BOOLEAN DEFAULT false NOT NULL,
  state VARCHAR(20) DEFAULT 'frozen' NOT NULL,
  application_id BIGINT REFERENCES application (id),
  received_at TIMESTAMPTZ NOT NULL,
  changed_at TIMESTAMPTZ NOT NULL,
  serial VARCHAR(90) GENERATED ALWAYS AS (project_no || '-' || first_serial || '~' || last_serial) STORED,
  CONSTRAINT offset_unit_quantity CHECK (quantity > 0 AND last_serial - first_serial + 1 = quantity),
  CONSTRAINT offset_unit_period CHECK (period_from <= period_to),
  CONSTRAINT offset_unit_state CHECK (
    state IN ('frozen', 'in_application', 'approved', 'cancel_ordered', 'cancelled', 'registered',
              'release_ordered', 'released')),
  CONSTRAINT offset_unit_application CHECK (
    state IN ('frozen', 'released', 'release_ordered') OR application_id IS NOT NULL)
);
CREATE INDEX offset_unit_of_account ON offset_unit (account_id, state);
CREATE INDEX offset_unit_of_application ON offset_unit (application_id) WHERE application_id IS NOT NULL;
CREATE INDEX offset_unit_serials ON offset_unit (project_no, first_serial);

-- Every state of a unit, with the application that brought it there; written by the database alone.
CREATE TABLE offset_event (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  unit_id BIGINT NOT NULL REFERENCES offset_unit (id),
  state VARCHAR(20) NOT NULL,
  application_id BIGINT REFERENCES application (id),
  at TIMESTAMPTZ NOT NULL,
  recorded_xid xid8 DEFAULT pg_current_xact_id() NOT NULL
);
CREATE INDEX offset_event_of ON offset_event (unit_id, id);

-- 往来报文 (N88): theirs (in) with our reply, ours (out) with theirs.
CREATE TABLE offset_message (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  direction VARCHAR(3) NOT NULL,
  number VARCHAR(40) NOT NULL,
  kind VARCHAR(10) NOT NULL,
  account_id INTEGER REFERENCES account (id),
  unit_id BIGINT REFERENCES offset_unit (id),
  binding_id INTEGER REFERENCES offset_binding (id),
  quantity BIGINT,
  state VARCHAR(10) NOT NULL,
  reason VARCHAR(300) DEFAULT '' NOT NULL,
  due_at TIMESTAMPTZ NOT NULL,
  queries INTEGER DEFAULT 0 NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  changed_at TIMESTAMPTZ NOT NULL,
  CONSTRAINT offset_message_once UNIQUE (direction, number),
  CONSTRAINT offset_message_known CHECK (
    CASE direction WHEN 'in' THEN kind IN ('binding', 'freeze', 'report', 'unfreeze')
                                  AND state IN ('done', 'refused')
         WHEN 'out' THEN kind IN ('answer', 'cancel', 'release')
                         AND state IN ('pending', 'sent', 'unknown', 'done', 'refused')
                         AND num_nonnulls(unit_id, binding_id) = 1 AND account_id IS NOT NULL
         ELSE false END)
);
CREATE INDEX offset_message_due ON offset_message (due_at)
  WHERE state IN ('pending', 'sent', 'unknown');
CREATE INDEX offset_message_of_unit ON offset_message (unit_id, id);

-- What passed about a message: ``content`` is the text that the other registry signed.
CREATE TABLE offset_message_event (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  message_id BIGINT NOT NULL REFERENCES offset_message (id),
  what VARCHAR(15) NOT NULL,
  source VARCHAR(8) NOT NULL,
  reason VARCHAR(300) DEFAULT '' NOT NULL,
  content TEXT DEFAULT '' NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  recorded_xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
  CONSTRAINT offset_message_event_known CHECK (
    what IN ('pending', 'sent', 'unknown', 'done', 'refused', 'contradiction')
    AND source IN ('registry', 'notice', 'answer', 'query'))
);
CREATE INDEX offset_message_event_of ON offset_message_event (message_id, id);

-- 夜间比对 (N89): asked for once a night, and by officers.
CREATE TABLE offset_comparison (
  id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  day DATE NOT NULL,
  asked_at TIMESTAMPTZ NOT NULL,
  asked_by INTEGER REFERENCES ab_user (id),
  compared_at TIMESTAMPTZ,
  enterprises INTEGER,
  differences INTEGER,
  CONSTRAINT offset_comparison_done CHECK (num_nonnulls(compared_at, enterprises, differences) IN (0, 3))
);
CREATE UNIQUE INDEX one_comparison_a_night ON offset_comparison (day) WHERE asked_by IS NULL;
CREATE UNIQUE INDEX one_comparison_waits ON offset_comparison ((true)) WHERE compared_at IS NULL;

CREATE TABLE offset_difference (
  id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  comparison_id INTEGER NOT NULL REFERENCES offset_comparison (id),
  account_id INTEGER REFERENCES account (id),
  uscc VARCHAR(18) NOT NULL,
  ours BIGINT NOT NULL,
  theirs BIGINT NOT NULL,
  CONSTRAINT offset_difference_differs CHECK (ours <> theirs)
);
CREATE INDEX offset_difference_of ON offset_difference (comparison_id, account_id);

-- The differences of the last comparison; each restricts offset of its enterprise alone.
CREATE VIEW open_offset_difference AS
SELECT d.id, d.account_id, d.uscc, d.ours, d.theirs FROM offset_difference d
 WHERE d.comparison_id = (SELECT max(id) FROM offset_comparison WHERE compared_at IS NOT NULL);

DO $$
DECLARE
  kept text;
BEGIN
  FOREACH kept IN ARRAY ARRAY['offset_event', 'offset_message_event', 'offset_difference'] LOOP
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION append_only()', kept);
  END LOOP;
  FOREACH kept IN ARRAY ARRAY['offset_unit', 'offset_message', 'offset_binding', 'offset_comparison'] LOOP
    EXECUTE format('CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON %I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION append_only()', kept);
  END LOOP;
END $$;

-- A unit begins as frozen, is told of once, and goes the way of N81 and N82 alone.
CREATE FUNCTION offset_unit_moves() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.state <> 'frozen' OR NEW.application_id IS NOT NULL THEN
      RAISE EXCEPTION 'a mirrored unit begins as frozen'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_unit_moves';
    END IF;
    PERFORM pg_advisory_xact_lock(7260091);  -- Of two overlapping blocks the second sees the first.
    -- Live blocks do not overlap, so that the last one that begins before this one ends tells.
    IF NEW.first_serial <= (SELECT u.last_serial FROM offset_unit u
                             WHERE u.project_no = NEW.project_no AND u.state <> 'released'
                               AND u.id <> NEW.id AND u.first_serial <= NEW.last_serial
                             ORDER BY u.first_serial DESC LIMIT 1) THEN
      RAISE EXCEPTION 'serials of % are mirrored already', NEW.project_no
        USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_serials_once';
    END IF;
  ELSIF to_jsonb(NEW) - '{state,application_id,changed_at}'::text[]
        <> to_jsonb(OLD) - '{state,application_id,changed_at}'::text[]
     OR NEW.state = OLD.state
     OR concat(OLD.state, ' ', NEW.state) NOT IN (
          'frozen in_application', 'frozen released', 'in_application approved',
          'in_application release_ordered', 'in_application frozen', 'approved cancel_ordered',
          'approved registered', 'cancel_ordered cancelled', 'cancel_ordered release_ordered',
          'cancelled registered', 'release_ordered released')
     OR (OLD.is_cancelled_before
         AND NEW.state IN ('release_ordered', 'cancel_ordered', 'released'))
     OR (NOT OLD.is_cancelled_before
         AND concat(OLD.state, ' ', NEW.state) IN ('in_application frozen', 'approved registered')) THEN
    RAISE EXCEPTION 'mirrored unit % does not go from % to %', OLD.id, OLD.state, NEW.state
      USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_unit_moves';
  END IF;
  INSERT INTO offset_event (unit_id, state, application_id, at)
  VALUES (NEW.id, NEW.state, NEW.application_id, NEW.changed_at);
  RETURN NULL;
END $$;
CREATE TRIGGER offset_unit_moves AFTER INSERT OR UPDATE ON offset_unit
  FOR EACH ROW EXECUTE FUNCTION offset_unit_moves();

-- A message keeps what it says; ours goes pending, sent, unknown, and ends once.
CREATE FUNCTION offset_message_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.direction = 'out' AND NEW.state <> 'pending' THEN
      RAISE EXCEPTION 'a message of ours begins as pending'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_message_moves';
    END IF;
  ELSIF to_jsonb(NEW) - '{state,reason,due_at,queries,changed_at}'::text[]
        <> to_jsonb(OLD) - '{state,reason,due_at,queries,changed_at}'::text[]
     OR (NEW.state <> OLD.state
         AND concat(OLD.state, ' ', NEW.state) NOT IN (
               'pending sent', 'sent unknown', 'sent done', 'sent refused', 'unknown done',
               'unknown refused')) THEN
    RAISE EXCEPTION 'message % does not go from % to %', OLD.number, OLD.state, NEW.state
      USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_message_moves';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER offset_message_moves AFTER INSERT OR UPDATE ON offset_message
  FOR EACH ROW EXECUTE FUNCTION offset_message_moves();

CREATE FUNCTION offset_binding_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' AND NEW.state = 'asked' THEN
    RETURN NULL;
  ELSIF TG_OP = 'UPDATE' AND OLD.state = 'asked' AND NEW.state <> 'asked'
     AND to_jsonb(NEW) - '{state,application_id,answered_at}'::text[]
         = to_jsonb(OLD) - '{state,application_id,answered_at}'::text[] THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'a binding is asked for, and answered once'
    USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_binding_stays';
END $$;
CREATE TRIGGER offset_binding_stays AFTER INSERT OR UPDATE ON offset_binding
  FOR EACH ROW EXECUTE FUNCTION offset_binding_stays();

CREATE FUNCTION offset_comparison_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.compared_at IS NOT NULL
     OR (NEW.day, NEW.asked_at, NEW.asked_by) IS DISTINCT FROM (OLD.day, OLD.asked_at, OLD.asked_by) THEN
    RAISE EXCEPTION 'a comparison is done once'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_comparison_stays';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER offset_comparison_stays AFTER UPDATE ON offset_comparison
  FOR EACH ROW EXECUTE FUNCTION offset_comparison_stays();
