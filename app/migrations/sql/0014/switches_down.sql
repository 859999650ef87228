-- Back to switches that the program alone has signed, and to lists without a gap.
DROP TRIGGER transfer_permission_is_signed ON account;
DROP TRIGGER colleague_review_is_signed ON account;
DROP FUNCTION flag_is_signed();
CREATE OR REPLACE FUNCTION lists_follow() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF (SELECT signs FROM operating_mode ORDER BY id DESC LIMIT 1)
     AND (NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM crl)
          OR abs(extract(epoch FROM NEW.issued_at - now())) > 3600) THEN
    RAISE EXCEPTION 'list % of % does not follow the last one', NEW.number, NEW.issued_at
      USING ERRCODE = 'check_violation', CONSTRAINT = 'lists_follow';
  END IF;
  RETURN NEW;
END $$;
DROP TRIGGER switches_are_signed ON ab_user;
DROP TRIGGER switches_are_signed ON colleague_review_change;
DROP FUNCTION switches_are_signed();
