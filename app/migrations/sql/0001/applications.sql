-- Applications of every kind with their lines, parties, files and notices, and what they lead to.
CREATE TABLE import_file (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind VARCHAR(40) NOT NULL,
  name VARCHAR(200) NOT NULL,
  sha256 VARCHAR(64) NOT NULL,
  rows INTEGER NOT NULL,
  attempt SMALLINT DEFAULT '1' NOT NULL,
  imported_by INTEGER REFERENCES ab_user (id),
  imported_at TIMESTAMPTZ NOT NULL,
  CONSTRAINT import_file_has_rows CHECK (rows > 0),
  CONSTRAINT import_file_once UNIQUE (kind, sha256, attempt)
);

CREATE TABLE notice (
  id SERIAL PRIMARY KEY,
  number VARCHAR(30) NOT NULL UNIQUE,
  account_id INTEGER NOT NULL REFERENCES account (id),
  year SMALLINT NOT NULL,
  obligation BIGINT NOT NULL,
  deadline TIMESTAMPTZ NOT NULL,
  offset_percent NUMERIC(5, 2) DEFAULT '0' NOT NULL,
  import_id BIGINT REFERENCES import_file (id),
  issued_by INTEGER REFERENCES ab_user (id),
  issued_at TIMESTAMPTZ NOT NULL,
  reminded_at TIMESTAMPTZ,
  CONSTRAINT obligation_sane CHECK (obligation BETWEEN 0 AND 1000000000000),
  CONSTRAINT offset_percent_sane CHECK (offset_percent BETWEEN 0 AND 100)
);
CREATE INDEX notice_of_year ON notice (year, id);
CREATE UNIQUE INDEX notice_once ON notice (account_id, year);

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
  changed_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX notice_change_of ON notice_change (notice_id, id);

CREATE TABLE application (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  number VARCHAR(30) NOT NULL UNIQUE,
  kind VARCHAR(40) NOT NULL,
  account_id INTEGER NOT NULL REFERENCES account (id),
  status VARCHAR(20) DEFAULT 'draft' NOT NULL,
  step SMALLINT DEFAULT '0' NOT NULL,
  version INTEGER DEFAULT 0 NOT NULL,
  reason VARCHAR(500) DEFAULT '' NOT NULL,
  refusal VARCHAR(500) DEFAULT '' NOT NULL,
  request_key VARCHAR(80) NOT NULL UNIQUE,
  created_by INTEGER REFERENCES ab_user (id),
  created_at TIMESTAMPTZ NOT NULL,
  submitted_by INTEGER REFERENCES ab_user (id),
  submitted_at TIMESTAMPTZ,
  settles_on DATE,
  posting_id BIGINT,
  category VARCHAR(30) DEFAULT '' NOT NULL,
  document_no VARCHAR(100) DEFAULT '' NOT NULL,
  authority VARCHAR(200) DEFAULT '' NOT NULL,
  starts_on DATE,
  ends_on DATE,
  notice_id INTEGER REFERENCES notice (id),
  import_id BIGINT REFERENCES import_file (id),
  proposal JSONB DEFAULT '{}' NOT NULL,
  CONSTRAINT authority_acts_by_document CHECK (
    status IN ('draft', 'returned')
    OR kind NOT IN ('freeze', 'unfreeze', 'confiscation', 'confiscation_refund', 'restriction',
                    'restriction_lifting')
    OR (document_no <> '' AND authority <> '' AND starts_on IS NOT NULL)),
  CONSTRAINT pending_settlement_has_a_day
    CHECK (status <> 'pending_settlement' OR (settles_on IS NOT NULL AND posting_id IS NOT NULL)),
  CONSTRAINT refused_says_why CHECK (status <> 'refused' OR refusal <> ''),
  CONSTRAINT status_known
    CHECK (status IN ('draft', 'in_review', 'pending_settlement', 'approved', 'returned',
      'withdrawn', 'refused')),
  CONSTRAINT submitted_has_a_time
    CHECK ((status IN ('draft', 'refused', 'withdrawn')) OR (submitted_at IS NOT NULL)),
  CONSTRAINT surrender_has_a_notice
    CHECK (status IN ('draft', 'returned') OR (notice_id IS NOT NULL) = (kind IN ('surrender',
      'surrender_refund')))
);
CREATE INDEX application_in_review ON application (kind, step, id) WHERE status = 'in_review';
CREATE INDEX application_of_account ON application (kind, account_id, id);
CREATE INDEX application_of_kind ON application (kind, id);
CREATE INDEX application_of_notice ON application (notice_id, status) WHERE notice_id IS NOT NULL;
CREATE INDEX application_pending ON application (settles_on) WHERE status = 'pending_settlement';
CREATE UNIQUE INDEX one_account_change ON application (account_id)
  WHERE kind = 'account_change' AND status = 'in_review';
