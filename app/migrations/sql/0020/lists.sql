-- 成交查询 reads trades by time and by number.
CREATE INDEX trade_dealt_at ON trade (dealt_at, id);
CREATE INDEX trade_deal_no ON trade (deal_no varchar_pattern_ops, id);

-- 资金差异: an unmatched row of a bank's file or an unequal balance, as two officers resolved it.
CREATE TABLE bank_difference_resolution (
  event_id BIGINT PRIMARY KEY REFERENCES bank_line_event (id),
  application_id BIGINT NOT NULL UNIQUE,
  resolved_at TIMESTAMPTZ NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bank_difference_resolution
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE FUNCTION bank_resolution_by_two() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM application a
                  WHERE a.id = NEW.application_id AND a.kind = 'bank_difference'
                    AND a.status = 'approved' AND approved_by_two(a.id)
                    AND a.proposal ->> 'event' = NEW.event_id::text) THEN
    RAISE EXCEPTION 'bank difference % is resolved by an approved application alone', NEW.event_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'bank_resolution_by_two';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER bank_resolution_by_two AFTER INSERT ON bank_difference_resolution
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION bank_resolution_by_two();
CREATE VIEW bank_difference AS
SELECT v.id, v.bank_id, v.day, v.event, v.detail, v.at,
       r.application_id, r.event_id IS NOT NULL AS is_resolved
  FROM bank_line_event v
  LEFT JOIN bank_difference_resolution r ON r.event_id = v.id
 WHERE v.event = 'unmatched' OR (v.event = 'balance' AND v.detail ->> 'ours' <> v.detail ->> 'theirs');
