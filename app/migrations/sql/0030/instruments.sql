-- CCER is no instrument here (rules-2026 C8): units that this registry issued by itself are units from nothing.
DO $$
BEGIN
  IF EXISTS (SELECT FROM instrument i WHERE i.kind = 'offset'
                AND (EXISTS (SELECT FROM holding h WHERE h.instrument_id = i.id)
                     OR EXISTS (SELECT FROM application_line l WHERE l.instrument_id = i.id)
                     OR EXISTS (SELECT FROM venue_instrument v WHERE v.instrument_id = i.id))) THEN
    RAISE EXCEPTION '本库有作为标的发放的 CCER：CCER 今后只镜像 CCER 登记系统冻结的数量，不能由本系统转换。请先核销这些持有量，或以新库安装'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'offset_is_no_instrument';
  END IF;
END $$;
DELETE FROM instrument WHERE kind = 'offset';
ALTER TABLE instrument
  DROP CONSTRAINT instrument_kind_known,
  ADD CONSTRAINT instrument_kind_known CHECK (kind IN ('allowance', 'money'));
