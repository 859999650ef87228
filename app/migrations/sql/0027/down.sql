DROP TRIGGER issues_keep_to_the_chain ON application;
DROP FUNCTION issues_keep_to_the_chain(), carry_out_differentiations(bigint[], timestamptz),
              is_withheld(integer, integer), issue_stop(integer, integer, text, date), is_reversed(bigint);
DROP VIEW waiting_line;
DROP INDEX one_differentiation, one_commission, commission_document;
ALTER TABLE application
  DROP CONSTRAINT chain_acts_by_document,
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'surrender_refund')));
DROP TABLE differentiation;
ALTER TABLE plan DROP COLUMN issue_route, DROP COLUMN commission_order, DROP COLUMN commission_title;
ALTER TABLE posting_route DROP COLUMN from_source;
DELETE FROM account WHERE kind = 'province';
DROP INDEX account_of_province;
ALTER TABLE account
  DROP CONSTRAINT account_kind_known,
  DROP CONSTRAINT account_has_province,
  ADD CONSTRAINT account_kind_known CHECK (kind IN ('registry', 'enterprise')),
  ADD CONSTRAINT enterprise_has_province CHECK ((kind = 'enterprise') = (province IS NOT NULL));
