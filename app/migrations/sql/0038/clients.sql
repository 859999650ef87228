-- 全国碳市场管理平台 calls by a machine of its own (rules-2026 N03, N04; docs/adr/0098): the third owner of a
-- client, beside venues and members, with scopes that no other has.
ALTER TABLE machine_client
  ADD COLUMN is_platform BOOLEAN DEFAULT false NOT NULL,
  DROP CONSTRAINT machine_client_of_one,
  DROP CONSTRAINT machine_client_code,
  DROP CONSTRAINT credential_scopes,
  ADD CONSTRAINT machine_client_of_one CHECK (
    num_nonnulls(venue_id, account_id, province) = CASE WHEN is_platform THEN 0 ELSE 1 END),
  ADD CONSTRAINT machine_client_code CHECK (
    (venue_id IS NULL AND NOT is_platform) = (code ~ '^M[0-9]{8}$')),
  ADD CONSTRAINT credential_scopes CHECK (
    venue_id IS NOT NULL OR is_platform
    OR (cardinality(scopes) > 0
        AND scopes <@ '{holdings:read,statements:read,notices:read,applications:read}'::text[])),
  ADD CONSTRAINT platform_scopes CHECK (
    CASE WHEN is_platform
         THEN cardinality(scopes) > 0 AND scopes <@ '{figures:write,figures:read}'::text[]
         ELSE NOT scopes && '{figures:write,figures:read}'::text[] END);

-- What a member issued stays; what two officers registered is renewed by the next registration.
DROP TRIGGER credential_stays ON machine_client;
CREATE TRIGGER credential_stays BEFORE UPDATE OR DELETE ON machine_client
  FOR EACH ROW WHEN (OLD.venue_id IS NULL AND NOT OLD.is_platform) EXECUTE FUNCTION credential_stays();

-- As before (0015), for a venue's client or the platform's; neither becomes the other's.
CREATE OR REPLACE FUNCTION carry_out_machine_keys(asked bigint[]) RETURNS void
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
      INSERT INTO machine_client AS c (code, name, venue_id, is_platform, scopes, certificate)
      SELECT each.said ->> 'client', each.said ->> 'name', v.id, o.is_platform,
             ARRAY(SELECT jsonb_array_elements_text(each.said -> 'scopes')),
             coalesce(each.said ->> 'certificate', '')
        FROM (SELECT coalesce((each.said ->> 'is_platform')::boolean, false) AS is_platform) AS o
        LEFT JOIN venue v ON v.code = each.said ->> 'venue'
       WHERE o.is_platform OR v.id IS NOT NULL
      ON CONFLICT (code) DO UPDATE
         SET name = excluded.name, scopes = excluded.scopes, certificate = excluded.certificate
       WHERE (c.venue_id, c.is_platform) IS NOT DISTINCT FROM (excluded.venue_id, excluded.is_platform)
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
