-- Certificates, the codes that lead to them, what was signed with them, and revocation lists.
CREATE TABLE certificate_enrolment (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  reference VARCHAR(10) NOT NULL UNIQUE,
  code_hash BYTEA NOT NULL,
  salt BYTEA NOT NULL,
  suite VARCHAR(10) DEFAULT 'intl' NOT NULL,
  member_id INTEGER NOT NULL REFERENCES ab_user (id),
  assurance VARCHAR(10) DEFAULT 'hard' NOT NULL,
  state VARCHAR(10) DEFAULT 'open' NOT NULL,
  tries SMALLINT DEFAULT '0' NOT NULL,
  opened_by INTEGER REFERENCES ab_user (id),
  confirmed_by INTEGER REFERENCES ab_user (id),
  opened_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  used_at TIMESTAMPTZ,
  CONSTRAINT enrolment_assurance_known CHECK (assurance IN ('hard', 'soft')),
  CONSTRAINT enrolment_by_two CHECK (opened_by <> confirmed_by),
  CONSTRAINT enrolment_state_known CHECK (state IN ('asked', 'open', 'used', 'locked', 'lapsed')),
  CONSTRAINT enrolment_tries_sane CHECK (tries BETWEEN 0 AND 5),
  CONSTRAINT five_tries_lock CHECK (state <> 'open' OR tries < 5),
  CONSTRAINT open_has_a_code CHECK (state <> 'open' OR code_hash <> ''),
  CONSTRAINT reference_is_ten_digits CHECK (reference ~ '^[0-9]{10}$'),
  CONSTRAINT used_has_a_time CHECK ((state = 'used') = (used_at IS NOT NULL))
);
CREATE UNIQUE INDEX certificate_enrolment_open ON certificate_enrolment (member_id)
  WHERE state IN ('asked', 'open');

CREATE TABLE certificate (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  serial VARCHAR(40) NOT NULL UNIQUE,
  fingerprint VARCHAR(64) NOT NULL UNIQUE,
  key_fingerprint VARCHAR(64) NOT NULL UNIQUE,
  member_id INTEGER NOT NULL REFERENCES ab_user (id),
  enrolment_id BIGINT UNIQUE REFERENCES certificate_enrolment (id),
  renews_id BIGINT UNIQUE REFERENCES certificate (id),
  der BYTEA NOT NULL,
  suite VARCHAR(10) DEFAULT 'intl' NOT NULL,
  assurance VARCHAR(10) DEFAULT 'hard' NOT NULL,
  state VARCHAR(10) DEFAULT 'active' NOT NULL,
  reason VARCHAR(30) DEFAULT '' NOT NULL,
  not_before TIMESTAMPTZ NOT NULL,
  not_after TIMESTAMPTZ NOT NULL,
  issued_at TIMESTAMPTZ NOT NULL,
  revoked_at TIMESTAMPTZ,
  CONSTRAINT certificate_assurance_known CHECK (assurance IN ('hard', 'soft')),
  CONSTRAINT certificate_state_known CHECK (state IN ('active', 'suspended', 'revoked')),
  CONSTRAINT fingerprint_is_its_own CHECK (fingerprint = encode(sha256(der), 'hex')),
  CONSTRAINT from_somewhere CHECK (enrolment_id IS NOT NULL OR renews_id IS NOT NULL),
  CONSTRAINT period_sane CHECK (not_before < not_after),
  CONSTRAINT revoked_has_a_reason CHECK ((state = 'active') = (reason = '')),
  CONSTRAINT revoked_has_a_time CHECK ((state = 'active') = (revoked_at IS NULL)),
  CONSTRAINT serial_is_hex CHECK (serial ~ '^[1-9a-f][0-9a-f]*$'),
  CONSTRAINT suspended_is_a_hold CHECK ((state = 'suspended') = (reason = 'certificateHold'))
);
CREATE INDEX certificate_listed ON certificate (id) WHERE state <> 'active';
CREATE INDEX certificate_member ON certificate (member_id, id);

CREATE TABLE crl (
  number BIGINT PRIMARY KEY,
  der BYTEA NOT NULL,
  issued_at TIMESTAMPTZ NOT NULL,
  next_update TIMESTAMPTZ NOT NULL,
  CONSTRAINT crl_number_positive CHECK (number > 0),
  CONSTRAINT crl_period_sane CHECK (issued_at < next_update)
);

