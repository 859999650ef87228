-- What notices of the year and sector rest on: instruments surrendered or under review, and CCER.
CREATE VIEW plan_use AS
SELECT n.year, n.sector, i.kind, i.vintage, l.notice_id, n.obligation,
       sum(l.surrendered + l.pending)::bigint AS quantity
  FROM notice_surrender_line l JOIN notice n ON n.id = l.notice_id JOIN instrument i ON i.id = l.instrument_id
 GROUP BY n.year, n.sector, i.kind, i.vintage, l.notice_id, n.obligation
HAVING sum(l.surrendered + l.pending) > 0;

CREATE FUNCTION plan_keeps_what_is_used() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  former plan;
BEGIN
  SELECT * INTO former FROM plan WHERE id = NEW.replaces_id;
  IF former.id IS NULL THEN
    RETURN NULL;
  END IF;
  IF (former.year, former.sector) <> (NEW.year, NEW.sector) OR NEW.starts_on < former.starts_on
     OR (EXISTS (SELECT FROM notice n WHERE n.year = NEW.year AND n.sector = NEW.sector
                    AND n.withdrawn_at IS NULL)
         AND (NEW.surrender_by < former.surrender_by
              OR NEW.offset_by < coalesce(former.offset_by,
                                         (former.surrender_by AT TIME ZONE 'Asia/Shanghai')::date)))
     OR EXISTS (SELECT FROM plan_use u
                 WHERE u.year = NEW.year AND u.sector = NEW.sector
                   AND CASE u.kind WHEN 'allowance' THEN u.vintage <> ALL (NEW.vintages)
                            ELSE u.quantity > floor(u.obligation * NEW.offset_percent / 100)
                                 AND NEW.offset_percent < former.offset_percent END) THEN
    RAISE EXCEPTION 'plan % % takes away what notices rest on', NEW.year, NEW.sector
      USING ERRCODE = 'check_violation', CONSTRAINT = 'plan_keeps_what_is_used';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER plan_keeps_what_is_used AFTER INSERT ON plan
  FOR EACH ROW EXECUTE FUNCTION plan_keeps_what_is_used();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON plan
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();
