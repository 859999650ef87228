-- Takes back pledges.sql; refused where something was pledged.
DROP TRIGGER pledges_keep_within ON application;
DROP FUNCTION pledges_keep_within(), pledge_fault(bigint), registry_officers_of(bigint), pledge_mode_on(date);
DROP VIEW pledge_line;
DROP TABLE pledge_reminder;
DROP INDEX application_pledges;
ALTER TABLE application
  DROP CONSTRAINT pledge_says_all,
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'assisted_surrender', 'surrender_refund', 'commission',
                                         'offset')));
