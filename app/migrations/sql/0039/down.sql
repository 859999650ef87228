-- Takes back surrender.sql and sales.sql; refused where something was surrendered or sold.
DROP TRIGGER serve_court_sales ON movement;
DROP TRIGGER court_surrenders_keep_within ON application;
DROP FUNCTION serve_court_sales(), freeze_sale_proceeds(bigint, integer, bigint, timestamptz),
              end_court_sale(bigint, bigint, bigint, timestamptz),
              draw_on_court_order(bigint, bigint, text, timestamptz), court_surrenders_keep_within(),
              court_surrender_fault(bigint);
DROP TABLE court_sale;
ALTER TABLE court_order DROP COLUMN sale_of;
ALTER TABLE court_effect
  DROP CONSTRAINT court_effect_cause,
  ADD CONSTRAINT court_effect_cause CHECK (
    cause IN ('order', 'taken_back', 'release', 'assignment', 'lapse', 'credit'));
ALTER TABLE application
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'assisted_surrender', 'surrender_refund', 'commission',
                                         'offset', 'pledge_surrender'))),
  DROP CONSTRAINT court_acts_by_document,
  ADD CONSTRAINT court_acts_by_document CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind NOT LIKE 'court\_%'
    OR (document_no <> '' AND authority <> '' AND proposal ? 'served_at'));
