-- Notices by two people: what a notice says follows from the approved applications in its history.
ALTER TABLE notice ADD COLUMN withdrawn_at TIMESTAMP WITH TIME ZONE;
DROP INDEX notice_once;
CREATE UNIQUE INDEX notice_once ON notice (account_id, year) WHERE withdrawn_at IS NULL;
ALTER TABLE application
  DROP CONSTRAINT surrender_has_a_notice,
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned', 'discarded') OR kind = 'notice'
    OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'surrender_refund')));
CREATE UNIQUE INDEX one_notice_decision ON application (account_id, (proposal ->> 'year'))
  WHERE kind = 'notice' AND status = 'in_review';

-- What a notice says, in the form of app/domain/notices.py.
CREATE FUNCTION notice_terms(n notice) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT jsonb_build_object(
    'obligation', n.obligation::text,
    'deadline', to_char(n.deadline AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD"T"HH24:MI:SS"+08:00"'),
    'instruments', coalesce((SELECT jsonb_agg(i.code ORDER BY i.code COLLATE "C")
                               FROM notice_instrument s JOIN instrument i ON i.id = s.instrument_id
                              WHERE s.notice_id = n.id), '[]'),
    'offset_percent', trim_scale(n.offset_percent)::text)
$$;

-- Each change names its application and all that the notice says from then on: nothing once withdrawn.
ALTER TABLE notice_change
  ALTER before DROP NOT NULL,
  ALTER changed_by DROP NOT NULL,
  ADD COLUMN terms JSONB,
  ADD COLUMN application_id BIGINT UNIQUE REFERENCES application (id);
-- Of notices that one person issued the history begins with what they say today.
INSERT INTO notice_change (notice_id, before, after, terms, changed_by, changed_at)
SELECT id, obligation, obligation, notice_terms(notice), issued_by, now() FROM notice ORDER BY id;
ALTER TABLE notice_change ADD CONSTRAINT change_by_application
  CHECK (application_id IS NOT NULL) NOT VALID;

-- Carries out decisions: all of them or none, each once, as two people of one authority approved them.
-- What a notice says is read from the applications; nobody hands it in.
CREATE FUNCTION carry_out_notices(asked bigint[])
RETURNS TABLE (application_id bigint, notice_id integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  applications bigint[];
  notices integer[];
BEGIN
  PERFORM FROM notice
    WHERE id IN (SELECT a.notice_id FROM application a WHERE a.id = ANY(asked))
    ORDER BY id FOR NO KEY UPDATE;
  WITH decided AS MATERIALIZED (
         SELECT a.id, a.account_id, a.notice_id, a.import_id, e.member_id, e.at,
                (a.proposal ->> 'year')::smallint AS year, a.proposal -> 'before' AS before,
                a.proposal -> 'after' AS after
           FROM application a
          CROSS JOIN LATERAL (
                SELECT v.id, v.member_id, v.at FROM application_event v
                 WHERE v.application_id = a.id AND v.action = 'approve'
                 ORDER BY v.id DESC LIMIT 1) AS e
           JOIN ab_user asking ON asking.id = a.submitted_by
           JOIN ab_user approving ON approving.id = e.member_id
          WHERE asking.account_id IS NULL AND approving.account_id IS NULL
            AND asking.province IS NOT DISTINCT FROM approving.province
            AND a.submitted_by = (SELECT v.member_id FROM application_event v
                                   WHERE v.application_id = a.id AND v.action = 'submit'
                                     AND v.id < e.id ORDER BY v.id DESC LIMIT 1)
            AND a.id = ANY(asked) AND a.kind = 'notice' AND a.status = 'approved'
            AND e.member_id <> a.created_by AND e.member_id <> a.submitted_by
            AND NOT EXISTS (SELECT FROM notice_change c WHERE c.application_id = a.id)),
       changed AS (
         UPDATE notice n
            SET obligation = coalesce((d.after ->> 'obligation')::bigint, 0),
                deadline = coalesce((d.after ->> 'deadline')::timestamptz, n.deadline),
                offset_percent = coalesce((d.after ->> 'offset_percent')::numeric, 0),
                withdrawn_at = CASE WHEN d.after IS NULL THEN d.at END
           FROM decided d
          WHERE n.id = d.notice_id AND n.account_id = d.account_id AND n.year = d.year
            AND n.withdrawn_at IS NULL AND notice_terms(n) = d.before
            AND (d.after IS NOT NULL
                 OR NOT EXISTS (SELECT FROM application s
                                 WHERE s.notice_id = n.id AND s.kind = 'surrender'
                                   AND s.status IN ('in_review', 'approved')))
         RETURNING d.id, n.id AS notice_id),
       numbered AS MATERIALIZED (
         SELECT nextval(pg_get_serial_sequence('notice', 'id'))::integer AS notice_id, w.*
           FROM (SELECT * FROM decided
                  WHERE before IS NULL AND after IS NOT NULL AND notice_id IS NULL
                  ORDER BY account_id, year) AS w (id, account_id, _notice, import_id, member_id, at,
                                                   year, before, after)),
       made AS (
         INSERT INTO notice (id, number, account_id, year, obligation, deadline, offset_percent,
                             import_id, issued_by, issued_at)
         SELECT notice_id,
                'LT' || year || lpad(notice_id::text, greatest(8, length(notice_id::text)), '0'),
                account_id, year, (after ->> 'obligation')::bigint,
                (after ->> 'deadline')::timestamptz, (after ->> 'offset_percent')::numeric,
                import_id, member_id, at
           FROM numbered ORDER BY notice_id)
  SELECT array_agg(id), array_agg(notice_id) INTO applications, notices
    FROM (SELECT id, notice_id FROM changed UNION ALL SELECT id, notice_id FROM numbered) AS w;
  IF coalesce(cardinality(applications), 0)
     <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'a notice is not as the decision found it, or nobody else approved that'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'notice_as_decided';
  END IF;

  DELETE FROM notice_instrument s
   USING unnest(applications, notices) AS w (id, notice), application a, instrument i
   WHERE a.id = w.id AND s.notice_id = w.notice AND i.id = s.instrument_id
     AND a.proposal ? 'after' AND NOT a.proposal -> 'after' -> 'instruments' ? i.code;
  INSERT INTO notice_instrument (notice_id, instrument_id)
  SELECT w.notice, i.id
    FROM unnest(applications, notices) AS w (id, notice)
    JOIN application a ON a.id = w.id
   CROSS JOIN LATERAL jsonb_array_elements_text(a.proposal -> 'after' -> 'instruments') AS t (named)
    JOIN instrument i ON i.code = t.named
  ON CONFLICT DO NOTHING;
  INSERT INTO notice_change (notice_id, application_id, before, after, terms, document_no, reason,
                             changed_by, changed_at)
  SELECT w.notice, a.id, (a.proposal -> 'before' ->> 'obligation')::bigint,
         coalesce((a.proposal -> 'after' ->> 'obligation')::bigint, 0), a.proposal -> 'after',
         a.document_no, a.reason, e.member_id, e.at
    FROM unnest(applications, notices) AS w (id, notice)
    JOIN application a ON a.id = w.id
   CROSS JOIN LATERAL (SELECT v.member_id, v.at FROM application_event v
                        WHERE v.application_id = a.id AND v.action = 'approve'
                        ORDER BY v.id DESC LIMIT 1) AS e
   ORDER BY a.id;
  RETURN QUERY SELECT w.id, w.notice FROM unnest(applications, notices) AS w (id, notice);
END $$;

-- Whoever writes it: at the end of a transaction a notice says what its history says last.
CREATE FUNCTION notice_follows_history() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  concerned integer := CASE WHEN TG_TABLE_NAME = 'notice' THEN to_jsonb(NEW) ->> 'id'
                            WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ->> 'notice_id'
                            ELSE to_jsonb(NEW) ->> 'notice_id' END;
BEGIN
  IF EXISTS (SELECT FROM notice n
               LEFT JOIN LATERAL (SELECT c.terms FROM notice_change c WHERE c.notice_id = n.id
                                   ORDER BY c.id DESC LIMIT 1) AS last ON true
              WHERE n.id = concerned
                AND CASE WHEN n.withdrawn_at IS NULL THEN notice_terms(n) END
                    IS DISTINCT FROM last.terms) THEN
    RAISE EXCEPTION 'notice % says something else than its history',
                    (SELECT number FROM notice WHERE id = concerned)
      USING ERRCODE = 'check_violation', CONSTRAINT = 'notice_follows_history';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER notice_follows_history
  AFTER INSERT OR UPDATE OF account_id, year, obligation, deadline, offset_percent, withdrawn_at
  ON notice DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION notice_follows_history();
CREATE CONSTRAINT TRIGGER notice_follows_history AFTER INSERT OR DELETE
  ON notice_instrument DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION notice_follows_history();
CREATE CONSTRAINT TRIGGER notice_follows_history AFTER INSERT
  ON notice_change DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION notice_follows_history();
