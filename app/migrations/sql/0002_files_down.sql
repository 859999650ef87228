-- Takes back 0002_files.sql.
DROP TABLE import_file;
DROP TABLE attestation;
DROP TABLE attachment;
DROP FUNCTION submitted_attachments_stay();
