-- Back to the states before; it refuses where a draft was deleted.
DROP TABLE unfinished_form;
ALTER TABLE application
  DROP COLUMN form_key,
  DROP CONSTRAINT discarded_was_never_submitted,
  DROP CONSTRAINT status_known,
  ADD CONSTRAINT status_known CHECK (
    status IN ('draft', 'in_review', 'pending_settlement', 'approved', 'returned', 'withdrawn',
               'refused')),
  DROP CONSTRAINT submitted_has_a_time,
  ADD CONSTRAINT submitted_has_a_time CHECK (
    status IN ('draft', 'refused', 'withdrawn') OR submitted_at IS NOT NULL),
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned')
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'surrender_refund'))),
  DROP CONSTRAINT authority_acts_by_document,
  ADD CONSTRAINT authority_acts_by_document CHECK (
    status IN ('draft', 'returned')
    OR kind NOT IN ('freeze', 'unfreeze', 'confiscation', 'confiscation_refund', 'restriction',
                    'restriction_lifting')
    OR (document_no <> '' AND authority <> '' AND starts_on IS NOT NULL));
ALTER TABLE application_event
  DROP CONSTRAINT action_known,
  ADD CONSTRAINT action_known CHECK (
    action IN ('save', 'submit', 'approve', 'send_back', 'withdraw', 'refuse'));
CREATE OR REPLACE FUNCTION final_states_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM old_application o JOIN new_application n USING (id)
              WHERE o.status IN ('approved', 'withdrawn', 'refused')
                AND (n.status <> o.status OR n.kind <> o.kind OR n.account_id <> o.account_id
                     OR n.posting_id IS DISTINCT FROM o.posting_id)) THEN
    RAISE EXCEPTION 'an application in a final state does not change'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'final_states_stay';
  END IF;
  RETURN NULL;
END $$;
