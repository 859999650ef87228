-- Machine clients: their keys are registered and revoked by two officers, as notices are issued (0013).
CREATE TABLE machine_client (
  id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  code VARCHAR(10) NOT NULL UNIQUE,
  name VARCHAR(100) NOT NULL,
  venue_id INTEGER NOT NULL REFERENCES venue (id),
  scopes TEXT[] NOT NULL,
  certificate VARCHAR(43) DEFAULT '' NOT NULL
);

CREATE TABLE machine_key (
  id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  client_id INTEGER NOT NULL REFERENCES machine_client (id),
  kid VARCHAR(64) NOT NULL,
  thumbprint VARCHAR(43) NOT NULL UNIQUE,
  jwk JSONB NOT NULL,
  starts_on DATE NOT NULL,
  ends_on DATE NOT NULL,
  registered_at TIMESTAMPTZ NOT NULL,
  application_id BIGINT NOT NULL UNIQUE REFERENCES application (id),
  revoked_at TIMESTAMPTZ,
  revocation_id BIGINT UNIQUE REFERENCES application (id),
  CONSTRAINT machine_key_kid UNIQUE (client_id, kid),
  CONSTRAINT machine_key_dates CHECK (starts_on <= ends_on),
  CONSTRAINT machine_key_revoked_by CHECK ((revoked_at IS NULL) = (revocation_id IS NULL))
);

