-- 配额调整通知书 and what is returned for it (rules-2026 N26; docs/adr/0088).  A claim is the approved line of a
-- notice; returns and nettings draw on it.
CREATE INDEX application_claims ON application (account_id) WHERE kind = 'allowance_claim' AND status = 'approved';

-- What of an issue was recalled at once for an open claim; its posting carries it out.
CREATE TABLE claim_netting (
  posting_id BIGINT PRIMARY KEY REFERENCES posting (id),
  issue_posting_id BIGINT NOT NULL REFERENCES posting (id),
  claim_line_id BIGINT NOT NULL REFERENCES application_line (id),
  quantity BIGINT NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  CONSTRAINT claim_netting_positive CHECK (quantity > 0)
);
CREATE INDEX claim_netting_of ON claim_netting (claim_line_id);
CREATE INDEX claim_netting_issue ON claim_netting (issue_posting_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON claim_netting
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- As before; what an issue was netted by is drawn as well.
CREATE OR REPLACE VIEW line_draw AS
SELECT s.id AS line_id, s.application_id, s.instrument_id, s.quantity, d.drawn + n.netted AS drawn, d.pending,
       s.quantity - d.drawn - n.netted - d.pending AS remaining
  FROM application_line s
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(l.quantity) FILTER (WHERE a.status = 'approved'), 0)::bigint AS drawn,
              coalesce(sum(l.quantity) FILTER (WHERE a.status <> 'approved'), 0)::bigint AS pending
         FROM application_line l JOIN application a ON a.id = l.application_id
        WHERE l.source_line_id = s.id
          AND a.status IN ('in_review', 'pending_settlement', 'approved')) AS d
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(c.quantity), 0)::bigint AS netted FROM claim_netting c
        WHERE c.claim_line_id = s.id) AS n;

-- Nets what an enterprise is issued by what is open of its claims on the same instrument, the earliest due
-- first, in the issue's transaction.  By its name it runs after post_movements, which holds the holdings,
-- and before courts' orders are served: what is netted was never the enterprise's to be frozen.
CREATE FUNCTION recall_claims() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  issue record;
  claim record;
  rest bigint;
  netted bigint;
  posted bigint;
BEGIN
  FOR issue IN
    SELECT m.to_account, m.instrument_id, m.posting_id, sum(m.quantity)::bigint AS quantity, max(m.at) AS at
      FROM new_movement m JOIN posting p ON p.id = m.posting_id
     WHERE m.to_bucket = 1 AND p.reverses_id IS NULL
       AND p.business IN ('issuance', 'province_issue', 'differentiation_removal')
       AND EXISTS (SELECT FROM application a
                    WHERE a.account_id = m.to_account AND a.kind = 'allowance_claim' AND a.status = 'approved')
     GROUP BY m.to_account, m.instrument_id, m.posting_id
     ORDER BY m.to_account, m.instrument_id, m.posting_id
  LOOP
    rest := issue.quantity;
    FOR claim IN
      SELECT l.id, a.number
        FROM application a JOIN application_line l ON l.application_id = a.id
       WHERE a.account_id = issue.to_account AND a.kind = 'allowance_claim' AND a.status = 'approved'
         AND l.instrument_id = issue.instrument_id
       ORDER BY a.ends_on, l.id FOR NO KEY UPDATE OF l
    LOOP
      SELECT least(d.remaining, rest) INTO netted FROM line_draw d WHERE d.line_id = claim.id;
      CONTINUE WHEN netted <= 0;
      INSERT INTO posting (business, stage, request_key, document, leads)
      VALUES ('claim_netting', 'settlement', 'claim_netting:' || issue.posting_id || ':' || claim.id,
              claim.number, true)
      RETURNING id INTO posted;
      INSERT INTO claim_netting (posting_id, issue_posting_id, claim_line_id, quantity, at)
      VALUES (posted, issue.posting_id, claim.id, netted, issue.at);
      INSERT INTO movement (posting_id, at, instrument_id, quantity,
                            from_account, from_bucket, to_account, to_bucket)
      VALUES (posted, issue.at, issue.instrument_id, netted, issue.to_account, 1, issue.to_account, 14);
      rest := rest - netted;
    END LOOP;
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER recall_claims AFTER INSERT ON movement
  REFERENCING NEW TABLE AS new_movement FOR EACH STATEMENT EXECUTE FUNCTION recall_claims();

