-- 撤销决定: deductions, claims and penalties that two officers took back (docs/adr/0100).  What is revoked says by
-- what; the application's role writes it by `carry_out_revocations` alone.
ALTER TABLE application
  ADD COLUMN revoked_by_id BIGINT REFERENCES application (id),
  ADD CONSTRAINT revoked_was_approved CHECK (
    revoked_by_id IS NULL OR (status = 'approved' AND kind IN ('deduction', 'allowance_claim', 'penalty')));
CREATE UNIQUE INDEX one_revocation ON application ((proposal ->> 'number'))
  WHERE kind = 'revocation' AND status IN ('in_review', 'approved');
-- As in 0035; by the document of a withdrawn penalty another one may be entered.
DROP INDEX penalty_document;
CREATE UNIQUE INDEX penalty_document ON application (account_id, document_no)
  WHERE kind = 'penalty' AND status IN ('in_review', 'approved') AND revoked_by_id IS NULL;

