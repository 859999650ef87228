"""Account details: validation of each field, and how a change takes effect."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import select, text

from app.domain import texts
from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import (
    Account,
    AccountDetail,
    Application,
    Certificate,
    Member,
    OutboxMessage,
)
from app.operations.accounts import details
from app.operations.accounts.details import BY_NAME, FIELDS
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import account, member
from tests.security.certified import issue, make_authority, register

# Made up, and valid by their check characters.
CODE, OTHER_CODE = "91420100MA4K2X7R0B", "914201001775718436"
IDENTITY = "420106198001011237"
GOOD = {
    "name": "甲发电集团有限公司",
    "uscc": CODE,
    "sector": "power",
    "registered_address": "湖北省武汉市武昌区中北路1号",
    "legal_representative": "张三",
    "representative": "李四",
    "representative_phone": "13800138000",
    "representative_email": "li@plant.example.cn",
    "representative_identity_no": IDENTITY,
    "bank_name": "中国银行武汉分行",
    "bank_account": "6217001234567890123",
}
AUTHORITY = make_authority()
SECRETS = [value for name, value in GOOD.items() if BY_NAME[name].is_personal]


def change(by: Member, **values: str) -> engine.Draft:
    """Return a draft that proposes these details."""
    read, wrong = details.read(values)
    assert wrong == {}
    return engine.Draft(
        "account_change",
        by.account_id,
        (),
        str(uuid4()),
        proposal=details.propose(details.current(by.account_id), read),
    )


def start(by: Member, **values: str) -> int:
    with transaction():
        return engine.start([change(by, **values)], Actor.of(by), now=clock.now())[0]


def submit(by: Member, **values: str) -> int:
    made = start(by, **values)
    with transaction():
        engine.submit([made], Actor.of(by), now=clock.now()).one()
    return made


def approve(*ids: int, by: Member) -> engine.Outcome:
    with transaction():
        return engine.approve(ids, Actor.of(by), now=clock.now())


def mails() -> list[tuple[str, str]]:
    rows = select(OutboxMessage).order_by(OutboxMessage.id)
    return [(row.recipient, row.body) for row in db.session.scalars(rows)]


def refusal(name: str, typed: str) -> str:
    _values, wrong = details.read({name: typed})
    return wrong.get(name, "")


# What each field takes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "typed", "kept"),
    [
        *((name, value, value) for name, value in GOOD.items()),
        ("name", "  甲厂  ", "甲厂"),
        ("name", "甲" * 200, "甲" * 200),
        ("uscc", CODE.lower(), CODE),
        ("uscc", "９１420100MA4K2X7R0B", CODE),
        ("uscc", OTHER_CODE, OTHER_CODE),
        ("representative_phone", "+86 138 0013 8000", "13800138000"),
        ("representative_phone", "+86-13800138000", "13800138000"),
        ("representative_phone", "+44 7400 123456", "+447400123456"),
        ("representative_email", "Li@PLANT.example.cn", "Li@plant.example.cn"),
        ("representative_identity_no", "11010519491231002x", "11010519491231002X"),
        ("bank_account", "6217 0012 3456-7890", "6217001234567890"),
        ("bank_name", "", ""),
        ("bank_account", " ", ""),
    ],
)
def test_a_good_value_is_kept_in_one_form(name, typed, kept):
    assert details.read({name: typed}) == ({name: kept}, {})


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_required_field_is_asked_for_and_a_long_one_told_its_limit(field):
    assert (refusal(field.name, " ") == "Please fill this in") is field.is_required
    long = refusal(field.name, "1" * (field.longest + 1))
    assert long == f"This is longer than {field.longest} characters"


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("uscc", "91420100MA4K2X7R0A"),  # the check character is wrong
        ("uscc", CODE[:-1]),
        ("uscc", "91420100MA4K2X7I0B"),  # I is no letter of these codes
        ("sector", "nuclear"),
        ("sector", "Power"),
        ("representative_phone", "12345"),
        ("representative_phone", "0710-3456789"),  # a landline takes no text message
        ("representative_phone", "4009911188"),
        ("representative_phone", "+442079460958"),
        ("representative_phone", "13800138000 ext. 5"),
        ("representative_phone", "23800138000"),
        ("representative_phone", "1380013800a"),
        ("representative_phone", "+99 1234567"),
        ("representative_email", "li"),
        ("representative_email", "li@plant"),
        ("representative_email", "li@@plant.example.cn"),
        ("representative_email", "a@b.cn\nBcc: c@d.cn"),
        ("representative_identity_no", "420106198001011238"),
        ("representative_identity_no", "420106198013011234"),  # the thirteenth month
        ("representative_identity_no", "42010619800101123"),
        ("bank_account", "1234567"),
        ("bank_account", "1" * 31),
        ("bank_account", "62170012345x"),
        ("bank_account", "６２１７００１２３４５６"),
        ("name", "甲\x00厂"),
        ("name", "甲\u202e厂"),
        ("legal_representative", "张\u200b三"),
        ("legal_representative", "张\ue000"),
        ("registered_address", "一元路\t1号"),
    ],
)
def test_a_bad_value_is_refused_with_what_the_field_takes(name, typed):
    message = refusal(name, typed)
    found = texts.unshowable(typed, has_lines=False)
    wrong = str(BY_NAME[name].wrong)
    assert message == (str(found.message) if found else f"{wrong} (read: {typed})")
    assert wrong or "U+" in message


def test_every_wrong_field_is_named_at_once():
    _values, wrong = details.read({**GOOD, "uscc": "1", "representative_phone": "1"})
    assert set(wrong) == {"uscc", "representative_phone"}


# How a change comes into force ----------------------------------------------------------------


def test_old_values_hold_until_the_registry_has_approved(operator, plant, officer):
    made = submit(operator, **GOOD)
    assert details.current(plant.id)["name"] == "甲发电有限公司"

    approve(made, by=officer).one()

    assert details.current(plant.id) == GOOD
    db.session.expire_all()
    row = db.session.get_one(AccountDetail, plant.id)
    assert (row.bank_account, row.representative_phone) == (
        GOOD["bank_account"],
        GOOD["representative_phone"],
    )


def test_only_what_changes_is_proposed(operator, officer):
    approve(submit(operator, **GOOD), by=officer)

    draft = change(operator, **GOOD | {"bank_name": "中国工商银行武汉分行"})

    assert list(draft.proposal) == ["bank_name"]


def test_a_change_of_nothing_is_refused(operator, officer):
    approve(submit(operator, **GOOD), by=officer)
    made = start(operator, **GOOD)

    with transaction(), pytest.raises(RuleError) as refused:
        engine.submit([made], Actor.of(operator), now=clock.now()).one()

    assert (refused.value.code, str(refused.value)) == (
        "nothing_changes",
        "Nothing is changed yet",
    )


def test_a_second_open_change_is_refused(operator):
    submit(operator, name="甲一")
    second = start(operator, name="甲二")

    with pytest.raises(RuleError) as refused, transaction():
        engine.submit([second], Actor.of(operator), now=clock.now())

    assert refused.value.code == "change_under_review"


def test_another_accounts_code_is_refused_at_submission_and_at_approval(operator, officer):
    made = submit(operator, uscc=CODE)
    other = account("乙", uscc=CODE)

    outcome = approve(made, by=officer)

    ((_case, error),) = outcome.refused
    assert (error.code, error.field) == ("uscc_taken", "uscc")
    assert str(error) == "Another account has this unified social credit code already"
    assert db.session.get_one(Account, operator.account_id).uscc is None

    late = member(of=account("丙"))
    made = start(late, uscc=CODE)
    with transaction(), pytest.raises(RuleError) as refused:
        engine.submit([made], Actor.of(late), now=clock.now()).one()
    assert refused.value.code == "uscc_taken"
    assert other.uscc == CODE


def test_of_two_in_one_batch_with_the_same_code_the_first_has_it(operator, officer):
    second = member(of=account("乙"))
    ids = [submit(operator, uscc=CODE), submit(second, uscc=CODE)]

    outcome = approve(*ids, by=officer)

    assert [case.id for case in outcome.done] == ids[:1]
    assert [(case.id, error.code) for case, error in outcome.refused] == [(ids[1], "uscc_taken")]


def test_the_name_shown_to_the_representative_follows(operator, plant, officer):
    approve(submit(operator, **GOOD), by=officer)
    db.session.expire_all()
    assert (operator.first_name, operator.email) == (GOOD["name"], GOOD["representative_email"])


def test_another_representative_takes_over_no_certificate(operator, officer):
    """A certificate names a person; two officers give the successor a new one."""
    approve(submit(operator, **GOOD), by=officer)
    holder = member(of=db.session.get_one(Account, operator.account_id))
    for each in (operator, holder):
        register(each.username, issue(AUTHORITY, each.username))

    approve(submit(operator, registered_address="湖北省武汉市江岸区一元路2号"), by=officer)
    assert states() == {operator.username: ("active", ""), holder.username: ("active", "")}

    approve(submit(operator, representative="王五"), by=officer)
    assert states() == {
        operator.username: ("revoked", "affiliationChanged"),
        holder.username: ("active", ""),
    }


def states() -> dict[str, tuple[str, str]]:
    db.session.rollback()
    return {
        row.member.username: (row.state, row.reason)
        for row in db.session.scalars(select(Certificate))
    }


def test_an_address_that_is_another_members_is_not_taken_over(operator, officer):
    with transaction():
        db.session.get_one(Member, officer.id).email = GOOD["representative_email"]
    before = operator.email
    approve(submit(operator, **GOOD), by=officer)
    db.session.expire_all()
    assert operator.email == before


def test_the_old_and_the_new_address_are_told_and_neither_mail_holds_a_value(operator, officer):
    approve(submit(operator, **GOOD), by=officer)
    ((recipient, _body),) = mails()
    assert recipient == GOOD["representative_email"]

    made = submit(operator, representative_email="wang@plant.example.cn", bank_account="12345678")
    approve(made, by=officer)

    told = mails()[1:]
    assert sorted(each for each, _body in told) == [
        "li@plant.example.cn",
        "wang@plant.example.cn",
    ]
    number = db.session.get_one(Application, made).number
    for _recipient, body in told:
        assert number in body
        assert "Bank account number" in body
        assert "12345678" not in body


def test_no_mail_is_written_before_the_approval_nor_without_an_address(operator, officer):
    made = submit(operator, name="甲一")
    assert mails() == []
    approve(made, by=officer)
    assert mails() == []


def test_a_batch_opened_account_brings_its_documents_first(app, officer):
    by = member(of=account("批量", lacks_documents=True))
    made = start(by, name="批量一")

    with transaction(), pytest.raises(RuleError) as refused:
        engine.submit([made], Actor.of(by), now=clock.now()).one()

    assert (refused.value.code, refused.value.field) == ("attachments_missing", "attachments")
    assert "upload the opening documents first" in str(refused.value)


def test_the_databases_bytes_hold_no_personal_number(operator, officer):
    made = submit(operator, **GOOD)
    kept = _all_bytes()
    approve(made, by=officer)

    for stored in (kept, _all_bytes()):
        for secret in SECRETS:
            assert secret not in stored
    assert GOOD["name"] in kept


def _all_bytes() -> str:
    found = []
    for table in ("application", "account_detail", "operation_log", "application_event"):
        rows = db.session.scalars(text(f"SELECT to_jsonb(t)::text FROM {table} t"))
        found += rows
    return "\n".join(found)


def test_a_province_sees_no_review_of_it_and_another_enterprise_nothing(operator, plant, officer):
    made = submit(operator, name="甲一")
    for stranger in (member("province", province="42"), member(of=account("乙"))):
        outcome = approve(made, by=stranger)
        assert outcome.done == []
    assert details.current(plant.id)["name"] == "甲发电有限公司"
