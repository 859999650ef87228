DROP FUNCTION posting_fault(posting);
ALTER FUNCTION trade_posting_fault(posting) RENAME TO posting_fault;
DROP TRIGGER money_follows_the_bank ON application_event;
DROP FUNCTION money_follows_the_bank(), book_bank_order(bigint, timestamptz),
              pay_receivables(integer, timestamptz), carry_out_bindings(bigint[]);
DROP TABLE bank_line_event, receivable_payment, receivable, bank_booking, bank_order_change, bank_answer,
           bank_file, bank_order, bank_binding_answer;
DROP FUNCTION bank_order_moves(), note_bank_order(), orders_end_with_applications();
CREATE OR REPLACE FUNCTION acts_are_signed() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  mode operating_mode;
BEGIN
  SELECT * INTO mode FROM operating_mode ORDER BY id DESC LIMIT 1;
  IF mode.is_production AND abs(extract(epoch FROM NEW.at - now())) > 3600 THEN
    RAISE EXCEPTION 'event % is of %', NEW.id, NEW.at
      USING ERRCODE = 'check_violation', CONSTRAINT = 'event_at_its_time';
  END IF;
  IF mode.signs IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  IF NEW.member_id IS NULL THEN
    IF NEW.action IN ('save', 'submit', 'refuse')
       AND EXISTS (SELECT FROM application a WHERE a.id = NEW.application_id
                      AND a.kind IN ('exchange_registry_to_trading', 'trading_to_registry')) THEN
      RETURN NULL;
    END IF;
    RAISE EXCEPTION 'no machine does what event % records', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'machines_do_their_part';
  END IF;
  IF NEW.action NOT IN ('save', 'discard')
     AND NOT EXISTS (SELECT FROM signature_event x JOIN signature s ON s.id = x.signature_id
                      WHERE x.application_event_id = NEW.id
                        AND (s.recorded_xid = pg_current_xact_id()
                             OR (s.purpose = 'review'
                                 AND s.recorded_at > now() - interval '1 day'))) THEN
    RAISE EXCEPTION 'event % is not signed', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'acts_are_signed';
  END IF;
  RETURN NULL;
END $$;
