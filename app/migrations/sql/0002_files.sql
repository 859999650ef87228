-- Files: attachments of applications, certificates with a code, and what was imported already.
CREATE TABLE attachment (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  application_id BIGINT,
  account_id INTEGER NOT NULL,
  request_key VARCHAR(80) DEFAULT '' NOT NULL,
  category VARCHAR(40) DEFAULT '' NOT NULL,
  name VARCHAR(200) NOT NULL,
  media_type VARCHAR(100) NOT NULL,
  size INTEGER NOT NULL,
  sha256 VARCHAR(64) NOT NULL,
  content BYTEA NOT NULL,
  uploaded_by INTEGER,
  uploaded_at TIMESTAMP WITH TIME ZONE NOT NULL,
  PRIMARY KEY (id),
  CONSTRAINT attachment_size_sane CHECK (size BETWEEN 1 AND 10485760),
  CONSTRAINT attachment_is_whole CHECK (octet_length(content) = size),
  CONSTRAINT attachment_belongs_somewhere CHECK (application_id IS NOT NULL OR request_key <> ''),
  FOREIGN KEY(application_id) REFERENCES application (id),
  FOREIGN KEY(account_id) REFERENCES account (id),
  FOREIGN KEY(uploaded_by) REFERENCES ab_user (id)
);
CREATE INDEX attachment_of ON attachment (application_id, id);
CREATE INDEX attachment_waiting ON attachment (request_key, id) WHERE application_id IS NULL;
CREATE TABLE attestation (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  number VARCHAR(30) NOT NULL,
  code VARCHAR(32) NOT NULL,
  kind VARCHAR(20) NOT NULL,
  account_id INTEGER NOT NULL,
  application_id BIGINT,
  notice_id BIGINT,
  content JSONB NOT NULL,
  issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
  issued_by INTEGER,
  lapsed_at TIMESTAMP WITH TIME ZONE,
  PRIMARY KEY (id),
  CONSTRAINT attestation_kind_known CHECK (kind IN ('cancellation', 'compliance')),
  CONSTRAINT cancellation_has_a_source CHECK (kind <> 'cancellation' OR application_id IS NOT NULL),
  CONSTRAINT compliance_has_a_source CHECK (kind <> 'compliance' OR notice_id IS NOT NULL),
  CONSTRAINT attestation_once_an_application UNIQUE (application_id),
  CONSTRAINT cancellation_never_lapses CHECK (lapsed_at IS NULL OR kind = 'compliance'),
  UNIQUE (number),
  UNIQUE (code),
  FOREIGN KEY(account_id) REFERENCES account (id),
  FOREIGN KEY(application_id) REFERENCES application (id),
  FOREIGN KEY(issued_by) REFERENCES ab_user (id)
);
CREATE INDEX attestation_account ON attestation (account_id, id);
CREATE UNIQUE INDEX attestation_once_a_notice ON attestation (notice_id) WHERE lapsed_at IS NULL;
CREATE TABLE import_file (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  kind VARCHAR(40) NOT NULL,
  name VARCHAR(200) NOT NULL,
  sha256 VARCHAR(64) NOT NULL,
  rows INTEGER NOT NULL,
  attempt SMALLINT DEFAULT '1' NOT NULL,
  imported_by INTEGER,
  imported_at TIMESTAMP WITH TIME ZONE NOT NULL,
  PRIMARY KEY (id),
  CONSTRAINT import_file_has_rows CHECK (rows > 0),
  CONSTRAINT import_file_once UNIQUE (kind, sha256, attempt),
  FOREIGN KEY(imported_by) REFERENCES ab_user (id)
);

-- What was handed in stays: files come and go only while their application can be edited.
CREATE FUNCTION submitted_attachments_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM touched_attachment t JOIN application a ON a.id = t.application_id
              WHERE a.status NOT IN ('draft', 'returned')) THEN
    RAISE EXCEPTION 'the attachments of a submitted application do not change'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'submitted_attachments_stay';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER submitted_attachments_stay_added AFTER INSERT ON attachment
  REFERENCING NEW TABLE AS touched_attachment
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_attachments_stay();
CREATE TRIGGER submitted_attachments_stay_changed AFTER UPDATE ON attachment
  REFERENCING OLD TABLE AS touched_attachment
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_attachments_stay();
CREATE TRIGGER submitted_attachments_stay_moved AFTER UPDATE ON attachment
  REFERENCING NEW TABLE AS touched_attachment
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_attachments_stay();
CREATE TRIGGER submitted_attachments_stay_removed AFTER DELETE ON attachment
  REFERENCING OLD TABLE AS touched_attachment
  FOR EACH STATEMENT EXECUTE FUNCTION submitted_attachments_stay();

-- Certificates and the memory of imports are append-only, whoever asks; a certificate lapses once.
CREATE TRIGGER append_only
  BEFORE DELETE OR TRUNCATE OR UPDATE OF id, number, code, kind, account_id, application_id,
                                         notice_id, content, issued_at, issued_by ON attestation
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER lapses_once BEFORE UPDATE ON attestation FOR EACH ROW
  WHEN (OLD.lapsed_at IS NOT NULL OR NEW.lapsed_at IS NULL) EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON import_file
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();
