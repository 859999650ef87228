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
$$;
DROP FUNCTION note_machine_call(bytea, text);
DROP TABLE machine_use;
DROP TRIGGER credential_is_signed ON machine_key;
DROP FUNCTION credential_is_signed();
DROP FUNCTION issuer_stands(integer, bigint);
DROP TRIGGER credential_stays ON machine_client;
DROP FUNCTION credential_stays();
-- Credentials go with what knows them.
ALTER TABLE machine_key DISABLE TRIGGER machine_key_stays;
DELETE FROM machine_assertion WHERE key_id IN (SELECT id FROM machine_key WHERE issued_by IS NOT NULL);
DELETE FROM machine_token WHERE key_id IN (SELECT id FROM machine_key WHERE issued_by IS NOT NULL);
DELETE FROM machine_key WHERE issued_by IS NOT NULL;
DELETE FROM machine_client WHERE venue_id IS NULL;
ALTER TABLE machine_key ENABLE TRIGGER machine_key_stays;
CREATE OR REPLACE FUNCTION machine_key_stays() RETURNS trigger
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
DROP INDEX credential_key;
ALTER TABLE machine_key
  DROP CONSTRAINT machine_key_revoked_by,
  DROP CONSTRAINT credential_term,
  DROP CONSTRAINT machine_key_origin,
  DROP COLUMN revoking_signature_id,
  DROP COLUMN revoked_by,
  DROP COLUMN signature_id,
  DROP COLUMN issued_by,
  ALTER COLUMN application_id SET NOT NULL,
  ADD CONSTRAINT machine_key_revoked_by CHECK ((revoked_at IS NULL) = (revocation_id IS NULL));
ALTER TABLE machine_client
  DROP CONSTRAINT credential_scopes,
  DROP CONSTRAINT machine_client_code,
  DROP CONSTRAINT machine_client_of_one,
  DROP COLUMN province,
  DROP COLUMN account_id,
  ALTER COLUMN code DROP DEFAULT,
  ALTER COLUMN venue_id SET NOT NULL;
DROP SEQUENCE credential_number;
