-- 核定数据 (rules-2026 N03, N04; docs/adr/0088): what was verified and allocated of each unit and enterprise,
-- as the reporting platform says it, beside what we compute of it.  A table pushed again takes the place
-- of the earlier one of its enterprise, sector, year and stage; nothing is overwritten.
CREATE TABLE allocation_figure (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  import_id BIGINT NOT NULL REFERENCES import_file (id),
  account_id INTEGER NOT NULL REFERENCES account (id),
  year SMALLINT NOT NULL,
  sector VARCHAR(20) NOT NULL,
  stage VARCHAR(20) NOT NULL,
  unit VARCHAR(50) DEFAULT '' NOT NULL,
  basis VARCHAR(20) DEFAULT '' NOT NULL,
  verified NUMERIC(20, 6) NOT NULL,
  share NUMERIC(9, 6),
  power NUMERIC(20, 6),
  heat NUMERIC(20, 6),
  power_benchmark NUMERIC(20, 6),
  heat_benchmark NUMERIC(20, 6),
  load NUMERIC(20, 6),
  intensity NUMERIC(20, 6),
  balance NUMERIC(20, 6),
  quantity BIGINT,
  expected BIGINT,
  is_differing BOOLEAN NOT NULL GENERATED ALWAYS AS (quantity IS DISTINCT FROM expected) STORED,
  remark VARCHAR(300) DEFAULT '' NOT NULL,
  due_on DATE,
  recorded_at TIMESTAMPTZ NOT NULL,
  CONSTRAINT allocation_figure_once UNIQUE (import_id, account_id, year, sector, stage, unit),
  CONSTRAINT allocation_figure_stage CHECK (stage IN ('pre_allocation', 'approved', 'verification')),
  CONSTRAINT allocation_figure_quantity CHECK (
    verified >= 0 AND coalesce(quantity, 0) >= 0 AND coalesce(expected, 0) >= 0
    AND (quantity IS NULL) = (stage = 'verification') AND (expected IS NULL) = (stage = 'verification')
    AND (due_on IS NULL) = (stage <> 'verification'))
);
CREATE INDEX allocation_figure_of ON allocation_figure (account_id, year, sector, stage, import_id);
CREATE INDEX allocation_figure_differing ON allocation_figure (account_id, year) WHERE is_differing;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON allocation_figure
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- The newest table of each enterprise, sector, year and stage.
CREATE VIEW current_figure AS
SELECT f.*
  FROM allocation_figure f
 WHERE NOT EXISTS (SELECT FROM allocation_figure n
                    WHERE n.account_id = f.account_id AND n.year = f.year AND n.sector = f.sector
                      AND n.stage = f.stage AND n.import_id > f.import_id);

-- 多退少补 (N22, N23): of each enterprise, sector and year what either stage issues and what of its deductions
-- remains; as app/domain/compliance/true_up.py computes it.
CREATE VIEW true_up AS
SELECT t.id, t.account_id, t.year, t.sector, t.pre_allocated, t.approved, t.due, t.is_differing,
       t.pre_allocated - t.deducted AS issue_1,
       CASE WHEN t.approved IS NULL THEN NULL ELSE
         t.approved - t.pre_allocated + greatest(t.deducted - t.approved, 0)
         - least(greatest(t.approved - t.pre_allocated, 0), t.due - t.deducted) END AS issue_2,
       t.due - t.deducted
       + CASE WHEN t.approved IS NULL THEN 0 ELSE
           greatest(t.deducted - t.approved, 0)
           - least(greatest(t.approved - t.pre_allocated, 0), t.due - t.deducted) END AS remaining
  FROM (
       SELECT k.id, k.account_id, k.year, k.sector, k.is_differing, k.approved, d.due,
              coalesce(k.pre_allocated, 0) AS pre_allocated,
              least(coalesce(k.pre_allocated, 0), d.due) AS deducted
         FROM (SELECT min(c.id) AS id, c.account_id, c.year, c.sector, bool_or(c.is_differing) AS is_differing,
                      max(c.quantity) FILTER (WHERE c.unit = '' AND c.stage = 'pre_allocation') AS pre_allocated,
                      max(c.quantity) FILTER (WHERE c.unit = '' AND c.stage = 'approved') AS approved
                 FROM current_figure c WHERE c.stage <> 'verification'
                GROUP BY c.account_id, c.year, c.sector) AS k
        CROSS JOIN LATERAL (
              SELECT coalesce(sum((a.proposal ->> 'tonnes')::bigint), 0)::bigint AS due
                FROM application a
               WHERE a.kind = 'deduction' AND a.status = 'approved' AND a.account_id = k.account_id
                 AND a.proposal ->> 'year' = k.year::text AND a.proposal ->> 'sector' = k.sector) AS d
       ) AS t;
CREATE INDEX application_deductions ON application (account_id) WHERE kind = 'deduction';
