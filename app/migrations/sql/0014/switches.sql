-- 操作复核, and letting people in or keeping them out: signed acts alone, as settings are (0007).
CREATE FUNCTION switches_are_signed() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  acts text[];
  wanted jsonb;
  setter integer;
BEGIN
  IF (SELECT signs FROM operating_mode ORDER BY id DESC LIMIT 1) IS NOT TRUE
     OR pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
    RETURN NULL;
  END IF;
  CASE TG_TABLE_NAME
    WHEN 'colleague_review_change' THEN
      acts := ARRAY['account.colleague_review'];
      setter := NEW.changed_by;
      wanted := jsonb_build_object(
        'account', (SELECT member_no FROM account WHERE id = NEW.account_id),
        'is_on', NEW.is_on::text);
    WHEN 'ab_user' THEN
      -- Who has no certificate can do nothing yet.
      IF NOT EXISTS (SELECT FROM certificate WHERE member_id = NEW.id) THEN
        RETURN NULL;
      END IF;
      acts := CASE WHEN NEW.active THEN ARRAY['member.enable', 'operator.enable']
                   ELSE ARRAY['member.disable', 'operator.disable'] END;
      wanted := jsonb_build_object('member', NEW.username);
  END CASE;
  IF NOT EXISTS (SELECT FROM signature s JOIN certificate c ON c.id = s.certificate_id
                  WHERE s.recorded_xid = pg_current_xact_id() AND s.purpose = 'act'
                    AND (setter IS NOT DISTINCT FROM c.member_id OR TG_TABLE_NAME = 'ab_user')
                    AND convert_from(s.content, 'UTF8')::jsonb -> 'payload' ->> 'act' = ANY(acts)
                    AND convert_from(s.content, 'UTF8')::jsonb -> 'payload'
                        @> jsonb_build_object('schema', 'act/1', 'values', wanted)) THEN
    RAISE EXCEPTION '% changes by signed acts alone: %', TG_TABLE_NAME, wanted
      USING ERRCODE = 'check_violation', CONSTRAINT = 'switches_are_signed';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER switches_are_signed AFTER INSERT ON colleague_review_change
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION switches_are_signed();
CREATE CONSTRAINT TRIGGER switches_are_signed AFTER UPDATE OF active ON ab_user
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (OLD.active IS DISTINCT FROM NEW.active) EXECUTE FUNCTION switches_are_signed();

-- What the rules read are the account's own columns: they change by the same acts. The arguments are
-- the act, and under which name it says what the column says.
CREATE FUNCTION flag_is_signed() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  wanted jsonb := jsonb_build_object(
    'schema', 'act/1', 'act', TG_ARGV[0],
    'values', jsonb_build_object('account', NEW.member_no,
                                 TG_ARGV[1], to_jsonb(NEW) ->> TG_ARGV[2]));
BEGIN
  IF to_jsonb(NEW) -> TG_ARGV[2] = to_jsonb(OLD) -> TG_ARGV[2]
     OR (SELECT signs FROM operating_mode ORDER BY id DESC LIMIT 1) IS NOT TRUE
     OR pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
    RETURN NULL;
  END IF;
  IF NOT EXISTS (SELECT FROM signature s
                  WHERE s.recorded_xid = pg_current_xact_id() AND s.purpose = 'act'
                    AND convert_from(s.content, 'UTF8')::jsonb -> 'payload' @> wanted) THEN
    RAISE EXCEPTION 'account % changes by signed acts alone: %', NEW.member_no, wanted
      USING ERRCODE = 'check_violation', CONSTRAINT = 'flag_is_signed';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER transfer_permission_is_signed AFTER UPDATE OF allows_exchange_transfer
  ON account DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION
  flag_is_signed('account.transfer_permission', 'is_allowed', 'allows_exchange_transfer');
CREATE CONSTRAINT TRIGGER colleague_review_is_signed AFTER UPDATE OF needs_colleague
  ON account DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION
  flag_is_signed('account.colleague_review', 'is_on', 'needs_colleague');

-- Revocation lists rise. A number is left out where the signing process made a list that was then not
-- recorded, or the table was restored from a copy; without this no list would ever follow (0007).
CREATE OR REPLACE FUNCTION lists_follow() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF (SELECT signs FROM operating_mode ORDER BY id DESC LIMIT 1)
     AND (NEW.number - (SELECT coalesce(max(number), 0) FROM crl) NOT BETWEEN 1 AND 1000
          OR abs(extract(epoch FROM NEW.issued_at - now())) > 3600) THEN
    RAISE EXCEPTION 'list % of % does not follow the last one', NEW.number, NEW.issued_at
      USING ERRCODE = 'check_violation', CONSTRAINT = 'lists_follow';
  END IF;
  RETURN NEW;
END $$;

-- The same as in 0007, by a join of both tables at once: asked for the first alone, the planner compared
-- each row with each, 2,000 with 2,000 in half a second.
CREATE OR REPLACE FUNCTION final_states_stay() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  wrong text;
BEGIN
  SELECT min(o.number) INTO wrong
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
                  (o.status, o.step, o.version, o.refusal, o.settles_on, o.posting_id)));
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION 'application % was submitted: its content stays, and all of it once it is final', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'final_states_stay';
  END IF;
  RETURN NULL;
END $$;
