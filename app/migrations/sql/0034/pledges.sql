-- 质押登记 (rules-2026 N110-N114; docs/adr/0095).  A pledge is the approved lines of its application, which
-- releases and surrenders draw on: of the kind `pledge` its tonnes are frozen, of `pledge_note` they stay
-- where they are.  Quantities in tonnes.
CREATE INDEX application_pledges ON application (account_id)
  WHERE kind IN ('pledge', 'pledge_note') AND status = 'approved';

-- What is pledged, a line each; ``remaining`` is neither released nor surrendered.
CREATE VIEW pledge_line AS
SELECT d.line_id, a.id AS application_id, a.kind, a.number, a.account_id, d.instrument_id, d.quantity, d.drawn,
       d.pending, d.quantity - d.drawn AS remaining, a.proposal ->> 'uscc' AS uscc
  FROM application a JOIN line_draw d ON d.application_id = a.id
 WHERE a.kind IN ('pledge', 'pledge_note') AND a.status = 'approved';

-- Whom the holder and the pledgee were told about, once: a deadline that pledged allowances endanger
-- (``about`` is notice and deadline), or allowances that lost their use (their code).
CREATE TABLE pledge_reminder (
  application_id BIGINT NOT NULL REFERENCES application (id),
  what VARCHAR(10) NOT NULL,
  about VARCHAR(60) NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (application_id, what, about),
  CONSTRAINT pledge_reminder_what CHECK (what IN ('deadline', 'use'))
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pledge_reminder
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

ALTER TABLE application ADD CONSTRAINT pledge_says_all CHECK (
  status IN ('draft', 'returned', 'discarded', 'withdrawn') OR kind NOT IN ('pledge', 'pledge_note')
  OR coalesce(proposal ->> 'pledgee' <> '' AND proposal ->> 'uscc' ~ '^[0-9A-Z]{18}$'
              AND proposal ->> 'contract_no' <> '' AND proposal ->> 'filing_no' <> ''
              AND proposal ->> 'email' <> '' AND ends_on IS NOT NULL, false));

-- How pledges are registered on a day (N110); nothing is what nobody has set.
CREATE FUNCTION pledge_mode_on(day date) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT CASE (SELECT value FROM parameter WHERE name = 'pledge_mode' AND effective_from <= day
                ORDER BY effective_from DESC, id DESC LIMIT 1)
           WHEN '1' THEN 'pledge_note' WHEN '2' THEN 'pledge' ELSE '' END
$$;

-- How many officers of the registry submitted or approved an application since it was submitted last.
CREATE FUNCTION registry_officers_of(asked bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT count(DISTINCT v.member_id)
    FROM application_event v JOIN ab_user m ON m.id = v.member_id
   WHERE v.application_id = asked AND m.account_id IS NULL AND m.province IS NULL
     AND v.action IN ('submit', 'approve')
     AND v.id >= (SELECT max(s.id) FROM application_event s
                   WHERE s.application_id = asked AND s.action = 'submit')
$$;

-- What is wrong with an application about a pledge in the state that it has reached; NULL where nothing is.
-- The pledgee agrees itself where it has an account here, else by its document, which two officers checked;
-- what the holder asks for alone is refused.
CREATE FUNCTION pledge_fault(asked bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT CASE
      WHEN a.kind IN ('pledge', 'pledge_note') AND pledge_mode_on(acted.day) <> a.kind THEN 'is not offered'
      WHEN a.kind <> 'pledge_joint_release'
           AND NOT EXISTS (SELECT FROM attachment t WHERE t.application_id = a.id) THEN
        'rests on no document of the pledgee'
      WHEN a.kind NOT IN ('pledge', 'pledge_note') AND (drawn.lines = 0 OR drawn.fitting < drawn.lines) THEN
        'draws on no such pledge'
      WHEN drawn.pledgees > 1 THEN 'is about several pledgees'
      WHEN a.kind IN ('pledge', 'pledge_note', 'pledge_joint_release', 'pledge_surrender')
           AND (a.kind = 'pledge_joint_release' OR here.account_id IS NOT NULL)
           AND NOT EXISTS (SELECT FROM application_party p
                            WHERE p.application_id = a.id AND p.account_id = here.account_id
                              AND (a.status <> 'approved' OR p.agreed_at IS NOT NULL)) THEN
        'is asked for by the holder alone'
      WHEN a.status = 'approved' AND registry_officers_of(a.id)
           < CASE a.kind WHEN 'pledge_joint_release' THEN 1 ELSE 2 END THEN
        'is not confirmed by officers of the registry'
    END
    FROM application a
   CROSS JOIN LATERAL (
         SELECT (coalesce(max(v.at), a.submitted_at) AT TIME ZONE 'Asia/Shanghai')::date AS day
           FROM application_event v WHERE v.application_id = a.id) acted
   CROSS JOIN LATERAL (
         SELECT count(*) AS lines, count(DISTINCT p.proposal ->> 'uscc') AS pledgees,
                count(*) FILTER (WHERE p.kind = CASE a.kind WHEN 'pledge_note_release' THEN 'pledge_note'
                                                ELSE 'pledge' END) AS fitting,
                coalesce(max(p.proposal ->> 'uscc'), a.proposal ->> 'uscc') AS uscc
           FROM application_line l
           LEFT JOIN application_line s ON s.id = l.source_line_id
           LEFT JOIN application p ON p.id = s.application_id
          WHERE l.application_id = a.id) drawn
    LEFT JOIN LATERAL (
         SELECT c.id AS account_id FROM account c
          WHERE c.uscc = drawn.uscc AND c.kind = 'enterprise' AND c.closed_at IS NULL AND c.id <> a.account_id
          ORDER BY c.id LIMIT 1) here ON true
   WHERE a.id = asked
$$;

-- Whoever writes the states of applications about pledges; and nothing else draws on what is pledged.
CREATE FUNCTION pledges_keep_within() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  wrong record;
BEGIN
  SELECT n.number, pledge_fault(n.id) AS fault INTO wrong
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.kind LIKE 'pledge%' AND n.status <> o.status AND n.status IN ('in_review', 'approved')
     AND pledge_fault(n.id) IS NOT NULL
   LIMIT 1;
  IF NOT FOUND THEN
    SELECT n.number, 'draws on what is pledged' AS fault INTO wrong
      FROM new_application n JOIN old_application o USING (id)
      JOIN application_line l ON l.application_id = n.id AND l.source_line_id IS NOT NULL
      JOIN application_line s ON s.id = l.source_line_id
      JOIN application p ON p.id = s.application_id
     WHERE n.kind NOT LIKE 'pledge%' AND n.status <> o.status AND n.status IN ('in_review', 'approved')
       AND p.kind LIKE 'pledge%'
     LIMIT 1;
  END IF;
  IF wrong.fault IS NOT NULL THEN
    RAISE EXCEPTION 'application % %', wrong.number, wrong.fault
      USING ERRCODE = 'check_violation', CONSTRAINT = 'pledges_keep_within';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER pledges_keep_within AFTER UPDATE ON application
  REFERENCING OLD TABLE AS old_application NEW TABLE AS new_application
  FOR EACH STATEMENT EXECUTE FUNCTION pledges_keep_within();
