DROP TRIGGER pushes_are_reviewed ON application;
DROP FUNCTION pushes_are_reviewed();
DROP TRIGGER pushes_have_applications ON import_file;
DROP FUNCTION pushes_have_applications();
ALTER TABLE application DROP CONSTRAINT figure_table_says_all;
DROP INDEX figure_table_import;
ALTER TABLE import_file
  DROP CONSTRAINT import_file_by_machine,
  DROP COLUMN client_id;

DROP TRIGGER credential_stays ON machine_client;
CREATE TRIGGER credential_stays BEFORE UPDATE OR DELETE ON machine_client
  FOR EACH ROW WHEN (OLD.venue_id IS NULL) EXECUTE FUNCTION credential_stays();
-- The database refuses this where the platform has a client.
ALTER TABLE machine_client
  DROP CONSTRAINT platform_scopes,
  DROP CONSTRAINT credential_scopes,
  DROP CONSTRAINT machine_client_code,
  DROP CONSTRAINT machine_client_of_one,
  DROP COLUMN is_platform,
  ADD CONSTRAINT machine_client_of_one CHECK (num_nonnulls(venue_id, account_id, province) = 1),
  ADD CONSTRAINT machine_client_code CHECK ((venue_id IS NULL) = (code ~ '^M[0-9]{8}$')),
  ADD CONSTRAINT credential_scopes CHECK (
    venue_id IS NOT NULL
    OR (cardinality(scopes) > 0
        AND scopes <@ '{holdings:read,statements:read,notices:read,applications:read}'::text[]));
