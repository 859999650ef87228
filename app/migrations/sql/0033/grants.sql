-- What roles grant is kept by each process under the version that it reads with every session: a change
-- of the grants raises it, as a change of the catalogue does.
CREATE TRIGGER raise_reference_version AFTER INSERT OR UPDATE OR DELETE ON ab_permission_view_role
  FOR EACH STATEMENT EXECUTE FUNCTION raise_reference_version();
