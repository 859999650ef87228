-- Refused where something was carried out by these: it cannot be taken back.
DROP TABLE group_consent;
DROP FUNCTION consent_is_the_company_s(), readable_companies(integer, date);
DROP TRIGGER administrator_acts ON application_event;
DROP FUNCTION administrator_acts(), declare_bankruptcies(bigint[]);
DROP TABLE bankruptcy;
DROP FUNCTION carry_out_successions(bigint[]), split_by_shares(bigint, numeric[]);
DROP INDEX one_succession;
DROP TABLE notice_succession;
ALTER TABLE notice_change
  DROP CONSTRAINT notice_change_once,
  ADD CONSTRAINT notice_change_application_id_key UNIQUE (application_id);
DROP INDEX notice_once;
CREATE UNIQUE INDEX notice_once ON notice (account_id, year, sector) WHERE withdrawn_at IS NULL;
ALTER TABLE notice DROP COLUMN succeeded_from;
DROP TRIGGER accounts_may_apply ON application;
DROP FUNCTION accounts_may_apply(), right_of_kind(text), carry_out_class_rules(bigint[]),
              class_rights_on(text, date);
DROP INDEX one_class_rule;
DROP TABLE class_rule;
ALTER TABLE account DROP COLUMN holder_class;
DROP TRIGGER closed_accounts_let_nobody_in ON ab_user;
DROP TRIGGER refuse_what_has_ended ON movement;
DROP TRIGGER begins_open ON account;
DROP TRIGGER begins_open ON instrument;
DROP FUNCTION begins_open();
DROP FUNCTION closed_accounts_let_nobody_in(), refuse_what_has_ended(), carry_out_closures(bigint[]),
              instrument_uses(integer), account_uses(integer, bigint), account_obstacles(integer, bigint);
DELETE FROM account WHERE id = 9;
ALTER TABLE instrument DROP COLUMN retired_at;
ALTER TABLE account DROP COLUMN closed_at, DROP COLUMN closed_as;
