DROP TABLE colleague_review_change;
ALTER TABLE account DROP COLUMN needs_colleague;
ALTER TABLE ab_user DROP COLUMN phone;
CREATE OR REPLACE FUNCTION check_membership() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
    member integer := CAST(coalesce(to_jsonb(NEW) ->> 'user_id', to_jsonb(NEW) ->> 'id') AS integer);
    held text[];
    its_scope text;
BEGIN
    SELECT CASE WHEN account_id IS NOT NULL THEN 'account'
                WHEN province IS NOT NULL THEN 'province' ELSE 'all' END
      INTO its_scope FROM ab_user WHERE id = member FOR UPDATE;
    SELECT coalesce(array_agg(r.name), '{}') INTO held
      FROM ab_user_role ur JOIN ab_role r ON r.id = ur.role_id WHERE ur.user_id = member;
    IF cardinality(held) > 1 AND held && ARRAY['system_admin', 'security_admin', 'auditor'] THEN
        RAISE check_violation USING CONSTRAINT = 'role_exclusion',
            MESSAGE = concat('role_exclusion: member ', member, ' may not hold together ', held);
    END IF;
    IF (its_scope <> 'account' AND held && ARRAY['enterprise'])
       OR (its_scope <> 'province' AND held && ARRAY['province'])
       OR (its_scope <> 'all' AND held && ARRAY['registry_maker', 'registry_checker',
                                             'system_admin', 'security_admin', 'auditor']) THEN
        RAISE check_violation USING CONSTRAINT = 'role_scope',
            MESSAGE = concat('role_scope: the scope of member ', member, ' does not fit ', held);
    END IF;
    RETURN NULL;
END $$;