-- What applications about allocation may not do, whoever writes their states.
ALTER TABLE application ADD CONSTRAINT allocation_by_document CHECK (
  status IN ('draft', 'returned', 'discarded', 'withdrawn')
  OR coalesce(
       CASE kind
         WHEN 'deduction' THEN
           document_no <> '' AND starts_on IS NOT NULL AND (proposal ->> 'tonnes')::bigint > 0
           AND (category <> 'fraud'
                OR ((proposal ->> 'tonnes')::bigint * 2 >= (proposal ->> 'allowance')::bigint
                    AND (proposal ->> 'tonnes')::bigint <= (proposal ->> 'allowance')::bigint))
         WHEN 'allowance_claim' THEN document_no <> '' AND starts_on IS NOT NULL AND ends_on IS NOT NULL
         ELSE true END, false));

CREATE FUNCTION allocation_keeps_within() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  moved bigint[];
  accounts integer[];
  wrong bigint;
BEGIN
  SELECT array_agg(n.id), array_agg(DISTINCT n.account_id) FILTER (WHERE n.kind = 'allowance_claim')
    INTO moved, accounts
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.status <> o.status AND n.status IN ('in_review', 'approved')
     AND n.kind IN ('allowance_claim', 'allowance_return', 'issuance');
  IF moved IS NULL THEN
    RETURN NULL;
  END IF;

  -- Nothing is claimed that was not issued.
  IF accounts IS NOT NULL THEN
    PERFORM FROM account WHERE id = ANY(accounts) ORDER BY id FOR NO KEY UPDATE;
    SELECT account_id INTO wrong FROM claimable
     WHERE account_id = ANY(accounts) AND claimable < 0 LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'more is claimed from account % than it was issued', wrong
        USING ERRCODE = 'check_violation', CONSTRAINT = 'claims_stay_within_issued';
    END IF;
  END IF;

  -- What is returned is returned for a claim.
  SELECT a.id INTO wrong
    FROM application a JOIN application_line l ON l.application_id = a.id
    LEFT JOIN application_line s ON s.id = l.source_line_id
    LEFT JOIN application c ON c.id = s.application_id AND c.kind = 'allowance_claim'
   WHERE a.id = ANY(moved) AND a.kind = 'allowance_return' AND c.id IS NULL LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'application % returns allowances that nobody claims', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'returns_are_claimed';
  END IF;

  -- An enterprise with a differing figure is issued nothing of that year (N04).
  SELECT a.id INTO wrong
    FROM application a
    JOIN application_line l ON l.application_id = a.id
    JOIN instrument i ON i.id = l.instrument_id
    JOIN current_figure f ON f.account_id = a.account_id AND f.year = i.vintage AND f.is_differing
   WHERE a.id = ANY(moved) AND a.kind = 'issuance' LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'application % issues what differs from our own figure', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'figures_agree';
  END IF;
  RETURN NULL;
END $$;

-- What of each instrument was issued to an account, and neither reversed nor claimed back; claims and reversals
-- under review included.
CREATE VIEW claimable AS
SELECT a.account_id, l.instrument_id,
       sum(CASE WHEN a.kind = 'issuance' THEN l.quantity ELSE -l.quantity END)::bigint AS claimable
  FROM application a JOIN application_line l ON l.application_id = a.id
 WHERE (a.kind = 'issuance' AND a.status = 'approved')
    OR (a.kind IN ('allowance_claim', 'issuance_reversal') AND a.status IN ('in_review', 'approved'))
 GROUP BY a.account_id, l.instrument_id;

CREATE TRIGGER allocation_keeps_within AFTER UPDATE ON application
  REFERENCING OLD TABLE AS old_application NEW TABLE AS new_application
  FOR EACH STATEMENT EXECUTE FUNCTION allocation_keeps_within();
