-- 差异化名录: enterprises of a year whose allowances stay with the province (N40, N41).
CREATE TABLE differentiation (
  application_id BIGINT PRIMARY KEY REFERENCES application (id),
  account_id INTEGER NOT NULL REFERENCES account (id),
  year SMALLINT NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  removal_id BIGINT UNIQUE REFERENCES application (id),
  removed_at TIMESTAMPTZ,
  CONSTRAINT differentiation_removed CHECK ((removal_id IS NULL) = (removed_at IS NULL))
);
CREATE UNIQUE INDEX differentiated_once ON differentiation (account_id, year) WHERE removal_id IS NULL;

ALTER TABLE application
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'surrender_refund', 'commission'))),
  ADD CONSTRAINT chain_acts_by_document CHECK (
    status IN ('draft', 'returned', 'withdrawn', 'discarded')
    OR kind NOT IN ('differentiation', 'differentiation_removal', 'commission')
    OR document_no <> '');
CREATE UNIQUE INDEX one_differentiation ON application (account_id, (proposal ->> 'year'))
  WHERE kind IN ('differentiation', 'differentiation_removal') AND status = 'in_review';
-- A document asks for one enterprise and year (N42); one at a time.
CREATE UNIQUE INDEX one_commission ON application (notice_id)
  WHERE kind = 'commission' AND status = 'in_review';
CREATE UNIQUE INDEX commission_document ON application (document_no)
  WHERE kind = 'commission' AND status IN ('in_review', 'approved');

-- As before, with surrenders by commission.
CREATE OR REPLACE VIEW notice_surrender_line AS
SELECT a.notice_id, l.instrument_id, i.kind = 'offset' AS is_offset,
       CASE WHEN a.status <> 'approved' THEN 0
            WHEN a.kind IN ('surrender', 'commission') THEN l.quantity ELSE -l.quantity END AS surrendered,
       CASE WHEN a.status = 'in_review' AND a.kind IN ('surrender', 'commission') THEN l.quantity
            ELSE 0 END AS pending
  FROM application a
  JOIN application_line l ON l.application_id = a.id
  JOIN instrument i ON i.id = l.instrument_id
 WHERE a.notice_id IS NOT NULL AND a.status IN ('in_review', 'approved');

-- What waits at provinces, by line: to be issued by the authority, taken for the enterprise or reversed.
CREATE VIEW waiting_line AS
SELECT d.line_id, d.application_id, d.instrument_id, l.account_id AS holder_id, a.account_id, i.vintage,
       d.quantity, d.drawn, d.pending, d.remaining
  FROM application_line l
  JOIN application a ON a.id = l.application_id
  JOIN instrument i ON i.id = l.instrument_id
  JOIN line_draw d ON d.line_id = l.id
 WHERE a.kind = 'issuance' AND a.status = 'approved' AND l.account_id IS NOT NULL;

CREATE FUNCTION is_reversed(line bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM application_line l JOIN application a ON a.id = l.application_id
                  WHERE l.source_line_id = line AND a.kind = 'issuance_reversal' AND a.status = 'approved')
$$;

-- Where an issue goes by the plan of its vintage and the enterprise's sectors on a day: 'enterprise',
-- 'province', or 'nothing' where it is not to be made.  Of several sectors the strictest counts; CCER has
-- no plan.
CREATE FUNCTION issue_stop(enterprise integer, instrument integer, category text, day date) RETURNS text
LANGUAGE sql STABLE AS $$
  SELECT CASE
    WHEN 'province' = ANY(said.routes) THEN 'province'
    WHEN 'differentiated' = ANY(said.routes)
         AND EXISTS (SELECT FROM differentiation d
                      WHERE d.account_id = enterprise AND d.year = said.vintage AND d.removal_id IS NULL)
      THEN CASE category WHEN 'pre_allocation' THEN 'nothing' ELSE 'province' END
    ELSE 'enterprise' END
    FROM (SELECT max(i.vintage) AS vintage, array_agg(p.issue_route) AS routes
            FROM instrument i
            JOIN account_sector s ON s.account_id = enterprise
             AND coalesce(s.ends_on > make_date(i.vintage, 1, 1), true)
           CROSS JOIN LATERAL plan_on(i.vintage, s.sector, day) p
           WHERE i.id = instrument AND i.kind = 'allowance') AS said
$$;

-- Whether units of a vintage are kept for an enterprise in the list, until what it owes for the years
-- that it is listed for is surrendered (N42).
CREATE FUNCTION is_withheld(enterprise integer, vintage integer) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM differentiation d
                  WHERE d.account_id = enterprise AND d.year = vintage AND d.removal_id IS NULL)
     AND EXISTS (
           SELECT FROM differentiation d
            WHERE d.account_id = enterprise AND d.removal_id IS NULL
              AND NOT coalesce((
                    SELECT bool_and(n.obligation <= coalesce((
                             SELECT sum(l.surrendered) FROM notice_surrender_line l
                              WHERE l.notice_id = n.id), 0))
                      FROM notice n
                     WHERE n.account_id = enterprise AND n.year = d.year AND n.withdrawn_at IS NULL), false))
