-- Synthetic national applications and postings, one statement per heading, run by bench/national.py.
-- Applications are inserted as drafts, get lines, and are then updated to their final state, so that
-- triggers run as with the engine.  `chance` is a deterministic random number.

-- prepare: temporary tables of applications, their moves and events
CREATE FUNCTION pg_temp.chance(VARIADIC key text[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
  SELECT (hashtextextended(array_to_string(key, ':'), 2026) & ((1::bigint << 53) - 1))::float8
         / (1::bigint << 53)
$$;
CREATE TEMP TABLE enterprise (
  number int, id int PRIMARY KEY, member_id int, member_no text, name text, uscc text,
  province text, sector text, size float8, opened_on date, allows boolean) ON COMMIT DROP;
CREATE TEMP TABLE vintage (
  id int PRIMARY KEY, year int, code text, name text, trade_code text, billions float8,
  sectors text[], surrendered_on date) ON COMMIT DROP;
CREATE TEMP TABLE issue (vintage_id int, day date, share float8, category text) ON COMMIT DROP;
CREATE TEMP TABLE allotment (
  account_id int, vintage_id int, quantity bigint, PRIMARY KEY (account_id, vintage_id)) ON COMMIT DROP;
CREATE TEMP TABLE course (
  day date, account_id int, notice_id int, wanted bigint, status text) ON COMMIT DROP;
CREATE TEMP TABLE paper (
  id bigint DEFAULT nextval('application_id_seq') PRIMARY KEY, kind text, account_id int,
  status text, reason text, refusal text DEFAULT '', category text DEFAULT '', notice_id int,
  entered timestamptz, decided timestamptz, by_id int, by_name text, reviewer_id int,
  reviewer_name text DEFAULT '', settles_on date, venue_id int, proposal jsonb DEFAULT '{}')
  ON COMMIT DROP;
CREATE FUNCTION pg_temp.notice_of(year int, account int, obligation numeric)
RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object(
    'year', year::text, 'sector', (SELECT e.sector FROM enterprise e WHERE e.id = account),
    'after', jsonb_build_object('obligation', obligation::bigint::text))
$$;
CREATE TEMP TABLE paper_line (
  paper_id bigint, instrument_id int, quantity bigint, receiver_id int, giver_id int, source_line_id bigint)
  ON COMMIT DROP;
CREATE TEMP TABLE prefix (kind text, prefix text) ON COMMIT DROP;
INSERT INTO prefix VALUES ('issuance', 'FF'), ('province_issue', 'SF'), ('notice', 'TZ'), ('surrender', 'LQ'), ('registry_to_trading', 'DJ'),
  ('exchange_registry_to_trading', 'JD'), ('trading_to_registry', 'JJ');
CREATE TEMP TABLE route (
  kind text, status text, stage text, from_bucket int, to_bucket int, is_decided boolean,
  reverses boolean) ON COMMIT DROP;
INSERT INTO route VALUES
  ('issuance', 'approved', 'approval', 12, 1, true, false),
  ('province_issue', 'approved', 'approval', 1, 1, true, false),
  ('surrender', 'in_review', 'submission', 1, 2, false, false),
  ('surrender', 'approved', 'submission', 1, 2, false, false),
  ('surrender', 'approved', 'approval', 2, 9, true, false),
  ('surrender', 'returned', 'submission', 1, 2, false, false),
  ('surrender', 'returned', 'sent_back', 2, 1, true, true),
  ('registry_to_trading', 'pending_settlement', 'submission', 1, 4, false, false),
  ('registry_to_trading', 'withdrawn', 'submission', 1, 4, false, false),
  ('registry_to_trading', 'withdrawn', 'withdrawal', 4, 1, true, true),
  ('exchange_registry_to_trading', 'pending_settlement', 'submission', 1, 4, false, false),
  ('trading_to_registry', 'pending_settlement', 'submission', 5, 6, false, false);
CREATE TEMP TABLE event (status text, place int, action text, comment text) ON COMMIT DROP;
INSERT INTO event VALUES
  ('draft', 1, 'save', ''), ('in_review', 1, 'save', ''), ('in_review', 2, 'submit', ''),
  ('approved', 1, 'save', ''), ('approved', 2, 'submit', ''), ('approved', 3, 'approve', '同意'),
  ('returned', 1, 'save', ''), ('returned', 2, 'submit', ''),
  ('returned', 3, 'send_back', '请核对申请提交量'),
  ('pending_settlement', 1, 'save', ''), ('pending_settlement', 2, 'submit', ''),
  ('withdrawn', 1, 'save', ''), ('withdrawn', 2, 'submit', ''), ('withdrawn', 3, 'withdraw', ''),
  ('refused', 1, 'save', ''), ('refused', 2, 'refuse', '企业已关闭划转权限');

-- open: instruments, venue, accounts, members, and each account's share of a vintage
INSERT INTO instrument (id, code, name, vintage, kind)
SELECT id, code, name, year, 'allowance' FROM vintage ORDER BY id;
INSERT INTO venue (id, code, name) VALUES (1, 'ZGW', '中股网');
INSERT INTO venue_instrument (venue_id, instrument_id, trade_code) SELECT 1, id, trade_code FROM vintage;
INSERT INTO account (id, member_no, name, kind, uscc, province, allows_exchange_transfer, opened_on)
SELECT id, member_no, name, 'enterprise', uscc, province, allows, opened_on FROM enterprise
 ORDER BY id;
INSERT INTO account_sector (account_id, sector, starts_on)
SELECT id, sector, opened_on FROM enterprise ORDER BY id;
-- The years before those that are installed.
INSERT INTO plan (year, sector, starts_on, document_no, documented_on, method, rounding, surrender_by,
                  vintages, offset_percent, source, confidence, is_draft, approved_at)
SELECT v.year, 'power', '2021-02-01', '虚构', '2021-02-01', '基准法', 'unit',
       (v.surrendered_on + time '23:59:59') AT TIME ZONE 'Asia/Shanghai',
       (SELECT array_agg(w.year ORDER BY w.year) FROM vintage w WHERE w.year <= v.year), 5, '虚构', 'unsure',
       false, '2021-02-01 00:00:00+08'
  FROM vintage v WHERE NOT EXISTS (SELECT FROM plan p WHERE p.year = v.year AND p.sector = 'power')
 ORDER BY v.year;
WITH member AS (
       INSERT INTO ab_user (id, first_name, last_name, username, password, active, email, account_id,
                            province, must_change_password)
       SELECT number, name, '', login, %(password)s, true, login || '@members.invalid', account_id,
              province, false
         FROM unnest(%(logins)s::text[], %(names)s::text[], %(account_ids)s::int[],
                     %(provinces)s::text[])
              WITH ORDINALITY AS m (login, name, account_id, province, number)
       RETURNING id, username)
INSERT INTO ab_user_role (id, user_id, role_id)
SELECT member.id, member.id, r.id
  FROM member JOIN unnest(%(logins)s::text[], %(roles)s::text[]) AS m (login, role) ON login = username
  JOIN ab_role r ON r.name = m.role;
UPDATE enterprise e SET member_id = u.id FROM ab_user u WHERE u.username = e.member_no;
INSERT INTO transfer_permission_change (account_id, is_allowed, changed_by, changed_at, ip)
SELECT id, true, member_id, opened_on + time '10:00', '127.0.0.1' FROM enterprise WHERE allows ORDER BY id;
INSERT INTO allotment
SELECT e.id, v.id,
       floor(%(total)s * v.billions / sum(v.billions * size / whole) OVER () * size / whole)
  FROM (SELECT e.*, v.id AS vintage_id, sum(e.size) OVER (PARTITION BY v.id) AS whole
          FROM enterprise e JOIN vintage v ON e.sector = ANY(v.sectors)) AS e
  JOIN vintage v ON v.id = e.vintage_id;
ANALYZE enterprise, vintage, issue, allotment, account, ab_user;

-- issue: the issuances of a day, entered by one officer, confirmed by another
INSERT INTO paper (kind, account_id, status, reason, category, entered, decided, by_id, by_name,
                   reviewer_id, reviewer_name)
SELECT 'issuance', a.account_id, 'approved', '按分配方案发放', i.category || ':' || a.vintage_id,
       %(day)s::date + time '08:30', %(day)s::date + time '09:00', maker.id, maker.first_name,
       checker.id, checker.first_name
  FROM issue i JOIN allotment a USING (vintage_id)
  JOIN ab_user maker ON maker.username = 'R0001' JOIN ab_user checker ON checker.username = 'R0002'
 WHERE i.day = %(day)s AND floor(a.quantity * i.share) > 0
 ORDER BY a.vintage_id, a.account_id;
INSERT INTO paper_line
SELECT p.id, i.vintage_id, floor(a.quantity * i.share)
  FROM paper p JOIN issue i ON p.category = i.category || ':' || i.vintage_id AND i.day = %(day)s
  JOIN allotment a USING (account_id, vintage_id);
UPDATE paper SET category = split_part(category, ':', 1);
-- To the province, where the plan says so.
UPDATE paper_line l SET receiver_id = h.id
  FROM paper p JOIN account e ON e.id = p.account_id
  JOIN account h ON h.province = e.province AND h.kind = 'province'
 WHERE p.id = l.paper_id AND issue_stop(p.account_id, l.instrument_id, p.category, %(day)s) = 'province';

-- pass_on: what waits at the provinces, issued by two of their officers
INSERT INTO paper (kind, account_id, status, reason, category, entered, decided, by_id, by_name,
                   reviewer_id, reviewer_name)
SELECT 'province_issue', w.account_id, 'approved', '按分配方案发放', w.line_id,
       %(day)s::date + time '09:05', %(day)s::date + time '09:10', maker.id, maker.first_name,
       checker.id, checker.first_name
  FROM waiting_line w JOIN account e ON e.id = w.account_id
  JOIN ab_user maker ON maker.username = 'P' || e.province
  JOIN ab_user checker ON checker.username = 'P' || e.province || '02'
 WHERE w.remaining > 0 ORDER BY w.line_id;
INSERT INTO paper_line
SELECT p.id, l.instrument_id, l.quantity, NULL, l.account_id, l.id
  FROM paper p JOIN application_line l ON l.id = p.category::bigint;
UPDATE paper SET category = '';

-- call_for: decisions on the current year's notices
INSERT INTO paper (kind, account_id, status, reason, entered, decided, by_id, by_name, reviewer_id,
                   reviewer_name, proposal)
SELECT 'notice', a.account_id, 'approved', '核查结果', %(day)s::date + 3 + time '09:30',
       %(day)s::date + 3 + time '10:00', maker.id, maker.first_name, checker.id, checker.first_name,
       pg_temp.notice_of(v.year, a.account_id,
         1 + floor(a.quantity * (0.55 + 0.35 * pg_temp.chance('owes', a.account_id::text)))::numeric)
  FROM allotment a JOIN vintage v ON v.id = a.vintage_id
  JOIN ab_user maker ON maker.username = 'R0001' JOIN ab_user checker ON checker.username = 'R0002'
 WHERE v.year = %(year)s AND a.quantity > 0 ORDER BY a.account_id;

-- carry_out: the notices that were decided upon
SELECT count(*) FROM carry_out_notices(
  ARRAY(SELECT a.id FROM application a WHERE a.kind = 'notice'
         AND NOT EXISTS (SELECT FROM notice_change c WHERE c.application_id = a.id)));

-- plan: how each notice of the current year will be fulfilled
INSERT INTO course
SELECT date '2026-10-12' + floor(40 * pg_temp.chance('when', account_id::text))::int, account_id, id,
       obligation * share / 100, status
  FROM (SELECT *, pg_temp.chance('course', account_id::text) AS drawn FROM notice
         WHERE year = %(year)s) AS c
  JOIN (VALUES (0.00, 0.45, 100, 'approved'), (0.45, 0.60, 60, 'approved'),
               (0.60, 0.72, 100, 'in_review'), (0.72, 0.76, 100, 'returned'),
               (0.76, 0.80, 80, 'draft')) AS k (above, below, share, status)
    ON drawn >= above AND drawn < below;

-- surrender_due: surrenders for the current year that are due, oldest instrument first
INSERT INTO paper (kind, account_id, status, reason, notice_id, entered, decided, by_id, by_name,
                   reviewer_id, reviewer_name)
SELECT 'surrender', e.id, c.status, '年度履约', c.notice_id, %(day)s::date + time '16:00',
       %(day)s::date + time '16:30', e.member_id, e.name, u.id, u.first_name
  FROM course c JOIN enterprise e ON e.id = c.account_id
  JOIN ab_user u ON u.username = 'P' || e.province
 WHERE c.day > %(past)s AND c.day <= %(day)s ORDER BY e.id;
INSERT INTO paper_line
SELECT id, instrument_id, least(available, wanted - before)
  FROM (SELECT p.id, h.instrument_id, h.available, c.wanted,
               sum(h.available) OVER (PARTITION BY p.id ORDER BY h.instrument_id) - h.available AS before
          FROM paper p JOIN course c USING (notice_id) JOIN holding h ON h.account_id = p.account_id
          JOIN vintage v ON v.id = h.instrument_id AND v.year >= %(year)s) AS had
 WHERE available > 0 AND wanted > before;
DELETE FROM paper p WHERE NOT EXISTS (SELECT FROM paper_line WHERE paper_id = p.id);

-- call_for_past: decisions on the notices of past years
CREATE TEMP TABLE owed ON COMMIT DROP AS
SELECT a.account_id, v.id AS vintage_id, v.year, a.quantity,
       floor(h.available * (0.90 + 0.09 * pg_temp.chance('has', v.code, a.account_id::text)))
         AS tonnes
  FROM vintage v JOIN allotment a ON a.vintage_id = v.id AND a.quantity > 0
  JOIN holding h ON h.account_id = a.account_id AND h.instrument_id = v.id
 WHERE v.surrendered_on = %(day)s;
INSERT INTO paper (kind, account_id, status, reason, entered, decided, by_id, by_name, reviewer_id,
                   reviewer_name, proposal)
SELECT 'notice', o.account_id, 'approved', '核查结果', called_on + time '09:30', called_on + time '10:00',
       maker.id, maker.first_name, checker.id, checker.first_name,
       pg_temp.notice_of(o.year, o.account_id,
         (o.tonnes + CASE WHEN o.tonnes = 0 OR pg_temp.chance('behind', o.year::text, o.account_id::text)
                                           < %(behind)s
                        THEN 1 + floor(o.quantity * (0.01 + 0.19 * pg_temp.chance('lacks', o.account_id::text)))
                        ELSE 0 END)::numeric)
  FROM owed AS o
 CROSS JOIN LATERAL (SELECT max(i.day) + 3 AS called_on FROM issue i
                      WHERE i.vintage_id = o.vintage_id) AS c
  JOIN ab_user maker ON maker.username = 'R0001' JOIN ab_user checker ON checker.username = 'R0002'
 ORDER BY o.account_id, o.year;

-- close_year: surrenders for past years, nearly all of what was due
WITH made AS (
       INSERT INTO paper (kind, account_id, status, reason, notice_id, entered, decided, by_id, by_name,
                          reviewer_id, reviewer_name)
       SELECT 'surrender', e.id, 'approved', '年度履约', n.id, %(day)s::date + time '16:00',
              %(day)s::date + time '16:30', e.member_id, e.name, u.id, u.first_name
         FROM owed JOIN notice n USING (account_id, year) JOIN enterprise e ON e.id = n.account_id
         JOIN ab_user u ON u.username = 'P' || e.province
        WHERE tonnes > 0 ORDER BY e.id, n.year
       RETURNING id, notice_id)
INSERT INTO paper_line
SELECT made.id, owed.vintage_id, owed.tonnes
  FROM made JOIN notice n ON n.id = made.notice_id JOIN owed USING (account_id, year);
DROP TABLE owed;

-- transfers: one day's in both directions; some are withdrawn or refused
CREATE TEMP TABLE asked ON COMMIT DROP AS
WITH drawn AS (
       SELECT n, %(day)s::date + time '09:00' + n * interval '21000 s' / %(count)s AS at, e.*,
              pg_temp.chance('home', d.key) < 0.45 AS wants_home,
              CASE WHEN pg_temp.chance('two', d.key) < 0.04 THEN 2 ELSE 1 END AS lines
         FROM generate_series(0, %(count)s - 1) AS n
        CROSS JOIN LATERAL (SELECT concat(%(day)s, '/', n) AS key) AS d
         JOIN enterprise e
           ON e.number = floor(%(enterprises)s * pg_temp.chance('who', d.key) ^ 1.6)::int),
     had AS (
       SELECT d.*, h.instrument_id, o.quantity AS held, o.is_home,
              row_number() OVER mine AS place, first_value(o.is_home) OVER mine AS goes_home
         FROM drawn d JOIN holding h ON h.account_id = d.id
        CROSS JOIN LATERAL (VALUES (h.trading, true), (h.available, false)) AS o (quantity, is_home)
        WHERE o.quantity > 100
       WINDOW mine AS (PARTITION BY n
                       ORDER BY o.is_home <> wants_home,
                                pg_temp.chance(%(day)s::text, n::text, h.instrument_id::text)))
SELECT n, at, id AS account_id, member_id, name, allows, is_home, instrument_id,
       greatest(1, floor(held * (0.05 + 0.45 * pg_temp.chance(%(day)s::text, 'share', n::text))
                         / count(*) OVER (PARTITION BY id, instrument_id, is_home)))::bigint AS quantity,
       is_home OR pg_temp.chance('by exchange', %(day)s::text, n::text) < 0.1 AS by_exchange,
       pg_temp.chance('withdrawn', %(day)s::text, n::text) < 0.01 AS regrets
  FROM had WHERE place <= lines AND is_home = goes_home;
INSERT INTO paper (kind, account_id, status, reason, refusal, category, entered, decided, by_id, by_name,
                   reviewer_id, reviewer_name, settles_on, venue_id)
SELECT CASE WHEN is_home THEN 'trading_to_registry' WHEN by_exchange THEN 'exchange_registry_to_trading'
            ELSE 'registry_to_trading' END,
       account_id,
       CASE WHEN is_refused THEN 'refused' WHEN regrets AND NOT by_exchange THEN 'withdrawn'
            ELSE 'pending_settlement' END,
       (ARRAY['履约后盈余配额交易', '年度交易计划', '补充交易持仓', '资金安排需要', '集团内统筹'])[1 + n %% 5],
       CASE WHEN is_refused THEN '企业已关闭划转权限' ELSE '' END, n, at, at, by_id, by_name, by_id, by_name,
       CASE WHEN NOT is_refused THEN %(day)s::date END, 1
  FROM (SELECT DISTINCT n, at, account_id, is_home, by_exchange, regrets,
               by_exchange AND NOT is_home AND NOT allows AS is_refused,
               CASE WHEN NOT by_exchange THEN member_id END AS by_id,
               CASE WHEN by_exchange THEN '交易系统' ELSE name END AS by_name FROM asked) AS a
 ORDER BY n;
INSERT INTO paper_line
SELECT p.id, a.instrument_id, a.quantity FROM asked a JOIN paper p ON p.category = a.n::text;
UPDATE paper SET category = '';
DROP TABLE asked;

-- analyze: autovacuum does not see uncommitted rows, and plans need their statistics
ANALYZE application, application_line, notice, holding, posting, movement;

-- write: the applications like the engine's, and their movements in order of time
ANALYZE paper, paper_line;
INSERT INTO application (id, number, kind, account_id, reason, refusal, request_key, created_by, created_at,
                         category, notice_id, proposal, document_no, starts_on)
OVERRIDING SYSTEM VALUE
SELECT id, prefix || extract(year FROM entered) || lpad(id::text, 8, '0'), kind, account_id, reason, refusal,
       'national:' || id, by_id, entered, category, notice_id, proposal,
       CASE kind WHEN 'issuance' THEN '分配方案' ELSE '' END,
       CASE kind WHEN 'issuance' THEN (entered AT TIME ZONE 'Asia/Shanghai')::date END
  FROM paper JOIN prefix USING (kind) ORDER BY id;
INSERT INTO application_line (application_id, instrument_id, quantity, venue_id, account_id, source_line_id)
SELECT paper_id, instrument_id, quantity, venue_id, receiver_id, source_line_id
  FROM paper_line JOIN paper ON id = paper_id
 ORDER BY paper_id, instrument_id;
INSERT INTO application_event (application_id, action, status, at, member_id, member_name, comment)
SELECT p.id, action,
       CASE action WHEN 'save' THEN 'draft'
                   WHEN 'submit' THEN CASE WHEN kind IN ('issuance', 'province_issue', 'surrender') THEN 'in_review'
                                           ELSE 'pending_settlement' END
                   ELSE status END,
       CASE place WHEN 3 THEN decided ELSE entered END,
       CASE place WHEN 3 THEN reviewer_id ELSE by_id END,
       CASE place WHEN 3 THEN reviewer_name ELSE by_name END, comment
  FROM paper p JOIN event USING (status) ORDER BY p.id, place;
CREATE TEMP TABLE step ON COMMIT DROP AS
SELECT nextval('posting_id_seq') AS posting_id, s.*
  FROM (SELECT id, kind, account_id, stage, from_bucket, to_bucket, reverses,
               CASE WHEN is_decided THEN decided ELSE entered END AS at,
               CASE WHEN is_decided THEN reviewer_id ELSE by_id END AS actor_id
          FROM paper JOIN route USING (kind, status) ORDER BY id, is_decided) AS s;
ANALYZE step;
INSERT INTO posting (id, business, stage, request_key, document, application_id, reverses_id, member_id,
                     recorded_at, leads)
OVERRIDING SYSTEM VALUE
SELECT s.posting_id, s.kind, s.stage,
       CASE WHEN s.reverses THEN 'reverse:' || first.posting_id ELSE concat_ws(':', s.kind, s.id, s.stage, 0) END,
       a.number, s.id, CASE WHEN s.reverses THEN first.posting_id END, s.actor_id, s.at,
       s.posting_id = min(s.posting_id) OVER ()
  FROM step s JOIN application a USING (id)
  LEFT JOIN step first ON first.id = s.id AND first.stage = 'submission'
 ORDER BY s.posting_id;
INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket, to_account,
                      to_bucket)
SELECT posting_id, at, instrument_id, quantity,
       CASE from_bucket WHEN 12 THEN 1 ELSE coalesce(giver_id, account_id) END, from_bucket,
       coalesce(receiver_id, account_id), to_bucket
  FROM step JOIN paper_line ON paper_id = step.id ORDER BY at, posting_id, instrument_id;
UPDATE application a
   SET status = p.status, version = (SELECT count(*) - 1 FROM event e WHERE e.status = p.status),
       step = CASE p.status WHEN 'approved' THEN 1 ELSE 0 END, settles_on = p.settles_on,
       submitted_by = CASE WHEN p.status NOT IN ('draft', 'refused') THEN p.by_id END,
       submitted_at = CASE WHEN p.status NOT IN ('draft', 'refused') THEN p.entered END,
       posting_id = CASE WHEN p.status <> 'returned' THEN s.posting_id END
  FROM paper p LEFT JOIN step s ON s.id = p.id AND s.stage = 'submission'
 WHERE a.id = p.id AND p.status <> 'draft';
DROP TABLE step;
TRUNCATE paper, paper_line;

-- day_end: settle the tonnes in transit, one movement a holding
WITH due AS MATERIALIZED (
       SELECT account_id, instrument_id, pending_to_trading, pending_to_registry FROM holding
        WHERE pending_to_trading > 0 OR pending_to_registry > 0),
     made AS (
       INSERT INTO posting (business, stage, request_key, document, recorded_at, leads)
       SELECT 'day_end', 'settlement', concat('day_end:', %(day)s), %(day)s, %(day)s::date + time '15:30',
              true
        WHERE EXISTS (SELECT FROM due)
       RETURNING id),
     moved AS (
       INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,
                             to_account, to_bucket)
       SELECT made.id, %(day)s::date + time '15:30', instrument_id, quantity, account_id, from_bucket,
              account_id, to_bucket
         FROM made, due,
              LATERAL (VALUES (pending_to_trading, 4, 5), (pending_to_registry, 6, 1))
                   AS r (quantity, from_bucket, to_bucket)
        WHERE quantity > 0 ORDER BY account_id, instrument_id, from_bucket)
INSERT INTO settlement_run (day, at, recorded_at, posting_id, to_trading_holdings, to_trading_quantity,
                            to_registry_holdings, to_registry_quantity)
SELECT %(day)s, %(day)s::date + time '15:30', %(day)s::date + time '15:30', (SELECT id FROM made),
       count(*) FILTER (WHERE pending_to_trading > 0), coalesce(sum(pending_to_trading), 0),
       count(*) FILTER (WHERE pending_to_registry > 0), coalesce(sum(pending_to_registry), 0)
  FROM due;

-- finish: set the sequences, and the clock to the next trading morning
SELECT setval(pg_get_serial_sequence(t, 'id'), greatest(last, 1))
  FROM (SELECT 'account' AS t, max(id) AS last FROM account UNION ALL SELECT 'ab_user', max(id) FROM ab_user
        UNION ALL SELECT 'ab_user_role', max(id) FROM ab_user_role
        UNION ALL SELECT 'instrument', max(id) FROM instrument
        UNION ALL SELECT 'venue', max(id) FROM venue) AS used;
INSERT INTO business_clock (id, ahead) VALUES (1, %(morning)s - clock_timestamp())
ON CONFLICT (id) DO UPDATE SET ahead = excluded.ahead;
