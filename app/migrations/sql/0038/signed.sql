-- As before, but that the reporting platform's machine enters and submits its tables.
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
    IF EXISTS (SELECT FROM application a WHERE a.id = NEW.application_id
                  AND CASE WHEN a.kind IN ('exchange_registry_to_trading', 'trading_to_registry')
                             THEN NEW.action IN ('save', 'submit', 'refuse')
                           WHEN a.kind = 'deposit'
                             THEN NEW.action IN ('save', 'submit', 'approve', 'send_back')
                           WHEN a.kind = 'figure_table' THEN NEW.action IN ('save', 'submit')
                           WHEN a.kind = 'withdrawal' THEN NEW.action IN ('approve', 'send_back')
                           WHEN a.kind = 'carry_over' THEN
                             NEW.action = 'approve'
                             AND EXISTS (SELECT FROM carry_over_grant g
                                          WHERE g.application_id = a.id AND approved_by_two(g.batch_id))
                           ELSE false END) THEN
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
