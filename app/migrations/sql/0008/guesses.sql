-- Guesses are counted by function: nobody can lower a counter without a line in a log that stays.
DELETE FROM login_failure;
ALTER TABLE login_failure
  ADD COLUMN member_no VARCHAR(32),
  ADD COLUMN guess UUID NOT NULL;
CREATE INDEX login_failure_member ON login_failure (member_no, at);
CREATE INDEX login_failure_guess ON login_failure (guess);
CREATE INDEX login_failure_at ON login_failure (at);

-- Take one guess of every counter, or none: NULL where one of them has reached its limit within
-- `since`.  The id is known to who took it, and to nobody else: the column cannot be read.
CREATE FUNCTION take_guess(counters text[], owners text[], limits integer[], since interval)
RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  counter text;
  taken uuid := gen_random_uuid();
BEGIN
  -- Held until the guess is committed; all callers lock in the same order.
  FOR counter IN SELECT unnest(counters) AS each ORDER BY each LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended(counter, 0));
  END LOOP;
  IF EXISTS (
    SELECT FROM unnest(counters, limits) AS c (key, most)
     WHERE (SELECT count(*) FROM login_failure f WHERE f.key = c.key AND f.at >= now() - since)
           >= c.most) THEN
    RETURN NULL;
  END IF;
  INSERT INTO login_failure (key, member_no, guess)
  SELECT c.key, c.owner, taken FROM unnest(counters, owners) AS c (key, owner);
  -- No failure counts for longer than a day, which bounds the table.
  DELETE FROM login_failure WHERE at < now() - interval '1 day';
  RETURN taken;
END $$;

CREATE FUNCTION give_back_guess(taken uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  DELETE FROM login_failure WHERE guess = taken
$$;

-- Clear a member's counter, or all of them (NULL); return how many failures it held.
CREATE FUNCTION clear_failures(whose text, counter text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  cleared bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM login_record
                  WHERE recorded_xid = pg_current_xact_id() AND member_no = whose AND is_success)
     AND NOT EXISTS (SELECT FROM operation_log
                      WHERE recorded_xid = pg_current_xact_id()
                        AND (subject = whose
                             AND action IN ('member.unlock', 'password.reset', 'operator.reset')
                             OR member_no = whose AND action = 'password.change')) THEN
    RAISE check_violation USING CONSTRAINT = 'cleared_with_a_record',
      MESSAGE = 'cleared_with_a_record: failures are cleared together with a line in a log';
  END IF;
  DELETE FROM login_failure WHERE member_no = whose AND (counter IS NULL OR key = counter);
  GET DIAGNOSTICS cleared = ROW_COUNT;
  RETURN cleared;
END $$;

-- 系统参数, the limits among them, are set together with their line in the log.
CREATE FUNCTION parameter_is_logged() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM operation_log
                  WHERE recorded_xid = pg_current_xact_id() AND action = 'parameter.set'
                    AND subject = NEW.name AND member_id IS NOT DISTINCT FROM NEW.set_by
                    AND detail -> 'after' ->> 'value' = NEW.value) THEN
    RAISE check_violation USING CONSTRAINT = 'parameter_is_logged',
      MESSAGE = 'parameter_is_logged: a parameter is set together with its line in the log';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER parameter_is_logged AFTER INSERT ON parameter
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION parameter_is_logged();

-- Devices from which a member has signed in: strangers' guesses do not stop them.
CREATE TABLE known_device (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  member_id INTEGER NOT NULL REFERENCES ab_user (id),
  token_hash VARCHAR(64) NOT NULL,
  created_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  seen_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  ip VARCHAR(45) DEFAULT '' NOT NULL,
  user_agent VARCHAR(300) DEFAULT '' NOT NULL,
  CONSTRAINT device_of_a_member UNIQUE (token_hash, member_id)
);
CREATE INDEX known_device_member ON known_device (member_id);
ALTER TABLE login_session
  ADD COLUMN device_id BIGINT REFERENCES known_device (id) ON DELETE SET NULL;
CREATE INDEX login_session_device ON login_session (device_id);

-- A 验证码 is spoken once; the recording is encrypted, and goes with its row.
ALTER TABLE captcha ADD COLUMN sound BYTEA;
