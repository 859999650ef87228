-- Reference data are disabled, never deleted; every change of the catalogue raises its version.
CREATE FUNCTION reference_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    RAISE restrict_violation USING CONSTRAINT = 'reference_stays',
        MESSAGE = concat('reference_stays: rows of ', TG_TABLE_NAME, ' are disabled, never deleted');
END $$;
CREATE TRIGGER reference_stays BEFORE DELETE OR TRUNCATE ON sector
  FOR EACH STATEMENT EXECUTE FUNCTION reference_stays();
CREATE TRIGGER reference_stays BEFORE DELETE OR TRUNCATE ON category
  FOR EACH STATEMENT EXECUTE FUNCTION reference_stays();
CREATE TRIGGER reference_stays BEFORE DELETE OR TRUNCATE ON city
  FOR EACH STATEMENT EXECUTE FUNCTION reference_stays();
CREATE TRIGGER reference_stays BEFORE DELETE OR TRUNCATE ON venue
  FOR EACH STATEMENT EXECUTE FUNCTION reference_stays();
CREATE TRIGGER reference_stays BEFORE DELETE OR TRUNCATE ON venue_instrument
  FOR EACH STATEMENT EXECUTE FUNCTION reference_stays();

-- The owner's rights: whoever may write a sector need not be able to write the version.
CREATE FUNCTION raise_reference_version() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = public AS $$
BEGIN
    UPDATE reference_version SET version = version + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER raise_reference_version AFTER INSERT OR UPDATE ON sector
  FOR EACH STATEMENT EXECUTE FUNCTION raise_reference_version();
CREATE TRIGGER raise_reference_version AFTER INSERT OR UPDATE ON category
  FOR EACH STATEMENT EXECUTE FUNCTION raise_reference_version();
CREATE TRIGGER raise_reference_version AFTER INSERT OR UPDATE ON city
  FOR EACH STATEMENT EXECUTE FUNCTION raise_reference_version();
INSERT INTO reference_version DEFAULT VALUES;
