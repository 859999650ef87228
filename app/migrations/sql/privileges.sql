-- Privileges of the application's role {app}; run by the owner at every `flask init`, in one
-- transaction.  What is not named here is refused (docs/security-tests.md, the last chapter but one).
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {app};
GRANT USAGE ON SCHEMA public TO {app};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {app};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {app};
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT EXECUTE ON FUNCTION seal_movements(), block_root(bytea, xid8, xid8), movement_digest(movement, posting) TO {app};
GRANT EXECUTE ON FUNCTION seal_log(), log_root(bytea, bigint, xid8, xid8), log_digest(operation_log), log_digest(login_record) TO {app};

-- The ledger: only postings and movements are inserted; triggers derive the rest.
GRANT INSERT (business, stage, request_key, document, application_id, reverses_id, member_id, leads)
   ON posting TO {app};
GRANT INSERT (posting_id, at, instrument_id, quantity, from_account, from_bucket, to_account, to_bucket)
   ON movement TO {app};

-- Append-only records; numbers, times and transactions of them are set by the database.
GRANT INSERT (application_id, action, step, status, at, member_id, member_name, ip, comment)
   ON application_event TO {app};
GRANT INSERT ON transfer_permission_change, colleague_review_change, settlement_run TO {app};
GRANT INSERT (member_id, member_no, ip, certificate, action, subject, account_id, result, detail)
   ON operation_log TO {app};
GRANT INSERT (member_no, member_id, is_success, outcome, ip, user_agent) ON login_record TO {app};
GRANT INSERT (name, value, effective_from, reason, set_by) ON parameter TO {app};

GRANT INSERT ON attestation, import_file, custody_link TO {app};
GRANT UPDATE (lapsed_at) ON attestation TO {app};

-- What notices say is written by carry_out_notices alone, from approved applications.
REVOKE INSERT, UPDATE ON notice FROM {app};
REVOKE INSERT ON notice_change FROM {app};
GRANT UPDATE (reminded_at) ON notice TO {app};
GRANT EXECUTE ON FUNCTION carry_out_notices(bigint[]), plan_on(integer, text, date),
                          notice_state(bigint, bigint, timestamptz, timestamptz, timestamptz, timestamptz)
  TO {app};
-- So are plans, by carry_out_plans; the sectors of an account end, and keep their beginning.
GRANT EXECUTE ON FUNCTION carry_out_plans(bigint[]), refunds(text), is_refund(text),
      carry_out_revocations(bigint[]), end_offset_bindings(bigint[]) TO {app};
-- Who is issued to differently is written by carry_out_differentiations alone.
GRANT EXECUTE ON FUNCTION carry_out_differentiations(bigint[], timestamptz), is_reversed(bigint),
                          is_withheld(integer, integer), issue_stop(integer, integer, text, date) TO {app};
GRANT INSERT (account_id, sector, starts_on), UPDATE (ends_on) ON account_sector TO {app};

-- Rounds, notices and grants of a carry-over are written by functions alone.
GRANT EXECUTE ON FUNCTION carry_out_carry_over_rounds(bigint[]),
                          carry_out_carry_over_notices(bigint[], timestamptz),
                          carry_over_figures(integer, date, integer), carry_over_summary(integer, date),
                          carry_over_obstacles(integer), carry_overs_of_batch(integer, date, bigint),
                          grant_carry_overs(bigint, bigint[], timestamptz) TO {app};
GRANT INSERT ON carry_over_refusal TO {app};

-- Venues' clients and their keys are written by carry_out_machine_keys alone, from approved applications.
GRANT EXECUTE ON FUNCTION carry_out_machine_keys(bigint[]), count_machine_request(text, bigint),
                          clear_machine_leftovers() TO {app};
GRANT INSERT ON machine_token, machine_assertion, machine_request TO {app};
GRANT INSERT (client_id, key, digest), UPDATE (status, answer) ON machine_answer TO {app};
-- Credentials are inserted and revoked by signed acts (trigger credential_is_signed); a venue's client
-- and key have columns that {app} cannot write.
GRANT INSERT (name, account_id, province, scopes) ON machine_client TO {app};
GRANT INSERT (client_id, kid, thumbprint, jwk, starts_on, ends_on, registered_at, issued_by, signature_id),
      UPDATE (revoked_at, revoked_by, revoking_signature_id) ON machine_key TO {app};
GRANT INSERT (key_id, token_hash, ip) ON machine_use TO {app};
GRANT EXECUTE ON FUNCTION issuer_stands(integer, bigint), note_machine_call(bytea, text) TO {app};

-- Mutable business tables; only parts of drafts can be deleted.
GRANT INSERT, UPDATE ON account_detail, invitation, venue, venue_instrument,
                        business_clock, preference TO {app};