CREATE TABLE signature (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  purpose VARCHAR(10) NOT NULL,
  content BYTEA NOT NULL,
  digest VARCHAR(64) NOT NULL,
  cms BYTEA NOT NULL,
  suite VARCHAR(10) DEFAULT 'intl' NOT NULL,
  certificate_id BIGINT NOT NULL REFERENCES certificate (id),
  crl_number BIGINT NOT NULL REFERENCES crl (number),
  signed_at TIMESTAMPTZ NOT NULL,
  recorded_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  CONSTRAINT digest_is_the_contents CHECK (digest = encode(sha256(content), 'hex')),
  CONSTRAINT signature_purpose_known
    CHECK (purpose IN ('login', 'submit', 'review', 'renew', 'other'))
);
CREATE INDEX signature_certificate ON signature (certificate_id, id);
CREATE INDEX signature_digest ON signature (digest);

CREATE TABLE challenge (
  id VARCHAR(64) PRIMARY KEY,
  member_id INTEGER REFERENCES ab_user (id),
  purpose VARCHAR(10) NOT NULL,
  origin VARCHAR(200) NOT NULL,
  content BYTEA NOT NULL,
  digest VARCHAR(64) NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  CONSTRAINT challenge_is_its_content CHECK (digest = encode(sha256(content), 'hex')),
  CONSTRAINT challenge_purpose_known CHECK (purpose IN ('login', 'sign'))
);
CREATE INDEX challenge_expires ON challenge (expires_at);

CREATE TABLE login_session (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  token_hash VARCHAR(64) NOT NULL UNIQUE,
  member_id INTEGER NOT NULL REFERENCES ab_user (id),
  created_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  seen_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  ended_at TIMESTAMPTZ,
  ended_reason VARCHAR(20) DEFAULT '' NOT NULL,
  ip VARCHAR(45) DEFAULT '' NOT NULL,
  user_agent VARCHAR(300) DEFAULT '' NOT NULL,
  method VARCHAR(20) DEFAULT 'password' NOT NULL,
  previous_at TIMESTAMPTZ,
  previous_ip VARCHAR(45) DEFAULT '' NOT NULL,
  failures_since INTEGER DEFAULT 0 NOT NULL,
  certificate_id BIGINT REFERENCES certificate (id)
);
CREATE INDEX login_session_member ON login_session (member_id, id);

-- A certificate's state is all that changes of it, and once revoked not even that.
CREATE FUNCTION certificate_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'UPDATE' THEN
    RAISE EXCEPTION 'certificates are kept for ever' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF OLD.state = 'revoked' THEN
    RAISE EXCEPTION 'certificate % is revoked for good', OLD.serial
      USING ERRCODE = 'check_violation', CONSTRAINT = 'revoked_is_final';
  END IF;
  IF (to_jsonb(NEW) - ARRAY['state', 'reason', 'revoked_at'])
     <> (to_jsonb(OLD) - ARRAY['state', 'reason', 'revoked_at']) THEN
    RAISE EXCEPTION 'certificate % changes its state alone', OLD.serial
      USING ERRCODE = 'check_violation', CONSTRAINT = 'only_the_state_changes';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER certificate_stays BEFORE UPDATE OR DELETE ON certificate
  FOR EACH ROW EXECUTE FUNCTION certificate_stays();
CREATE TRIGGER certificate_is_kept BEFORE TRUNCATE ON certificate
  FOR EACH STATEMENT EXECUTE FUNCTION certificate_stays();

-- An enrolment that was used, locked or replaced never opens again, and its codes never change; one
-- that was only asked for has none and can but lapse.
CREATE FUNCTION enrolment_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.state NOT IN ('asked', 'open') OR (OLD.state = 'asked' AND NEW.state <> 'lapsed') THEN
    RAISE EXCEPTION 'enrolment % is closed for good', OLD.reference
      USING ERRCODE = 'check_violation', CONSTRAINT = 'closed_is_final';
  END IF;
  IF (to_jsonb(NEW) - ARRAY['state', 'tries', 'used_at'])
     <> (to_jsonb(OLD) - ARRAY['state', 'tries', 'used_at']) OR NEW.tries < OLD.tries THEN
    RAISE EXCEPTION 'enrolment % changes its state alone', OLD.reference
      USING ERRCODE = 'check_violation', CONSTRAINT = 'only_the_state_changes';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER enrolment_stays BEFORE UPDATE ON certificate_enrolment
  FOR EACH ROW EXECUTE FUNCTION enrolment_stays();
