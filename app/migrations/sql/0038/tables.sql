-- 核定数据表 by the platform's interface (rules-2026 N03, N05; docs/adr/0098): the rows are stored as those of a
-- file are, with the import of the client that pushed them; they count once an officer has approved the
-- application that names the import.
ALTER TABLE import_file
  ADD COLUMN client_id INTEGER REFERENCES machine_client (id),
  ADD CONSTRAINT import_file_by_machine CHECK (
    client_id IS NULL OR (kind = 'figures' AND imported_by IS NULL));
CREATE UNIQUE INDEX figure_table_import ON application (import_id) WHERE kind = 'figure_table';
ALTER TABLE application ADD CONSTRAINT figure_table_says_all CHECK (
  kind <> 'figure_table' OR status = 'discarded'
  OR (import_id IS NOT NULL AND document_no <> '' AND starts_on IS NOT NULL));

-- The newest table that counts of each enterprise, sector, year and stage; a table counts from its arrival, not
-- from its approval.
CREATE OR REPLACE VIEW current_figure AS
SELECT f.*
  FROM allocation_figure f
 WHERE NOT EXISTS (SELECT FROM application a
                    WHERE a.kind = 'figure_table' AND a.import_id = f.import_id AND a.status <> 'approved')
   AND NOT EXISTS (SELECT FROM allocation_figure n
                    WHERE n.account_id = f.account_id AND n.year = f.year AND n.sector = f.sector
                      AND n.stage = f.stage AND n.import_id > f.import_id
                      AND NOT EXISTS (SELECT FROM application b
                                       WHERE b.kind = 'figure_table' AND b.import_id = n.import_id
                                         AND b.status <> 'approved'));

-- What a machine pushed is the platform's, and has an application: without it the rows would count at once.
CREATE FUNCTION pushes_have_applications() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM machine_client c WHERE c.id = NEW.client_id AND c.is_platform)
     OR NOT EXISTS (SELECT FROM application a
                     WHERE a.kind = 'figure_table' AND a.import_id = NEW.id AND a.created_by IS NULL) THEN
    RAISE EXCEPTION 'import % is not the reporting platform''s, or has no application', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'pushes_have_applications';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER pushes_have_applications AFTER INSERT ON import_file
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.client_id IS NOT NULL)
  EXECUTE FUNCTION pushes_have_applications();

-- It is approved by an officer of the registry, never by the machine.
CREATE FUNCTION pushes_are_reviewed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM application_event e JOIN ab_user m ON m.id = e.member_id
                  WHERE e.application_id = NEW.id AND e.action = 'approve'
                    AND m.account_id IS NULL AND m.province IS NULL)
     OR NOT EXISTS (SELECT FROM import_file i
                     WHERE i.id = NEW.import_id AND i.client_id IS NOT NULL
                       AND i.sha256 = NEW.proposal ->> 'table') THEN
    RAISE EXCEPTION 'no officer of the registry approved table % as it was pushed', NEW.number
      USING ERRCODE = 'check_violation', CONSTRAINT = 'pushes_are_reviewed';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER pushes_are_reviewed AFTER INSERT OR UPDATE ON application
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.kind = 'figure_table' AND NEW.status = 'approved')
  EXECUTE FUNCTION pushes_are_reviewed();
