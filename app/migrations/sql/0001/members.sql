-- Accounts, the people who sign in, what they may do, and what is kept of their signing in.

-- Append-only, whoever asks: the owner of the tables included.
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TABLE ab_permission (
  id SERIAL PRIMARY KEY,
  name VARCHAR(100) NOT NULL UNIQUE
);

CREATE TABLE ab_view_menu (
  id SERIAL PRIMARY KEY,
  name VARCHAR(250) NOT NULL UNIQUE
);

CREATE TABLE ab_permission_view (
  id SERIAL PRIMARY KEY,
  permission_id INTEGER NOT NULL REFERENCES ab_permission (id),
  view_menu_id INTEGER NOT NULL REFERENCES ab_view_menu (id),
  UNIQUE (permission_id, view_menu_id)
);
CREATE INDEX idx_permission_id ON ab_permission_view (permission_id);
CREATE INDEX idx_view_menu_id ON ab_permission_view (view_menu_id);

CREATE TABLE ab_role (
  id SERIAL PRIMARY KEY,
  name VARCHAR(64) NOT NULL UNIQUE
);

CREATE TABLE ab_permission_view_role (
  id SERIAL PRIMARY KEY,
  permission_view_id INTEGER REFERENCES ab_permission_view (id) ON DELETE CASCADE,
  role_id INTEGER REFERENCES ab_role (id) ON DELETE CASCADE,
  UNIQUE (permission_view_id, role_id)
);
CREATE INDEX idx_permission_view_id ON ab_permission_view_role (permission_view_id);
CREATE INDEX idx_role_id ON ab_permission_view_role (role_id);

-- Who may hold allowances: the enterprises, and the registry as their source.
CREATE TABLE account (
  id SERIAL PRIMARY KEY,
  member_no VARCHAR(20) NOT NULL UNIQUE,
  name VARCHAR(200) NOT NULL,
  kind VARCHAR(20) DEFAULT 'enterprise' NOT NULL,
  uscc VARCHAR(18) UNIQUE,
  province VARCHAR(2),
  sector VARCHAR(20),
  is_restricted BOOLEAN DEFAULT false NOT NULL,
  allows_exchange_transfer BOOLEAN DEFAULT false NOT NULL,
  opened_on DATE DEFAULT CURRENT_DATE NOT NULL,
  lacks_documents BOOLEAN DEFAULT false NOT NULL,
  opening_id BIGINT UNIQUE,
  needs_colleague BOOLEAN DEFAULT false NOT NULL,
  CONSTRAINT account_kind_known CHECK (kind IN ('registry', 'enterprise')),
  CONSTRAINT enterprise_has_province CHECK ((kind = 'enterprise') = (province IS NOT NULL))
);
CREATE INDEX account_province ON account (province, id);

-- Telephone, identity and bank numbers are stored encrypted (models/encrypted.py).
CREATE TABLE account_detail (
  account_id INTEGER PRIMARY KEY REFERENCES account (id),
  registered_address VARCHAR(300) DEFAULT '' NOT NULL,
  legal_representative VARCHAR(100) DEFAULT '' NOT NULL,
  representative VARCHAR(100) DEFAULT '' NOT NULL,
  representative_phone TEXT,
  representative_email TEXT,
  representative_identity_no TEXT,
  bank_name VARCHAR(200) DEFAULT '' NOT NULL,
  bank_account TEXT
);

CREATE TABLE ab_user (
  id SERIAL PRIMARY KEY,
  first_name VARCHAR(64) NOT NULL,
  last_name VARCHAR(64) NOT NULL,
  username VARCHAR(128) NOT NULL UNIQUE,
  password VARCHAR(256),
  active BOOLEAN,
  email VARCHAR(320) NOT NULL UNIQUE,
  last_login TIMESTAMP,
  login_count INTEGER,
  fail_login_count INTEGER,
  created_on TIMESTAMP,
  changed_on TIMESTAMP,
  created_by_fk INTEGER REFERENCES ab_user (id),
  changed_by_fk INTEGER REFERENCES ab_user (id),
  account_id INTEGER REFERENCES account (id),
  province VARCHAR(2),
  must_change_password BOOLEAN DEFAULT false NOT NULL,
  password_changed_at TIMESTAMPTZ DEFAULT now() NOT NULL,
  phone TEXT
);
-- Asked with every page: who else can sign in for the enterprise.
CREATE INDEX ab_user_account ON ab_user (account_id);

