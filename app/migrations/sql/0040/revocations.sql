-- Have revocations take effect that two officers of the authority that had decided approved, in the approval's
-- transaction.  Of a claim nothing may be under review for its return.
CREATE FUNCTION carry_out_revocations(asked bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  done integer;
BEGIN
  PERFORM FROM application_line l JOIN application a ON a.id = l.application_id
    JOIN application r ON r.proposal ->> 'number' = a.number
   WHERE r.id = ANY(asked) ORDER BY l.id FOR NO KEY UPDATE OF l;
  UPDATE application a SET revoked_by_id = r.id
    FROM application r, ab_user asking, ab_user deciding
   WHERE r.id = ANY(asked) AND r.kind = 'revocation' AND approved_by_two(r.id) AND r.document_no <> ''
     AND a.number = r.proposal ->> 'number' AND a.kind = r.proposal ->> 'kind'
     AND a.status = 'approved' AND a.revoked_by_id IS NULL
     AND (a.account_id = r.account_id
          OR EXISTS (SELECT FROM claim_part c WHERE c.application_id = a.id AND c.account_id = r.account_id))
     AND asking.id = r.created_by AND deciding.id = a.created_by
     AND asking.province IS NOT DISTINCT FROM deciding.province AND asking.account_id IS NULL
     AND NOT EXISTS (SELECT FROM line_draw d WHERE d.application_id = a.id AND d.pending > 0)
     AND (a.kind <> 'allowance_claim'
          OR EXISTS (SELECT FROM line_draw d WHERE d.application_id = a.id AND d.remaining > 0));
  GET DIAGNOSTICS done = ROW_COUNT;
  IF done <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'a revocation is not as two officers approved it'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'revocation_as_approved';
  END IF;
END $$;

-- As in 0028, without what was revoked.
CREATE OR REPLACE VIEW true_up AS
SELECT t.id, t.account_id, t.year, t.sector, t.pre_allocated, t.approved, t.due, t.is_differing,
       t.pre_allocated - t.deducted AS issue_1,
       CASE WHEN t.approved IS NULL THEN NULL ELSE
         t.approved - t.pre_allocated + greatest(t.deducted - t.approved, 0)
         - least(greatest(t.approved - t.pre_allocated, 0), t.due - t.deducted) END AS issue_2,
       t.due - t.deducted
       + CASE WHEN t.approved IS NULL THEN 0 ELSE
           greatest(t.deducted - t.approved, 0)
           - least(greatest(t.approved - t.pre_allocated, 0), t.due - t.deducted) END AS remaining
  FROM (
       SELECT k.id, k.account_id, k.year, k.sector, k.is_differing, k.approved, d.due,
              coalesce(k.pre_allocated, 0) AS pre_allocated,
              least(coalesce(k.pre_allocated, 0), d.due) AS deducted
         FROM (SELECT min(c.id) AS id, c.account_id, c.year, c.sector, bool_or(c.is_differing) AS is_differing,
                      max(c.quantity) FILTER (WHERE c.unit = '' AND c.stage = 'pre_allocation') AS pre_allocated,
                      max(c.quantity) FILTER (WHERE c.unit = '' AND c.stage = 'approved') AS approved
                 FROM current_figure c WHERE c.stage <> 'verification'
                GROUP BY c.account_id, c.year, c.sector) AS k
        CROSS JOIN LATERAL (
              SELECT coalesce(sum((a.proposal ->> 'tonnes')::bigint), 0)::bigint AS due
                FROM application a
               WHERE a.kind = 'deduction' AND a.status = 'approved' AND a.revoked_by_id IS NULL
                 AND a.account_id = k.account_id
                 AND a.proposal ->> 'year' = k.year::text AND a.proposal ->> 'sector' = k.sector) AS d
       ) AS t;

-- As in 0028; of a revoked claim what was returned or netted stays claimed.
CREATE OR REPLACE VIEW claimable AS
SELECT a.account_id, l.instrument_id,
       sum(CASE WHEN a.kind = 'issuance' THEN l.quantity
                WHEN a.revoked_by_id IS NOT NULL THEN
                  -(SELECT d.drawn FROM line_draw d WHERE d.line_id = l.id)
                ELSE -l.quantity END)::bigint AS claimable
  FROM application a JOIN application_line l ON l.application_id = a.id
 WHERE (a.kind = 'issuance' AND a.status = 'approved')
    OR (a.kind IN ('allowance_claim', 'issuance_reversal') AND a.status IN ('in_review', 'approved'))
 GROUP BY a.account_id, l.instrument_id;
