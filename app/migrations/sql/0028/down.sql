-- Refused where something was netted: what was recalled is not given back by a migration.
ALTER TABLE application DROP CONSTRAINT allocation_by_document;
DROP TRIGGER allocation_keeps_within ON application;
DROP FUNCTION allocation_keeps_within();
DROP VIEW claimable;
DROP TRIGGER recall_claims ON movement;
DROP FUNCTION recall_claims();
CREATE OR REPLACE VIEW line_draw AS
SELECT s.id AS line_id, s.application_id, s.instrument_id, s.quantity, d.drawn, d.pending,
       s.quantity - d.drawn - d.pending AS remaining
  FROM application_line s
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(l.quantity) FILTER (WHERE a.status = 'approved'), 0)::bigint AS drawn,
              coalesce(sum(l.quantity) FILTER (WHERE a.status <> 'approved'), 0)::bigint AS pending
         FROM application_line l JOIN application a ON a.id = l.application_id
        WHERE l.source_line_id = s.id
          AND a.status IN ('in_review', 'pending_settlement', 'approved')) AS d;
DROP TABLE claim_netting;
DROP INDEX application_claims, application_deductions;
DROP VIEW true_up, current_figure;
DROP TABLE allocation_figure;