-- 登记管理规则 7: nobody has two accounts, nor two that are about to be opened.
CREATE UNIQUE INDEX one_opening ON application ((proposal -> 'uscc' ->> 1))
  WHERE kind = 'account_opening' AND status = 'in_review';

CREATE TABLE application_line (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  application_id BIGINT NOT NULL REFERENCES application (id),
  instrument_id INTEGER NOT NULL REFERENCES instrument (id),
  quantity BIGINT NOT NULL,
  venue_id INTEGER REFERENCES venue (id),
  account_id INTEGER REFERENCES account (id),
  source_line_id BIGINT REFERENCES application_line (id),
  CONSTRAINT line_quantity_sane CHECK (quantity BETWEEN 1 AND 1000000000000)
);
CREATE UNIQUE INDEX application_line_once ON application_line
  (application_id, instrument_id, coalesce(source_line_id, 0), coalesce(account_id, 0));
CREATE INDEX application_line_source ON application_line (source_line_id)
  WHERE source_line_id IS NOT NULL;

CREATE TABLE application_party (
  application_id BIGINT NOT NULL REFERENCES application (id),
  account_id INTEGER NOT NULL REFERENCES account (id),
  agreed_at TIMESTAMPTZ,
  agreed_by INTEGER REFERENCES ab_user (id),
  PRIMARY KEY (application_id, account_id)
);
CREATE INDEX application_party_of ON application_party (account_id, application_id);

CREATE TABLE application_event (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  application_id BIGINT NOT NULL REFERENCES application (id),
  action VARCHAR(20) NOT NULL,
  step SMALLINT DEFAULT '0' NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  member_id INTEGER REFERENCES ab_user (id),
  member_name VARCHAR(200) DEFAULT '' NOT NULL,
  ip VARCHAR(45) DEFAULT '' NOT NULL,
  comment VARCHAR(500) DEFAULT '' NOT NULL,
  CONSTRAINT action_known
    CHECK (action IN ('save', 'submit', 'approve', 'send_back', 'withdraw', 'refuse'))
);
CREATE INDEX application_event_of ON application_event (application_id, id);

CREATE TABLE attachment (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  application_id BIGINT REFERENCES application (id),
  account_id INTEGER NOT NULL REFERENCES account (id),
  request_key VARCHAR(80) DEFAULT '' NOT NULL,
  category VARCHAR(40) DEFAULT '' NOT NULL,
  name VARCHAR(200) NOT NULL,
  media_type VARCHAR(100) NOT NULL,
  size INTEGER NOT NULL,
  sha256 VARCHAR(64) NOT NULL,
  content BYTEA NOT NULL,
  uploaded_by INTEGER REFERENCES ab_user (id),
  uploaded_at TIMESTAMPTZ NOT NULL,
  CONSTRAINT attachment_belongs_somewhere CHECK (application_id IS NOT NULL OR request_key <> ''),
  CONSTRAINT attachment_is_whole CHECK (octet_length(content) = size),
  CONSTRAINT attachment_size_sane CHECK (size BETWEEN 1 AND 10485760)
);
CREATE INDEX attachment_of ON attachment (application_id, id);
CREATE INDEX attachment_waiting ON attachment (request_key, id) WHERE application_id IS NULL;

