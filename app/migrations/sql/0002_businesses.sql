-- Every business of the manual: notices, parties, links, and what applications draw on.
CREATE TABLE notice (
  id SERIAL PRIMARY KEY,
  number VARCHAR(30) NOT NULL UNIQUE,
  account_id INTEGER NOT NULL REFERENCES account (id),
  year SMALLINT NOT NULL,
  obligation BIGINT NOT NULL,
  deadline TIMESTAMP WITH TIME ZONE NOT NULL,
  offset_percent NUMERIC(5, 2) DEFAULT '0' NOT NULL,
  import_id BIGINT REFERENCES import_file (id),
  issued_by INTEGER REFERENCES ab_user (id),
  issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
  reminded_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT obligation_sane CHECK (obligation BETWEEN 0 AND 1000000000000),
  CONSTRAINT offset_percent_sane CHECK (offset_percent BETWEEN 0 AND 100)
);
CREATE UNIQUE INDEX notice_once ON notice (account_id, year);
CREATE INDEX notice_of_year ON notice (year, id);

CREATE TABLE notice_instrument (
  notice_id INTEGER NOT NULL REFERENCES notice (id),
  instrument_id INTEGER NOT NULL REFERENCES instrument (id),
  PRIMARY KEY (notice_id, instrument_id)
);

