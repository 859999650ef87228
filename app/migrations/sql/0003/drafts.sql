-- Drafts: deleted by their applicant, changed by one form at a time, and typed before they are saved.
ALTER TABLE application
  ADD COLUMN form_key VARCHAR(80),
  DROP CONSTRAINT status_known,
  ADD CONSTRAINT status_known CHECK (
    status IN ('draft', 'in_review', 'pending_settlement', 'approved', 'returned', 'withdrawn',
               'refused', 'discarded')),
  DROP CONSTRAINT submitted_has_a_time,
  ADD CONSTRAINT submitted_has_a_time CHECK (
    status IN ('draft', 'refused', 'withdrawn', 'discarded') OR submitted_at IS NOT NULL),
  ADD CONSTRAINT discarded_was_never_submitted CHECK (
    status <> 'discarded' OR submitted_at IS NULL),
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded')
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'surrender_refund'))),
  DROP CONSTRAINT authority_acts_by_document,
  ADD CONSTRAINT authority_acts_by_document CHECK (
    status IN ('draft', 'returned', 'discarded')
    OR kind NOT IN ('freeze', 'unfreeze', 'confiscation', 'confiscation_refund', 'restriction',
                    'restriction_lifting')
    OR (document_no <> '' AND authority <> '' AND starts_on IS NOT NULL));
ALTER TABLE application_event
  DROP CONSTRAINT action_known,
  ADD CONSTRAINT action_known CHECK (
    action IN ('save', 'submit', 'approve', 'send_back', 'withdraw', 'refuse', 'discard'));

-- A final state never changes.
CREATE OR REPLACE FUNCTION final_states_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM old_application o JOIN new_application n USING (id)
              WHERE o.status IN ('approved', 'withdrawn', 'refused', 'discarded')
                AND (n.status <> o.status OR n.kind <> o.kind OR n.account_id <> o.account_id
                     OR n.posting_id IS DISTINCT FROM o.posting_id)) THEN
    RAISE EXCEPTION 'an application in a final state does not change'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'final_states_stay';
  END IF;
  RETURN NULL;
END $$;

CREATE TABLE unfinished_form (
  member_id INTEGER NOT NULL REFERENCES ab_user (id),
  request_key VARCHAR(80) NOT NULL,
  content JSONB NOT NULL,
  kept_at TIMESTAMP WITH TIME ZONE NOT NULL,
  PRIMARY KEY (member_id, request_key)
);
CREATE INDEX unfinished_form_age ON unfinished_form (kept_at);
