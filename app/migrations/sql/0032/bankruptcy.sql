-- 破产 (rules-2026 N119): a court's document puts an administrator in the representative's place.
CREATE TABLE bankruptcy (
  application_id BIGINT PRIMARY KEY REFERENCES application (id),
  account_id INTEGER NOT NULL UNIQUE REFERENCES account (id),
  administrator VARCHAR(100) NOT NULL,
  member_id INTEGER NOT NULL REFERENCES ab_user (id),
  starts_on DATE NOT NULL,
  at TIMESTAMPTZ NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bankruptcy
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- As two officers approved it; the account's representative is the administrator from now on.
CREATE FUNCTION declare_bankruptcies(asked bigint[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  made integer;
BEGIN
  INSERT INTO bankruptcy (application_id, account_id, administrator, member_id, starts_on, at)
  SELECT a.id, a.account_id, a.proposal -> 'representative' ->> 1, m.id, a.starts_on, v.at
    FROM application a
    JOIN account c ON c.id = a.account_id AND c.kind = 'enterprise'
    JOIN ab_user m ON m.username = c.member_no AND m.account_id = c.id
   CROSS JOIN LATERAL (SELECT max(e.at) AS at FROM application_event e
                        WHERE e.application_id = a.id AND e.action = 'approve') v
   WHERE a.id = ANY(asked) AND a.kind = 'bankruptcy' AND approved_by_two(a.id)
   ORDER BY a.id;
  GET DIAGNOSTICS made = ROW_COUNT;
  IF made <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'a bankruptcy is not as two officers approved it'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'bankruptcy_as_approved';
  END IF;
  RETURN made;
END $$;

-- What an insolvent enterprise submits, its administrator submits.
CREATE FUNCTION administrator_acts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  wrong text;
BEGIN
  SELECT a.number INTO wrong
    FROM new_event v
    JOIN application a ON a.id = v.application_id
    JOIN bankruptcy b ON b.account_id = a.account_id
    JOIN ab_user m ON m.id = v.member_id AND m.account_id = a.account_id
   WHERE v.action = 'submit' AND m.id <> b.member_id LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'application % is not submitted by the administrator', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'administrator_acts';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER administrator_acts AFTER INSERT ON application_event
  REFERENCING NEW TABLE AS new_event FOR EACH STATEMENT EXECUTE FUNCTION administrator_acts();