CREATE TABLE notice_change (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  notice_id INTEGER NOT NULL REFERENCES notice (id),
  before BIGINT NOT NULL,
  after BIGINT NOT NULL,
  document_no VARCHAR(100) DEFAULT '' NOT NULL,
  reason VARCHAR(500) DEFAULT '' NOT NULL,
  changed_by INTEGER NOT NULL REFERENCES ab_user (id),
  changed_at TIMESTAMP WITH TIME ZONE NOT NULL
);
CREATE INDEX notice_change_of ON notice_change (notice_id, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON notice_change
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

ALTER TABLE account
  ADD COLUMN lacks_documents BOOLEAN DEFAULT 'false' NOT NULL,
  ADD COLUMN opening_id BIGINT UNIQUE;

-- Phone, identity and bank numbers are stored encrypted (models/encrypted.py).
CREATE TABLE account_detail (
  account_id INTEGER NOT NULL PRIMARY KEY REFERENCES account (id),
  registered_address VARCHAR(300) DEFAULT '' NOT NULL,
  legal_representative VARCHAR(100) DEFAULT '' NOT NULL,
  representative VARCHAR(100) DEFAULT '' NOT NULL,
  representative_phone TEXT,
  representative_email TEXT,
  representative_identity_no TEXT,
  bank_name VARCHAR(200) DEFAULT '' NOT NULL,
  bank_account TEXT
);

CREATE TABLE custody_link (
  account_id INTEGER NOT NULL REFERENCES account (id),
  receiver_id INTEGER NOT NULL REFERENCES account (id),
  application_id BIGINT NOT NULL,
  linked_at TIMESTAMP WITH TIME ZONE NOT NULL,
  PRIMARY KEY (account_id, receiver_id),
  CONSTRAINT links_two CHECK (account_id <> receiver_id)
);

CREATE TABLE application_party (
  application_id BIGINT NOT NULL REFERENCES application (id),
  account_id INTEGER NOT NULL REFERENCES account (id),
  agreed_at TIMESTAMP WITH TIME ZONE,
  agreed_by INTEGER REFERENCES ab_user (id),
  PRIMARY KEY (application_id, account_id)
);
CREATE INDEX application_party_of ON application_party (account_id, application_id);

ALTER TABLE application
  ADD COLUMN category VARCHAR(30) DEFAULT '' NOT NULL,
  ADD COLUMN document_no VARCHAR(100) DEFAULT '' NOT NULL,
  ADD COLUMN authority VARCHAR(200) DEFAULT '' NOT NULL,
  ADD COLUMN starts_on DATE,
  ADD COLUMN ends_on DATE,
  ADD COLUMN notice_id INTEGER REFERENCES notice (id),
  ADD COLUMN import_id BIGINT REFERENCES import_file (id),
  ADD COLUMN proposal JSONB DEFAULT '{}' NOT NULL,
  DROP CONSTRAINT submitted_has_a_time,  -- Drafts of an import may be withdrawn, too.
  ADD CONSTRAINT submitted_has_a_time CHECK (
    status IN ('draft', 'refused', 'withdrawn') OR submitted_at IS NOT NULL),
  ADD CONSTRAINT surrender_has_a_notice CHECK (
    status IN ('draft', 'returned') OR (notice_id IS NOT NULL) = (kind IN ('surrender', 'surrender_refund'))),
  ADD CONSTRAINT authority_acts_by_document CHECK (
    status IN ('draft', 'returned')
    OR kind NOT IN ('freeze', 'unfreeze', 'confiscation', 'confiscation_refund', 'restriction',
                    'restriction_lifting')
    OR (document_no <> '' AND authority <> '' AND starts_on IS NOT NULL));
CREATE UNIQUE INDEX one_account_change ON application (account_id)
  WHERE kind = 'account_change' AND status = 'in_review';
-- 登记管理规则 7: nobody has two accounts, nor two that are about to be opened.
CREATE UNIQUE INDEX one_opening ON application ((proposal -> 'uscc' ->> 1))
  WHERE kind = 'account_opening' AND status = 'in_review';
CREATE INDEX application_of_notice ON application (notice_id, status) WHERE notice_id IS NOT NULL;

-- Whom the registry has let in and told so; the token of the link is kept as its SHA-256.
CREATE TABLE invitation (
  member_id INTEGER NOT NULL PRIMARY KEY REFERENCES ab_user (id),
  opened_by INTEGER NOT NULL REFERENCES ab_user (id),
  confirmed_by INTEGER REFERENCES ab_user (id),
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  token_hash VARCHAR(64) UNIQUE,
  written_at TIMESTAMP WITH TIME ZONE,
  expires_at TIMESTAMP WITH TIME ZONE,
  used_at TIMESTAMP WITH TIME ZONE,
  failure VARCHAR(200) DEFAULT '' NOT NULL,
  CONSTRAINT invited_by_two CHECK (opened_by <> confirmed_by),
  CONSTRAINT used_after_written CHECK (used_at IS NULL OR token_hash IS NOT NULL),
  CONSTRAINT link_has_an_end CHECK ((token_hash IS NULL) = (expires_at IS NULL))
);
CREATE INDEX invitation_waiting ON invitation (created_at) WHERE written_at IS NULL;

ALTER TABLE application_line
  ADD COLUMN account_id INTEGER REFERENCES account (id),
  ADD COLUMN source_line_id BIGINT REFERENCES application_line (id);
DROP INDEX application_line_once;
CREATE UNIQUE INDEX application_line_once ON application_line
  (application_id, instrument_id, coalesce(source_line_id, 0), coalesce(account_id, 0));
CREATE INDEX application_line_source ON application_line (source_line_id)
  WHERE source_line_id IS NOT NULL;

-- What applications may not exceed, whoever writes their states.  The engine holds the applicant's
-- account, so that nobody waits here; the rows locked here make it certain without the engine, too.
CREATE FUNCTION applications_keep_within() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  moved bigint[];
  sources bigint[];
  notices integer[];
  accounts integer[];
  wrong bigint;
BEGIN
  SELECT array_agg(n.id) INTO moved
    FROM new_application n JOIN old_application o USING (id)
   WHERE n.status <> o.status AND n.status IN ('in_review', 'pending_settlement', 'approved');
  IF moved IS NULL THEN
    RETURN NULL;
  END IF;

  -- Nothing is drawn beyond what its source held, nor before that was approved.
  SELECT array_agg(DISTINCT l.source_line_id) INTO sources
    FROM unnest(moved) AS m (id) JOIN application_line l ON l.application_id = m.id
   WHERE l.source_line_id IS NOT NULL;
  IF sources IS NOT NULL THEN
    PERFORM FROM application_line WHERE id = ANY(sources) ORDER BY id FOR NO KEY UPDATE;
    SELECT s.id INTO wrong
      FROM unnest(sources) AS w (id)
      JOIN application_line s ON s.id = w.id
      JOIN application sa ON sa.id = s.application_id
      JOIN application_line l ON l.source_line_id = w.id
      JOIN application a ON a.id = l.application_id
     WHERE a.status IN ('in_review', 'pending_settlement', 'approved')
     GROUP BY s.id, sa.id
    HAVING sa.status <> 'approved'
        OR s.quantity < sum(l.quantity)
        OR bool_or(l.instrument_id <> s.instrument_id
                   OR a.account_id <> sa.account_id
                   OR (a.kind = 'surrender_refund'
                       AND a.notice_id IS DISTINCT FROM sa.notice_id));
    IF FOUND THEN
      RAISE EXCEPTION 'more is drawn than line % holds', wrong
        USING ERRCODE = 'check_violation', CONSTRAINT = 'draws_stay_within';
    END IF;
  END IF;

  -- Nothing is surrendered beyond what a notice asks for, nor more CCER than it takes.
  SELECT array_agg(DISTINCT a.notice_id) INTO notices
    FROM unnest(moved) AS m (id) JOIN application a ON a.id = m.id WHERE a.kind = 'surrender';
  IF notices IS NOT NULL THEN
    PERFORM FROM notice WHERE id = ANY(notices) ORDER BY id FOR NO KEY UPDATE;
    -- What is approved now is not held up by what merely waits, nor allowances by CCER beyond its
    -- share: an obligation may have sunk.
    SELECT n.id INTO wrong
      FROM (SELECT a.notice_id,
                   coalesce(sum(signed) FILTER (WHERE a.status = 'approved'), 0) AS approved,
                   coalesce(sum(signed) FILTER (WHERE signed > 0 OR a.status = 'approved'), 0) AS wanted,
                   coalesce(sum(signed) FILTER (WHERE is_offset AND a.status = 'approved'), 0)
                     AS approved_offsets,
                   coalesce(sum(signed) FILTER (WHERE is_offset
                                                  AND (signed > 0 OR a.status = 'approved')), 0)
                     AS wanted_offsets
              FROM unnest(notices) AS w (id)
              JOIN application a ON a.notice_id = w.id
              JOIN application_line l ON l.application_id = a.id
              JOIN instrument i ON i.id = l.instrument_id
             CROSS JOIN LATERAL (
                   SELECT CASE a.kind WHEN 'surrender' THEN l.quantity ELSE -l.quantity END AS signed,
                          i.kind = 'offset' AS is_offset) AS line
             WHERE a.status IN ('approved', 'in_review')
             GROUP BY a.notice_id) AS used
      JOIN notice n ON n.id = used.notice_id
     WHERE approved > obligation
        OR (wanted > obligation
            AND EXISTS (SELECT FROM application a
                         WHERE a.id = ANY(moved) AND a.notice_id = n.id AND a.status = 'in_review'))
        OR (wanted_offsets > floor(obligation * offset_percent / 100)
            AND EXISTS (SELECT FROM application a
                          JOIN application_line l ON l.application_id = a.id
                          JOIN instrument i ON i.id = l.instrument_id
                         WHERE a.id = ANY(moved) AND a.notice_id = n.id
                           AND a.kind = 'surrender' AND i.kind = 'offset'
                           AND (a.status = 'in_review'
                                OR approved_offsets > floor(obligation * offset_percent / 100))));
    IF FOUND THEN
      RAISE EXCEPTION 'more is surrendered than notice % asks for', wrong
        USING ERRCODE = 'check_violation', CONSTRAINT = 'surrender_stays_within';
    END IF;
  END IF;

  -- An enterprise's pre-allocation and its approved allocation are issued once an instrument.
  SELECT array_agg(DISTINCT a.account_id) INTO accounts
    FROM unnest(moved) AS m (id) JOIN application a ON a.id = m.id
   WHERE a.kind = 'issuance' AND a.category IN ('pre_allocation', 'approved');
  IF accounts IS NOT NULL THEN
    PERFORM FROM account WHERE id = ANY(accounts) ORDER BY id FOR NO KEY UPDATE;
    SELECT min(a.id) INTO wrong
      FROM unnest(accounts) AS w (id)
      JOIN application a ON a.account_id = w.id
      JOIN application_line l ON l.application_id = a.id
     WHERE a.kind = 'issuance' AND a.category IN ('pre_allocation', 'approved')
       AND a.status IN ('in_review', 'approved')
     GROUP BY a.account_id, a.category, l.instrument_id
    HAVING count(DISTINCT a.id) > 1;
    IF FOUND THEN
      RAISE EXCEPTION 'what application % issues is issued twice', wrong
        USING ERRCODE = 'check_violation', CONSTRAINT = 'issued_once';
    END IF;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER applications_keep_within AFTER UPDATE ON application
  REFERENCING OLD TABLE AS old_application NEW TABLE AS new_application
  FOR EACH STATEMENT EXECUTE FUNCTION applications_keep_within();

-- An obligation never sinks beneath what was surrendered for it and not refunded.
CREATE FUNCTION obligation_covers_surrendered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.obligation < (
       SELECT coalesce(sum(l.quantity) FILTER (WHERE a.kind = 'surrender'), 0)
              - coalesce(sum(l.quantity) FILTER (WHERE a.kind = 'surrender_refund'), 0)
         FROM application a JOIN application_line l ON l.application_id = a.id
        WHERE a.notice_id = NEW.id AND a.status = 'approved') THEN
    RAISE EXCEPTION 'notice % has more surrendered than it would ask for', NEW.id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'obligation_covers_surrendered';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER obligation_covers_surrendered AFTER UPDATE OF obligation ON notice
  FOR EACH ROW EXECUTE FUNCTION obligation_covers_surrendered();
