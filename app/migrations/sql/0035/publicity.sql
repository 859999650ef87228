-- 信息公开: data sets as they were published; a row where one changed, so that any day can be read again.
CREATE TABLE publication_run (
  id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  day DATE NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  CONSTRAINT one_publication_a_day UNIQUE (day)
);
CREATE TABLE publication (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  data_set VARCHAR(30) NOT NULL,
  part VARCHAR(10) NOT NULL,
  run_id INTEGER NOT NULL REFERENCES publication_run (id),
  digest VARCHAR(64) NOT NULL,
  rows JSONB NOT NULL,
  CONSTRAINT publication_once UNIQUE (data_set, part, run_id)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON publication_run
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON publication
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- An announcement may be for everybody outside, too.
ALTER TABLE announcement DROP CONSTRAINT audience_known, ADD CONSTRAINT audience_known
  CHECK (audience IN ('everybody', 'enterprises', 'authorities', 'public'));

-- 行政处罚: by document, of an amount or of none (a warning), and each document once an enterprise.
ALTER TABLE application ADD CONSTRAINT penalty_by_document CHECK (
  status IN ('draft', 'returned', 'discarded', 'withdrawn') OR kind <> 'penalty'
  OR coalesce(document_no <> '' AND authority <> '' AND starts_on IS NOT NULL
              AND (proposal ->> 'fen')::bigint >= 0, false));
CREATE UNIQUE INDEX penalty_document ON application (account_id, document_no)
  WHERE kind = 'penalty' AND status IN ('in_review', 'approved');

-- The ledger's year is found by time; it only grows, so a range index is small.
CREATE INDEX movement_at ON movement USING brin (at);
