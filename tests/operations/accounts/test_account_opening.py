"""开户: all rows or none, approval by a second officer, and two letters by two channels."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from app.domain.errors import NotAllowed, RuleError
from app.extensions import db, transaction
from app.models import (
    Account,
    AccountDetail,
    Application,
    CertificateEnrolment,
    ImportFile,
    Invitation,
    Member,
    OperationLog,
    OutboxMessage,
)
from app.operations.accounts import openings, sectors
from app.operations.applications import engine
from app.operations.imports import opening_import
from app.operations.people import members, passwords
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.security import sign_in
from app.security.roles import codes_of
from tests.factories import account, member
from tests.openings import (
    confirm,
    credit_code,
    enterprise,
    imported,
    letters_of,
    table,
    write_letters,
)
from tests.signing import authority_folder, fetch, signing

__all__ = ["authority_folder", "signing"]

NOW = datetime.now(UTC)


def opened() -> list[Account]:
    db.session.rollback()
    query = select(Account).where(Account.kind == "enterprise").order_by(Account.member_no)
    return list(db.session.scalars(query))


def problems(rows, by: Member) -> list[tuple[int, str, str]]:
    """Return the errors of an import, of which nothing is stored."""
    read = table(rows)
    with pytest.raises(RuleError), transaction():
        opening_import.take(read, Actor.of(by), now=clock.now())
    assert db.session.scalar(select(func.count()).select_from(Application)) == 0
    assert db.session.scalar(select(func.count()).select_from(ImportFile)) == 0
    return [(each.row, each.column, str(each.message)) for each in read.problems]


def test_a_file_makes_applications_and_no_account(maker):
    ids = imported([enterprise(1), enterprise(2)], maker)

    rows = db.session.scalars(select(Application).order_by(Application.id)).all()
    assert [row.id for row in rows] == ids
    assert {(row.kind, row.status, row.number[:2]) for row in rows} == {
        ("account_opening", "in_review", "KH")
    }
    assert opened() == []
    assert db.session.scalar(select(func.count()).select_from(OutboxMessage)) == 0


def test_personal_data_are_encrypted_in_the_proposal(maker):
    imported([enterprise(1)], maker)

    kept = json.dumps(db.session.scalar(select(Application.proposal)), ensure_ascii=False)
    cells = enterprise(1)
    for name in ("phone", "email", "identity_no"):
        assert cells[f"representative_{name}"] not in kept
    assert cells["bank_account"] not in kept
    assert cells["name"] in kept


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("uscc", "91420100MA4K00001X", "must pass its own check"),
        ("uscc", "12345", "must pass its own check"),
        ("uscc", "", "fill this in"),
        ("sector", "纺织", "one of the sectors"),
        ("province", "台北", "no such province"),
        ("representative_phone", "12", "no valid phone"),
        ("representative_email", "nobody", "no valid e-mail"),
        ("representative_email", "李@例子.中国", "no valid e-mail"),
        ("representative_identity_no", "420106198001010011", "must pass its own check"),
        ("bank_account", "abc", "8 to 30 digits"),
        ("name", "x" * 201, "longer than 200"),
        ("name", "a\u202eb", "cannot be typed"),
    ],
)
def test_a_wrong_cell_is_named_by_row_and_column_and_nothing_is_imported(
    maker, column, value, message
):
    found = problems([enterprise(1), enterprise(2, **{column: value})], maker)

    title = next(str(each.title) for each in opening_import.COLUMNS if each.key == column)
    assert [(row, name) for row, name, _text in found] == [(3, title)]
    assert message in found[0][2]


def test_every_wrong_cell_is_reported_at_once(maker):
    found = problems(
        [enterprise(1, uscc="1", sector="x"), enterprise(2, representative_phone="y")], maker
    )
    assert [row for row, _name, _text in found] == [2, 2, 3]


def test_a_code_stands_once_in_the_file(maker):
    (found,) = problems([enterprise(1), enterprise(2, uscc=credit_code(1).lower())], maker)
    assert found[0] == 3
    assert "row 2" in found[2]


def test_an_enterprise_with_an_account_is_refused(maker):
    there = account(uscc=credit_code(1))
    (found,) = problems([enterprise(1)], maker)
    assert there.member_no in found[2]


def test_an_enterprise_that_is_being_opened_is_refused(maker):
    imported([enterprise(1)], maker)
    read = table([enterprise(1, name="另名有限公司")])
    with pytest.raises(RuleError), transaction():
        opening_import.take(read, Actor.of(maker), now=clock.now())
    assert "about to" in str(read.problems[0].message)


def test_the_same_file_is_refused(maker, checker):
    confirm(imported([enterprise(1)], maker), checker)
    with pytest.raises(RuleError, match="imported before"):
        imported([enterprise(1)], maker)


def test_only_the_registry_opens_accounts(app):
    for someone in (member("province", province="42"), member(of=account())):
        with pytest.raises(NotAllowed, match="the registry may do this"):
            imported([enterprise(1)], someone)


def test_nobody_confirms_what_they_entered(maker):
    outcome = confirm(imported([enterprise(1)], maker), maker)
    assert outcome.done == []
    assert opened() == []


def test_confirmed_accounts_have_numbers_details_and_a_member_without_a_password(maker, checker):
    outcome = confirm(imported([enterprise(1), enterprise(2)], maker), checker)

    assert len(outcome.done) == 2
    accounts = opened()
    assert [row.member_no for row in accounts] == ["26112000001", "26112000002"]
    first = accounts[0]
    assert (first.name, first.uscc) == ("江城第1发电有限公司", credit_code(1))
    assert sectors.of_account(first.id, first.opened_on) == ["power"]
    assert (first.province, first.lacks_documents) == ("42", True)
    assert first.opened_on.isoformat() == "2026-11-20"
    assert first.opening_id == outcome.done[0].id
    detail = db.session.get_one(AccountDetail, first.id)
    assert detail.representative_phone == "13800000001"
    person = db.session.query(Member).filter_by(username=first.member_no).one()
    assert (person.account_id, person.password) == (first.id, None)
    assert codes_of(person) == ["enterprise"]
    assert not passwords.is_right(person.password, "")
    assert (
        sign_in.judge(person.username, "x" * 12, sign_in.Visitor("192.0.2.1"))[0]
        == "wrong_password"
    )


def test_numbers_go_on_where_the_day_has_got_to(maker, checker):
    with transaction():
        db.session.add(Account(member_no="26112000007", name="甲", province="42"))
    member("registry_checker")
    confirm(imported([enterprise(1)], maker), checker)
    assert [row.member_no for row in opened()] == ["26112000007", "26112000008"]


def test_a_code_taken_meanwhile_stands_against_the_confirmation(maker, checker):
    ids = imported([enterprise(1), enterprise(2)], maker)
    account(uscc=credit_code(1))

    outcome = confirm(ids, checker)

    assert [case.id for case in outcome.done] == [ids[1]]
    assert outcome.refused[0][1].code == "uscc_taken"


def test_two_letters_go_two_ways_and_carry_what_they_should(maker, checker):
    confirm(imported([enterprise(1)], maker), checker)
    assert write_letters() == 1

    (row,) = opened()
    found = letters_of(row.member_no)
    messages = {each.channel: each for each in db.session.query(OutboxMessage)}
    assert messages["mail"].recipient == "rep1@plant.example"
    assert messages["sms"].recipient == "13800000001"
    assert all(each.has_secret for each in messages.values())
    assert found.code not in found.mail
    assert found.reference not in found.sms
    assert found.token not in found.sms
    assert row.member_no in found.mail
    enrolment = db.session.query(CertificateEnrolment).one()
    assert (enrolment.reference, enrolment.state) == (found.reference, "open")
    assert (enrolment.opened_by, enrolment.confirmed_by) == (maker.id, checker.id)
    assert db.session.query(Invitation).one().token_hash != found.token
    assert write_letters() == 0


def test_no_log_holds_token_or_code(maker, checker):
    confirm(imported([enterprise(1)], maker), checker)
    write_letters()
    found = letters_of(opened()[0].member_no)
    with transaction():
        openings.redeem(found.token, ip="192.0.2.1", now=NOW)
    logged = " ".join(
        f"{row.subject} {json.dumps(row.detail, ensure_ascii=False)}"
        for row in db.session.query(OperationLog)
    )
    assert "member.first_sign_in" in {row.action for row in db.session.query(OperationLog)}
    for secret in (found.token, found.code, "13800000001", "rep1@plant.example"):
        assert secret not in logged


def test_the_link_is_used_once_and_a_refused_password_leaves_it(maker, checker):
    confirm(imported([enterprise(1)], maker), checker)
    write_letters()
    token = letters_of(opened()[0].member_no).token

    with pytest.raises(RuleError, match="characters"), transaction():
        passwords.choose(openings.redeem(token, ip="", now=NOW), "short")
    with transaction():
        person = openings.redeem(token, ip="", now=datetime.now(UTC))
        passwords.choose(person, "Correct-Horse-7")
    db.session.refresh(person)
    assert passwords.is_right(person.password, "Correct-Horse-7")
    assert not person.must_change_password
    with pytest.raises(openings.InvalidLink), transaction():
        openings.redeem(token, ip="", now=datetime.now(UTC))


def test_the_link_ends_after_a_fortnight_and_with_the_member(maker, checker):
    confirm(imported([enterprise(1)], maker), checker)
    write_letters()
    token = letters_of(opened()[0].member_no).token
    later = datetime.now(UTC) + timedelta(days=14, minutes=1)
    for now, value in ((later, token), (NOW, "x" * 43), (NOW, ""), (NOW, "\ud800")):
        with pytest.raises(openings.InvalidLink), transaction():
            openings.redeem(value, ip="", now=now)
    with transaction():
        db.session.query(Member).filter(Member.account_id.is_not(None)).update({"active": False})
    with pytest.raises(openings.InvalidLink), transaction():
        openings.redeem(token, ip="", now=NOW)


def test_letters_can_be_written_anew_and_the_old_ones_lapse(maker, checker):
    confirm(imported([enterprise(1)], maker), checker)
    write_letters()
    (row,) = opened()
    old = letters_of(row.member_no)
    person = db.session.query(Member).filter_by(username=row.member_no).one()
    with transaction():
        openings.invite_again(person.id, Actor.of(maker), now=NOW)
    write_letters()
    new = letters_of(row.member_no)
    assert {old.token, old.code, old.reference} & {new.token, new.code, new.reference} == set()
    with pytest.raises(openings.InvalidLink), transaction():
        openings.redeem(old.token, ip="", now=NOW)
    with transaction():
        redeemed = openings.redeem(new.token, ip="", now=datetime.now(UTC))
        passwords.choose(redeemed, "Correct-Horse-7")
    with transaction():
        openings.invite_again(person.id, Actor.of(maker), now=NOW)
    write_letters()
    last = letters_of(row.member_no)
    assert last.token == ""
    assert last.code not in ("", new.code)


@pytest.mark.parametrize("has_password", [True, False])
def test_who_had_a_certificate_gets_no_other_by_the_opening(maker, checker, signing, has_password):
    """A replacement needs two officers; an unused link can still be sent."""
    confirm(imported([enterprise(1)], maker), checker)
    write_letters()
    first = letters_of(opened()[0].member_no)
    held = fetch(first.reference, first.code)
    if has_password:
        with transaction():
            person = openings.redeem(first.token, ip="", now=datetime.now(UTC))
            passwords.choose(person, "Correct-Horse-7")
        with pytest.raises(NotAllowed), transaction():
            openings.invite_again(held.member_id, Actor.of(maker), now=NOW)
        return
    with transaction():
        openings.invite_again(held.member_id, Actor.of(maker), now=NOW)
    write_letters()
    mail = db.session.query(OutboxMessage).order_by(OutboxMessage.id.desc()).first()
    assert re.search(r"#([\w-]{43})", mail.body)[1] != first.token
    assert db.session.query(CertificateEnrolment).count() == 1


def test_what_an_officer_submitted_who_was_disabled_meanwhile_is_sent_back(maker, checker):
    ids = imported([enterprise(1)], maker)
    with transaction():
        members.disable(maker.id, Actor.of(checker))
    ((_case, refused),) = confirm(ids, checker).refused
    assert (refused.code, opened()) == ("submitter_disabled", [])
    with transaction():
        assert engine.send_back(ids, Actor.of(checker), now=clock.now(), comment="重新录入").done


def test_a_link_ends_where_a_password_was_given_meanwhile(maker, checker):
    confirm(imported([enterprise(1)], maker), checker)
    write_letters()
    (row,) = opened()
    person = db.session.query(Member).filter_by(username=row.member_no).one()
    with transaction():
        members.reset(person.id, SYSTEM, first=passwords.first_password())
    with pytest.raises(openings.InvalidLink), transaction():
        openings.redeem(letters_of(row.member_no).token, ip="", now=datetime.now(UTC))


def test_a_disabled_member_gets_no_letters_and_holds_up_nobody(maker, checker):
    confirm(imported([enterprise(1), enterprise(2)], maker), checker)
    with transaction():
        db.session.query(Member).filter_by(username="26112000001").update({"active": False})
    assert write_letters() == 2
    assert db.session.query(OutboxMessage).count() == 2
    assert {row.failure != "" for row in db.session.query(Invitation)} == {True, False}
    assert write_letters() == 0


def test_sent_back_openings_can_be_changed_and_come_again(maker, checker):
    (made,) = imported([enterprise(1)], maker)
    with transaction():
        engine.send_back([made], Actor.of(checker), now=clock.now(), comment="名称有误")
    proposal, wrong = opening_import.judge(enterprise(1, name="江城新名发电有限公司"))
    assert wrong == {}
    with transaction():
        anew = opening_import.draft(proposal, "k" * 20)
        engine.edit(made, anew, Actor.of(maker), now=clock.now())
        engine.submit([made], Actor.of(maker), now=clock.now()).one()
    confirm([made], checker)
    assert opened()[0].name == "江城新名发电有限公司"


def test_a_draft_without_details_is_not_submitted(maker):
    with transaction():
        made = engine.start([opening_import.draft({}, "k" * 20)], Actor.of(maker), now=clock.now())
    outcome = engine.submit(made, Actor.of(maker), now=clock.now())
    assert outcome.refused[0][1].code == "details_missing"


def test_a_thousand_are_opened_within_seconds(maker, checker):
    ids = imported([enterprise(n) for n in range(1, 1001)], maker)
    began = time.perf_counter()
    outcome = confirm(ids, checker)
    assert len(outcome.done) == 1000
    assert time.perf_counter() - began < 15
    assert len({row.member_no for row in opened()}) == 1000
