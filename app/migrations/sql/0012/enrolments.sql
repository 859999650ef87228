-- Who signed for an enrolment: the signing process verifies it before the codes lead to a certificate.
ALTER TABLE certificate_enrolment
  ADD COLUMN signature_id BIGINT REFERENCES signature (id),
  ADD COLUMN confirming_signature_id BIGINT REFERENCES signature (id),
  ADD CONSTRAINT enrolment_signed_by_two CHECK (signature_id <> confirming_signature_id);
