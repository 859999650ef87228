-- Refused where a claim has gone to a successor: nobody would know any more who owes it.
DO $$
BEGIN
  IF EXISTS (SELECT FROM claim_succession) THEN
    RAISE EXCEPTION 'claims have gone to successors';
  END IF;
  IF EXISTS (SELECT FROM application WHERE revoked_by_id IS NOT NULL) THEN
    RAISE EXCEPTION 'decisions were revoked';
  END IF;
END $$;
DROP VIEW claim_part, claim_owner;
DROP TRIGGER offset_unit_is_bound ON offset_unit;
DROP FUNCTION offset_unit_is_bound(), end_offset_bindings(bigint[]);
DROP VIEW offset_busy;
DROP INDEX one_binding_an_account, one_binding_a_ccer_account;
CREATE UNIQUE INDEX one_binding_an_account ON offset_binding (account_id) WHERE state <> 'declined';
CREATE UNIQUE INDEX one_binding_a_ccer_account ON offset_binding (ccer_account) WHERE state <> 'declined';
ALTER TABLE offset_binding
  DROP CONSTRAINT offset_binding_state, DROP CONSTRAINT offset_binding_ended,
  ADD CONSTRAINT offset_binding_state CHECK (state IN ('asked', 'confirmed', 'declined')),
  DROP COLUMN ended_by_id, DROP COLUMN ended_at;
DROP FUNCTION is_refund(text), refunds(text);
ALTER TABLE application
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'assisted_surrender', 'surrender_refund', 'commission',
                                         'offset', 'pledge_surrender', 'court_surrender')));
DROP FUNCTION carry_out_revocations(bigint[]);
DROP INDEX one_revocation, penalty_document;
CREATE UNIQUE INDEX penalty_document ON application (account_id, document_no)
  WHERE kind = 'penalty' AND status IN ('in_review', 'approved');
ALTER TABLE application DROP CONSTRAINT revoked_was_approved, DROP COLUMN revoked_by_id;
DROP TABLE claim_succession;
ALTER TABLE claim_netting DROP COLUMN account_id;
