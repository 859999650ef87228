-- 系统接入凭证: a member's own system signs in with a key that a person of that member issued under their
-- certificate (docs/adr/0081). Client, key, token and counter are those of machines (0015).
CREATE SEQUENCE credential_number MAXVALUE 99999999;
ALTER TABLE machine_client
  ALTER COLUMN venue_id DROP NOT NULL,
  ALTER COLUMN code SET DEFAULT 'M' || lpad(nextval('credential_number')::text, 8, '0'),
  ADD COLUMN account_id INTEGER REFERENCES account (id),
  ADD COLUMN province VARCHAR(2),
  ADD CONSTRAINT machine_client_of_one CHECK (num_nonnulls(venue_id, account_id, province) = 1),
  ADD CONSTRAINT machine_client_code CHECK ((venue_id IS NULL) = (code ~ '^M[0-9]{8}$')),
  -- Statements show money, which is no province's concern (docs/adr/0079).
  ADD CONSTRAINT credential_scopes CHECK (
    venue_id IS NOT NULL
    OR (cardinality(scopes) > 0
        AND scopes <@ '{holdings:read,statements:read,notices:read,applications:read}'::text[]
        AND (province IS NULL OR NOT 'statements:read' = ANY (scopes))));
CREATE INDEX machine_client_account ON machine_client (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX machine_client_province ON machine_client (province) WHERE province IS NOT NULL;

ALTER TABLE machine_key
  ALTER COLUMN application_id DROP NOT NULL,
  ADD COLUMN issued_by INTEGER REFERENCES ab_user (id),
  ADD COLUMN signature_id BIGINT REFERENCES signature (id),
  ADD COLUMN revoked_by INTEGER REFERENCES ab_user (id),
  ADD COLUMN revoking_signature_id BIGINT REFERENCES signature (id),
  ADD CONSTRAINT machine_key_origin CHECK (num_nonnulls(application_id, issued_by) = 1),
  ADD CONSTRAINT credential_term CHECK (issued_by IS NULL OR ends_on - starts_on <= 366),
  DROP CONSTRAINT machine_key_revoked_by,
  ADD CONSTRAINT machine_key_revoked_by CHECK (
    num_nonnulls(revocation_id, revoked_by) = CASE WHEN revoked_at IS NULL THEN 0 ELSE 1 END
    AND (application_id IS NULL OR revoked_by IS NULL)
    AND (issued_by IS NULL OR revocation_id IS NULL)
    AND (revoked_by IS NOT NULL OR revoking_signature_id IS NULL));
CREATE UNIQUE INDEX credential_key ON machine_key (client_id) WHERE issued_by IS NOT NULL;

-- The same as in 0015; a credential names who revoked it, and by which signature.
CREATE OR REPLACE FUNCTION machine_key_stays() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  revocation text[] := ARRAY['revoked_at', 'revocation_id', 'revoked_by', 'revoking_signature_id'];
BEGIN
  IF TG_OP <> 'UPDATE' THEN
    RAISE EXCEPTION 'keys of machines are kept for ever' USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF OLD.revoked_at IS NOT NULL OR (to_jsonb(NEW) - revocation) <> (to_jsonb(OLD) - revocation) THEN
    RAISE EXCEPTION 'key % is revoked once, and nothing else', OLD.kid
      USING ERRCODE = 'check_violation', CONSTRAINT = 'machine_key_stays';
  END IF;
  RETURN NEW;
END $$;

-- Name, scopes and owner of a credential stay, for the owner of the tables, too.
CREATE FUNCTION credential_stays() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'credential % stays as it was issued', OLD.code
    USING ERRCODE = 'check_violation', CONSTRAINT = 'credential_stays';
END $$;
CREATE TRIGGER credential_stays BEFORE UPDATE OR DELETE ON machine_client
  FOR EACH ROW WHEN (OLD.venue_id IS NULL) EXECUTE FUNCTION credential_stays();

-- Whether who issued a credential may still sign in, in a role that issues credentials, with the
-- certificate that signed it, or one that renews that certificate. Without a signature (signing was off)
-- the certificate is not asked for.
CREATE FUNCTION issuer_stands(issuer integer, signed bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  WITH RECURSIVE line AS (
    SELECT c.id, c.state, c.reason, c.not_after FROM signature s JOIN certificate c ON c.id = s.certificate_id
     WHERE s.id = signed
    UNION ALL
    SELECT c.id, c.state, c.reason, c.not_after FROM line l JOIN certificate c ON c.renews_id = l.id
     WHERE l.state = 'active' OR l.reason = 'superseded')
  SELECT EXISTS (SELECT FROM ab_user m
                   JOIN ab_user_role h ON h.user_id = m.id
                   JOIN ab_role r ON r.id = h.role_id
                  WHERE m.id = issuer AND m.active AND r.name IN ('enterprise', 'province'))
     AND (signed IS NULL OR EXISTS (SELECT FROM line WHERE state = 'active' AND not_after >= now()))
$$;

-- A credential is issued by a person of the member whose it is, and revoked by one, or by 安全管理员;
-- where acts are signed, by an act of that person, in the same transaction, that says all of it.
CREATE FUNCTION credential_is_signed() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  client machine_client;
  act text := 'credential.issue';
  person integer := NEW.issued_by;
  signed bigint := NEW.signature_id;
  wanted jsonb;
BEGIN
  IF NEW.issued_by IS NULL THEN
    RETURN NULL;  -- of a venue: as two officers approved (carry_out_machine_keys)
  END IF;
  SELECT * INTO client FROM machine_client WHERE id = NEW.client_id;
  wanted := jsonb_build_object(
    'name', client.name, 'scopes', to_jsonb(client.scopes), 'kid', NEW.kid,
    'thumbprint', NEW.thumbprint, 'jwk', NEW.jwk, 'ends_on', NEW.ends_on::text);
  IF TG_OP = 'UPDATE' THEN
    act := 'credential.revoke';
    person := NEW.revoked_by;
    signed := NEW.revoking_signature_id;
    wanted := jsonb_build_object('credential', client.code, 'name', client.name, 'kid', NEW.kid);
  END IF;
  IF client.venue_id IS NOT NULL
     OR NOT EXISTS (SELECT FROM ab_user m
                     WHERE m.id = person
                       AND (m.account_id = client.account_id
                            OR (m.account_id IS NULL AND m.province = client.province)
                            OR (TG_OP = 'UPDATE'
                                AND EXISTS (SELECT FROM ab_user_role h JOIN ab_role r ON r.id = h.role_id
                                             WHERE h.user_id = m.id AND r.name = 'security_admin'))))
     OR (TG_OP = 'INSERT' AND NOT issuer_stands(person, signed)) THEN
    RAISE EXCEPTION 'member % does not decide about credential %', person, client.code
      USING ERRCODE = 'check_violation', CONSTRAINT = 'credential_of_its_member';
  END IF;
  IF (SELECT signs FROM operating_mode ORDER BY id DESC LIMIT 1) IS NOT TRUE
     OR pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
    RETURN NULL;
  END IF;
  IF NOT EXISTS (SELECT FROM signature s
                   JOIN certificate c ON c.id = s.certificate_id
                  CROSS JOIN LATERAL (SELECT convert_from(s.content, 'UTF8')::jsonb -> 'payload') AS p (told)
                  WHERE s.id = signed AND s.recorded_xid = pg_current_xact_id() AND s.purpose = 'act'
                    AND c.member_id = person AND p.told ->> 'schema' = 'act/1'
                    AND p.told ->> 'act' = act AND p.told -> 'values' = wanted) THEN
    RAISE EXCEPTION 'credential % is issued and revoked by signed acts alone: %', client.code, wanted
      USING ERRCODE = 'check_violation', CONSTRAINT = 'credential_is_signed';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER credential_is_signed AFTER INSERT OR UPDATE ON machine_key
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION credential_is_signed();

-- What machines did: a row a token, with the calls made with it; 400 days.
CREATE TABLE machine_use (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key_id INTEGER NOT NULL REFERENCES machine_key (id),
  token_hash BYTEA NOT NULL UNIQUE,
  ip VARCHAR(45) DEFAULT '' NOT NULL,
  signed_in_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  calls INTEGER DEFAULT 0 NOT NULL,
  last_call_at TIMESTAMPTZ,
  last_ip VARCHAR(45) DEFAULT '' NOT NULL
);
CREATE INDEX machine_use_of ON machine_use (key_id, id);
CREATE INDEX machine_use_age ON machine_use (signed_in_at);

-- Notes a call with a token; nothing else of a use ever changes.
CREATE FUNCTION note_machine_call(token bytea, address text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  UPDATE machine_use SET calls = calls + 1, last_call_at = now(), last_ip = address
   WHERE token_hash = token
$$;

-- The same as in 0015, and uses of more than 400 days ago.
CREATE OR REPLACE FUNCTION clear_machine_leftovers() RETURNS void
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
  DELETE FROM machine_use WHERE id IN (
    SELECT id FROM machine_use WHERE signed_in_at < now() - interval '400 days'
     FOR UPDATE SKIP LOCKED);
$$;