GRANT INSERT ON account, instrument, application, application_line, application_party,
                attachment, trading_day, ab_user TO {app};
GRANT UPDATE (code, name, vintage, kind) ON instrument TO {app};
-- Of these only what the program changes: never whose they are.
GRANT UPDATE (name, uscc, is_restricted, allows_exchange_transfer, lacks_documents,
              needs_colleague) ON account TO {app};
GRANT UPDATE (status, step, version, reason, refusal, form_key, submitted_by, submitted_at, settles_on,
              posting_id, category, document_no, authority, starts_on, ends_on, notice_id, proposal)
   ON application TO {app};
GRANT UPDATE (agreed_at, agreed_by) ON application_party TO {app};
GRANT UPDATE (application_id, account_id, request_key) ON attachment TO {app};
GRANT UPDATE (is_trading, note, changed_by) ON trading_day TO {app};
GRANT UPDATE (first_name, email, phone, password, password_changed_at, must_change_password, active,
              last_login, login_count, fail_login_count, changed_on, changed_by_fk) ON ab_user TO {app};
-- Unsaved input is deleted after a day.
GRANT INSERT, UPDATE, DELETE ON unfinished_form TO {app};
GRANT DELETE ON application_line, application_party, attachment TO {app};

-- Reference data are disabled, never deleted; a trigger sets the catalogue's version.
GRANT INSERT, UPDATE ON sector, category, city, holding_limit, ministry_date, report_sheet,
                        report_column, fee_rate TO {app};
GRANT INSERT ON calendar_run TO {app};
-- What was published stays.
GRANT INSERT ON publication, publication_run TO {app};

-- Signing in.
GRANT INSERT, UPDATE ON login_session TO {app};
-- Guesses are counted, given back and cleared by functions; a guess's id is its taker's secret.
REVOKE SELECT ON login_failure FROM {app};
GRANT SELECT (id, key, member_no, at) ON login_failure TO {app};
GRANT EXECUTE ON FUNCTION take_guess(text[], text[], integer[], interval), give_back_guess(uuid),
                          clear_failures(text, text) TO {app};
GRANT INSERT, DELETE ON captcha, known_device TO {app};
GRANT UPDATE (sound) ON captcha TO {app};
GRANT UPDATE (token_hash, seen_at, ip, user_agent) ON known_device TO {app};
GRANT INSERT (member_id, password) ON password_record TO {app};

-- Roles are assigned by the security administrator; only `flask init` writes their permissions.
GRANT INSERT, DELETE ON ab_user_role TO {app};

-- Messages and jobs: what they say and ask stays; attempts and failures are append-only.
GRANT INSERT (channel, recipient, subject, body, purpose, has_secret, member_id, account_id,
              dedupe_key, due_at) ON outbox_message TO {app};
GRANT UPDATE (state, attempts, due_at, ended_at, body) ON outbox_message TO {app};
GRANT INSERT (kind, title, member_id, account_id, ip, arguments, total, created_at) ON job TO {app};
GRANT UPDATE (state, position, done, failed, result, error, started_at, ended_at, changed_at)
   ON job TO {app};
GRANT INSERT ON outbox_attempt, job_failure, mailbox_message TO {app};
-- The queue's library has a schema of its own (docs/adr/0016-outbox-and-jobs.md).
GRANT USAGE ON SCHEMA job_queue TO {app};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA job_queue TO {app};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA job_queue TO {app};

-- Of certificates only the state changes; signatures and revocation lists are append-only.
GRANT INSERT ON certificate, certificate_enrolment, signature_event, crl TO {app};
GRANT INSERT (purpose, content, digest, cms, suite, certificate_id, crl_number, signed_at)
   ON signature TO {app};
GRANT UPDATE (state, reason, revoked_at) ON certificate TO {app};
GRANT UPDATE (state, tries, used_at) ON certificate_enrolment TO {app};
GRANT INSERT, DELETE ON challenge TO {app};

-- Announcements are withdrawn, never deleted; readings are append-only.
GRANT INSERT, UPDATE ON announcement TO {app};
GRANT INSERT ON announcement_reading TO {app};

-- Settlement: packages and what belongs to them are append-only; trades are delivered and proceeds
-- released by functions alone. Bindings are written from approved applications.
GRANT INSERT (venue_id, day, version, digest, file, certificate, trades, positions, funds, transfers,
              quantity, amount, warnings, received_at, received_by) ON day_package TO {app};
GRANT INSERT ON package_refusal, trade, reported_position, reported_fund, reported_transfer,
                trade_default, settlement_confirmation, settlement_difference, difference_resolution,
                settlement_stage, daily_quote, settlement_bank TO {app};
-- Groups and large holdings are written by functions alone.
GRANT EXECUTE ON FUNCTION carry_out_company_groups(bigint[]),
                          find_large_holdings(date, timestamptz) TO {app};
