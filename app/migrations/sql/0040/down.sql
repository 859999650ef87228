-- Refused where a claim has gone to a successor: nobody would know any more who owes it.
DO $$
BEGIN
  IF EXISTS (SELECT FROM claim_succession) THEN
    RAISE EXCEPTION 'claims have gone to successors';
  END IF;
END $$;
DROP VIEW claim_part, claim_owner;
DROP TABLE claim_succession;
ALTER TABLE claim_netting DROP COLUMN account_id;