$$;

-- What the kinds of the chain may not do, whoever writes their states.
CREATE FUNCTION issues_keep_to_the_chain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  moved bigint[];
  wrong bigint;
BEGIN
  SELECT array_agg(n.id) INTO moved
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.status <> o.status AND n.status IN ('in_review', 'approved')
     AND n.kind IN ('issuance', 'issuance_reversal', 'province_issue', 'differentiation_removal',
                    'commission');
  IF moved IS NULL THEN
    RETURN NULL;
  END IF;
  SELECT a.id INTO wrong
    FROM unnest(moved) AS m (id)
    JOIN application a ON a.id = m.id
    JOIN account e ON e.id = a.account_id
    JOIN application_line l ON l.application_id = a.id
    JOIN instrument i ON i.id = l.instrument_id
    LEFT JOIN account h ON h.id = l.account_id
    LEFT JOIN application_line s ON s.id = l.source_line_id
    LEFT JOIN application f ON f.id = s.application_id
   CROSS JOIN LATERAL (
         SELECT (coalesce(max(v.at), a.submitted_at) AT TIME ZONE 'Asia/Shanghai')::date AS day
           FROM application_event v WHERE v.application_id = a.id) AS acted
   CROSS JOIN LATERAL (
         SELECT (max(v.at) AT TIME ZONE 'Asia/Shanghai')::date AS day FROM application_event v
          WHERE v.application_id = f.id AND v.action = 'approve') AS issued
   WHERE CASE a.kind
           WHEN 'issuance' THEN
             CASE issue_stop(a.account_id, l.instrument_id, a.category, acted.day)
               WHEN 'enterprise' THEN l.account_id IS NOT NULL
               WHEN 'province' THEN (h.kind = 'province' AND h.province = e.province) IS NOT TRUE
               ELSE true END
           WHEN 'issuance_reversal' THEN
             (f.kind = 'issuance' AND l.quantity = s.quantity AND l.account_id = 1
              AND issued.day = acted.day) IS NOT TRUE
           ELSE (f.kind = 'issuance' AND s.account_id IS NOT NULL AND l.account_id IS NULL) IS NOT TRUE
             OR (a.kind IN ('province_issue', 'commission')
                 AND (SELECT u.province FROM ab_user u WHERE u.id = a.created_by)
                     IS DISTINCT FROM e.province)
             OR (a.kind = 'province_issue' AND is_withheld(a.account_id, i.vintage))
             OR (a.kind = 'commission' AND a.status = 'approved'
                 AND (SELECT count(DISTINCT v.member_id)
                        FROM application_event v JOIN ab_user u ON u.id = v.member_id
                       WHERE v.application_id = a.id AND v.action = 'approve'
                         AND u.province IS NULL AND u.account_id IS NULL
                         AND v.id > (SELECT max(o.id) FROM application_event o
                                      WHERE o.application_id = a.id AND o.action = 'submit')) < 2)
         END
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'application % leaves the way of an issue', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'issues_keep_to_the_chain';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER issues_keep_to_the_chain AFTER UPDATE ON application
  REFERENCING OLD TABLE AS old_application NEW TABLE AS new_application
  FOR EACH STATEMENT EXECUTE FUNCTION issues_keep_to_the_chain();

-- Writes the list as two officers of one authority approved it, once.
CREATE FUNCTION carry_out_differentiations(asked bigint[], moment timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  added integer;
  ended integer;
BEGIN
  INSERT INTO differentiation (application_id, account_id, year, at)
  SELECT a.id, a.account_id, (a.proposal ->> 'year')::smallint, moment
    FROM application a
   WHERE a.id = ANY(asked) AND a.kind = 'differentiation' AND a.status = 'approved' AND approved_by_two(a.id)
   ORDER BY a.id;
  GET DIAGNOSTICS added = ROW_COUNT;
  UPDATE differentiation d SET removal_id = a.id, removed_at = moment
    FROM application a
   WHERE a.id = ANY(asked) AND a.kind = 'differentiation_removal' AND a.status = 'approved'
     AND approved_by_two(a.id) AND d.account_id = a.account_id
     AND d.year = (a.proposal ->> 'year')::smallint AND d.removal_id IS NULL;
  GET DIAGNOSTICS ended = ROW_COUNT;
  IF added + ended <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'the list of enterprises issued to differently is not as two officers approved it'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'differentiation_as_approved';
  END IF;
  RETURN added + ended;
END $$;
