-- Back to switches that the program alone has signed, and to lists without a gap.
DROP TRIGGER transfer_permission_is_signed ON account;
DROP TRIGGER colleague_review_is_signed ON account;
DROP FUNCTION flag_is_signed();
CREATE OR REPLACE FUNCTION lists_follow() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF (SELECT signs FROM operating_mode ORDER BY id DESC LIMIT 1)
     AND (NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM crl)
          OR abs(extract(epoch FROM NEW.issued_at - now())) > 3600) THEN
    RAISE EXCEPTION 'list % of % does not follow the last one', NEW.number, NEW.issued_at
      USING ERRCODE = 'check_violation', CONSTRAINT = 'lists_follow';
  END IF;
  RETURN NEW;
END $$;
DROP TRIGGER switches_are_signed ON ab_user;
DROP TRIGGER switches_are_signed ON colleague_review_change;
DROP FUNCTION switches_are_signed();
CREATE OR REPLACE FUNCTION final_states_stay() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  wrong text;
BEGIN
  SELECT o.number INTO wrong
    FROM old_application o JOIN new_application n USING (id)
   WHERE o.status NOT IN ('draft', 'returned')
     AND ((n.number, n.kind, n.account_id, n.reason, n.category, n.document_no, n.authority,
           n.starts_on, n.ends_on, n.notice_id, n.import_id, n.proposal, n.request_key, n.form_key,
           n.created_by, n.created_at, n.submitted_by, n.submitted_at)
          IS DISTINCT FROM
          (o.number, o.kind, o.account_id, o.reason, o.category, o.document_no, o.authority,
           o.starts_on, o.ends_on, o.notice_id, o.import_id, o.proposal, o.request_key, o.form_key,
           o.created_by, o.created_at, o.submitted_by, o.submitted_at)
          OR (o.status IN ('approved', 'withdrawn', 'refused', 'discarded')
              AND (n.status, n.step, n.version, n.refusal, n.settles_on, n.posting_id)
                  IS DISTINCT FROM
                  (o.status, o.step, o.version, o.refusal, o.settles_on, o.posting_id)))
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'application % was submitted: its content stays, and all of it once it is final', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'final_states_stay';
  END IF;
  RETURN NULL;
END $$;