CREATE TABLE ab_user_role (
  id SERIAL PRIMARY KEY,
  user_id INTEGER REFERENCES ab_user (id) ON DELETE CASCADE,
  role_id INTEGER REFERENCES ab_role (id) ON DELETE CASCADE,
  UNIQUE (user_id, role_id)
);

CREATE TABLE ab_group (
  id SERIAL PRIMARY KEY,
  name VARCHAR(100) NOT NULL UNIQUE,
  label VARCHAR(150),
  description VARCHAR(512)
);

CREATE TABLE ab_group_role (
  id SERIAL PRIMARY KEY,
  group_id INTEGER REFERENCES ab_group (id) ON DELETE CASCADE,
  role_id INTEGER REFERENCES ab_role (id) ON DELETE CASCADE,
  UNIQUE (group_id, role_id)
);
CREATE INDEX idx_group_id ON ab_group_role (group_id);
CREATE INDEX idx_group_role_id ON ab_group_role (role_id);

CREATE TABLE ab_user_group (
  id SERIAL PRIMARY KEY,
  user_id INTEGER REFERENCES ab_user (id) ON DELETE CASCADE,
  group_id INTEGER REFERENCES ab_group (id) ON DELETE CASCADE,
  UNIQUE (user_id, group_id)
);
CREATE INDEX idx_user_group_id ON ab_user_group (group_id);
CREATE INDEX idx_user_id ON ab_user_group (user_id);

CREATE TABLE ab_register_user (
  id SERIAL PRIMARY KEY,
  first_name VARCHAR(64) NOT NULL,
  last_name VARCHAR(64) NOT NULL,
  username VARCHAR(128) NOT NULL UNIQUE,
  password VARCHAR(256),
  email VARCHAR(320) NOT NULL UNIQUE,
  registration_date TIMESTAMP,
  registration_hash VARCHAR(256)
);

CREATE TABLE ab_api_key (
  id SERIAL PRIMARY KEY,
  uuid VARCHAR(36) NOT NULL UNIQUE,
  name VARCHAR(256) NOT NULL,
  key_hash VARCHAR(256) NOT NULL,
  lookup_hash VARCHAR(256) UNIQUE,
  key_prefix VARCHAR(16) NOT NULL,
  user_id INTEGER NOT NULL REFERENCES ab_user (id) ON DELETE CASCADE,
  scopes TEXT,
  active BOOLEAN NOT NULL,
  created_on TIMESTAMP,
  expires_on TIMESTAMP,
  revoked_on TIMESTAMP,
  last_used_on TIMESTAMP
);
CREATE UNIQUE INDEX idx_api_key_lookup_hash ON ab_api_key (lookup_hash);
CREATE INDEX idx_api_key_prefix ON ab_api_key (key_prefix);
CREATE INDEX idx_api_key_user_id ON ab_api_key (user_id);

-- Whom the registry has let in and told so; the token of the link is kept as its SHA-256.
CREATE TABLE invitation (
  member_id INTEGER PRIMARY KEY REFERENCES ab_user (id),
  opened_by INTEGER NOT NULL REFERENCES ab_user (id),
  confirmed_by INTEGER REFERENCES ab_user (id),
  created_at TIMESTAMPTZ NOT NULL,
  token_hash VARCHAR(64) UNIQUE,
  written_at TIMESTAMPTZ,
  expires_at TIMESTAMPTZ,
  used_at TIMESTAMPTZ,
  failure VARCHAR(200) DEFAULT '' NOT NULL,
  CONSTRAINT invited_by_two CHECK (opened_by <> confirmed_by),
  CONSTRAINT link_has_an_end CHECK ((token_hash IS NULL) = (expires_at IS NULL)),
  CONSTRAINT used_after_written CHECK (used_at IS NULL OR token_hash IS NOT NULL)
);
CREATE INDEX invitation_waiting ON invitation (created_at) WHERE written_at IS NULL;

CREATE TABLE password_record (
  id SERIAL PRIMARY KEY,
  member_id INTEGER NOT NULL REFERENCES ab_user (id),
  password VARCHAR(256) NOT NULL,
  changed_at TIMESTAMPTZ DEFAULT now() NOT NULL
);
CREATE INDEX password_record_member ON password_record (member_id, id);

CREATE TABLE preference (
  member_id INTEGER NOT NULL REFERENCES ab_user (id),
  name VARCHAR(80) NOT NULL,
  value JSONB NOT NULL,
  PRIMARY KEY (member_id, name)
);

