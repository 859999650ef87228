DROP FUNCTION posting_fault(posting);
ALTER FUNCTION document_posting_fault(posting) RENAME TO posting_fault;
DROP FUNCTION release_proceeds(date, timestamptz), deliver_trades(bigint[], bigint[], timestamptz, integer);
DROP INDEX one_trade_settlement;
DROP VIEW open_difference;
DROP TABLE difference_resolution, settlement_difference, venue_certificate, daily_quote, proceeds_release, settlement_stage, settlement_confirmation,
           reported_transfer, reported_fund, reported_position, trade_default, trade_delivery, trade,
           package_refusal, day_package, bank_binding, settlement_bank;
DROP FUNCTION package_is_whole(), resolution_by_two(), delivered_is_true(), approved_by_two(bigint);
DELETE FROM account WHERE id IN (2, 3);
ALTER TABLE instrument
  DROP CONSTRAINT instrument_kind_known,
  ADD CONSTRAINT instrument_kind_known CHECK (kind IN ('allowance', 'offset'));