CREATE TABLE machine_token (
  token_hash BYTEA PRIMARY KEY,
  key_id INTEGER NOT NULL REFERENCES machine_key (id),
  scopes TEXT[] NOT NULL,
  certificate VARCHAR(43) DEFAULT '' NOT NULL,
  ip VARCHAR(45) DEFAULT '' NOT NULL,
  issued_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX machine_token_expires ON machine_token (expires_at);

CREATE TABLE machine_assertion (
  key_id INTEGER NOT NULL REFERENCES machine_key (id),
  jti_hash BYTEA NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (key_id, jti_hash)
);
CREATE INDEX machine_assertion_expires ON machine_assertion (expires_at);

CREATE TABLE machine_request (
  client_id INTEGER NOT NULL REFERENCES machine_client (id),
  request_no VARCHAR(60) NOT NULL,
  application_id BIGINT NOT NULL UNIQUE REFERENCES application (id),
  refusal_code VARCHAR(40) DEFAULT '' NOT NULL,
  refusal_field VARCHAR(40) DEFAULT '' NOT NULL,
  PRIMARY KEY (client_id, request_no)
);
CREATE INDEX machine_request_of ON machine_request (client_id, application_id);

CREATE TABLE machine_answer (
  client_id INTEGER NOT NULL REFERENCES machine_client (id),
  key VARCHAR(100) NOT NULL,
  digest BYTEA NOT NULL,
  status SMALLINT,
  answer TEXT,
  asked_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  PRIMARY KEY (client_id, key)
);
CREATE INDEX machine_answer_age ON machine_answer (asked_at);

CREATE TABLE machine_rate (
  counter VARCHAR(60) PRIMARY KEY,
  minute BIGINT NOT NULL,
  taken INTEGER NOT NULL
);
CREATE INDEX machine_rate_minute ON machine_rate (minute);

-- A key stays what it is, for the owner, too; revoked, it stays revoked.
CREATE FUNCTION machine_key_stays() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_OP <> 'UPDATE' THEN
    RAISE EXCEPTION 'keys of machines are kept for ever' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF OLD.revoked_at IS NOT NULL
     OR (to_jsonb(NEW) - ARRAY['revoked_at', 'revocation_id'])
        <> (to_jsonb(OLD) - ARRAY['revoked_at', 'revocation_id']) THEN
    RAISE EXCEPTION 'key % is revoked once, and nothing else', OLD.kid
      USING ERRCODE = 'check_violation', CONSTRAINT = 'machine_key_stays';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER machine_key_stays BEFORE UPDATE OR DELETE ON machine_key
  FOR EACH ROW EXECUTE FUNCTION machine_key_stays();
CREATE TRIGGER machine_key_is_kept BEFORE TRUNCATE ON machine_key
  FOR EACH STATEMENT EXECUTE FUNCTION machine_key_stays();

-- An answer that was given stays; only one that is still open gets its text.
CREATE FUNCTION machine_answer_stays() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF OLD.status IS NOT NULL THEN
    RAISE EXCEPTION 'request % was answered', OLD.key
      USING ERRCODE = 'check_violation', CONSTRAINT = 'machine_answer_stays';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER machine_answer_stays BEFORE UPDATE ON machine_answer
  FOR EACH ROW EXECUTE FUNCTION machine_answer_stays();

-- Carries out registrations and revocations: all of them or none, each once, as two officers of the
-- registry approved them. What a client and its key are is read from the applications.
CREATE FUNCTION carry_out_machine_keys(asked bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  each record;
  client integer;
  done bigint := 0;
BEGIN
  FOR each IN
    SELECT a.id, a.kind, a.proposal AS said, a.starts_on, a.ends_on, e.at
      FROM application a
     CROSS JOIN LATERAL (
           SELECT v.id, v.member_id, v.at FROM application_event v
            WHERE v.application_id = a.id AND v.action = 'approve'
            ORDER BY v.id DESC LIMIT 1) AS e
      JOIN ab_user asking ON asking.id = a.submitted_by
      JOIN ab_user approving ON approving.id = e.member_id
     WHERE asking.account_id IS NULL AND asking.province IS NULL
       AND approving.account_id IS NULL AND approving.province IS NULL
       AND a.submitted_by = (SELECT v.member_id FROM application_event v
                              WHERE v.application_id = a.id AND v.action = 'submit' AND v.id < e.id
                              ORDER BY v.id DESC LIMIT 1)
       AND a.id = ANY(asked) AND a.kind IN ('machine_key', 'machine_key_revocation')
       AND a.status = 'approved'
       AND e.member_id <> a.created_by AND e.member_id <> a.submitted_by
       AND NOT EXISTS (SELECT FROM machine_key k WHERE a.id IN (k.application_id, k.revocation_id))
     ORDER BY a.id
  LOOP
    IF each.kind = 'machine_key' THEN
      INSERT INTO machine_client AS c (code, name, venue_id, scopes, certificate)
      SELECT each.said ->> 'client', each.said ->> 'name', v.id,
             ARRAY(SELECT jsonb_array_elements_text(each.said -> 'scopes')),
             coalesce(each.said ->> 'certificate', '')
        FROM venue v WHERE v.code = each.said ->> 'venue'
      ON CONFLICT (code) DO UPDATE
         SET name = excluded.name, scopes = excluded.scopes, certificate = excluded.certificate
       WHERE c.venue_id = excluded.venue_id
      RETURNING c.id INTO client;
      IF client IS NOT NULL THEN
        INSERT INTO machine_key (client_id, kid, thumbprint, jwk, starts_on, ends_on, registered_at,
                                 application_id)
        VALUES (client, each.said ->> 'kid', each.said ->> 'thumbprint', each.said -> 'jwk',
                each.starts_on, each.ends_on, each.at, each.id);
        done := done + 1;
      END IF;
    ELSE
      UPDATE machine_key k SET revoked_at = each.at, revocation_id = each.id
        FROM machine_client c
       WHERE c.id = k.client_id AND c.code = each.said ->> 'client'
         AND k.kid = each.said ->> 'kid' AND k.revoked_at IS NULL;
      IF FOUND THEN
        done := done + 1;
      END IF;
    END IF;
  END LOOP;
  IF done <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'a key is not as the application found it, or nobody else approved that'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'machine_key_as_approved';
  END IF;
END $$;

-- Counts a request within a minute; returns how many were made in it, this one included.
CREATE FUNCTION count_machine_request(named text, at bigint) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  INSERT INTO machine_rate AS r (counter, minute, taken) VALUES (named, at, 1)
  ON CONFLICT (counter) DO UPDATE
     SET taken = CASE WHEN r.minute = excluded.minute THEN r.taken + 1 ELSE 1 END,
         minute = greatest(r.minute, excluded.minute)
  RETURNING taken
$$;

-- Deletes what is over: nobody waits for it, nor deletes anything else.
CREATE FUNCTION clear_machine_leftovers() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  DELETE FROM machine_token WHERE token_hash IN (
    SELECT token_hash FROM machine_token WHERE expires_at < now() - interval '1 day'
     FOR UPDATE SKIP LOCKED);
  DELETE FROM machine_assertion WHERE (key_id, jti_hash) IN (
    SELECT key_id, jti_hash FROM machine_assertion WHERE expires_at < now() - interval '1 hour'
     FOR UPDATE SKIP LOCKED);
  DELETE FROM machine_answer WHERE (client_id, key) IN (
    SELECT client_id, key FROM machine_answer WHERE asked_at < now() - interval '30 days'
     FOR UPDATE SKIP LOCKED);
  DELETE FROM machine_rate WHERE counter IN (
    SELECT counter FROM machine_rate WHERE minute < extract(epoch FROM now()) / 60 - 10
     FOR UPDATE SKIP LOCKED);
$$;