CREATE TABLE login_failure (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key VARCHAR(150) NOT NULL,
  at TIMESTAMPTZ DEFAULT now() NOT NULL
);
CREATE INDEX login_failure_key ON login_failure (key, at);

CREATE TABLE login_record (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at TIMESTAMPTZ DEFAULT now() NOT NULL,
  member_no VARCHAR(128) NOT NULL,
  member_id INTEGER REFERENCES ab_user (id),
  is_success BOOLEAN NOT NULL,
  outcome VARCHAR(30) NOT NULL,
  ip VARCHAR(45) DEFAULT '' NOT NULL,
  user_agent VARCHAR(300) DEFAULT '' NOT NULL,
  recorded_xid XID8 DEFAULT pg_current_xact_id() NOT NULL
);
CREATE INDEX login_record_member ON login_record (member_id, id);
CREATE INDEX login_record_recorded ON login_record (recorded_xid);

-- The answer of a 验证码 follows from its id and SECRET_KEY; nobody can read it here.
CREATE TABLE captcha (
  id VARCHAR(64) PRIMARY KEY,
  created_at TIMESTAMPTZ DEFAULT now() NOT NULL
);

CREATE TABLE transfer_permission_change (
  id SERIAL PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES account (id),
  is_allowed BOOLEAN NOT NULL,
  changed_by INTEGER NOT NULL REFERENCES ab_user (id),
  changed_at TIMESTAMPTZ NOT NULL,
  ip VARCHAR(45) DEFAULT '' NOT NULL
);
CREATE INDEX transfer_permission_change_account ON transfer_permission_change (account_id, id);

CREATE TABLE colleague_review_change (
  id SERIAL PRIMARY KEY,
  account_id INTEGER NOT NULL REFERENCES account (id),
  is_on BOOLEAN NOT NULL,
  changed_by INTEGER NOT NULL REFERENCES ab_user (id),
  changed_at TIMESTAMPTZ NOT NULL,
  ip VARCHAR(45) DEFAULT '' NOT NULL
);
CREATE INDEX colleague_review_change_account ON colleague_review_change (account_id, id);

-- The national issuance account: the only holder whose `issued` goes below zero.
INSERT INTO account (id, member_no, name, kind)
VALUES (1, '00000000001', '全国碳排放权配额发放账户', 'registry');
SELECT setval(pg_get_serial_sequence('account', 'id'), 100);

-- The three administrators exclude each other and every business role, and a role fits its member's
-- row scope: the same rule as require_compatible, where nothing can go around it.  Deferred, so that
-- a role can be exchanged within a transaction; the member's row makes two givers wait.
CREATE FUNCTION check_membership() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
    member integer := CAST(coalesce(to_jsonb(NEW) ->> 'user_id', to_jsonb(NEW) ->> 'id') AS integer);
    held text[];
    its_scope text;
BEGIN
    SELECT CASE WHEN account_id IS NOT NULL THEN 'account'
                WHEN province IS NOT NULL THEN 'province' ELSE 'all' END
      INTO its_scope FROM ab_user WHERE id = member FOR UPDATE;
    SELECT coalesce(array_agg(r.name), '{}') INTO held
      FROM ab_user_role ur JOIN ab_role r ON r.id = ur.role_id WHERE ur.user_id = member;
    IF cardinality(held) > 1 AND held && ARRAY['system_admin', 'security_admin', 'auditor'] THEN
        RAISE check_violation USING CONSTRAINT = 'role_exclusion',
            MESSAGE = concat('role_exclusion: member ', member, ' may not hold together ', held);
    END IF;
    IF (its_scope <> 'account' AND held && ARRAY['enterprise', 'enterprise_maker',
                                                 'enterprise_checker'])
       OR (its_scope <> 'province' AND held && ARRAY['province'])
       OR (its_scope <> 'all' AND held && ARRAY['registry_maker', 'registry_checker',
                                             'system_admin', 'security_admin', 'auditor']) THEN
        RAISE check_violation USING CONSTRAINT = 'role_scope',
            MESSAGE = concat('role_scope: the scope of member ', member, ' does not fit ', held);
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER membership AFTER INSERT OR UPDATE ON ab_user_role
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_membership();
CREATE CONSTRAINT TRIGGER membership AFTER UPDATE OF account_id, province ON ab_user
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_membership();