GRANT EXECUTE ON FUNCTION deliver_trades(bigint[], bigint[], timestamptz, integer),
                          release_proceeds(date, timestamptz), approved_by_two(bigint) TO {app};

-- How accounts end, are succeeded and classed follows from approved applications, by functions alone.
GRANT EXECUTE ON FUNCTION account_obstacles(integer, bigint), account_uses(integer, bigint),
                          instrument_uses(integer), carry_out_closures(bigint[]),
                          class_rights_on(text, date), right_of_kind(text), carry_out_class_rules(bigint[]),
                          carry_out_successions(bigint[]), split_by_shares(bigint, numeric[]),
                          declare_bankruptcies(bigint[]), readable_companies(integer, date) TO {app};
GRANT INSERT (account_id, head_id, is_given, changed_by, changed_at, ip) ON group_consent TO {app};

-- Pledges are applications; whom we told about them is appended.
GRANT INSERT ON pledge_reminder TO {app};

-- Courts' orders follow from applications and movements; what ended by itself is written by a function.
GRANT INSERT ON court_reminder TO {app};
GRANT EXECUTE ON FUNCTION lapse_court_orders(integer, date, timestamptz) TO {app};

-- Allocation: pushed figures are append-only; what an issue is netted by is written by a trigger.
GRANT INSERT (import_id, account_id, year, sector, stage, unit, basis, verified, share, power, heat,
              power_benchmark, heat_benchmark, load, intensity, balance, quantity, expected, remark, due_on,
              recorded_at) ON allocation_figure TO {app};

-- CCER: what the other registry's messages bring is inserted; units, bindings and our messages go on by
-- applications, by signed answers and by functions alone.
GRANT INSERT (ccer_account, account_id, uscc, name, asked_at) ON offset_binding TO {app};
GRANT INSERT (account_id, project_no, project_name, project_type, period_from, period_to, registered_on,
              first_serial, last_serial, quantity, in_ets, is_cancelled_before, received_at, changed_at)
   ON offset_unit TO {app};
GRANT INSERT (direction, number, kind, account_id, unit_id, binding_id, quantity, state, reason, due_at,
              created_at, changed_at), UPDATE (due_at) ON offset_message TO {app};
GRANT INSERT (message_id, what, source, reason, content, at) ON offset_message_event TO {app};
GRANT INSERT (day, asked_at, asked_by), UPDATE (compared_at, enterprises, differences)
   ON offset_comparison TO {app};
GRANT INSERT (comparison_id, account_id, uscc, ours, theirs) ON offset_difference TO {app};
GRANT EXECUTE ON FUNCTION unfreeze_offset_unit(bigint, timestamptz),
                          send_offset_message(timestamptz, timestamptz), query_offset_message(timestamptz),
                          answer_offset_message(bigint, text, bigint, text, text, text, timestamptz),
                          order_offset_release(bigint, timestamptz) TO {app};

-- Money: orders go forward as a bank's recorded answers say; what follows after an application's end is
-- booked by functions alone.
GRANT INSERT (serial, bank_serial, platform_serial, bank_id, application_id, version, direction,
              started_by, amount, state, sent_at, due_at, created_at, changed_at) ON bank_order TO {app};
GRANT UPDATE (bank_serial, platform_serial, state, sent_at, due_at, queries, changed_at)
   ON bank_order TO {app};
GRANT INSERT (order_id, source, outcome, reason, message, received_at) ON bank_answer TO {app};
GRANT UPDATE (bank_account) ON bank_binding TO {app};  -- re-encryption under a new key
GRANT INSERT ON bank_binding_answer, bank_file, bank_line_event, bank_difference_resolution TO {app};
GRANT EXECUTE ON FUNCTION book_bank_order(bigint, timestamptz), pay_receivables(integer, timestamptz),
                          carry_out_bindings(bigint[]), cover_defaults(bigint[], timestamptz) TO {app};

-- The second book (docs/adr/0078): a role of its own reads what it compares and appends what it sealed;
-- nothing of it is written by {app}.  An installation without this role checks as the owner.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'registry_audit') THEN
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM registry_audit;
    GRANT USAGE ON SCHEMA public TO registry_audit;
    GRANT SELECT ON account, instrument, venue, venue_instrument, venue_certificate, settlement_bank,
                    bank_binding, bank_line_event, receivable_payment, holding, posting, movement, settlement_run, settlement_stage,
                    day_package, trade, trade_delivery, settlement_confirmation, application,
                    application_line, application_event, audit_day, audit_total TO registry_audit;
    GRANT INSERT (day, is_opening, from_xid, to_xid, movements, changes, packages, previous, digest)
       ON audit_day TO registry_audit;
    GRANT INSERT ON audit_total TO registry_audit;
  END IF;
END $$;