CREATE TABLE custody_link (
  account_id INTEGER NOT NULL REFERENCES account (id),
  receiver_id INTEGER NOT NULL REFERENCES account (id),
  application_id BIGINT NOT NULL,
  linked_at TIMESTAMPTZ NOT NULL,
  CONSTRAINT links_two CHECK (account_id <> receiver_id),
  PRIMARY KEY (account_id, receiver_id)
);

CREATE TABLE attestation (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  number VARCHAR(30) NOT NULL UNIQUE,
  code VARCHAR(32) NOT NULL UNIQUE,
  kind VARCHAR(20) NOT NULL,
  account_id INTEGER NOT NULL REFERENCES account (id),
  application_id BIGINT REFERENCES application (id),
  notice_id BIGINT,
  content JSONB NOT NULL,
  issued_at TIMESTAMPTZ NOT NULL,
  issued_by INTEGER REFERENCES ab_user (id),
  lapsed_at TIMESTAMPTZ,
  CONSTRAINT attestation_kind_known CHECK (kind IN ('cancellation', 'compliance')),
  CONSTRAINT cancellation_has_a_source CHECK (kind <> 'cancellation' OR application_id IS NOT NULL),
  CONSTRAINT cancellation_never_lapses CHECK (lapsed_at IS NULL OR kind = 'compliance'),
  CONSTRAINT compliance_has_a_source CHECK (kind <> 'compliance' OR notice_id IS NOT NULL),
  CONSTRAINT attestation_once_an_application UNIQUE (application_id)
);
CREATE INDEX attestation_account ON attestation (account_id, id);
CREATE UNIQUE INDEX attestation_once_a_notice ON attestation (notice_id) WHERE lapsed_at IS NULL;

CREATE TABLE signature_event (
  application_event_id BIGINT PRIMARY KEY REFERENCES application_event (id),
  signature_id BIGINT NOT NULL REFERENCES signature (id),
  content TEXT NOT NULL
);
CREATE INDEX signature_event_of ON signature_event (signature_id);

-- What each line of a surrender, or of a refund, is for its notice, in tonnes: surrendered once it is
-- approved, pending while it is under review.  A refund takes off once it is approved, not before.
CREATE VIEW notice_surrender_line AS
SELECT a.notice_id, l.instrument_id, i.kind = 'offset' AS is_offset,
       CASE WHEN a.status <> 'approved' THEN 0
            WHEN a.kind = 'surrender' THEN l.quantity ELSE -l.quantity END AS surrendered,
       CASE WHEN a.status = 'in_review' AND a.kind = 'surrender' THEN l.quantity ELSE 0 END AS pending
  FROM application a
  JOIN application_line l ON l.application_id = a.id
  JOIN instrument i ON i.id = l.instrument_id
 WHERE a.notice_id IS NOT NULL AND a.status IN ('in_review', 'approved');

-- The same by notice; one of which nothing is surrendered or pending has no row.  Name the notices by
-- `notice_id = ANY(...)`: a join does not reach beneath GROUP BY, and all notices would be added up.
CREATE VIEW notice_surrender AS
SELECT notice_id, sum(surrendered)::bigint AS surrendered, sum(pending)::bigint AS pending,
       coalesce(sum(surrendered) FILTER (WHERE is_offset), 0)::bigint AS offset_surrendered,
       coalesce(sum(pending) FILTER (WHERE is_offset), 0)::bigint AS offset_pending
  FROM notice_surrender_line GROUP BY notice_id;

-- What later documents draw from a line, in tonnes: done by approved ones, pending where they wait
-- for their approval or their day-end, and what remains to be drawn.
CREATE VIEW line_draw AS
SELECT s.id AS line_id, s.application_id, s.instrument_id, s.quantity, d.drawn, d.pending,
       s.quantity - d.drawn - d.pending AS remaining
  FROM application_line s
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(l.quantity) FILTER (WHERE a.status = 'approved'), 0)::bigint AS drawn,
              coalesce(sum(l.quantity) FILTER (WHERE a.status <> 'approved'), 0)::bigint AS pending
         FROM application_line l JOIN application a ON a.id = l.application_id
        WHERE l.source_line_id = s.id
          AND a.status IN ('in_review', 'pending_settlement', 'approved')) AS d;
