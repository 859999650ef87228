ALTER TABLE certificate_enrolment
  DROP CONSTRAINT enrolment_signed_by_two,
  DROP COLUMN signature_id,
  DROP COLUMN confirming_signature_id;
