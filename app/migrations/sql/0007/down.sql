-- Back to acts that the program alone has signed, and to what was kept before.
DROP TRIGGER person_has_a_log_line ON ab_user;
DROP FUNCTION person_has_a_log_line();
DROP TRIGGER lists_follow ON crl;
DROP FUNCTION lists_follow();
DROP TRIGGER production_has_no_clock ON business_clock;
DROP FUNCTION production_has_no_clock();
DROP TRIGGER letter_stays ON outbox_message;
DROP FUNCTION letter_stays();
DROP TRIGGER agreement_has_its_event ON application_party;
DROP FUNCTION agreement_has_its_event();
DROP TRIGGER submitted_parties_stay_added ON application_party;
DROP TRIGGER submitted_parties_stay_removed ON application_party;
DROP FUNCTION submitted_parties_stay();
DROP TRIGGER settings_are_signed ON parameter;
DROP TRIGGER settings_are_signed ON trading_day;
DROP TRIGGER settings_are_signed ON transfer_permission_change;
DROP TRIGGER settings_are_signed ON ab_user_role;
DROP FUNCTION settings_are_signed();
DROP TRIGGER acts_are_signed ON application_event;
DROP FUNCTION acts_are_signed();
DROP TRIGGER signature_covers ON signature_event;
DROP FUNCTION signature_covers();
DROP INDEX signature_once;
DROP INDEX signature_recorded;
CREATE INDEX signature_digest ON signature (digest);
ALTER TABLE signature
  DROP COLUMN recorded_xid,
  DROP CONSTRAINT signature_purpose_known,
  ADD CONSTRAINT signature_purpose_known
    CHECK (purpose IN ('login', 'submit', 'review', 'renew', 'other'));
DROP VIEW event_under_signing;
DROP TABLE operating_mode;

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
