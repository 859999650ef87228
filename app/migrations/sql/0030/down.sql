DROP TRIGGER offsets_follow ON application;
DROP FUNCTION offsets_follow(), require_offsets_fit(bigint[]), require_surrenders_fit(bigint[]),
              answer_offset_bindings(bigint[]), unfreeze_offset_unit(bigint, timestamptz),
              send_offset_message(timestamptz, timestamptz), query_offset_message(timestamptz),
              answer_offset_message(bigint, text, bigint, text, text, text, timestamptz),
              order_offset_release(bigint, timestamptz), lock_offset_message(bigint),
              order_offset_messages(text, bigint[]), offset_acted(bigint);
DROP VIEW offset_claim;

CREATE OR REPLACE FUNCTION obligation_covers_surrendered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.obligation < (SELECT surrendered FROM notice_surrender WHERE notice_id = NEW.id) THEN
    RAISE EXCEPTION 'notice % has more surrendered than it would ask for', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'obligation_covers_surrendered';
  END IF;
  RETURN NULL;
END $$;
CREATE OR REPLACE VIEW plan_use AS
SELECT n.year, n.sector, i.kind, i.vintage, l.notice_id, n.obligation,
       sum(l.surrendered + l.pending)::bigint AS quantity
  FROM notice_surrender_line l JOIN notice n ON n.id = l.notice_id JOIN instrument i ON i.id = l.instrument_id
 GROUP BY n.year, n.sector, i.kind, i.vintage, l.notice_id, n.obligation
HAVING sum(l.surrendered + l.pending) > 0;
CREATE OR REPLACE VIEW notice_surrender_line AS
SELECT a.notice_id, l.instrument_id, i.kind = 'offset' AS is_offset,
       CASE WHEN a.status <> 'approved' THEN 0
            WHEN a.kind IN ('surrender', 'commission') THEN l.quantity ELSE -l.quantity END AS surrendered,
       CASE WHEN a.status = 'in_review' AND a.kind IN ('surrender', 'commission') THEN l.quantity
            ELSE 0 END AS pending
  FROM application a
  JOIN application_line l ON l.application_id = a.id
  JOIN instrument i ON i.id = l.instrument_id
 WHERE a.notice_id IS NOT NULL AND a.status IN ('in_review', 'approved');
ALTER TABLE application
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'surrender_refund', 'commission')));
ALTER TABLE instrument
  DROP CONSTRAINT instrument_kind_known,
  ADD CONSTRAINT instrument_kind_known CHECK (kind IN ('allowance', 'offset', 'money'));

DROP VIEW open_offset_difference, offset_under_way;
DROP TABLE offset_difference, offset_comparison, offset_message_event, offset_message, offset_event,
           offset_unit, offset_binding;
DROP FUNCTION offset_unit_moves(), offset_message_moves(), offset_binding_stays(), offset_comparison_stays();
