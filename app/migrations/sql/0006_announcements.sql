-- 通知公告: what is published stays, and nobody takes a reading back.
CREATE FUNCTION announcement_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE restrict_violation USING CONSTRAINT = 'announcement_stays',
            MESSAGE = 'announcement_stays: announcements are withdrawn, never deleted';
    END IF;
    IF OLD.withdrawn_at IS NOT NULL
       OR (OLD.published_at IS NOT NULL
           AND (NEW.title, NEW.text, NEW.audience, NEW.province, NEW.written_by, NEW.written_at,
                NEW.version, NEW.published_by, NEW.published_at)
               IS DISTINCT FROM
               (OLD.title, OLD.text, OLD.audience, OLD.province, OLD.written_by, OLD.written_at,
                OLD.version, OLD.published_by, OLD.published_at)) THEN
        RAISE restrict_violation USING CONSTRAINT = 'announcement_stays',
            MESSAGE = concat('announcement_stays: announcement ', OLD.id, ' is out, or withdrawn');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER announcement_stays BEFORE UPDATE OR DELETE ON announcement
  FOR EACH ROW EXECUTE FUNCTION announcement_stays();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON announcement_reading
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();
