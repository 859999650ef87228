-- Back to notices by one person; it refuses where a notice was changed or revoked by two.
DROP TRIGGER notice_follows_history ON notice;
DROP TRIGGER notice_follows_history ON notice_instrument;
DROP TRIGGER notice_follows_history ON notice_change;
DROP FUNCTION notice_follows_history();
DROP FUNCTION carry_out_notices(bigint[]);
ALTER TABLE notice_change
  DROP CONSTRAINT change_by_application,
  DROP COLUMN application_id,
  DROP COLUMN terms;
DROP FUNCTION notice_terms(notice);
DROP INDEX one_notice_decision;
ALTER TABLE application
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded')
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'surrender_refund')));
DROP INDEX notice_once;
CREATE UNIQUE INDEX notice_once ON notice (account_id, year);
ALTER TABLE notice DROP COLUMN withdrawn_at;
