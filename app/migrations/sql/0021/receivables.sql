-- While a receivable stands, no other bank is bound: what comes in there would not pay it.
CREATE VIEW open_receivable AS
SELECT v.account_id, v.instrument_id, sum(v.amount - v.paid)::bigint AS owed
  FROM (SELECT r.account_id, r.instrument_id, r.amount,
               coalesce((SELECT sum(p.amount) FROM receivable_payment p
                          WHERE p.receivable_id = r.id), 0) AS paid
          FROM receivable r) v
 WHERE v.amount > v.paid
 GROUP BY v.account_id, v.instrument_id;
CREATE FUNCTION binding_pays_receivables() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM open_receivable v JOIN settlement_bank b ON b.id = NEW.bank_id
              WHERE v.account_id = NEW.account_id AND v.instrument_id <> b.instrument_id) THEN
    RAISE EXCEPTION 'account % owes money at another bank', NEW.account_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'binding_pays_receivables';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER binding_pays_receivables BEFORE INSERT ON bank_binding
  FOR EACH ROW EXECUTE FUNCTION binding_pays_receivables();
