-- 销户 and 停用 (rules-2026 N117, 登记管理规则 14; docs/adr/0092).  Quantities in tonnes, or fen of money.

-- An account ends once: 销户 (closed) on application, or 停用 (retired) where it was opened by mistake.
ALTER TABLE account
  ADD COLUMN closed_at TIMESTAMPTZ,
  ADD COLUMN closed_as VARCHAR(10),
  ADD CONSTRAINT account_closed_once CHECK (
    (closed_at IS NULL) = (closed_as IS NULL) AND closed_as IN ('closed', 'retired'));
CREATE INDEX account_closed ON account (id) WHERE closed_at IS NOT NULL;

-- An instrument that was created by mistake and never used.
ALTER TABLE instrument ADD COLUMN retired_at TIMESTAMPTZ;

-- 代管账户 (N118): what is left of an enterprise without a successor.
INSERT INTO account (id, member_no, name, kind)
VALUES (9, '00000000009', '无承继主体配额代管账户', 'registry');

-- What keeps an account from being closed, a row each: what it is, its name, how much of it, and of which
-- instrument or notice.  ``but``
-- is the application that asks, whose own lines are left out.  Whoever adds something that an account
-- may have or owe adds it here; rules and guards read nothing else.
CREATE FUNCTION account_obstacles(who integer, but bigint)
RETURNS TABLE (what text, name text, quantity bigint, about integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT CASE i.kind WHEN 'money' THEN 'money' ELSE 'tonnes' END, i.code, v.left, i.id
    FROM holding h JOIN instrument i ON i.id = h.instrument_id
   CROSS JOIN LATERAL (
         SELECT h.available + h.reserved + h.frozen + h.pending_to_trading + h.trading
                + h.pending_to_registry + h.custody + h.in_return + h.proceeds
                - coalesce((SELECT sum(l.quantity) FROM application_line l
                              JOIN application a ON a.id = l.application_id AND a.status = 'in_review'
                             WHERE l.application_id = but AND l.instrument_id = h.instrument_id), 0)
                AS left) v
   WHERE h.account_id = who AND v.left <> 0
  UNION ALL
  SELECT 'application', a.number, NULL, NULL FROM application a
   WHERE a.account_id = who AND a.id IS DISTINCT FROM but
     AND a.status IN ('in_review', 'pending_settlement')
  UNION ALL
  SELECT 'received', a.number, NULL, NULL FROM application a
   WHERE a.status IN ('in_review', 'pending_settlement') AND a.id IS DISTINCT FROM but AND a.account_id <> who
     AND (EXISTS (SELECT FROM application_party p WHERE p.application_id = a.id AND p.account_id = who)
          OR EXISTS (SELECT FROM application_line l WHERE l.application_id = a.id AND l.account_id = who))
  UNION ALL
  SELECT 'notice', n.number, n.obligation - coalesce(s.surrendered, 0), n.id
    FROM notice n
    LEFT JOIN LATERAL (SELECT sum(u.surrendered)::bigint AS surrendered FROM notice_surrender u
                        WHERE u.notice_id = n.id) s ON true
   WHERE n.account_id = who AND n.withdrawn_at IS NULL AND n.obligation > coalesce(s.surrendered, 0)
  UNION ALL
  SELECT 'court', a.number, c.quantity - c.ended, NULL
    FROM court_order c JOIN application a ON a.id = c.application_id
   WHERE c.account_id = who AND c.ended < c.quantity
  UNION ALL
  SELECT 'claim', a.number, d.remaining, NULL
    FROM application a JOIN application_line l ON l.application_id = a.id JOIN line_draw d ON d.line_id = l.id
   WHERE a.kind = 'allowance_claim' AND a.status = 'approved' AND a.account_id = who AND d.remaining > 0
  UNION ALL
  SELECT 'waiting', i.code, w.remaining, i.id
    FROM waiting_line w JOIN instrument i ON i.id = w.instrument_id
   WHERE w.account_id = who AND w.remaining > 0
  UNION ALL
  SELECT 'offset', u.serial, u.quantity, NULL FROM offset_unit u
   WHERE u.account_id = who AND u.state NOT IN ('registered', 'released')
  UNION ALL
  SELECT 'receivable', i.code, r.owed, i.id
    FROM open_receivable r JOIN instrument i ON i.id = r.instrument_id WHERE r.account_id = who
  UNION ALL
  SELECT 'difference', d.id::text, NULL, NULL FROM open_difference d WHERE d.account_id = who
$$;

-- What an account opened by mistake has been used for: nothing but its opening may have happened.
CREATE FUNCTION account_uses(who integer, but bigint)
RETURNS TABLE (what text, name text, quantity bigint, about integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT 'tonnes', i.code, h.version, i.id FROM holding h JOIN instrument i ON i.id = h.instrument_id
   WHERE h.account_id = who AND h.version > 0
  UNION ALL
  SELECT 'application', a.number, NULL, NULL FROM application a
   WHERE a.account_id = who AND a.id IS DISTINCT FROM but AND a.status NOT IN ('draft', 'discarded')
  UNION ALL
  SELECT 'received', a.number, NULL, NULL FROM application a
   WHERE a.id IS DISTINCT FROM but AND a.account_id <> who AND a.status NOT IN ('draft', 'discarded')
     AND (EXISTS (SELECT FROM application_party p WHERE p.application_id = a.id AND p.account_id = who)
          OR EXISTS (SELECT FROM application_line l WHERE l.application_id = a.id AND l.account_id = who))
  UNION ALL
  SELECT 'notice', n.number, n.obligation, n.id FROM notice n WHERE n.account_id = who
  UNION ALL
  SELECT 'member', m.username, NULL, NULL FROM ab_user m
   WHERE m.account_id = who AND EXISTS (SELECT FROM login_session s WHERE s.member_id = m.id)
$$;

-- What an instrument created by mistake has been used for.
CREATE FUNCTION instrument_uses(asked integer) RETURNS TABLE (what text, name text, quantity bigint, about integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  (SELECT 'tonnes', c.member_no, h.version, NULL::integer FROM holding h JOIN account c ON c.id = h.account_id
    WHERE h.instrument_id = asked AND h.version > 0 ORDER BY c.id LIMIT 5)
  UNION ALL
  (SELECT 'application', a.number, l.quantity, NULL
     FROM application_line l JOIN application a ON a.id = l.application_id
    WHERE l.instrument_id = asked AND a.status NOT IN ('draft', 'discarded') ORDER BY a.id LIMIT 5)
  UNION ALL
  SELECT 'trade_code', t.trade_code, NULL, NULL FROM venue_instrument t
   WHERE t.instrument_id = asked AND t.disabled_from IS NULL
  UNION ALL
  SELECT 'bank', b.code, NULL, NULL FROM settlement_bank b WHERE b.instrument_id = asked
$$;

-- Accounts and instruments end as two officers of the registry approved it, once.  The account is taken
-- FOR UPDATE, so that nobody opens a holding of it, then its holdings, so that nobody credits one.
CREATE FUNCTION carry_out_closures(asked bigint[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  d record;
  done integer := 0;
BEGIN
  FOR d IN
    SELECT a.id, a.kind, a.account_id, (a.proposal ->> 'instrument')::integer AS instrument_id, e.at
      FROM application a
     CROSS JOIN LATERAL (
           SELECT max(v.at) AS at, count(DISTINCT v.member_id) AS officers
             FROM application_event v JOIN ab_user m ON m.id = v.member_id
            WHERE v.application_id = a.id AND m.account_id IS NULL AND m.province IS NULL
              AND (v.action = 'approve' OR v.action = 'submit')
              AND v.id >= (SELECT max(s.id) FROM application_event s
                            WHERE s.application_id = a.id AND s.action = 'submit')) AS e
     WHERE a.id = ANY(asked) AND a.status = 'approved' AND e.officers >= 2
       AND a.kind IN ('account_closure', 'closure_by_office', 'account_retirement', 'instrument_retirement')
     ORDER BY a.account_id, a.id
  LOOP
    IF d.kind = 'instrument_retirement' THEN
      PERFORM FROM instrument WHERE id = d.instrument_id FOR UPDATE;
      IF EXISTS (SELECT FROM instrument_uses(d.instrument_id) u) THEN
        RAISE EXCEPTION 'instrument % has been used', d.instrument_id
          USING ERRCODE = 'check_violation', CONSTRAINT = 'ends_unused';
      END IF;
      UPDATE instrument SET retired_at = d.at WHERE id = d.instrument_id AND retired_at IS NULL;
      CONTINUE WHEN NOT FOUND;
    ELSE
      PERFORM FROM account WHERE id = d.account_id FOR UPDATE;
      PERFORM FROM holding WHERE account_id = d.account_id ORDER BY instrument_id FOR NO KEY UPDATE;
      IF EXISTS (SELECT FROM account_obstacles(d.account_id, d.id))
         OR (d.kind = 'account_retirement' AND EXISTS (SELECT FROM account_uses(d.account_id, d.id))) THEN
        RAISE EXCEPTION 'account % has something left', d.account_id
          USING ERRCODE = 'check_violation', CONSTRAINT = 'ends_unused';
      END IF;
      UPDATE account SET closed_at = d.at, allows_exchange_transfer = false,
             closed_as = CASE d.kind WHEN 'account_retirement' THEN 'retired' ELSE 'closed' END
       WHERE id = d.account_id AND kind <> 'registry' AND closed_at IS NULL;
      CONTINUE WHEN NOT FOUND;
    END IF;
    done := done + 1;
  END LOOP;
  IF done <> (SELECT count(DISTINCT id) FROM unnest(asked) AS w (id)) THEN
    RAISE EXCEPTION 'an end is not as two officers approved it'
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ends_as_approved';
  END IF;
  RETURN done;
END $$;

-- Nothing is credited to a closed account, nor moved of a retired instrument.  By its name it runs after
-- post_movements, which holds the holdings: what was closed meanwhile is seen.
CREATE FUNCTION refuse_what_has_ended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  wrong bigint;
BEGIN
  SELECT m.to_account INTO wrong FROM new_movement m
   WHERE m.to_account IN (SELECT id FROM account WHERE closed_at IS NOT NULL) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'account % is closed', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'account_is_closed';
  END IF;
  SELECT m.instrument_id INTO wrong FROM new_movement m
   WHERE m.instrument_id IN (SELECT id FROM instrument WHERE retired_at IS NOT NULL) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'instrument % is retired', wrong
      USING ERRCODE = 'check_violation', CONSTRAINT = 'instrument_is_retired';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER refuse_what_has_ended AFTER INSERT ON movement
  REFERENCING NEW TABLE AS new_movement FOR EACH STATEMENT EXECUTE FUNCTION refuse_what_has_ended();

-- Nobody of a closed account is let in again.
CREATE FUNCTION closed_accounts_let_nobody_in() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM account WHERE id = NEW.account_id AND closed_at IS NOT NULL) THEN
    RAISE EXCEPTION 'account % is closed', NEW.account_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'account_is_closed';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER closed_accounts_let_nobody_in BEFORE INSERT OR UPDATE OF active ON ab_user
  FOR EACH ROW WHEN (NEW.active AND NEW.account_id IS NOT NULL)
  EXECUTE FUNCTION closed_accounts_let_nobody_in();

-- What is entered has not ended.
CREATE FUNCTION begins_open() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'what is entered has not ended' USING ERRCODE = 'check_violation', CONSTRAINT = 'begins_open';
END $$;
CREATE TRIGGER begins_open BEFORE INSERT ON account
  FOR EACH ROW WHEN (NEW.closed_at IS NOT NULL) EXECUTE FUNCTION begins_open();
CREATE TRIGGER begins_open BEFORE INSERT ON instrument
  FOR EACH ROW WHEN (NEW.retired_at IS NOT NULL) EXECUTE FUNCTION begins_open();
